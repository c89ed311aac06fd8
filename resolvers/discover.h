/* SPDX-License-Identifier: Apache-2.0 */
/* discover.h - where each manager's packages come from, as this machine's clients know it.
 *
 * Nothing here knows a registry's name. The configuration's `registries` come first, then the
 * client's variables and files in the client's own order of precedence, then the default that
 * is written in the client itself: pip's and npm's and rubygems' sources, go.env, cargo's
 * program. Where that is not found, the client is asked by running it. What is costly (running
 * a client, searching a program) is remembered in the store under the state of all it read.
 *
 * A manager is looked for when it is first asked for; most environments need one or two.
 *
 * Ownership: all belongs to the discovery. The options' members must outlive it.
 * Errors:    ERR_NO_REGISTRY, telling where it looked and what to write; ERR_INVALID for a
 *            client's file or a configuration that names something else than an http(s) URL.
 * Threads:   one at a time; calls block (files, rarely a client's run). */
#ifndef STRATA_RESOLVERS_DISCOVER_H
#define STRATA_RESOLVERS_DISCOVER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "resolvers/credentials.h"
#include "resolvers/registry.h"

struct discovery;
struct store;

/* All zero: this machine, its environment, no configuration. */
struct discovery_options {
    struct store *store;      /* NULL: nothing is remembered */
    const json_t *configured; /* `registries` of the configuration; NULL: none */
    /* Manager to the place where that stands, for people; NULL: "the configuration". */
    const json_t *configured_from;
    const char *project_dir; /* whose .npmrc and .cargo count besides; NULL: none */
    const char *const *env;  /* "NAME=value", NULL-terminated; NULL: ours */
    const char *root;        /* put before /etc and /usr; NULL: "" */
    bool no_run;             /* never run a client */
};

struct discovery *discovery_new(const struct discovery_options *options);
void discovery_free(struct discovery *d); /* NULL is fine */

/* NULL and *err when there is none. */
const struct registry *discovery_registry(struct discovery *d, const char *manager,
                                          struct err *err);

/* What the manager's client says besides, NULL when no registry was found:
 *   pip  {"files_host", "find_links":[...], "ca_file"}
 *   npm  {"ca_file", "strict_ssl":false}
 *   go   {"proxies":[{"url"|"direct"|"off", "fall_through": any error goes on}], "sumdb": name,
 *         "sumdb_key", "sumdb_url", "nosumdb", "private", "noproxy"}
 *   cargo {"index": as cargo writes it, "source"}
 *   apt  {"sources":[{"type","uri","suite","components":[...],"architectures":[...],
 *         "signed_by","trusted","options":{...},"file"}]}
 * Absent members are unset. */
const json_t *discovery_details(struct discovery *d, const char *manager);

/* For http_options.credentials, with credentials_lookup. Knows the secrets of the managers
 * asked for so far, and netrc. */
struct credentials *discovery_credentials(struct discovery *d);

/* The hosts a limited network must let through for the manager, sorted, unique: the registry's,
 * its extra ones', and where its files lie if the client tells. Array of strings, new. */
json_t *discovery_hosts(struct discovery *d, const char *manager);

/* Everything about one manager for doctor: {"manager","urls","extra","from","credentials":bool,
 * "looked":[...],"details"} or {"manager","error","looked"}. New reference, no secrets. */
json_t *discovery_report(struct discovery *d, const char *manager);

#endif
