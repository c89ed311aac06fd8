/* SPDX-License-Identifier: Apache-2.0 */
/* replaced.c - what lies below a folder that a script removed and made anew. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/apt_layer/layer_priv.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

static int open_below(const char *root, struct span folder)
{
    struct open_how how = {.flags = OPEN_DIR, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    AUTO_FREE char *path = mem_dup(folder);
    AUTO_FD int root_fd = open(root, OPEN_DIR);
    return root_fd < 0 ? -1 : (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

static void add_base(const struct apt_layer_job *job, struct span folder, struct arena *a,
                     struct map *out)
{
    const char *root = job->base_count ? job->base_dirs[job->base_count - 1] : "/";
    int fd = open_below(root, folder);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *path = arena_printf(a, "%.*s/%s", SPAN_ARG(folder), e->d_name);
        /* What no script could see none removed; its name is nobody's business either. */
        if (job->base_count || !job->host || !sandbox_hides(job->host, path))
            map_put(out, span_str(path), NULL);
    }
    if (dir)
        closedir(dir);
    else
        mem_close_fd(&fd);
}

static void add_trees(const struct apt_layer_job *job, struct span folder, struct map *out)
{
    for (size_t i = 0; i < job->deb_count; i++) {
        const struct deb_tree *t = job->debs[i].native ? job->debs[i].tree : NULL;
        for (size_t k = 0; t && k < t->nodes.n; k++) {
            struct span path = t->nodes.v[k].path;
            if (path.len > folder.len + 1 && span_starts(path, folder) &&
                path.ptr[folder.len] == '/' && !span_has(span_skip(path, folder.len + 1), '/'))
                map_put(out, path, NULL);
        }
    }
}

void apt_paths_below(const struct apt_layer_job *job, struct span folder, struct arena *a,
                     struct map *out)
{
    add_base(job, folder, a, out);
    add_trees(job, folder, out);
}
