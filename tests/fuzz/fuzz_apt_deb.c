/* SPDX-License-Identifier: Apache-2.0 */
/* A package of any bytes: what may be laid out without dpkg names each path once, below folders of
 * its own that come before it, so that nothing leaves the folder it is laid out in; and its list
 * comes back from its text. */
#include <stdlib.h>

#include "base/map.h"
#include "worker/apt_layer/deb_tree.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_path(struct span path)
{
    struct span rest = path, part;
    check(path.len > 0 && !span_has(path, '\0') && !span_has(path, '\n'));
    while (span_next(&rest, '/', &part))
        check(part.len > 0 && !span_eq(part, SPAN(".")) && !span_eq(part, SPAN("..")));
}

static void check_nodes(const struct deb_tree *t)
{
    AUTO_MAP struct map seen = {0};
    for (size_t i = 0; i < t->nodes.n; i++) {
        struct deb_node *n = &t->nodes.v[i];
        size_t slash = span_find_last_char(n->path, '/');
        check_path(n->path);
        if (slash < n->path.len) {
            const struct deb_node *above = map_get(&seen, span_slice(n->path, 0, slash));
            check(above && above->type == ENTRY_DIR);
        }
        if (n->type == ENTRY_HARDLINK) {
            const struct deb_node *target = map_get(&seen, n->target);
            check(target && target->type == ENTRY_FILE && !target->conffile);
        }
        check(n->type != ENTRY_WHITEOUT && map_put(&seen, n->path, n));
    }
}

static void check_list(const struct deb_tree *t)
{
    AUTO_BUF struct buf first = BUF(256u << 20), second = BUF(256u << 20);
    struct deb_tree *back = MEM_NEW(struct deb_tree);
    back->arena = arena_new();
    deb_tree_print(t, &first);
    check(!first.overflow && deb_tree_parse(buf_span(&first), back));
    deb_tree_print(back, &second);
    check(span_eq(buf_span(&first), buf_span(&second)));
    deb_tree_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct deb_tree *t = deb_tree_read(span_of(data, size), 0x3f, &err);
    if (!t) {
        check(err.code == ERR_BAD_ARCHIVE || err.code == ERR_TOO_LARGE);
        return 0;
    }
    if (!t->why_dpkg)
        check_nodes(t);
    check_list(t);
    deb_tree_free(t);
    return 0;
}
