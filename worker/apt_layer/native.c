/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/apt_layer/native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "resolvers/apt/control.h"

#define FILE_MAX_BYTES (256u << 20)

struct planner {
    struct deb_tree *const *trees;
    size_t count;
    unsigned merged;
    int base_fd;
    struct apt_native *out;
    struct map installed;     /* names that dpkg knows in the base */
    struct map users, groups; /* name -> id + 1 */
    struct map special;       /* paths that are diverted or overridden */
    struct map interests;     /* paths with file triggers */
    struct map paths;         /* of all trees: -> struct seen */
    bool excludes;            /* dpkg is told to leave out paths */
};

struct seen {
    size_t tree;
    bool folder;
};

/* ---- the base ---------------------------------------------------------------------------------
 */

unsigned apt_base_merged(const char *base)
{
    unsigned merged = 0;
    for (unsigned i = 0; i < DEB_MERGED_COUNT; i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", base, deb_merged_names[i]);
        AUTO_FREE char *want = mem_printf("usr/%s", deb_merged_names[i]);
        char target[64];
        ssize_t n = readlink(path, target, sizeof(target));
        struct span got = span_of(target, n > 0 ? (size_t)n : 0);
        if (span_starts(got, SPAN("/")))
            got = span_skip(got, 1);
        if (span_eq_str(got, want))
            merged |= 1u << i;
    }
    return merged;
}

/* A file of the base, copied into the arena; one that is not there is empty. */
static bool base_text(const struct planner *p, const char *path, struct span *out, struct err *err)
{
    AUTO_BUF struct buf text = BUF(FILE_MAX_BYTES);
    *out = SPAN("");
    if (!io_read_file(p->base_fd, path, &text, err)) {
        if (err->code != ERR_NOT_FOUND)
            return err_wrap(err, "the base");
        err_clear(err);
        return true;
    }
    *out = arena_span(p->out->arena, buf_span(&text));
    return true;
}

static bool learn_installed(struct planner *p, struct err *err)
{
    struct span text, stanza;
    if (!base_text(p, "var/lib/dpkg/status", &text, err))
        return false;
    while (control_stanza(&text, &stanza))
        if (!span_ends(control_get(stanza, SPAN("Status")), SPAN(" not-installed")))
            map_put(&p->installed, control_get(stanza, SPAN("Package")), NULL);
    return true;
}

static bool learn_accounts(struct planner *p, const char *path, struct map *out, struct err *err)
{
    struct span text, line, name, rest, id;
    uint64_t n;
    if (!base_text(p, path, &text, err))
        return false;
    while (span_next_line(&text, &line))
        if (span_cut_char(line, ':', &name, &rest) && span_cut_char(rest, ':', &id, &rest) &&
            span_cut_char(rest, ':', &id, &rest) && span_to_u64(id, &n) && n < UINT32_MAX)
            map_put(out, name, (void *)(uintptr_t)(n + 1)); /* NOLINT: a number, no address */
    return true;
}

static void learn_special(struct planner *p, struct span path)
{
    if (path.len > 1 && path.ptr[0] == '/')
        map_put(&p->special, deb_real_path(p->out->arena, span_skip(path, 1), p->merged), NULL);
}

/* Diversions are three lines each: from, to, by whom. An override's path is its fourth word. */
static bool learn_specials(struct planner *p, struct err *err)
{
    struct span text, line, word;
    if (!base_text(p, "var/lib/dpkg/diversions", &text, err))
        return false;
    for (int i = 0; span_next_line(&text, &line); i++)
        if (i % 3 < 2)
            learn_special(p, line);
    if (!base_text(p, "var/lib/dpkg/statoverride", &text, err))
        return false;
    while (span_next_line(&text, &line)) {
        for (int i = 0; i < 3; i++)
            span_next(&line, ' ', &word);
        learn_special(p, line);
    }
    return true;
}

static bool tells_to_exclude(const struct planner *p, const char *path)
{
    struct span text;
    struct err ignored;
    return base_text(p, path, &text, &ignored) && span_find(text, SPAN("path-exclude")) < text.len;
}

