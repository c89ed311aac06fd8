/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resolvers/apt/version.h"
#include "worker/apt_layer/harvest.h"
#include "worker/apt_layer/layer_priv.h"

#define FOLDERS    "sandboxes" /* below the state folder */
#define TAIL_BYTES 2000        /* of dpkg's output, for the error */

/* Tells dpkg of the packages that lie below the overlay, then unpacks the others and configures
 * until all is there. A package whose Pre-Depends are not configured yet is refused by dpkg, so
 * what is left is tried again after each round; a round that changes nothing ends it. LIST has
 * "FILE NAME VERSION" lines. */
static const char script[] =
    "set -u\n"
    "cd /build\n"
    "options='--force-unsafe-io --force-confdef --force-confold --abort-after=99999'\n"
    "if [ -s removed ]; then dpkg $options --force-depends --remove $(cat removed) || exit 1; fi\n"
    "while read -r mode uid gid path; do\n"
    "    chown \"$uid:$gid\" \"/$path\" && chmod \"$mode\" \"/$path\" || exit 1\n"
    "done < modes\n"
    "tell() {\n"
    "    while read -r name package; do\n"
    "        echo \"$package\" >> \"/var/lib/dpkg/triggers/$name\" || exit 1\n"
    "    done < $1/named\n"
    "    if [ -s $1/interests ]; then\n"
    "        cat $1/interests >> /var/lib/dpkg/triggers/File || exit 1\n"
    "    fi\n"
    "    if [ -s $1/status ]; then\n"
    "        cat $1/pending >> /var/lib/dpkg/triggers/Unincorp || exit 1\n"
    "        cat $1/status >> /var/lib/dpkg/status || exit 1\n"
    "    fi\n"
    "}\n"
    "if [ -s first/status ]; then\n"
    "    mkdir -p /var/lib/dpkg/updates /var/lib/dpkg/triggers || exit 1\n"
    "    echo 1 > /var/lib/dpkg/info/format\n"
    "    : > /var/lib/dpkg/available\n"
    "    tell first\n"
    "    while read -r name arch file; do\n"
    "        DPKG_MAINTSCRIPT_PACKAGE=$name DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 \\\n"
    "        DPKG_MAINTSCRIPT_ARCH=$arch DPKG_MAINTSCRIPT_NAME=preinst DPKG_ROOT= \\\n"
    "        DPKG_ADMINDIR=/var/lib/dpkg \"$file\" install < /dev/null || exit 1\n"
    "    done < preinsts\n"
    "    dpkg $options --configure -a || exit 1\n"
    "fi\n"
    "tell rest\n"
    "line='\n'\n"
    "states() { dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n'; }\n"
    "missing() {\n"
    "    while read -r file name version; do\n"
    "        case \"$line$there$line\" in\n"
    "        *\"$line$name $version installed$line\"*) ;;\n"
    "        *) echo \"debs/$file\" ;;\n"
    "        esac\n"
    "    done < list\n"
    "}\n"
    "there=$(states)\n"
    "todo=$(missing)\n"
    "while [ -n \"$todo\" ]; do\n"
    "    before=$there\n"
    "    dpkg $options --unpack $todo\n"
    "    dpkg $options --configure -a\n"
    "    there=$(states)\n"
    "    todo=$(missing)\n"
    "    if [ \"$there\" = \"$before\" ]; then exit 1; fi\n"
    "done\n"
    "dpkg $options --configure -a || exit 1\n"
    "audit=$(dpkg --audit)\n"
    "[ -z \"$audit\" ] || { echo \"$audit\" >&2; exit 1; }\n";

struct install {
    struct apt_layer_job *job;
    struct arena *arena;
    char *folder;   /* HOME/sandboxes/ID */
    int folder_fd;  /* locked: it is in use */
    int harvest_fd; /* the stream, a file without a name */
    struct io_map map;
    struct sandbox *sandbox;
    struct buf list, removed, tail;
    struct apt_native native;
    struct pool_task task;
    uv_timer_t timer;
    bool cancelled, prepared;
    struct err err;
};

