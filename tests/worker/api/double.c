/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/api/double.h"

#include "base/mem.h"

struct double_builder {
    struct builder base;
    uv_loop_t *loop;
    unsigned started;
};

struct run {
    uv_timer_t timer;
    struct builder_job *job;
    const char *phase;
    bool cancelled;
};

static struct double_builder *self(struct builder *b)
{
    return container_of(b, struct double_builder, base);
}

/* The number after a prefix in one of pip's packages; -1: there is none. */
static long find(const struct builder_job *job, const char *prefix)
{
    size_t i;
    json_t *spec;
    json_array_foreach (json_object_get(job->packages, "pip"), i, spec) {
        const char *s = json_string_value(spec);
        if (strncmp(s, prefix, strlen(prefix)) == 0)
            return strtol(s + strlen(prefix), NULL, 10);
    }
    return -1;
}

static void fail(struct builder_job *job, enum err_code code, const char *package)
{
    err_set(&job->err, code, "pip: %s cannot be had", package);
    job->manager = "pip";
    job->phase = "resolve";
    snprintf(job->package, sizeof(job->package), "%s", package);
}

static json_t *make_lock(const struct builder_job *job)
{
    if (job->lock)
        return json_deep_copy(job->lock);
    return json_pack("{s:i, s:O}", "lock_version", 1, "managers", job->packages);
}

static json_t *make_manifest(const struct builder_job *job, const char *digest)
{
    json_t *layers = json_array();
    const char *manager;
    json_t *list;
    json_object_foreach ((json_t *)(uintptr_t)job->packages, manager, list) {
        char mount[64];
        snprintf(mount, sizeof(mount), "/opt/managed-env/%s", manager);
        json_array_append_new(layers,
                              json_pack("{s:s, s:s, s:s, s:i, s:s}", "manager", manager, "digest",
                                        digest, "diff_id", digest, "size", 1000, "mount", mount));
    }
    return json_pack("{s:s, s:s, s:{s:s, s:s}, s:o, s:{s:[s], s:{s:s}}, s:[s], s:[]}", "digest",
                     digest, "type", "artifact", "platform", "os", "linux", "arch", "amd64",
                     "layers", layers, "env", "path", "/opt/managed-env/pip/venv/bin", "variables",
                     "VIRTUAL_ENV", "/opt/managed-env/pip/venv", "bins", "python", "packages");
}

static void succeed(struct builder_job *job)
{
    char text[DIGEST_TEXT_SIZE];
    struct err ignored;
    job->lock_out = make_lock(job);
    json_canonical_digest(job->lock_out, &job->artifact, &ignored);
    job->manifest = make_manifest(job, digest_text(&job->artifact, text));
    job->warnings = json_array();
    job->total_ms = 5;
    job->received_bytes = 1000;
}

static void on_closed(uv_handle_t *h)
{
    struct run *r = container_of((uv_timer_t *)h, struct run, timer);
    struct builder_job *job = r->job;
    if (r->cancelled)
        err_set(&job->err, ERR_CANCELLED, "the build was cancelled");
    else if (job->forbidden && !job->lock)
        fail(job, ERR_POLICY, "registries: set allow_package_managers");
    else if (find(job, "fails") >= 0)
        fail(job, ERR_UNRESOLVABLE, "fails");
    else if (find(job, "flaky") >= 0)
        fail(job, ERR_NETWORK, "flaky");
    else
        succeed(job);
    job->done(job);
    free(r);
}

static void on_timer(uv_timer_t *t)
{
    uv_close((uv_handle_t *)t, on_closed);
}

static void start(struct builder *b, struct builder_job *job)
{
    struct run *r = MEM_NEW(struct run);
    long ms = find(job, "slow-"), lines = find(job, "chatty-");
    self(b)->started++;
    job->state = r;
    r->job = job;
    r->phase = "resolve";
    for (long i = 0; i < lines; i++) {
        char line[64];
        snprintf(line, sizeof(line), "line %ld", i);
        job->line(job, "info", line);
    }
    uv_timer_init(self(b)->loop, &r->timer);
    uv_timer_start(&r->timer, on_timer, ms > 0 ? (uint64_t)ms : 1, 0);
}

