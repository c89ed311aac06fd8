/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "resolvers/pip/entry_points.h"
#include "resolvers/pip/install_priv.h"
#include "resolvers/pip/record.h"

#define MAX_TEXT_BYTES   (64u << 20) /* of RECORD */
#define MAX_SCRIPT_BYTES (64u << 20) /* of a script whose first line is rewritten */

/* A wheel's plan while it is made. */
struct making {
    const struct pip_wheel *wheel;
    struct segment_plan *plan;
    struct arena *arena;
    struct pip_entry_points scripts;
    struct pip_record old; /* the wheel's own */
    struct map old_rows;   /* path -> row */
    struct pip_record record;
};

static struct span venv_path(const struct making *m, struct span below)
{
    return span_str(arena_printf(m->arena, PIP_VENV "/%.*s", SPAN_ARG(below)));
}

/* A file of our own making, and its row. */
static void add_made(struct making *m, struct span path, uint32_t mode, struct span content)
{
    segment_add_file(m->plan, venv_path(m, path), mode, content);
    pip_record_add(&m->record, pip_record_path(m->wheel, path, m->arena), content, m->arena);
}

static void add_made_info(struct making *m, const char *name, struct span content)
{
    add_made(m,
             span_str(arena_printf(m->arena, "%.*s/%.*s/%s", SPAN_ARG(m->wheel->site_packages),
                                   SPAN_ARG(m->wheel->dist_info), name)),
             0644, content);
}

/* The name of a file of the dist-info folder, else an empty span. */
static struct span info_name(const struct pip_wheel *w, const struct pip_wheel_file *f)
{
    struct span none = {"", 0}, rest = f->path;
    const struct span folders[] = {w->site_packages, w->dist_info};
    for (size_t i = 0; i < COUNT(folders); i++) {
        if (!span_starts(rest, folders[i]) || rest.len == folders[i].len ||
            rest.ptr[folders[i].len] != '/')
            return none;
        rest = span_skip(rest, folders[i].len + 1);
    }
    return rest;
}

/* Of the dist-info folder, what the installer writes itself. */
static bool is_ours(const struct pip_wheel *w, const struct pip_wheel_file *f)
{
    static const char *const names[] = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"};
    struct span name = info_name(w, f);
    for (size_t i = 0; i < COUNT(names); i++)
        if (span_eq_str(name, names[i]))
            return true;
    return false;
}

/* Signatures over the old RECORD: kept as files, without a hash, as the format asks. */
static bool is_signature(const struct pip_wheel *w, const struct pip_wheel_file *f)
{
    struct span name = info_name(w, f);
    return span_eq(name, SPAN("RECORD.jws")) || span_eq(name, SPAN("RECORD.p7s"));
}

static bool add_row(struct making *m, const struct pip_wheel_file *f, struct err *err)
{
    const struct pip_record_row *old = map_get(&m->old_rows, f->entry->name);
    struct span path = pip_record_path(m->wheel, f->path, m->arena), content;
    if (is_signature(m->wheel, f)) {
        *VEC_PUSH(&m->record.rows) = (struct pip_record_row){path, SPAN(""), SPAN("")};
        return true;
    }
    if (old && pip_record_row_tells(old, f->entry->size)) {
        *VEC_PUSH(&m->record.rows) = (struct pip_record_row){path, old->hash, old->size};
        return true;
    }
    AUTO_ARENA struct arena *scratch = arena_new();
    if (!zip_read(f->entry, scratch, &content, err))
        return false;
    pip_record_add(&m->record, path, content, m->arena);
    return true;
}

static bool add_copied(struct making *m, const struct pip_wheel_file *f, uint32_t mode,
                       struct err *err)
{
    const struct zip_entry *e = f->entry;
    struct span content = {"", 0};
    if (!e->deflated && !zip_read(e, m->arena, &content, err)) /* only checks the CRC */
        return false;
    struct segment_entry *s = segment_add_file(m->plan, venv_path(m, f->path), mode, content);
    if (e->deflated) {
        s->deflated = e->data;
        s->crc32 = e->crc32;
        s->size = e->size;
    }
    return add_row(m, f, err);
}

