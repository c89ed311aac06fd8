/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a tree, a line for each thing:
 *
 *   strata-deb 1 BOOT            the kernel's boot id when it was written: nothing here is synced
 *   why TEXT                     only where it is dpkg's
 *   d|f|l|h MODE UID GID PATH    folder, file, link, hard link
 *   c MODE UID GID SHA256 PATH   configuration file
 *   u|g ID NAME
 *   conffile /PATH
 *   trigger LINE
 *   control                      and the stanza to the end */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "resolvers/apt/control.h"
#include "worker/apt_layer/deb_tree.h"

#define TREE_MAX_BYTES (128u << 20)
#define LETTERS        "fdlhw" /* by enum entry_type */

/* ---- the list ---------------------------------------------------------------------------------
 */

static void read_boot_id(struct buf *out)
{
    struct err ignored;
    if (!io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", out, &ignored))
        buf_str(out, "unknown");
}

static void print_lines(struct buf *out, const char *word, struct span text)
{
    struct span line;
    while (span_next_line(&text, &line))
        buf_printf(out, "%s %.*s\n", word, SPAN_ARG(line));
}

void deb_tree_print(const struct deb_tree *t, struct buf *out)
{
    AUTO_BUF struct buf boot = BUF(256);
    char hex[DIGEST_HEX_SIZE];
    read_boot_id(&boot);
    buf_printf(out, "strata-deb 1 %.*s\n", SPAN_ARG(span_trim(buf_span(&boot))));
    if (t->why_dpkg)
        buf_printf(out, "why %s\n", t->why_dpkg);
    for (size_t i = 0; i < t->nodes.n && !t->why_dpkg; i++) {
        const struct deb_node *n = &t->nodes.v[i];
        buf_printf(out, "%c %o %u %u %s%s%.*s\n", n->conffile ? 'c' : LETTERS[n->type], n->mode,
                   n->uid, n->gid, n->conffile ? digest_hex(&n->sha256, hex) : "",
                   n->conffile ? " " : "", SPAN_ARG(n->path));
    }
    for (size_t i = 0; i < t->owners.n; i++)
        buf_printf(out, "%c %u %.*s\n", t->owners.v[i].group ? 'g' : 'u', t->owners.v[i].id,
                   SPAN_ARG(t->owners.v[i].name));
    print_lines(out, "conffile", t->conffiles);
    print_lines(out, "trigger", t->triggers);
    buf_printf(out, "control\n%.*s", SPAN_ARG(t->control));
}

static bool parse_number(struct span *rest, unsigned base, uint32_t *out)
{
    struct span piece;
    uint64_t n = 0;
    if (!span_next(rest, ' ', &piece) || piece.len == 0 || piece.len > 9)
        return false;
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.ptr[i] < '0' || (unsigned)(piece.ptr[i] - '0') >= base)
            return false;
        n = n * base + (unsigned)(piece.ptr[i] - '0');
    }
    *out = (uint32_t)n;
    return true;
}

static bool parse_node(struct deb_tree *t, char letter, struct span rest)
{
    struct deb_node n = {.conffile = letter == 'c', .type = ENTRY_FILE};
    struct span hex;
    if (!n.conffile)
        n.type = (enum entry_type)(strchr(LETTERS, letter) - LETTERS);
    if (!parse_number(&rest, 8, &n.mode) || !parse_number(&rest, 10, &n.uid) ||
        !parse_number(&rest, 10, &n.gid) ||
        (n.conffile && (!span_next(&rest, ' ', &hex) || !digest_parse_hex(hex, &n.sha256))) ||
        !rest.ptr || rest.len == 0)
        return false;
    n.path = arena_span(t->arena, rest);
    *VEC_PUSH(&t->nodes) = n;
    return true;
}

static bool parse_owner(struct deb_tree *t, bool group, struct span rest)
{
    struct deb_owner o = {.group = group};
    if (!parse_number(&rest, 10, &o.id))
        return false;
    o.name = arena_span(t->arena, rest.ptr ? rest : SPAN(""));
    *VEC_PUSH(&t->owners) = o;
    return true;
}

static bool parse_line(struct deb_tree *t, struct span word, struct span rest,
                       struct buf *conffiles, struct buf *triggers)
{
    if (span_eq(word, SPAN("why"))) {
        t->why_dpkg = arena_str(t->arena, rest);
        return true;
    }
    if (span_eq(word, SPAN("conffile")))
        return buf_printf(conffiles, "%.*s\n", SPAN_ARG(rest));
    if (span_eq(word, SPAN("trigger")))
        return buf_printf(triggers, "%.*s\n", SPAN_ARG(rest));
    if (word.len != 1 || word.ptr[0] == '\0')
        return false;
    if (word.ptr[0] == 'u' || word.ptr[0] == 'g')
        return parse_owner(t, word.ptr[0] == 'g', rest);
    return strchr("fdlhc", word.ptr[0]) && parse_node(t, word.ptr[0], rest);
}

