/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/rules/problem.h"

#include <stdarg.h>
#include <stdio.h>

bool problem_set(struct problem *p, enum err_code code, const char *error_code, const char *fmt,
                 ...)
{
    char text[sizeof(p->err.text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    p->code = error_code;
    return err_set(&p->err, code, "%s", text);
}

bool problem_field(struct problem *p, const char *path, const char *fmt, ...)
{
    char text[sizeof(p->err.text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(p->path, sizeof(p->path), "%s", path);
    return problem_set(p, ERR_INVALID, NULL, "%s: %s", path, text);
}

bool problem_is(const struct problem *p)
{
    return p->err.code != ERR_NONE;
}

void problem_release(struct problem *p)
{
    json_decref(p->details);
    *p = (struct problem){0};
}

int problem_status(const struct problem *p)
{
    switch (p->err.code) {
    case ERR_INVALID:
    case ERR_USAGE:
    case ERR_UNSUPPORTED: return 400;
    case ERR_REGISTRY_REFUSED: return 401; /* only set by the key check */
    case ERR_DENIED: return 403;
    case ERR_NOT_FOUND: return 404;
    case ERR_CONFLICT: return 409;
    case ERR_TOO_LARGE: return 413;
    case ERR_QUOTA: return 429;
    case ERR_BUSY: return 529;
    default: return 500;
    }
}

const char *problem_type(const struct problem *p)
{
    switch (problem_status(p)) {
    case 400: return "invalid_request_error";
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 409: return "conflict_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 529: return "overloaded_error";
    default: return "api_error";
    }
}

static json_t *details(const struct problem *p)
{
    json_t *d = json_object();
    json_object_set_new(d, "error_code",
                        json_string(p->code ? p->code : err_code_name(p->err.code)));
    if (p->details)
        json_object_update_missing(d, p->details);
    return d;
}

json_t *problem_json(const struct problem *p, const char *request_id)
{
    bool ours = problem_status(p) == 500;
    json_t *error = json_object(), *body = json_object();
    json_object_set_new(error, "type", json_string(problem_type(p)));
    json_t *text = json_span(span_str(
        ours ? "the worker could not do this; its log has the cause under this request's id"
             : p->err.text));
    /* A message may quote bytes that were cut in the middle of a character. */
    json_object_set_new(error, "message", text ? text : json_string("the request is invalid"));
    json_object_set_new(error, "details", details(p));
    json_object_set_new(body, "type", json_string("error"));
    json_object_set_new(body, "error", error);
    json_object_set_new(body, "request_id", json_string(request_id));
    return body;
}
