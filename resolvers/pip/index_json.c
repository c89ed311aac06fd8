/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jscan.h"
#include "resolvers/pip/index_priv.h"

static void scan_hashes(struct jscan *j, struct arena *a, struct span *sha256)
{
    struct span key, value;
    if (!jscan_object(j)) {
        jscan_skip(j, NULL);
        return;
    }
    while (jscan_key(j, a, &key)) {
        if (!span_eq(key, SPAN("sha256")))
            jscan_skip(j, NULL);
        else if (jscan_string(j, a, &value))
            *sha256 = pip_sha256_value(value);
    }
}

/* true, false, or an object of hashes. */
static void scan_metadata(struct jscan *j, struct arena *a, struct pip_file *f)
{
    bool offered = false;
    enum jscan_type type = jscan_peek(j);
    if (type == JSCAN_OBJECT) {
        scan_hashes(j, a, &f->metadata_sha256);
        f->metadata = f->metadata_sha256.len ? PIP_METADATA_HASHED : PIP_METADATA_YES;
    } else if (jscan_bool(j, &offered)) {
        f->metadata = offered ? PIP_METADATA_YES : PIP_METADATA_NONE;
    }
}

/* false, true, or the reason. */
static void scan_yanked(struct jscan *j, struct arena *a, struct pip_file *f)
{
    if (jscan_peek(j) == JSCAN_STRING)
        f->yanked = jscan_string(j, a, &f->yanked_reason);
    else if (!jscan_bool(j, &f->yanked))
        f->yanked = false;
}

static void scan_member(struct jscan *j, struct arena *a, struct span key, struct pip_file *f)
{
    int64_t n;
    if (span_eq(key, SPAN("filename")))
        jscan_string(j, a, &f->filename);
    else if (span_eq(key, SPAN("url")))
        jscan_string(j, a, &f->url);
    else if (span_eq(key, SPAN("hashes")))
        scan_hashes(j, a, &f->sha256);
    else if (span_eq(key, SPAN("requires-python")))
        jscan_string(j, a, &f->requires_python);
    else if (span_eq(key, SPAN("size"))) {
        if (jscan_int(j, &n) && n >= 0)
            f->size = n;
    } else if (span_eq(key, SPAN("upload-time")))
        jscan_string(j, a, &f->upload_time);
    else if (span_eq(key, SPAN("yanked")))
        scan_yanked(j, a, f);
    else if (span_eq(key, SPAN("core-metadata")) ||
             (span_eq(key, SPAN("dist-info-metadata")) && f->metadata == PIP_METADATA_NONE))
        scan_metadata(j, a, f);
    else
        jscan_skip(j, NULL);
}

static bool scan_file(struct jscan *j, struct arena *a, struct span project, struct pip_page *page)
{
    struct pip_file f = {.size = -1};
    struct span key;
    if (!jscan_object(j)) {
        page->dropped++;
        return jscan_skip(j, NULL);
    }
    while (jscan_key(j, a, &key))
        scan_member(j, a, key, &f);
    if (jscan_failed(j))
        return false;
    if (f.url.len)
        f.url = span_slice(f.url, 0, span_find_char(f.url, '#'));
    if (f.url.len == 0 || f.filename.len == 0)
        page->dropped++;
    else
        pip_page_add(page, &f, project, a);
    return true;
}

static bool scan_files(struct jscan *j, struct arena *a, struct span project, struct pip_page *page,
                       struct err *err)
{
    if (!jscan_array(j))
        return jscan_skip(j, NULL);
    while (jscan_item(j)) {
        if (page->files.n + page->dropped >= PIP_MAX_FILES)
            return err_set(err, ERR_TOO_LARGE, "the index page lists more than %d files",
                           PIP_MAX_FILES);
        if (!scan_file(j, a, project, page))
            return false;
    }
    return true;
}

static bool scan_meta(struct jscan *j, struct arena *a, struct err *err)
{
    struct span key, version;
    if (!jscan_object(j))
        return jscan_skip(j, NULL);
    while (jscan_key(j, a, &key)) {
        if (!span_eq(key, SPAN("api-version")))
            jscan_skip(j, NULL);
        else if (jscan_string(j, a, &version) && !pip_page_api(version, err))
            return false;
    }
    return true;
}

bool pip_page_json(struct pip_page *page, struct span body, struct span project, struct arena *a,
                   struct err *err)
{
    struct jscan j = jscan_of(body);
    struct span key;
    bool ok = jscan_object(&j);
    struct err why = {0};
    while (ok && jscan_key(&j, a, &key)) {
        if (span_eq(key, SPAN("files")))
            ok = scan_files(&j, a, project, page, &why);
        else if (span_eq(key, SPAN("meta")))
            ok = scan_meta(&j, a, &why);
        else
            jscan_skip(&j, NULL);
    }
    if (ok && jscan_done(&j))
        return true;
    if (why.code != ERR_NONE)
        return err_set(err, why.code, "%s", why.text);
    return err_set(err, ERR_BAD_ARCHIVE, "the index page is no valid JSON (at byte %zu of %zu)",
                   jscan_error_at(&j), body.len);
}
