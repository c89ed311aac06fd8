/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/build_sdist.h"

#include <fcntl.h>

#include "resolvers/pip/tags.h"
#include "resolvers/pip/wheel_normal.h"
#include "worker/pip_build/hook.h"

#define FORMAT         1 /* of what is remembered: raised when the same input gives other bytes */
#define MAX_HOOKS      4
#define MAX_WHEEL      (2u << 30)
#define MAX_PROBE_TEXT (9u << 20)

enum sdist_state {
    SDIST_READING, /* on the pool */
    SDIST_TOOLS,   /* waits for them */
    SDIST_QUEUED,  /* for a hook */
    SDIST_RUNNING,
    SDIST_PACKING, /* on the pool */
    SDIST_OVER,
};

/* One of ask and source is set. */
struct build_sdist {
    struct build *build;
    struct resolve_build *ask;
    struct build_source *source;
    const char *name, *version, *filename;
    struct digest blob;
    struct arena *arena;
    enum sdist_state state;
    bool cancelled;
    struct io_map map;
    struct pip_sdist sdist;
    struct pip_build_system recipe;
    bool asked; /* the back end has said what else it needs */
    struct build_tools *tools, *apt;
    struct pip_hook_job hook;
    bool hooked;
    struct digest key;
    struct pool_task task;
    struct digest wheel;
    uint64_t wheel_size;
    struct err err;
};

static void step(struct build_sdist *s);
static void pump(struct build *b);

/* ---- what builds see ------------------------------------------------------------------------- */

static bool is_own_base(const struct build_request *r)
{
    return !r->base || strcmp(r->base, "host") == 0;
}

bool build_sdist_base(const struct build_request *r, struct digest *out)
{
    static const char *const files[] = {"/var/lib/dpkg/status", "/etc/os-release"};
    for (size_t i = 0; i < COUNT(files) && is_own_base(r); i++) {
        struct err ignored;
        AUTO_FD int fd = open(files[i], O_RDONLY | O_CLOEXEC);
        AUTO_MAPPED struct io_map map = {0};
        if (fd >= 0 && io_map_fd(fd, &map, &ignored)) {
            *out = digest_of(map.bytes);
            return true;
        }
    }
    *out = (struct digest){0};
    return false;
}

static struct build_manager *apt_of(struct build *b)
{
    for (size_t i = 0; i < b->manager_count; i++)
        if (b->managers[i].ops->whole)
            return &b->managers[i];
    return NULL;
}

const char *build_sdist_inputs(struct build *b)
{
    struct build_manager *apt = apt_of(b);
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    if (b->build_inputs)
        return b->build_inputs;
    AUTO_JSON json_t *inputs = json_object(), *lock = lock_new(b->request->platform);
    if (build_sdist_base(b->request, &digest))
        json_put_digest(inputs, "base", &digest);
    json_put_str(inputs, "suite", b->suite);
    if (apt)
        lock_put(lock, "apt", json_incref(apt->part));
    json_object_set_new(inputs, "below", lock_essence(lock));
    json_canonical_digest(inputs, &digest, NULL);
    b->build_inputs = arena_str(b->arena, span_str(digest_text(&digest, text)));
    return b->build_inputs;
}

/* ERR_NEEDS_BUILD: this machine is not the one to build for. */
static bool can_build(const struct build *b, struct err *err)
{
    const struct platform *want = b->request->platform, *have = engine_host_platform(b->engine);
    bool own = is_own_base(b->request); /* else the interpreter is the root's own */
    if (own && (!have || !have->python_program[0]))
        return err_set(err, ERR_NEEDS_BUILD,
                       "it is published as source only, and this machine has no Python to build "
                       "it with: install python3");
    bool same = have && strcmp(want->arch, have->arch) == 0 && strcmp(want->libc, have->libc) == 0;
    if (same && own)
        same = strcmp(want->python_program, have->python_program) == 0 &&
               strcmp(want->python_full, have->python_full) == 0;
    if (!same)
        return err_set(
            err, ERR_NEEDS_BUILD,
            "it is published as source only, and this machine (Python %s, %s, %s) is not "
            "the platform to build it for (Python %s, %s, %s)",
            have ? have->python_full : "none", have ? have->arch : "unknown",
            have ? have->libc : "unknown", want->python_full, want->arch, want->libc);
    return true;
}

