/* SPDX-License-Identifier: Apache-2.0 */
/* One resolution:
 *
 *   NAMES    tags become versions, URLs become names
 *   TREE     what the tree asks for comes from the registry; what it will ask for next is
 *            guessed from the dependencies of what came, so that it is there already
 *   INSIDE   tarballs that bring packages or a shrinkwrap are looked into
 *   DETAILS  what abbreviated metadata leave out is asked for
 *   END      the lock is written, done() called */
#include "resolvers/npm/resolve.h"

#include "resolvers/npm/locked.h"
#include "resolvers/npm/shrinkwrap.h"

/* How far the dependencies of a want are asked for ahead of the tree. */
enum crawl {
    CRAWL_NOT,
    CRAWL_PEERS, /* it may only serve as a peer in a group */
    CRAWL_ALL,
    CRAWL_TOP, /* all, but for optional peers, which a top has no group for */
};

enum phase { PHASE_NAMES, PHASE_TREE, PHASE_INSIDE, PHASE_DETAILS, PHASE_END };

struct root {
    struct npm_spec spec;
    struct npm_want first; /* of a tag or a nameless URL: what it means */
    bool looked_up;        /* by `first` */
    struct npm_want *want;
};

struct resolution {
    struct resolve_job *job;
    struct arena *arena;
    struct npm_target target;
    struct npm_tree *tree;
    struct npm_source *source;
    struct root *roots;
    VEC(struct npm_want *) ahead; /* to be crawled */
    struct npm_set nodes;
    struct map announced; /* origins */
    enum phase phase;
    bool cancelled, ended;
    size_t known, resolved;
    uv_timer_t timer; /* steps that must not happen inside the call that caused them */
};

static void step(struct resolution *r);

/* ---- Announcing. ---- */

static void choose(struct resolution *r, const json_t *package)
{
    struct span origin = json_get_span(package, "origin");
    if (!origin.ptr || map_has(&r->announced, origin))
        return;
    origin = arena_span(r->arena, origin);
    map_put(&r->announced, origin, r);
    r->job->choose(r->job, package, origin.ptr);
}

static void announce(struct resolution *r, struct npm_want *want, bool top)
{
    if (want->certain || want->manifest->hash.algo == HASH_NONE)
        return;
    want->certain = true;
    if (!r->job->choose)
        return;
    AUTO_JSON json_t *entry = npm_locked_early(r->source, want, top);
    choose(r, entry);
}

static void progress(struct resolution *r)
{
    if (r->job->progress)
        r->job->progress(r->job, r->known, r->resolved);
}

/* ---- Asking ahead. ---- */

static void crawl(struct resolution *r, struct npm_want *want, enum crawl level);

static bool bundles(const struct npm_manifest *m, struct span name)
{
    for (size_t i = 0; i < m->bundled.n; i++)
        if (span_eq(m->bundled.v[i], name))
            return true;
    return false;
}

/* A want of the same name whose version will do as well, most likely shared in the tree. */
static struct npm_want *known_instead(const struct npm_want *want)
{
    for (size_t i = 0; i < want->name->known.n; i++) {
        struct npm_want *k = want->name->known.v[i];
        struct npm_edge edge = {.name = want->name, .want = (struct npm_want *)(uintptr_t)want};
        struct npm_node node = {.name = want->name, .package = k->manifest};
        if (k != want && npm_edge_satisfied_by(&edge, &node))
            return k;
    }
    return NULL;
}

