/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/index_priv.h"

#include "resolvers/pip/name.h"

static const struct span sdist_endings[] = {
    SPAN_INIT(".tar.gz"), SPAN_INIT(".zip"),    SPAN_INIT(".tgz"),     SPAN_INIT(".tar.bz2"),
    SPAN_INIT(".tbz"),    SPAN_INIT(".tar"),    SPAN_INIT(".tar.xz"),  SPAN_INIT(".txz"),
    SPAN_INIT(".tlz"),    SPAN_INIT(".tar.lz"), SPAN_INIT(".tar.lzma")};

/* "name-version.tar.gz". Before PEP 625 the name was written in any way, with dashes too, so
 * the first dash behind which the name is complete ends it. */
static bool sdist_version(struct span filename, struct span project, struct span *version)
{
    size_t i = 0;
    while (i < COUNT(sdist_endings) && !span_ends(filename, sdist_endings[i]))
        i++;
    if (i == COUNT(sdist_endings))
        return false;
    struct span stem = span_slice(filename, 0, filename.len - sdist_endings[i].len);
    for (size_t at = 0; at < stem.len; at++) {
        if (stem.ptr[at] == '-' && pip_name_is(span_slice(stem, 0, at), project)) {
            *version = span_skip(stem, at + 1);
            return true;
        }
    }
    return false;
}

/* A name must be one plain part of a path: it becomes a file's name later. */
static bool plain(struct span filename)
{
    if (filename.len == 0 || filename.len > 255 || filename.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < filename.len; i++)
        if ((unsigned char)filename.ptr[i] <= ' ' || filename.ptr[i] == '/' ||
            filename.ptr[i] == '\\' || (unsigned char)filename.ptr[i] >= 0x7f)
            return false;
    return true;
}

static bool name_and_version(struct pip_file *f, struct span project, struct span *version)
{
    f->wheel = span_ends(f->filename, SPAN(".whl"));
    if (!plain(f->filename))
        return false;
    if (!f->wheel)
        return sdist_version(f->filename, project, version);
    struct span name, rest, tags;
    return span_cut_char(f->filename, '-', &name, &rest) &&
           span_cut_char(rest, '-', version, &tags) && pip_name_is(name, project);
}

bool pip_file_name(struct pip_file *f, struct span project, struct arena *a)
{
    struct span version;
    struct pip_wheel_name name;
    return name_and_version(f, project, &version) &&
           (!f->wheel || pip_wheel_name_parse(f->filename, &name)) &&
           pip_version_parse(version, a, &f->version);
}

void pip_page_add(struct pip_page *page, struct pip_file *f, struct span project, struct arena *a)
{
    struct span version;
    const struct pip_file *last = page->files.n ? &page->files.v[page->files.n - 1] : NULL;
    if (!name_and_version(f, project, &version)) {
        page->dropped++;
        return;
    }
    /* Files of one release stand together: most versions have been parsed just before. */
    if (last && span_eq(version, last->version.text))
        f->version = last->version;
    else if (!pip_version_parse(version, a, &f->version)) {
        page->dropped++;
        return;
    }
    *VEC_PUSH(&page->files) = *f;
}

bool pip_page_api(struct span version, struct err *err)
{
    struct span major = span_slice(version, 0, span_find_char(version, '.'));
    if (span_eq(major, SPAN("1")))
        return true;
    return err_set(err, ERR_BAD_ARCHIVE,
                   "version %.*s of the index's API is not supported (only 1.x)",
                   (int)(version.len > 20 ? 20 : version.len), version.ptr);
}

struct span pip_sha256_value(struct span hex)
{
    return hex.len == 2 * DIGEST_BYTES ? hex : SPAN("");
}

bool pip_file_digest(const struct pip_file *f, struct digest *out)
{
    return f->sha256.len && digest_parse_hex(f->sha256, out);
}

bool pip_file_metadata_digest(const struct pip_file *f, struct digest *out)
{
    return f->metadata == PIP_METADATA_HASHED && digest_parse_hex(f->metadata_sha256, out);
}

int64_t pip_file_upload_ms(const struct pip_file *f)
{
    int64_t ms;
    return pip_time_parse(f->upload_time, &ms) ? ms : PIP_UPLOAD_UNKNOWN;
}

static bool digits_at(struct span s, size_t at, size_t n, int64_t *out)
{
    uint64_t v;
    if (at + n > s.len || !span_to_u64(span_slice(s, at, at + n), &v))
        return false;
    *out = (int64_t)v;
    return true;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, year = y - era * 400;
    int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

bool pip_time_parse(struct span s, int64_t *ms)
{
    int64_t year, month, day, hour, minute, second, scale = 100, fraction = 0, zone = 0;
    if (!digits_at(s, 0, 4, &year) || !digits_at(s, 5, 2, &month) || !digits_at(s, 8, 2, &day) ||
        !digits_at(s, 11, 2, &hour) || !digits_at(s, 14, 2, &minute) ||
        !digits_at(s, 17, 2, &second) || s.ptr[4] != '-' || s.ptr[7] != '-' ||
        (s.ptr[10] != 'T' && s.ptr[10] != ' ') || s.ptr[13] != ':' || s.ptr[16] != ':')
        return false;
    size_t at = 19;
    if (at < s.len && s.ptr[at] == '.')
        for (at++; at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9'; at++, scale /= 10)
            fraction += (s.ptr[at] - '0') * scale;
    struct span rest = span_skip(s, at);
    if (rest.len && (rest.ptr[0] == '+' || rest.ptr[0] == '-')) {
        int64_t h, m;
        if (rest.len != 6 || !digits_at(rest, 1, 2, &h) || !digits_at(rest, 4, 2, &m))
            return false;
        zone = (h * 60 + m) * (rest.ptr[0] == '-' ? -1 : 1);
    } else if (rest.len && !span_eq(rest, SPAN("Z"))) {
        return false;
    }
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    *ms = (((days_of(year, month, day) * 24 + hour) * 60 + minute - zone) * 60 + second) * 1000 +
          fraction;
    return true;
}

static bool looks_like_json(struct span body)
{
    body = span_trim(span_slice(body, 0, 4096));
    return body.len && body.ptr[0] == '{';
}

bool pip_page_parse(struct pip_page *page, struct span body, const char *content_type,
                    struct span project, struct arena *a, struct err *err)
{
    struct span type = span_str(content_type);
    bool json = span_find(type, SPAN("json")) < type.len;
    bool html = span_find(type, SPAN("html")) < type.len;
    *page = (struct pip_page){0};
    if (json == html)
        json = looks_like_json(body);
    bool ok = json ? pip_page_json(page, body, project, a, err)
                   : pip_page_html(page, body, project, a, err);
    if (!ok)
        pip_page_release(page);
    return ok;
}

void pip_page_release(struct pip_page *page)
{
    VEC_FREE(&page->files);
}