static bool parse_control(struct deb_tree *t, struct span text)
{
    t->control = arena_span(t->arena, text);
    t->package = control_get(t->control, SPAN("Package"));
    t->version = control_get(t->control, SPAN("Version"));
    t->arch = control_get(t->control, SPAN("Architecture"));
    t->multi_arch_same = span_eq(control_get(t->control, SPAN("Multi-Arch")), SPAN("same"));
    return t->package.len > 0 && t->version.len > 0 && t->arch.len > 0;
}

bool deb_tree_parse(struct span text, struct deb_tree *t)
{
    AUTO_BUF struct buf boot = BUF(256), conffiles = BUF(TREE_MAX_BYTES), triggers = BUF(1u << 20);
    struct span line, word, rest;
    read_boot_id(&boot);
    if (!span_next_line(&text, &line) || !span_starts(line, SPAN("strata-deb 1 ")) ||
        !span_eq(span_skip(line, 13), span_trim(buf_span(&boot))))
        return false;
    while (span_next_line(&text, &line)) {
        if (span_eq(line, SPAN("control"))) {
            t->conffiles = arena_span(t->arena, buf_span(&conffiles));
            t->triggers = arena_span(t->arena, buf_span(&triggers));
            return parse_control(t, text);
        }
        if (!span_cut_char(line, ' ', &word, &rest) ||
            !parse_line(t, word, rest, &conffiles, &triggers))
            return false;
    }
    return false;
}

/* ---- the folder -------------------------------------------------------------------------------
 */

static bool write_file(int root, const struct deb_node *n, const char *path, struct err *err)
{
    AUTO_FD int fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct timespec times[2] = {{.tv_sec = n->mtime}, {.tv_sec = n->mtime}};
    if (fd < 0)
        return err_sys(err, "%s", path);
    if (!io_write_all(fd, n->content, err))
        return err_wrap(err, "%s", path);
    if (((n->uid || n->gid) && fchown(fd, n->uid, n->gid) < 0) || fchmod(fd, n->mode) < 0 ||
        futimens(fd, times) < 0)
        return err_sys(err, "%s", path);
    return true;
}

static bool write_node(int root, const struct deb_node *n, struct err *err)
{
    AUTO_FREE char *path = mem_printf("%.*s%s", SPAN_ARG(n->path), n->conffile ? ".dpkg-new" : "");
    AUTO_FREE char *target = mem_dup(n->target);
    struct timespec times[2] = {{.tv_sec = n->mtime}, {.tv_sec = n->mtime}};
    bool owned = n->uid || n->gid, ok = true;
    switch (n->type) {
    case ENTRY_FILE: return write_file(root, n, path, err);
    case ENTRY_DIR:
        ok = mkdirat(root, path, 0700) == 0 &&
             (!owned || fchownat(root, path, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) == 0) &&
             fchmodat(root, path, n->mode, 0) == 0;
        break;
    case ENTRY_SYMLINK:
        ok = symlinkat(target, root, path) == 0 &&
             (!owned || fchownat(root, path, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) == 0) &&
             utimensat(root, path, times, AT_SYMLINK_NOFOLLOW) == 0;
        break;
    case ENTRY_HARDLINK: ok = linkat(root, target, root, path, 0) == 0; break;
    case ENTRY_WHITEOUT: break;
    }
    return ok || err_sys(err, "%s", path);
}

/* Folders get their modes at once: a superuser may write in any, and a user's are not closed. */
static bool write_folder(const struct deb_tree *t, int debs, const char *staging, struct err *err)
{
    if (mkdirat(debs, staging, 0700) < 0)
        return err_sys(err, "%s", staging);
    AUTO_FD int root = openat(debs, staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || flock(root, LOCK_SH | LOCK_NB) < 0)
        return err_sys(err, "%s", staging);
    for (size_t i = 0; i < t->nodes.n; i++)
        if (!write_node(root, &t->nodes.v[i], err))
            return false;
    return fchmod(root, 0755) == 0 || err_sys(err, "%s", staging);
}

