/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/remote/answer.h"

#define MAX_ID      60
#define MAX_MESSAGE 900
#define MAX_NAME    200

const char *answer_text(struct arena *a, const char *text, size_t max)
{
    if (!text)
        return NULL;
    char *out = arena_str(a, span_slice(span_str(text), 0, max));
    for (unsigned char *p = (unsigned char *)out; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            p[0] = p[1] = '?';
    }
    return out;
}

bool answer_is_id(const char *id)
{
    struct span s = span_str(id);
    if (!span_starts(s, SPAN("bld_")) || s.len < 5 || s.len > MAX_ID)
        return false;
    for (size_t i = 4; i < s.len; i++)
        if (!(s.ptr[i] >= '0' && s.ptr[i] <= '9') &&
            !((s.ptr[i] | 32) >= 'a' && (s.ptr[i] | 32) <= 'z'))
            return false;
    return true;
}

/* ---- refusals ---- */

static enum err_code code_of_status(int status)
{
    switch (status) {
    case 401:
    case 403: return ERR_DENIED;
    case 404: return ERR_NOT_FOUND;
    case 409: return ERR_CONFLICT;
    case 413: return ERR_TOO_LARGE;
    case 429: return ERR_QUOTA;
    case 529: return ERR_BUSY;
    default: return status >= 500 ? ERR_NETWORK : ERR_INVALID;
    }
}

bool answer_refusal(struct arena *a, int status, const json_t *body, struct err *err)
{
    const json_t *error = json_object_get(body, "error");
    const char *message = answer_text(a, json_get_str(error, "message"), MAX_MESSAGE);
    const char *code =
        answer_text(a, json_get_str(json_object_get(error, "details"), "error_code"), MAX_NAME);
    if (!message)
        return err_set(err, status < 500 ? ERR_NOT_FOUND : ERR_NETWORK,
                       "it answers with status %d and not as a build-worker does; does the URL "
                       "name one?",
                       status);
    return err_set(err, code_of_status(status), "%s%s%s%s", message, code ? " [" : "",
                   code ? code : "", code ? "]" : "");
}

/* ---- builds ---- */

static enum err_code code_of_name(const char *name)
{
    for (int i = 1; name && i < ERR_CODE_COUNT; i++)
        if (strcmp(name, err_code_name((enum err_code)i)) == 0)
            return (enum err_code)i;
    return ERR_INTERNAL; /* a newer server's */
}

static void take_failure(struct arena *a, const json_t *failure, struct remote_result *out)
{
    const char *message = answer_text(a, json_get_str(failure, "message"), MAX_MESSAGE);
    out->manager = answer_text(a, json_get_str(failure, "manager"), MAX_NAME);
    out->package = answer_text(a, json_get_str(failure, "package"), MAX_NAME);
    out->phase = answer_text(a, json_get_str(failure, "phase"), MAX_NAME);
    err_set(&out->err, code_of_name(json_get_str(failure, "code")), "%s",
            message ? message : "the build failed, and the server does not say why");
}

static uint64_t number(const json_t *object, const char *key)
{
    int64_t n = json_get_int(object, key, 0);
    return n > 0 ? (uint64_t)n : 0;
}

static bool take_success(struct arena *a, const json_t *build, struct remote_result *out,
                         struct err *err)
{
    size_t i;
    json_t *text;
    if (!json_get_digest(build, "artifact", &out->artifact))
        return err_set(err, ERR_NETWORK, "the build succeeded, but the server names no artifact");
    out->cached = json_get_bool(build, "cached", false);
    out->received_bytes = number(build, "received_bytes");
    out->total_ms = (int64_t)number(build, "total_ms");
    json_array_foreach (json_object_get(build, "warnings"), i, text) {
        const char *clean = answer_text(a, json_string_value(text), 4000);
        if (clean && i < 1000)
            json_array_append_new(out->warnings, json_string(clean));
    }
    return true;
}

bool answer_build(struct arena *a, const json_t *build, struct remote_result *out, bool *ended,
                  struct err *err)
{
    const char *id = json_get_str(build, "id"), *status = json_get_str(build, "status");
    *ended = false;
    if (!id || !status || !answer_is_id(id) || (out->id[0] && strcmp(out->id, id) != 0))
        return err_set(err, ERR_NETWORK,
                       "its answer is no build; does the URL name a build-worker?");
    snprintf(out->id, sizeof(out->id), "%s", id);
    *ended = true;
    if (strcmp(status, "succeeded") == 0)
        return take_success(a, build, out, err);
    if (strcmp(status, "failed") == 0)
        take_failure(a, json_object_get(build, "failure"), out);
    else if (strcmp(status, "cancelled") == 0)
        err_set(&out->err, ERR_CANCELLED, "build %s was cancelled on the server", id);
    else
        *ended = false;
    return true;
}

/* ---- progress ---- */

static void take_phase(const char *name, struct build_progress *row)
{
    for (int i = 0; name && i <= PHASE_DONE; i++)
        if (strcmp(name, build_phase_name((enum build_phase)i)) == 0)
            row->phase = (enum build_phase)i;
}

void answer_progress(const json_t *managers, struct build_progress *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *m = json_object_get(managers, rows[i].manager);
        if (!json_is_object(m))
            continue;
        take_phase(json_get_str(m, "phase"), &rows[i]);
        rows[i].known = (size_t)number(m, "known");
        rows[i].resolved = (size_t)number(m, "resolved");
        rows[i].units = (size_t)number(m, "units");
        rows[i].units_ready = (size_t)number(m, "units_ready");
        rows[i].received = number(m, "received");
        rows[i].total = number(m, "total");
        const json_t *ms = json_object_get(m, "phase_ms");
        for (int p = PHASE_RESOLVE; p < PHASE_DONE; p++)
            rows[i].phase_ms[p] = (int64_t)number(ms, build_phase_name((enum build_phase)p));
    }
}

void answer_phase(const json_t *data, struct build_progress *rows, size_t count)
{
    const char *manager = json_get_str(data, "manager");
    for (size_t i = 0; manager && i < count; i++)
        if (strcmp(manager, rows[i].manager) == 0)
            take_phase(json_get_str(data, "phase"), &rows[i]);
}
