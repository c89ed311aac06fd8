/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/environment_priv.h"

#define DAY_MS            86400000LL
#define HOUR_MS           3600000LL
#define MAX_AGE_DAYS      36500
#define MAX_ALLOW_SCRIPTS 1000
#define MAX_BASE          4096

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool digits(struct span s, size_t at, size_t count, int64_t *out)
{
    uint64_t n;
    if (at + count > s.len || !span_is_digits(span_slice(s, at, at + count)) ||
        !span_to_u64(span_slice(s, at, at + count), &n))
        return false;
    *out = (int64_t)n;
    return true;
}

static bool has_char(struct span s, size_t at, const char *set)
{
    return at < s.len && s.ptr[at] != '\0' && strchr(set, s.ptr[at]);
}

static bool date_of(struct span s, int64_t *days)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y, m, d;
    if (!digits(s, 0, 4, &y) || !has_char(s, 4, "-") || !digits(s, 5, 2, &m) ||
        !has_char(s, 7, "-") || !digits(s, 8, 2, &d) || y < 1970 || m < 1 || m > 12)
        return false;
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    if (d < 1 || d > month_days[m - 1] + (m == 2 && leap))
        return false;
    *days = days_of(y, m, d);
    return true;
}

/* RFC 3339, section 5.6: the part from the 'T' on. */
static bool time_of(struct span s, int64_t *ms)
{
    int64_t h, min, sec, frac = 0, scale = 100, oh, om;
    size_t at = 19;
    if (!has_char(s, 10, "Tt ") || !digits(s, 11, 2, &h) || !has_char(s, 13, ":") ||
        !digits(s, 14, 2, &min) || !has_char(s, 16, ":") || !digits(s, 17, 2, &sec) || h > 23 ||
        min > 59 || sec > 60)
        return false;
    if (has_char(s, at, ".")) {
        size_t first = ++at;
        for (; has_char(s, at, "0123456789"); at++, scale /= 10)
            frac += (s.ptr[at] - '0') * scale;
        if (at == first)
            return false;
    }
    *ms = ((h * 60 + min) * 60 + sec) * 1000 + frac;
    if (has_char(s, at, "Zz"))
        return at + 1 == s.len;
    if (!has_char(s, at, "+-") || !digits(s, at + 1, 2, &oh) || !has_char(s, at + 3, ":") ||
        !digits(s, at + 4, 2, &om) || at + 6 != s.len || oh > 23 || om > 59)
        return false;
    *ms += (s.ptr[at] == '+' ? -1 : 1) * (oh * 60 + om) * 60000;
    return true;
}

/* "7d", "12h", "2w". The present is rounded down to the day (or hour), so that the same file
 * asks for the same thing all day and a known answer serves. */
static bool age_of(struct span s, int64_t now_ms, int64_t *out)
{
    int64_t n;
    if (s.len < 2 || s.len > 7 || !digits(s, 0, s.len - 1, &n) || n == 0)
        return false;
    char unit = s.ptr[s.len - 1];
    int64_t unit_ms = unit == 'h' ? HOUR_MS : unit == 'd' ? DAY_MS : unit == 'w' ? 7 * DAY_MS : 0;
    if (unit_ms == 0 || n > MAX_AGE_DAYS * DAY_MS / unit_ms)
        return false;
    int64_t step = unit == 'h' ? HOUR_MS : DAY_MS;
    *out = now_ms - now_ms % step - n * unit_ms;
    return *out > 0;
}

bool environment_exclude_newer(struct environment *e, struct span text, int64_t now_ms,
                               struct err *err)
{
    int64_t days, ms;
    struct span s = span_trim(text);
    if (date_of(s, &days)) {
        if (s.len == 10) { /* the whole day counts, until the next midnight of UTC */
            e->policy.exclude_newer_ms = (days + 1) * DAY_MS;
            return true;
        }
        if (time_of(s, &ms)) {
            e->policy.exclude_newer_ms = days * DAY_MS + ms;
            return true;
        }
    } else if (age_of(s, now_ms, &ms)) {
        e->policy.exclude_newer_ms = ms;
        return true;
    }
    return err_set(err, ERR_INVALID,
                   "\"%.*s\" is neither a date (2026-01-31), nor a time (2026-01-31T12:00:00Z), "
                   "nor an age (7d, 12h, 2w)",
                   (int)(s.len > 64 ? 64 : s.len), s.ptr);
}

