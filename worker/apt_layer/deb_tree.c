/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/apt_layer/deb_tree.h"

#include <stdio.h>

#include "base/map.h"
#include "resolvers/apt/control.h"
#include "resolvers/archive/tar.h"
#include "worker/apt_layer/deb.h"

#define CONTROL_MAX_BYTES (64u << 20)
#define DATA_MAX_BYTES    (4ull << 30)
#define INFO              "var/lib/dpkg/info/"

const char *const deb_merged_names[DEB_MERGED_COUNT] = {"bin",   "sbin",  "lib",
                                                        "lib64", "lib32", "libx32"};

struct span deb_real_path(struct arena *a, struct span path, unsigned merged)
{
    struct span top = span_slice(path, 0, span_find_char(path, '/'));
    for (unsigned i = 0; i < DEB_MERGED_COUNT; i++)
        if ((merged >> i & 1) && span_eq_str(top, deb_merged_names[i]))
            return span_str(arena_printf(a, "usr/%.*s", SPAN_ARG(path)));
    return path;
}

struct reading {
    struct deb_tree *t;
    unsigned merged;
    struct map paths; /* real path -> index + 1 of its node */
    struct buf list;  /* dpkg's */
};

/* This package is dpkg's to unpack. */
static void leave_to_dpkg(struct deb_tree *t, const char *why)
{
    if (!t->why_dpkg)
        t->why_dpkg = why;
}

static bool plain_text(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 127)
            return false;
    return true;
}

/* ---- control ----------------------------------------------------------------------------------
 */

static void read_stanza(struct deb_tree *t, struct span text)
{
    struct span stanza, rest = text;
    if (!control_stanza(&rest, &stanza))
        return;
    t->control = arena_span(t->arena, stanza);
    t->package = control_get(t->control, SPAN("Package"));
    t->version = control_get(t->control, SPAN("Version"));
    t->arch = control_get(t->control, SPAN("Architecture"));
    t->multi_arch_same = span_eq(control_get(t->control, SPAN("Multi-Arch")), SPAN("same"));
}

static bool name_of_info(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(s.ptr[i] >= 'a' && s.ptr[i] <= 'z') && !(s.ptr[i] >= '0' && s.ptr[i] <= '9') &&
            !memchr("+-.:", s.ptr[i], 4))
            return false;
    return s.len > 0 && s.len < 200 && s.ptr[0] != '.' && s.ptr[0] != '-';
}

static struct deb_node *add_info(struct deb_tree *t, struct span suffix, struct span content,
                                 uint32_t mode)
{
    struct deb_node *n = VEC_PUSH(&t->nodes);
    n->path = span_str(arena_printf(
        t->arena, INFO "%.*s%s%.*s.%.*s", SPAN_ARG(t->package), t->multi_arch_same ? ":" : "",
        SPAN_ARG(t->multi_arch_same ? t->arch : SPAN("")), SPAN_ARG(suffix)));
    n->type = ENTRY_FILE;
    n->mode = mode;
    n->content = content;
    return n;
}

static void add_folder(struct deb_tree *t, const char *path)
{
    struct deb_node *n = VEC_PUSH(&t->nodes);
    *n = (struct deb_node){.path = span_str(path), .type = ENTRY_DIR, .mode = 0755};
}

static bool control_member(struct deb_tree *t, const struct tar_entry *e)
{
    struct span name = tar_strip(e->path, 0, t->arena);
    if (e->type == TAR_DIR && name.len == 0)
        return true;
    if (e->type != TAR_FILE || !name_of_info(name) || span_has(name, ':'))
        return false;
    if (span_eq(name, SPAN("control"))) {
        read_stanza(t, e->data);
        return true;
    }
    if (span_eq(name, SPAN("preinst")) && !t->first)
        leave_to_dpkg(t, "a script of it runs before it is unpacked");
    if (span_eq(name, SPAN("conffiles")))
        t->conffiles = arena_span(t->arena, e->data);
    if (span_eq(name, SPAN("triggers")))
        t->triggers = arena_span(t->arena, e->data);
    return true;
}