/* ---- what is remembered ---------------------------------------------------------------------- */

static bool make_key(struct build *b, const struct digest *sdist, const json_t *part, bool asked,
                     struct digest *out)
{
    AUTO_JSON json_t *key = json_object(), *lock = lock_new(b->request->platform);
    lock_put(lock, "pip", json_incref((json_t *)(uintptr_t)part));
    json_put_int(key, "format", FORMAT);
    json_put_int(key, "epoch", b->request->source_date_epoch);
    json_put_digest(key, "sdist", sdist);
    json_put_str(key, "inputs", build_sdist_inputs(b));
    json_object_set_new(key, "with", lock_essence(lock));
    json_object_set_new(key, "asked", json_boolean(asked));
    return json_canonical_digest(key, out, NULL);
}

static bool recall_probe(struct build_sdist *s, json_t **requires, char **metadata)
{
    AUTO_BUF struct buf text = BUF(MAX_PROBE_TEXT);
    struct err ignored;
    if (!make_key(s->build, &s->blob, s->tools->part, s->asked, &s->key) ||
        !store_memo_get(s->build->engine->store, "sdist-probe", &s->key, &text, NULL))
        return false;
    AUTO_JSON json_t *memo = json_parse(buf_span(&text), &ignored);
    *requires = json_incref(json_object_get(memo, "requires"));
    *metadata = mem_dup_str(json_get_str(memo, "metadata"));
    return *requires || *metadata;
}

static void remember_probe(const struct build_sdist *s)
{
    AUTO_BUF struct buf text = BUF(MAX_PROBE_TEXT);
    AUTO_JSON json_t *memo = json_object();
    struct err ignored;
    if (s->hook.requires && !s->hook.metadata.ptr)
        json_object_set(memo, "requires", s->hook.requires);
    if (s->hook.metadata.ptr)
        json_put_span(memo, "metadata", s->hook.metadata);
    if (json_object_size(memo) && json_canonical(memo, &text, &ignored))
        store_memo_put(s->build->engine->store, "sdist-probe", &s->key, buf_span(&text));
}

bool build_sdist_is(const struct build_source *s)
{
    return strcmp(s->manager->ops->manager, "pip") == 0 && json_object_get(s->package, "build");
}

static bool wheel_key(const struct build_source *s, struct digest *out)
{
    struct digest sdist;
    return json_get_digest(s->package, "digest", &sdist) &&
           make_key(s->manager->build, &sdist, json_object_get(s->package, "build"), true, out);
}

bool build_sdist_recall(struct build_source *s)
{
    struct store *store = s->manager->build->engine->store;
    AUTO_BUF struct buf text = BUF(4096);
    struct err ignored;
    struct digest key, blob;
    uint64_t size;
    if (!wheel_key(s, &key) || !store_memo_get(store, "sdist-wheel", &key, &text, NULL))
        return false;
    AUTO_JSON json_t *memo = json_parse(buf_span(&text), &ignored);
    if (!json_get_digest(memo, "wheel", &blob) || !store_has_blob(store, &blob, &size))
        return false;
    s->fetch.blob = blob;
    s->fetch.size = s->fetch.received = s->fetch.total = size;
    s->fetch.from_cache = true;
    return true;
}

static void remember_wheel(const struct build_sdist *s)
{
    AUTO_BUF struct buf text = BUF(4096);
    AUTO_JSON json_t *memo = json_object();
    struct err ignored;
    json_put_digest(memo, "wheel", &s->wheel);
    if (json_canonical(memo, &text, &ignored))
        store_memo_put(s->build->engine->store, "sdist-wheel", &s->key, buf_span(&text));
}

/* ---- the end --------------------------------------------------------------------------------- */

static void over_source(struct build_sdist *s)
{
    struct build *b = s->build;
    struct build_source *source = s->source;
    if (s->err.code) {
        err_wrap(&s->err, "%s %s", s->name, s->version);
        build_fail(b, &s->err, source->manager, s->name, PHASE_INSTALL);
    } else if (!b->failed) {
        source->fetch.blob = s->wheel;
        source->fetch.size = s->wheel_size;
        build_source_built(source);
    }
}

