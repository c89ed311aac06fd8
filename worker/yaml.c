/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/yaml.h"

#include <errno.h>
#include <math.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    struct yaml *y;
    struct err *err;
    size_t values;
    int depth;
};

static bool fail_at(struct reader *r, enum err_code code, yaml_mark_t mark, const char *what)
{
    return err_set(r->err, code, "%s:%zu:%zu: %s", r->y->file, mark.line + 1, mark.column + 1,
                   what);
}

static bool next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return true;
    const char *problem = r->parser.problem ? r->parser.problem : "not YAML";
    yaml_mark_t mark = r->parser.problem_mark;
    if (r->parser.error == YAML_READER_ERROR)
        return err_set(r->err, ERR_INVALID, "%s: at byte %zu: %s", r->y->file,
                       r->parser.problem_offset, problem);
    return fail_at(r, ERR_INVALID, mark, problem);
}

static bool note_place(struct reader *r, struct span path, yaml_mark_t mark)
{
    struct yaml *y = r->y;
    if (++r->values > YAML_MAX_VALUES)
        return fail_at(r, ERR_TOO_LARGE, mark, "more than 100000 values");
    y->places = vec_room(y->places, y->place_count, &y->place_cap, sizeof(*y->places));
    y->places[y->place_count++] =
        (struct yaml_place){.path = path, .line = mark.line + 1, .column = mark.column + 1};
    return true;
}

/* Plain scalars. */

static bool is_integer(struct span s)
{
    size_t i = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+');
    return s.len > i && s.len - i <= 18 && span_is_digits(span_skip(s, i));
}

static bool is_float(struct span s, double *out)
{
    char text[64], *end;
    bool digit = false;
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\0' || !strchr("0123456789+-.eE", s.ptr[i]))
            return false;
        digit = digit || (s.ptr[i] >= '0' && s.ptr[i] <= '9');
    }
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    errno = 0;
    *out = strtod(text, &end);
    return digit && *end == '\0' && errno == 0 && isfinite(*out);
}

static bool is_word(struct span s, const char *lower, const char *title, const char *upper)
{
    return span_eq_str(s, lower) || span_eq_str(s, title) || span_eq_str(s, upper);
}

static json_t *plain(struct span s)
{
    double real;
    if (s.len == 0 || span_eq(s, SPAN("~")) || is_word(s, "null", "Null", "NULL"))
        return json_null();
    if (is_word(s, "true", "True", "TRUE"))
        return json_true();
    if (is_word(s, "false", "False", "FALSE"))
        return json_false();
    if (is_integer(s))
        return json_integer(strtoll(s.ptr, NULL, 10));
    if (is_float(s, &real))
        return json_real(real);
    return json_span(s);
}

static bool scalar(struct reader *r, const yaml_event_t *event, json_t **out)
{
    struct span s = span_of(event->data.scalar.value, event->data.scalar.length);
    if (span_has(s, '\0'))
        return fail_at(r, ERR_INVALID, event->start_mark, "a NUL character");
    *out = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain(s) : json_span(s);
    return *out || fail_at(r, ERR_INVALID, event->start_mark, "not UTF-8");
}

static bool no_extras(struct reader *r, const yaml_event_t *event, const yaml_char_t *anchor,
                      const yaml_char_t *tag)
{
    if (anchor)
        return fail_at(r, ERR_INVALID, event->start_mark,
                       "anchors (&) and aliases (*) are not supported; write the value out");
    return !tag || fail_at(r, ERR_INVALID, event->start_mark, "tags (!) are not supported");
}

static bool value(struct reader *r, const yaml_event_t *event, struct span path, json_t **out);