/* The wrapper of an entry point comes in place of a file of the same name. */
static bool is_wrapper(const struct making *m, const struct pip_wheel_file *f)
{
    static const char *const ends[] = {".exe", "-script.py", ".pya"};
    if (!span_starts(f->path, SPAN("bin/")))
        return false;
    struct span name = span_skip(f->path, strlen("bin/"));
    for (size_t i = 0; i < COUNT(ends) && f->place == PIP_SCRIPT; i++)
        if (span_ends(name, span_str(ends[i])) && name.len > strlen(ends[i])) {
            name.len -= strlen(ends[i]);
            break;
        }
    return pip_entry_point_find(&m->scripts, name);
}

/* A first line "#!python..." names no interpreter but asks for the environment's. */
static bool add_script(struct making *m, const struct pip_wheel_file *f, struct err *err)
{
    struct span head, content;
    if (!zip_peek(f->entry, strlen("#!python"), m->arena, &head, err))
        return false;
    if (!span_eq(head, SPAN("#!python")))
        return add_copied(m, f, 0755, err);
    if (f->entry->size > MAX_SCRIPT_BYTES)
        return err_set(err, ERR_TOO_LARGE, "%.*s: a script of more than %u bytes",
                       SPAN_ARG(f->entry->name), MAX_SCRIPT_BYTES);
    if (!zip_read(f->entry, m->arena, &content, err))
        return false;
    content = span_skip(content, span_find_char(content, '\n') + 1);
    const char *line = "#!" PIP_VENV_PYTHON "\n";
    char *text = arena_alloc(m->arena, strlen(line) + content.len + 1);
    memcpy(text, line, strlen(line));
    memcpy(text + strlen(line), content.ptr, content.len);
    add_made(m, f->path, 0755, span_of(text, strlen(line) + content.len));
    return true;
}

static bool add_file(struct making *m, const struct pip_wheel_file *f, struct err *err)
{
    if (is_ours(m->wheel, f) || is_wrapper(m, f))
        return true;
    if (f->place == PIP_SCRIPT)
        return add_script(m, f, err);
    bool executable = (f->entry->mode & 0100000) && (f->entry->mode & 0111);
    return add_copied(m, f, executable ? 0755 : 0644, err);
}

static bool read_record(struct making *m, struct err *err)
{
    const struct zip_entry *e = pip_wheel_info(m->wheel, "RECORD");
    struct span text;
    if (!e)
        return err_set(err, ERR_BAD_ARCHIVE, "no RECORD in %.*s", SPAN_ARG(m->wheel->dist_info));
    if (e->size > MAX_TEXT_BYTES)
        return err_set(err, ERR_TOO_LARGE, "RECORD of more than %u bytes", MAX_TEXT_BYTES);
    if (!zip_read(e, m->arena, &text, err) || !pip_record_parse(text, m->arena, &m->old, err))
        return false;
    for (size_t i = 0; i < m->old.rows.n; i++)
        map_put(&m->old_rows, m->old.rows.v[i].path, &m->old.rows.v[i]);
    return true;
}

/* pip's own wheel declares the scripts of the Python it was built with; installed, they are
 * named after the environment's. */
static void rename_versioned(struct making *m, const char *base, const char *const names[],
                             size_t count)
{
    const struct pip_entry_point *found = pip_entry_point_find(&m->scripts, span_str(base));
    size_t kept = 0;
    if (!found)
        return;
    struct pip_entry_point e = *found;
    for (size_t i = 0; i < m->scripts.list.n; i++) {
        struct span name = m->scripts.list.v[i].name, rest = span_skip(name, strlen(base));
        bool versioned = span_starts(name, span_str(base));
        if (versioned && rest.len && rest.ptr[0] == '-')
            rest = span_skip(rest, 1);
        for (size_t j = 0; j < rest.len; j++)
            versioned =
                versioned && (rest.ptr[j] == '.' || (rest.ptr[j] >= '0' && rest.ptr[j] <= '9'));
        if (!versioned)
            m->scripts.list.v[kept++] = m->scripts.list.v[i];
    }
    m->scripts.list.n = kept;
    for (size_t i = 0; i < count; i++) {
        e.name = span_str(names[i]);
        *VEC_PUSH(&m->scripts.list) = e;
    }
}

