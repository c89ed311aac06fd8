/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/resolve.h"

#include "resolvers/apt/resolve_priv.h"
#include "resolvers/apt/spec.h"

#define STATUS_MAX_BYTES (256u << 20)

/* ---- the lock -------------------------------------------------------------------------------- */

/* Names of what is to be there and satisfies the version's dependencies, once each. */
static json_t *requires_json(struct apt_universe *u, const struct apt_version *v)
{
    json_t *out = json_array();
    AUTO_MAP struct map seen = {0};
    struct span fields[] = {v->pre_depends, v->depends}, group;
    struct apt_relation_term t;
    for (size_t i = 0; i < COUNT(fields); i++)
        while (control_group(&fields[i], &group))
            while (control_alternative(&group, &t)) {
                struct apt_name *n = apt_universe_name(u, t.name);
                if (n->chosen && apt_version_matches(n->chosen, &t)) {
                    if (map_put(&seen, n->name, NULL))
                        json_array_append_new(out, json_span(n->name));
                    break;
                }
            }
    return out;
}

static json_t *package_json(struct apt_universe *u, const struct apt_version *v, bool requested,
                            bool essential)
{
    json_t *p = json_object();
    AUTO_BUF struct buf digest = BUF(128);
    json_put_span(p, "name", v->name->name);
    json_put_span(p, "version", v->version);
    json_put_span(p, "arch", v->arch);
    buf_printf(&digest, "sha256:%.*s", SPAN_ARG(v->sha256));
    json_put_span(p, "digest", buf_span(&digest));
    json_put_int(p, "size", (int64_t)v->size);
    json_put_span(p, "origin", v->filename);
    if (v->list)
        json_put_span(p, "suite", v->list->codename);
    json_object_set_new(p, "requires", requires_json(u, v));
    if (requested)
        json_object_set_new(p, "requested", json_true());
    if (essential)
        json_object_set_new(p, "essential", json_true());
    if (v->name->installed)
        json_put_span(p, "replaces", v->name->installed->version);
    return p;
}

static int by_name(const void *a, const void *b)
{
    return span_cmp((*(struct apt_name *const *)a)->name, (*(struct apt_name *const *)b)->name);
}

static bool make_lock(struct apt_resolve *r, struct apt_universe *u, struct span status,
                      const struct map *roots, const struct map *essential)
{
    json_t *packages = json_array(), *removed = json_array(), *requested = json_array();
    VEC(struct apt_name *) names = {0};
    struct digest base = digest_of(status);
    bool ok = true;
    for (size_t i = 0; i < u->names.n; i++)
        *VEC_PUSH(&names) = u->names.v[i].value;
    if (names.n)
        qsort(names.v, names.n, sizeof(*names.v), by_name);
    for (size_t i = 0; i < names.n && ok; i++) {
        struct apt_name *n = names.v[i];
        if (n->installed && !n->chosen)
            json_array_append_new(removed, json_span(n->name));
        if (!n->chosen || n->chosen == n->installed)
            continue;
        if (n->chosen->sha256.len != 64 || n->chosen->filename.len == 0)
            ok = err_set(&r->err, ERR_BAD_ARCHIVE, "%.*s %.*s: its list tells no SHA256 or no file",
                         SPAN_ARG(n->name), SPAN_ARG(n->chosen->version));
        json_array_append_new(packages, package_json(u, n->chosen, map_has(roots, n->name),
                                                     map_has(essential, n->name)));
    }
    VEC_FREE(&names);
    for (size_t i = 0; i < r->job->spec_count; i++)
        json_array_append_new(requested, json_string(r->job->specs[i]));
    r->lock = json_object();
    json_object_set_new(r->lock, "requested", requested);
    json_object_set_new(r->lock, "packages", packages);
    json_object_set_new(r->lock, "removed", removed);
    json_put_digest(r->lock, "base", &base);
    if (r->job->bootstrap)
        json_put_str(r->lock, "bootstrap", r->job->bootstrap);
    return ok;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool parse_requests(struct apt_resolve *r, struct apt_request *requests)
{
    for (size_t i = 0; i < r->job->spec_count; i++) {
        struct apt_spec spec;
        if (!apt_spec_parse(span_str(r->job->specs[i]), &spec, &r->err))
            return false;
        if (spec.arch.len && !span_eq_str(spec.arch, r->arch) && !span_eq(spec.arch, SPAN("all")))
            return err_set(&r->err, ERR_UNSUPPORTED,
                           "%s: packages of another architecture than %s cannot be installed here",
                           r->job->specs[i], r->arch);
        requests[i] = (struct apt_request){spec.name, spec.version, spec.suite};
    }
    return true;
}

static struct apt_list *open_lists(struct apt_resolve *r, size_t *count)
{
    size_t n = 0;
    for (size_t i = 0; i < r->source_count; i++)
        n += r->sources[i].list_count;
    struct apt_list *lists = arena_array(r->arena, n + 1, sizeof(*lists));
    *count = 0;
    for (size_t i = 0; i < r->source_count; i++)
        for (size_t k = 0; k < r->sources[i].list_count; k++) {
            const struct apt_source_list *l = &r->sources[i].lists[k];
            struct apt_list *x = &lists[*count];
            if (l->plain_bytes == 0)
                continue;
            if (!apt_index_open(l->text_map.bytes, l->index_map.bytes, &x->index, &r->err))
                return NULL;
            x->pin = apt_release_pin(r->sources[i].release);
            x->suite = r->sources[i].release->suite;
            x->codename = r->sources[i].release->codename;
            x->source = i;
            ++*count;
        }
    return lists;
}

static bool read_status(const struct apt_resolve *r, struct buf *text, struct buf *index,
                        struct apt_index *out, struct err *err)
{
    AUTO_FREE char *path =
        mem_printf("%s/var/lib/dpkg/status", r->job->base_root ? r->job->base_root : "");
    if (!io_read_file(-1, path, text, err)) {
        if (err->code != ERR_NOT_FOUND)
            return err_wrap(err, "what is installed in the base");
        err_clear(err);
    }
    return apt_index_build(buf_span(text), index, err) &&
           apt_index_open(buf_span(text), buf_span(index), out, err);
}

/* What a root of its own begins with, as debootstrap's variant minbase has it: what is required,
 * apt, and, as /bin and its kin are made links into /usr, the package that says so. */
static bool is_first(struct span name, struct span stanza)
{
    return span_eq(name, SPAN("apt")) || span_eq(name, SPAN("usr-is-merged")) ||
           span_find(stanza, SPAN("\nPriority: required\n")) < stanza.len ||
           span_find(stanza, SPAN("\nEssential: yes\n")) < stanza.len;
}

static void find_first(const struct apt_list *lists, size_t count, struct map *out)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lists[i].index.name_count; k++) {
            const struct apt_index_row *row = &lists[i].index.names[k];
            struct span name =
                span_slice(lists[i].index.text, row->name_at, (size_t)row->name_at + row->name_len);
            if (is_first(name, apt_index_stanza(&lists[i].index, row)))
                map_put(out, name, NULL);
        }
}

