/* SPDX-License-Identifier: Apache-2.0 */
/* release.h - an archive's Release file: who signed it, and the hashes it vouches for.
 *
 * InRelease is a clear-signed Release, older archives have Release and Release.gpg; gpgv checks it
 * against the source's Signed-By keyrings (or the machine's trusted ones), and only what gpgv gives
 * back is read on. The chain goes on from there: Release -> hash of Packages -> hash of each .deb
 * (Debian Wiki, DebianRepository/Format; apt-secure(8)).
 *
 * Ownership: apt_release_free. The signed text returned by _verify is the caller's (buf).
 * Errors:    ERR_SIGNATURE (not signed by a key we may trust, expired), ERR_BAD_ARCHIVE,
 *            ERR_PLATFORM (no gpgv: the text says which package brings it).
 * Threads:   _verify runs a child and blocks: on the pool. The rest is pure. */
#ifndef STRATA_RESOLVERS_APT_RELEASE_H
#define STRATA_RESOLVERS_APT_RELEASE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/map.h"

#define APT_RELEASE_MAX_BYTES (16u << 20)

struct apt_release {
    struct arena *arena;
    struct span origin, suite, codename;
    int64_t date_ms, valid_until_ms; /* 0: not told */
    bool not_automatic, but_automatic_upgrades, by_hash;
    struct map files; /* path below the suite -> struct apt_release_file */
};

struct apt_release_file {
    struct digest sha256;
    uint64_t size;
};

/* `keyrings`: paths of key files, binary or armoured, or an armoured block itself. The verified
 * text goes to `out`. */
bool apt_release_verify(struct span signed_text, const char *const *keyrings, size_t count,
                        struct buf *out, struct err *err);
/* The same for a Release with its signature beside it (Release.gpg). */
bool apt_release_verify_detached(struct span text, struct span signature,
                                 const char *const *keyrings, size_t count, struct err *err);
bool apt_release_parse(struct span text, struct apt_release **out, struct err *err);
void apt_release_free(struct apt_release *r); /* NULL is fine */
/* NULL: not listed. */
const struct apt_release_file *apt_release_file(const struct apt_release *r, const char *path);
/* What apt gives lists of such a release: 500, 100 or 1. */
int apt_release_pin(const struct apt_release *r);

/* "Sat, 15 Nov 2025 10:04:52 UTC" in ms since the epoch; 0: not understood. */
int64_t apt_date_ms(struct span text);

/* The packets of an armoured key block (RFC 4880 section 6.2); false: not armoured. */
bool apt_dearmour(struct span text, struct buf *out);

#endif
