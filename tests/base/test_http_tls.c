/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/http_priv.h"
#include "base/io.h"
#include "tests/test_main.h"

/* A chain of trust made on the spot. */
struct party {
    EVP_PKEY *key;
    X509 *cert;
};

static struct party party_new(const char *name, const struct party *issuer, bool is_ca)
{
    struct party p = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *subject = X509_get_subject_name(p.cert);
    X509V3_CTX ctx;
    static long serial = 1;
    X509_set_version(p.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.cert), serial++);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(p.cert, issuer ? X509_get_subject_name(issuer->cert) : subject);
    X509_gmtime_adj(X509_getm_notBefore(p.cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(p.cert), 3600);
    X509_set_pubkey(p.cert, p.key);
    X509V3_set_ctx(&ctx, issuer ? issuer->cert : p.cert, p.cert, NULL, NULL, 0);
    const struct {
        int nid;
        const char *value;
    } extensions[] = {
        {NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "CA:FALSE"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid"},
    };
    for (size_t i = 0; i < COUNT(extensions); i++) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, extensions[i].nid, extensions[i].value);
        if (e)
            X509_add_ext(p.cert, e, -1);
        X509_EXTENSION_free(e);
    }
    ck_assert(X509_sign(p.cert, issuer ? issuer->key : p.key, EVP_sha256()) > 0);
    return p;
}

static void party_free(struct party *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
}

/* The certificates one after another, with text around them as bundles have it. */
static char *bundle(const char *file, X509 *const certs[], size_t count)
{
    char *path = mem_printf("%s/%s", test_folder(), file);
    FILE *f = fopen(path, "w");
    for (size_t i = 0; i < count; i++) {
        fprintf(f, "# number %zu\r\n=====\n", i);
        ck_assert(PEM_write_X509(f, certs[i]));
    }
    fclose(f);
    return path;
}

/* Does the leaf, with what its server sends besides, verify? */
static bool verifies(struct http_tls *t, X509 *leaf, X509 *sent)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (sent)
        sk_X509_push(chain, sent);
    ck_assert(X509_STORE_CTX_init(ctx, http_tls_store(t), leaf, chain));
    bool ok = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    sk_X509_free(chain);
    return ok;
}

static struct http_tls *tls_trusting(const char *file, const char *dir, const char *extra)
{
    unsetenv("CURL_CA_BUNDLE");
    unsetenv("REQUESTS_CA_BUNDLE");
    setenv("SSL_CERT_FILE", file ? file : "", 1);
    setenv("SSL_CERT_DIR", dir ? dir : "", 1);
    return http_tls_new(NULL, extra);
}

START_TEST(a_chain_verifies_through_the_bundle_alone)
{
    struct party root = party_new("root", NULL, true), other = party_new("other", NULL, true),
                 middle = party_new("middle", &root, true),
                 leaf = party_new("leaf", &middle, false);
    X509 *all[] = {other.cert, root.cert}, *wrong[] = {other.cert};
    AUTO_FREE char *good = bundle("good.pem", all, 2), *bad = bundle("bad.pem", wrong, 1);
    struct http_tls *t = tls_trusting(good, NULL, NULL);
    for (int i = 0; i < 3; i++) /* the later ones from what the store has kept */
        ck_assert(verifies(t, leaf.cert, middle.cert));
    ck_assert(!verifies(t, leaf.cert, NULL)); /* nobody brings the middle one */
    http_tls_free(t);
    t = tls_trusting(bad, NULL, NULL);
    ck_assert(!verifies(t, leaf.cert, middle.cert));
    http_tls_free(t);
    t = tls_trusting(bad, NULL, good);
    ck_assert(verifies(t, leaf.cert, middle.cert));
    http_tls_free(t);
    X509 *middle_only[] = {middle.cert}; /* trusting it is enough */
    AUTO_FREE char *part = bundle("part.pem", middle_only, 1);
    t = tls_trusting(part, NULL, NULL);
    ck_assert(verifies(t, leaf.cert, NULL));
    http_tls_free(t);
    struct party *parties[] = {&root, &other, &middle, &leaf};
    for (size_t i = 0; i < COUNT(parties); i++)
        party_free(parties[i]);
}
END_TEST

START_TEST(of_two_with_one_name_the_right_key_counts)
{
    struct party old = party_new("root", NULL, true), new = party_new("root", NULL, true),
                 leaf = party_new("leaf", &new, false), forged = party_new("root", NULL, true),
                 evil = party_new("leaf", &forged, false);
    X509 *both[] = {old.cert, new.cert};
    AUTO_FREE char *file = bundle("both.pem", both, 2);
    struct http_tls *t = tls_trusting(file, NULL, NULL);
    ck_assert(verifies(t, leaf.cert, NULL));
    ck_assert(!verifies(t, evil.cert, forged.cert));
    http_tls_free(t);
    struct party *parties[] = {&old, &new, &leaf, &forged, &evil};
    for (size_t i = 0; i < COUNT(parties); i++)
        party_free(parties[i]);
}
END_TEST

