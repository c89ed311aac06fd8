/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "queue/queue_sqlite_priv.h"

/* A row's state as clients see it; the first of the rows' states it stands for. */
#define JOB_CLASS "(CASE WHEN state < 3 THEN 0 WHEN state = 6 THEN 5 ELSE state END)"

static const char *const migrations[] = {
    "CREATE TABLE job ("
    " seq INTEGER PRIMARY KEY,"
    " id TEXT NOT NULL UNIQUE,"
    " workspace TEXT NOT NULL,"
    " state INTEGER NOT NULL,"
    " priority INTEGER NOT NULL,"
    " tag INTEGER NOT NULL,"
    " build_key TEXT NOT NULL,"
    " attempts INTEGER NOT NULL DEFAULT 0,"
    " max_attempts INTEGER NOT NULL,"
    " cancel_requested INTEGER NOT NULL DEFAULT 0,"
    " worker TEXT NOT NULL DEFAULT '',"
    " lease_token INTEGER NOT NULL DEFAULT 0,"
    " lease_until_ms INTEGER NOT NULL DEFAULT 0,"
    " created_ms INTEGER NOT NULL,"
    " queued_ms INTEGER NOT NULL," /* since when it waits, for ageing */
    " not_before_ms INTEGER NOT NULL DEFAULT 0,"
    " started_ms INTEGER NOT NULL DEFAULT 0,"
    " finished_ms INTEGER NOT NULL DEFAULT 0,"
    " code TEXT NOT NULL DEFAULT '',"
    " result TEXT,"
    " failure TEXT,"
    " payload TEXT NOT NULL);"
    "CREATE INDEX job_ready ON job (workspace, priority, tag) WHERE state = 0;"
    "CREATE INDEX job_waiting ON job (not_before_ms) WHERE state = 1;"
    "CREATE INDEX job_parked ON job (build_key) WHERE state = 2;"
    /* The rule itself, not only a help to find: one running job a build key. */
    "CREATE UNIQUE INDEX job_running ON job (build_key) WHERE state = 3;"
    "CREATE INDEX job_lease ON job (lease_until_ms) WHERE state = 3;"
    "CREATE INDEX job_live ON job (build_key, workspace) WHERE state < 4;"
    "CREATE INDEX job_list ON job (workspace, seq);"
    "CREATE INDEX job_dead ON job (seq) WHERE state = 6;"
    "CREATE INDEX job_ended ON job (finished_ms) WHERE state > 3;"
    "CREATE TABLE lane ("
    " workspace TEXT NOT NULL,"
    " priority INTEGER NOT NULL,"
    " head_tag INTEGER,"
    " last_tag INTEGER NOT NULL,"
    " PRIMARY KEY (workspace, priority)) WITHOUT ROWID;"
    "CREATE INDEX lane_head ON lane (priority, head_tag) WHERE head_tag IS NOT NULL;"
    "CREATE TABLE clock (priority INTEGER PRIMARY KEY, tag INTEGER NOT NULL);"
    "INSERT INTO clock VALUES (0, 0), (1, 0), (2, 0);"
    /* The workspace '' counts all. */
    "CREATE TABLE tenant ("
    " workspace TEXT PRIMARY KEY,"
    " queued INTEGER NOT NULL DEFAULT 0,"
    " running INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE idempotency ("
    " workspace TEXT NOT NULL,"
    " key TEXT NOT NULL,"
    " request BLOB NOT NULL,"
    " job TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL,"
    " PRIMARY KEY (workspace, key)) WITHOUT ROWID;"
    "CREATE INDEX idempotency_age ON idempotency (created_ms);",
    /* A list of one status must not look at the jobs of all others. */
    "CREATE INDEX job_list_class ON job (workspace, " JOB_CLASS ", seq);",
};

#define LIST(where)                                                                                \
    "SELECT " JOB_COLUMNS " FROM job WHERE " where " AND seq < ?2 ORDER BY seq DESC LIMIT ?3"

