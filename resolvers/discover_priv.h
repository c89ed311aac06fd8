/* SPDX-License-Identifier: Apache-2.0 */
/* discover_priv.h - what the managers' finders share.
 *
 * A finder reads the client's variables and files through these helpers, which keep a list of
 * where it looked (for the error and for doctor) and of the state of all it saw (the key under
 * which costly answers are remembered).
 *
 * Ownership: strings live in the discovery's arena. A buffer read into is the finder's.
 * Threads:   as discover.h. */
#ifndef STRATA_RESOLVERS_DISCOVER_PRIV_H
#define STRATA_RESOLVERS_DISCOVER_PRIV_H

#include "base/arena.h"
#include "resolvers/discover.h"

#define DISCOVER_MAX_FILE (1u << 20)

struct find {
    struct discovery *d;
    struct arena *arena;
    struct credentials *credentials;
    const char *manager;
    /* The configuration named the registry already: the client's files are read for secrets
     * and npm's scopes alone, and nothing is run. */
    bool configured;
    /* Results: */
    VEC(const char *) urls;
    VEC(struct registry_extra) extra;
    const char *from;
    json_t *details; /* object */
    /* Where it looked: array of "PLACE: what was there". */
    json_t *looked;
    struct buf state;
};

const struct discovery_options *discover_options(const struct discovery *d);

/* Variables of the environment; NULL: unset or empty. */
const char *find_env(struct find *f, const char *name);
/* The i-th "NAME=value" of the environment; NULL past the end. */
const char *find_env_at(struct find *f, size_t i);
const char *find_home(struct find *f);        /* NULL: none */
const char *find_config_home(struct find *f); /* $XDG_CONFIG_HOME or ~/.config; NULL: none */
const char *find_project(struct find *f);     /* NULL: none */

/* A path of the system, below the discovery's root. */
const char *find_system(struct find *f, const char *path);
const char *find_join(struct find *f, const char *dir, const char *rest); /* NULL if dir is */

/* The first program of that name in PATH; its real path; NULL: none. */
const char *find_program(struct find *f, const char *name);
const char *find_real(struct find *f, const char *path); /* NULL: not there */
/* `path` without its last `levels` components; NULL when it has fewer. */
const char *find_up(struct find *f, const char *path, int levels);

/* The file's text; false when it is not there or cannot be read, which is noted. A NULL path
 * is not there. */
bool find_read(struct find *f, const char *path, struct buf *out);
/* Notes that a place has, or has not, what is looked for. */
void find_note(struct find *f, const char *place, const char *what);

/* Paths matching a shell pattern, sorted; NULL-terminated. */
const char *const *find_glob(struct find *f, const char *pattern);

/* One more address, in order. The user part goes to the credentials; a final '/' is added.
 * ERR_INVALID unless http(s). `from` tells the first one's origin. */
bool find_add_url(struct find *f, struct span url, const char *from, struct err *err);
bool find_add_extra(struct find *f, const char *scope, struct span url, const char *from,
                    struct err *err);
bool find_clean_url(struct find *f, struct span url, const char *from, const char **out,
                    struct err *err);
bool find_is_http(struct span url);

/* Costly facts, under `state` + `more`. */
bool find_recall(struct find *f, const char *kind, const char *more, struct buf *out);
void find_remember(struct find *f, const char *kind, const char *more, struct span text);

/* Runs a client with our environment (and `extra_env`, may be NULL) and remembers what it
 * says under the state of its files and of all variables that begin with `prefix`. False: it
 * is not there or failed, which is noted. */
bool find_run(struct find *f, const char *const *argv, const char *prefix, const char *cwd,
              struct buf *out);

/* The first string in quotes (' or ") in `text` after `mark`; empty when there is none on the
 * same or the next two lines. */
struct span find_quoted_after(struct span text, struct span mark);

/* The finders. True with no address: nothing found. */
bool discover_apt(struct find *f, struct err *err);
bool discover_cargo(struct find *f, struct err *err);
bool discover_gem(struct find *f, struct err *err);
bool discover_go(struct find *f, struct err *err);
bool discover_npm(struct find *f, struct err *err);
bool discover_pip(struct find *f, struct err *err);

/* The configuration's own forms. */
bool discover_go_proxies(struct find *f, struct span list, const char *from, struct err *err);
bool discover_apt_line(struct find *f, struct span line, const char *from, struct err *err);
void discover_go_sumdb(struct find *f, struct span value);
void discover_go_keys(struct find *f);

#endif
