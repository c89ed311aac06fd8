/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on a connection of the worker's API, over a real socket and a real database: whatever
 * is sent, the answer is no 500 and each JSON error has its shape. The worker has no keys and
 * serves loopback. */
#include <assert.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "tests/worker/api/double.h"
#include "worker/api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uv_loop_t loop;
static struct api *api;

static bool any_spec(const char *manager, struct span spec, struct err *err)
{
    (void)manager;
    return !span_has(spec, ' ') ? true : err_set(err, ERR_INVALID, "a space");
}

static void set_up(void)
{
    struct err err = {0};
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/strata-fuzz-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        abort();
    AUTO_FREE char *path = mem_printf("%s/worker.db", dir);
    uv_loop_init(&loop);
    struct builder *builder = double_new(&loop);
    struct db *db = db_open(&loop, path, NULL, &err);
    struct runner_options runner = {.worker = "fuzz"};
    struct api_options options = {.server = {.address = "127.0.0.1", .receive_ms = 200},
                                  .check_spec = any_spec};
    api = db ? api_new(&loop, db, runner_new(&loop, db, builder, &runner), builder, &options, &err)
             : NULL;
    if (!api) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    free(dir);
}

static int open_client(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(api_port(api)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger reset = {.l_onoff = 1}; /* no port stays behind in TIME_WAIT */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        abort();
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    return fd;
}

static void check(struct span answer)
{
    if (!span_starts(answer, SPAN("HTTP/1.")))
        return;
    struct span status = span_slice(answer, 9, 12);
    assert(!span_eq(status, SPAN("500")));
    size_t at = span_find(answer, SPAN("\"type\":\"error\""));
    if (at < answer.len)
        assert(span_find(answer, SPAN("\"error_code\":")) < answer.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!api)
        set_up();
    if (size > 60000)
        return 0;
    AUTO_FD int fd = open_client();
    AUTO_BUF struct buf answer = BUF(1 << 20);
    if (send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return 0;
    shutdown(fd, SHUT_WR);
    /* Until it is answered or closed; an incomplete request would be waited for. */
    for (int64_t end = io_monotonic_ms() + 20; io_monotonic_ms() < end;) {
        char piece[16384];
        uv_run(&loop, UV_RUN_NOWAIT);
        ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
        if (n > 0)
            buf_append(&answer, span_of(piece, (size_t)n));
        else if (n == 0 || span_ends(buf_span(&answer), SPAN("}")))
            break;
        else
            sched_yield();
    }
    check(buf_span(&answer));
    return 0;
}
