/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/resolve.h"

#include <assert.h>

#include "resolvers/pip/resolve_priv.h"

static void kicked(uv_timer_t *timer);

void pip_kick(struct pip_resolve *r)
{
    if (!uv_is_closing((uv_handle_t *)&r->kick))
        uv_timer_start(&r->kick, kicked, 0, 0);
}

bool pip_failed(struct pip_resolve *r)
{
    return r->job->err.code != ERR_NONE;
}

bool pip_fail(struct pip_resolve *r, const struct err *err)
{
    if (!pip_failed(r))
        r->job->err = *err;
    return false;
}

static void resolve_free(struct pip_resolve *r)
{
    for (size_t i = 0; i < r->project_list.n; i++) {
        struct pip_project *p = r->project_list.v[i];
        for (size_t k = 0; k < p->source_count; k++)
            pip_page_release(&p->sources[k].page);
        for (size_t k = 0; k < p->release_count; k++)
            json_decref(p->releases[k].build);
        VEC_FREE(&p->guess_extras);
    }
    solver_discard(r->solver);
    map_release(&r->projects);
    map_release(&r->packages);
    map_release(&r->pythons);
    pip_tags_release(&r->tags);
    VEC_FREE(&r->numbers);
    VEC_FREE(&r->project_list);
    VEC_FREE(&r->fetches);
    VEC_FREE(&r->builds);
    arena_free(r->arena);
    free(r);
}

static void closed(uv_handle_t *handle)
{
    struct pip_resolve *r = handle->data;
    struct resolve_job *job = r->job;
    job->state = NULL;
    resolve_free(r);
    job->done(job);
}

static void cancel_pages(struct pip_project *p)
{
    for (size_t i = 0; i < p->source_count; i++)
        if (p->sources[i].state == PIP_FETCHING)
            registry_get_cancel(&p->sources[i].get);
}

/* No more requests; those under way come back cancelled. */
static void end(struct pip_resolve *r)
{
    if (!r->ending) {
        r->ending = true;
        for (size_t i = 0; i < r->project_list.n; i++)
            cancel_pages(r->project_list.v[i]);
        for (size_t i = 0; i < r->fetches.n; i++)
            pip_fetch_cancel(r->fetches.v[i]);
        pip_builds_cancel(r);
    }
    if (r->pending == 0 && !uv_is_closing((uv_handle_t *)&r->kick))
        uv_close((uv_handle_t *)&r->kick, closed);
}

/* The end says what cannot be, the beginning why: a story that is too long for an error loses
 * its middle. */
static void set_explanation(struct err *err, enum err_code code, struct span text)
{
    const size_t room = 880;
    if (text.len <= room) {
        err_set(err, code, "%.*s", SPAN_ARG(text));
        return;
    }
    struct span head = span_slice(text, 0, room / 2), tail = span_skip(text, text.len - room / 2);
    head = span_slice(head, 0, span_find_last_char(head, '\n'));
    tail = span_skip(tail, span_find_char(tail, '\n') < tail.len ? span_find_char(tail, '\n') : 0);
    err_set(err, code, "%.*s\n...%.*s", SPAN_ARG(head), SPAN_ARG(tail));
}

/* A lone missing project is worth its own code: no version will help. */
static void explain(struct pip_resolve *r)
{
    AUTO_BUF struct buf b = BUF(64u << 10);
    enum err_code code = ERR_UNRESOLVABLE;
    for (size_t i = 0; i < r->root_count; i++) {
        const struct pip_project *p = map_get(&r->projects, r->roots[i].name);
        if (p && p->state == PIP_MISSING)
            code = ERR_NO_PACKAGE;
    }
    solver_explain(r->solver, &b);
    set_explanation(&r->job->err, code, buf_span(&b));
    log_line(r->job->log, LOG_DEBUG, "pip: %s", buf_cstr(&b));
}

static void report(struct pip_resolve *r)
{
    size_t resolved = 0;
    if (!r->job->progress)
        return;
    for (size_t i = 0; i < r->project_list.n; i++) {
        const struct pip_release *guess = r->project_list.v[i]->guess;
        resolved += guess && guess->state == PIP_READY;
    }
    r->job->progress(r->job, r->project_list.n, resolved);
}

static void step(struct pip_resolve *r)
{
    enum solver_status status = solver_step(r->solver);
    report(r);
    if (pip_failed(r)) {
        end(r);
        return;
    }
    switch (status) {
    case SOLVER_DONE:
        if (pip_builds_open(r))
            break;
        r->job->lock = pip_lock(r, &r->job->err);
        end(r);
        break;
    case SOLVER_NEEDS: assert(r->pending > 0); break;
    case SOLVER_MORE: pip_kick(r); break;
    case SOLVER_FAILED:
        explain(r);
        end(r);
        break;
    case SOLVER_TOO_HARD:
        err_set(&r->job->err, ERR_UNRESOLVABLE,
                "no set of versions was found after %zu conflicts: narrow the specs down, for "
                "example by pinning some of them",
                solver_conflicts(r->solver));
        end(r);
        break;
    }
}

static void kicked(uv_timer_t *timer)
{
    struct pip_resolve *r = timer->data;
    if (r->ending || pip_failed(r))
        end(r);
    else
        step(r);
}

