/* SPDX-License-Identifier: Apache-2.0 */
/* fill_tree.c - installs a lock into a folder, for comparisons with other installers.
 *
 *     fill_tree pip|npm LOCK.json FOLDER [--bytecode PROGRAM]
 *
 * Every package of the lock has a member "file" more: where its archive is. The plans of all
 * units are written below FOLDER as a layer would have them. */
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "resolvers/npm/install.h"
#include "resolvers/pip/install.h"

static bool write_file(int dir, const char *path, const struct segment_entry *e, struct err *err)
{
    AUTO_FREE char *content = NULL;
    struct span bytes = e->bytes;
    if (e->deflated.ptr) {
        struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
        content = mem_alloc(e->size + 1);
        enum libdeflate_result r = libdeflate_deflate_decompress(
            d, e->deflated.ptr, e->deflated.len, content, e->size, NULL);
        libdeflate_free_decompressor(d);
        bytes = span_of(content, e->size);
        if (r != LIBDEFLATE_SUCCESS || libdeflate_crc32(0, content, e->size) != e->crc32)
            return err_set(err, ERR_BAD_ARCHIVE, "%s: broken", path);
    }
    AUTO_FD int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    return (fd >= 0 || err_sys(err, "%s", path)) && io_write_all(fd, bytes, err) &&
           (fchmod(fd, e->mode) == 0 || err_sys(err, "chmod %s", path));
}

static bool write_entry(int dir, const struct segment_entry *e, struct err *err)
{
    AUTO_FREE char *path = mem_dup(e->path);
    char *slash = strrchr(path, '/');
    if (slash) {
        *slash = '\0';
        if (!io_mkdirs(dir, path, 0755, err))
            return false;
        *slash = '/';
    }
    if (e->type == ENTRY_DIR)
        return io_mkdirs(dir, path, e->mode, err);
    if (e->type == ENTRY_FILE)
        return write_file(dir, path, e, err);
    AUTO_FREE char *target = mem_dup(e->target);
    return symlinkat(target, dir, path) == 0 || err_sys(err, "link %s", path);
}

static bool write_unit(const struct install_context *c, const struct install_unit *u, bool npm,
                       int dir, struct err *err)
{
    AUTO_MAPPED struct io_map blob = {0};
    struct segment_plan plan;
    if (u->package) {
        const char *file = json_get_str(u->package, "file");
        AUTO_FD int fd = open(file ? file : "", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return err_sys(err, "%s: %s", u->name, file);
        if (!io_map_fd(fd, &blob, err))
            return false;
    }
    segment_plan_init(&plan);
    bool ok = (npm ? npm_fill : pip_fill)(c, u, u->package ? &blob : NULL, &plan, err);
    for (size_t i = 0; i < plan.entries.n && ok; i++)
        ok = write_entry(dir, &plan.entries.v[i], err);
    segment_plan_release(&plan);
    return ok;
}

static bool run(const char *manager, const char *lock_file, const char *folder, const char *python,
                struct err *err)
{
    AUTO_BUF struct buf text = BUF(64u << 20);
    AUTO_ARENA struct arena *arena = arena_new();
    struct log log = {.level = LOG_WARN};
    if (!io_read_file(AT_FDCWD, lock_file, &text, err))
        return false;
    AUTO_JSON json_t *lock = json_parse(buf_span(&text), err);
    if (!lock)
        return false;
    const struct platform platform = {
        .python = json_get_str(lock, "python"),
        .python_full = json_get_str(lock, "python_full"),
        .python_program = python ? python : "/usr/bin/python3",
        .python_impl = "cpython",
    };
    const struct install_context c = {
        .lock = lock, .platform = &platform, .options = {.bytecode = python}, .log = &log};
    struct install_units units = {.arena = arena};
    AUTO_FD int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool npm = strcmp(manager, "npm") == 0;
    bool ok =
        (dir >= 0 || err_sys(err, "%s", folder)) && (npm ? npm_units : pip_units)(&c, &units, err);
    for (size_t i = 0; i < units.list.n; i++) {
        ok = ok && write_unit(&c, &units.list.v[i], npm, dir, err);
        json_decref(units.list.v[i].key);
    }
    VEC_FREE(&units.list);
    return ok;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (argc != 4 && !(argc == 6 && strcmp(argv[4], "--bytecode") == 0)) {
        fprintf(stderr, "usage: fill_tree pip|npm LOCK.json FOLDER [--bytecode PROGRAM]\n");
        return 2;
    }
    umask(0);
    if (!run(argv[1], argv[2], argv[3], argc == 6 ? argv[5] : NULL, &err)) {
        fprintf(stderr, "fill_tree: %s (%s)\n", err.text, err_code_name(err.code));
        return 1;
    }
    return 0;
}
