/* SPDX-License-Identifier: Apache-2.0 */
/* index_priv.h - what the two forms of an index page share. */
#ifndef STRATA_RESOLVERS_PIP_INDEX_PRIV_H
#define STRATA_RESOLVERS_PIP_INDEX_PRIV_H

#include "resolvers/pip/index.h"

#define PIP_MAX_FILES 200000

/* Takes the file into the page if its name is one of the project's; else counts it as
 * dropped. */
void pip_page_add(struct pip_page *page, struct pip_file *f, struct span project, struct arena *a);

bool pip_page_json(struct pip_page *page, struct span body, struct span project, struct arena *a,
                   struct err *err);
bool pip_page_html(struct pip_page *page, struct span body, struct span project, struct arena *a,
                   struct err *err);

/* "1.1": an API we understand. */
bool pip_page_api(struct span version, struct err *err);

/* Its hexadecimal digits, when they are 64; else the empty span. */
struct span pip_sha256_value(struct span hex);

#endif
