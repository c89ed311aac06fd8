/* SPDX-License-Identifier: Apache-2.0 */
/* http_tls.c - whom to trust, found as late as can be.
 *
 * Parsing a system's bundle of 140 certificates costs OpenSSL 3 some 25 ms, more than all else
 * before the first answer; a connection needs one of them. So the bundle is only decoded and
 * scanned for the certificates' subjects (RFC 5280), and those asked for become X509 objects. */
#include <fcntl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/http_priv.h"
#include "base/io.h"
#include "base/late_ssl.h"

#define BUNDLE_MAX_BYTES (32u << 20)
#define BUNDLES_MAX      3

struct ca_cert {
    X509_NAME *subject;
    size_t at, len; /* of its DER in `der` */
};

struct http_tls {
    X509_STORE *store;
    X509_LOOKUP_METHOD *method;
    char *paths[BUNDLES_MAX];
    const char *names[BUNDLES_MAX]; /* what named the path, for messages */
    size_t path_count;
    bool loaded;
    struct buf der;
    VEC(struct ca_cert) certs;
    char problem[400];
};

/* One DER element off the front of *in. */
static bool der_next(struct span *in, unsigned char *tag, struct span *body, struct span *whole)
{
    const unsigned char *p = (const unsigned char *)in->ptr;
    size_t head = 2, len;
    if (in->len < 2)
        return false;
    *tag = p[0];
    len = p[1];
    if (len & 0x80) {
        size_t n = len & 0x7f;
        if (n == 0 || n > 4 || in->len < 2 + n)
            return false;
        len = 0;
        for (size_t i = 0; i < n; i++)
            len = len << 8 | p[2 + i];
        head += n;
    }
    if (len > in->len - head)
        return false;
    *body = span_slice(*in, head, head + len);
    *whole = span_slice(*in, 0, head + len);
    *in = span_skip(*in, head + len);
    return true;
}

/* Certificate { tbs { [0] version?, serial, algorithm, issuer, validity, subject, ... } ... } */
static bool find_subject(struct span der, struct span *subject)
{
    unsigned char tag;
    struct span cert, fields, body, whole;
    if (!der_next(&der, &tag, &cert, &whole) || tag != 0x30 ||
        !der_next(&cert, &tag, &fields, &whole) || tag != 0x30)
        return false;
    for (int i = 0; i < 4; i++) { /* up to the subject */
        if (!der_next(&fields, &tag, &body, &whole))
            return false;
        if (i == 0 && tag == 0xa0)
            i--; /* the version, which may be absent */
    }
    return der_next(&fields, &tag, &body, subject) && tag == 0x30;
}

static void add_certificate(struct http_tls *t, struct span base64)
{
    AUTO_BUF struct buf text = BUF(1u << 20);
    struct span line, subject;
    size_t at = t->der.len;
    while (span_next_line(&base64, &line))
        buf_append(&text, span_trim(line));
    char *to = buf_room(&t->der, text.len / 4 * 3 + 3);
    size_t len = to && !text.overflow ? base64_decode(buf_span(&text), (uint8_t *)to) : SIZE_MAX;
    if (len == SIZE_MAX || !find_subject(span_of(to, len), &subject))
        return;
    const unsigned char *p = (const unsigned char *)subject.ptr;
    X509_NAME *name = d2i_X509_NAME(NULL, &p, (long)subject.len);
    if (!name)
        return;
    t->der.len += len;
    *VEC_PUSH(&t->certs) = (struct ca_cert){name, at, len};
}

static void load_bundle(struct http_tls *t, const char *path, const char *named_by)
{
    AUTO_BUF struct buf pem = BUF(BUNDLE_MAX_BYTES);
    struct err err = {0};
    struct span rest, before, body;
    if (!io_read_file(AT_FDCWD, path, &pem, &err)) {
        snprintf(t->problem, sizeof(t->problem), " (%s: %.300s)", named_by, err.text);
        return;
    }
    rest = buf_span(&pem);
    if (span_find(rest, SPAN("-BEGIN TRUSTED")) < rest.len) { /* OpenSSL's own form: rare */
        X509_STORE_load_file(t->store, path);
        return;
    }
    while (span_cut(rest, SPAN("-----BEGIN CERTIFICATE-----"), &before, &rest) &&
           span_cut(rest, SPAN("-----END"), &body, &rest))
        add_certificate(t, body);
}

/* OpenSSL takes a reference of its own to what we answer, and X509_OBJECT_set1_X509 another which
 * nobody drops: so we do. */