/* The requests, and before them what the bootstrap wants. */
static struct apt_request *all_requests(struct apt_resolve *r, const struct apt_request *asked,
                                        const struct map *first, size_t *count)
{
    struct apt_request *all =
        arena_array(r->arena, first->n + r->job->spec_count + 1, sizeof(*all));
    *count = 0;
    for (size_t i = 0; i < first->n; i++)
        all[(*count)++] = (struct apt_request){.name = first->v[i].key};
    for (size_t i = 0; i < r->job->spec_count; i++)
        all[(*count)++] = asked[i];
    return all;
}

static void choose(struct apt_resolve *r)
{
    AUTO_BUF struct buf status = BUF(STATUS_MAX_BYTES), index = BUF(STATUS_MAX_BYTES);
    struct apt_index installed;
    size_t list_count;
    struct apt_request *requests = arena_array(r->arena, r->job->spec_count + 1, sizeof(*requests));
    struct apt_list *lists = open_lists(r, &list_count);
    for (size_t i = 0; lists && list_count == 0 && i < r->source_count; i++)
        if (r->sources[i].err.code) { /* no source at all: then that is what failed */
            r->err = r->sources[i].err;
            return;
        }
    if (!lists || !parse_requests(r, requests) ||
        !read_status(r, &status, &index, &installed, &r->err))
        return;
    struct apt_universe *u = apt_universe_new(lists, list_count, &installed, r->arch);
    AUTO_MAP struct map roots = {0};
    AUTO_MAP struct map first = {0};
    size_t count;
    if (r->job->bootstrap)
        find_first(lists, list_count, &first);
    const struct apt_request *all = all_requests(r, requests, &first, &count);
    for (size_t i = 0; i < r->job->spec_count; i++)
        map_put(&roots, requests[i].name, NULL);
    if (apt_choose(u, all, count, &r->err))
        make_lock(r, u, buf_span(&status), &roots, &first);
    apt_universe_free(u);
}

static void choose_work(struct pool_task *t)
{
    choose(container_of(t, struct apt_resolve, task));
}

static void choose_done(struct pool_task *t)
{
    struct apt_resolve *r = container_of(t, struct apt_resolve, task);
    r->open--;
    r->failed = r->failed || r->err.code != ERR_NONE;
    apt_settle(r);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
    struct apt_resolve *r = container_of((uv_timer_t *)h, struct apt_resolve, timer);
    struct resolve_job *job = r->job;
    job->err = r->err;
    job->lock = r->err.code ? NULL : json_incref(r->lock);
    json_decref(r->lock);
    job->state = NULL;
    arena_free(r->arena);
    free(r);
    job->done(job);
}

void apt_settle(struct apt_resolve *r)
{
    if (r->open > 0)
        return;
    if (!r->failed && !r->lock) {
        r->open++;
        r->task = (struct pool_task){.work = choose_work, .done = choose_done};
        pool_submit(r->job->pool, &r->task, INT32_MAX);
        return;
    }
    apt_sources_close(r);
    uv_close((uv_handle_t *)&r->timer, on_closed);
}

void apt_fail(struct apt_resolve *r, const struct err *err)
{
    if (r->failed)
        return;
    r->failed = true;
    r->err = *err;
    apt_sources_cancel(r);
}

static void on_start(uv_timer_t *timer)
{
    struct apt_resolve *r = container_of(timer, struct apt_resolve, timer);
    struct err err = {0};
    if (!r->failed && !r->arch) {
        err_set(&err, ERR_PLATFORM, "Debian has no packages for %s", r->job->platform->arch);
        apt_fail(r, &err);
    }
    r->open++;
    if (!r->failed && !apt_sources_open(r, &err))
        apt_fail(r, &err);
    if (!r->failed)
        apt_sources_start(r);
    r->open--;
    apt_settle(r);
}

void apt_resolve(struct resolve_job *job)
{
    struct apt_resolve *r = MEM_NEW(struct apt_resolve);
    r->job = job;
    r->arena = arena_new();
    r->arch = apt_arch_of(job->platform->arch);
    job->state = r;
    uv_timer_init(job->loop, &r->timer);
    uv_timer_start(&r->timer, on_start, 0, 0);
}

void apt_resolve_cancel(struct resolve_job *job)
{
    struct err err = {0};
    if (job->state) {
        err_set(&err, ERR_CANCELLED, "the resolution was cancelled");
        apt_fail(job->state, &err);
    }
}
