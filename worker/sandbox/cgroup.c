/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sandbox/cgroup_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"

#define PREFIX "strata-"

static bool write_value(const char *dir, const char *file, const char *value)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
}

static uint64_t read_value(const char *dir, const char *file, const char *key)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
    AUTO_BUF struct buf b = BUF(64u << 10);
    struct span rest, line, name, value;
    uint64_t v = 0;
    if (!io_read_file(AT_FDCWD, path, &b, NULL))
        return 0;
    rest = buf_span(&b);
    while (span_next_line(&rest, &line)) {
        value = line;
        if (key && (!span_cut_char(line, ' ', &name, &value) || !span_eq_str(name, key)))
            continue;
        return span_to_u64(value, &v) ? v : 0;
    }
    return 0;
}

static bool has_word(struct span text, char separator, const char *word)
{
    struct span piece;
    while (span_next(&text, separator, &piece))
        if (span_eq_str(span_trim(piece), word))
            return true;
    return false;
}

/* Where the hierarchy with this controller is mounted ("" for version 2); NULL: nowhere. */
static char *find_mount(struct span mountinfo, const char *controller)
{
    struct span line, head, tail, field = SPAN(""), type, options;
    while (span_next_line(&mountinfo, &line)) {
        if (!span_cut(line, SPAN(" - "), &head, &tail))
            continue;
        for (int i = 0; i < 5; i++)
            if (!span_next(&head, ' ', &field))
                field = SPAN("");
        if (!span_next(&tail, ' ', &type) || !span_next(&tail, ' ', &options) ||
            !span_next(&tail, ' ', &options))
            continue;
        if (controller[0] ? span_eq_str(type, "cgroup") && has_word(options, ',', controller)
                          : span_eq_str(type, "cgroup2"))
            return mem_dup(field);
    }
    return NULL;
}

/* Our own group in the hierarchy, from /proc/self/cgroup: "4:memory:/path", "0::/path". */
static char *own_group(struct span cgroups, const char *controller)
{
    struct span line, id, rest, names, path;
    while (span_next_line(&cgroups, &line))
        if (span_cut_char(line, ':', &id, &rest) && span_cut_char(rest, ':', &names, &path) &&
            (controller[0] ? has_word(names, ',', controller) : names.len == 0))
            return mem_dup(path);
    return NULL;
}

static bool can_make_groups(const char *dir)
{
    AUTO_FREE char *probe = mem_printf("%s/" PREFIX "%d-probe", dir, (int)getpid());
    if (mkdir(probe, 0755) < 0)
        return false;
    rmdir(probe);
    return true;
}

static char *place_in_v1(struct span mountinfo, struct span cgroups, const char *controller)
{
    AUTO_FREE char *top = find_mount(mountinfo, controller);
    AUTO_FREE char *own = own_group(cgroups, controller);
    if (!top)
        return NULL;
    char *dir = mem_printf("%s%s", top, own && strcmp(own, "/") != 0 ? own : "");
    if (can_make_groups(dir))
        return dir;
    free(dir);
    return NULL;
}

/* Controllers work in groups below one that hands them down and holds no processes. */
static bool hands_down(const char *dir)
{
    AUTO_FREE char *path = mem_printf("%s/cgroup.subtree_control", dir);
    AUTO_BUF struct buf b = BUF(4096);
    write_value(dir, "cgroup.subtree_control", "+memory +pids");
    return io_read_file(AT_FDCWD, path, &b, NULL) && has_word(buf_span(&b), ' ', "memory") &&
           has_word(buf_span(&b), ' ', "pids") && can_make_groups(dir);
}

static char *place_in_v2(struct span mountinfo, struct span cgroups)
{
    AUTO_FREE char *top = find_mount(mountinfo, "");
    AUTO_FREE char *own = own_group(cgroups, "");
    if (!top)
        return NULL;
    char *dir = mem_printf("%s%s", top, own && strcmp(own, "/") != 0 ? own : "");
    if (hands_down(dir))
        return dir;
    free(dir);
    dir = mem_dup_str(top);
    if (hands_down(dir))
        return dir;
    free(dir);
    return NULL;
}

void cgroup_place_find(struct cgroup_place *out)
{
    AUTO_BUF struct buf mounts = BUF(16u << 20), groups = BUF(1u << 20);
    *out = (struct cgroup_place){0};
    if (!io_read_file(AT_FDCWD, "/proc/self/mountinfo", &mounts, NULL) ||
        !io_read_file(AT_FDCWD, "/proc/self/cgroup", &groups, NULL))
        return;
    out->memory = place_in_v2(buf_span(&mounts), buf_span(&groups));
    if (out->memory) {
        out->version = 2;
        out->pids = mem_dup_str(out->memory);
        return;
    }
    out->memory = place_in_v1(buf_span(&mounts), buf_span(&groups), "memory");
    out->pids = place_in_v1(buf_span(&mounts), buf_span(&groups), "pids");
    out->version = out->memory || out->pids ? 1 : 0;
}

void cgroup_place_release(struct cgroup_place *p)
{
    free(p->memory);
    free(p->pids);
    *p = (struct cgroup_place){0};
}

