/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_export.c - artifacts out of the store, as OCI images or a tar; sbom. */
#include <stdio.h>
#include <string.h>

#include "worker/cli/cli.h"
#include "worker/sbom.h"

struct target {
    const char *kind; /* "oci", "oci-archive", "tar" */
    char *path;
    char *tag; /* NULL: none given */
};

/* "oci:DIR[:TAG]", "oci-archive:FILE[:TAG]", "tar:FILE". The tag is what follows the last colon
 * behind the last slash. */
static bool parse_target(const char *text, struct target *out, struct err *err)
{
    static const char *const kinds[] = {"oci", "oci-archive", "tar"};
    struct span kind, rest, path, tag;
    if (!span_cut_char(span_str(text), ':', &kind, &rest) || rest.len == 0)
        return err_set(err, ERR_USAGE,
                       "%s: the target is oci:DIR[:TAG], oci-archive:FILE[:TAG] or tar:FILE", text);
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (span_eq_str(kind, kinds[i]))
            out->kind = kinds[i];
    if (!out->kind)
        return err_set(err, ERR_USAGE,
                       "%.*s: no such kind of target; there are oci, oci-archive, tar",
                       SPAN_ARG(kind));
    if (strcmp(out->kind, "tar") != 0 && span_cut_last_char(rest, ':', &path, &tag) &&
        !span_has(tag, '/')) {
        if (tag.len == 0 || path.len == 0)
            return err_set(err, ERR_USAGE, "%s: path or tag is empty", text);
        rest = path;
        out->tag = mem_dup(tag);
    }
    out->path = mem_dup(rest);
    return true;
}

static bool export_to(struct cli *c, const struct artifact *a, const struct target *t,
                      struct err *err)
{
    if (strcmp(t->kind, "oci") == 0)
        return artifact_export_oci(c->engine.store, a, t->path, t->tag, err);
    if (strcmp(t->kind, "oci-archive") == 0)
        return artifact_export_oci_archive(c->engine.store, a, t->path, t->tag, err);
    return artifact_export_tar(c->engine.store, a, t->path, err);
}

static void print_target(const struct cli *c, const struct artifact *a, const char *path)
{
    if (!c->json) {
        printf("%s\n", path);
        return;
    }
    AUTO_JSON json_t *out = json_object();
    json_put_digest(out, "artifact", &a->digest);
    json_put_str(out, "path", path);
    cli_print_json(out);
}

static int export_run(struct cli *c)
{
    struct err err = {0};
    struct target target = {0};
    struct artifact *a = NULL;
    int status = 0;
    if (c->args.operands.n != 2)
        return cli_usage(c, "export takes a FILE or DIGEST and a target");
    bool ok = parse_target(c->args.operands.v[1], &target, &err);
    if (!ok)
        status = cli_fail(c, &err);
    else if (cli_artifact(c, c->args.operands.v[0], &a, &status)) {
        if (!export_to(c, a, &target, &err)) {
            err_wrap(&err, "%s", target.path);
            status = cli_fail(c, &err);
        } else if (strcmp(target.path, "-") != 0) {
            print_target(c, a, target.path);
        }
    }
    artifact_free(a);
    free(target.path);
    free(target.tag);
    return status;
}

const struct cli_command cli_cmd_export = {
    .name = "export",
    .operands = "FILE|DIGEST oci:DIR[:TAG]|oci-archive:FILE[:TAG]|tar:FILE",
    .summary = "write an artifact as an OCI image or as a tar of its tree",
    .help = "tar:- writes to standard output.",
    .options = cli_build_tables,
    .run = export_run,
};

static int sbom_run(struct cli *c)
{
    struct artifact *a = NULL;
    int status = 0;
    if (c->args.operands.n != 1)
        return cli_usage(c, "sbom takes one FILE or DIGEST");
    if (!cli_artifact(c, c->args.operands.v[0], &a, &status))
        return status;
    AUTO_JSON json_t *out = sbom_of(a);
    cli_print_json(out);
    artifact_free(a);
    return 0;
}

const struct cli_command cli_cmd_sbom = {
    .name = "sbom",
    .operands = "FILE|DIGEST",
    .summary = "print an artifact's bill of materials (SPDX 2.3, JSON)",
    .options = cli_build_tables,
    .run = sbom_run,
};