/* Reports, once. Results of a probe are in `ask` already. */
static void over(struct build_sdist *s)
{
    struct build *b = s->build;
    if (s->state == SDIST_OVER)
        return;
    s->state = SDIST_OVER;
    if (s->cancelled && !s->err.code)
        err_set(&s->err, ERR_CANCELLED, "the build was cancelled");
    if (s->hooked)
        pip_hook_release(&s->hook);
    s->hooked = false;
    io_unmap(&s->map);
    b->open--;
    if (s->ask) {
        s->ask->err = s->err;
        s->ask->done(s->ask);
    } else {
        over_source(s);
    }
    build_settle(b);
}

static void fail(struct build_sdist *s, const struct err *err)
{
    s->err = *err;
    over(s);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_work(struct pool_task *t)
{
    struct build_sdist *s = container_of(t, struct build_sdist, task);
    if (store_map_blob(s->build->engine->store, &s->blob, &s->map, &s->err) &&
        pip_sdist_open(span_str(s->filename), s->map.bytes, s->arena, &s->sdist, &s->err))
        pip_build_system_parse(s->sdist.pyproject, s->arena, &s->recipe, &s->err);
}

static void read_done(struct pool_task *t)
{
    struct build_sdist *s = container_of(t, struct build_sdist, task);
    if (s->err.code || s->cancelled || s->build->failed || !can_build(s->build, &s->err)) {
        s->cancelled |= s->build->failed;
        over(s);
        return;
    }
    s->state = SDIST_TOOLS;
    step(s);
}

static struct build_sdist *begin(struct build *b, const char *name, const char *version,
                                 const char *filename)
{
    struct build_sdist *s = ARENA_NEW(b->arena, struct build_sdist);
    s->build = b;
    s->name = name;
    s->version = version;
    s->filename = filename;
    s->arena = arena_new(); /* one thread's, and several sources are read at once */
    s->task = (struct pool_task){.work = read_work, .done = read_done};
    *VEC_PUSH(&b->sdists) = s;
    b->open++;
    return s;
}

static void cancel(struct build_sdist *s)
{
    s->cancelled = true;
    switch (s->state) {
    case SDIST_TOOLS:
    case SDIST_QUEUED: over(s); break;
    case SDIST_RUNNING: pip_hook_cancel(&s->hook); break;
    case SDIST_READING:
    case SDIST_PACKING:
    case SDIST_OVER: break;
    }
}

static void cancel_ask(struct resolve_build *ask)
{
    cancel(ask->state);
}

void build_sdist_probe(struct resolve_job *job, struct resolve_build *ask)
{
    struct build_manager *m = job->ctx;
    struct build_sdist *s = begin(m->build, ask->name, ask->version, ask->filename);
    s->ask = ask;
    s->blob = ask->sdist;
    ask->state = s;
    ask->cancel = cancel_ask;
    pool_submit(m->build->engine->pool, &s->task, INT32_MAX);
}

void build_sdist_wheel(struct build_source *source)
{
    const json_t *p = source->package;
    struct build_sdist *s = begin(source->manager->build, json_get_str(p, "name"),
                                  json_get_str(p, "version"), json_get_str(p, "filename"));
    s->source = source;
    s->blob = source->fetch.blob;
    pool_submit(s->build->engine->pool, &s->task, INT32_MAX);
}

/* ---- tools ----------------------------------------------------------------------------------- */

/* Sorted, each once: equal wishes share their tools. */
static json_t *wishes(const struct build_sdist *s)
{
    size_t n = s->recipe.require_count;
    json_t *list = json_array();
    struct span *sorted = mem_array(n + 1, sizeof(*sorted));
    if (n)
        memcpy(sorted, s->recipe.requires, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), span_cmp_ptr);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !span_eq(sorted[i], sorted[i - 1]))
            json_array_append_new(list, json_span(sorted[i]));
    free(sorted);
    return list;
}

static void take_tools(struct build_sdist *s)
{
    if (s->source) {
        s->tools =
            build_tools_locked(s->build, "pip", json_object_get(s->source->package, "build"));
        return;
    }
    AUTO_JSON json_t *specs = wishes(s);
    s->tools = build_tools_wanted(s->build, specs);
}

