/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sandbox/shim_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

const char *const private_folders[] = {"proc", "sys", "dev", "tmp", "run", "root", "home", "build"};
const size_t private_folder_count = COUNT(private_folders);

bool path_is_private(const char *path)
{
    for (size_t i = 0; i < COUNT(private_folders); i++) {
        size_t n = strlen(private_folders[i]);
        if (strncmp(path + 1, private_folders[i], n) == 0 && (!path[n + 1] || path[n + 1] == '/'))
            return true;
    }
    return strcmp(path, "/var/tmp") == 0 || strncmp(path, "/var/tmp/", 9) == 0;
}

bool host_name_shows(const char *name)
{
    static const char *const shown[] = {"bin",    "boot", "etc",  "lib", "lib32", "lib64",
                                        "libx32", "opt",  "sbin", "usr", "var"};
    for (size_t i = 0; i < COUNT(shown); i++)
        if (strcmp(name, shown[i]) == 0)
            return true;
    return false;
}

/* Where secrets mostly are, below this machine's root. Of a folder, each entry is hidden, so
 * that packages can still put something there. */
static const char *const secret_files[] = {
    "etc/shadow-",
    "etc/gshadow-",
    "etc/sudoers",
    "etc/environment",
    "etc/krb5.keytab",
    "etc/ipsec.secrets",
    "etc/apt/auth.conf",
    "etc/netrc",
    "etc/machine-id",
    "etc/opasswd",
    "etc/security/opasswd",
    "etc/mysql/debian.cnf",
    "etc/postfix/sasl_passwd",
    "etc/exim4/passwd.client",
    "etc/ppp/chap-secrets",
    "etc/ppp/pap-secrets",
    "etc/strata.yaml",
    "var/cache/debconf/passwords.dat",
    "var/lib/systemd/random-seed",
};
static const char *const secret_folders[] = {
    "etc/ssl/private",
    "etc/sudoers.d",
    "etc/apt/auth.conf.d",
    "etc/NetworkManager/system-connections",
    "etc/wireguard",
    "etc/openvpn",
    "etc/ipsec.d/private",
    "etc/docker",
    "etc/kubernetes",
    "etc/rancher",
    "etc/letsencrypt",
    "etc/strata",
    "etc/credstore",
    "etc/credstore.encrypted",
    "var/backups",
    "var/log",
    "var/mail",
    "var/spool",
    "var/lib/docker",
    "var/lib/containerd",
    "var/lib/containers",
    "var/lib/kubelet",
    "var/lib/mysql",
    "var/lib/postgresql",
    "var/lib/redis",
    "var/lib/private",
    "var/lib/sudo",
    "var/lib/NetworkManager",
    "var/lib/sss",
    "var/lib/samba",
    "var/lib/libvirt",
    "var/lib/lxc",
    "var/lib/lxd",
};

static bool is_below(const char *path, const char *folder, bool itself)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || (itself && path[n] == '\0'));
}

bool sandbox_hides(const struct sandbox_host *h, const char *path)
{
    AUTO_FREE char *rooted = mem_printf("/%s", path);
    AUTO_FREE char *top = mem_dup(span_slice(span_str(path), 0, strcspn(path, "/")));
    bool hidden = path_is_private(rooted) || !host_name_shows(top) ||
                  is_below(rooted, h->home, true) ||
                  strncmp(path, "etc/ssh/ssh_host_", strlen("etc/ssh/ssh_host_")) == 0;
    for (size_t i = 0; i < COUNT(secret_files); i++)
        hidden = hidden || is_below(path, secret_files[i], true);
    for (size_t i = 0; i < COUNT(secret_folders); i++)
        hidden = hidden || is_below(path, secret_folders[i], false);
    return hidden;
}

