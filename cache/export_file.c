/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/export_priv.h"

bool export_file_open(struct export_file *f, const char *path, struct err *err)
{
    *f = (struct export_file){.fd = STDOUT_FILENO, .dir_fd = -1};
    if (strcmp(path, "-") == 0)
        return true;
    struct span folder = SPAN("."), name = span_str(path);
    if (span_cut_last_char(span_str(path), '/', &folder, &name) && folder.len == 0)
        folder = SPAN("/");
    if (name.len == 0)
        return err_set(err, ERR_INVALID, "\"%s\" names no file", path);
    AUTO_FREE char *folder_text = mem_dup(folder);
    f->dir_fd = open(folder_text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir_fd < 0)
        return err_sys(err, "%s", folder_text);
    f->staged = staged_new(f->dir_fd, 0644, err);
    if (!f->staged) {
        mem_close_fd(&f->dir_fd);
        return err_wrap(err, "%s", path);
    }
    f->fd = staged_fd(f->staged);
    f->name = mem_dup(name);
    return true;
}

bool export_file_close(struct export_file *f, bool ok, struct err *err)
{
    if (f->staged && ok)
        ok = staged_publish(TAKE(f->staged), f->dir_fd, f->name, false, err);
    staged_free(f->staged);
    mem_close_fd(&f->dir_fd);
    free(f->name);
    return ok;
}
