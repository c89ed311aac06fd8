/* SPDX-License-Identifier: Apache-2.0 */
/* JSON is YAML: a document that was read says the same when it is written as JSON and read
 * again; and each of its values has a place within the text. */
#include <stdint.h>
#include <stdlib.h>

#include "worker/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_real(const json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
        if (has_real(item))
            return true;
    }
    json_array_foreach ((json_t *)(uintptr_t)v, i, item) {
        if (has_real(item))
            return true;
    }
    return json_is_real(v);
}

static void check_again(const json_t *value)
{
    struct yaml again = {0};
    struct err err = {0};
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    /* Characters that YAML does not have unescaped make the second reading fail; that is fine. */
    if (text && yaml_parse(span_str(text), "again", &again, &err)) {
        if (!json_equal(again.value, value) && !has_real(value))
            abort();
        yaml_release(&again);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml y = {0};
    struct err err = {0};
    if (size > 1u << 16)
        return 0;
    if (!yaml_parse(span_of(data, size), "file", &y, &err)) {
        if (err.code == ERR_NONE || strncmp(err.text, "file:", 5) != 0)
            abort();
        return 0;
    }
    for (size_t i = 0; i < y.place_count; i++)
        if (y.places[i].line == 0 || y.places[i].column == 0 || y.places[i].line > size + 1 ||
            !yaml_place_of(&y, y.places[i].path))
            abort();
    check_again(y.value);
    yaml_release(&y);
    return 0;
}
