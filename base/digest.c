/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/mem.h"

static const struct {
    const char *name;
    size_t size;
    const EVP_MD *(*md)(void);
} algos[] = {
    [HASH_NONE] = {"none", 0, NULL},
    [HASH_MD5] = {"md5", 16, EVP_md5},
    [HASH_SHA1] = {"sha1", 20, EVP_sha1},
    [HASH_SHA256] = {"sha256", 32, EVP_sha256},
    [HASH_SHA384] = {"sha384", 48, EVP_sha384},
    [HASH_SHA512] = {"sha512", 64, EVP_sha512},
};

/* OpenSSL fails here only without memory or without the algorithm: both end us. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

void hasher_init(struct hasher *h, enum hash_algo algo)
{
    assert(algo != HASH_NONE);
    h->algo = algo;
    h->ctx = EVP_MD_CTX_new();
    must(h->ctx != NULL);
    must(EVP_DigestInit_ex(h->ctx, algos[algo].md(), NULL));
}

void hasher_update(struct hasher *h, struct span bytes)
{
    must(EVP_DigestUpdate(h->ctx, bytes.ptr, bytes.len));
}

void hasher_copy(struct hasher *to, const struct hasher *from)
{
    to->algo = from->algo;
    to->ctx = EVP_MD_CTX_new();
    must(to->ctx != NULL);
    must(EVP_MD_CTX_copy_ex(to->ctx, from->ctx));
}

struct hash hasher_final(struct hasher *h)
{
    struct hash out = {.algo = h->algo};
    must(EVP_DigestFinal_ex(h->ctx, out.bytes, NULL));
    hasher_release(h);
    return out;
}

struct digest hasher_digest(struct hasher *h)
{
    assert(h->algo == HASH_SHA256);
    struct hash full = hasher_final(h);
    struct digest out;
    memcpy(out.bytes, full.bytes, DIGEST_BYTES);
    return out;
}

void hasher_release(struct hasher *h)
{
    EVP_MD_CTX_free(h->ctx);
    h->ctx = NULL;
}

struct hash hash_of_bytes(enum hash_algo algo, struct span bytes)
{
    struct hasher h;
    hasher_init(&h, algo);
    hasher_update(&h, bytes);
    return hasher_final(&h);
}

struct digest digest_of(struct span bytes)
{
    struct hasher h;
    hasher_init(&h, HASH_SHA256);
    hasher_update(&h, bytes);
    return hasher_digest(&h);
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}

int digest_cmp(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES);
}

bool digest_is_zero(const struct digest *d)
{
    static const struct digest zero;
    return digest_eq(d, &zero);
}

const char *digest_hex(const struct digest *d, char out[DIGEST_HEX_SIZE])
{
    hex_encode(span_of(d->bytes, DIGEST_BYTES), out);
    return out;
}

const char *digest_text(const struct digest *d, char out[DIGEST_TEXT_SIZE])
{
    memcpy(out, "sha256:", 7);
    hex_encode(span_of(d->bytes, DIGEST_BYTES), out + 7);
    return out;
}

bool digest_parse_hex(struct span hex, struct digest *out)
{
    return hex.len == 2 * DIGEST_BYTES && hex_decode(hex, out->bytes);
}

bool digest_parse(struct span text, struct digest *out)
{
    return span_starts(text, SPAN("sha256:")) && digest_parse_hex(span_skip(text, 7), out);
}

size_t hash_size(enum hash_algo algo)
{
    return algos[algo].size;
}

const char *hash_name(enum hash_algo algo)
{
    return algos[algo].name;
}

enum hash_algo hash_algo_named(struct span name)
{
    for (size_t i = HASH_MD5; i < COUNT(algos); i++)
        if (span_eq_nocase(name, span_str(algos[i].name)))
            return (enum hash_algo)i;
    return HASH_NONE;
}

bool hash_eq(const struct hash *a, const struct hash *b)
{
    return a->algo == b->algo && memcmp(a->bytes, b->bytes, hash_size(a->algo)) == 0;
}

bool hash_parse_hex(enum hash_algo algo, struct span hex, struct hash *out)
{
    *out = (struct hash){.algo = algo};
    return algo != HASH_NONE && hex.len == 2 * hash_size(algo) && hex_decode(hex, out->bytes);
}

bool hash_parse_text(struct span text, struct hash *out)
{
    struct span name, hex;
    return span_cut_char(text, ':', &name, &hex) && hash_parse_hex(hash_algo_named(name), hex, out);
}

bool hash_parse_sri(struct span text, struct hash *out)
{
    struct span name, b64;
    uint8_t bytes[HASH_MAX_BYTES + 8];
    if (!span_cut_char(text, '-', &name, &b64) || b64.len > 88)
        return false;
    *out = (struct hash){.algo = hash_algo_named(name)};
    if (out->algo == HASH_NONE || base64_decode(b64, bytes) != hash_size(out->algo))
        return false;
    memcpy(out->bytes, bytes, hash_size(out->algo));
    return true;
}

const char *hash_text(const struct hash *h, char out[140])
{
    int n = snprintf(out, 140, "%s:", hash_name(h->algo));
    hex_encode(span_of(h->bytes, hash_size(h->algo)), out + n);
    return out;
}

void hex_encode(struct span bytes, char *out)
{
    static const char letters[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        *out++ = letters[c >> 4];
        *out++ = letters[c & 15];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(struct span hex, uint8_t *out)
{
    if (hex.len % 2)
        return false;
    for (size_t i = 0; i < hex.len; i += 2) {
        int hi = hex_value(hex.ptr[i]), lo = hex_value(hex.ptr[i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        *out++ = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

size_t base64_encode(struct span bytes, bool url_safe, char *out)
{
    const char *letters = url_safe
                              ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                              : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    char *o = out;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        for (size_t k = 0; k < 4; k++)
            if (k <= left)
                *o++ = letters[v >> (18 - 6 * k) & 63];
            else if (!url_safe)
                *o++ = '=';
    }
    *o = '\0';
    return (size_t)(o - out);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

size_t base64_decode(struct span text, uint8_t *out)
{
    uint8_t *o = out;
    uint32_t v = 0;
    int bits = 0;
    for (size_t pad = 0; text.len && text.ptr[text.len - 1] == '=' && pad < 2; pad++)
        text.len--;
    if (text.len % 4 == 1)
        return SIZE_MAX;
    for (size_t i = 0; i < text.len; i++) {
        int d = base64_value(text.ptr[i]);
        if (d < 0)
            return SIZE_MAX;
        v = v << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *o++ = (uint8_t)(v >> bits);
        }
    }
    return v & ((1u << bits) - 1) ? SIZE_MAX : (size_t)(o - out);
}