static void crawl_deps(struct resolution *r, struct npm_want *want)
{
    const struct npm_manifest *m = want->manifest;
    struct npm_graph *g = npm_tree_graph(r->tree);
    for (size_t i = 0; i < m->dep_count; i++) {
        const struct npm_dep *d = &m->deps[i];
        bool peer = d->type == NPM_DEP_PEER || d->type == NPM_DEP_PEER_OPTIONAL;
        if (bundles(m, d->name) || (want->crawled == CRAWL_PEERS && !peer) ||
            (want->crawled == CRAWL_TOP && d->type == NPM_DEP_PEER_OPTIONAL))
            continue;
        struct npm_want *dep = npm_want_of(g, d->name, d->spec);
        if (dep->malformed)
            continue;
        enum crawl level = want->crawled == CRAWL_PEERS || d->type == NPM_DEP_PEER_OPTIONAL
                               ? CRAWL_PEERS
                               : CRAWL_ALL;
        /* Nothing but this version can ever satisfy it, so it will be there. */
        bool pinned =
            want->certain && d->type == NPM_DEP_PROD && dep->spec.kind == NPM_SPEC_VERSION;
        struct npm_want *instead = pinned ? NULL : known_instead(dep);
        crawl(r, instead ? instead : dep, level);
        if (pinned && dep->state == NPM_WANT_READY && !dep->certain) {
            announce(r, dep, false);
            dep->crawled = CRAWL_NOT; /* its own pins are certain now */
            crawl(r, dep, CRAWL_ALL);
        }
        dep->pinned |= pinned;
    }
}

static void crawl(struct resolution *r, struct npm_want *want, enum crawl level)
{
    if (want->malformed || want->crawled >= level)
        return;
    if (want->crawled == CRAWL_NOT)
        r->known++;
    want->crawled = level;
    if (npm_source_ask(r->source, want))
        *VEC_PUSH(&r->ahead) = want;
}

static void crawl_run(struct resolution *r)
{
    while (r->ahead.n) {
        struct npm_want *want = r->ahead.v[--r->ahead.n];
        if (want->state != NPM_WANT_READY)
            continue;
        bool listed = false;
        for (size_t i = 0; i < want->name->known.n; i++)
            listed |= want->name->known.v[i] == want;
        if (!listed) {
            r->resolved++;
            *VEC_PUSH(&want->name->known) = want;
        }
        crawl_deps(r, want);
    }
}

static void on_settled(void *ctx, struct npm_want *want)
{
    struct resolution *r = ctx;
    if (r->phase == PHASE_NAMES)
        for (size_t i = 0; i < r->job->spec_count; i++)
            if (want == &r->roots[i].first)
                return; /* on_idle goes on when all are there */
    if (want->pinned && want->state == NPM_WANT_READY)
        announce(r, want, want->top);
    if (want->crawled) {
        *VEC_PUSH(&r->ahead) = want;
        crawl_run(r);
    }
    progress(r);
}

/* The tree needs it now. */
static bool on_want(struct npm_want *want, void *ctx)
{
    struct resolution *r = ctx;
    bool settled = npm_source_ask(r->source, want);
    if (want->crawled < CRAWL_ALL) {
        crawl(r, want, CRAWL_ALL);
        crawl_run(r);
    }
    return settled;
}

/* ---- Ending. ---- */

static void on_closed(uv_handle_t *handle)
{
    struct resolution *r = handle->data;
    struct resolve_job *job = r->job;
    npm_tree_free(r->tree);
    npm_source_free(r->source);
    VEC_FREE(&r->ahead);
    VEC_FREE(&r->nodes);
    map_release(&r->announced);
    arena_free(r->arena);
    free(r);
    job->state = NULL;
    job->done(job);
}

