/* SPDX-License-Identifier: Apache-2.0 */
/* api_env.c - environments and their versions. */
#include "worker/api/api_priv.h"

static const char *const body_fields[] = {"name",     "description", "config",
                                          "metadata", "scope",       NULL};

struct env_body {
    json_t *config, *metadata;
};

static void env_body_free(void *data)
{
    struct env_body *b = data;
    json_decref(b->config);
    json_decref(b->metadata);
    free(b);
}

static bool check_texts(struct req *r, bool name_required)
{
    struct problem *p = req_problem(r);
    const json_t *name = json_object_get(r->body, "name");
    if (name_required && !name)
        return problem_field(p, "name", "is missing; a string of 1 to 256 characters is required");
    bool has_name = name && (name_required || !json_is_null(name));
    return config_only(r->body, "", body_fields, p) && (!has_name || config_name(name, p)) &&
           config_description(json_object_get(r->body, "description"), p) &&
           config_scope(json_object_get(r->body, "scope"), p);
}

bool env_create_prepare(struct req *r)
{
    struct problem *p = req_problem(r);
    AUTO_JSON json_t *fresh = config_default();
    struct env_body *b = MEM_NEW(struct env_body);
    r->data = b;
    r->free_data = env_body_free;
    return check_texts(r, true) &&
           config_merge(fresh, json_object_get(r->body, "config"), true, r->api->o.check_spec,
                        &b->config, p) &&
           config_metadata(NULL, json_object_get(r->body, "metadata"), &b->metadata, p);
}

void env_create_work(struct req *r, struct state *s)
{
    struct env_body *b = r->data;
    struct env_new n = {.name = json_get_str(r->body, "name"),
                        .description = json_get_str(r->body, "description"),
                        .metadata = b->metadata,
                        .config = b->config};
    r->enqueued = env_create(s, r->workspace, &n, &r->reply, req_problem(r));
}

bool env_update_prepare(struct req *r)
{
    return check_texts(r, false);
}

/* What is left out keeps its value, so the config is merged with the row inside the
 * transaction: of two updates at once neither is lost. */
void env_update_work(struct req *r, struct state *s)
{
    struct problem *p = req_problem(r);
    AUTO_ENV struct env_row old = {0};
    AUTO_JSON json_t *config = NULL;
    AUTO_JSON json_t *metadata = NULL;
    if (!req_is_id(r, 0, "env_", "environment") || !env_get(s, r->workspace, r->arg[0], &old, p) ||
        !env_not_archived(&old, p) ||
        !config_merge(old.current.config, json_object_get(r->body, "config"), false,
                      r->api->o.check_spec, &config, p) ||
        !config_metadata(old.metadata, json_object_get(r->body, "metadata"), &metadata, p))
        return;
    const char *name = json_get_str(r->body, "name");
    const json_t *description = json_object_get(r->body, "description");
    struct env_new n = {.name = name ? name : old.name,
                        .description =
                            description ? json_string_value(description) : old.description,
                        .metadata = metadata,
                        .config = config};
    r->enqueued = env_update(s, r->workspace, &old, &n, &r->reply, p);
}

void env_get_work(struct req *r, struct state *s)
{
    AUTO_ENV struct env_row row = {0};
    if (req_is_id(r, 0, "env_", "environment") &&
        env_get(s, r->workspace, r->arg[0], &row, req_problem(r)))
        r->reply = env_json(s, &row, req_problem(r));
}

void env_list_work(struct req *r, struct state *s)
{
    struct state_page page;
    bool archived = false;
    if (req_page(r, 'e', &page) && req_bool(r, "include_archived", &archived))
        env_list(s, r->workspace, archived, &page, &r->reply, req_problem(r));
}

void env_archive_work(struct req *r, struct state *s)
{
    if (req_is_id(r, 0, "env_", "environment"))
        env_archive(s, r->workspace, r->arg[0], &r->reply, req_problem(r));
}

void env_delete_work(struct req *r, struct state *s)
{
    if (req_is_id(r, 0, "env_", "environment") &&
        env_delete(s, r->workspace, r->arg[0], req_problem(r)))
        r->reply = json_pack("{s:s, s:s}", "id", r->arg[0], "type", "environment_deleted");
}

/* ---- versions ---- */

void version_list_work(struct req *r, struct state *s)
{
    struct state_page page;
    AUTO_ENV struct env_row row = {0};
    if (req_page(r, 'v', &page) && req_is_id(r, 0, "env_", "environment") &&
        env_get(s, r->workspace, r->arg[0], &row, req_problem(r)))
        version_list(s, row.id, &page, &r->reply, req_problem(r));
}

void version_get_work(struct req *r, struct state *s)
{
    struct problem *p = req_problem(r);
    AUTO_ENV struct env_row row = {0};
    AUTO_VERSION struct version_row v = {0};
    uint64_t n = 0;
    if (!req_is_id(r, 0, "env_", "environment") || !env_get(s, r->workspace, r->arg[0], &row, p))
        return;
    if (!span_to_u64(span_str(r->arg[1]), &n) || n > INT32_MAX)
        n = 0;
    if (version_get(s, row.id, (int64_t)n, &v, p))
        r->reply = version_json(s, row.id, &v, p);
}
