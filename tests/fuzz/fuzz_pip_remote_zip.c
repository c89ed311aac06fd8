/* SPDX-License-Identifier: Apache-2.0 */
/* METADATA out of a wheel by ranges. The first byte says how a (lying) server answers, the rest
 * is the file. Whatever it does, few requests are made, none outside the file, and what comes
 * out of pieces is what comes out of the whole. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "resolvers/pip/remote_zip.h"

static enum pip_remote_answer fetch(struct span file, unsigned mode, struct arena *a,
                                    struct span *text)
{
    struct pip_remote z;
    struct err err = {0};
    pip_remote_init(&z, (int64_t)file.len, SPAN("demo-1.0-py3-none-any.whl"), mode * 1000);
    for (int n = 0; n < 32; n++) {
        const char *range = pip_remote_range(&z, a);
        unsigned long long from = 0, to = 0;
        char content_range[96];
        if (range[0] == '-') {
            to = file.len - 1;
            from = mode % 4 == 1 && file.len > 64 ? file.len - 64 : 0;
        } else if (sscanf(range, "%llu-%llu", &from, &to) != 2 || from > to || to >= file.len) {
            abort();
        }
        if (mode % 4 == 2 && to > from)
            to--; /* one byte less than asked for */
        snprintf(content_range, sizeof(content_range), "bytes %llu-%llu/%zu", from, to, file.len);
        struct span body = span_slice(file, (size_t)from, (size_t)to + 1);
        bool whole = mode % 4 == 0;
        if (!pip_remote_add(&z, whole ? 200 : 206, content_range, whole ? file : body, a, &err))
            return PIP_REMOTE_BAD;
        enum pip_remote_answer answer = pip_remote_step(&z, a, text, &err);
        if (answer == PIP_REMOTE_BAD && err.code != ERR_BAD_ARCHIVE)
            abort();
        if (answer != PIP_REMOTE_MORE)
            return answer;
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct span whole, parts;
    if (size < 2 || size > 1u << 20)
        return 0;
    struct span file = span_of(data + 1, size - 1);
    enum pip_remote_answer x = fetch(file, 0, a, &whole),
                           y = fetch(file, data[0] % 3 + 1, a, &parts);
    if (x == PIP_REMOTE_DONE && y == PIP_REMOTE_DONE && !span_eq(whole, parts))
        abort();
    return 0;
}