/* ---- folders --------------------------------------------------------------------------------- */

/* What a program that was killed left behind: nobody holds its lock any more. */
static void sweep(struct install *i, int top_fd)
{
    struct err ignored;
    VEC(char *) names = {0};
    int copy = dup(top_fd);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            *VEC_PUSH(&names) = arena_str(i->arena, span_str(e->d_name));
    if (dir)
        closedir(dir);
    for (size_t k = 0; k < names.n; k++) {
        AUTO_FD int fd = openat(top_fd, names.v[k], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        AUTO_FREE char *path =
            mem_printf("%s/" FOLDERS "/%s", store_path(i->job->store), names.v[k]);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
            sandbox_remove_upper(i->job->host, path, &ignored))
            io_remove_tree(top_fd, names.v[k], &ignored);
    }
    VEC_FREE(&names);
}

/* What a root begins with before there is any package. */
static bool make_links(const struct install *i, struct err *err)
{
    AUTO_FD int upper = -1;
    if (mkdirat(i->folder_fd, "upper", 0755) < 0)
        return err_sys(err, "%s/upper", i->folder);
    upper = openat(i->folder_fd, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned k = 0; upper >= 0 && k < DEB_MERGED_COUNT; k++) {
        AUTO_FREE char *target = mem_printf("usr/%s", deb_merged_names[k]);
        if (i->job->merged >> k & 1 && (!io_mkdirs(upper, target, 0755, err) ||
                                        symlinkat(target, upper, deb_merged_names[k]) < 0))
            return err->code ? false : err_sys(err, "%s/upper/%s", i->folder, target);
    }
    return upper >= 0 || err_sys(err, "%s/upper", i->folder);
}

