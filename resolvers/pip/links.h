/* SPDX-License-Identifier: Apache-2.0 */
/* links.h - pip's find-links on this machine: folders of files, and single files.
 *
 * Candidates of a project come from them beside those of the indexes. A file that is used goes
 * into the store as a blob, where its digest is made; a lock has its name alone.
 *
 * Ownership: results live in the arena or, where it says so, are the caller's.
 * Errors:    ERR_IO, ERR_TOO_LARGE, ERR_NO_SPACE; what cannot be read as a folder is empty.
 * Threads:   any; pip_links_store blocks for as long as reading takes.
 * Source:    pip's user guide on finding packages. */
#ifndef STRATA_RESOLVERS_PIP_LINKS_H
#define STRATA_RESOLVERS_PIP_LINKS_H

#include "base/json.h"
#include "resolvers/pip/index.h"

struct store;

#define PIP_FILE_URL "file://"

/* Is it a page on a server? Else it is a path, or an URL of one. */
bool pip_link_is_page(struct span link);

/* Adds the project's files below a path. */
void pip_links_list(struct span link, struct span project, struct arena *a, struct pip_page *page);

/* The path of a file of that name in any of details.find_links, from the arena; NULL: in none. */
const char *pip_links_find(const json_t *details, struct span filename, struct arena *a);

/* A file's bytes into the store. */
bool pip_links_store(struct store *store, const char *path, struct digest *out, struct err *err);

#endif
