/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fault.h"
#include "cache/store_priv.h"

/* No download or build lasts longer without writing to its staging file. */
#define STAGING_MAX_AGE_S (24 * 3600)

static const char *env_path(const char *name)
{
    const char *v = getenv(name);
    return v && v[0] == '/' ? v : NULL; /* the XDG specification ignores relative ones */
}

static char *default_path(struct err *err)
{
    const char *home = getenv("STRATA_HOME"), *data = env_path("XDG_DATA_HOME");
    if (home && home[0])
        return mem_dup_str(home);
    if (geteuid() == 0)
        return mem_dup_str("/var/lib/strata");
    if (data)
        return mem_printf("%s/strata", data);
    struct passwd *user = getpwuid(geteuid());
    home = env_path("HOME");
    if (!home && user && user->pw_dir && user->pw_dir[0] == '/')
        home = user->pw_dir;
    if (home)
        return mem_printf("%s/.local/share/strata", home);
    err_set(err, ERR_INVALID, "no home folder: set STRATA_HOME to a folder to keep state in");
    return NULL;
}

static bool open_dir(struct store *s, const char *name, int *fd, struct err *err)
{
    if (!io_mkdirs(s->dir_fd, name, s->dir_mode, err))
        return false;
    *fd = openat(s->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 ? true : err_sys(err, "open %s", name);
}

static bool open_dirs(struct store *s, struct err *err)
{
    if (!io_mkdirs(AT_FDCWD, s->path, s->dir_mode, err))
        return false;
    s->dir_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return err_sys(err, "open folder");
    return open_dir(s, "blobs/sha256", &s->blobs_fd, err) &&
           open_dir(s, "staging", &s->staging_fd, err) && open_dir(s, "holds", &s->holds_fd, err) &&
           io_mkdirs(s->dir_fd, "meta", s->dir_mode, err) &&
           io_mkdirs(s->dir_fd, "dirs/sha256", s->dir_mode, err);
}

static bool open_index(struct store *s, struct err *err)
{
    AUTO_FREE char *path = mem_printf("%s/strata.db", s->path);
    /* Whatever the umask, it is ours alone. Only a file that is new may be opened and closed here:
     * closing any descriptor of a file drops the process's POSIX locks on it, SQLite's too, and
     * then the next process to leave takes the write-ahead log away under those who stay. */
    int fd = openat(s->dir_fd, "strata.db", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return err_sys(err, "open strata.db");
    mem_close_fd(&fd);
    s->db = sql_open(path, &(struct sql_options){.relaxed = true}, err);
    if (s->db)
        s->sql = sql_add(s->db, &cache_schema, err);
    return s->sql != NULL;
}

static void sweep_staging(struct store *s)
{
    int fd = openat(s->staging_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int64_t now_s = io_now_ms() / 1000;
    struct stat st;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            fstatat(s->staging_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtim.tv_sec < now_s - STAGING_MAX_AGE_S)
            io_remove_tree(s->staging_fd, e->d_name, NULL);
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
}

bool store_open(struct store **out, const char *path, struct err *err)
{
    struct store *s = MEM_NEW(struct store);
    *out = NULL;
    s->dir_fd = s->blobs_fd = s->staging_fd = s->holds_fd = s->hold_fd = -1;
    s->dir_mode = geteuid() == 0 ? 0755 : 0700;
    if (uv_mutex_init(&s->mutex))
        abort();
    s->path = path ? mem_dup_str(path) : default_path(err);
    if (!s->path || !open_dirs(s, err) || !store_check_after_boot(s, err) || !open_index(s, err)) {
        err_wrap(err, "state folder %s", s->path ? s->path : "");
        store_close(s);
        return false;
    }
    sweep_staging(s);
    *out = s;
    return true;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    while (s->hold_count)
        store_unhold(s);
    sql_close(s->db);
    mem_close_fd(&s->dir_fd);
    mem_close_fd(&s->blobs_fd);
    mem_close_fd(&s->staging_fd);
    mem_close_fd(&s->holds_fd);
    uv_mutex_destroy(&s->mutex);
    free(s->path);
    free(s);
}

const char *store_path(const struct store *s)
{
    return s->path;
}

int store_dir_fd(const struct store *s)
{
    return s->dir_fd;
}

void store_random_name(const char *prefix, char out[40])
{
    uint64_t r = 0;
    if (getrandom(&r, sizeof(r), 0) != sizeof(r))
        abort();
    snprintf(out, 40, "%.16s-%016llx", prefix, (unsigned long long)r);
}

/* The file gets its place only once it is locked: a collector takes one that is not for the
 * remains of a dead process. */
static bool hold_file(struct store *s, struct err *err)
{
    char name[40];
    struct stat st;
    store_random_name("hold", name);
    AUTO_FD int fd = fault_point()
                         ? openat(s->staging_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)
                         : -1;
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "hold");
    if (!io_rename(s->staging_fd, name, s->holds_fd, name, err)) {
        unlinkat(s->staging_fd, name, 0);
        return false;
    }
    memcpy(s->hold_name, name, sizeof(name));
    s->hold_fd = fd;
    fd = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): its cleanup reads it */
    atomic_store(&s->hold_start_ns, stat_mtime_ns(&st));
    return true;
}

bool store_hold(struct store *s, struct err *err)
{
    uv_mutex_lock(&s->mutex);
    bool ok = s->hold_count > 0 || hold_file(s, err);
    s->hold_count += ok;
    uv_mutex_unlock(&s->mutex);
    return ok;
}

void store_unhold(struct store *s)
{
    uv_mutex_lock(&s->mutex);
    if (--s->hold_count == 0) {
        unlinkat(s->holds_fd, s->hold_name, 0);
        close(s->hold_fd);
        s->hold_fd = -1;
        atomic_store(&s->hold_start_ns, 0);
    }
    uv_mutex_unlock(&s->mutex);
}

struct sql_stmt *store_sql(struct store *s, enum cache_sql id)
{
    uv_mutex_lock(&s->mutex);
    return sql_use(s->sql, (int)id);
}

bool store_sql_end(struct store *s, struct sql_stmt *q, struct err *err)
{
    bool ok = sql_end(q, err);
    uv_mutex_unlock(&s->mutex);
    return ok;
}

bool store_sql_run(struct store *s, struct sql_stmt *q, struct err *err)
{
    while (sql_next(q))
        ;
    return store_sql_end(s, q, err);
}

bool store_sql_digest(const struct sql_stmt *q, int column, struct digest *out)
{
    struct span b = sql_blob(q, column);
    if (!b.ptr || b.len != DIGEST_BYTES)
        return false;
    memcpy(out->bytes, b.ptr, DIGEST_BYTES);
    return true;
}
