/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/links.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/url.h"
#include "cache/store.h"

#define MAX_FILE    (8ull << 30)
#define MAX_ENTRIES 100000

bool pip_link_is_page(struct span link)
{
    return span_starts(link, SPAN("http://")) || span_starts(link, SPAN("https://"));
}

/* "file:///a%20b", "file://localhost/a" and "/a b" -> "/a b" */
static const char *path_of(struct span link, struct arena *a)
{
    AUTO_BUF struct buf path = BUF(4096);
    if (!span_starts(link, SPAN("file:")))
        return arena_str(a, link);
    link = span_skip(link, strlen("file:"));
    if (span_starts(link, SPAN("//")))
        link = span_skip(link, 2 + span_find_char(span_skip(link, 2), '/'));
    url_percent_decode(link, &path);
    return arena_str(a, buf_span(&path));
}

static void add_file(const char *path, struct span name, struct span project, struct arena *a,
                     struct pip_page *page)
{
    struct stat st;
    struct pip_file f = {.filename = name};
    if (!pip_file_name(&f, project, a) || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    f.filename = arena_span(a, name);
    pip_file_name(&f, project, a);
    f.url = span_str(arena_printf(a, PIP_FILE_URL "%s", path));
    f.size = (int64_t)st.st_size;
    *VEC_PUSH(&page->files) = f;
}

static int by_filename(const void *x, const void *y)
{
    return span_cmp(((const struct pip_file *)x)->filename, ((const struct pip_file *)y)->filename);
}

void pip_links_list(struct span link, struct span project, struct arena *a, struct pip_page *page)
{
    const char *path = path_of(link, a);
    struct span whole = span_str(path), folder, name = whole;
    DIR *dir = opendir(path);
    if (!dir) {
        span_cut_last_char(whole, '/', &folder, &name);
        add_file(path, name, project, a, page);
        return;
    }
    while (span_ends(whole, SPAN("/")))
        whole.len--;
    int n = 0;
    for (struct dirent *e; n < MAX_ENTRIES && (e = readdir(dir)); n++)
        add_file(arena_printf(a, "%.*s/%s", SPAN_ARG(whole), e->d_name), span_str(e->d_name),
                 project, a, page);
    closedir(dir);
    if (page->files.n)
        qsort(page->files.v, page->files.n, sizeof(*page->files.v), by_filename);
}

const char *pip_links_find(const json_t *details, struct span filename, struct arena *a)
{
    size_t i;
    json_t *v;
    if (filename.len == 0 || span_has(filename, '/') || span_has(filename, '\0'))
        return NULL;
    json_array_foreach (json_object_get(details, "find_links"), i, v) {
        struct span link = span_of(json_string_value(v), json_string_length(v));
        if (!json_is_string(v) || pip_link_is_page(link))
            continue;
        struct span path = span_str(path_of(link, a)), folder, name = path;
        const char *below = arena_printf(a, "%.*s/%.*s", SPAN_ARG(path), SPAN_ARG(filename));
        span_cut_last_char(path, '/', &folder, &name);
        if (access(below, R_OK) == 0)
            return below;
        if (span_eq(name, filename) && access(path.ptr, R_OK) == 0)
            return path.ptr;
    }
    return NULL;
}

bool pip_links_store(struct store *store, const char *path, struct digest *out, struct err *err)
{
    char bytes[65536];
    struct stat st;
    ssize_t n = -1;
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "%s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_IO, "%s is no regular file", path);
    struct blob_writer *w = blob_writer_new(store, err);
    bool ok = w != NULL;
    while (ok && (n = read(fd, bytes, sizeof(bytes))) > 0)
        ok = (blob_writer_size(w) + (uint64_t)n <= MAX_FILE ||
              err_set(err, ERR_TOO_LARGE, "%s has more than %llu bytes", path, MAX_FILE)) &&
             blob_writer_add(w, span_of(bytes, (size_t)n), err);
    if (ok && n < 0)
        ok = err_sys(err, "%s", path);
    if (ok)
        return blob_writer_commit(w, NULL, out, err);
    blob_writer_free(w);
    return false;
}