static int open_dir_below(int root_fd, const char *path)
{
    struct open_how how = {.flags = OPEN_DIR, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

/* The folder above a path, made in the shim as the machine has it. */
static bool parents(int shim_fd, int host_fd, const char *path, struct err *err)
{
    AUTO_FREE char *copy = mem_dup_str(path);
    for (char *slash = copy; (slash = strchr(slash + 1, '/'));) {
        struct stat st;
        *slash = '\0';
        if (mkdirat(shim_fd, copy, 0755) < 0 && errno != EEXIST)
            return err_sys(err, "%s", copy);
        if (host_fd >= 0 && fstatat(host_fd, copy, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(st.st_mode)) {
            AUTO_FD int fd = openat(shim_fd, copy, OPEN_DIR);
            /* Owners that have no id here stay ours: such a folder is closed to the command. */
            if (fd < 0 ||
                (fchown(fd, st.st_uid, st.st_gid) < 0 && errno != EPERM && errno != EINVAL) ||
                fchmod(fd, st.st_mode & 07777) < 0)
                return err_sys(err, "%s", copy);
        }
        *slash = '/';
    }
    return true;
}

static bool hide(int shim_fd, int host_fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstatat(host_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    if (!parents(shim_fd, host_fd, path, err))
        return false;
    if (mknodat(shim_fd, path, S_IFCHR | 0600, makedev(0, 0)) < 0 && errno != EEXIST)
        return err_sys(err, "hide %s", path);
    return true;
}

/* Hides what is in a folder; prefix NULL: all of it, else only names that start so. */
static bool hide_entries(int shim_fd, int host_fd, const char *folder, const char *prefix,
                         struct err *err)
{
    int fd = open_dir_below(host_fd, folder);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = true;
    if (!dir) {
        mem_close_fd(&fd);
        return true; /* not there, or closed to the command as well */
    }
    for (struct dirent *e; ok && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            (prefix && strncmp(e->d_name, prefix, strlen(prefix)) != 0))
            continue;
        AUTO_FREE char *path = mem_printf("%s/%s", folder, e->d_name);
        ok = hide(shim_fd, host_fd, path, err);
    }
    closedir(dir);
    return ok;
}

static bool hide_top(int shim_fd, int host_fd, struct err *err)
{
    int fd = openat(host_fd, ".", OPEN_DIR);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = true;
    if (!dir) {
        mem_close_fd(&fd);
        return err_sys(err, "list the root");
    }
    for (struct dirent *e; ok && (e = readdir(dir));) {
        AUTO_FREE char *path = mem_printf("/%s", e->d_name);
        if (e->d_name[0] == '.' && (!e->d_name[1] || strcmp(e->d_name, "..") == 0))
            continue;
        if (!host_name_shows(e->d_name) && !path_is_private(path) &&
            mknodat(shim_fd, e->d_name, S_IFCHR | 0600, makedev(0, 0)) < 0 && errno != EEXIST)
            ok = err_sys(err, "hide %s", path);
    }
    closedir(dir);
    return ok;
}

/* The account file of passwords, without the passwords. */
static bool blank_passwords(int shim_fd, int host_fd, const char *name, const char *accounts,
                            struct err *err)
{
    AUTO_BUF struct buf old = BUF(4u << 20), blank = BUF(8u << 20);
    struct span rest, line, user, after;
    struct stat st = {0};
    bool readable = io_read_file(host_fd, name, &old, NULL);
    if (!readable && !io_read_file(host_fd, accounts, &old, NULL))
        return true;
    rest = buf_span(&old);
    while (span_next_line(&rest, &line)) {
        if (!span_cut_char(line, ':', &user, &after) || user.len == 0)
            continue;
        size_t tail = span_find_char(after, ':');
        if (readable)
            buf_printf(&blank, "%.*s:*%.*s\n", SPAN_ARG(user), SPAN_ARG(span_skip(after, tail)));
        else if (strstr(name, "gshadow"))
            buf_printf(&blank, "%.*s:*::\n", SPAN_ARG(user));
        else
            buf_printf(&blank, "%.*s:*:19000:0:99999:7:::\n", SPAN_ARG(user));
    }
    if (!parents(shim_fd, host_fd, name, err) ||
        !io_replace_file(shim_fd, name, buf_span(&blank), 0640, false, err))
        return false;
    if (fstatat(host_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        fchownat(shim_fd, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM &&
        errno != EINVAL)
        return err_sys(err, "%s", name);
    return true;
}

static bool hide_secrets(const struct plan *p, int shim_fd, int host_fd, struct err *err)
{
    for (size_t i = 0; i < COUNT(secret_files); i++)
        if (!hide(shim_fd, host_fd, secret_files[i], err))
            return false;
    for (size_t i = 0; i < COUNT(secret_folders); i++)
        if (!hide_entries(shim_fd, host_fd, secret_folders[i], NULL, err))
            return false;
    const char *home = p->host->home + 1;
    struct span top = span_slice(span_str(home), 0, span_find_char(span_str(home), '/'));
    AUTO_FREE char *top_name = mem_dup(top);
    return hide_entries(shim_fd, host_fd, "etc/ssh", "ssh_host_", err) &&
           blank_passwords(shim_fd, host_fd, "etc/shadow", "etc/passwd", err) &&
           blank_passwords(shim_fd, host_fd, "etc/gshadow", "etc/group", err) &&
           (!host_name_shows(top_name) || hide(shim_fd, host_fd, home, err)) &&
           hide_top(shim_fd, host_fd, err);
}

bool shim_put_file(int dir_fd, const struct sandbox_file *f, struct err *err)
{
    if (f->path[0] != '/' || strstr(f->path, "/../") || !f->path[1])
        return err_set(err, ERR_INVALID, "%s: not an absolute path", f->path);
    if (!parents(dir_fd, -1, f->path + 1, err) ||
        !io_replace_file(dir_fd, f->path + 1, f->bytes, f->mode & 07777, false, err))
        return err_wrap(err, "file of the sandbox");
    return true;
}

bool shim_put_place(int dir_fd, const char *path, bool folder, struct err *err)
{
    if (path[0] != '/' || strstr(path, "/../") || !path[1])
        return err_set(err, ERR_INVALID, "%s: not an absolute path", path);
    if (!parents(dir_fd, -1, path + 1, err))
        return false;
    if ((folder ? mkdirat(dir_fd, path + 1, 0755) : mknodat(dir_fd, path + 1, S_IFREG | 0644, 0)) <
            0 &&
        errno != EEXIST)
        return err_sys(err, "place for %s", path);
    return true;
}

static bool put_texts(int shim_fd, struct err *err)
{
    static const struct sandbox_file texts[] = {
        {"/etc/hosts", SPAN_INIT("127.0.0.1 localhost sandbox\n::1 localhost\n"), 0644},
        {"/etc/hostname", SPAN_INIT("sandbox\n"), 0644},
        {"/etc/resolv.conf", SPAN_INIT(""), 0644},
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        if (!shim_put_file(shim_fd, &texts[i], err))
            return false;
    return true;
}

bool bind_is_folder(const struct plan *p, size_t index)
{
    struct stat st;
    for (size_t i = 0; i < p->sources.n; i++)
        if (p->sources.v[i].kind == SOURCE_BIND && p->sources.v[i].index == index &&
            fstat(p->sources.v[i].tree_fd, &st) == 0)
            return S_ISDIR(st.st_mode);
    return true;
}

bool mask_build(const struct plan *p, int mask_fd, int base_fd, bool is_host, struct err *err)
{
    if (is_host && !hide_secrets(p, mask_fd, base_fd, err))
        return err_wrap(err, "hide secrets");
    for (const char *const *h = p->spec->hidden; h && *h; h++)
        if (!hide(mask_fd, base_fd, *h, err))
            return false;
    return true;
}

bool shim_build(const struct plan *p, int shim_fd, struct err *err)
{
    const struct sandbox_spec *spec = p->spec;
    for (size_t i = 0; i < COUNT(private_folders); i++)
        if (mkdirat(shim_fd, private_folders[i], 0755) < 0)
            return err_sys(err, "%s", private_folders[i]);
    if (!put_texts(shim_fd, err) || !shim_put_place(shim_fd, "/var/tmp", true, err))
        return false;
    for (size_t i = 0; i < spec->file_count; i++)
        if (!path_is_private(spec->files[i].path) && !shim_put_file(shim_fd, &spec->files[i], err))
            return false;
    for (size_t i = 0; i < spec->bind_count; i++) {
        const char *to = spec->binds[i].to;
        if (!path_is_private(to) && !shim_put_place(shim_fd, to, bind_is_folder(p, i), err))
            return false;
    }
    return true;
}