static int find_by_subject(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *name,
                           X509_OBJECT *out)
{
    struct http_tls *t = X509_LOOKUP_get_method_data(lookup);
    int found = 0;
    if (type != X509_LU_X509)
        return 0;
    for (size_t i = 0; !t->loaded && i < t->path_count; i++)
        load_bundle(t, t->paths[i], t->names[i]);
    t->loaded = true;
    for (size_t i = 0; i < t->certs.n; i++) {
        if (X509_NAME_cmp(t->certs.v[i].subject, name) != 0)
            continue;
        const unsigned char *p = (const unsigned char *)t->der.ptr + t->certs.v[i].at;
        X509 *cert = d2i_X509(NULL, &p, (long)t->certs.v[i].len);
        if (!cert)
            continue;
        X509_STORE_add_cert(t->store, cert);
        if (!found && X509_OBJECT_set1_X509(out, cert)) {
            found = 1;
            X509_free(cert);
        }
        X509_free(cert);
    }
    return found;
}

static void add_folder(struct http_tls *t, const char *path)
{
    X509_LOOKUP *dir = X509_STORE_add_lookup(t->store, X509_LOOKUP_hash_dir());
    if (dir)
        X509_LOOKUP_add_dir(dir, path, X509_FILETYPE_PEM);
}

static void add_path(struct http_tls *t, const char *path, const char *named_by)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        add_folder(t, path);
    } else if (t->path_count < BUNDLES_MAX) {
        t->paths[t->path_count] = mem_dup_str(path);
        t->names[t->path_count++] = named_by;
    }
}

/* What the variables name, and nothing else; without them, what libcurl was built for. */
static void add_environment(struct http_tls *t)
{
    static const char *const files[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"};
    const char *dir = getenv("SSL_CERT_DIR"), *file = NULL;
    for (size_t i = 0; i < COUNT(files) && !file; i++) {
        file = getenv(files[i]);
        file = file && *file ? file : NULL;
        if (file)
            add_path(t, file, files[i]);
    }
    if (dir && *dir)
        add_folder(t, dir);
    if (!file && !(dir && *dir)) {
        const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
        if (v->cainfo)
            add_path(t, v->cainfo, "libcurl's default");
        if (v->capath)
            add_folder(t, v->capath);
        if (!v->cainfo && !v->capath)
            add_path(t, X509_get_default_cert_file(), "OpenSSL's default");
    }
}

static void add_trusted(struct http_tls *t, const char *ca_file, const char *extra_ca_file)
{
    if (ca_file && *ca_file)
        add_path(t, ca_file, "the CA file that the package client is set up with");
    else
        add_environment(t);
    if (extra_ca_file && *extra_ca_file)
        add_path(t, extra_ca_file, "the additional CA file");
}

struct http_tls *http_tls_new(const char *ca_file, const char *extra_ca_file)
{
    struct http_tls *t = MEM_NEW(struct http_tls);
    t->der = BUF(BUNDLE_MAX_BYTES);
    t->store = X509_STORE_new();
    t->method = X509_LOOKUP_meth_new("bundles by subject");
    if (!t->store || !t->method)
        abort(); /* out of memory */
    X509_LOOKUP_meth_set_get_by_subject(t->method, find_by_subject);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(t->store, t->method);
    if (!lookup)
        abort();
    X509_LOOKUP_set_method_data(lookup, t);
    /* As curl sets it up: an intermediate that is trusted ends the chain. */
    X509_STORE_set_flags(t->store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    add_trusted(t, ca_file, extra_ca_file);
    return t;
}

static CURLcode on_context(CURL *easy, void *context, void *ctx)
{
    struct http_tls *t = ctx;
    (void)easy;
    SSL_CTX_set1_cert_store(context, t->store);
    return CURLE_OK;
}

void http_tls_setup(struct http_tls *t, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context) != CURLE_OK)
        return; /* another TLS library: its defaults hold */
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, t);
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* it would keep an empty store */
}

const char *http_tls_problem(const struct http_tls *t)
{
    return t->problem;
}

struct x509_store_st *http_tls_store(const struct http_tls *t)
{
    return t->store;
}

void http_tls_free(struct http_tls *t)
{
    for (size_t i = 0; i < t->certs.n; i++)
        X509_NAME_free(t->certs.v[i].subject);
    VEC_FREE(&t->certs);
    buf_release(&t->der);
    for (size_t i = 0; i < t->path_count; i++)
        free(t->paths[i]);
    X509_STORE_free(t->store);
    X509_LOOKUP_meth_free(t->method);
    free(t);
}