static void learn_excludes(struct planner *p)
{
    p->excludes = tells_to_exclude(p, "etc/dpkg/dpkg.cfg");
    int fd = openat(p->base_fd, "etc/dpkg/dpkg.cfg.d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        AUTO_FREE char *path = mem_printf("etc/dpkg/dpkg.cfg.d/%s", e->d_name);
        if (e->d_name[0] != '.' && tells_to_exclude(p, path))
            p->excludes = true;
    }
    if (dir)
        closedir(dir);
}

static bool learn_base(struct planner *p, struct err *err)
{
    struct span text, line, path, package;
    learn_excludes(p);
    if (!learn_installed(p, err) || !learn_accounts(p, "etc/passwd", &p->users, err) ||
        !learn_accounts(p, "etc/group", &p->groups, err) || !learn_specials(p, err) ||
        !base_text(p, "var/lib/dpkg/triggers/File", &text, err))
        return false;
    while (span_next_line(&text, &line))
        if (span_cut_char(line, ' ', &path, &package) && span_starts(path, SPAN("/")))
            map_put(&p->interests, path, NULL);
    return true;
}

/* ---- choosing ---------------------------------------------------------------------------------
 */

/* An account has the number that the package means, or is not known and the number counts. */
static bool owners_fit(const struct planner *p, const struct deb_tree *t)
{
    for (size_t i = 0; i < t->owners.n; i++) {
        const struct deb_owner *o = &t->owners.v[i];
        uintptr_t id = (uintptr_t)map_get(o->group ? &p->groups : &p->users, o->name);
        if (id > 0 && id - 1 != o->id)
            return false;
    }
    return true;
}

/* What the base has there already is a folder, where the package has one, or nothing. */
static bool meets_nothing(const struct planner *p, const struct deb_node *n)
{
    struct stat st;
    if (map_has(&p->special, n->path))
        return false;
    AUTO_FREE char *path = mem_dup(n->path);
    if (fstatat(p->base_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT;
    return n->type == ENTRY_DIR && S_ISDIR(st.st_mode);
}

static bool fits_base(const struct planner *p, const struct deb_tree *t)
{
    if (!t || t->why_dpkg || p->excludes || map_has(&p->installed, t->package) || !owners_fit(p, t))
        return false;
    for (size_t i = 0; i < t->nodes.n; i++)
        if (!meets_nothing(p, &t->nodes.v[i]))
            return false;
    return true;
}

/* Two that have a path in common, but for a folder, are dpkg's both. */
static void note_paths(struct planner *p, size_t tree)
{
    const struct deb_tree *t = p->trees[tree];
    for (size_t i = 0; i < t->nodes.n; i++) {
        bool folder = t->nodes.v[i].type == ENTRY_DIR;
        void **at = map_at(&p->paths, t->nodes.v[i].path);
        struct seen *s = *at;
        if (s && !(folder && s->folder)) {
            p->out->chosen[tree] = p->out->chosen[s->tree] = false;
        } else if (!s) {
            *at = s = ARENA_NEW(p->out->arena, struct seen);
            *s = (struct seen){tree, folder};
        }
    }
}

static void choose(struct planner *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        p->out->chosen[i] = fits_base(p, p->trees[i]);
    for (size_t i = 0; i < p->count; i++)
        if (p->out->chosen[i])
            note_paths(p, i);
    for (size_t i = 0; i < p->count; i++)
        if (p->out->chosen[i] && n++ >= NATIVE_MAX_FOLDERS)
            p->out->chosen[i] = false;
}

/* ---- the data base ----------------------------------------------------------------------------
 */

static struct apt_native_db *db_of(struct apt_native *out, const struct deb_tree *t)
{
    return t->first ? &out->first : &out->rest;
}

/* base-passwd's makes the accounts that others need. */
static void put_preinst(struct apt_native *out, const struct deb_tree *t)
{
    for (size_t i = 0; t->first && i < t->nodes.n; i++) {
        struct span path = t->nodes.v[i].path;
        if (!span_starts(path, SPAN("var/lib/dpkg/info/")) || !span_ends(path, SPAN(".preinst")))
            continue;
        AUTO_FREE char *line = mem_printf("%.*s %.*s /%.*s\n", SPAN_ARG(t->package),
                                          SPAN_ARG(t->arch), SPAN_ARG(path));
        AUTO_FREE char *others = mem_dup(buf_span(&out->preinsts));
        bool before = span_eq(t->package, SPAN("base-passwd"));
        buf_reset(&out->preinsts);
        buf_printf(&out->preinsts, "%s%s", before ? line : others, before ? others : line);
    }
}

static void put_stanza(struct apt_native_db *out, const struct deb_tree *t)
{
    struct span rest = t->control, name, value, line;
    buf_printf(&out->status, "\nPackage: %.*s\nStatus: install ok unpacked\n",
               SPAN_ARG(t->package));
    while (control_field(&rest, &name, &value))
        if (!span_eq_nocase(name, SPAN("Package")) && !span_eq_nocase(name, SPAN("Status")) &&
            !span_eq_nocase(name, SPAN("Conffiles")))
            buf_printf(&out->status, "%.*s: %.*s\n", SPAN_ARG(name), SPAN_ARG(value));
    bool first = true;
    for (rest = t->conffiles; span_next_line(&rest, &line);) {
        line = span_trim(line);
        if (line.len)
            buf_printf(&out->status, "%s %.*s newconffile\n", first ? "Conffiles:\n" : "",
                       SPAN_ARG(line));
        first = first && line.len == 0;
    }
}

/* As dpkg names a package where the name alone may mean several. */
static const char *package_word(struct arena *a, const struct deb_tree *t)
{
    return t->multi_arch_same
               ? arena_printf(a, "%.*s:%.*s", SPAN_ARG(t->package), SPAN_ARG(t->arch))
               : arena_str(a, t->package);
}

static bool trigger_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '/')
            return false;
    return s.len > 0 && s.len < 200 && s.ptr[0] != '.' && !span_eq(s, SPAN("File")) &&
           !span_eq(s, SPAN("Lock")) && !span_eq(s, SPAN("Unincorp"));
}

