/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes are: nothing outside the folder changes, what is inside are files,
 * folders, symbolic links and whiteouts, and a second unpacking ends the same way. */
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/mount/layer_dir.h"

struct input {
    struct span left;
};

static ssize_t read_input(void *ctx, void *to, size_t room, struct err *err)
{
    struct input *in = ctx;
    (void)err;
    size_t n = in->left.len < room ? in->left.len : room;
    n = n > 1000 ? 1000 : n; /* pieces end anywhere */
    memcpy(to, in->left.ptr, n);
    in->left = span_skip(in->left, n);
    return (ssize_t)n;
}

static bool unpack(const char *parent, const char *name, struct span bytes)
{
    struct input in = {bytes};
    struct layer_limits limits = {.max_bytes = 1 << 20, .max_entries = 500};
    struct layer_source source = {.digest = digest_of(bytes), .read = read_input, .ctx = &in};
    AUTO_FREE char *path = mem_printf("%s/%s", parent, name);
    if (mkdir(path, 0700) < 0)
        abort();
    AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err = {0};
    bool ok = layer_extract(fd, &source, &limits, &err);
    if (ok != (err.code == ERR_NONE))
        abort();
    return ok;
}

static int check_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path, (void)type, (void)at;
    bool whiteout = S_ISCHR(st->st_mode) && st->st_rdev == 0;
    if (!whiteout && !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISLNK(st->st_mode))
        abort();
    return 0;
}

static int count_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path, (void)st, (void)type;
    if (at->level == 1 && strcmp(path + at->base, "a") != 0 && strcmp(path + at->base, "b") != 0)
        abort(); /* it got out of its folder */
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the sum that a header should have, so that mutations get past that check. */
static void mend(char *header)
{
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
}

static void mend_all(char *bytes, size_t len)
{
    for (size_t at = 0; at + 512 <= len && bytes[at];) {
        size_t size = 0;
        for (int i = 124; i < 136 && bytes[at + i] >= '0' && bytes[at + i] <= '7'; i++)
            size = size << 3 | (size_t)(bytes[at + i] - '0');
        mend(bytes + at);
        at += 512 + (size < len ? (size + 511) / 512 * 512 : len);
    }
}

static void try(const uint8_t *data, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    AUTO_FREE char *parent = mem_printf("%s/fuzz-layer-XXXXXX", tmp ? tmp : "/tmp");
    struct err err = {0};
    if (!mkdtemp(parent))
        abort();
    bool first = unpack(parent, "a", span_of(data, size));
    bool second = unpack(parent, "b", span_of(data, size));
    if (first != second)
        abort();
    nftw(parent, count_entry, 16, FTW_PHYS);
    AUTO_FREE char *inside = mem_printf("%s/a", parent);
    nftw(inside, check_entry, 16, FTW_PHYS);
    if (!io_remove_tree(AT_FDCWD, parent, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 20)
        return 0;
    try(data, size);
    if (size >= 512 && data[0] != 0x1f && data[0] != 0x28) {
        AUTO_FREE char *mended = mem_dup(span_of(data, size));
        mend_all(mended, size);
        try((const uint8_t *)mended, size);
    }
    return 0;
}
