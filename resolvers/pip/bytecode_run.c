/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/personality.h>

#include "base/proc.h"
#include "resolvers/pip/bytecode_priv.h"

#define CHUNK_FILES      128u
#define CHUNK_BYTES      (2u << 20)
#define CHUNK_MEMORY     (4ull << 30)
#define CHUNK_CPU_S      600u
#define CHUNK_TIMEOUT_MS (20 * 60 * 1000) /* a loaded machine is slow, but not stuck */
#define RESULT_MAX_BYTES (256u << 20)
#define ERROR_TEXT_BYTES 4096u
#define PROCESSES_MAX    16u
#define DOES_NOT_COMPILE 0xffffffffu

/* Sources [from, to) of the list go to one process. */
struct chunk {
    size_t from, to;
    struct buf out; /* results point into it until they are copied */
    bool ok;
    struct err err;
};

/* What the threads of one call share. */
struct compiling {
    const struct platform *platform;
    struct pip_source *sources;
    struct chunk *chunks;
    size_t chunk_count;
    atomic_size_t next;
    atomic_bool failed;
};

static void put_u32(struct buf *b, size_t n)
{
    const char bytes[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    buf_append(b, span_of(bytes, 4));
}

/* The next length-prefixed piece of an answer. */
static bool take(struct span *rest, struct span *piece)
{
    if (rest->len < 4)
        return false;
    const uint8_t *p = (const uint8_t *)rest->ptr;
    uint32_t n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *rest = span_skip(*rest, 4);
    *piece = (struct span){NULL, 0};
    if (n == DOES_NOT_COMPILE)
        return true;
    if (n > rest->len)
        return false;
    *piece = span_slice(*rest, 0, n);
    *rest = span_skip(*rest, n);
    return true;
}

static bool check_about(const struct platform *p, struct span about, struct err *err)
{
    AUTO_FREE char *want = mem_printf("%s-", p->python_impl);
    struct span tag, version;
    if (!about.ptr || !span_cut_char(about, ' ', &tag, &version) ||
        !span_starts(tag, span_str(want)))
        return err_set(err, ERR_PLATFORM, "%s does not answer like %s", p->python_program,
                       p->python_impl);
    /* "3.13.0rc1" and the like: the numbers decide. */
    struct span full = span_str(p->python_full), rest = span_skip(full, version.len);
    if (!span_starts(full, version) || (rest.len && rest.ptr[0] >= '0' && rest.ptr[0] <= '9'))
        return err_set(err, ERR_PLATFORM,
                       "%s is Python %.*s, the platform says %s; declare that one, or build with "
                       "--no-bytecode",
                       p->python_program, SPAN_ARG(version), p->python_full);
    return true;
}

static bool run(const struct platform *p, struct span input, struct buf *out, int *status,
                struct err *err)
{
    const char *argv[] = {p->python_program,   "-s", "-S", "-W", "ignore", "-c",
                          pip_bytecode_script, NULL};
    /* Not -I: it would ignore the hash seed as well. There is no other variable to read, and
     * no folder of ours on the search path. */
    static const char *const env[] = {"PYTHONHASHSEED=0", "PYTHONUTF8=1",
                                      "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C", NULL};
    AUTO_BUF struct buf said = BUF(ERROR_TEXT_BYTES);
    struct proc proc = {
        .argv = argv,
        .env = env,
        .cwd = "/",
        .input = input,
        .out = out,
        .errout = &said,
        .timeout_ms = CHUNK_TIMEOUT_MS,
        .memory_bytes = CHUNK_MEMORY,
        .cpu_s = CHUNK_CPU_S,
        .no_files = true,
    };
    if (!proc_run(&proc, status, err)) {
        if (err->code == ERR_NOT_FOUND)
            err_set(err, ERR_PLATFORM,
                    "%s: no such program; install that Python, or build with --no-bytecode",
                    p->python_program);
        return false;
    }
    if (*status > 0 && *status < 128)
        return err_set(err, ERR_SCRIPT, "%s ended with status %d: %.*s", p->python_program, *status,
                       SPAN_ARG(span_trim(buf_span(&said))));
    if (out->overflow)
        return err_set(err, ERR_TOO_LARGE, "more than %u bytes of bytecode in one piece",
                       RESULT_MAX_BYTES);
    return true;
}

static bool read_answer(struct compiling *w, struct chunk *k, struct err *err)
{
    struct span rest = buf_span(&k->out), about;
    bool whole = take(&rest, &about);
    if (whole && !check_about(w->platform, about, err))
        return false;
    for (size_t i = k->from; i < k->to && whole; i++)
        whole = take(&rest, &w->sources[i].pyc);
    if (!whole || rest.len)
        return err_set(err, ERR_SCRIPT, "%s gave a broken answer", w->platform->python_program);
    return true;
}

static bool run_chunk(struct compiling *w, struct chunk *k, int *status, struct err *err)
{
    AUTO_BUF struct buf input = BUF(SIZE_MAX / 2);
    for (size_t i = k->from; i < k->to; i++) {
        put_u32(&input, w->sources[i].path.len);
        buf_append(&input, w->sources[i].path);
        put_u32(&input, w->sources[i].source.len);
        buf_append(&input, w->sources[i].source);
    }
    return run(w->platform, buf_span(&input), &k->out, status, err) &&
           (*status != 0 || read_answer(w, k, err));
}

/* A source that crashes the compiler (nested too deeply) takes its chunk with it: then each is
 * tried alone, and those that crash count as not compiling. */
static bool run_one_by_one(struct compiling *w, struct chunk *k, struct err *err)
{
    AUTO_BUF struct buf all = BUF(RESULT_MAX_BYTES);
    buf_append(&all, SPAN(""));
    for (size_t i = k->from; i < k->to; i++) {
        struct chunk one = {.from = i, .to = i + 1, .out = BUF(RESULT_MAX_BYTES)};
        int status = 0;
        bool ok = run_chunk(w, &one, &status, err);
        struct span rest = buf_span(&one.out), piece;
        if (ok && status == 0 && take(&rest, &piece)) /* skips the greeting */
            buf_append(&all, rest);
        else
            put_u32(&all, DOES_NOT_COMPILE);
        buf_release(&one.out);
        if (!ok)
            return false;
    }
    struct span rest = buf_span(&all);
    for (size_t i = k->from; i < k->to; i++)
        if (!take(&rest, &w->sources[i].pyc))
            return err_set(err, ERR_TOO_LARGE, "more than %u bytes of bytecode in one piece",
                           RESULT_MAX_BYTES);
    buf_release(&k->out);
    k->out = all;
    all = BUF(0);
    return true;
}

static void *work(void *arg)
{
    struct compiling *w = arg;
    /* Before 3.11 the order of some constants follows addresses. This thread ends soon. */
    personality(ADDR_NO_RANDOMIZE);
    for (;;) {
        size_t i = atomic_fetch_add(&w->next, 1);
        if (i >= w->chunk_count || atomic_load(&w->failed))
            return NULL;
        struct chunk *k = &w->chunks[i];
        int status = 0;
        k->out = BUF(RESULT_MAX_BYTES);
        k->ok = run_chunk(w, k, &status, &k->err) && (status == 0 || run_one_by_one(w, k, &k->err));
        if (!k->ok)
            atomic_store(&w->failed, true);
    }
}

/* Cuts the list where the counts say, which depends on the sources alone. */
static struct chunk *cut(const struct pip_source *sources, size_t count, size_t *chunk_count)
{
    struct chunk *chunks = mem_array(count + 1, sizeof(*chunks));
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && i - chunks[n].from < CHUNK_FILES && bytes < CHUNK_BYTES) {
            bytes += sources[i].source.len;
        } else {
            n += i > 0;
            chunks[n].from = i;
            bytes = sources[i].source.len;
        }
        chunks[n].to = i + 1;
    }
    *chunk_count = count ? n + 1 : 0;
    return chunks;
}

