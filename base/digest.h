/* SPDX-License-Identifier: Apache-2.0 */
/* digest.h - SHA-256 digests, and the other hashes that registries use.
 *
 * `struct digest` is always SHA-256 and names blobs: "sha256:" + 64 hex letters (the OCI
 * form). `struct hash` is any algorithm, for checking what a registry promised
 * (FIPS 180-4; Subresource Integrity for the base64 form). The work is OpenSSL's, which
 * uses the CPU's instructions.
 *
 * Ownership: values. A hasher is the caller's: hasher_init, hasher_release.
 * Threads:   no shared state. */
#ifndef STRATA_BASE_DIGEST_H
#define STRATA_BASE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

#define DIGEST_BYTES     32
#define DIGEST_HEX_SIZE  65 /* with the NUL */
#define DIGEST_TEXT_SIZE 72 /* "sha256:" + hex + NUL */

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

enum hash_algo { HASH_NONE, HASH_MD5, HASH_SHA1, HASH_SHA256, HASH_SHA384, HASH_SHA512 };

#define HASH_MAX_BYTES 64

struct hash {
    enum hash_algo algo;
    uint8_t bytes[HASH_MAX_BYTES];
};

struct hasher {
    enum hash_algo algo;
    void *ctx; /* EVP_MD_CTX */
};

void hasher_init(struct hasher *h, enum hash_algo algo);
void hasher_update(struct hasher *h, struct span bytes);
void hasher_copy(struct hasher *to, const struct hasher *from); /* inits `to` */
struct hash hasher_final(struct hasher *h);                     /* releases it */
struct digest hasher_digest(struct hasher *h);                  /* the same, of a SHA-256 one */
void hasher_release(struct hasher *h); /* fine after _final, and on all zero */

struct digest digest_of(struct span bytes);
struct hash hash_of_bytes(enum hash_algo algo, struct span bytes);

bool digest_eq(const struct digest *a, const struct digest *b);
int digest_cmp(const struct digest *a, const struct digest *b);
bool digest_is_zero(const struct digest *d);

/* Texts; each writes a NUL and returns `out`. */
const char *digest_text(const struct digest *d, char out[DIGEST_TEXT_SIZE]); /* sha256:... */
const char *digest_hex(const struct digest *d, char out[DIGEST_HEX_SIZE]);

bool digest_parse(struct span text, struct digest *out);    /* "sha256:" + hex */
bool digest_parse_hex(struct span hex, struct digest *out); /* 64 letters, either case */

size_t hash_size(enum hash_algo algo);            /* bytes */
const char *hash_name(enum hash_algo algo);       /* "sha512" */
enum hash_algo hash_algo_named(struct span name); /* HASH_NONE: unknown */
bool hash_eq(const struct hash *a, const struct hash *b);
bool hash_parse_hex(enum hash_algo algo, struct span hex, struct hash *out);
/* "sha512-BASE64": one SRI hash without options. */
bool hash_parse_sri(struct span text, struct hash *out);
/* "algo:hex" into out (at least 140 bytes); returns out. */
const char *hash_text(const struct hash *h, char out[140]);
bool hash_parse_text(struct span text, struct hash *out);

void hex_encode(struct span bytes, char *out);  /* 2n letters and a NUL */
bool hex_decode(struct span hex, uint8_t *out); /* hex.len / 2 bytes */

/* RFC 4648: standard with padding; URL-safe without. Room for 4 * ceil(n / 3) + 1. */
size_t base64_encode(struct span bytes, bool url_safe, char *out);
/* Either alphabet, padding optional. Returns the length, or SIZE_MAX. Room for 3 * n / 4 + 3. */
size_t base64_decode(struct span text, uint8_t *out);

#endif
