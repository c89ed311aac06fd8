/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/cli/remote.h"

#include <stdio.h>

#include "base/url.h"

const struct cli_option cli_remote_options[] = {
    {"server", 0, "URL", "let the build-worker at URL build it; its key is STRATA_API_KEY"},
    {0},
};

/* ---- the server and its key ------------------------------------------------------------------ */

static bool is_variable(const char *from)
{
    return span_starts(span_str(from), SPAN("the variable "));
}

/* "strata.yaml:3" and "strata.yaml:7" */
static bool same_file(const char *a, const char *b)
{
    struct span fa = span_str(a), fb = span_str(b), line;
    span_cut_last_char(fa, ':', &fa, &line);
    span_cut_last_char(fb, ':', &fb, &line);
    return span_eq(fa, fb);
}

/* A key of a file belongs to the server that the same file names, so that no other one gets it by
 * a mistyped or foreign --server. */
static bool choose_key(struct cli *c, const char *url, const char **out, struct err *err)
{
    const char *key = settings_str(c->settings, "api_key");
    const char *server = settings_str(c->settings, "server");
    const char *from = settings_from(c->settings, "api_key");
    *out = NULL;
    if (!key)
        return true;
    if (is_variable(from)) {
        *out = key;
        return true;
    }
    if (!server || !same_file(from, settings_from(c->settings, "server")))
        return err_set(err, ERR_INVALID,
                       "%s: api_key needs server beside it, the URL of the server that it is for",
                       from);
    if (url_same_origin(span_str(server), span_str(url)))
        *out = key;
    else
        log_line(&c->log, LOG_INFO, "the key of %s is for another server and is not sent", from);
    return true;
}

static void warn_of_plain_text(const struct cli *c, const char *url)
{
    struct url_parts p;
    if (url_split(span_str(url), &p) && p.scheme.len == 4 &&
        !span_eq_nocase(p.host, SPAN("localhost")) && !span_starts(p.host, SPAN("127.")) &&
        !span_eq(p.host, SPAN("[::1]")))
        log_line(&c->log, LOG_WARN, "the key goes to %.*s unencrypted; https:// protects it",
                 SPAN_ARG(p.host));
}

bool cli_remote_open(struct cli *c, struct remote **out, struct err *err)
{
    static const char *const local[] = {"offline",       "no-bytecode", "compression",
                                        "exclude-newer", "threads",     NULL};
    struct remote_options o = {.url = cli_value(&c->args, "server"), .log = &c->log};
    for (const char *const *i = local; *i; i++)
        for (size_t k = 0; k < c->args.values.n; k++)
            if (strcmp(c->args.values.v[k].option->name, *i) == 0)
                return err_set(err, ERR_USAGE,
                               "--%s cannot be used with --server: the server "
                               "decides it",
                               *i);
    if (!choose_key(c, o.url, &o.api_key, err))
        return false;
    *out = remote_new(&c->loop, &o, err);
    if (*out && o.api_key)
        warn_of_plain_text(c, o.url);
    return *out != NULL;
}

/* ---- one build ------------------------------------------------------------------------------- */

static bool check_environment(const struct environment *e, const char *file, struct err *err)
{
    const struct policy *p = &e->policy;
    const char *what = strcmp(e->base, "host") != 0 ? "base" : e->platform ? "platform" : NULL;
    if (p->exclude_newer_ms || p->prerelease || p->only_binary || p->allow_script_count)
        what = "policy";
    if (!what)
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: %s is for builds on this machine: a server has its own; leave it out, or "
                   "build without --server",
                   file ? file : "the command line", what);
}

static void on_done(struct remote_build *b, void *ctx)
{
    (void)b;
    ((struct cli_wait *)ctx)->done = true;
}

static void cancel(void *what)
{
    remote_build_cancel(what);
}

static size_t source(const void *ctx, const struct build_progress **list)
{
    return remote_build_progress(ctx, list);
}

static struct remote_build *follow(struct cli *c, struct remote *r, const json_t *config,
                                   const char *priority)
{
    struct cli_wait wait = {.cancel = cancel};
    struct remote_request request = {
        .config = config, .priority = priority, .refresh = cli_flag(&c->args, "refresh")};
    size_t i;
    json_t *text;
    wait.what = remote_build_start(r, &request, on_done, &wait);
    progress_watch_source(c->progress, source, wait.what);
    cli_wait(c, &wait);
    json_array_foreach (remote_build_result(wait.what)->warnings, i, text)
        log_line(&c->log, LOG_WARN, "%s", json_string_value(text));
    return wait.what;
}

struct remote_build *cli_remote_build(struct cli *c, struct remote *r, const char *file,
                                      const char *priority, struct err *err)
{
    struct cli_request q = {.file = file};
    struct remote_build *b = NULL;
    if (cli_request_environment(c, &q, err) && check_environment(q.environment, q.file, err))
        b = follow(c, r, q.environment->config, priority);
    cli_request_release(&q);
    return b;
}

json_t *cli_remote_json(const struct remote_build *b)
{
    const struct remote_result *r = remote_build_result(b);
    const struct build_progress *list;
    json_t *out = json_object();
    json_put_digest(out, "artifact", &r->artifact);
    json_put_str(out, "build", r->id);
    json_object_set_new(out, "cached", json_boolean(r->cached));
    json_object_set(out, "warnings", r->warnings);
    json_put_int(out, "received_bytes", (int64_t)r->received_bytes);
    json_put_int(out, "total_ms", r->total_ms);
    size_t n = remote_build_progress(b, &list);
    json_object_set_new(out, "managers", cli_progress_json(list, n));
    return out;
}

int cli_remote_run(struct cli *c, const char *file)
{
    struct err err = {0};
    struct remote *r = NULL;
    char text[DIGEST_TEXT_SIZE];
    if (!cli_remote_open(c, &r, &err))
        return cli_fail(c, &err);
    struct remote_build *b = cli_remote_build(c, r, file, "interactive", &err);
    const struct remote_result *result = b ? remote_build_result(b) : NULL;
    int status = 0;
    if (!b) {
        status = cli_fail(c, &err);
    } else if (result->err.code) {
        AUTO_JSON json_t *place = json_object();
        json_put_str(place, "manager", result->manager);
        json_put_str(place, "package", result->package);
        json_put_str(place, "phase", result->phase);
        json_put_str(place, "build", result->id[0] ? result->id : NULL);
        status = cli_fail_at(c, &result->err, place);
    } else if (c->json) {
        AUTO_JSON json_t *out = cli_remote_json(b);
        cli_print_json(out);
    } else {
        printf("%s\n", digest_text(&result->artifact, text));
    }
    remote_build_free(b);
    remote_free(r);
    return status;
}