static bool exclude_newer(struct complaint *c, const json_t *given, int64_t now_ms,
                          struct environment *e)
{
    struct err why = {0};
    if (!given || json_is_null(given))
        return true;
    if (!json_is_string(given))
        return complain(c, "policy.exclude_newer", "%s, not a string", json_kind(given));
    return environment_exclude_newer(
               e, span_of(json_string_value(given), json_string_length(given)), now_ms, &why) ||
           complain(c, "policy.exclude_newer", "%s", why.text);
}

static bool flag(struct complaint *c, const json_t *policy, const char *key, bool *out)
{
    char path[64];
    const json_t *given = json_object_get(policy, key);
    snprintf(path, sizeof(path), "policy.%s", key);
    if (given && !json_is_null(given) && !json_is_boolean(given))
        return complain(c, path, "%s, not true or false", json_kind(given));
    *out = json_is_true(given);
    return true;
}

static bool allow_scripts(struct complaint *c, const json_t *given, struct environment *e)
{
    size_t i;
    json_t *item;
    char path[64];
    if (!given || json_is_null(given))
        return true;
    if (!json_is_array(given) || json_array_size(given) > MAX_ALLOW_SCRIPTS)
        return complain(c, "policy.allow_scripts", "not a list of at most %d package names",
                        MAX_ALLOW_SCRIPTS);
    const char **names = arena_array(e->arena, json_array_size(given) + 1, sizeof(*names));
    json_array_foreach ((json_t *)(uintptr_t)given, i, item) {
        struct span s = span_of(json_string_value(item), json_string_length(item));
        snprintf(path, sizeof(path), "policy.allow_scripts[%zu]", i);
        if (!json_is_string(item) || s.len == 0 || s.len > ENVIRONMENT_MAX_SPEC ||
            s.ptr[0] == '-' || span_has(s, ' '))
            return complain(c, path, "not the name of a package");
        names[e->policy.allow_script_count++] = arena_str(e->arena, s);
    }
    e->policy.allow_scripts = names;
    return true;
}

bool policy_check(struct complaint *c, const json_t *policy, int64_t now_ms, struct environment *e)
{
    static const char *const known[] = {"exclude_newer", "prerelease", "only_binary",
                                        "allow_scripts", NULL};
    if (!policy || json_is_null(policy))
        return true;
    if (!json_is_object(policy))
        return complain(c, "policy", "%s, not a mapping", json_kind(policy));
    return check_members(c, policy, "policy", known) &&
           exclude_newer(c, json_object_get(policy, "exclude_newer"), now_ms, e) &&
           flag(c, policy, "prerelease", &e->policy.prerelease) &&
           flag(c, policy, "only_binary", &e->policy.only_binary) &&
           allow_scripts(c, json_object_get(policy, "allow_scripts"), e);
}

static bool is_suite(struct span s)
{
    if (s.len == 0 || s.len > 64 || s.ptr[0] < 'a' || s.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= '0' && s.ptr[i] <= '9') ||
              s.ptr[i] == '-' || s.ptr[i] == '.'))
            return false;
    return true;
}

bool base_check(struct complaint *c, struct span base)
{
    bool printable = base.len <= MAX_BASE;
    for (size_t i = 0; i < base.len; i++)
        printable = printable && (unsigned char)base.ptr[i] > 0x20 && base.ptr[i] != 0x7f;
    if (printable && span_eq(base, SPAN("host")))
        return true;
    if (printable && span_starts(base, SPAN("oci:")) && base.len > 4 && base.ptr[4] != '-')
        return true;
    if (printable && span_starts(base, SPAN("docker://")) && base.len > 9 && base.ptr[9] != '-')
        return true;
    if (printable && span_starts(base, SPAN("debian:")) && is_suite(span_skip(base, 7)))
        return true;
    return complain(c, "base",
                    "\"%.*s\" is not one of host, oci:DIR[:TAG], docker://IMAGE, debian:SUITE",
                    (int)(base.len > 100 ? 100 : base.len), base.ptr);
}
