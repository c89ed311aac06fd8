/* SPDX-License-Identifier: Apache-2.0 */
#include <uv.h>

#include "resolvers/resolver.h"

/* done() must not be called before resolve or locate has returned: a timer of no length calls
 * it from the loop. */
struct later {
    uv_timer_t timer;
    struct resolve_job *resolve;
    struct locate_job *locate;
};

static void later_closed(uv_handle_t *handle)
{
    struct later *l = container_of(handle, struct later, timer);
    struct resolve_job *resolve = l->resolve;
    struct locate_job *locate = l->locate;
    free(l);
    if (resolve) {
        resolve->state = NULL;
        resolve->done(resolve);
    }
    if (locate) {
        locate->state = NULL;
        locate->done(locate);
    }
}

static void later_fired(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, later_closed);
}

static struct later *later_start(uv_loop_t *loop)
{
    struct later *l = MEM_NEW(struct later);
    uv_timer_init(loop, &l->timer);
    uv_timer_start(&l->timer, later_fired, 0, 0);
    return l;
}

static bool cannot(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED,
                   "this version cannot build packages of this manager yet; remove them from the "
                   "environment to build the rest");
}

void resolver_cannot_resolve(struct resolve_job *job)
{
    struct later *l = later_start(job->loop);
    l->resolve = job;
    job->state = l;
    cannot(&job->err);
}

void resolver_cannot_cancel(struct resolve_job *job)
{
    err_set(&job->err, ERR_CANCELLED, "cancelled");
}

void resolver_cannot_locate(struct locate_job *job)
{
    struct later *l = later_start(job->loop);
    l->locate = job;
    job->state = l;
    cannot(&job->err);
}

bool resolver_cannot_list(const struct install_context *c, struct install_units *units,
                          struct err *err)
{
    (void)c, (void)units;
    return cannot(err);
}

bool resolver_cannot_fill(const struct install_context *c, const struct install_unit *unit,
                          const struct io_map *blob, struct segment_plan *plan, struct err *err)
{
    (void)c, (void)unit, (void)blob, (void)plan;
    return cannot(err);
}

void resolver_no_environment(const struct install_context *c, json_t *path, json_t *env,
                             json_t *bins)
{
    (void)c, (void)path, (void)env, (void)bins;
}
