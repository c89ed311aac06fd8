/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <stdio.h>

#include "base/map.h"
#include "worker/apt_layer/harvest.h"
#include "worker/apt_layer/keystore.h"
#include "worker/apt_layer/layer_priv.h"

#define INFO    "var/lib/dpkg/info/"
#define DPKG_DB "var/lib/dpkg/"
#define CACERTS "etc/ssl/certs/java/cacerts"

static const char configured[] = "configured"; /* the part of what belongs to no package */

const char *const apt_left_out[] = {
    /* Put there for the run. */
    "usr/sbin/policy-rc.d",
    /* Logs and what they are about: when it ran. */
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/log/fontconfig.log",
    "var/log/apt/",
    "var/log/bootstrap.log",
    "var/log/btmp",
    "var/log/wtmp",
    "var/log/lastlog",
    "var/log/faillog",
    /* Caches that are made again where they are missed. */
    "var/cache/ldconfig/aux-cache",
    "var/cache/apt/",
    "var/lib/apt/lists/",
    "var/lib/apt/periodic/",
    "var/cache/man/",
    /* Locks, and copies of what was before. */
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/dpkg/triggers/Unincorp",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/dpkg/updates/",
    "var/lib/dpkg/tmp.ci/",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "etc/.pwd.lock",
    "var/lib/apt/extended_states",
    /* Of one machine alone. */
    "etc/machine-id",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/urandom/random-seed",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/mtab",
    NULL,
};

struct splitter {
    struct apt_layer_job *job;
    struct arena *arena;
    unsigned merged;                 /* of the base: deb_tree.h */
    struct map owners;               /* path -> name of the package */
    struct map parts;                /* name -> struct part */
    struct map folders;              /* path -> struct harvest_entry, of the upper */
    struct map paths;                /* all there is in the upper */
    const struct apt_native *native; /* or NULL */
    struct map configured; /* conffiles of native packages that dpkg put in their places */
};

struct part {
    const char *name;
    struct segment_plan plan;
    struct map folders; /* which are in it already */
};

/* "var/lib/dpkg/info/NAME[:ARCH].SUFFIX": the package it is about. */
static bool info_owner(struct span path, struct span *package, struct span *suffix)
{
    struct span name, arch;
    if (!span_starts(path, SPAN(INFO)))
        return false;
    path = span_skip(path, sizeof(INFO) - 1);
    if (!span_cut_last_char(path, '.', &name, suffix))
        return false;
    *package = name;
    span_cut_char(name, ':', package, &arch);
    return true;
}

static void learn_list(struct splitter *s, struct span package, struct span list)
{
    struct span line;
    while (span_next_line(&list, &line))
        if (line.len > 2 && line.ptr[0] == '/') {
            struct span path = deb_real_path(s->arena, span_skip(line, 1), s->merged);
            if (!map_has(&s->owners, path))
                map_put(&s->owners, path, arena_str(s->arena, package));
        }
}

static bool is_native(const struct splitter *s, struct span package)
{
    return s->native && map_has(&s->native->names, package);
}

static struct part *part_of(struct splitter *s, const char *name)
{
    struct part *p = map_get(&s->parts, span_str(name));
    if (!p) {
        p = ARENA_NEW(s->arena, struct part);
        p->name = name;
        segment_plan_init(&p->plan);
        map_put(&s->parts, span_str(name), p);
    }
    return p;
}

/* A capability that was set in a user namespace names the namespace's root behind it (revision 3);
 * without that it is everybody's (revision 2). Others are none. */
static struct span plain_capability(struct arena *a, struct span c)
{
    uint32_t magic;
    if (c.len != 20 && c.len != 24)
        return SPAN("");
    char *out = arena_alloc(a, 20);
    memcpy(out, c.ptr, 20);
    memcpy(&magic, out, sizeof(magic));
    uint32_t revision = le32toh(magic) & 0xff000000u;
    if (revision != (c.len == 24 ? 0x03000000u : 0x02000000u))
        return SPAN("");
    magic = htole32((le32toh(magic) & 0x00ffffffu) | 0x02000000u);
    memcpy(out, &magic, sizeof(magic));
    return span_of(out, 20);
}

