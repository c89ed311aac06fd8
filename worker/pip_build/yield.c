/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/pip_build/yield.h"

static const struct {
    const char *name;
    uint64_t max_bytes;
} files[YIELD_COUNT] = {
    [YIELD_REQUIRES] = {"requires", 1u << 20},
    [YIELD_METADATA] = {"METADATA", 8u << 20},
    [YIELD_NAME] = {"name", 512},
    [YIELD_WHEEL] = {"wheel", 2ull << 30},
};

/* In place of a size. */
#define YIELD_MISSING   UINT64_MAX
#define YIELD_IRREGULAR (UINT64_MAX - 1)
#define YIELD_TOO_LARGE (UINT64_MAX - 2)

static bool put_size(int out, uint64_t n, struct err *err)
{
    char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(n >> 8 * i);
    return io_write_all(out, span_of(bytes, sizeof(bytes)), err);
}

static bool put_content(int out, int fd, uint64_t size, struct err *err)
{
    char bytes[65536];
    while (size) {
        ssize_t n = read(fd, bytes, size < sizeof(bytes) ? (size_t)size : sizeof(bytes));
        if (n <= 0)
            return n < 0 ? err_sys(err, "read") : err_set(err, ERR_IO, "a file shrank");
        if (!io_write_all(out, span_of(bytes, (size_t)n), err))
            return false;
        size -= (uint64_t)n;
    }
    return true;
}

static bool put_file(int dir, int out, enum pip_yield which, struct err *err)
{
    struct stat st;
    AUTO_FD int fd =
        openat(dir, files[which].name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return put_size(out, YIELD_MISSING, err);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return put_size(out, YIELD_IRREGULAR, err);
    if ((uint64_t)st.st_size > files[which].max_bytes)
        return put_size(out, YIELD_TOO_LARGE, err);
    return put_size(out, (uint64_t)st.st_size, err) &&
           put_content(out, fd, (uint64_t)st.st_size, err);
}

int pip_yield_write(int out_fd)
{
    struct err err = {0};
    AUTO_FD int dir = open(PIP_YIELD_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool ok = dir >= 0 || err_sys(&err, PIP_YIELD_DIR);
    for (int i = 0; ok && i < YIELD_COUNT; i++)
        ok = put_file(dir, out_fd, (enum pip_yield)i, &err);
    return ok ? 0 : 1;
}

bool pip_yield_read(struct span stream, struct span out[YIELD_COUNT], struct err *err)
{
    for (int i = 0; i < YIELD_COUNT; i++) {
        uint64_t size = 0;
        if (stream.len < 8)
            return err_set(err, ERR_CORRUPT, "a build's result is cut off");
        for (int k = 7; k >= 0; k--)
            size = size << 8 | (uint8_t)stream.ptr[k];
        stream = span_skip(stream, 8);
        out[i] = (struct span){NULL, 0};
        if (size == YIELD_MISSING)
            continue;
        if (size == YIELD_IRREGULAR)
            return err_set(err, ERR_BAD_ARCHIVE, "the build's %s is no regular file",
                           files[i].name);
        if (size == YIELD_TOO_LARGE)
            return err_set(err, ERR_TOO_LARGE, "the build's %s has more than %llu bytes",
                           files[i].name, (unsigned long long)files[i].max_bytes);
        if (size > stream.len)
            return err_set(err, ERR_CORRUPT, "a build's result is cut off");
        out[i] = span_slice(stream, 0, (size_t)size);
        stream = span_skip(stream, (size_t)size);
    }
    return stream.len == 0 || err_set(err, ERR_CORRUPT, "a build's result is too long");
}