static void work_all(struct compiling *w, unsigned processes)
{
    pthread_t threads[PROCESSES_MAX];
    unsigned n = 0;
    processes = processes < 1 ? 1 : processes > PROCESSES_MAX ? PROCESSES_MAX : processes;
    while (n < processes && n < w->chunk_count && pthread_create(&threads[n], NULL, work, w) == 0)
        n++;
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

bool pip_compile(const struct platform *p, struct pip_source *sources, size_t count,
                 unsigned processes, struct arena *a, struct err *err)
{
    struct compiling w = {.platform = p, .sources = sources};
    w.chunks = cut(sources, count, &w.chunk_count);
    work_all(&w, processes);
    bool ok = true;
    for (size_t i = 0; i < w.chunk_count && ok; i++) {
        struct chunk *k = &w.chunks[i];
        ok = k->ok;
        if (!ok && k->err.code)
            *err = k->err;
    }
    if (!ok && !err->code)
        err_set(err, ERR_INTERNAL, "no thread could be started to compile");
    for (size_t i = 0; i < count && ok; i++)
        if (sources[i].pyc.ptr)
            sources[i].pyc = arena_span(a, sources[i].pyc);
    for (size_t i = 0; i < w.chunk_count; i++)
        buf_release(&w.chunks[i].out);
    free(w.chunks);
    return ok;
}
