/* SPDX-License-Identifier: Apache-2.0 */
/* make_archive.h - writes small archives in memory for tests, right ones and wrong ones.
 *
 * Ownership: everything lives in the maker's arena.
 * Threads:   none shared. */
#ifndef STRATA_TESTS_RESOLVERS_ARCHIVE_MAKE_ARCHIVE_H
#define STRATA_TESTS_RESOLVERS_ARCHIVE_MAKE_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"

/* What one zip entry is to look like; zero fields are the ordinary thing. */
struct made_entry {
    const char *name;
    struct span content;
    uint32_t mode; /* 0: a regular file, 0644 */
    bool stored;   /* else deflated */
    bool zip64;    /* sizes and offset in ZIP64 extra fields */
    bool descriptor;
    uint16_t flags; /* or'ed to the flags, of both headers */
    /* Lies: */
    const char *local_name;
    uint16_t method; /* in both headers */
    uint32_t crc_xor;
    uint64_t size; /* claimed in both headers */
    uint32_t local_size_xor;
    const char *gap;    /* bytes after its data */
    bool shares_local;  /* the local header of the entry before, none of its own */
    bool twice_central; /* listed twice */
};

struct made_zip {
    struct arena *arena;
    struct made_entry entries[64];
    size_t count;
    bool zip64_end;
    const char *prefix;  /* bytes before the first entry */
    const char *trailer; /* bytes after the end record */
    const char *comment;
    int count_off; /* added to the count in the end record */
    int size_off;  /* added to the directory's size there */
};

/* Adds an ordinary file. */
struct made_entry *made_zip_add(struct made_zip *z, const char *name, const char *content);
struct span made_zip_bytes(const struct made_zip *z);

/* A tar, block by block. */
struct made_tar {
    struct arena *arena;
    struct buf bytes;
};

void made_tar_init(struct made_tar *t, struct arena *a);
/* A whole entry with its padded content. type: '0', '5', 'x', 'L', ... */
void made_tar_add(struct made_tar *t, char type, const char *name, uint32_t mode,
                  struct span content);
void made_tar_link(struct made_tar *t, char type, const char *name, const char *target);
/* A pax header with one record. */
void made_tar_pax(struct made_tar *t, char type, const char *key, const char *value);
void made_tar_end(struct made_tar *t);
void made_tar_release(struct made_tar *t);

struct span made_gzip(struct span content, struct arena *a);

#endif
