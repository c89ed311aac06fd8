/* SPDX-License-Identifier: Apache-2.0 */
/* Versions and specifiers, one a line: a version's text is its own normal form, its key is read
 * back as that text, the order is a total one, and every set is what its parts are together. */
#include <stdint.h>
#include <stdlib.h>

#include "resolvers/pip/version.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_version(struct span text, struct arena *a, struct pip_version *last, bool *has)
{
    struct pip_version v, again;
    if (!pip_version_parse(text, a, &v))
        return;
    check(pip_version_parse(v.text, a, &again) && span_eq(v.text, again.text));
    check(span_eq(v.key, again.key) && v.prerelease == again.prerelease);
    if (text.len < 60) {
        struct span read = span_str(pip_key_text(v.key, a));
        check(pip_version_parse(read, a, &again) && pip_version_cmp(&v, &again) == 0);
    }
    if (*has) {
        int x = pip_version_cmp(&v, last), y = pip_version_cmp(last, &v);
        check((x > 0) == (y < 0) && (x == 0) == (y == 0));
    }
    *last = v;
    *has = true;
}

static void check_specs(struct span text, struct arena *a, const struct pip_version *v, bool has)
{
    struct pip_specs s, again;
    if (!pip_specs_parse(text, a, &s, NULL))
        return;
    check(pip_specs_parse(s.text, a, &again, NULL) && version_set_eq(s.set, again.set));
    check(s.prerelease == again.prerelease && s.pinned == again.pinned && s.n == again.n);
    const struct version_set *all = version_set_all(), *outside = version_set_complement(a, s.set);
    for (size_t i = 0; i < s.n; i++)
        all = version_set_intersect(a, all, s.v[i].set);
    check(version_set_eq(all, s.set));
    check(version_set_disjoint(s.set, outside));
    check(version_set_is_all(version_set_union(a, s.set, outside)));
    if (has)
        check(pip_specs_match(&s, v) != version_set_has(outside, v->key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct span rest = span_of(data, size), line;
    struct pip_version last;
    bool has = false;
    for (int n = 0; n < 64 && span_next_line(&rest, &line); n++) {
        check_version(line, a, &last, &has);
        check_specs(line, a, &last, has);
    }
    return 0;
}