/* apt's layer lies below. False: it has to be waited for. While the build installs, it is made by
 * the build itself; the tools' own build only finds it then. */
static bool take_apt(struct build_sdist *s)
{
    struct build *b = s->build;
    struct build_manager *apt = apt_of(b);
    if (!apt || s->apt)
        return true;
    if (!apt->part || (b->installing && !b->apt_ready))
        return false;
    s->apt = build_tools_locked(b, "apt", apt->part);
    return true;
}

/* True: it is ready. */
static bool tools_are_there(struct build_sdist *s, const struct build_tools *t, const char *what)
{
    if (t && t->state == TOOLS_FAILED) {
        s->err = t->err;
        err_wrap(&s->err, "%s", what);
        over(s);
        return false;
    }
    return !t || t->state == TOOLS_READY;
}

static void take_probe(struct build_sdist *s, json_t *requires, const char *metadata);

static void step(struct build_sdist *s)
{
    json_t *requires = NULL;
    char *metadata = NULL;
    if (s->state != SDIST_TOOLS)
        return;
    if (!s->tools)
        take_tools(s);
    if (!take_apt(s) || !tools_are_there(s, s->tools, "what it is built with") ||
        !tools_are_there(s, s->apt, "the apt packages it is built with"))
        return;
    if (s->ask && recall_probe(s, &requires, &metadata)) {
        take_probe(s, requires, metadata);
        json_decref(requires);
        free(metadata);
        return;
    }
    if (s->source && !wheel_key(s->source, &s->key)) {
        err_set(&s->err, ERR_LOCK_INVALID, "no digest in the lock");
        over(s);
        return;
    }
    s->state = SDIST_QUEUED;
    pump(s->build);
}

