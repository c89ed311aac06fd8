/* SPDX-License-Identifier: Apache-2.0 */
/* api_ops.c - health, metrics (Prometheus text format 0.0.4), the dashboard, the contract. */
#include "worker/api/api_priv.h"
#include "worker/api/assets.h"

void ops_health_work(struct req *r, struct state *s)
{
    (void)s;
    r->reply = json_pack("{s:s}", "status", "ok");
}

/* On the writer thread, in a transaction: whatever keeps builds from being recorded keeps this
 * from being answered. */
void ops_ready_work(struct req *r, struct state *s)
{
    struct problem *p = req_problem(r);
    struct queue_stats stats;
    struct err err = {0};
    if (!s->queue->ops->stats(s->queue, &stats, &err) ||
        !r->api->builder->ops->ready(r->api->builder, &err)) {
        p->retry_after_ms = 1000;
        problem_set(p, ERR_BUSY, "not_ready", "%s", err.text);
        return;
    }
    r->reply = json_pack("{s:s, s:I, s:I}", "status", "ready", "queued", (json_int_t)stats.queued,
                         "running", (json_int_t)stats.running);
}

static void put_static(struct req *r, const char *type, struct span bytes)
{
    r->text = mem_dup(bytes);
    r->text_type = type;
}

/* The page is whole in itself; nothing it shows can make it load or run anything else. */
void ops_dashboard_work(struct req *r, struct state *s)
{
    (void)s;
    call_put_header(r->call, "content-security-policy",
                    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'none'");
    call_put_header(r->call, "referrer-policy", "no-referrer");
    call_put_header(r->call, "cache-control", "no-cache");
    put_static(r, "text/html; charset=utf-8", asset_dashboard());
}

void ops_openapi_work(struct req *r, struct state *s)
{
    (void)s;
    put_static(r, "application/json", asset_openapi());
}

/* ---- metrics ---- */

static const char *const bucket_names[] = {"0.0005", "0.001", "0.0025", "0.005", "0.01",
                                           "0.025",  "0.1",   "0.5",    "2.5",   "+Inf"};

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP strata_%s %s\n# TYPE strata_%s %s\n", name, help, name, type);
}

static void gauge(struct buf *out, const char *name, const char *help, int64_t value)
{
    head(out, name, "gauge", help);
    buf_printf(out, "strata_%s %lld\n", name, (long long)value);
}

static const char *method_text(const struct route *route)
{
    static const char *const names[] = {"GET", "POST", "PUT", "DELETE", ""};
    return names[route->method];
}

static void put_calls(struct buf *out, const struct api *a)
{
    head(out, "http_requests_total", "counter", "Requests by route and class of status.");
    for (size_t i = 0; i < api_route_count; i++)
        for (int c = 1; c < 6; c++)
            if (a->counts[i].calls[c])
                buf_printf(out,
                           "strata_http_requests_total{method=\"%s\",route=\"%s\",code=\"%dxx\"} "
                           "%llu\n",
                           method_text(&api_routes[i]), api_routes[i].path, c,
                           (unsigned long long)a->counts[i].calls[c]);
}

/* labels: "a=\"b\"" or "". */
static void put_histogram(struct buf *out, const char *name, const char *labels,
                          const struct db_times *t)
{
    uint64_t sum = 0;
    bool any = labels[0] != '\0';
    const char *open = any ? "{" : "", *shut = any ? "}" : "";
    for (size_t b = 0; b < DB_BUCKETS; b++)
        buf_printf(out, "strata_%s_bucket{%s%sle=\"%s\"} %llu\n", name, labels, any ? "," : "",
                   bucket_names[b], (unsigned long long)(sum += t->buckets[b]));
    buf_printf(out, "strata_%s_sum%s%s%s %.6f\nstrata_%s_count%s%s%s %llu\n", name, open, labels,
               shut, (double)t->us / 1e6, name, open, labels, shut, (unsigned long long)t->count);
}