static bool read_control(struct deb_tree *t, struct span tar_bytes, struct err *err)
{
    struct tar tar = tar_of(tar_bytes, t->arena);
    struct tar_entry e;
    while (tar_next(&tar, &e, err))
        if (!control_member(t, &e))
            return err_set(err, ERR_BAD_ARCHIVE, "not a Debian package: odd control files");
    if (err->code)
        return false;
    if (!name_of_info(t->package) || span_has(t->package, ':') || !t->version.len ||
        !plain_text(t->version) || !name_of_info(t->arch))
        return err_set(err, ERR_BAD_ARCHIVE, "not a Debian package: no name, version, or machine");
    return true;
}

/* Where a package brings no checksums, dpkg makes them: of files and hard links, as it lists them.
 */
static void add_checksums(struct reading *r)
{
    struct deb_tree *t = r->t;
    AUTO_BUF struct buf sums = BUF(256u << 20);
    for (size_t i = 0; i < t->nodes.n; i++) {
        const struct deb_node *n = &t->nodes.v[i];
        size_t at = i + 1;
        if (n->type == ENTRY_HARDLINK)
            at = (size_t)(uintptr_t)map_get(&r->paths, n->target);
        if ((n->type != ENTRY_FILE && n->type != ENTRY_HARDLINK) || n->listed.len == 0 || at == 0)
            continue;
        struct hash md5 = hash_of_bytes(HASH_MD5, t->nodes.v[at - 1].content);
        char hex[2 * HASH_MAX_BYTES + 1];
        hex_encode(span_of(md5.bytes, hash_size(HASH_MD5)), hex);
        buf_printf(&sums, "%s  %.*s\n", hex, SPAN_ARG(n->listed));
    }
    add_info(t, SPAN("md5sums"), arena_span(t->arena, buf_span(&sums)), 0644);
}

/* The control files become dpkg's info/ files; that needs the name, so it is a second look. */
static bool add_infos(struct reading *r, struct span tar_bytes, struct err *err)
{
    static const char *const folders[] = {"var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/info"};
    struct deb_tree *t = r->t;
    struct tar tar = tar_of(tar_bytes, t->arena);
    struct tar_entry e;
    bool has_sums = false;
    for (size_t i = 0; i < COUNT(folders); i++)
        if (!map_has(&r->paths, span_str(folders[i])))
            add_folder(t, folders[i]);
    while (tar_next(&tar, &e, err)) {
        struct span name = tar_strip(e.path, 0, t->arena);
        has_sums = has_sums || span_eq(name, SPAN("md5sums"));
        if (e.type == TAR_FILE && !span_eq(name, SPAN("control")))
            add_info(t, name, arena_span(t->arena, e.data), e.mode & 0777);
    }
    if (!has_sums)
        add_checksums(r);
    add_info(t, SPAN("list"), arena_span(t->arena, buf_span(&r->list)), 0644);
    return err->code == ERR_NONE;
}

/* ---- data -------------------------------------------------------------------------------------
 */

static void note_owner(struct deb_tree *t, bool group, uint64_t id, struct span name)
{
    if (id > 65533 || !plain_text(name)) {
        leave_to_dpkg(t, "an owner out of range");
        return;
    }
    if (id == 0 && (name.len == 0 || span_eq(name, SPAN("root"))))
        return;
    for (size_t i = 0; i < t->owners.n; i++)
        if (t->owners.v[i].group == group && t->owners.v[i].id == id &&
            span_eq(t->owners.v[i].name, name))
            return;
    *VEC_PUSH(&t->owners) = (struct deb_owner){group, (uint32_t)id, arena_span(t->arena, name)};
}

/* Is the folder above a folder of this package, too? */
static bool folder_above(const struct reading *r, struct span path)
{
    size_t at = span_find_last_char(path, '/');
    if (at == path.len)
        return true;
    size_t i = (size_t)(uintptr_t)map_get(&r->paths, span_slice(path, 0, at));
    return i > 0 && r->t->nodes.v[i - 1].type == ENTRY_DIR;
}