static bool make_folder(struct install *i, struct err *err)
{
    uint64_t r = 0;
    if (!io_mkdirs(store_dir_fd(i->job->store), FOLDERS, 0700, err))
        return false;
    AUTO_FD int top =
        openat(store_dir_fd(i->job->store), FOLDERS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return err_sys(err, FOLDERS);
    sweep(i, top);
    if (getrandom(&r, sizeof(r), 0) != sizeof(r))
        return err_sys(err, "random name");
    i->folder = arena_printf(i->arena, "%s/" FOLDERS "/%016llx", store_path(i->job->store),
                             (unsigned long long)r);
    if (mkdir(i->folder, 0755) < 0)
        return err_sys(err, "%s", i->folder);
    i->folder_fd = open(i->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (i->folder_fd < 0 || flock(i->folder_fd, LOCK_EX | LOCK_NB) < 0 ||
        mkdirat(i->folder_fd, "debs", 0755) < 0)
        return err_sys(err, "%s", i->folder);
    i->harvest_fd = openat(i->folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return i->harvest_fd >= 0 || err_sys(err, "%s", i->folder);
}

static void remove_folder(struct install *i)
{
    struct err ignored;
    if (i->folder) {
        sandbox_remove_upper(i->job->host, i->folder, &ignored);
        io_remove_tree(AT_FDCWD, i->folder, &ignored);
    }
    mem_close_fd(&i->folder_fd);
    i->folder_fd = -1;
}

/* ---- what dpkg gets -------------------------------------------------------------------------- */

/* Names go into a shell's word list: the lock's are checked against the grammar once more. */
static bool plain_name(const char *s)
{
    if (!s[0] || s[0] == '-' || s[0] == '+' || s[0] == '.')
        return false;
    for (; *s; s++)
        if (!(*s >= 'a' && *s <= 'z') && !(*s >= '0' && *s <= '9') && !strchr("+-.", *s))
            return false;
    return true;
}

static bool link_deb(struct install *i, size_t number, struct err *err)
{
    const struct apt_deb *d = &i->job->debs[number];
    char name[32], from[64];
    if (!plain_name(d->name) || !apt_version_valid(span_str(d->version)))
        return err_set(err, ERR_LOCK_INVALID, "%s %s: not a package's name and version", d->name,
                       d->version);
    AUTO_FD int fd = store_open_blob(i->job->store, &d->blob, err);
    if (fd < 0)
        return err_wrap(err, "%s", d->name);
    snprintf(name, sizeof(name), "debs/%05zu.deb", number);
    snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, from, i->folder_fd, name, AT_SYMLINK_FOLLOW) < 0)
        return err_sys(err, "%s", d->name);
    buf_printf(&i->list, "%s %s %s\n", name + 5, d->name, d->version);
    return true;
}

static const char *base_root(const struct apt_layer_job *job)
{
    return job->base_count ? job->base_dirs[job->base_count - 1] : "/";
}

static bool plan_native(struct install *i, struct err *err)
{
    struct apt_layer_job *job = i->job;
    struct deb_tree **trees = arena_array(i->arena, job->deb_count + 1, sizeof(struct deb_tree *));
    for (size_t k = 0; k < job->deb_count; k++)
        trees[k] = job->debs[k].tree;
    if (!apt_native_plan(trees, job->deb_count, base_root(job), job->merged, &i->native, err))
        return false;
    for (size_t k = 0; k < job->deb_count; k++) {
        job->debs[k].native = i->native.chosen[k];
        if (job->debs[k].native && (!span_eq_str(trees[k]->package, job->debs[k].name) ||
                                    !span_eq_str(trees[k]->version, job->debs[k].version)))
            return err_set(err, ERR_BAD_ARCHIVE, "%s %s: the package itself says it is %.*s %.*s",
                           job->debs[k].name, job->debs[k].version, SPAN_ARG(trees[k]->package),
                           SPAN_ARG(trees[k]->version));
    }
    return true;
}

static bool prepare(struct install *i, struct err *err)
{
    i->list = BUF(8u << 20);
    i->removed = BUF(1u << 20);
    if (!make_folder(i, err) || (i->job->bootstrap && !make_links(i, err)) || !plan_native(i, err))
        return false;
    for (size_t k = 0; k < i->job->deb_count; k++)
        if (!i->job->debs[k].native && !link_deb(i, k, err))
            return false;
    for (size_t k = 0; k < i->job->removed_count; k++) {
        if (!plain_name(i->job->removed[k]))
            return err_set(err, ERR_LOCK_INVALID, "%s: not a package's name", i->job->removed[k]);
        buf_printf(&i->removed, "%s\n", i->job->removed[k]);
    }
    return true;
}

/* ---- the run --------------------------------------------------------------------------------- */

static void on_line(void *ctx, bool is_stderr, struct span line)
{
    struct install *i = ctx;
    (void)is_stderr;
    AUTO_FREE char *text = mem_dup(line);
    if (i->job->line)
        i->job->line(i->job, text);
    /* The end of it: that is where dpkg says what went wrong. */
    if (i->tail.len + line.len + 1 > TAIL_BYTES) {
        size_t keep = i->tail.len / 2;
        memmove(i->tail.ptr, i->tail.ptr + i->tail.len - keep, keep);
        i->tail.len = keep;
    }
    if (line.len < TAIL_BYTES / 2) {
        buf_append(&i->tail, line);
        buf_char(&i->tail, '\n');
    }
}

static int harvest(void *ctx, int upper_fd)
{
    struct install *i = ctx;
    struct err err = {0};
    if (harvest_write(upper_fd, apt_left_out, i->harvest_fd, &err))
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return 1;
}

static void finish(struct install *i);

static void split_work(struct pool_task *t)
{
    struct install *i = container_of(t, struct install, task);
    if (io_map_fd(i->harvest_fd, &i->map, &i->err))
        apt_split(i->job, &i->native, i->map.bytes, &i->err);
    remove_folder(i);
}

static void split_done(struct pool_task *t)
{
    finish(container_of(t, struct install, task));
}

/* dpkg's progress: what says nothing of a failure. */
static bool is_progress(struct span line)
{
    static const struct span words[] = {
        SPAN_INIT("Setting up "),
        SPAN_INIT("Unpacking "),
        SPAN_INIT("Preparing to unpack "),
        SPAN_INIT("Selecting "),
        SPAN_INIT("(Reading "),
        SPAN_INIT("Processing triggers "),
        SPAN_INIT("Removing "),
        SPAN_INIT("Errors were encountered "),
    };
    for (size_t i = 0; i < COUNT(words); i++)
        if (span_starts(line, words[i]))
            return true;
    return span_trim(line).len == 0;
}

/* dpkg's own words: its first error, the script's last words before it, and the reason after. */
static void explain(struct install *i)
{
    AUTO_BUF struct buf why = BUF(350);
    struct span rest = buf_span(&i->tail), line, before[2] = {SPAN(""), SPAN("")};
    bool found = false;
    while (span_next_line(&rest, &line) && !(found = span_starts(line, SPAN("dpkg: error ")))) {
        before[0] = before[1];
        before[1] = is_progress(line) ? SPAN("") : span_slice(line, 0, 120);
    }
    for (size_t k = 0; k < COUNT(before); k++)
        if (before[k].len)
            buf_printf(&why, "%.*s; ", SPAN_ARG(span_trim(before[k])));
    if (found)
        buf_printf(&why, "%.*s", SPAN_ARG(span_slice(line, 0, 120)));
    if (found && span_next_line(&rest, &line) && !is_progress(line))
        buf_printf(&why, "%.*s", SPAN_ARG(span_slice(line, 0, 100)));
    if (why.len)
        err_wrap(&i->err, "%s", buf_cstr(&why));
}

static void on_sandbox(void *ctx, const struct sandbox_result *result)
{
    struct install *i = ctx;
    i->sandbox = NULL;
    i->err = result->err;
    if (i->err.code == ERR_SCRIPT)
        explain(i);
    if (result->ids == SANDBOX_IDS_SINGLE && !i->err.code) {
        i->job->notes = i->job->notes ? i->job->notes : json_array();
        json_array_append_new(i->job->notes,
                              json_string("this user has one id only, so all files belong to root: "
                                          "give it a range in /etc/subuid and /etc/subgid"));
    }
    i->task = (struct pool_task){.work = split_work, .done = split_done};
    if (i->err.code) {
        remove_folder(i);
        finish(i);
    } else {
        pool_submit(i->job->pool, &i->task, INT64_MAX);
    }
}

static bool run(struct install *i, struct err *err)
{
    static const char *const argv[] = {"/bin/sh", "/build/install.sh", NULL};
    static const char policy[] = "#!/bin/sh\nexit 101\n";
    struct sandbox_file files[] = {
        {"/build/install.sh", span_of(script, sizeof(script) - 1), 0755},
        {"/build/list", buf_span(&i->list), 0644},
        {"/build/removed", buf_span(&i->removed), 0644},
        {"/build/first/status", buf_span(&i->native.first.status), 0644},
        {"/build/first/interests", buf_span(&i->native.first.interests), 0644},
        {"/build/first/named", buf_span(&i->native.first.named), 0644},
        {"/build/first/pending", buf_span(&i->native.first.pending), 0644},
        {"/build/rest/status", buf_span(&i->native.rest.status), 0644},
        {"/build/rest/interests", buf_span(&i->native.rest.interests), 0644},
        {"/build/rest/named", buf_span(&i->native.rest.named), 0644},
        {"/build/rest/pending", buf_span(&i->native.rest.pending), 0644},
        {"/build/modes", buf_span(&i->native.modes), 0644},
        {"/build/preinsts", buf_span(&i->native.preinsts), 0644},
        {"/usr/sbin/policy-rc.d", span_of(policy, sizeof(policy) - 1), 0755},
    };
    /* Without this mark man-db's trigger leaves its cache alone, which no layer keeps. */
    static const char *const hidden[] = {"var/lib/man-db/auto-update", NULL};
    struct sandbox_bind bind = {arena_printf(i->arena, "%s/debs", i->folder), "/build/debs", false};
    const char *env[] = {
        "DEBIAN_FRONTEND=noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN=true",
        "LC_ALL=C.UTF-8",
        "TZ=UTC",
        arena_printf(i->arena, "SOURCE_DATE_EPOCH=%lld", (long long)i->job->source_date_epoch),
        NULL,
    };
    struct sandbox_spec *spec = ARENA_NEW(i->arena, struct sandbox_spec);
    struct sandbox_file *kept = arena_array(i->arena, COUNT(files), sizeof(*kept));
    struct sandbox_bind *kept_bind = ARENA_NEW(i->arena, struct sandbox_bind);
    const char **kept_env = arena_array(i->arena, COUNT(env), sizeof(*kept_env));
    int *keep = ARENA_NEW(i->arena, int);
    memcpy(kept, files, sizeof(files));
    memcpy(kept_env, env, sizeof(env));
    *kept_bind = bind;
    *keep = i->harvest_fd;
    *spec = (struct sandbox_spec){
        .host = i->job->host,
        .loop = i->job->loop,
        .role = SANDBOX_INSTALL,
        .lower_dirs = i->native.folders,
        .lower_count = i->native.chosen_count,
        .base_dirs = i->job->base_dirs,
        .base_count = i->job->base_count,
        .upper_dir = i->folder,
        .hidden = hidden,
        .binds = kept_bind,
        .bind_count = 1,
        .files = kept,
        .file_count = COUNT(files),
        .argv = argv,
        .env = kept_env,
        .harvest = harvest,
        .keep_fds = keep,
        .keep_fd_count = 1,
        .on_line = on_line,
        .on_done = on_sandbox,
        .ctx = i,
    };
    i->sandbox = sandbox_start(spec, err);
    return i->sandbox != NULL;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
    struct install *i = container_of((uv_timer_t *)h, struct install, timer);
    struct apt_layer_job *job = i->job;
    job->err = i->err;
    mem_close_fd(&i->harvest_fd);
    i->harvest_fd = -1;
    job->done(job);
}

static void finish(struct install *i)
{
    uv_close((uv_handle_t *)&i->timer, on_closed);
}

static void prepare_work(struct pool_task *t)
{
    struct install *i = container_of(t, struct install, task);
    i->prepared = prepare(i, &i->err);
}

static void prepare_done(struct pool_task *t)
{
    struct install *i = container_of(t, struct install, task);
    if (i->prepared && i->cancelled)
        err_set(&i->err, ERR_CANCELLED, "the installation was cancelled");
    if (i->err.code || !run(i, &i->err)) {
        remove_folder(i);
        finish(i);
    }
}

void apt_layer_start(struct apt_layer_job *job)
{
    struct install *i = MEM_NEW(struct install);
    i->job = job;
    i->arena = arena_new();
    i->folder_fd = i->harvest_fd = -1;
    i->tail = BUF(TAIL_BYTES * 2);
    job->state = i;
    uv_timer_init(job->loop, &i->timer);
    i->task = (struct pool_task){.work = prepare_work, .done = prepare_done};
    pool_submit(job->pool, &i->task, INT64_MAX);
}

void apt_layer_cancel(struct apt_layer_job *job)
{
    struct install *i = job->state;
    i->cancelled = true;
    if (i->sandbox)
        sandbox_cancel(i->sandbox);
}

void apt_layer_release(struct apt_layer_job *job)
{
    struct install *i = job->state;
    for (size_t k = 0; k < job->part_count; k++)
        segment_plan_release(&job->parts[k].plan);
    free(job->parts);
    json_decref(job->notes);
    job->parts = NULL;
    job->part_count = 0;
    if (!i)
        return;
    io_unmap(&i->map);
    buf_release(&i->list);
    buf_release(&i->removed);
    buf_release(&i->tail);
    apt_native_release(&i->native);
    arena_free(i->arena);
    free(i);
    job->state = NULL;
}
