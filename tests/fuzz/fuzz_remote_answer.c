/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_remote_answer.c - what a build-worker answers, as a refusal, a build and progress. What
 * is shown has no control characters, an id is fit for a path, an end has a result. */
#include <assert.h>

#include "base/mem.h"
#include "worker/remote/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; p && *p; p++)
        assert(*p >= 0x20 && *p != 0x7f && !(*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    AUTO_JSON json_t *value = json_parse(span_of((const char *)data, size), &err);
    if (!value)
        return 0;
    struct arena *a = arena_new();
    struct remote_result r = {.warnings = json_array()};
    struct build_progress rows[2] = {{.manager = "npm"}, {.manager = "pip"}};
    bool ended = false;
    size_t i;
    json_t *text;
    assert(!answer_refusal(a, 400, value, &err) && err.code);
    check_text(err.text);
    err_clear(&err);
    if (answer_build(a, value, &r, &ended, &err)) {
        assert(answer_is_id(r.id) && strlen(r.id) < sizeof(r.id));
        assert(!r.err.code || ended);
        check_text(r.err.text);
        check_text(r.manager);
        check_text(r.package);
        check_text(r.phase);
    } else {
        assert(err.code == ERR_NETWORK);
    }
    json_array_foreach (r.warnings, i, text)
        check_text(json_string_value(text));
    answer_progress(json_object_get(value, "managers"), rows, COUNT(rows));
    answer_phase(value, rows, COUNT(rows));
    for (i = 0; i < COUNT(rows); i++)
        assert(rows[i].phase <= PHASE_DONE && rows[i].phase_ms[PHASE_FETCH] >= 0);
    json_decref(r.warnings);
    arena_free(a);
    return 0;
}