static void end(struct resolution *r)
{
    r->ended = true;
    uv_close((uv_handle_t *)&r->timer, on_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct resolution *r = timer->data;
    if (!r->ended)
        step(r);
}

static void on_idle(void *ctx)
{
    struct resolution *r = ctx;
    uv_timer_start(&r->timer, on_timer, 0, 0);
}

/* ---- Roots. ---- */

static bool parse_roots(struct resolution *r)
{
    struct resolve_job *job = r->job;
    r->roots = arena_array(r->arena, job->spec_count, sizeof(*r->roots));
    for (size_t i = 0; i < job->spec_count; i++) {
        struct root *root = &r->roots[i];
        struct npm_spec *spec = &root->spec;
        if (!npm_spec_parse(r->arena, span_str(job->specs[i]), spec, &job->err) ||
            !npm_spec_supported(spec, &job->err))
            return false;
        root->looked_up = (spec->kind == NPM_SPEC_TAG && !spec->alias) || !spec->name.len;
        if (!root->looked_up)
            continue;
        root->first.spec = *spec;
        npm_source_ask(r->source, &root->first);
    }
    return true;
}

/* What the root's entry for it says: `npm install NAME@TAG` writes down the version. */
static struct span root_value(struct resolution *r, const struct root *root)
{
    if (root->spec.alias)
        return span_str(arena_printf(r->arena, "npm:%.*s@%.*s", SPAN_ARG(root->spec.package),
                                     SPAN_ARG(root->spec.text)));
    if (root->looked_up && root->spec.kind == NPM_SPEC_TAG)
        return root->first.manifest->version_text;
    return root->spec.text;
}

static bool root_known(struct resolution *r, struct root *root)
{
    if (!root->looked_up)
        return true;
    if (root->first.state == NPM_WANT_READY) {
        if (!root->spec.name.len)
            root->spec.name = root->spec.package = root->first.manifest->name;
        return true;
    }
    if (root->first.state == NPM_WANT_FAILED)
        r->job->err = *root->first.err;
    if (root->spec.name.len)
        err_wrap(&r->job->err, "%.*s@%.*s", SPAN_ARG(root->spec.package),
                 SPAN_ARG(root->spec.text));
    return false;
}

/* A name given twice: the later one counts, unless it asks for nothing in particular. */
static void add_roots(struct resolution *r)
{
    AUTO_MAP struct map by_name = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < r->job->spec_count; i++) {
            struct root *root = &r->roots[i];
            struct root *twin = map_get(&by_name, root->spec.name);
            if (root->looked_up != (pass == 1) || (twin && span_eq(root->spec.text, SPAN("*"))))
                continue;
            map_put(&by_name, root->spec.name, root);
        }
    }
    for (size_t i = 0; i < by_name.n; i++) {
        struct root *root = by_name.v[i].value;
        root->want = npm_tree_add(r->tree, root->spec.name, root_value(r, root));
        if (root->looked_up && root->want->state == NPM_WANT_UNKNOWN && !root->want->malformed) {
            root->want->state = NPM_WANT_READY;
            root->want->manifest = root->first.manifest;
        }
        root->want->pinned = true; /* it will be a top, whatever else happens */
        root->want->top = true;
        crawl(r, root->want, CRAWL_TOP);
        if (root->want->state == NPM_WANT_READY)
            announce(r, root->want, true);
    }
    crawl_run(r);
}

static bool names_done(struct resolution *r)
{
    for (size_t i = 0; i < r->job->spec_count; i++)
        if (!root_known(r, &r->roots[i]))
            return false;
    add_roots(r);
    r->phase = PHASE_TREE;
    return true;
}

/* ---- The tree. ---- */

static bool tree_step(struct resolution *r)
{
    switch (npm_tree_build(r->tree, &r->job->err)) {
    case NPM_TREE_WAITING: return true;
    case NPM_TREE_FAILED: return false;
    case NPM_TREE_DONE: break;
    }
    if (!npm_tree_finish(r->tree, &r->job->err))
        return false;
    r->phase = PHASE_INSIDE;
    return true;
}

/* ---- Inside. ---- */

static void on_inside(void *ctx, void *about, const struct npm_inside *in, const struct err *why)
{
    struct resolution *r = ctx;
    struct npm_node *n = about;
    struct err err = *why;
    n->inside = in;
    if (in && n->package->shrinkwrap && in->shrinkwrap.len)
        npm_shrinkwrap_load(npm_tree_graph(r->tree), n, in->shrinkwrap, &err);
    if (err.code && !r->job->err.code) {
        r->job->err = err;
        err_wrap(&r->job->err, "%.*s@%.*s", SPAN_ARG(n->package->name),
                 SPAN_ARG(n->package->version_text));
    }
}

