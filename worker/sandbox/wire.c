/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sandbox/wire_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    char bytes[CMSG_SPACE(sizeof(int) * WIRE_MAX_FDS)];
    struct cmsghdr align;
};

bool wire_send(int fd, const struct wire *w, const int *fds, size_t n)
{
    union control control;
    struct wire copy = *w;
    struct iovec iov = {&copy, sizeof(copy)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > WIRE_MAX_FDS) {
        errno = EINVAL;
        return false;
    }
    if (n) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    }
    for (;;) {
        ssize_t r = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (r >= 0 || errno != EINTR)
            return r == (ssize_t)sizeof(copy);
    }
}

static void take_fds(struct msghdr *msg, int *fds, size_t *n)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (fds && *n < WIRE_MAX_FDS)
                fds[(*n)++] = fd;
            else
                close(fd);
        }
    }
}

bool wire_recv(int fd, struct wire *w, int *fds, size_t *n)
{
    union control control;
    struct iovec iov = {w, sizeof(*w)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control)};
    size_t none = 0;
    ssize_t r;
    while ((r = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return false;
    if (n)
        *n = 0;
    take_fds(&msg, fds, n ? n : &none);
    if (r != (ssize_t)sizeof(*w)) {
        *w = (struct wire){.kind = WIRE_CLOSED};
        return r == 0;
    }
    return true;
}
