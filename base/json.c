/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#define MAX_DEPTH 64

/* jansson allows 2048 levels; a reader of ours recursing that deep is a risk for nothing. */
static bool too_deep(struct span text)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if ((c == '[' || c == '{') && ++depth > MAX_DEPTH) {
            return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

json_t *json_parse(struct span text, struct err *err)
{
    json_error_t why;
    if (too_deep(text)) {
        err_set(err, ERR_INVALID, "JSON nested deeper than %d levels", MAX_DEPTH);
        return NULL;
    }
    json_t *v = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!v)
        err_set(err, ERR_INVALID, "JSON line %d column %d: %s", why.line, why.column, why.text);
    return v;
}

static int append(const char *bytes, size_t n, void *out)
{
    return buf_append(out, span_of(bytes, n)) ? 0 : -1;
}

static bool has_real(const json_t *v)
{
    if (json_is_real(v))
        return true;
    if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++)
            if (has_real(json_array_get(v, i)))
                return true;
    } else if (json_is_object(v)) {
        const char *key;
        json_t *member;
        json_object_foreach ((json_t *)(uintptr_t)v, key, member)
            if (has_real(member))
                return true;
    }
    return false;
}

bool json_canonical(const json_t *value, struct buf *out, struct err *err)
{
    if (has_real(value))
        return err_set(err, ERR_INVALID, "canonical JSON holds integers only");
    if (json_dump_callback(value, append, out, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY))
        return err_set(err, out->overflow ? ERR_TOO_LARGE : ERR_INVALID,
                       "value has no canonical JSON form");
    return true;
}

bool json_canonical_digest(const json_t *value, struct digest *out, struct err *err)
{
    AUTO_BUF struct buf text = BUF(256u << 20);
    if (!json_canonical(value, &text, err))
        return false;
    *out = digest_of(buf_span(&text));
    return true;
}

bool json_pretty(const json_t *value, struct buf *out)
{
    return json_dump_callback(value, append, out,
                              JSON_SORT_KEYS | JSON_INDENT(2) | JSON_ENCODE_ANY) == 0 &&
           buf_char(out, '\n');
}

struct span json_get_span(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v))
        return (struct span){NULL, 0};
    return span_of(json_string_value(v), json_string_length(v));
}

const char *json_get_str(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

int64_t json_get_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

bool json_get_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

json_t *json_span(struct span s)
{
    return json_stringn(s.ptr ? s.ptr : "", s.len);
}

void json_put_str(json_t *object, const char *key, const char *s)
{
    if (s)
        json_object_set_new(object, key, json_string(s));
}

void json_put_span(json_t *object, const char *key, struct span s)
{
    if (s.ptr)
        json_object_set_new(object, key, json_span(s));
}

void json_put_int(json_t *object, const char *key, int64_t n)
{
    json_object_set_new(object, key, json_integer(n));
}

void json_put_digest(json_t *object, const char *key, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    json_put_str(object, key, digest_text(d, text));
}

bool json_get_digest(const json_t *object, const char *key, struct digest *out)
{
    struct span s = json_get_span(object, key);
    return s.ptr && digest_parse(s, out);
}
