/* SPDX-License-Identifier: Apache-2.0 */
/* Which release pip would take: the newest that fits, but
 *   - pre-releases only when a specifier on the name names one, or nothing else matches;
 *   - yanked ones only when the name is pinned and everything that matches is yanked.
 * Both look at what the specifiers match (`required`), not at what is left of it. */
#include <time.h>

#include "base/plain.h"
#include "resolvers/pip/resolve_priv.h"

struct rules {
    bool prereleases, yanked;
};

static struct rules rules_for(struct pip_project *p, const struct version_set *required,
                              unsigned flags)
{
    bool any = false, final = false, fresh = false;
    bool prereleases = p->resolve->job->policy->prerelease || (flags & PIP_WANTS_PRERELEASE);
    for (size_t i = 0; i < p->release_count; i++) {
        struct pip_release *rel = &p->releases[i];
        if (!version_set_has(required, rel->version.key))
            continue;
        pip_release_judge(rel);
        if (!rel->file)
            continue;
        any = true;
        if (!rel->version.prerelease)
            final = true;
        if (!rel->yanked && (prereleases || !rel->version.prerelease))
            fresh = true;
        if (final && fresh)
            break;
    }
    return (struct rules){.prereleases = prereleases || !final,
                          .yanked =
                              p->direct_url.len || (any && !fresh && (flags & PIP_IS_PINNED))};
}

static bool may_use(struct pip_release *rel, struct rules rules)
{
    pip_release_judge(rel);
    return rel->file && (rules.prereleases || !rel->version.prerelease) &&
           (rules.yanked || !rel->yanked);
}

static struct pip_release *previous_choice(struct pip_project *p, const struct version_set *allowed,
                                           struct rules rules)
{
    struct pip_version v;
    if (!p->previous || !pip_version_parse(span_str(p->previous), p->resolve->arena, &v))
        return NULL;
    struct pip_release *rel = pip_release_at(p, v.key);
    return rel && version_set_has(allowed, rel->version.key) && may_use(rel, rules) ? rel : NULL;
}

struct pip_release *pip_choose(struct pip_project *p, const struct version_set *allowed,
                               const struct version_set *required, unsigned flags)
{
    struct rules rules = rules_for(p, required, flags);
    struct pip_release *rel = previous_choice(p, allowed, rules);
    for (size_t i = 0; !rel && i < p->release_count; i++)
        if (version_set_has(allowed, p->releases[i].version.key) && may_use(&p->releases[i], rules))
            rel = &p->releases[i];
    return rel;
}

static const char *day_text(int64_t ms, struct arena *a)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&t, &tm);
    return arena_printf(a, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static const char *too_new(const struct pip_release *rel, struct arena *a)
{
    const struct policy *policy = rel->project->resolve->job->policy;
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < rel->count; i++) {
        int64_t ms = pip_file_upload_ms(rel->project->sorted[rel->first + i]);
        first = ms < first ? ms : first;
    }
    return arena_printf(a, "was published on %s, not before %s as the policy wants",
                        day_text(first, a), day_text(policy->exclude_newer_ms, a));
}

static struct span a_requires_python(const struct pip_release *rel)
{
    const struct pip_project *p = rel->project;
    for (size_t i = 0; i < rel->count; i++) {
        const struct pip_file *f = p->sorted[rel->first + i];
        if (!pip_python_fits(p->resolve, f->requires_python))
            return f->requires_python;
    }
    return SPAN("");
}

const char *pip_release_why(const struct pip_release *rel, struct arena *a)
{
    const struct pip_project *p = rel->project;
    const char *why = "has no file that could be used";
    struct span python = a_requires_python(rel);
    switch (rel->unusable) {
    case PIP_USABLE:
        if (rel->yanked) {
            struct span reason = rel->file->yanked_reason;
            why = reason.len ? arena_printf(a, "was yanked (%.*s)",
                                            (int)(reason.len > 200 ? 200 : reason.len), reason.ptr)
                             : "was yanked";
        } else if (rel->version.prerelease) {
            why = "is a pre-release, which nobody asked for";
        }
        break;
    case PIP_BAD_PYTHON:
        why = arena_printf(a, "needs Python %.*s (this is %s)", SPAN_ARG(python),
                           p->resolve->python.text.ptr);
        break;
    case PIP_BAD_PLATFORM: why = "has no wheel for this platform"; break;
    case PIP_TOO_NEW: why = too_new(rel, a); break;
    case PIP_NO_UPLOAD_TIME:
        why = "has no upload time in the index, which the policy's as-of date needs";
        break;
    case PIP_NOT_BINARY: why = "has no wheel, and the policy wants wheels only"; break;
    }
    char *text = arena_printf(a, "%.*s %s %s", SPAN_ARG(p->name), rel->version.text.ptr, why);
    plain_str(text, PLAIN_ONE_LINE); /* a reason and a specifier are the index's words */
    return text;
}

const char *pip_choose_why(struct pip_project *p, const struct version_set *required,
                           unsigned flags)
{
    struct arena *a = p->resolve->arena;
    struct rules rules = rules_for(p, required, flags);
    const char *reasons = "";
    size_t seen = 0;
    if (p->release_count == 0)
        return arena_printf(a, "the index has no wheel or sdist of %.*s", SPAN_ARG(p->name));
    for (size_t i = 0; i < p->release_count; i++) {
        struct pip_release *rel = &p->releases[i];
        if (!version_set_has(required, rel->version.key))
            continue;
        if (may_use(rel, rules))
            return NULL;
        if (seen < 2)
            reasons =
                arena_printf(a, "%s%s%s", reasons, seen ? ", and " : "", pip_release_why(rel, a));
        seen++;
    }
    if (seen == 0)
        return arena_printf(a, "there is no such release of %.*s (there are %s to %s)",
                            SPAN_ARG(p->name), p->releases[p->release_count - 1].version.text.ptr,
                            p->releases[0].version.text.ptr);
    if (seen > 2)
        return arena_printf(a, "%s, and %zu older ones cannot be used either", reasons, seen - 2);
    return reasons;
}

static void announce(struct pip_release *rel)
{
    struct pip_project *p = rel->project;
    struct resolve_job *job = p->resolve->job;
    struct digest digest;
    if (!job->choose || p->announced || !rel->file->wheel || !pip_file_digest(rel->file, &digest))
        return;
    AUTO_FREE char *url = pip_file_url(p, rel->file);
    if (!url)
        return;
    AUTO_JSON json_t *entry = pip_lock_entry(rel, p->requested);
    p->announced = true;
    job->choose(job, entry, url);
}

void pip_announce_likely(struct pip_release *rel)
{
    if (rel->file->size > 0 && rel->file->size <= PIP_MAX_LIKELY)
        announce(rel);
}

void pip_announce(struct pip_project *p)
{
    size_t candidates = 0;
    if (!p->requested)
        return;
    struct pip_release *rel = pip_choose(p, p->root_set, p->root_set, p->root_flags);
    for (size_t i = 0; i < p->release_count; i++) {
        if (!version_set_has(p->root_set, p->releases[i].version.key))
            continue;
        pip_release_judge(&p->releases[i]);
        candidates += p->releases[i].file != NULL;
    }
    if (rel && candidates == 1)
        announce(rel);
}
