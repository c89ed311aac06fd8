/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - from operands and options to a build, and its result. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/cli/cli.h"
#include "worker/lock.h"

/* 1980-01-01, the oldest time that a zip archive can hold. */
#define DEFAULT_EPOCH 315532800

const struct cli_option cli_build_options[] = {
    {"apt", 0, "SPEC", "add a package; may be given several times"},
    {"cargo", 0, "SPEC", "the same, of another manager"},
    {"gem", 0, "SPEC", "the same"},
    {"go", 0, "SPEC", "the same"},
    {"npm", 0, "SPEC", "the same"},
    {"pip", 0, "SPEC", "the same"},
    {"refresh", 0, NULL, "ask the registries again, and resolve to the newest"},
    {"offline", 0, NULL, "use only what is cached"},
    {"no-bytecode", 0, NULL, "leave out Python's .pyc files"},
    {"compression", 0, "zstd|gzip", "of the layers; gzip is for older readers"},
    {"exclude-newer", 0, "WHEN", "only what was published before a date, or is as old as 7d"},
    {"threads", 0, "N", "threads for packing; one for each CPU without it"},
    {0},
};
const struct cli_option *const cli_build_tables[] = {cli_build_options, NULL};

/* ---- the environment ------------------------------------------------------------------------- */

bool cli_is_file(const char *operand)
{
    struct span s = span_str(operand);
    struct stat st;
    return span_eq(s, SPAN("-")) || span_ends(s, SPAN(".yaml")) || span_ends(s, SPAN(".yml")) ||
           span_ends(s, SPAN(".json")) || span_has(s, '/') ||
           (stat(operand, &st) == 0 && S_ISREG(st.st_mode));
}

static bool read_stdin(struct environment **out, struct err *err)
{
    AUTO_BUF struct buf text = BUF(ENVIRONMENT_MAX_BYTES);
    for (;;) {
        char bytes[65536];
        ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (n < 0)
            return err_sys(err, "standard input");
        if (n == 0)
            break;
        if (!buf_append(&text, span_of(bytes, (size_t)n)))
            return err_set(err, ERR_TOO_LARGE, "standard input: larger than %u bytes",
                           ENVIRONMENT_MAX_BYTES);
    }
    return environment_parse(buf_span(&text), "standard input", io_now_ms(), out, err);
}

/* --pip SPEC and its kin. */
static bool add_specs(const struct cli *c, struct environment *e, struct err *err)
{
    for (size_t i = 0; i < c->args.values.n; i++) {
        const struct cli_value *v = &c->args.values.v[i];
        if (resolver_find(span_str(v->option->name)) &&
            !environment_add(e, v->option->name, v->value, err))
            return false;
    }
    return true;
}

static bool any_specs(const struct cli *c)
{
    for (size_t i = 0; i < c->args.values.n; i++)
        if (resolver_find(span_str(c->args.values.v[i].option->name)))
            return true;
    return false;
}

bool cli_request_environment(struct cli *c, struct cli_request *r, struct err *err)
{
    const char *newer = cli_value(&c->args, "exclude-newer");
    if (!r->file && !any_specs(c))
        r->file = "environment.yaml";
    bool ok = true;
    if (!r->file)
        r->environment = environment_new();
    else if (strcmp(r->file, "-") == 0)
        ok = read_stdin(&r->environment, err);
    else
        ok = environment_read(r->file, io_now_ms(), &r->environment, err);
    if (!ok && err->code == ERR_NOT_FOUND)
        return err_set(err, ERR_USAGE, "%s: no such file; build-env init writes one to start from",
                       r->file);
    return ok && add_specs(c, r->environment, err) &&
           (!newer || environment_exclude_newer(r->environment, span_str(newer), io_now_ms(), err));
}

/* ---- the lock beside it ---------------------------------------------------------------------- */

static bool open_lock(struct cli *c, struct cli_request *r, struct err *err)
{
    if (!r->file || strcmp(r->file, "-") == 0)
        return true;
    struct span stem = span_str(r->file), before, ending;
    if (span_cut_last_char(stem, '.', &before, &ending) && !span_has(ending, '/'))
        stem = before;
    r->lock_file = mem_printf("%.*s.lock.json", SPAN_ARG(stem));
    AUTO_JSON json_t *lock = NULL;
    if (!lock_read_file(r->lock_file, &lock, err)) {
        if (err->code != ERR_NOT_FOUND)
            return false;
        err_clear(err);
        return true;
    }
    AUTO_JSON json_t *here = platform_json(r->build.platform);
    bool answers = lock_answers(lock, r->build.packages) &&
                   json_equal(here, json_object_get(lock, "platform"));
    if (answers && !cli_flag(&c->args, "refresh"))
        r->lock = TAKE(lock);
    else if (!cli_flag(&c->args, "refresh"))
        r->previous = TAKE(lock);
    return true;
}

/* ---- the request ----------------------------------------------------------------------------- */

/* A root that is made has what its packages bring: interpreters have to be told. */
static bool choose_debian(struct cli_request *r, struct err *err)
{
    static const char *const interpreted[] = {"npm", "pip"};
    AUTO_JSON json_t *nothing = json_object();
    for (size_t i = 0; i < COUNT(interpreted) && !r->environment->platform; i++)
        if (json_array_size(json_object_get(r->build.packages, interpreted[i])) > 0)
            return err_set(err, ERR_PLATFORM,
                           "base: %s: tell which interpreter its %s packages are for, as in "
                           "platform: {python: \"3.11\", node: \"18\"}",
                           r->environment->base, interpreted[i]);
    r->build.base = r->environment->base;
    if (!platform_declare(r->environment->platform ? r->environment->platform : nothing, NULL,
                          &r->declared, err))
        return false;
    r->build.platform = r->declared;
    return true;
}