START_TEST(a_file_of_its_own_counts_alone)
{
    struct party root = party_new("root", NULL, true), other = party_new("other", NULL, true),
                 leaf = party_new("leaf", &root, false), third = party_new("third", &other, false);
    X509 *one[] = {root.cert}, *two[] = {other.cert};
    AUTO_FREE char *mine = bundle("mine.pem", one, 1), *theirs = bundle("theirs.pem", two, 1);
    AUTO_FREE char *gone = mem_printf("%s/gone.pem", test_folder());
    http_tls_free(tls_trusting(theirs, NULL, NULL)); /* sets the environment */
    struct http_tls *t = http_tls_new(mine, NULL);
    ck_assert(verifies(t, leaf.cert, NULL));
    ck_assert(!verifies(t, third.cert, NULL));
    http_tls_free(t);
    t = http_tls_new(gone, NULL);
    ck_assert(!verifies(t, third.cert, NULL));
    ck_assert_msg(strstr(http_tls_problem(t), "gone.pem"), "%s", http_tls_problem(t));
    http_tls_free(t);
    struct party *parties[] = {&root, &other, &leaf, &third};
    for (size_t i = 0; i < COUNT(parties); i++)
        party_free(parties[i]);
}
END_TEST

START_TEST(a_folder_by_hash_works_and_a_missing_file_is_told)
{
    struct party root = party_new("root", NULL, true), leaf = party_new("leaf", &root, false);
    AUTO_FREE char *name = mem_printf("%08lx.0", X509_subject_name_hash(root.cert));
    X509 *one[] = {root.cert};
    AUTO_FREE char *file = bundle(name, one, 1);
    AUTO_FREE char *gone = mem_printf("%s/gone.pem", test_folder());
    struct http_tls *t = tls_trusting(NULL, test_folder(), NULL);
    ck_assert(verifies(t, leaf.cert, NULL));
    http_tls_free(t);
    t = tls_trusting(gone, NULL, NULL);
    ck_assert(!verifies(t, leaf.cert, NULL));
    ck_assert_msg(strstr(http_tls_problem(t), "SSL_CERT_FILE"), "%s", http_tls_problem(t));
    http_tls_free(t);
    party_free(&root);
    party_free(&leaf);
}
END_TEST

START_TEST(damaged_bundles_are_read_as_far_as_they_go)
{
    struct party root = party_new("root", NULL, true), leaf = party_new("leaf", &root, false);
    X509 *one[] = {root.cert};
    AUTO_FREE char *file = bundle("one.pem", one, 1), *cut = mem_printf("%s.cut", file);
    AUTO_BUF struct buf pem = BUF(1u << 20);
    struct err err = {0};
    ck_assert(io_read_file(AT_FDCWD, file, &pem, &err));
    size_t end = span_find(buf_span(&pem), SPAN("-----END"));
    for (size_t i = 0; i < pem.len; i += 7) { /* cut short, and with a byte changed */
        char keep = pem.ptr[i];
        pem.ptr[i] = i % 2 ? '!' : 'A';
        for (int half = 0; half < 2; half++) {
            ck_assert(io_replace_file(AT_FDCWD, cut,
                                      half ? span_slice(buf_span(&pem), 0, i) : buf_span(&pem),
                                      0600, false, &err));
            struct http_tls *t = tls_trusting(cut, NULL, NULL);
            if (half && i < end) /* else the change may have been outside */
                ck_assert(!verifies(t, leaf.cert, NULL));
            else
                verifies(t, leaf.cert, NULL);
            http_tls_free(t);
        }
        pem.ptr[i] = keep;
    }
    party_free(&root);
    party_free(&leaf);
}
END_TEST

START_TEST(every_certificate_of_this_machine_is_found)
{
    const char *bundles[] = {getenv("SSL_CERT_FILE"), X509_get_default_cert_file()};
    for (size_t i = 0; i < COUNT(bundles); i++) {
        FILE *f = bundles[i] && bundles[i][0] ? fopen(bundles[i], "r") : NULL;
        AUTO_FREE char *path = mem_dup_str(bundles[i]);
        struct http_tls *t = f ? tls_trusting(path, NULL, NULL) : NULL;
        for (X509 *cert; f && (cert = PEM_read_X509(f, NULL, NULL, NULL));) {
            X509_STORE_CTX *ctx = X509_STORE_CTX_new();
            ck_assert(X509_STORE_CTX_init(ctx, http_tls_store(t), cert, NULL));
            X509_OBJECT *found =
                X509_STORE_CTX_get_obj_by_subject(ctx, X509_LU_X509, X509_get_subject_name(cert));
            ck_assert(found != NULL);
            X509_OBJECT_free(found);
            X509_STORE_CTX_free(ctx);
            X509_free(cert);
        }
        if (f)
            fclose(f);
        if (t)
            http_tls_free(t);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("http_tls");
    TCase *tc = tcase_create("trust");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_chain_verifies_through_the_bundle_alone);
    tcase_add_test(tc, of_two_with_one_name_the_right_key_counts);
    tcase_add_test(tc, a_file_of_its_own_counts_alone);
    tcase_add_test(tc, a_folder_by_hash_works_and_a_missing_file_is_told);
    tcase_add_test(tc, damaged_bundles_are_read_as_far_as_they_go);
    tcase_add_test(tc, every_certificate_of_this_machine_is_found);
    suite_add_tcase(s, tc);
    return s;
}