static bool trigger_path(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return s.len > 1 && s.len < 4000 && s.ptr[0] == '/';
}

/* "interest[-await|-noawait] NAME" and "activate...", a line each; '#' begins a comment. */
static void put_trigger(struct planner *p, const struct deb_tree *t, struct span line)
{
    struct apt_native_db *out = db_of(p->out, t);
    const char *word = package_word(p->out->arena, t);
    struct span verb, name = SPAN("");
    line = span_trim(span_slice(line, 0, span_find_char(line, '#')));
    if (!span_cut_char(line, ' ', &verb, &name) && !span_cut_char(line, '\t', &verb, &name))
        return;
    name = span_trim(name);
    bool waits = !span_ends(verb, SPAN("-noawait"));
    if (span_starts(verb, SPAN("activate"))) {
        if (trigger_name(name) || trigger_path(name))
            buf_printf(&out->pending, "%.*s %s\n", SPAN_ARG(name), waits ? word : "-");
    } else if (span_starts(verb, SPAN("interest")) && trigger_path(name)) {
        buf_printf(&out->interests, "%.*s %s%s\n", SPAN_ARG(name), word, waits ? "" : "/noawait");
        map_put(&p->interests, name, NULL);
    } else if (span_starts(verb, SPAN("interest")) && trigger_name(name)) {
        buf_printf(&out->named, "%.*s %s%s\n", SPAN_ARG(name), word, waits ? "" : "/noawait");
    }
}

static void put_triggers(struct planner *p, const struct deb_tree *t)
{
    struct span rest = t->triggers, line;
    while (span_next_line(&rest, &line))
        put_trigger(p, t, line);
}

static void tell_watchers_of(struct planner *p, const struct deb_tree *t, struct span path,
                             struct map *told)
{
    for (; path.len > 1; path = span_slice(path, 0, span_find_last_char(path, '/')))
        if (map_has(&p->interests, path) && map_put(told, path, NULL))
            buf_printf(&db_of(p->out, t)->pending, "%.*s %s\n", SPAN_ARG(path),
                       package_word(p->out->arena, t));
}

/* Paths that somebody watches are told of, once for each package, under both of their names. */
static void tell_watchers(struct planner *p, const struct deb_tree *t)
{
    AUTO_MAP struct map told = {0};
    for (size_t i = 0; i < t->nodes.n && p->interests.n; i++) {
        struct span path =
            span_str(arena_printf(p->out->arena, "/%.*s", SPAN_ARG(t->nodes.v[i].path)));
        tell_watchers_of(p, t, path, &told);
        if (span_starts(path, SPAN("/usr/")))
            tell_watchers_of(p, t, span_skip(path, 4), &told);
    }
}

