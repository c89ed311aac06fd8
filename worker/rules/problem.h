/* SPDX-License-Identifier: Apache-2.0 */
/* problem.h - an error as the API tells it: an error of ours, and what the wire adds.
 *
 *   {"type":"error","error":{"type":T,"message":M,"details":{"error_code":C,...}},"request_id":R}
 *
 * `err` has the message (a field's path first, then what is wrong, then what is allowed) and
 * decides status and type; `code` names the cause more closely when the error's own name does
 * not.
 *
 * Ownership: problem_release drops `details`. All zero: no problem.
 * Errors:    setters return false, for `return problem_set(...)`.
 * Threads:   a value. */
#ifndef STRATA_WORKER_RULES_PROBLEM_H
#define STRATA_WORKER_RULES_PROBLEM_H

#include "base/err.h"
#include "base/json.h"

struct problem {
    struct err err;
    const char *code; /* static text; NULL: err_code_name(err.code) */
    json_t *details;  /* further members of `details`; NULL: none */
    int64_t retry_after_ms;
    char path[160]; /* of the field that is wrong, for who knows where it stands; may be empty */
};

bool problem_set(struct problem *p, enum err_code code, const char *error_code, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));
/* A field of the request is wrong: "PATH: TEXT". */
bool problem_field(struct problem *p, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool problem_is(const struct problem *p);
void problem_release(struct problem *p);

int problem_status(const struct problem *p);
const char *problem_type(const struct problem *p);
/* The whole body; new reference. What went wrong inside is not told to strangers. */
json_t *problem_json(const struct problem *p, const char *request_id);

#define AUTO_PROBLEM __attribute__((cleanup(problem_release)))

#endif