void build_sdist_wake(struct build *b)
{
    for (size_t i = 0; i < b->sdists.n; i++)
        step(b->sdists.v[i]);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

/* What the back end asks for besides: the next round is with that, too. */
static void add_requires(struct build_sdist *s, const json_t *requires)
{
    size_t i, n = s->recipe.require_count;
    json_t *v;
    struct span *all = arena_array(s->arena, n + json_array_size(requires) + 1, sizeof(*all));
    if (n)
        memcpy(all, s->recipe.requires, n * sizeof(*all));
    json_array_foreach (requires, i, v)
        all[n++] = arena_span(s->arena, span_str(json_string_value(v)));
    s->recipe.requires = all;
    s->recipe.require_count = n;
}

static void take_probe(struct build_sdist *s, json_t *requires, const char *metadata)
{
    if (!metadata) {
        add_requires(s, requires);
        s->asked = true;
        s->tools = NULL;
        s->state = SDIST_TOOLS;
        step(s);
        return;
    }
    s->ask->metadata = mem_dup_str(metadata);
    s->ask->build = json_incref(s->tools->part);
    over(s);
}

/* A name that the platform takes, of this package. */
static bool check_name(const struct build_sdist *s, struct err *err)
{
    struct pip_wheel_name w;
    struct pip_tags tags = {0};
    AUTO_ARENA struct arena *a = arena_new();
    struct span name = s->hook.wheel_name;
    if (!pip_wheel_name_parse(name, &w))
        return err_set(err, ERR_BAD_ARCHIVE, "the back end made \"%.*s\", which is no wheel",
                       SPAN_ARG(name));
    bool ok = pip_tags_init(&tags, s->build->request->platform, a, err) &&
              (pip_wheel_rank(&tags, &w) != PIP_NO_RANK ||
               err_set(err, ERR_BAD_ARCHIVE,
                       "the back end made \"%.*s\", which does not fit this "
                       "platform",
                       SPAN_ARG(name)));
    pip_tags_release(&tags);
    return ok;
}

static void pack_work(struct pool_task *t)
{
    struct build_sdist *s = container_of(t, struct build_sdist, task);
    AUTO_BUF struct buf wheel = BUF(MAX_WHEEL);
    if (!check_name(s, &s->err) ||
        !pip_wheel_normalise(s->hook.wheel, s->build->request->source_date_epoch, &wheel, &s->err))
        return;
    s->wheel_size = wheel.len;
    store_put_blob(s->build->engine->store, buf_span(&wheel), &s->wheel, &s->err);
}

static void pack_done(struct pool_task *t)
{
    struct build_sdist *s = container_of(t, struct build_sdist, task);
    if (!s->err.code)
        remember_wheel(s);
    over(s);
}

static void take_yield(struct build_sdist *s)
{
    if (s->source) {
        s->state = SDIST_PACKING;
        s->task = (struct pool_task){.work = pack_work, .done = pack_done};
        pool_submit(s->build->engine->pool, &s->task, INT32_MAX);
        return;
    }
    AUTO_JSON json_t *requires = json_incref(s->hook.requires);
    AUTO_FREE char *metadata = s->hook.metadata.ptr ? mem_dup(s->hook.metadata) : NULL;
    remember_probe(s);
    pip_hook_release(&s->hook);
    s->hooked = false;
    take_probe(s, requires, metadata);
}

static void hook_done(struct pip_hook_job *job)
{
    struct build_sdist *s = job->ctx;
    struct build *b = s->build;
    b->hooks_running--;
    if (job->err.code || s->cancelled)
        fail(s, &job->err);
    else
        take_yield(s);
    pump(b);
    build_settle(b);
}

static void on_line(struct pip_hook_job *job, const char *text)
{
    const struct build_sdist *s = job->ctx;
    log_line(s->build->engine->log, LOG_DEBUG, "%s: %s", s->name, text);
}

/* apt's layers, then the virtual environment's: the manifest's order. */
static const char *const *lower_dirs(const struct build_sdist *s, size_t *count)
{
    size_t n = 0;
    const struct build_tools *const tools[] = {s->apt, s->tools};
    const char **out = arena_array(
        s->arena, (s->apt ? s->apt->dirs.count : 0) + s->tools->dirs.count + 1, sizeof(*out));
    for (size_t i = 0; i < COUNT(tools); i++)
        for (size_t k = 0; tools[i] && k < tools[i]->dirs.count; k++)
            out[n++] = tools[i]->dirs.paths[k];
    *count = n;
    return out;
}

static void run(struct build_sdist *s)
{
    struct build *b = s->build;
    const struct sandbox_host *host = engine_sandbox_host(b->engine, &s->err);
    if (!host) {
        err_wrap(&s->err, "it is published as source only, and there is no sandbox to build it in");
        over(s);
        return;
    }
    log_line(b->engine->log, LOG_INFO, "pip: %s %s %s", s->ask ? "preparing" : "building", s->name,
             s->version);
    s->state = SDIST_RUNNING;
    s->hooked = true;
    b->hooks_running++;
    s->hook = (struct pip_hook_job){
        .loop = b->engine->loop,
        .host = host,
        .scratch_dir_fd = store_dir_fd(b->engine->store),
        .base_dirs = b->suite ? &b->base_root : NULL,
        .base_count = b->suite != NULL,
        .python = b->request->platform->python,
        .hook = s->ask ? PIP_HOOK_PROBE : PIP_HOOK_WHEEL,
        .ask_requires = !s->asked,
        .filename = s->filename,
        .archive = s->map.bytes,
        .top = s->sdist.top,
        .recipe = &s->recipe,
        .source_date_epoch = b->request->source_date_epoch,
        .wall_ms = b->engine->options.script_ms,
        .line = on_line,
        .done = hook_done,
        .ctx = s,
    };
    s->hook.lower_dirs = lower_dirs(s, &s->hook.lower_count);
    pip_hook_start(&s->hook);
}

/* A few at once: a compile takes whole processors. */
static void pump(struct build *b)
{
    size_t limit = pool_threads(b->engine->pool);
    limit = limit > MAX_HOOKS ? MAX_HOOKS : limit;
    for (size_t i = 0; i < b->sdists.n && b->hooks_running < limit; i++)
        if (b->sdists.v[i]->state == SDIST_QUEUED)
            run(b->sdists.v[i]);
}

void build_sdist_cancel(struct build *b)
{
    build_tools_cancel(b);
    for (size_t i = 0; i < b->sdists.n; i++)
        cancel(b->sdists.v[i]);
}

void build_sdist_free(struct build *b)
{
    build_tools_free(b);
    for (size_t i = 0; i < b->sdists.n; i++)
        arena_free(b->sdists.v[i]->arena);
    VEC_FREE(&b->sdists);
}
