/* SPDX-License-Identifier: Apache-2.0 */
/* Two lines, a version and a range: what is printed reads back as the same, the order is one,
 * and the printed range holds what the written one held. */
#include <stdlib.h>

#include "resolvers/npm/semver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_version(const struct semver *v, unsigned flags)
{
    AUTO_BUF struct buf text = BUF(4096);
    struct semver again;
    semver_format(v, &text);
    check(semver_parse(buf_span(&text), flags, &again));
    check(semver_cmp(v, &again) == 0 && semver_cmp(&again, v) == 0);
}

static void check_range(struct arena *a, struct span text, unsigned flags, const struct semver *v)
{
    AUTO_BUF struct buf once = BUF(1 << 20), twice = BUF(1 << 20), thrice = BUF(1 << 20);
    const struct semver_range *r = semver_range_parse(a, text, flags);
    if (!r)
        return;
    semver_range_format(r, &once);
    if (once.len > SEMVER_RANGE_MAX_LENGTH)
        return;
    const struct semver_range *s = semver_range_parse(a, buf_span(&once), flags);
    check(s != NULL);
    semver_range_format(s, &twice);
    /* ">=00.0.0" is printed as ">=0.0.0", which only then is seen to say nothing. */
    const struct semver_range *t = semver_range_parse(a, buf_span(&twice), flags);
    check(t != NULL);
    semver_range_format(t, &thrice);
    check(span_eq(buf_span(&twice), buf_span(&thrice)));
    if (!span_eq(buf_span(&once), buf_span(&twice)))
        return;
    if (v)
        check(semver_range_test(r, v) == semver_range_test(s, v));
    check(semver_range_open(r) == semver_range_open(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct span text = span_of(data, size), version = text, range = SPAN("");
    struct semver strict, loose, other = {1, 2, 3, SPAN("rc.1"), SPAN("")};
    span_cut_char(text, '\n', &version, &range);
    bool is_strict = semver_parse(version, SEMVER_STRICT, &strict);
    bool is_loose = semver_parse(version, SEMVER_LOOSE, &loose);
    check(is_loose || !is_strict);
    if (is_loose) {
        check_version(&loose, SEMVER_LOOSE);
        int d = semver_cmp(&loose, &other), e = semver_cmp(&other, &loose);
        check((d > 0) == (e < 0) && (d == 0) == (e == 0));
    }
    if (is_strict) {
        check_version(&strict, SEMVER_STRICT);
        check(semver_cmp(&strict, &loose) == 0);
    }
    for (unsigned flags = 0; flags < 4; flags++)
        check_range(a, range, flags, is_loose ? &loose : NULL);
    return 0;
}