static struct segment_entry *add_entry(struct part *p, const struct harvest_entry *e)
{
    struct segment_entry *out = VEC_PUSH(&p->plan.entries);
    out->path = arena_span(p->plan.arena, e->path);
    out->type = (enum entry_type)e->head.type;
    out->mode = e->head.mode;
    out->uid = e->head.uid;
    out->gid = e->head.gid;
    out->mtime = e->head.mtime;
    out->target = arena_span(p->plan.arena, e->target);
    if (e->capability.len && out->type == ENTRY_FILE)
        out->capability = plain_capability(p->plan.arena, e->capability);
    out->size = e->content.len;
    out->bytes = e->content;
    return out;
}

/* Folders above an entry, as they really are: left to the segment writer they would be 0755. */
static void add_folders(struct splitter *s, struct part *p, struct span path)
{
    struct span above, name;
    if (!span_cut_last_char(path, '/', &above, &name) || map_has(&p->folders, above))
        return;
    add_folders(s, p, above);
    const struct harvest_entry *e = map_get(&s->folders, above);
    map_put(&p->folders, arena_span(s->arena, above), NULL);
    if (e)
        add_entry(p, e)->mtime = 0;
}

static int by_line(const void *a, const void *b)
{
    return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

/* Trigger interests are written in the order they were met. */
static struct span sorted_lines(struct arena *a, struct span text)
{
    VEC(struct span) lines = {0};
    struct span line;
    char *out = arena_alloc(a, text.len + 2), *o = out;
    while (span_next_line(&text, &line))
        *VEC_PUSH(&lines) = line;
    if (lines.n)
        qsort(lines.v, lines.n, sizeof(*lines.v), by_line);
    for (size_t i = 0; i < lines.n; i++) {
        memcpy(o, lines.v[i].ptr, lines.v[i].len);
        o += lines.v[i].len;
        *o++ = '\n';
    }
    VEC_FREE(&lines);
    return span_of(out, (size_t)(o - out));
}

static const char *owner_of(struct splitter *s, const struct harvest_entry *e)
{
    struct span package, suffix;
    if (e->head.type == ENTRY_WHITEOUT || e->head.type == ENTRY_DIR)
        return NULL;
    if (info_owner(e->path, &package, &suffix))
        return is_native(s, package) ? NULL : arena_str(s->arena, package);
    return map_get(&s->owners, e->path);
}

/* dpkg moves the configuration files of native packages to their places, where the package's
 * segment has them already. */
static bool is_moved_conffile(struct splitter *s, const struct harvest_entry *e)
{
    static const struct span new = SPAN_INIT(".dpkg-new");
    if (!s->native)
        return false;
    if (e->head.type == ENTRY_WHITEOUT)
        return span_ends(e->path, new) &&
               map_has(&s->native->conffiles, span_slice(e->path, 0, e->path.len - new.len));
    const struct deb_node *n = map_get(&s->native->conffiles, e->path);
    if (!n)
        return false;
    map_put(&s->configured, n->path, NULL);
    struct digest now = digest_of(e->content);
    return e->head.type == ENTRY_FILE && e->head.mode == n->mode && e->head.uid == n->uid &&
           e->head.gid == n->gid && e->capability.len == 0 && digest_eq(&now, &n->sha256);
}

static void split_entry(struct splitter *s, const struct harvest_entry *e)
{
    const char *owner;
    if (is_moved_conffile(s, e))
        return;
    owner = owner_of(s, e);
    /* A hard link lives with its target. */
    if (e->head.type == ENTRY_HARDLINK) {
        const char *of_target = map_get(&s->owners, e->target);
        if (!of_target || !owner || strcmp(of_target, owner) != 0)
            owner = of_target;
    }
    struct part *p = part_of(s, owner ? owner : configured);
    add_folders(s, p, e->path);
    if (e->head.type == ENTRY_DIR && map_has(&p->folders, e->path))
        return;
    struct segment_entry *out = add_entry(p, e);
    if (e->head.type == ENTRY_DIR || span_starts(e->path, SPAN(DPKG_DB)))
        out->mtime = 0;
    if (e->head.type == ENTRY_DIR)
        map_put(&p->folders, out->path, NULL);
    if (span_eq(e->path, SPAN(CACERTS)))
        keystore_normalise(e->content, s->job->source_date_epoch, p->plan.arena, &out->bytes);
    if (span_eq(e->path, SPAN(DPKG_DB "triggers/File"))) {
        out->bytes = sorted_lines(p->plan.arena, e->content);
        out->size = out->bytes.len;
    }
}

/* One that was removed again is to be removed from the package's segment. */
static void hide_missing_conffiles(struct splitter *s)
{
    for (size_t i = 0; s->native && i < s->native->conffiles.n; i++) {
        struct span path = s->native->conffiles.v[i].key;
        struct harvest_entry gone = {.path = path, .head.type = ENTRY_WHITEOUT};
        if (!map_has(&s->configured, path))
            split_entry(s, &gone);
    }
}

/* What lies below a folder that was made anew must not show through it. */
static void hide_replaced(struct splitter *s)
{
    for (size_t i = 0; i < s->folders.n; i++) {
        const struct harvest_entry *folder = s->folders.v[i].value;
        AUTO_MAP struct map below = {0};
        if (folder->capability.len == 0)
            continue;
        apt_paths_below(s->job, folder->path, s->arena, &below);
        for (size_t k = 0; k < below.n; k++) {
            struct harvest_entry gone = {.path = below.v[k].key, .head.type = ENTRY_WHITEOUT};
            if (!map_has(&s->paths, gone.path))
                split_entry(s, &gone);
        }
    }
}

/* First what belongs to whom, and the folders; all entries are looked at twice. */
static bool learn(struct splitter *s, struct span stream, struct err *err)
{
    struct harvest_entry e;
    err_clear(err);
    while (harvest_next(&stream, &e, err)) {
        struct span package, suffix;
        map_put(&s->paths, e.path, NULL);
        if (e.head.type == ENTRY_DIR) {
            struct harvest_entry *copy = ARENA_NEW(s->arena, struct harvest_entry);
            *copy = e;
            map_put(&s->folders, e.path, copy);
        } else if (info_owner(e.path, &package, &suffix) && span_eq(suffix, SPAN("list")) &&
                   !is_native(s, package)) {
            learn_list(s, package, e.content);
        }
    }
    return err->code == ERR_NONE;
}

static void note_secrets(struct apt_layer_job *job, struct span path)
{
    static const struct span made_anew[] = {
        SPAN_INIT("etc/ssl/private/ssl-cert-snakeoil.key"),
        SPAN_INIT("etc/ssh/ssh_host_rsa_key"),
        SPAN_INIT("var/lib/mysql/ibdata1"),
    };
    for (size_t i = 0; i < COUNT(made_anew); i++)
        if (span_eq(path, made_anew[i])) {
            job->notes = job->notes ? job->notes : json_array();
            json_array_append_new(job->notes,
                                  json_sprintf("%.*s is made anew by each installation, so another "
                                               "machine's layer will differ in it",
                                               SPAN_ARG(path)));
        }
}

static int by_name(const void *a, const void *b)
{
    const struct apt_layer_part *x = a, *y = b;
    bool last_x = strcmp(x->name, configured) == 0, last_y = strcmp(y->name, configured) == 0;
    return last_x != last_y ? last_x - last_y : strcmp(x->name, y->name);
}

static void hand_over(struct splitter *s)
{
    struct apt_layer_job *job = s->job;
    job->parts = mem_array(s->parts.n, sizeof(*job->parts));
    for (size_t i = 0; i < s->parts.n; i++) {
        struct part *p = s->parts.v[i].value;
        job->parts[job->part_count++] =
            (struct apt_layer_part){arena_str(p->plan.arena, span_str(p->name)), p->plan};
    }
    if (job->part_count)
        qsort(job->parts, job->part_count, sizeof(*job->parts), by_name);
}

bool apt_split(struct apt_layer_job *job, const struct apt_native *native, struct span stream,
               struct err *err)
{
    struct splitter s = {.job = job, .native = native, .arena = arena_new()};
    s.merged = job->merged;
    struct harvest_entry e;
    struct span rest = stream;
    bool ok = learn(&s, stream, err);
    while (ok && harvest_next(&rest, &e, err)) {
        split_entry(&s, &e);
        note_secrets(job, e.path);
    }
    ok = ok && err->code == ERR_NONE;
    if (ok) {
        hide_missing_conffiles(&s);
        hide_replaced(&s);
    }
    for (size_t i = 0; i < s.parts.n; i++) {
        struct part *p = s.parts.v[i].value;
        map_release(&p->folders);
        if (!ok)
            segment_plan_release(&p->plan);
    }
    if (ok)
        hand_over(&s);
    map_release(&s.owners);
    map_release(&s.parts);
    map_release(&s.folders);
    map_release(&s.paths);
    map_release(&s.configured);
    arena_free(s.arena);
    return ok;
}