static void put_durations(struct buf *out, const struct api *a)
{
    head(out, "http_request_duration_seconds", "histogram",
         "From the request line to the end of the answer.");
    for (size_t i = 0; i < api_route_count; i++) {
        char labels[128];
        snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\"", method_text(&api_routes[i]),
                 api_routes[i].path);
        if (a->counts[i].times.count)
            put_histogram(out, "http_request_duration_seconds", labels, &a->counts[i].times);
    }
}

/* Where requests wait. */
static void put_stalls(struct buf *out, const struct api *a)
{
    struct db_stats s = db_stats(a->db);
    head(out, "loop_turn_seconds", "histogram", "Turns of the HTTP loop, without its waiting.");
    put_histogram(out, "loop_turn_seconds", "", &a->laps);
    head(out, "db_wait_seconds", "histogram", "From handing work to the database to its begin.");
    put_histogram(out, "db_wait_seconds", "thread=\"read\"", &s.read_wait);
    put_histogram(out, "db_wait_seconds", "thread=\"write\"", &s.write_wait);
    head(out, "db_commit_seconds", "histogram", "Commits; each keeps what waited for it.");
    put_histogram(out, "db_commit_seconds", "", &s.commit);
    head(out, "db_written_total", "counter", "Pieces of work that those commits kept.");
    buf_printf(out, "strata_db_written_total %llu\n", (unsigned long long)s.written);
}

static void put_builds(struct buf *out, const struct api *a)
{
    struct runner_counts c = runner_counts(a->runner);
    const struct {
        const char *result;
        uint64_t n;
    } ends[] = {{"succeeded", c.succeeded},
                {"failed", c.failed},
                {"cancelled", c.cancelled},
                {"lost", c.lost}};
    head(out, "builds_total", "counter", "Builds that this process ended, by result.");
    for (size_t i = 0; i < COUNT(ends); i++)
        buf_printf(out, "strata_builds_total{result=\"%s\"} %llu\n", ends[i].result,
                   (unsigned long long)ends[i].n);
    head(out, "build_seconds_total", "counter", "Time spent in builds that ended here.");
    buf_printf(out, "strata_build_seconds_total %.3f\n", (double)c.build_ms / 1e3);
    gauge(out, "builds_running_here", "Builds that this process runs now.", c.running);
}

static void put_state(struct buf *out, struct state *s, struct err *err)
{
    struct queue_stats q;
    int64_t counts[3] = {0};
    if (!s->queue->ops->stats(s->queue, &q, err) || !state_counts(s, counts, err))
        return;
    gauge(out, "queue_queued", "Builds that wait.", q.queued);
    gauge(out, "queue_running", "Builds that run, in all workers.", q.running);
    gauge(out, "queue_dead", "Builds that failed at every try.", q.dead);
    int64_t age = q.oldest_queued_ms ? io_now_ms() - q.oldest_queued_ms : 0;
    gauge(out, "queue_oldest_seconds", "How long the first in line has waited.",
          age > 0 ? age / 1000 : 0);
    gauge(out, "environments", "Environments, archived ones too.", counts[0]);
    gauge(out, "pins", "Sessions that hold an environment.", counts[1]);
    gauge(out, "artifacts", "Artifacts known to the worker.", counts[2]);
}

static void metrics_finish_text(struct req *r, struct buf *out)
{
    const struct api *a = r->api;
    put_calls(out, a);
    put_durations(out, a);
    put_stalls(out, a);
    put_builds(out, a);
    gauge(out, "http_connections", "Open connections.", server_connections(a->server));
    gauge(out, "start_time_seconds", "When the process began, since the epoch.",
          a->started_us / 1000000);
    r->text = buf_take(out);
    r->text_type = "text/plain; version=0.0.4; charset=utf-8";
}

void ops_metrics_work(struct req *r, struct state *s)
{
    AUTO_BUF struct buf out = BUF(4 << 20);
    put_state(&out, s, &req_problem(r)->err);
    r->text = buf_take(&out);
}

/* The counters belong to the loop thread. */
void ops_metrics_finish(struct req *r)
{
    AUTO_BUF struct buf out = BUF(4 << 20);
    AUTO_FREE char *state = TAKE(r->text);
    buf_str(&out, state ? state : "");
    metrics_finish_text(r, &out);
    req_answer(r);
}
