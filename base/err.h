/* SPDX-License-Identifier: Apache-2.0 */
/* err.h - an error as a value: a code, the errno, and the story in words.
 *
 * A failing function fills *err and returns false (or NULL); each caller on the
 * way up may put its own context in front with err_wrap. Whoever handles the
 * error logs or reports it, once.
 *
 *     if (!store_open(&s, path, err))
 *         return err_wrap(err, "state folder");
 *
 * What others wrote (names, reasons) may go into the text: it is kept as plain.h says, so an
 * error can be printed on a terminal.
 *
 * Ownership: a struct err is plain memory, copied freely, across threads too.
 * Errors:    text that does not fit is cut, keeping the front (the context).
 * Threads:   no shared state. */
#ifndef STRATA_BASE_ERR_H
#define STRATA_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

/* X(name, text, worth a retry, HTTP status, exit status of build-env) */
#define ERR_CODES(X)                                                                               \
    X(NONE, "ok", false, 200, 0)                                                                   \
    X(INTERNAL, "internal_error", false, 500, 1)                                                   \
    X(INVALID, "invalid", false, 400, 2)              /* the request or a file is malformed */     \
    X(USAGE, "usage", false, 400, 2)                  /* wrong command line */                     \
    X(NOT_FOUND, "not_found", false, 404, 1)          /* a named thing of ours does not exist */   \
    X(CONFLICT, "conflict", false, 409, 1)            /* the state of a thing forbids it */        \
    X(UNSUPPORTED, "unsupported", false, 400, 2)      /* well-formed, but we cannot do it (yet) */ \
    X(UNRESOLVABLE, "unresolvable", false, 409, 3)    /* no set of versions satisfies all */       \
    X(NO_PACKAGE, "package_not_found", false, 409, 3) /* the registry does not know the name */    \
    X(NEEDS_BUILD, "needs_build", false, 409, 3) /* only a source that would have to run code */   \
    X(SCRIPT, "build_script_failed", false, 409, 5)                                                \
    X(LOCK_INVALID, "lock_invalid", false, 400, 2)                                                 \
    X(NO_REGISTRY, "registry_unknown", false, 409, 4) /* discovery found none */                   \
    X(NETWORK, "network_error", true, 502, 4)         /* no answer, or half of one */              \
    X(TIMEOUT, "timeout", true, 504, 4)                                                            \
    X(REGISTRY, "registry_error", true, 502, 4)            /* 5xx, 429: after all retries */       \
    X(REGISTRY_REFUSED, "registry_refused", false, 502, 4) /* 401, 403 and other 4xx */            \
    X(OFFLINE, "offline", false, 409, 4) /* needed the network, was told not to use it */          \
    X(POLICY, "package_managers_not_allowed", false, 403, 4)                                       \
    X(DIGEST_MISMATCH, "digest_mismatch", false, 502, 4) /* the bytes are not what was locked */   \
    X(SIGNATURE, "signature_invalid", false, 502, 4)                                               \
    X(BAD_ARCHIVE, "bad_archive", false, 502, 4)   /* hostile or broken archive or metadata */     \
    X(TOO_LARGE, "too_large", false, 413, 4)       /* a bound was hit */                           \
    X(FILE_CLASH, "file_conflict", false, 409, 3)  /* two packages own one path */                 \
    X(PLATFORM, "platform_missing", false, 409, 3) /* an interpreter or tool is missing */         \
    X(IO, "io_error", true, 500, 1)                                                                \
    X(NO_SPACE, "no_space", true, 507, 1)                                                          \
    X(CORRUPT, "corrupt", true, 500, 1) /* our own state does not verify */                        \
    X(BUSY, "busy", true, 503, 1)       /* another process holds it; try again */                  \
    X(DENIED, "permission_denied", false, 403, 1)                                                  \
    X(QUOTA, "quota_exceeded", true, 429, 1)                                                       \
    X(CANCELLED, "cancelled", false, 409, 130)

enum err_code {
#define ERR_ENUM(name, text, retryable, http, exit) ERR_##name,
    ERR_CODES(ERR_ENUM)
#undef ERR_ENUM
        ERR_CODE_COUNT
};

struct err {
    enum err_code code;
    int sys_errno; /* 0 when no system call was involved */
    char text[1024];
};

/* Each of these is always false: as macros, so that compilers and analysers know it too. */

/* Sets code and text, forgetting what was there. `err` may be NULL:
 *     err_set(err, code, fmt, ...) */
#define err_set(...) (err_set_text(__VA_ARGS__), err_false())

/* From errno: the code is chosen by it (ENOSPC, EDQUOT -> ERR_NO_SPACE, EACCES, EPERM, EROFS ->
 * ERR_DENIED, ECANCELED -> ERR_CANCELLED, else ERR_IO) and its message is appended:
 *     err_sys(err, fmt, ...) */
#define err_sys(...) (err_set_errno(__VA_ARGS__), err_false())

/* Puts "context: " in front; the code stays:
 *     err_wrap(err, fmt, ...) */
#define err_wrap(...) (err_put_context(__VA_ARGS__), err_false())

void err_set_text(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void err_set_errno(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void err_put_context(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bool err_false(void)
{
    return false;
}

void err_clear(struct err *err);

const char *err_code_name(enum err_code code); /* "digest_mismatch" */
bool err_retryable(enum err_code code);
int err_http_status(enum err_code code);
int err_exit_status(enum err_code code);

#endif