static bool choose_platform(struct cli *c, struct cli_request *r, struct err *err)
{
    const char *base = r->environment->base;
    if (strncmp(base, "debian:", 7) == 0)
        return choose_debian(r, err);
    if (strcmp(base, "host") != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "base: %s: this version builds on base: host and debian:SUITE; declare the "
                       "platform of the sessions' machine with platform: {python: \"3.11\", node: "
                       "\"20\"}",
                       base);
    if (!r->environment->platform) {
        r->build.platform = engine_host_platform(&c->engine);
    } else {
        platform_declare(r->environment->platform, engine_host_platform(&c->engine), &r->declared,
                         err);
        r->build.platform = r->declared;
    }
    return r->build.platform != NULL;
}

static bool choose_compression(const struct cli *c, enum compression *out, struct err *err)
{
    const char *text = cli_value(&c->args, "compression");
    text = text ? text : settings_str(c->settings, "compression");
    *out = COMPRESS_ZSTD;
    if (text && strcmp(text, "gzip") == 0)
        *out = COMPRESS_GZIP;
    else if (text && strcmp(text, "zstd") != 0)
        return err_set(err, ERR_USAGE, "--compression is zstd or gzip, not %s", text);
    return true;
}

static bool choose_epoch(int64_t *out, struct err *err)
{
    const char *text = getenv("SOURCE_DATE_EPOCH");
    uint64_t n = DEFAULT_EPOCH;
    if (text && (!span_to_u64(span_str(text), &n) || n > INT32_MAX * 8ull))
        return err_set(err, ERR_USAGE, "SOURCE_DATE_EPOCH: \"%s\" is not a number of seconds",
                       text);
    *out = (int64_t)n;
    return true;
}

bool cli_request_open(struct cli *c, const char *file, struct cli_request *r, struct err *err)
{
    *r = (struct cli_request){.file = file};
    if (cli_request_environment(c, r, err) && cli_engine(c, err)) {
        bool offline = cli_flag(&c->args, "offline") || settings_bool(c->settings, "offline");
        r->build = (struct build_request){
            .name = r->environment->name,
            .packages = json_object_get(r->environment->config, "packages"),
            .policy = &r->environment->policy,
            .bytecode =
                !cli_flag(&c->args, "no-bytecode") && settings_bool(c->settings, "bytecode"),
            .offline = offline,
            .refresh = cli_flag(&c->args, "refresh"),
            .forbidden = !environment_allows_registries(r->environment),
        };
        if (choose_platform(c, r, err) && choose_compression(c, &r->build.compression, err) &&
            choose_epoch(&r->build.source_date_epoch, err) && open_lock(c, r, err)) {
            r->build.lock = r->lock;
            r->build.previous = r->previous;
            return true;
        }
    }
    cli_request_release(r);
    return false;
}

void cli_request_release(struct cli_request *r)
{
    environment_free(r->environment);
    platform_free(r->declared);
    json_decref(r->lock);
    json_decref(r->previous);
    free(r->lock_file);
    *r = (struct cli_request){0};
}

/* ---- the build ------------------------------------------------------------------------------- */

static void on_done(struct build *b, void *ctx)
{
    (void)b;
    ((struct cli_wait *)ctx)->done = true;
}

static void cancel(void *what)
{
    build_cancel(what);
}

static void tell_warnings(const struct cli *c, const struct build *b)
{
    size_t i;
    json_t *text;
    json_array_foreach (build_result(b)->warnings, i, text)
        log_line(&c->log, LOG_WARN, "%s", json_string_value(text));
}

static struct build *build_to_end(struct cli *c, const struct cli_request *request)
{
    struct cli_wait wait = {.cancel = cancel};
    struct build *b = build_start(&c->engine, &request->build, on_done, &wait);
    wait.what = b;
    progress_watch(c->progress, b);
    cli_wait(c, &wait);
    return b;
}

struct build *cli_build(struct cli *c, const struct cli_request *request)
{
    struct build *b = build_to_end(c, request);
    tell_warnings(c, b);
    return b;
}

int cli_build_failed(const struct cli *c, const struct build *b)
{
    const struct build_result *r = build_result(b);
    AUTO_JSON json_t *place = json_object();
    json_put_str(place, "manager", r->manager);
    json_put_str(place, "package", r->package);
    json_put_str(place, "phase", build_phase_name(r->phase));
    return cli_fail_at(c, &r->err, place);
}

/* ---- artifacts ------------------------------------------------------------------------------- */

static bool artifact_of_file(struct cli *c, const char *file, struct digest *out, int *status)
{
    struct err err = {0};
    struct cli_request request;
    if (!cli_request_open(c, file, &request, &err)) {
        *status = cli_fail(c, &err);
        return false;
    }
    struct build *b = build_to_end(c, &request);
    bool ok = build_result(b)->err.code == ERR_NONE;
    /* Who runs or looks at what was built before was told then. */
    if (!build_result(b)->cached)
        tell_warnings(c, b);
    if (ok)
        *out = build_result(b)->artifact;
    else
        *status = cli_build_failed(c, b);
    build_free(b);
    cli_request_release(&request);
    return ok;
}

bool cli_artifact(struct cli *c, const char *operand, struct artifact **out, int *status)
{
    struct err err = {0};
    struct digest digest;
    if (cli_is_file(operand)) {
        if (!artifact_of_file(c, operand, &digest, status))
            return false;
    } else if (!cli_engine(c, &err) ||
               !artifact_lookup(c->engine.store, span_str(operand), &digest, &err)) {
        *status = cli_fail(c, &err);
        return false;
    }
    if (!artifact_load(c->engine.store, &digest, out, &err)) {
        *status = cli_fail(c, &err);
        return false;
    }
    return true;
}
