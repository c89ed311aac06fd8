/* SPDX-License-Identifier: Apache-2.0 */
/* build_base.c - what lies below a build's packages: this machine, or a Debian root that the build
 * makes itself, whose sources are this machine's of the same archives. */
#include <unistd.h>

#include "base/io.h"
#include "worker/build_priv.h"

#define EMPTY_FOLDER "empty"

/* VERSION_CODENAME of this machine; empty: it is no Debian. */
static struct span own_suite(struct buf *text)
{
    struct err ignored;
    struct span rest, line;
    if (!io_read_file(-1, "/etc/os-release", text, &ignored))
        return SPAN("");
    for (rest = buf_span(text); span_next_line(&rest, &line);)
        if (span_starts(line, SPAN("VERSION_CODENAME=")))
            return span_skip(line, 17);
    return SPAN("");
}

/* "SUITE", "SUITE-updates", "SUITE-security", "SUITE/updates": what follows; false: another's. */
static bool after_suite(struct span name, struct span suite, struct span *rest)
{
    if (suite.len == 0 || !span_starts(name, suite))
        return false;
    *rest = span_skip(name, suite.len);
    return rest->len == 0 || rest->ptr[0] == '-' || rest->ptr[0] == '/';
}

static size_t add_sources(json_t *out, const json_t *sources, struct span from, const char *to)
{
    size_t i;
    json_t *source;
    json_array_foreach (sources, i, source) {
        struct span rest;
        /* Backports are taken from when they are asked for, with a source of their own. */
        if (!after_suite(json_get_span(source, "suite"), from, &rest) ||
            span_starts(rest, SPAN("-backports")))
            continue;
        json_t *copy = json_deep_copy(source);
        AUTO_FREE char *name = mem_printf("%s%.*s", to, SPAN_ARG(rest));
        json_put_str(copy, "suite", name);
        json_array_append_new(out, copy);
    }
    return json_array_size(out);
}

/* Sources of the suite; where this machine has none, its own ones with the suite's name. */
static bool choose_sources(struct build *b, struct err *err)
{
    const json_t *details = discovery_details(engine_discovery(b->engine), "apt");
    const json_t *have = json_object_get(details, "sources");
    AUTO_BUF struct buf text = BUF(64u << 10);
    json_t *sources = json_array();
    b->apt_details = details ? json_copy((json_t *)(uintptr_t)details) : json_object();
    json_object_set_new(b->apt_details, "sources", sources);
    if (add_sources(sources, have, span_str(b->suite), b->suite) == 0)
        add_sources(sources, have, own_suite(&text), b->suite);
    return json_array_size(sources) > 0 ||
           err_set(
               err, ERR_NO_REGISTRY,
               "base: debian:%s: no apt source of this machine has that suite, nor one that "
               "could be read as its archive; write one to /etc/apt/sources.list.d/NAME.sources",
               b->suite);
}

static bool make_empty(struct build *b, struct err *err)
{
    b->base_root = arena_printf(b->arena, "%s/" EMPTY_FOLDER, store_path(b->engine->store));
    return io_mkdirs(store_dir_fd(b->engine->store), EMPTY_FOLDER, 0755, err);
}

bool build_base_open(struct build *b, struct err *err)
{
    struct span base = span_str(b->request->base ? b->request->base : "host");
    if (span_eq(base, SPAN("host")))
        return true;
    if (!span_starts(base, SPAN("debian:")))
        return err_set(err, ERR_UNSUPPORTED,
                       "base: %.*s: a build has this machine (host) or a root of its own "
                       "(debian:SUITE) as its base",
                       SPAN_ARG(base));
    if (geteuid() != 0 && !b->request->lock_only)
        return err_set(err, ERR_UNSUPPORTED,
                       "base: %.*s: only root can make a root whose files belong to several",
                       SPAN_ARG(base));
    b->suite = arena_str(b->arena, span_skip(base, 7));
    return make_empty(b, err);
}

const json_t *build_base_details(struct build *b, const char *manager, struct err *err)
{
    if (!b->suite || strcmp(manager, "apt") != 0)
        return discovery_details(engine_discovery(b->engine), manager);
    if (!b->apt_details && !choose_sources(b, err))
        return NULL;
    return b->apt_details;
}
