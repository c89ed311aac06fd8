/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/pip_build/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "resolvers/pip/install.h"
#include "worker/pip_build/hook_priv.h"
#include "worker/pip_build/yield.h"

#define VENV_PYTHON "/" PIP_VENV "/bin/python"
#define TAIL_BYTES  4000 /* of the output, for the error */
#define TAIL_LINES  6

struct run {
    struct pip_hook_job *job;
    struct arena *arena;
    struct sandbox *sandbox;
    uv_timer_t timer; /* tells of what failed at once, later */
    int yield_fd;
    struct io_map map;
    struct buf tail;
};

/* ---- what it said ---------------------------------------------------------------------------- */

static void on_line(void *ctx, bool is_stderr, struct span line)
{
    struct run *r = ctx;
    (void)is_stderr;
    if (r->job->line) {
        AUTO_FREE char *text = mem_dup(line);
        r->job->line(r->job, text);
    }
    line = span_slice(line, 0, TAIL_BYTES / 4);
    if (r->tail.len + line.len + 1 > TAIL_BYTES) {
        size_t keep = r->tail.len / 2;
        memmove(r->tail.ptr, r->tail.ptr + r->tail.len - keep, keep);
        r->tail.len = keep;
    }
    buf_append(&r->tail, line);
    buf_char(&r->tail, '\n');
}

/* What is missing most often, and what brings it. */
static const char *advice(struct span said)
{
    static const struct {
        struct span sign;
        const char *advice;
    } list[] = {
        {SPAN_INIT("gcc' failed: No such file"), "add gcc and libc6-dev to the apt packages"},
        {SPAN_INIT("g++' failed: No such file"), "add g++ to the apt packages"},
        {SPAN_INIT("Python.h: No such file"), "add python3-dev to the apt packages"},
        {SPAN_INIT(".h: No such file"),
         "add the -dev package that has the header to the apt packages"},
        {SPAN_INIT("pg_config"), "add libpq-dev to the apt packages"},
        {SPAN_INIT("name resolution"), "builds have no network"},
        {SPAN_INIT("Network is unreachable"), "builds have no network"},
    };
    for (size_t i = 0; i < COUNT(list); i++)
        if (span_find(said, list[i].sign) < said.len)
            return list[i].advice;
    return NULL;
}

/* Its last words: tracebacks and compilers end with the reason. */
static void explain(struct run *r)
{
    struct span said = span_trim(buf_span(&r->tail)), rest = said, line;
    const char *add = advice(said);
    VEC(struct span) lines = {0};
    AUTO_BUF struct buf text = BUF(700);
    while (span_next_line(&rest, &line))
        if (span_trim(line).len)
            *VEC_PUSH(&lines) = span_slice(line, 0, 160);
    for (size_t i = lines.n > TAIL_LINES ? lines.n - TAIL_LINES : 0; i < lines.n; i++)
        buf_printf(&text, "\n  %.*s", SPAN_ARG(lines.v[i]));
    VEC_FREE(&lines);
    err_set(&r->job->err, ERR_SCRIPT, "the build failed%s%s%s%s", add ? " (" : "", add ? add : "",
            add ? ")" : "", text.len ? ":" : ", saying nothing");
    if (text.len) {
        size_t at = strlen(r->job->err.text);
        snprintf(r->job->err.text + at, sizeof(r->job->err.text) - at, "%s", buf_cstr(&text));
    }
}

/* ---- what came out --------------------------------------------------------------------------- */

static bool take_requires(struct pip_hook_job *job, struct span text)
{
    struct err why = {0};
    job->requires = json_parse(text, &why);
    bool ok =
        json_is_array(job->requires) && json_array_size(job->requires) <= PIP_BUILD_REQUIRES_MAX;
    size_t i;
    json_t *v;
    json_array_foreach (job->requires, i, v)
        ok = ok && json_is_string(v);
    return ok || err_set(&job->err, ERR_BAD_ARCHIVE,
                         "the back end's requirements are no list of at most %d texts",
                         PIP_BUILD_REQUIRES_MAX);
}

static bool take_yield(struct run *r)
{
    struct pip_hook_job *job = r->job;
    struct span out[YIELD_COUNT];
    if (!io_map_fd(r->yield_fd, &r->map, &job->err) ||
        !pip_yield_read(r->map.bytes, out, &job->err))
        return false;
    if (job->hook == PIP_HOOK_WHEEL) {
        job->wheel = out[YIELD_WHEEL];
        job->wheel_name = out[YIELD_NAME];
        return (job->wheel.ptr && job->wheel_name.ptr) ||
               err_set(&job->err, ERR_BAD_ARCHIVE, "the back end made no wheel");
    }
    if (out[YIELD_REQUIRES].ptr && !take_requires(job, out[YIELD_REQUIRES]))
        return false;
    job->metadata = out[YIELD_METADATA];
    return job->metadata.ptr || job->requires ||
           err_set(&job->err, ERR_BAD_ARCHIVE, "the back end made no metadata");
}