static struct deb_tree *recall(int debs, const char *name)
{
    AUTO_BUF struct buf text = BUF(TREE_MAX_BYTES);
    AUTO_FREE char *list = mem_printf("%s.tree", name);
    struct err ignored;
    struct deb_tree *t = MEM_NEW(struct deb_tree);
    t->arena = arena_new();
    if (io_read_file(debs, list, &text, &ignored) && deb_tree_parse(buf_span(&text), t) &&
        (t->why_dpkg || faccessat(debs, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0))
        return t;
    deb_tree_free(t);
    return NULL;
}

/* One at a time, on this machine: what another made meanwhile stays, for it is in use already. */
static bool publish(const struct deb_tree *t, int debs, const char *staging, const char *name,
                    struct err *err)
{
    AUTO_BUF struct buf text = BUF(TREE_MAX_BYTES);
    AUTO_FREE char *list = mem_printf("%s.tree", name);
    if (flock(debs, LOCK_EX) < 0)
        return err_sys(err, DEBS_FOLDER);
    struct deb_tree *other = recall(debs, name);
    deb_tree_free(other);
    if (other)
        return true;
    deb_tree_print(t, &text);
    if (text.overflow)
        return err_set(err, ERR_TOO_LARGE, "too many files");
    /* A folder without its list was cut off, by a power cut perhaps. */
    if (!io_remove_tree(debs, name, err))
        return false;
    if (!t->why_dpkg && renameat(debs, staging, debs, name) < 0)
        return err_sys(err, "%s", name);
    return io_replace_file(debs, list, buf_span(&text), 0600, false, err);
}

/* The folder below a name of its own first, then its list: it is whole. */
static bool keep(const struct deb_tree *t, int debs, const char *name, struct err *err)
{
    struct err ignored;
    uint64_t r = 0;
    if (getrandom(&r, sizeof(r), 0) != sizeof(r))
        return err_sys(err, "random name");
    AUTO_FREE char *staging = mem_printf("new-%016llx", (unsigned long long)r);
    bool ok = (t->why_dpkg || write_folder(t, debs, staging, err)) &&
              publish(t, debs, staging, name, err);
    flock(debs, LOCK_UN);
    io_remove_tree(debs, staging, &ignored);
    return ok;
}

/* Who may not give files away cannot lay out all packages. */
static void leave_owned(struct deb_tree *t)
{
    if (geteuid() == 0 || t->why_dpkg)
        return;
    for (size_t i = 0; i < t->nodes.n; i++) {
        const struct deb_node *n = &t->nodes.v[i];
        if (n->uid || n->gid || (n->type == ENTRY_DIR && (n->mode & 0300) != 0300))
            t->why_dpkg = "files of it belong to others";
    }
}

struct deb_tree *deb_tree_open(struct store *store, const struct digest *blob, unsigned merged,
                               bool with_content, struct err *err)
{
    AUTO_MAPPED struct io_map map = {0};
    char hex[DIGEST_HEX_SIZE];
    AUTO_FREE char *name = mem_printf("%s-%02x", digest_hex(blob, hex), merged);
    if (!io_mkdirs(store_dir_fd(store), DEBS_FOLDER, 0700, err))
        return NULL;
    AUTO_FD int debs = openat(store_dir_fd(store), DEBS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (debs < 0)
        return err_sys(err, DEBS_FOLDER), NULL;
    struct deb_tree *t = recall(debs, name);
    bool kept = t != NULL;
    if (t)
        t->first = merged & DEB_FIRST;
    if (!t || (with_content && !t->why_dpkg)) {
        deb_tree_free(t);
        t = store_map_blob(store, blob, &map, err) ? deb_tree_read(map.bytes, merged, err) : NULL;
    }
    if (t)
        leave_owned(t);
    if (t && !kept && !keep(t, debs, name, err)) {
        deb_tree_free(t);
        return NULL;
    }
    if (t && !t->why_dpkg)
        t->folder = mem_printf("%s/" DEBS_FOLDER "/%s", store_path(store), name);
    return t;
}

/* ---- sweeping ---------------------------------------------------------------------------------
 */

/* Whether nobody needs it: its .deb is gone, or who was writing it is. */
static bool is_litter(struct store *store, int debs, const char *name)
{
    struct digest blob;
    if (span_starts(span_str(name), SPAN("new-"))) {
        AUTO_FD int fd = openat(debs, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    }
    return strlen(name) > 64 && digest_parse_hex(span_of(name, 64), &blob) &&
           !store_has_blob(store, &blob, NULL);
}

bool deb_trees_sweep(struct store *store, struct err *err)
{
    int fd = openat(store_dir_fd(store), DEBS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    bool ok = true;
    if (!dir) {
        mem_close_fd(&fd);
        return errno == ENOENT || err_sys(err, DEBS_FOLDER);
    }
    VEC(char *) names = {0};
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            *VEC_PUSH(&names) = mem_dup_str(e->d_name);
    for (size_t i = 0; i < names.n; i++) {
        if (ok && is_litter(store, dirfd(dir), names.v[i]))
            ok = io_remove_tree(dirfd(dir), names.v[i], err);
        free(names.v[i]);
    }
    VEC_FREE(&names);
    closedir(dir);
    return ok;
}