static void cancel(struct builder *b, struct builder_job *job)
{
    struct run *r = job->state;
    (void)b;
    r->cancelled = true;
    if (!uv_is_closing((uv_handle_t *)&r->timer))
        uv_close((uv_handle_t *)&r->timer, on_closed);
}

static json_t *progress(struct builder *b, const struct builder_job *job)
{
    const struct run *r = job->state;
    json_t *o = json_object();
    const char *manager;
    json_t *list;
    (void)b;
    json_object_foreach ((json_t *)(uintptr_t)job->packages, manager, list) {
        bool over = job->err.code || job->manifest;
        json_object_set_new(o, manager,
                            json_pack("{s:s, s:i, s:i}", "phase", over ? "done" : r->phase, "known",
                                      (int)json_array_size(list), "resolved", 0));
    }
    return o;
}

static bool ready(struct builder *b, struct err *err)
{
    (void)b, (void)err;
    return true;
}

static bool has_artifact(struct builder *b, const struct digest *artifact)
{
    (void)b, (void)artifact;
    return true;
}

static bool document(struct builder *b, const struct digest *artifact, const char *kind,
                     struct buf *out, struct err *err)
{
    char text[DIGEST_TEXT_SIZE];
    (void)b, (void)err;
    buf_printf(out, "{\"kind\":\"%s\",\"artifact\":\"%s\"}", kind, digest_text(artifact, text));
    return true;
}

/* Every blob is the bytes 0, 1, ... 250, over and over. */
#define BLOB_SIZE 1000000u

static struct builder_blob *open_blob(struct builder *b, const struct digest *artifact,
                                      const struct digest *blob, uint64_t *size,
                                      const char **media_type, struct err *err)
{
    (void)b;
    if (!digest_eq(artifact, blob)) {
        err_set(err, ERR_NOT_FOUND, "no such blob in this artifact");
        return NULL;
    }
    *size = BLOB_SIZE;
    *media_type = "application/octet-stream";
    return mem_alloc(1);
}

static int64_t read_blob(struct builder_blob *blob, uint64_t offset, char *out, size_t size,
                         struct err *err)
{
    (void)blob, (void)err;
    size_t n = offset + size > BLOB_SIZE ? (size_t)(BLOB_SIZE - offset) : size;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)((offset + i) % 251);
    return (int64_t)n;
}

static void close_blob(struct builder_blob *blob)
{
    free(blob);
}

static json_t *registries(struct builder *b)
{
    (void)b;
    return json_pack("{s:[s, s], s:[s]}", "pip", "pip.example.com", "files.example.com", "npm",
                     "npm.example.com");
}

static bool pin(struct builder *b, const char *name, const struct digest *artifact, struct err *err)
{
    (void)b, (void)name, (void)artifact, (void)err;
    return true;
}

static bool unpin(struct builder *b, const char *name, struct err *err)
{
    (void)b, (void)name, (void)err;
    return true;
}

static bool registries_known(struct builder *b)
{
    (void)b;
    return true;
}

static bool settle(struct builder *b, struct err *err)
{
    (void)b, (void)err;
    return true;
}

static const struct builder_ops ops = {
    .ready = ready,
    .start = start,
    .cancel = cancel,
    .progress = progress,
    .has_artifact = has_artifact,
    .document = document,
    .open_blob = open_blob,
    .read_blob = read_blob,
    .close_blob = close_blob,
    .registries = registries,
    .registries_known = registries_known,
    .pin = pin,
    .unpin = unpin,
    .settle = settle,
};

struct builder *double_new(uv_loop_t *loop)
{
    struct double_builder *b = MEM_NEW(struct double_builder);
    b->base.ops = &ops;
    b->loop = loop;
    return &b->base;
}

void double_free(struct builder *b)
{
    free(self(b));
}

unsigned double_started(const struct builder *b)
{
    return container_of(b, struct double_builder, base)->started;
}
