/* SPDX-License-Identifier: Apache-2.0 */
/* environment.h - environment files; the rules of their `config` are the HTTP API's (worker/rules).
 *
 * A file is YAML or JSON: `name`, `config: {networking, packages}`, and for local builds `base`,
 * `platform`, `policy: {exclude_newer, prerelease, only_binary, allow_scripts}`. Unknown keys are
 * refused with the nearest known one. Specs are parsed by their manager's grammar at once.
 *
 * Ownership: environment_free; everything in it belongs to it.
 * Errors:    ERR_INVALID with file, line and column, and the field's path:
 *            `environment.yaml:7:9: config.packages.pip[2]: "foo = = 1": ...`; ERR_TOO_LARGE.
 * Threads:   pure, but for environment_read. */
#ifndef STRATA_WORKER_ENVIRONMENT_H
#define STRATA_WORKER_ENVIRONMENT_H

#include "base/json.h"
#include "resolvers/resolver.h"

#define ENVIRONMENT_MAX_BYTES (1u << 20)
#define ENVIRONMENT_MAX_SPECS 512u /* a manager */
#define ENVIRONMENT_MAX_SPEC  256u /* bytes */

struct environment {
    const char *name; /* NULL: none given */
    const char *base; /* "host", "oci:DIR[:TAG]", "debian:SUITE"; never NULL */
    json_t *config;   /* canonical: {"type":"cloud","networking":{...},"packages":{six lists}} */
    json_t *platform; /* as declared, NULL: none */
    struct policy policy;
    struct arena *arena;
};

/* YAML, or JSON when the first character is '{'. `file` is for messages. Relative ages in
 * exclude_newer count back from now_ms. */
bool environment_parse(struct span text, const char *file, int64_t now_ms, struct environment **out,
                       struct err *err);
bool environment_read(const char *path, int64_t now_ms, struct environment **out, struct err *err);

/* An empty one (unrestricted networking, no packages), and packages from a command line. */
struct environment *environment_new(void);
bool environment_add(struct environment *e, const char *manager, const char *spec, struct err *err);
/* policy.exclude_newer as written: a date, a time (RFC 3339), or an age ("7d", "12h"). */
bool environment_exclude_newer(struct environment *e, struct span text, int64_t now_ms,
                               struct err *err);
void environment_free(struct environment *e); /* NULL is fine */

/* One spec by its manager's grammar; the manager is a known one. */
bool environment_check_spec(const char *manager, struct span spec, struct err *err);

/* Checks a `config` and fills in its defaults: the HTTP API's rules. New reference. */
bool environment_config(const json_t *config, json_t **out, struct err *err);

/* May this environment's builds reach registries? */
bool environment_allows_registries(const struct environment *e);

#endif