static const char *const statements[QUEUE_SQL_COUNT] = {
    [SQL_JOB_BY_ID] = "SELECT " JOB_COLUMNS " FROM job WHERE id = ?1",
    [SQL_JOB_LIVE] = /* ?1 build key, ?2 workspace */
    "SELECT " JOB_COLUMNS " FROM job WHERE build_key = ?1 AND workspace = ?2 AND state < 4"
    " AND cancel_requested = 0 LIMIT 1",
    [SQL_JOB_ADD] = /* ?1 id, ?2 workspace, ?3 priority, ?4 tag, ?5 build key, ?6 max attempts,
                       ?7 now, ?8 payload */
    "INSERT INTO job (id, workspace, state, priority, tag, build_key, max_attempts, created_ms,"
    " queued_ms, payload) VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
    [SQL_JOB_RAISE] = "UPDATE job SET priority = ?2, tag = ?3 WHERE seq = ?1",
    [SQL_JOB_NEXT] = /* ?1 priority, ?2 most running of one workspace: the first job of the lane
                        whose turn it is */
    "SELECT " JOB_COLUMNS " FROM job WHERE state = 0 AND priority = ?1 AND workspace ="
    " (SELECT workspace FROM lane WHERE priority = ?1 AND head_tag IS NOT NULL"
    "   AND (SELECT running FROM tenant WHERE tenant.workspace = lane.workspace) < ?2"
    "   ORDER BY head_tag LIMIT 1)"
    " ORDER BY tag LIMIT 1",
    [SQL_JOB_START] = /* ?1 seq, ?2 worker, ?3 until, ?4 now */
    "UPDATE job SET state = 3, worker = ?2, lease_until_ms = ?3, started_ms = ?4,"
    " attempts = attempts + 1, lease_token = lease_token + 1, cancel_requested = 0"
    " WHERE seq = ?1",
    [SQL_JOB_END] = /* ?1 seq, ?2 state, ?3 not before, ?4 finished, ?5 code, ?6 result,
                       ?7 failure, ?8 attempts not counted */
    "UPDATE job SET state = ?2, not_before_ms = ?3, finished_ms = ?4, code = ?5, result = ?6,"
    " failure = ?7, lease_until_ms = 0, attempts = attempts - ?8 WHERE seq = ?1",
    [SQL_JOB_PLACE] = "UPDATE job SET state = ?2 WHERE seq = ?1",
    [SQL_JOB_AGAIN] = /* ?1 seq, ?2 tag, ?3 now */
    "UPDATE job SET state = 0, tag = ?2, queued_ms = ?3, attempts = 0, not_before_ms = 0,"
    " started_ms = 0, finished_ms = 0, code = '', result = NULL, failure = NULL,"
    " cancel_requested = 0 WHERE seq = ?1",
    [SQL_JOB_HEARTBEAT] = /* ?1 seq, ?2 until */
    "UPDATE job SET lease_until_ms = ?2 WHERE seq = ?1",
    [SQL_JOB_ASK_CANCEL] = "UPDATE job SET cancel_requested = 1 WHERE seq = ?1",
    [SQL_KEY_RUNS] = "SELECT 1 FROM job WHERE build_key = ?1 AND state = 3",
    [SQL_DUE] = "SELECT " JOB_COLUMNS " FROM job WHERE state = 1 AND not_before_ms <= ?1"
                " ORDER BY not_before_ms LIMIT 64",
    [SQL_PARKED] = "SELECT " JOB_COLUMNS " FROM job WHERE state = 2 AND build_key = ?1",
    [SQL_EXPIRED] = "SELECT " JOB_COLUMNS " FROM job WHERE state = 3 AND lease_until_ms <= ?1"
                    " ORDER BY lease_until_ms LIMIT 256",
    [SQL_LIST] = LIST("workspace = ?1"),
    [SQL_LIST_STATE] = LIST("workspace = ?1 AND " JOB_CLASS " = ?6 AND state BETWEEN ?4 AND ?5"),
    [SQL_LIST_ALL] = LIST("?1 IS NULL"),
    [SQL_LIST_ALL_STATE] = LIST("?1 IS NULL AND state BETWEEN ?4 AND ?5"),
    [SQL_LANE_GET] = /* ?1 workspace, ?2 priority */
    "SELECT tag, (SELECT CASE WHEN head_tag IS NULL THEN 0 ELSE last_tag END FROM lane"
    " WHERE workspace = ?1 AND priority = ?2) FROM clock WHERE priority = ?2",
    [SQL_LANE_ADD] = /* ?1 workspace, ?2 priority, ?3 tag */
    "INSERT INTO lane (workspace, priority, head_tag, last_tag) VALUES (?1, ?2, ?3, ?3)"
    " ON CONFLICT (workspace, priority) DO UPDATE SET last_tag = excluded.last_tag,"
    " head_tag = min(ifnull(head_tag, excluded.head_tag), excluded.head_tag)",
    [SQL_LANE_HEAD] = /* ?1 workspace, ?2 priority */
    "UPDATE lane SET head_tag = (SELECT min(tag) FROM job WHERE state = 0 AND workspace = ?1"
    " AND priority = ?2) WHERE workspace = ?1 AND priority = ?2",
    [SQL_CLOCK_SET] = "UPDATE clock SET tag = ?2 WHERE priority = ?1 AND tag < ?2",
    [SQL_TENANT_GET] = /* the workspace's and everybody's */
    "SELECT (SELECT queued FROM tenant WHERE workspace = ?1),"
    " (SELECT queued FROM tenant WHERE workspace = '')",
    [SQL_TENANT_ADD] = /* ?1 workspace, ?2 and ?3 differences */
    "INSERT INTO tenant (workspace, queued, running) VALUES (?1, ?2, ?3), ('', ?2, ?3)"
    " ON CONFLICT (workspace) DO UPDATE SET queued = queued + excluded.queued,"
    " running = running + excluded.running",
    [SQL_IDEM_GET] = "SELECT request, job FROM idempotency WHERE workspace = ?1 AND key = ?2"
                     " AND created_ms > ?3",
    [SQL_IDEM_ADD] = "INSERT OR REPLACE INTO idempotency (workspace, key, request, job, created_ms)"
                     " VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_IDEM_PRUNE] = "DELETE FROM idempotency WHERE created_ms <= ?1",
    [SQL_STATS] = "SELECT ifnull((SELECT queued FROM tenant WHERE workspace = ''), 0),"
                  " ifnull((SELECT running FROM tenant WHERE workspace = ''), 0),"
                  " (SELECT count(*) FROM job WHERE state = 6),"
                  " (SELECT min(created_ms) FROM (SELECT (SELECT created_ms FROM job"
                  "   WHERE job.workspace = lane.workspace AND job.priority = lane.priority"
                  "   AND state = 0 ORDER BY tag LIMIT 1) AS created_ms FROM lane"
                  "   WHERE head_tag IS NOT NULL))",
    [SQL_PRUNE] = "DELETE FROM job WHERE seq IN (SELECT seq FROM job WHERE state > 3"
                  " AND finished_ms <= ?1 ORDER BY finished_ms LIMIT ?2)",
};

const struct sql_schema queue_sqlite_schema = {
    .name = "queue",
    .migrations = migrations,
    .migration_count = COUNT(migrations),
    .statements = statements,
    .statement_count = QUEUE_SQL_COUNT,
};