static bool same_owner(const struct deb_node *a, const struct deb_node *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

/* A folder keeps the owner and mode of whoever had it first: the base, or the first package. */
static void put_modes(struct planner *p, const struct deb_tree *t, struct map *firsts)
{
    for (size_t i = 0; i < t->nodes.n; i++) {
        const struct deb_node *n = &t->nodes.v[i];
        struct stat st;
        if (n->type != ENTRY_DIR)
            continue;
        void **at = map_at(firsts, n->path);
        struct deb_node *first = *at;
        if (!first) {
            *at = first = ARENA_NEW(p->out->arena, struct deb_node);
            *first = *n;
            AUTO_FREE char *path = mem_dup(n->path);
            if (fstatat(p->base_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                first->mode = st.st_mode & 07777;
                first->uid = st.st_uid;
                first->gid = st.st_gid;
            }
        }
        if (!same_owner(first, n))
            buf_printf(&p->out->modes, "%o %u %u %.*s\n", first->mode, first->uid, first->gid,
                       SPAN_ARG(n->path));
    }
}

static void describe(struct planner *p)
{
    struct apt_native *out = p->out;
    AUTO_MAP struct map firsts = {0};
    out->folders = arena_array(out->arena, p->count + 1, sizeof(*out->folders));
    for (size_t i = 0; i < p->count; i++)
        if (out->chosen[i])
            put_triggers(p, p->trees[i]);
    for (size_t i = 0; i < p->count; i++) {
        struct deb_tree *t = p->trees[i];
        if (!out->chosen[i])
            continue;
        out->folders[out->chosen_count++] = t->folder;
        map_put(&out->names, t->package, NULL);
        put_stanza(db_of(out, t), t);
        put_preinst(out, t);
        tell_watchers(p, t);
        put_modes(p, t, &firsts);
        for (size_t k = 0; k < t->nodes.n; k++)
            if (t->nodes.v[k].conffile)
                map_put(&out->conffiles, t->nodes.v[k].path, &t->nodes.v[k]);
    }
}

static void db_init(struct apt_native_db *db)
{
    db->status = BUF(FILE_MAX_BYTES);
    db->interests = db->named = BUF(4u << 20);
    db->pending = BUF(16u << 20);
}

static bool db_overflows(const struct apt_native_db *db)
{
    return db->status.overflow || db->interests.overflow || db->named.overflow ||
           db->pending.overflow;
}

static void db_release(struct apt_native_db *db)
{
    buf_release(&db->status);
    buf_release(&db->interests);
    buf_release(&db->named);
    buf_release(&db->pending);
}

bool apt_native_plan(struct deb_tree *const *trees, size_t count, const char *base, unsigned merged,
                     struct apt_native *out, struct err *err)
{
    struct planner p = {.trees = trees, .count = count, .out = out};
    AUTO_FD int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *out = (struct apt_native){.arena = arena_new(), .modes = BUF(16u << 20)};
    out->preinsts = BUF(1u << 20);
    db_init(&out->first);
    db_init(&out->rest);
    out->chosen = arena_array(out->arena, count + 1, sizeof(bool));
    p.base_fd = fd;
    p.merged = merged;
    bool ok = fd >= 0 || err_sys(err, "%s", base);
    ok = ok && learn_base(&p, err);
    if (ok) {
        choose(&p);
        describe(&p);
        if (db_overflows(&out->first) || db_overflows(&out->rest) || out->modes.overflow ||
            out->preinsts.overflow)
            ok = err_set(err, ERR_TOO_LARGE, "too much for dpkg's data base");
    }
    map_release(&p.installed);
    map_release(&p.users);
    map_release(&p.groups);
    map_release(&p.special);
    map_release(&p.interests);
    map_release(&p.paths);
    return ok;
}

void apt_native_release(struct apt_native *n)
{
    map_release(&n->names);
    map_release(&n->conffiles);
    db_release(&n->first);
    db_release(&n->rest);
    buf_release(&n->preinsts);
    buf_release(&n->modes);
    arena_free(n->arena);
    *n = (struct apt_native){0};
}
