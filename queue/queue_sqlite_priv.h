/* SPDX-License-Identifier: Apache-2.0 */
/* queue_sqlite_priv.h - the statements of the SQLite queue, by number.
 *
 * A queued job is in one of three rows' states: ready, waiting (for its backoff to pass) or
 * parked (its build key runs elsewhere). A lane is a workspace's jobs of one priority; its
 * head_tag is the tag of its first ready job, so that the next job is found by looking at
 * lanes, of which there are few, and not at jobs. A tag is a job's place in its priority:
 * virtual time, which advances by one for each job of a lane. */
#ifndef STRATA_QUEUE_QUEUE_SQLITE_PRIV_H
#define STRATA_QUEUE_QUEUE_SQLITE_PRIV_H

#include "base/sql.h"

enum row_state {
    ROW_READY,
    ROW_WAITING,
    ROW_PARKED,
    ROW_RUNNING,
    ROW_SUCCEEDED,
    ROW_FAILED,
    ROW_DEAD,
    ROW_CANCELLED
};

enum queue_sql {
    SQL_JOB_BY_ID,
    SQL_JOB_LIVE,
    SQL_JOB_ADD,
    SQL_JOB_RAISE,
    SQL_JOB_NEXT,
    SQL_JOB_START,
    SQL_JOB_END,
    SQL_JOB_PLACE,
    SQL_JOB_AGAIN,
    SQL_JOB_HEARTBEAT,
    SQL_JOB_ASK_CANCEL,
    SQL_KEY_RUNS,
    SQL_DUE,
    SQL_PARKED,
    SQL_EXPIRED,
    SQL_LIST,
    SQL_LIST_STATE,
    SQL_LIST_ALL,
    SQL_LIST_ALL_STATE,
    SQL_LANE_GET,
    SQL_LANE_ADD,
    SQL_LANE_HEAD,
    SQL_CLOCK_SET,
    SQL_TENANT_GET,
    SQL_TENANT_ADD,
    SQL_IDEM_GET,
    SQL_IDEM_ADD,
    SQL_IDEM_PRUNE,
    SQL_STATS,
    SQL_PRUNE,
    QUEUE_SQL_COUNT
};

/* Columns of every statement that gives jobs. */
#define JOB_COLUMNS                                                                                \
    "seq, id, state, priority, attempts, max_attempts, cancel_requested, worker, lease_token,"     \
    " lease_until_ms, created_ms, not_before_ms, started_ms, finished_ms, code, workspace,"        \
    " build_key, payload, result, failure, tag, queued_ms"

extern const struct sql_schema queue_sqlite_schema;

#endif
