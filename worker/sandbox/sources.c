/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/sandbox/guest_priv.h"

const char *const sandbox_devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
const size_t sandbox_device_count = COUNT(sandbox_devices);

static bool add(struct sources *s, enum source_kind kind, struct span path, size_t index,
                struct err *err)
{
    if (s->n == WIRE_MAX_FDS)
        return err_set(err, ERR_UNSUPPORTED, "more than %d folders to mount", WIRE_MAX_FDS);
    s->v[s->n++] = (struct source){kind, mem_dup(path), index, -1, false};
    return true;
}

/* Unpacked layers mostly lie side by side: one mount of the folder around them will do. */
static bool add_folder_of(struct sources *s, enum source_kind kind, const char *dir,
                          struct err *err)
{
    struct span parent, name;
    if (dir[0] != '/' || !span_cut_last_char(span_str(dir), '/', &parent, &name) || !name.len)
        return err_set(err, ERR_INTERNAL, "%s: not an absolute path", dir);
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].kind == kind && span_eq_str(parent, s->v[i].path))
            return true;
    return add(s, kind, parent.len ? parent : SPAN("/"), 0, err);
}

bool sources_list(const struct sandbox_spec *spec, struct sources *out, struct err *err)
{
    *out = (struct sources){0};
    for (size_t i = 0; i < spec->lower_count; i++)
        if (!add_folder_of(out, SOURCE_LAYERS, spec->lower_dirs[i], err))
            return false;
    for (size_t i = 0; i < spec->base_count; i++)
        if (!add_folder_of(out, SOURCE_BASE, spec->base_dirs[i], err))
            return false;
    if (spec->base_count == 0 && !add(out, SOURCE_BASE, SPAN("/"), 0, err))
        return false;
    if (spec->upper_dir && !add(out, SOURCE_UPPER, span_str(spec->upper_dir), 0, err))
        return false;
    for (size_t i = 0; i < spec->bind_count; i++)
        if (!add(out, SOURCE_BIND, span_str(spec->binds[i].from), i, err))
            return false;
    for (size_t i = 0; i < sandbox_device_count; i++) {
        AUTO_FREE char *path = mem_printf("/dev/%s", sandbox_devices[i]);
        if (!add(out, SOURCE_DEVICE, span_str(path), i, err))
            return false;
    }
    return true;
}

/* A build is to be a stranger to the machine's own files, and to be root over the rest. */
static bool wants_map(const struct source *s, const struct sandbox_spec *spec)
{
    if (s->kind == SOURCE_BASE)
        return spec->role == SANDBOX_INSTALL || spec->base_count > 0;
    return s->kind != SOURCE_DEVICE;
}

bool sources_open(struct sources *s, const struct sandbox_spec *spec, int map_ns_fd, bool recursive,
                  struct err *err)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0u);
    for (size_t i = 0; i < s->n; i++) {
        struct source *v = &s->v[i];
        /* Without the right to leave out what is mounted below, "/" is shown part by part. */
        if (recursive && v->kind == SOURCE_BASE && spec->base_count == 0)
            continue;
        v->tree_fd = open_tree(AT_FDCWD, v->path, flags);
        if (v->tree_fd < 0 && v->kind == SOURCE_DEVICE)
            continue;
        if (v->tree_fd < 0)
            return err_sys(err, "%s", v->path);
        struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP,
                                  .userns_fd = (uint64_t)(unsigned)map_ns_fd};
        if (map_ns_fd >= 0 && wants_map(v, spec))
            v->id_mapped = mount_setattr(v->tree_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0;
    }
    return true;
}

void sources_close(struct sources *s)
{
    for (size_t i = 0; i < s->n; i++) {
        mem_close_fd(&s->v[i].tree_fd);
        free((void *)(uintptr_t)s->v[i].path);
    }
    s->n = 0;
}