static bool read_scripts(struct making *m, const char *python, struct err *err)
{
    const struct zip_entry *e = pip_wheel_info(m->wheel, "entry_points.txt");
    struct span text;
    if (!e)
        return true;
    if (e->size > 4u << 20)
        return err_set(err, ERR_TOO_LARGE, "entry_points.txt of more than 4 MiB");
    if (!zip_read(e, m->arena, &text, err) || !pip_entry_points_parse(text, &m->scripts, err))
        return false;
    const char *pip[] = {"pip", "pip3", arena_printf(m->arena, "pip%s", python)};
    const char *easy[] = {"easy_install", arena_printf(m->arena, "easy_install-%s", python)};
    rename_versioned(m, "pip", pip, COUNT(pip));
    rename_versioned(m, "easy_install", easy, COUNT(easy));
    return true;
}

static bool add_wrappers(struct making *m, const char *python, struct err *err)
{
    for (size_t i = 0; i < m->scripts.list.n; i++) {
        const struct pip_entry_point *e = &m->scripts.list.v[i];
        if (span_eq(e->name, SPAN("python")) || span_eq(e->name, SPAN("python3")) ||
            (span_starts(e->name, SPAN("python")) &&
             span_eq_str(span_skip(e->name, strlen("python")), python)))
            return err_set(err, ERR_FILE_CLASH,
                           "its script %.*s would replace the environment's interpreter",
                           SPAN_ARG(e->name));
        add_made(m, span_str(arena_printf(m->arena, "bin/%.*s", SPAN_ARG(e->name))), 0755,
                 pip_entry_point_script(e, PIP_VENV_PYTHON, m->arena));
    }
    return true;
}

static bool add_origin(struct making *m, const json_t *package, struct err *err)
{
    const char *url = pip_direct_url(package, m->arena);
    AUTO_BUF struct buf text = BUF(64u << 10);
    if (!url)
        return true;
    AUTO_JSON json_t *json = json_object();
    json_t *archive = json_object(), *hashes = json_object();
    struct span algo, hex;
    json_put_str(json, "url", url);
    json_object_set_new(json, "archive_info", archive);
    json_object_set_new(archive, "hashes", hashes);
    if (span_cut_char(json_get_span(package, "digest"), ':', &algo, &hex))
        json_put_span(hashes, arena_str(m->arena, algo), hex);
    if (!json_canonical(json, &text, err))
        return err_wrap(err, "direct_url.json");
    add_made_info(m, "direct_url.json", arena_span(m->arena, buf_span(&text)));
    return true;
}

static bool make(struct making *m, const struct install_context *c, const json_t *package,
                 struct err *err)
{
    const struct pip_wheel *w = m->wheel;
    if (!read_record(m, err) || !read_scripts(m, c->platform->python, err))
        return false;
    for (size_t i = 0; i < w->file_count; i++)
        if (!add_file(m, &w->files[i], err))
            return false;
    if (!add_wrappers(m, c->platform->python, err) || !add_origin(m, package, err))
        return false;
    add_made_info(m, "INSTALLER", SPAN("strata\n"));
    if (json_get_bool(package, "requested", false))
        add_made_info(m, "REQUESTED", SPAN(""));
    struct span record = span_str(arena_printf(m->arena, "%.*s/%.*s/RECORD",
                                               SPAN_ARG(w->site_packages), SPAN_ARG(w->dist_info)));
    *VEC_PUSH(&m->record.rows) =
        (struct pip_record_row){pip_record_path(w, record, m->arena), SPAN(""), SPAN("")};
    segment_add_file(m->plan, venv_path(m, record), 0644, pip_record_print(&m->record, m->arena));
    return true;
}

bool pip_fill_wheel(const struct install_context *c, const json_t *package,
                    const struct pip_wheel *w, struct segment_plan *plan, struct err *err)
{
    struct making m = {.wheel = w, .plan = plan, .arena = plan->arena};
    bool ok = make(&m, c, package, err);
    pip_entry_points_release(&m.scripts);
    pip_record_release(&m.old);
    pip_record_release(&m.record);
    map_release(&m.old_rows);
    return ok;
}