/* ---- the run --------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
    struct run *r = container_of((uv_timer_t *)h, struct run, timer);
    r->job->done(r->job);
}

static void on_timer(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, on_closed);
}

static void on_sandbox(void *ctx, const struct sandbox_result *result)
{
    struct run *r = ctx;
    r->sandbox = NULL;
    r->job->err = result->err;
    if (result->err.code == ERR_SCRIPT)
        explain(r);
    else if (result->err.code == ERR_NOT_FOUND) /* the environment's link leads nowhere */
        err_set(&r->job->err, ERR_PLATFORM,
                "there is no Python %s to build it with: add python3 to the apt packages",
                r->job->python);
    else if (!result->err.code)
        take_yield(r);
    on_timer(&r->timer);
}

static int harvest(void *ctx, int upper_fd)
{
    const struct run *r = ctx;
    (void)upper_fd;
    return pip_yield_write(r->yield_fd);
}

static bool job_text(const struct pip_hook_job *job, const char *archive, struct buf *out,
                     struct err *err)
{
    AUTO_JSON json_t *j = json_object();
    json_t *paths = json_array(), *requires = json_array();
    for (size_t i = 0; i < job->recipe->path_count; i++)
        json_array_append_new(paths, json_span(job->recipe->paths[i]));
    for (size_t i = 0; i < job->recipe->require_count; i++)
        json_array_append_new(requires, json_span(job->recipe->requires[i]));
    json_put_str(j, "archive", archive);
    json_put_span(j, "top", job->top);
    json_put_str(j, "python", job->python);
    json_put_span(j, "backend", job->recipe->backend);
    json_put_str(j, "hook", job->hook == PIP_HOOK_WHEEL ? "wheel" : "probe");
    json_object_set_new(j, "ask_requires", json_boolean(job->ask_requires));
    json_object_set_new(j, "paths", paths);
    json_object_set_new(j, "requires", requires);
    return json_canonical(j, out, err);
}

static const char **environment(struct run *r)
{
    const char *const fixed[] = {
        "PATH=/" PIP_VENV "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "VIRTUAL_ENV=/" PIP_VENV,
        "PYTHONHASHSEED=0",
        "PYTHONDONTWRITEBYTECODE=1",
        "PYTHONNOUSERSITE=1",
        "LC_ALL=C.UTF-8",
        "TZ=UTC",
    };
    const char **env = arena_array(r->arena, COUNT(fixed) + 2, sizeof(*env));
    memcpy(env, fixed, sizeof(fixed));
    env[COUNT(fixed)] =
        arena_printf(r->arena, "SOURCE_DATE_EPOCH=%lld", (long long)r->job->source_date_epoch);
    return env;
}

static bool start(struct run *r, struct err *err)
{
    static const char *const argv[] = {VENV_PYTHON, "-s", "/build/driver.py", NULL};
    const struct pip_hook_job *job = r->job;
    const char *archive = span_ends(span_str(job->filename), SPAN(".zip")) ? "/build/source.zip"
                                                                           : "/build/source.tar";
    AUTO_BUF struct buf text = BUF(1u << 20);
    if (!job_text(job, archive, &text, err))
        return false;
    r->yield_fd = openat(job->scratch_dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (r->yield_fd < 0)
        return err_sys(err, "scratch file");
    struct sandbox_file *files = arena_array(r->arena, 3, sizeof(*files));
    files[0] = (struct sandbox_file){"/build/driver.py", span_str(pip_hook_driver), 0644};
    files[1] = (struct sandbox_file){"/build/job", arena_span(r->arena, buf_span(&text)), 0644};
    files[2] = (struct sandbox_file){archive, job->archive, 0644};
    struct sandbox_spec spec = {
        .host = job->host,
        .loop = job->loop,
        .role = SANDBOX_BUILD,
        .lower_dirs = job->lower_dirs,
        .lower_count = job->lower_count,
        .base_dirs = job->base_dirs,
        .base_count = job->base_count,
        .files = files,
        .file_count = 3,
        .argv = argv,
        .env = environment(r),
        .limits = {.wall_ms = job->wall_ms},
        .harvest = harvest,
        .keep_fds = &r->yield_fd,
        .keep_fd_count = 1,
        .on_line = on_line,
        .on_done = on_sandbox,
        .ctx = r,
    };
    r->sandbox = sandbox_start(&spec, err);
    return r->sandbox != NULL;
}

void pip_hook_start(struct pip_hook_job *job)
{
    struct run *r = MEM_NEW(struct run);
    r->job = job;
    r->arena = arena_new();
    r->yield_fd = -1;
    r->tail = BUF(TAIL_BYTES + 1);
    job->state = r;
    uv_timer_init(job->loop, &r->timer);
    if (!start(r, &job->err))
        uv_timer_start(&r->timer, on_timer, 0, 0);
}

void pip_hook_cancel(struct pip_hook_job *job)
{
    struct run *r = job->state;
    if (r && r->sandbox)
        sandbox_cancel(r->sandbox);
}

void pip_hook_release(struct pip_hook_job *job)
{
    struct run *r = job->state;
    json_decref(TAKE(job->requires));
    if (!r)
        return;
    io_unmap(&r->map);
    mem_close_fd(&r->yield_fd);
    buf_release(&r->tail);
    arena_free(r->arena);
    free(r);
    job->state = NULL;
}
