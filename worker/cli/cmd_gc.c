/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_gc.c - collecting what nothing needs any more. */
#include <stdio.h>

#include "base/io.h"
#include "base/map.h"
#include "cache/gc.h"
#include "worker/apt_layer/deb_tree.h"
#include "worker/cli/cli.h"
#include "worker/mount/layer_dir.h"

#define DEFAULT_GRACE_MS (24 * 60 * 60 * 1000ll)

static const struct cli_option gc_options[] = {
    {"dry-run", 'n', NULL, "only tell what would go"},
    {"keep-bytes", 0, "SIZE", "remove no more than brings the store below this (20G, 500M)"},
    {"grace", 0, "AGE", "keep what was used within this time (default 24h; 0s: all may go)"},
    {0},
};

/* "500M", "20G", "1024". */
static bool parse_size(const char *text, uint64_t *out)
{
    struct span s = span_str(text);
    uint64_t unit = 1;
    static const char letters[] = "KMGT";
    const char *letter = s.len ? strchr(letters, s.ptr[s.len - 1] & ~32) : NULL;
    if (letter && *letter) {
        unit = 1ull << (10 * (letter - letters + 1));
        s.len--;
    }
    return span_to_u64(s, out) && !__builtin_mul_overflow(*out, unit, out);
}

/* "24h", "7d", "90m", "0s". */
static bool parse_age(const char *text, int64_t *out_ms)
{
    static const struct {
        char letter;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
    struct span s = span_str(text);
    uint64_t n;
    for (size_t i = 0; i < COUNT(units); i++)
        if (s.len && s.ptr[s.len - 1] == units[i].letter &&
            span_to_u64(span_slice(s, 0, s.len - 1), &n) && n < 100000000) {
            *out_ms = (int64_t)n * units[i].ms;
            return true;
        }
    return false;
}

/* Unpacked layers go with the artifacts that needed them. */
struct kept_layers {
    struct arena *arena;
    struct map layers;
};

static void keep_layer(void *ctx, const struct digest *layer)
{
    struct kept_layers *k = ctx;
    map_put(&k->layers, arena_span(k->arena, span_of(layer->bytes, DIGEST_BYTES)), NULL);
}

struct dir_sweep {
    struct layer_dirs *dirs;
    const struct kept_layers *kept;
    VEC(struct digest) gone;
};

static bool note_dir(void *ctx, const struct digest *digest)
{
    struct dir_sweep *sweep = ctx;
    if (!map_has(&sweep->kept->layers, span_of(digest->bytes, DIGEST_BYTES)))
        *VEC_PUSH(&sweep->gone) = *digest;
    return true;
}

static bool sweep_dirs(struct cli *c, const struct kept_layers *kept, size_t *removed,
                       struct err *err)
{
    struct dir_sweep sweep = {.kept = kept};
    sweep.dirs = layer_dirs_open(store_path(c->engine.store), err);
    if (!sweep.dirs)
        return false;
    bool ok =
        layer_dirs_sweep(sweep.dirs, err) && layer_dirs_each(sweep.dirs, note_dir, &sweep, err);
    for (size_t i = 0; ok && i < sweep.gone.n; i++) {
        if (layer_dirs_remove(sweep.dirs, &sweep.gone.v[i], err))
            ++*removed;
        else if (err->code == ERR_BUSY) /* somebody runs in it: the next time */
            err_clear(err);
        else
            ok = false;
    }
    VEC_FREE(&sweep.gone);
    layer_dirs_free(sweep.dirs);
    return ok;
}

static json_t *report_json(const struct gc_report *r, size_t removed_dirs, bool dry_run)
{
    json_t *out = json_object();
    json_object_set_new(out, "dry_run", json_boolean(dry_run));
    json_put_int(out, "blobs", (int64_t)r->blobs);
    json_put_int(out, "bytes", (int64_t)r->bytes);
    json_put_int(out, "needed_blobs", (int64_t)r->marked_blobs);
    json_put_int(out, "needed_bytes", (int64_t)r->marked_bytes);
    json_put_int(out, "removed_blobs", (int64_t)r->removed_blobs);
    json_put_int(out, "removed_bytes", (int64_t)r->removed_bytes);
    json_put_int(out, "metadata_bytes", (int64_t)r->metadata_bytes);
    json_put_int(out, "removed_metadata_bytes", (int64_t)r->removed_metadata_bytes);
    json_put_int(out, "artifacts", (int64_t)r->artifacts);
    json_put_int(out, "removed_folders", (int64_t)removed_dirs);
    json_object_set(out, "removed_artifacts", r->removed);
    return out;
}

static int gc_run(struct cli *c)
{
    struct err err = {0};
    struct kept_layers kept = {.arena = arena_new()};
    struct gc_report report = {0};
    struct gc_options options = {
        .grace_ms = DEFAULT_GRACE_MS,
        .dry_run = cli_flag(&c->args, "dry-run"),
        .keep_layer = keep_layer,
        .ctx = &kept,
    };
    const char *keep = cli_value(&c->args, "keep-bytes"), *grace = cli_value(&c->args, "grace");
    size_t removed_dirs = 0;
    int status = 0;
    if (c->args.operands.n)
        status = cli_usage(c, "gc takes no operand");
    else if (keep && !parse_size(keep, &options.keep_bytes))
        status = cli_usage(c, "--keep-bytes %s: a number of bytes, or one with K, M, G or T", keep);
    else if (grace && !parse_age(grace, &options.grace_ms))
        status = cli_usage(c, "--grace %s: a number with s, m, h, d or w", grace);
    else if (!cli_engine(c, &err) || !store_gc(c->engine.store, &options, &report, &err) ||
             (!options.dry_run && (!sweep_dirs(c, &kept, &removed_dirs, &err) ||
                                   !deb_trees_sweep(c->engine.store, &err))))
        status = cli_fail(c, &err);
    else if (c->json) {
        AUTO_JSON json_t *out = report_json(&report, removed_dirs, options.dry_run);
        cli_print_json(out);
    } else {
        char removed[16], all[16];
        printf("%s %s of %s in %llu blobs, %llu of %llu artifacts\n",
               options.dry_run ? "would remove" : "removed",
               progress_bytes(report.removed_bytes, removed), progress_bytes(report.bytes, all),
               (unsigned long long)report.removed_blobs,
               (unsigned long long)report.removed_artifacts, (unsigned long long)report.artifacts);
    }
    json_decref(report.removed);
    map_release(&kept.layers);
    arena_free(kept.arena);
    return status;
}

static const struct cli_option *const gc_tables[] = {gc_options, NULL};

const struct cli_command cli_cmd_gc = {
    .name = "gc",
    .operands = "",
    .summary = "remove what no pin, tag or recent artifact needs",
    .help =
        "Blobs, artifacts and unpacked layers that were not used within the grace time go, and\n"
        "registry metadata that no server confirmed for 30 days; what is pinned or tagged, and\n"
        "what a build is using, stays. --keep-bytes bounds blobs and metadata together.",
    .options = gc_tables,
    .run = gc_run,
};
