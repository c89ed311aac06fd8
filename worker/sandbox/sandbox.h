/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h - where the code of packages runs.
 *
 * A command gets user, mount, pid, ipc, uts, cgroup and net namespaces; a root made of layers
 * with a writable upper directory; /proc, /dev, /tmp, /run and a home of its own; no secrets
 * of this machine, no environment but what the spec sets, no network but the gateway; a
 * system call filter, no new privileges, few capabilities; and limits. All its processes
 * end with the command, with a cancel, with the deadline, or with us, even if we are killed.
 *
 *     worker -fork-> keeper (limits, id maps, deadline) -clone-> init (pid 1 inside) -> command
 *
 * Ids. INSTALL keeps the ids of packages: as root the namespace's ids 0..65535 are a high
 * range, mapped back by id-mapped mounts, so that upper_dir holds ordinary ids (or, where a
 * file system cannot do that, the ids as they are); an ordinary user gets the range of
 * /etc/subuid through newuidmap, else one id, and then changing owners is pretended
 * (result.ids tells). BUILD code is root over what it made and a stranger to the rest.
 *
 * Ownership: the spec and all it points to stay the caller's until on_done. The sandbox is
 *            freed after on_done returned.
 * Units:     bytes, milliseconds.
 * Errors:    result.err: ERR_SCRIPT (status other than 0), ERR_TIMEOUT, ERR_CANCELLED,
 *            ERR_TOO_LARGE (memory, disk), ERR_DENIED (this host allows no sandbox: the text
 *            says what to do), ERR_IO.
 * Threads:   the loop's; callbacks come on it, never from inside a call. */
#ifndef STRATA_WORKER_SANDBOX_SANDBOX_H
#define STRATA_WORKER_SANDBOX_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/err.h"
#include "base/span.h"
#include "worker/sandbox/host.h"

enum sandbox_role {
    SANDBOX_BUILD,   /* compilers, build back ends, package scripts */
    SANDBOX_INSTALL, /* dpkg: owners, modes and capabilities of files are set for real */
};

struct sandbox_bind {
    const char *from; /* on this machine: a folder or a file */
    const char *to;   /* absolute, inside; made when missing. No folder above it may be a
                         symbolic link of the base */
    bool writable;
};

/* A file made before the command starts, owned by its root. */
struct sandbox_file {
    const char *path; /* absolute, inside, as sandbox_bind.to */
    struct span bytes;
    mode_t mode;
};

struct sandbox_limits {    /* 0: the default */
    uint64_t memory_bytes; /* 4 GiB */
    uint64_t disk_bytes;   /* 8 GiB: of the temporary upper, /tmp and one file each */
    uint32_t processes;    /* 512 */
    uint32_t files;        /* 4096 open ones, a process */
    int64_t cpu_ms;        /* 3600 s of one process */
    int64_t wall_ms;       /* 1800 s */
    uint64_t output_bytes; /* 16 MiB of output are passed on, the rest is dropped */
    uint32_t line_bytes;   /* 8192: longer lines are cut */
};

enum sandbox_ids {
    SANDBOX_IDS_MAPPED, /* owners are right on disk as they are */
    SANDBOX_IDS_SUBUID, /* owners on disk are of the user's range: use harvest to read them */
    SANDBOX_IDS_SINGLE, /* one id only: changing owners was pretended */
};

struct sandbox_result {
    struct err err; /* ERR_NONE: the command, and harvest, exited with 0 */
    int status;     /* the command's, 128 + signal; -1: it did not come to that */
    enum sandbox_ids ids;
    bool output_cut;            /* output_bytes was reached */
    uint64_t memory_peak_bytes; /* 0: not measured here */
    int64_t setup_ms, wall_ms;
    int64_t setup_us; /* from sandbox_start to the command's start */
};

struct sandbox_spec {
    const struct sandbox_host *host;
    uv_loop_t *loop;
    enum sandbox_role role;
    /* Unpacked layers in the manifest's order, and the root below them (0: this machine's). */
    const char *const *lower_dirs;
    size_t lower_count;
    const char *const *base_dirs;
    size_t base_count;
    /* Paths ("var/lib/x") of the base that are not to show; NULL at the end. NULL: none. */
    const char *const *hidden;
    /* Where what is written stays: the folders "upper" and "work" are made in it (sandbox_
     * remove_upper removes them). NULL: kept in memory and dropped. One sandbox at a time. */
    const char *upper_dir;
    const struct sandbox_bind *binds;
    size_t bind_count;
    const struct sandbox_file *files;
    size_t file_count;
    const char *const *argv; /* NULL at the end; argv[0] absolute, or looked up in env's PATH */
    const char *const *env;  /* "KEY=VALUE", NULL at the end: all there is, but PATH, HOME, USER,
                                LOGNAME, TMPDIR, LANG have defaults */
    const char *cwd;         /* inside; NULL: /build, a folder of its own */
    struct span input;       /* standard input; empty: /dev/null */
    struct sandbox_limits limits;
    /* A listener on 127.0.0.1:gateway_port inside; accept on it from outside. 0: none. */
    uint16_t gateway_port;
    void (*on_gateway)(void *ctx, int listen_fd); /* the descriptor is the callee's */
    /* Runs after a status of 0 and the end of all the package's processes, in a process
     * inside the namespaces (ids as packages see them), before the command's file systems
     * go. May write to descriptors that were listed in keep_fds; returns an exit status. */
    int (*harvest)(void *ctx, int upper_fd);
    const int *keep_fds;
    size_t keep_fd_count;
    void (*on_line)(void *ctx, bool is_stderr, struct span line);
    void (*on_done)(void *ctx, const struct sandbox_result *result);
    void *ctx;
};

struct sandbox;

/* NULL + err when nothing was started; then no callback comes. */
struct sandbox *sandbox_start(const struct sandbox_spec *spec, struct err *err);

/* Kills all there is; on_done comes with ERR_CANCELLED. Not after on_done. */
void sandbox_cancel(struct sandbox *s);

/* Removes "upper" and "work" from upper_dir, whoever owns what is in them. Blocks. */
bool sandbox_remove_upper(const struct sandbox_host *host, const char *upper_dir, struct err *err);

#endif
