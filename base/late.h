/* SPDX-License-Identifier: Apache-2.0 */
/* late.h - shared libraries that are bound when they are first used.
 *
 * Loading and relocating libcurl, libarchive and libsolvext with the forty libraries below them
 * takes the dynamic loader 7 ms, more than all else that a known build or `run` does, and these
 * need none of them. A library is still built against its own headers and must be there when the
 * programs are configured: its SONAME is taken from it then.
 *
 * For one library, in a header of its own:
 *
 *     #include <zlib.h>
 *     #define ZLIB_FUNCTIONS(X) X(crc32) X(zlibVersion)
 *     LATE_DECLARE(late_zlib, ZLIB_FUNCTIONS)
 *     #define crc32       (late_zlib()->crc32)
 *     #define zlibVersion (late_zlib()->zlibVersion)
 *
 * and in one source file LATE_DEFINE(late_zlib, "libz.so.1", ZLIB_FUNCTIONS). A function that is
 * not in the list does not compile, one without its #define does not link.
 *
 * late_zlib_load(err) says whether it is there: call it where an error can be told. Calling a
 * function of a library that is not there ends the process with the same words.
 *
 * Ownership: what was loaded stays for the life of the process.
 * Errors:    ERR_UNSUPPORTED, with the loader's words and what to do.
 * Threads:   any; a table is written once, before anybody can see it. */
#ifndef STRATA_BASE_LATE_H
#define STRATA_BASE_LATE_H

#include <stdatomic.h>

#include "base/err.h"

struct late_library {
    const char *file;         /* SONAME */
    const char *const *names; /* of its functions */
    void **functions;         /* their addresses, `count` of each */
    size_t count;
    atomic_bool ready;
};

bool late_load(struct late_library *l, struct err *err);
void late_must_load(struct late_library *l); /* or ends the process */

#define LATE_MEMBER(name) __typeof__(name) *name;
#define LATE_NAME(name)   #name,

#define LATE_DECLARE(lib, FUNCTIONS)                                                               \
    struct lib##_table {                                                                           \
        FUNCTIONS(LATE_MEMBER)                                                                     \
    };                                                                                             \
    const struct lib##_table *lib(void);                                                           \
    bool lib##_load(struct err *err);

#define LATE_DEFINE(lib, soname, FUNCTIONS)                                                        \
    static const char *const lib##_names[] = {FUNCTIONS(LATE_NAME)};                               \
    static union {                                                                                 \
        struct lib##_table table;                                                                  \
        void *functions[sizeof(lib##_names) / sizeof(lib##_names[0])];                             \
    } lib##_bound;                                                                                 \
    _Static_assert(sizeof(lib##_bound.table) == sizeof(lib##_bound.functions),                     \
                   "one pointer each");                                                            \
    static struct late_library lib##_library = {                                                   \
        .file = (soname),                                                                          \
        .names = lib##_names,                                                                      \
        .functions = lib##_bound.functions,                                                        \
        .count = sizeof(lib##_names) / sizeof(lib##_names[0]),                                     \
    };                                                                                             \
    const struct lib##_table *lib(void)                                                            \
    {                                                                                              \
        if (!atomic_load_explicit(&lib##_library.ready, memory_order_acquire))                     \
            late_must_load(&lib##_library);                                                        \
        return &lib##_bound.table;                                                                 \
    }                                                                                              \
    bool lib##_load(struct err *err)                                                               \
    {                                                                                              \
        return late_load(&lib##_library, err);                                                     \
    }

#endif
