/* SPDX-License-Identifier: Apache-2.0 */
/* An artifact from a hostile manifest, config and recipe: it is refused, or consistent.
 *
 * The input is the three texts, separated by NUL bytes; CONFIG and RECIPE in the manifest
 * stand for the digests of the other two, so that mutations need not find a hash. */
#include <assert.h>

#include "cache/artifact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store *fuzz_store(void)
{
    static struct store *s; /* one for the whole run */
    static char path[4096];
    const char *tmp = getenv("TMPDIR");
    if (s)
        return s;
    snprintf(path, sizeof(path), "%s/strata-fuzz-XXXXXX", tmp ? tmp : "/tmp");
    assert(mkdtemp(path) && store_open(&s, path, NULL));
    return s;
}

static void put_replaced(struct buf *out, struct span text, struct span token,
                         const struct digest *d)
{
    char digest[DIGEST_TEXT_SIZE];
    struct span before, after;
    while (span_cut(text, token, &before, &after)) {
        buf_append(out, before);
        buf_str(out, digest_text(d, digest));
        text = after;
    }
    buf_append(out, text);
}

static void check(struct store *s, const struct digest *manifest)
{
    struct artifact *a;
    if (!artifact_load(s, manifest, &a, NULL))
        return;
    for (size_t i = 0; i < a->layer_count; i++) {
        assert(a->layers[i].manager);
        for (size_t k = 0; k < a->layers[i].segment_count; k++)
            assert(a->layers[i].segments[k].compression == a->layers[i].compression);
    }
    (void)artifact_verify(s, a, NULL);
    artifact_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *s = fuzz_store();
    struct span rest = span_of(data, size), text[3] = {SPAN(""), SPAN(""), SPAN("")};
    struct digest config, recipe, manifest;
    AUTO_BUF struct buf with_config = BUF(1u << 20), whole = BUF(1u << 20);
    for (size_t i = 0; i < 3 && span_next(&rest, '\0', &text[i]); i++)
        ;
    if (!store_put_blob(s, text[1], &config, NULL) || !store_put_blob(s, text[2], &recipe, NULL))
        return 0;
    put_replaced(&with_config, text[0], SPAN("CONFIG"), &config);
    put_replaced(&whole, buf_span(&with_config), SPAN("RECIPE"), &recipe);
    if (store_put_blob(s, buf_span(&whole), &manifest, NULL))
        check(s, &manifest);
    store_drop_blob(s, &config, NULL);
    store_drop_blob(s, &recipe, NULL);
    store_drop_blob(s, &manifest, NULL);
    return 0;
}