static bool link_node(struct reading *r, struct deb_node *n, struct span target)
{
    n->target = deb_real_path(r->t->arena, tar_strip(target, 0, r->t->arena), r->merged);
    size_t i = (size_t)(uintptr_t)map_get(&r->paths, n->target);
    if (i == 0 || r->t->nodes.v[i - 1].type != ENTRY_FILE)
        return false;
    n->mode = r->t->nodes.v[i - 1].mode;
    return true;
}

static bool fill_node(struct reading *r, struct deb_node *n, const struct tar_entry *e)
{
    n->mode = e->mode;
    n->uid = (uint32_t)e->uid;
    n->gid = (uint32_t)e->gid;
    n->mtime = e->mtime;
    switch (e->type) {
    case TAR_DIR: n->type = ENTRY_DIR; return true;
    case TAR_FILE:
        n->type = ENTRY_FILE;
        n->content = e->data;
        return true;
    case TAR_SYMLINK:
        n->type = ENTRY_SYMLINK;
        n->target = e->target;
        n->mode = 0777;
        return n->target.len > 0;
    case TAR_HARDLINK: n->type = ENTRY_HARDLINK; return link_node(r, n, e->target);
    case TAR_OTHER: break;
    }
    return false;
}

static const char *const odd_path = "a path that is odd";

static void push_node(struct reading *r, const struct deb_node *n)
{
    *VEC_PUSH(&r->t->nodes) = *n;
    /* An index, no address. */
    map_put(&r->paths, n->path, (void *)(uintptr_t)r->t->nodes.n); /* NOLINT(performance-*) */
}

/* What is listed below /lib may really be below a /usr that is not listed yet. */
static void add_usr_above(struct reading *r, struct span path, struct span listed)
{
    const struct deb_node usr = {.path = SPAN("usr"), .type = ENTRY_DIR, .mode = 0755};
    if (path.len > listed.len && !map_has(&r->paths, usr.path))
        push_node(r, &usr);
}

static void add_entry(struct reading *r, const struct tar_entry *e)
{
    struct deb_tree *t = r->t;
    struct span listed = tar_strip(e->path, 0, t->arena);
    struct deb_node n = {.path = deb_real_path(t->arena, listed, r->merged), .listed = listed};
    buf_printf(&r->list, "/%.*s\n", SPAN_ARG(listed.len ? listed : SPAN(".")));
    if (listed.len == 0) /* the root itself */
        return;
    if (!plain_text(listed) || !plain_text(e->target) || span_starts(n.path, SPAN(INFO)) ||
        span_find(n.path, SPAN(".wh.")) < n.path.len || span_ends(n.path, SPAN(".dpkg-new"))) {
        leave_to_dpkg(t, odd_path);
        return;
    }
    note_owner(t, false, e->uid, e->uname);
    note_owner(t, true, e->gid, e->gname);
    add_usr_above(r, n.path, listed);
    size_t before = (size_t)(uintptr_t)map_get(&r->paths, n.path);
    bool again = before > 0 && e->type == TAR_DIR && t->nodes.v[before - 1].type == ENTRY_DIR;
    /* "/lib" and "/usr/lib" of one package are one folder. */
    if (again)
        return;
    if (before > 0 || !folder_above(r, n.path) || !fill_node(r, &n, e)) {
        leave_to_dpkg(t, odd_path);
        return;
    }
    push_node(r, &n);
}

