/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/plain.h"

static const struct code_info {
    const char *name;
    bool retryable;
    int http;
    int exit;
} codes[ERR_CODE_COUNT] = {
#define ERR_ROW(name, text, retryable, http, exit) [ERR_##name] = {text, retryable, http, exit},
    ERR_CODES(ERR_ROW)
#undef ERR_ROW
};

static const struct code_info *info(enum err_code code)
{
    return &codes[(unsigned)code < ERR_CODE_COUNT ? code : ERR_INTERNAL];
}

void err_set_text(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err)
        return;
    char text[sizeof(err->text)]; /* fmt's arguments may point into *err */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    plain_str(text, PLAIN_LINES);
    err->code = code;
    err->sys_errno = 0;
    memcpy(err->text, text, sizeof(text));
}

static enum err_code code_of_errno(int e)
{
    switch (e) {
    case ENOSPC:
    case EDQUOT: return ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS: return ERR_DENIED;
    case ECANCELED: return ERR_CANCELLED;
    default: return ERR_IO;
    }
}

void err_set_errno(struct err *err, const char *fmt, ...)
{
    int e = errno;
    if (!err)
        return;
    char text[sizeof(err->text) / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err_set(err, code_of_errno(e), "%s: %s", text, strerror(e));
    err->sys_errno = e;
}

void err_put_context(struct err *err, const char *fmt, ...)
{
    if (!err)
        return;
    char text[sizeof(err->text)];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used < sizeof(text))
        used = plain_text(text, used, PLAIN_LINES);
    else
        plain_str(text, PLAIN_LINES);
    if (used < sizeof(text) - 3) {
        memcpy(text + used, ": ", 2);
        used += 2;
        size_t room = sizeof(text) - used - 1, len = strnlen(err->text, sizeof(err->text));
        len = len > room ? room : len;
        memcpy(text + used, err->text, len);
        text[used + len] = '\0';
    }
    memcpy(err->text, text, sizeof(text));
}

void err_clear(struct err *err)
{
    if (err) {
        err->code = ERR_NONE;
        err->sys_errno = 0;
        err->text[0] = '\0';
    }
}

const char *err_code_name(enum err_code code)
{
    return info(code)->name;
}

bool err_retryable(enum err_code code)
{
    return info(code)->retryable;
}

int err_http_status(enum err_code code)
{
    return info(code)->http;
}

int err_exit_status(enum err_code code)
{
    return info(code)->exit;
}