static bool sequence(struct reader *r, struct span path, json_t *array)
{
    for (size_t i = 0;; i++) {
        yaml_event_t event;
        json_t *item = NULL;
        if (!next_event(r, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        struct span item_path = span_str(arena_printf(r->y->arena, "%.*s[%zu]", SPAN_ARG(path), i));
        bool ok = value(r, &event, item_path, &item);
        yaml_event_delete(&event);
        if (!ok)
            return false;
        json_array_append_new(array, item);
    }
}

static bool member_key(struct reader *r, const yaml_event_t *event, json_t *object,
                       struct span *key)
{
    if (event->type == YAML_ALIAS_EVENT)
        return no_extras(r, event, (const yaml_char_t *)"", NULL);
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(r, ERR_INVALID, event->start_mark, "a key is not a string");
    if (!no_extras(r, event, event->data.scalar.anchor, event->data.scalar.tag))
        return false;
    struct span text = span_of(event->data.scalar.value, event->data.scalar.length);
    if (text.len == 0 || text.len > 256 || span_has(text, '\0') || !span_is_utf8(text))
        return fail_at(r, ERR_INVALID, event->start_mark, "a key is empty, too long or not text");
    *key = arena_span(r->y->arena, text);
    if (!json_object_get(object, key->ptr))
        return true;
    AUTO_FREE char *what = mem_printf("\"%.*s\" is given twice", SPAN_ARG(*key));
    return fail_at(r, ERR_INVALID, event->start_mark, what);
}

static bool member_value(struct reader *r, struct span path, struct span key, json_t *object)
{
    yaml_event_t event;
    json_t *member = NULL;
    struct span member_path =
        path.len > 0
            ? span_str(arena_printf(r->y->arena, "%.*s.%.*s", SPAN_ARG(path), SPAN_ARG(key)))
            : key;
    if (!next_event(r, &event))
        return false;
    bool ok = value(r, &event, member_path, &member);
    yaml_event_delete(&event);
    if (ok)
        json_object_set_new(object, key.ptr, member);
    return ok;
}

static bool mapping(struct reader *r, struct span path, json_t *object)
{
    for (;;) {
        yaml_event_t event;
        struct span key;
        if (!next_event(r, &event))
            return false;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        bool ok = member_key(r, &event, object, &key);
        yaml_event_delete(&event);
        if (!ok || !member_value(r, path, key, object))
            return false;
    }
}

static bool collection(struct reader *r, const yaml_event_t *event, struct span path, json_t **out)
{
    bool ok, map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor =
        map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    const yaml_char_t *tag = map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    if (!no_extras(r, event, anchor, tag))
        return false;
    if (++r->depth > YAML_MAX_DEPTH)
        return fail_at(r, ERR_TOO_LARGE, event->start_mark, "nested deeper than 32 levels");
    json_t *made = map ? json_object() : json_array();
    ok = map ? mapping(r, path, made) : sequence(r, path, made);
    r->depth--;
    if (ok)
        *out = made;
    else
        json_decref(made);
    return ok;
}

static bool value(struct reader *r, const yaml_event_t *event, struct span path, json_t **out)
{
    if (!note_place(r, path, event->start_mark))
        return false;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return no_extras(r, event, event->data.scalar.anchor, event->data.scalar.tag) &&
               scalar(r, event, out);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: return collection(r, event, path, out);
    case YAML_ALIAS_EVENT: return no_extras(r, event, (const yaml_char_t *)"", NULL);
    default: return fail_at(r, ERR_INVALID, event->start_mark, "a value is missing");
    }
}

/* stream-start, [document-start, value, document-end], stream-end */
static bool stream(struct reader *r)
{
    bool seen = false;
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return false;
        bool ok = true, end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT) {
            if (seen)
                ok = fail_at(r, ERR_INVALID, event.start_mark, "a second document (---)");
            seen = true;
        } else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_END_EVENT &&
                   !end) {
            ok = value(r, &event, SPAN(""), &r->y->value);
        }
        yaml_event_delete(&event);
        if (!ok || end)
            return ok;
    }
}

bool yaml_parse(struct span text, const char *file, struct yaml *out, struct err *err)
{
    struct reader r = {.y = out, .err = err};
    *out = (struct yaml){.file = file, .arena = arena_new()};
    if (!yaml_parser_initialize(&r.parser)) {
        yaml_release(out);
        return err_set(err, ERR_INTERNAL, "%s: the YAML parser does not start", file);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.ptr, text.len);
    bool ok = stream(&r);
    yaml_parser_delete(&r.parser);
    if (!ok) {
        yaml_release(out);
        return false;
    }
    if (!out->value)
        out->value = json_null();
    return true;
}

void yaml_release(struct yaml *y)
{
    json_decref(y->value);
    arena_free(y->arena);
    free(y->places);
    *y = (struct yaml){0};
}

/* The path without its last ".key" or "[n]". */
static struct span above(struct span path)
{
    for (size_t i = path.len; i-- > 0;)
        if (path.ptr[i] == '.' || path.ptr[i] == '[')
            return span_slice(path, 0, i);
    return SPAN("");
}

const struct yaml_place *yaml_place_of(const struct yaml *y, struct span path)
{
    for (;;) {
        for (size_t i = 0; i < y->place_count; i++)
            if (span_eq(y->places[i].path, path))
                return &y->places[i];
        if (path.len == 0)
            return NULL;
        path = above(path);
    }
}
