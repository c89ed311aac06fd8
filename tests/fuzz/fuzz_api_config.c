/* SPDX-License-Identifier: Apache-2.0 */
/* What creating an environment accepts is in normal form: accepted again it stays the same,
 * and so does what an update with itself makes. Hosts likewise. The first byte chooses. */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "worker/rules/config.h"
#include "worker/rules/hosts.h"
#include "worker/rules/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool any_spec(const char *manager, struct span spec, struct err *err)
{
    (void)manager, (void)err;
    return spec.len > 0;
}

static void try_host(struct span text, bool wildcard)
{
    char once[HOST_SIZE], twice[HOST_SIZE];
    struct err err = {0};
    if (!host_normalise(text, wildcard, once, &err)) {
        assert(err.code == ERR_INVALID && err.text[0]);
        return;
    }
    assert(host_normalise(span_str(once), wildcard, twice, &err));
    assert(strcmp(once, twice) == 0);
    for (const char *c = once; *c; c++)
        assert((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || strchr("-.*", *c));
}

static void try_url(struct span text)
{
    char host[HOST_SIZE];
    struct err err = {0};
    if (host_of_url(text, host, &err))
        assert(host[0] && !strpbrk(host, "/@?# "));
}

static void try_config(struct span text)
{
    struct err err = {0};
    AUTO_PROBLEM struct problem p = {0};
    AUTO_JSON json_t *input = json_parse(text, &err);
    AUTO_JSON json_t *fresh = config_default();
    AUTO_JSON json_t *once = NULL;
    AUTO_JSON json_t *twice = NULL;
    AUTO_JSON json_t *same = NULL;
    if (!input)
        return;
    if (!config_merge(fresh, input, true, any_spec, &once, &p)) {
        assert(problem_is(&p) && !once);
        AUTO_JSON json_t *body = problem_json(&p, "req_x");
        assert(json_is_string(json_object_get(json_object_get(body, "error"), "message")));
        return;
    }
    assert(config_merge(fresh, once, true, any_spec, &twice, &p) && json_equal(once, twice));
    assert(config_merge(once, once, false, any_spec, &same, &p) && json_equal(once, same));
}

static void try_metadata(struct span text)
{
    struct err err = {0};
    AUTO_PROBLEM struct problem p = {0};
    AUTO_JSON json_t *input = json_parse(text, &err);
    AUTO_JSON json_t *out = NULL;
    AUTO_JSON json_t *again = NULL;
    if (!input || !config_metadata(NULL, input, &out, &p))
        return;
    assert(json_object_size(out) <= 16);
    assert(config_metadata(NULL, out, &again, &p) && json_equal(out, again));
}

static void try_texts(struct span text)
{
    AUTO_BUF struct buf decoded = BUF(4096);
    char again[TEXT_CURSOR_SIZE];
    int64_t seq, back;
    if (text_percent_decode(text, true, &decoded))
        assert(span_is_utf8(buf_span(&decoded)));
    if (text_cursor_parse('e', text, &seq))
        assert(text_cursor_parse('e', span_str(text_cursor('e', seq, again)), &back) &&
               back == seq);
    if (text_is_session(text))
        assert(text.len <= 128 && !span_has(text, '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 65536)
        return 0;
    struct span rest = span_of(data + 1, size - 1);
    switch (data[0] % 6) {
    case 0: try_host(rest, true); break;
    case 1: try_host(rest, false); break;
    case 2: try_url(rest); break;
    case 3: try_metadata(rest); break;
    case 4: try_texts(rest); break;
    default: try_config(rest);
    }
    return 0;
}
