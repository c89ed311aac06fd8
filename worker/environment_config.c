/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "worker/environment_priv.h"
#include "worker/rules/config.h"
#include "worker/rules/text.h"

bool complain(struct complaint *c, const char *path, const char *fmt, ...)
{
    char text[900];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(c->path, sizeof(c->path), "%s", path);
    return err_set(c->err, ERR_INVALID, "%s%s%s", path, *path ? ": " : "", text);
}

const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "a mapping";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

bool check_members(struct complaint *c, const json_t *object, const char *path,
                   const char *const *known)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (known[i])
            continue;
        AUTO_BUF struct buf at = BUF(512), list = BUF(512);
        const char *near = text_nearest(key, known);
        buf_printf(&at, "%s%s%.64s", path, *path ? "." : "", key);
        for (size_t k = 0; known[k]; k++)
            buf_printf(&list, "%s%s", k ? ", " : "", known[k]);
        if (near)
            return complain(c, buf_cstr(&at), "not known here; do you mean \"%s\"? Allowed are %s",
                            near, buf_cstr(&list));
        return complain(c, buf_cstr(&at), "not known here; allowed are %s", buf_cstr(&list));
    }
    return true;
}

/* What the rules say, as a complaint. Always false. */
static bool pass_on(struct complaint *c, struct problem *p)
{
    snprintf(c->path, sizeof(c->path), "%s", p->path);
    *c->err = p->err;
    problem_release(p);
    return false;
}

bool environment_check_spec(const char *manager, struct span spec, struct err *err)
{
    return resolver_find(span_str(manager))->parse(spec, err);
}

bool config_add_spec(struct complaint *c, json_t *list, const char *manager, const char *path,
                     const json_t *spec)
{
    AUTO_PROBLEM struct problem p = {0};
    return config_spec(manager, path, spec, environment_check_spec, list, &p) || pass_on(c, &p);
}

bool config_check(struct complaint *c, const json_t *config, json_t **out)
{
    AUTO_PROBLEM struct problem p = {0};
    AUTO_JSON json_t *fresh = config_default();
    return config_merge(fresh, config, true, environment_check_spec, out, &p) || pass_on(c, &p);
}

bool environment_config(const json_t *config, json_t **out, struct err *err)
{
    struct complaint c = {.err = err};
    return config_check(&c, config, out);
}