/* A zombie looks after nothing any more. */
static bool is_alive(pid_t pid)
{
    AUTO_FREE char *path = mem_printf("/proc/%d/stat", (int)pid);
    AUTO_BUF struct buf b = BUF(4096);
    if (!io_read_file(AT_FDCWD, path, &b, NULL))
        return kill(pid, 0) == 0 || errno != ESRCH;
    struct span state = span_skip(buf_span(&b), span_find_last_char(buf_span(&b), ')') + 2);
    return !state.len || (state.ptr[0] != 'Z' && state.ptr[0] != 'X');
}

static void sweep_dir(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct span rest, pid_text, random;
        uint64_t pid;
        if (!span_cut(span_str(e->d_name), SPAN(PREFIX), &random, &rest) || random.len ||
            !span_cut_char(rest, '-', &pid_text, &random) || !span_to_u64(pid_text, &pid) ||
            pid == 0 || pid > 1u << 30)
            continue;
        if (!is_alive((pid_t)pid))
            unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
    }
    if (dir)
        closedir(dir);
}

void cgroup_sweep(const struct cgroup_place *p)
{
    if (p->memory)
        sweep_dir(p->memory);
    if (p->pids && p->version == 1)
        sweep_dir(p->pids);
}

static bool make_dir(const char *place, char **out, struct err *err)
{
    *out = mem_printf("%s/" PREFIX "%d-%llx", place, (int)getpid(),
                      (unsigned long long)io_monotonic_ms());
    if (mkdir(*out, 0755) == 0 || errno == EEXIST)
        return true;
    free(TAKE(*out));
    return err_sys(err, "control group in %s", place);
}

static bool set_limit(const char *dir, const char *file, unsigned long long value, struct err *err)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", value);
    return write_value(dir, file, text) || err_sys(err, "control group limit %s", file);
}

static bool open_door(const char *dir, const char *name, int flags, int *door, struct err *err)
{
    if (!dir)
        return true;
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    *door = open(path, flags | O_CLOEXEC);
    return *door >= 0 || err_sys(err, "%s", path);
}

static bool open_doors(struct cgroup *g, struct err *err)
{
    if (g->version == 2)
        return open_door(g->memory, ".", O_PATH | O_DIRECTORY, &g->doors[0], err);
    return open_door(g->memory, "tasks", O_WRONLY, &g->doors[0], err) &&
           open_door(g->pids, "tasks", O_WRONLY, &g->doors[1], err);
}

bool cgroup_make(const struct cgroup_place *p, uint64_t memory_bytes, uint32_t processes,
                 struct cgroup *out, struct err *err)
{
    *out = (struct cgroup){.version = p->version, .doors = {-1, -1}};
    if (p->memory && !make_dir(p->memory, &out->memory, err))
        return false;
    if (p->version == 2)
        out->pids = mem_dup_str(out->memory);
    else if (p->pids && !make_dir(p->pids, &out->pids, err))
        return false;
    bool v2 = p->version == 2;
    if (out->memory &&
        !set_limit(out->memory, v2 ? "memory.max" : "memory.limit_in_bytes", memory_bytes, err))
        return false;
    /* Swap would only put the end off; not every kernel has these files. */
    if (out->memory && v2) {
        write_value(out->memory, "memory.swap.max", "0");
        write_value(out->memory, "memory.oom.group", "1");
    } else if (out->memory) {
        set_limit(out->memory, "memory.memsw.limit_in_bytes", memory_bytes, NULL);
    }
    return (!out->pids || set_limit(out->pids, "pids.max", processes, err)) && open_doors(out, err);
}

pid_t cgroup_clone(struct cgroup *g, unsigned long flags)
{
    struct clone_args args = {.flags = flags | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
    if (g->version == 2 && g->doors[0] >= 0) {
        args.cgroup = (uint64_t)g->doors[0];
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid >= 0) {
            g->entered = true;
            return pid;
        }
    }
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0ul);
}

bool cgroup_enter(struct cgroup *g, struct err *err)
{
    for (size_t i = 0; i < COUNT(g->doors); i++) {
        if (g->version == 1 && g->doors[i] >= 0 && write(g->doors[i], "0", 1) != 1)
            return err_sys(err, "enter control group");
        mem_close_fd(&g->doors[i]);
    }
    return true;
}

bool cgroup_add(const struct cgroup *g, pid_t pid, struct err *err)
{
    char text[24];
    snprintf(text, sizeof(text), "%d", (int)pid);
    if (g->version == 2 && !g->entered && !write_value(g->memory, "cgroup.procs", text))
        return err_sys(err, "enter control group");
    return true;
}

bool cgroup_had_oom(const struct cgroup *g)
{
    return g->memory &&
           read_value(g->memory, g->version == 2 ? "memory.events" : "memory.oom_control",
                      "oom_kill") > 0;
}

uint64_t cgroup_peak_bytes(const struct cgroup *g)
{
    return g->memory
               ? read_value(g->memory,
                            g->version == 2 ? "memory.peak" : "memory.max_usage_in_bytes", NULL)
               : 0;
}

static void remove_dir(char *dir)
{
    /* The last process is a zombie no more only some time after its end was seen. */
    for (int i = 0; dir && rmdir(dir) < 0 && errno == EBUSY && i < 1000; i++)
        poll(NULL, 0, 1);
    free(dir);
}

void cgroup_remove(struct cgroup *g)
{
    for (size_t i = 0; g->version && i < COUNT(g->doors); i++)
        mem_close_fd(&g->doors[i]);
    if (g->version == 2)
        free(TAKE(g->pids));
    remove_dir(TAKE(g->pids));
    remove_dir(TAKE(g->memory));
}