static void mark_conffiles(struct reading *r)
{
    struct deb_tree *t = r->t;
    struct span rest = t->conffiles, line;
    while (span_next_line(&rest, &line)) {
        line = span_trim(line);
        if (line.len == 0)
            continue;
        size_t i = 0;
        if (line.ptr[0] == '/' && line.len > 1)
            i = (size_t)(uintptr_t)map_get(&r->paths,
                                           deb_real_path(t->arena, span_skip(line, 1), r->merged));
        if (i == 0 || t->nodes.v[i - 1].type != ENTRY_FILE) {
            leave_to_dpkg(t, "a configuration file that is not in it");
            return;
        }
        t->nodes.v[i - 1].conffile = true;
        t->nodes.v[i - 1].sha256 = digest_of(t->nodes.v[i - 1].content);
    }
    for (size_t k = 0; k < t->nodes.n; k++) {
        size_t i = t->nodes.v[k].type == ENTRY_HARDLINK
                       ? (size_t)(uintptr_t)map_get(&r->paths, t->nodes.v[k].target)
                       : 0;
        if (i > 0 && t->nodes.v[i - 1].conffile)
            leave_to_dpkg(t, "a configuration file with two names");
    }
}

static void read_data(struct reading *r, struct span member)
{
    struct deb_tree *t = r->t;
    struct err err = {0};
    struct tar_entry e;
    uint64_t kib = 0;
    span_to_u64(control_get(t->control, SPAN("Installed-Size")), &kib);
    kib = kib > DATA_MAX_BYTES >> 10 ? 0 : kib;
    if (!deb_inflate(member, DATA_MAX_BYTES, (kib << 10) + (kib << 7), &t->data, &err)) {
        leave_to_dpkg(t, "its data cannot be read");
        return;
    }
    struct tar tar = tar_of(buf_span(&t->data), t->arena);
    while (!t->why_dpkg && tar_next(&tar, &e, &err))
        add_entry(r, &e);
    if (err.code)
        leave_to_dpkg(t, "its data is no tar that could be read");
    else
        mark_conffiles(r);
}

struct deb_tree *deb_tree_read(struct span bytes, unsigned merged, struct err *err)
{
    struct deb_tree *t = MEM_NEW(struct deb_tree);
    struct reading r = {.t = t, .merged = merged, .list = BUF(256u << 20)};
    AUTO_BUF struct buf control = BUF(0);
    struct deb deb;
    t->arena = arena_new();
    t->first = merged & DEB_FIRST;
    bool ok = deb_open(bytes, &deb, err) &&
              deb_inflate(deb.control, CONTROL_MAX_BYTES, 0, &control, err) &&
              read_control(t, buf_span(&control), err);
    if (ok && !t->why_dpkg) {
        read_data(&r, deb.data);
        ok = t->why_dpkg || add_infos(&r, buf_span(&control), err);
    }
    map_release(&r.paths);
    buf_release(&r.list);
    if (ok)
        return t;
    deb_tree_free(t);
    return NULL;
}

void deb_tree_free(struct deb_tree *t)
{
    if (!t)
        return;
    buf_release(&t->data);
    VEC_FREE(&t->nodes);
    VEC_FREE(&t->owners);
    free(t->folder);
    arena_free(t->arena);
    free(t);
}

/* ---- the segment ------------------------------------------------------------------------------
 */

static void release_plan(struct segment_plan *plan)
{
    struct deb_tree *t = plan->owner;
    for (size_t i = 0; i < t->nodes.n; i++)
        t->nodes.v[i].content = SPAN("");
    buf_release(&t->data);
}

void deb_tree_plan(struct deb_tree *t, struct segment_plan *plan)
{
    segment_plan_init(plan);
    plan->owner = t;
    plan->release = release_plan;
    for (size_t i = 0; i < t->nodes.n; i++) {
        const struct deb_node *n = &t->nodes.v[i];
        struct segment_entry *e = VEC_PUSH(&plan->entries);
        e->path = n->path;
        e->type = n->type;
        e->mode = n->mode;
        e->uid = n->uid;
        e->gid = n->gid;
        /* As of all that configuring leaves: those of folders tell nothing. */
        e->mtime = n->type == ENTRY_DIR ? 0 : n->mtime;
        e->target = n->target;
        e->size = n->content.len;
        e->bytes = n->content;
    }
}