static bool inside_step(struct resolution *r)
{
    bool waiting = false;
    npm_tree_list(r->tree, &r->nodes);
    for (size_t i = 0; i < r->nodes.n; i++) {
        struct npm_node *n = r->nodes.v[i];
        const struct npm_manifest *m = n->package;
        if (n->inside || n->link_target || n->bundled || !(m->bundled.n || m->shrinkwrap))
            continue;
        waiting = true;
        npm_source_look_inside(r->source, m, on_inside, n);
    }
    if (!waiting)
        r->phase = PHASE_DETAILS;
    return true;
}

/* ---- Details. ---- */

static void on_detail(void *ctx, void *about, const struct npm_manifest *m)
{
    struct npm_node *n = about;
    (void)ctx;
    if (m && semver_cmp(&m->version, &n->package->version) == 0)
        n->detail = m;
}

static bool lacks(const struct npm_node *n)
{
    const struct npm_manifest *m = n->package;
    return !n->link_target && !n->bundled &&
           (m->hash.algo == HASH_NONE || (m->install_script && !m->scripts.n));
}

static bool details_step(struct resolution *r)
{
    for (size_t i = 0; i < r->nodes.n; i++)
        if (lacks(r->nodes.v[i]))
            npm_source_detail(r->source, r->nodes.v[i]->package, on_detail, r->nodes.v[i]);
    r->phase = PHASE_END;
    return true;
}

/* ---- The result. ---- */

static bool script_allowed(const struct resolve_job *job, const json_t *package)
{
    const char *name = json_get_str(package, "name");
    for (size_t i = 0; name && job->policy && i < job->policy->allow_script_count; i++)
        if (strcmp(job->policy->allow_scripts[i], name) == 0)
            return true;
    return false;
}

static void warn_scripts(struct resolution *r, const json_t *packages, json_t *warnings)
{
    size_t i;
    json_t *p;
    json_array_foreach (packages, i, p) {
        const json_t *scripts = json_object_get(p, "scripts");
        AUTO_BUF struct buf text = BUF(2000);
        if (!json_array_size(scripts))
            continue;
        buf_printf(&text, "%s@%s has install scripts (", json_get_str(p, "name"),
                   json_get_str(p, "version"));
        for (size_t k = 0; k < json_array_size(scripts); k++)
            buf_printf(&text, "%s%s", k ? ", " : "", json_string_value(json_array_get(scripts, k)));
        buf_printf(&text, "), which are not run%s",
                   script_allowed(r->job, p) ? " by this version, though they are allowed" : "");
        json_array_append_new(warnings, json_span(buf_span(&text)));
    }
}

static void warn_deprecated(struct resolution *r, json_t *warnings)
{
    for (size_t i = 0; i < r->job->spec_count; i++) {
        const struct npm_want *want = r->roots[i].want;
        const struct npm_manifest *m = want ? want->manifest : NULL;
        if (!m || !m->deprecated.len)
            continue;
        AUTO_BUF struct buf text = BUF(2000);
        buf_printf(&text, "%.*s@%.*s is deprecated: %.*s", SPAN_ARG(m->name),
                   SPAN_ARG(m->version_text), SPAN_ARG(span_slice(m->deprecated, 0, 1000)));
        json_array_append_new(warnings, json_span(buf_span(&text)));
    }
}

static void choose_rest(struct resolution *r, const json_t *packages)
{
    for (size_t i = 0; r->job->choose && i < json_array_size(packages); i++)
        choose(r, json_array_get(packages, i));
}

