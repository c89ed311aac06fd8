/* SPDX-License-Identifier: Apache-2.0 */
/* The result: pip's part of a lock. */
#include "resolvers/pip/links.h"
#include "resolvers/pip/resolve_priv.h"

void pip_warn(struct pip_resolve *r, const char *text)
{
    if (!r->job->warnings)
        r->job->warnings = json_array();
    json_array_append_new(r->job->warnings, json_string(text));
}

/* Below the registry, or, where the files lie on a host of their own, the path there. What
 * the user wrote himself stays an URL. */
static void put_origin(json_t *entry, const struct pip_release *rel)
{
    const struct pip_project *p = rel->project;
    struct url_parts parts;
    AUTO_FREE char *url = pip_file_url(p, rel->file);
    if (p->direct_url.len) {
        json_put_span(entry, "origin", p->direct_url);
        return;
    }
    if (url && span_starts(span_str(url), SPAN(PIP_FILE_URL))) { /* a file of this machine */
        json_put_span(entry, "origin", rel->file->filename);
        return;
    }
    struct span path = registry_path_of(p->resolve->job->registry, span_str(url));
    if (path.len == 0 && url && url_split(span_str(url), &parts))
        path = span_skip(parts.path, 1);
    json_put_span(entry, "origin", span_slice(path, 0, span_find_char(path, '?')));
}

json_t *pip_lock_entry(const struct pip_release *rel, bool requested)
{
    json_t *e = json_object();
    struct digest digest;
    json_put_span(e, "name", rel->project->name);
    json_put_span(e, "version", rel->version.text);
    json_put_span(e, "filename", rel->file->filename);
    if (pip_file_digest(rel->file, &digest))
        json_put_digest(e, "digest", &digest);
    if (rel->file->size > 0)
        json_put_int(e, "size", rel->file->size);
    put_origin(e, rel);
    json_object_set_new(e, "requested", json_boolean(requested));
    if (rel->file->yanked)
        json_object_set_new(e, "yanked", json_true());
    if (rel->build)
        json_object_set(e, "build", rel->build);
    return e;
}

struct pip_release *pip_selected(struct pip_resolve *r, uint32_t number)
{
    struct span key;
    if (!solver_selected(r->solver, number, &key))
        return NULL;
    return pip_release_at(r->numbers.v[number].project, key);
}

/* Names, sorted, each once, of what the selected package and its selected extras need. */
static json_t *requires_of(struct pip_resolve *r, uint32_t number, const struct pip_release *rel)
{
    AUTO_MAP struct map names = {0};
    for (uint32_t i = 1; i < r->numbers.n; i++) {
        const struct pip_package *q = &r->numbers.v[i];
        if (q->base != number || !pip_selected(r, i))
            continue;
        for (size_t k = 0; k < rel->metadata.require_count; k++) {
            const struct pip_requirement *req = &rel->metadata.requires[k];
            if (pip_holds(r, req, q->extra) && !span_eq(req->name, rel->project->name))
                map_put(&names, req->name, r);
        }
    }
    struct span *sorted = mem_array(names.n + 1, sizeof(*sorted));
    for (size_t i = 0; i < names.n; i++)
        sorted[i] = names.v[i].key;
    qsort(sorted, names.n, sizeof(*sorted), span_cmp_ptr);
    json_t *list = json_array();
    for (size_t i = 0; i < names.n; i++)
        json_array_append_new(list, json_span(sorted[i]));
    free(sorted);
    return list;
}

static void warn_of(struct pip_resolve *r, const struct pip_package *q,
                    const struct pip_release *rel)
{
    struct arena *a = r->arena;
    if (q->extra.len == 0 && rel->file->yanked) {
        pip_warn(r, pip_release_why(rel, a));
        return;
    }
    for (size_t i = 0; q->extra.len && i < rel->metadata.extra_count; i++)
        if (span_eq(rel->metadata.extras[i], q->extra))
            return;
    if (q->extra.len)
        pip_warn(r, arena_printf(a, "%.*s %s has no extra \"%.*s\"", SPAN_ARG(q->project->name),
                                 rel->version.text.ptr, SPAN_ARG(q->extra)));
}

struct chosen {
    struct span name;
    uint32_t number;
    struct pip_release *rel;
};

static bool add_package(struct pip_resolve *r, json_t *packages, const struct chosen *c,
                        struct err *err)
{
    const struct pip_file *f = c->rel->file;
    struct digest digest;
    if (!pip_file_digest(f, &digest))
        return err_set(err, ERR_REGISTRY, "%.*s %s: the index promises no SHA-256 for %.*s",
                       SPAN_ARG(c->name), c->rel->version.text.ptr, SPAN_ARG(f->filename));
    json_t *e = pip_lock_entry(c->rel, c->rel->project->requested);
    json_object_set_new(e, "requires", requires_of(r, c->number, c->rel));
    json_array_append_new(packages, e);
    return true;
}

/* What was asked for in canonical form, sorted, each once: equal wishes, equal locks. */
static json_t *requested(struct pip_resolve *r)
{
    struct span *texts = mem_array(r->root_count + 1, sizeof(*texts));
    json_t *list = json_array();
    for (size_t i = 0; i < r->root_count; i++) {
        AUTO_BUF struct buf b = BUF(64u << 10);
        pip_requirement_text(&r->roots[i], &b);
        texts[i] = arena_span(r->arena, buf_span(&b));
    }
    qsort(texts, r->root_count, sizeof(*texts), span_cmp_ptr);
    for (size_t i = 0; i < r->root_count; i++)
        if (i == 0 || !span_eq(texts[i], texts[i - 1]))
            json_array_append_new(list, json_span(texts[i]));
    free(texts);
    return list;
}

json_t *pip_lock(struct pip_resolve *r, struct err *err)
{
    VEC(struct chosen) list = {0};
    json_t *packages = json_array();
    bool ok = true;
    for (uint32_t i = 1; i < r->numbers.n; i++) {
        const struct pip_package *q = &r->numbers.v[i];
        struct pip_release *rel = pip_selected(r, i);
        if (!rel)
            continue;
        warn_of(r, q, rel);
        if (q->base == i)
            *VEC_PUSH(&list) = (struct chosen){q->project->name, i, rel};
    }
    if (list.n)
        qsort(list.v, list.n, sizeof(list.v[0]), span_cmp_ptr);
    for (size_t i = 0; ok && i < list.n; i++)
        ok = add_package(r, packages, &list.v[i], err);
    VEC_FREE(&list);
    if (!ok) {
        json_decref(packages);
        return NULL;
    }
    json_t *lock = json_object();
    json_object_set_new(lock, "requested", requested(r));
    json_object_set_new(lock, "packages", packages);
    return lock;
}
