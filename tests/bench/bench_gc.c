/* SPDX-License-Identifier: Apache-2.0 */
/* bench_gc.c - collecting without any grace while others publish, pin, verify and unpin.
 *
 * Usage: [SECONDS=600] [PROCESSES=3] bench_gc. Each process publishes artifacts that
 * share segments, pins them under names of its own, hashes pinned ones again at random and lets
 * go of others; one more collects all the time, now and then with a bound. Ends with 1 when a
 * pinned artifact lost a byte, or when something is left after the last pin is gone. */
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "cache/gc.h"
#include "cache/pin.h"
#include "tests/cache/pack.h"
#include "tests/test_main.h"

#define MOST_PINS 16
#define NAMES     40

struct counts {
    uint64_t published, pinned, verified, unpinned;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void die(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_gc: %s: %s\n", what, err->text);
    _exit(1);
}

struct holder {
    struct store *store;
    uint64_t random;
    int who;
    struct artifact *held[MOST_PINS];
    struct counts counts;
};

static void pin_name(const struct holder *h, size_t slot, char out[40])
{
    snprintf(out, 40, "session/%d/%zu", h->who, slot);
}

static void fill(struct holder *h, size_t slot)
{
    struct err err = {0};
    char name[40];
    uint64_t r = next_random(&h->random);
    AUTO_FREE char *a = mem_printf("a%llu", (unsigned long long)(r % NAMES));
    AUTO_FREE char *b = mem_printf("b%llu", (unsigned long long)(r / NAMES % NAMES));
    if (!store_hold(h->store, &err))
        die("hold", &err);
    struct artifact_part parts[2] = {
        pack_simple(h->store, "pip", a, 20000 + r % 50000, COMPRESS_ZSTD),
        pack_simple(h->store, "npm", b, 3000, COMPRESS_ZSTD)};
    struct artifact *made = pack_publish(h->store, parts, 2, &err);
    if (!made)
        die("publish", &err);
    pin_name(h, slot, name);
    bool soon = r % 2;
    if (!(soon ? store_pin_put_soon(h->store, span_str(name), &made->digest, &err) &&
                     store_sync(h->store, &err)
               : store_pin_put(h->store, span_str(name), &made->digest, &err)))
        die("pin", &err);
    store_unhold(h->store);
    h->held[slot] = made;
    h->counts.published++;
    h->counts.pinned++;
}

static void check(struct holder *h, size_t slot)
{
    struct err err = {0};
    struct artifact *again = NULL;
    if (!artifact_load(h->store, &h->held[slot]->digest, &again, &err) ||
        !artifact_verify(h->store, again, &err))
        die("a pinned artifact", &err);
    artifact_free(again);
    h->counts.verified++;
}

static void drop(struct holder *h, size_t slot)
{
    struct err err = {0};
    char name[40];
    check(h, slot);
    pin_name(h, slot, name);
    if (!store_pin_drop(h->store, span_str(name), &err))
        die("unpin", &err);
    artifact_free(TAKE(h->held[slot]));
    h->counts.unpinned++;
}

static void hold_and_check(const char *path, int who, int64_t until_ms, int out_fd)
{
    struct holder h = {.who = who, .random = (uint64_t)io_now_ms() * 2654435761u + (unsigned)who};
    struct err err = {0};
    if (!store_open(&h.store, path, &err))
        die("open", &err);
    while (io_monotonic_ms() < until_ms) {
        size_t slot = next_random(&h.random) % MOST_PINS;
        if (!h.held[slot])
            fill(&h, slot);
        else if (next_random(&h.random) % 4)
            check(&h, slot);
        else
            drop(&h, slot);
    }
    for (size_t i = 0; i < MOST_PINS; i++)
        if (h.held[i])
            drop(&h, i);
    store_close(h.store);
    if (write(out_fd, &h.counts, sizeof(h.counts)) != (ssize_t)sizeof(h.counts))
        _exit(1);
    _exit(0);
}

/* Until all others have ended; then once more, when nothing is pinned. */
static uint64_t collect_all_along(struct store *s, int processes, bool *well, uint64_t *removed)
{
    uint64_t runs = 0;
    struct err err = {0};
    for (int left = processes; left >= 0;) {
        struct gc_report report;
        struct gc_options o = {.keep_bytes = left && runs % 8 == 7 ? 100000 : 0};
        bool last = left == 0;
        if (!store_gc(s, &o, &report, &err))
            die("collect", &err);
        json_decref(report.removed);
        *removed += report.removed_bytes;
        runs++;
        if (last && report.blobs != report.removed_blobs)
            *well = false;
        left -= last;
        int status;
        while (left > 0 && waitpid(-1, &status, WNOHANG) > 0) {
            *well = *well && status == 0;
            left--;
        }
        /* What was used in this very millisecond is not idle yet. */
        usleep(left ? 1000 : 20000);
    }
    return runs;
}

static int from_environment(const char *name, int standard)
{
    const char *text = getenv(name);
    uint64_t n = 0;
    return text && span_to_u64(span_str(text), &n) && n < 1000000 ? (int)n : standard;
}

START_TEST(a_pinned_artifact_never_loses_a_byte)
{
    int seconds = from_environment("SECONDS", 600), processes = from_environment("PROCESSES", 3);
    int64_t until_ms = io_monotonic_ms() + seconds * 1000ll;
    struct counts all = {0}, one;
    uint64_t removed = 0;
    bool well = true;
    int ends[2];
    struct store *s = pack_store("store");
    ck_assert_int_eq(pipe(ends), 0);
    for (int i = 0; i < processes; i++)
        if (fork() == 0)
            hold_and_check(store_path(s), i, until_ms, ends[1]);
    close(ends[1]);
    uint64_t runs = collect_all_along(s, processes, &well, &removed);
    while (read(ends[0], &one, sizeof(one)) == (ssize_t)sizeof(one)) {
        all.published += one.published;
        all.pinned += one.pinned;
        all.verified += one.verified;
        all.unpinned += one.unpinned;
    }
    store_close(s);
    printf("%d s, %d processes: %llu collections removed %llu bytes; %llu published and pinned, "
           "%llu verified, %llu unpinned; %s\n",
           seconds, processes, (unsigned long long)runs, (unsigned long long)removed,
           (unsigned long long)all.published, (unsigned long long)all.verified,
           (unsigned long long)all.unpinned,
           well ? "no byte lost, nothing left" : "SOMETHING WENT WRONG");
    ck_assert(well && all.pinned == all.unpinned);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("bench_gc");
    TCase *tc = tcase_create("gc");
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, a_pinned_artifact_never_loses_a_byte);
    suite_add_tcase(s, tc);
    return s;
}