static bool write_lock(struct resolution *r)
{
    struct resolve_job *job = r->job;
    json_t *packages, *requested = json_array(), *warnings = json_array();
    npm_tree_list(r->tree, &r->nodes);
    packages = npm_locked_packages(r->tree, r->source, &r->nodes, &job->err);
    if (!packages) {
        json_decref(requested);
        json_decref(warnings);
        return false;
    }
    for (size_t i = 0; i < job->spec_count; i++)
        json_array_append_new(requested, json_string(job->specs[i]));
    for (size_t i = 0; i < npm_tree_warnings(r->tree)->n; i++)
        json_array_append_new(warnings, json_string(npm_tree_warnings(r->tree)->v[i]));
    warn_deprecated(r, warnings);
    warn_scripts(r, packages, warnings);
    choose_rest(r, packages);
    job->warnings = warnings;
    job->lock = json_object();
    json_object_set_new(job->lock, "packages", packages);
    json_object_set_new(job->lock, "requested", requested);
    r->known = r->resolved = json_array_size(packages);
    progress(r);
    return true;
}

/* ---- Steps. ---- */

static bool failed(struct resolution *r)
{
    const struct err *fatal = npm_source_error(r->source);
    if (r->cancelled)
        err_set(&r->job->err, ERR_CANCELLED, "resolving was cancelled");
    else if (fatal && !r->job->err.code)
        r->job->err = *fatal;
    return r->job->err.code;
}

/* Runs whenever nothing is under way. */
static void step(struct resolution *r)
{
    bool ok = !failed(r);
    while (ok && !npm_source_pending(r->source)) {
        switch (r->phase) {
        case PHASE_NAMES: ok = names_done(r); break;
        case PHASE_TREE: ok = tree_step(r); break;
        case PHASE_INSIDE: ok = inside_step(r); break;
        case PHASE_DETAILS: ok = details_step(r); break;
        case PHASE_END:
            write_lock(r);
            end(r);
            return;
        }
        ok = ok && !r->job->err.code;
    }
    if (!ok && !npm_source_pending(r->source))
        end(r);
    else if (!ok)
        npm_source_cancel(r->source); /* on_idle comes when all has ended */
}

void npm_resolve(struct resolve_job *job)
{
    struct resolution *r = MEM_NEW(struct resolution);
    job->state = r;
    r->job = job;
    r->arena = arena_new();
    npm_target_init(&r->target, job->platform, job->policy ? job->policy->exclude_newer_ms : 0,
                    r->arena);
    struct npm_source_options o = {.registry = job->registry,
                                   .pool = job->pool,
                                   .target = &r->target,
                                   .previous = json_object_get(job->previous, "packages"),
                                   .settled = on_settled,
                                   .idle = on_idle,
                                   .ctx = r};
    r->source = npm_source_new(&o);
    r->tree = npm_tree_new(&r->target, on_want, r);
    uv_timer_init(job->loop, &r->timer);
    r->timer.data = r;
    if (!parse_roots(r))
        npm_source_cancel(r->source);
    if (!npm_source_pending(r->source))
        on_idle(r);
}

void npm_cancel(struct resolve_job *job)
{
    struct resolution *r = job->state;
    if (!r || r->ended)
        return;
    r->cancelled = true;
    npm_source_cancel(r->source);
    if (!npm_source_pending(r->source))
        on_idle(r);
}

/* ---- Locating. ---- */

static void located(uv_handle_t *handle)
{
    struct locate_job *job = handle->data;
    free(handle);
    job->done(job);
}

static void locate_now(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, located);
}

void npm_locate(struct locate_job *job)
{
    const char *origin = json_get_str(job->package, "origin");
    uv_timer_t *timer = MEM_NEW(uv_timer_t);
    if (origin && *origin)
        job->url = mem_dup_str(origin);
    else
        err_set(&job->err, ERR_LOCK_INVALID, "the package has no origin");
    uv_timer_init(job->loop, timer);
    timer->data = job;
    uv_timer_start(timer, locate_now, 0, 0);
}