bool pip_parse(struct span spec, struct err *err)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_requirement q;
    struct pip_file f = {0};
    if (!pip_requirement_parse(spec, a, &q, err))
        return false;
    if (q.url.len == 0)
        return true;
    if (!span_starts(q.url, SPAN("https://")) && !span_starts(q.url, SPAN("http://")))
        return err_set(err, ERR_UNSUPPORTED,
                       "\"%.*s\": only http and https URLs of wheels are supported",
                       SPAN_ARG(spec));
    if (!q.has_digest)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\": add the file's hash to the URL (#sha256=...), so that it can be "
                       "locked",
                       SPAN_ARG(spec));
    f.filename = q.url_file;
    if (!pip_file_name(&f, q.name, a))
        return err_set(err, ERR_INVALID,
                       "\"%.*s\": the URL does not end in the file name of a wheel of %.*s",
                       SPAN_ARG(spec), SPAN_ARG(q.name));
    return true;
}

static bool take_direct(struct pip_resolve *r, const struct pip_requirement *q)
{
    struct pip_project *p = pip_project(r, q->name);
    if (p->direct_url.len &&
        (!span_eq(p->direct_url, q->url) || !digest_eq(&p->direct_digest, &q->digest)))
        return err_set(&r->job->err, ERR_UNRESOLVABLE, "you require %.*s from two URLs",
                       SPAN_ARG(q->name));
    p->direct_url = q->url;
    p->direct_digest = q->digest;
    return true;
}

static bool take_roots(struct pip_resolve *r)
{
    const struct resolve_job *job = r->job;
    r->roots = arena_array(r->arena, job->spec_count, sizeof(*r->roots));
    for (size_t i = 0; i < job->spec_count; i++) {
        struct span spec = span_str(arena_str(r->arena, span_str(job->specs[i])));
        struct pip_requirement *q = &r->roots[r->root_count];
        if (!pip_parse(spec, &r->job->err) ||
            !pip_requirement_parse(spec, r->arena, q, &r->job->err))
            return false;
        r->root_count++;
        if (!pip_holds(r, q, SPAN(""))) {
            pip_warn(r,
                     arena_printf(r->arena, "%s is left out: its marker is false here", spec.ptr));
            continue;
        }
        struct pip_project *p = pip_project(r, q->name);
        if (!p)
            return err_set(&r->job->err, ERR_TOO_LARGE, "more than %d projects", PIP_MAX_PROJECTS);
        p->requested = true;
        p->root_set = version_set_intersect(r->arena, p->root_set, q->specs.set);
        p->root_flags |= (q->specs.prerelease ? PIP_WANTS_PRERELEASE : 0) |
                         (q->specs.pinned ? PIP_IS_PINNED : 0);
        if (q->url.len && !take_direct(r, q))
            return false;
    }
    return true;
}

static void take_previous(struct pip_resolve *r)
{
    size_t i;
    json_t *entry;
    json_array_foreach (json_object_get(r->job->previous, "packages"), i, entry) {
        struct span name = json_get_span(entry, "name");
        struct pip_project *p = name.ptr ? pip_project(r, name) : NULL;
        if (p)
            p->previous = json_get_str(entry, "version");
    }
}

static bool take_platform(struct pip_resolve *r)
{
    const struct platform *platform = r->job->platform;
    struct err *err = &r->job->err;
    if (!pip_tags_init(&r->tags, platform, r->arena, err) ||
        !pip_environment_init(&r->environment, platform->markers, r->arena, err))
        return false;
    if (!r->environment.is_version[PIP_VAR_PYTHON_FULL_VERSION])
        return err_set(err, ERR_PLATFORM, "the Python version \"%.*s\" is not understood",
                       SPAN_ARG(r->environment.value[PIP_VAR_PYTHON_FULL_VERSION]));
    r->python = r->environment.version[PIP_VAR_PYTHON_FULL_VERSION];
    return true;
}

static void start(struct pip_resolve *r)
{
    if (!take_platform(r) || !take_roots(r))
        return;
    take_previous(r);
    size_t n = pip_edges(r, r->roots, r->root_count, SPAN(""), &r->root_edges);
    struct solver_provider provider = pip_provider(r);
    r->solver = solver_new(&provider, r->root_edges, n);
    for (size_t i = 0; i < r->root_count; i++)
        if (pip_holds(r, &r->roots[i], SPAN("")))
            pip_scout(r, &r->roots[i]);
}

void pip_resolve(struct resolve_job *job)
{
    struct pip_resolve *r = MEM_NEW(struct pip_resolve);
    r->job = job;
    r->arena = arena_new();
    job->state = r;
    job->lock = NULL;
    err_clear(&job->err);
    uv_timer_init(job->loop, &r->kick);
    r->kick.data = r;
    *VEC_PUSH(&r->numbers) = (struct pip_package){0}; /* the root */
    start(r);
    pip_kick(r);
}

void pip_cancel(struct resolve_job *job)
{
    struct pip_resolve *r = job->state;
    if (!r)
        return;
    if (!pip_failed(r) && !job->lock)
        err_set(&job->err, ERR_CANCELLED, "resolving the Python packages was cancelled");
    pip_kick(r);
}
