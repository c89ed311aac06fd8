/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/state_priv.h"

static const char *const migrations[] = {
    "CREATE TABLE api_key ("
    " id TEXT PRIMARY KEY,"
    " workspace TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " hash BLOB NOT NULL,"
    " created_us INTEGER NOT NULL,"
    " revoked_us INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE environment ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id TEXT NOT NULL UNIQUE,"
    " workspace TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " description TEXT,"
    " metadata TEXT NOT NULL,"
    " version INTEGER NOT NULL,"
    " created_us INTEGER NOT NULL,"
    " updated_us INTEGER NOT NULL,"
    " archived_us INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX environment_list ON environment (workspace, seq);"
    "CREATE INDEX environment_live ON environment (workspace, seq) WHERE archived_us = 0;"
    "CREATE TABLE version ("
    " seq INTEGER PRIMARY KEY,"
    " environment TEXT NOT NULL,"
    " n INTEGER NOT NULL,"
    " config TEXT NOT NULL,"
    " build TEXT,"
    " artifact TEXT,"
    " lock TEXT,"
    " created_us INTEGER NOT NULL,"
    " UNIQUE (environment, n));"
    "CREATE INDEX version_waiting ON version (build) WHERE artifact IS NULL;"
    "CREATE TABLE lock (digest TEXT PRIMARY KEY, text TEXT NOT NULL);"
    "CREATE TABLE artifact ("
    " digest TEXT PRIMARY KEY,"
    " manifest TEXT NOT NULL,"
    " created_us INTEGER NOT NULL);"
    "CREATE TABLE artifact_seen ("
    " workspace TEXT NOT NULL,"
    " digest TEXT NOT NULL,"
    " PRIMARY KEY (workspace, digest)) WITHOUT ROWID;"
    "CREATE TABLE event ("
    " build TEXT NOT NULL,"
    " n INTEGER NOT NULL,"
    " kind TEXT NOT NULL,"
    " data TEXT NOT NULL,"
    " PRIMARY KEY (build, n)) WITHOUT ROWID;"
    "CREATE TABLE pin ("
    " seq INTEGER PRIMARY KEY,"
    " workspace TEXT NOT NULL,"
    " session TEXT NOT NULL,"
    " environment TEXT NOT NULL,"
    " version INTEGER NOT NULL,"
    " body BLOB NOT NULL,"
    " config TEXT NOT NULL,"
    " policy TEXT NOT NULL,"
    " build TEXT,"
    " artifact TEXT,"
    " created_us INTEGER NOT NULL,"
    " UNIQUE (workspace, session));"
    "CREATE INDEX pin_environment ON pin (environment);"
    "CREATE INDEX pin_waiting ON pin (build) WHERE artifact IS NULL;",
    /* How many there are is asked for by each scrape of the metrics; counting a million takes long.
     */
    "CREATE TABLE tally (what TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO tally VALUES ('environment', (SELECT count(*) FROM environment)),"
    " ('pin', (SELECT count(*) FROM pin)), ('artifact', (SELECT count(*) FROM artifact));"
    "CREATE TRIGGER environment_added AFTER INSERT ON environment BEGIN"
    " UPDATE tally SET n = n + 1 WHERE what = 'environment'; END;"
    "CREATE TRIGGER environment_deleted AFTER DELETE ON environment BEGIN"
    " UPDATE tally SET n = n - 1 WHERE what = 'environment'; END;"
    "CREATE TRIGGER pin_added AFTER INSERT ON pin BEGIN"
    " UPDATE tally SET n = n + 1 WHERE what = 'pin'; END;"
    "CREATE TRIGGER pin_deleted AFTER DELETE ON pin BEGIN"
    " UPDATE tally SET n = n - 1 WHERE what = 'pin'; END;"
    "CREATE TRIGGER artifact_added AFTER INSERT ON artifact BEGIN"
    " UPDATE tally SET n = n + 1 WHERE what = 'artifact'; END;"
    /* Many sessions may hold one environment while few of them wait. */
    "CREATE INDEX pin_following ON pin (environment, version) WHERE artifact IS NULL;",
};

#define ENV_COLUMNS                                                                                \
    "e.seq, e.id, e.name, e.description, e.metadata, e.created_us, e.updated_us, e.archived_us,"   \
    " v.n, v.created_us, v.config, v.build, v.artifact, v.lock"
#define ENV_FROM        " FROM environment e JOIN version v ON v.environment = e.id AND v.n = e.version "
#define VERSION_COLUMNS "n, created_us, config, build, artifact, lock"

static const char *const statements[STATE_SQL_COUNT] = {
    [SQL_KEY_ADD] = "INSERT INTO api_key (id, workspace, name, hash, created_us)"
                    " VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_KEY_GET] = "SELECT workspace, hash, revoked_us FROM api_key WHERE id = ?1",
    [SQL_KEY_REVOKE] = "UPDATE api_key SET revoked_us = ?2 WHERE id = ?1 AND revoked_us = 0",
    [SQL_KEY_LIST] = "SELECT id, workspace, name, created_us, revoked_us FROM api_key"
                     " WHERE ?1 IS NULL OR workspace = ?1 ORDER BY created_us",
    [SQL_KEY_ANY] = "SELECT EXISTS (SELECT 1 FROM api_key)",
    [SQL_ENV_ADD] = /* ?1 id, ?2 workspace, ?3 name, ?4 description, ?5 metadata, ?6 now */
    "INSERT INTO environment (id, workspace, name, description, metadata, version, created_us,"
    " updated_us) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6)",
    [SQL_ENV_GET] = "SELECT " ENV_COLUMNS ENV_FROM "WHERE e.id = ?1 AND e.workspace = ?2",
    [SQL_ENV_LIST] = "SELECT " ENV_COLUMNS ENV_FROM
                     "WHERE e.workspace = ?1 AND e.seq < ?2 ORDER BY e.seq DESC LIMIT ?3",
    [SQL_ENV_LIST_LIVE] =
        "SELECT " ENV_COLUMNS ENV_FROM "WHERE e.workspace = ?1 AND e.seq < ?2 AND e.archived_us = 0"
        " ORDER BY e.seq DESC LIMIT ?3",
    [SQL_ENV_SET] = /* ?1 id, ?2 name, ?3 description, ?4 metadata, ?5 version, ?6 now */
    "UPDATE environment SET name = ?2, description = ?3, metadata = ?4, version = ?5,"
    " updated_us = ?6 WHERE id = ?1",
    [SQL_ENV_ARCHIVE] = "UPDATE environment SET archived_us = ?2, updated_us = ?2"
                        " WHERE id = ?1 AND archived_us = 0",
    [SQL_ENV_DELETE] = "DELETE FROM environment WHERE id = ?1",
    [SQL_ENV_PINS] = /* ?2: counts no further */
    "SELECT count(*) FROM (SELECT 1 FROM pin WHERE environment = ?1 LIMIT ?2)",
    [SQL_VERSION_ADD] = /* ?1 environment, ?2 n, ?3 config, ?4 build, ?5 artifact, ?6 lock, ?7 now
                         */
    "INSERT INTO version (environment, n, config, build, artifact, lock, created_us)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_VERSION_GET] = "SELECT " VERSION_COLUMNS " FROM version WHERE environment = ?1 AND n = ?2",
    [SQL_VERSION_LIST] = "SELECT " VERSION_COLUMNS " FROM version WHERE environment = ?1"
                         " AND n < ?2 ORDER BY n DESC LIMIT ?3",
    [SQL_VERSION_BUILD] = "UPDATE version SET build = ?3 WHERE environment = ?1 AND n = ?2",
    [SQL_VERSION_BUILT] = /* the first success fixes both */
    "UPDATE version SET artifact = ?2, lock = ?3 WHERE build = ?1 AND artifact IS NULL",
    [SQL_VERSION_DELETE] = "DELETE FROM version WHERE environment = ?1",
    [SQL_LOCK_PUT] = "INSERT INTO lock (digest, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    [SQL_LOCK_GET] = "SELECT text FROM lock WHERE digest = ?1",
    [SQL_ARTIFACT_PUT] = "INSERT INTO artifact (digest, manifest, created_us) VALUES (?1, ?2, ?3)"
                         " ON CONFLICT DO NOTHING",
    [SQL_ARTIFACT_GET] = /* ?1 digest, ?2 workspace (NULL: any) */
    "SELECT manifest FROM artifact WHERE digest = ?1 AND (?2 IS NULL OR EXISTS"
    " (SELECT 1 FROM artifact_seen WHERE workspace = ?2 AND digest = ?1))",
    [SQL_ARTIFACT_SHOW] = "INSERT INTO artifact_seen (workspace, digest) VALUES (?1, ?2)"
                          " ON CONFLICT DO NOTHING",
    [SQL_EVENT_ADD] = "INSERT OR REPLACE INTO event (build, n, kind, data) VALUES (?1, ?2, ?3, ?4)",
    [SQL_EVENT_LAST] = "SELECT ifnull(max(n), 0) FROM event WHERE build = ?1",
    [SQL_EVENT_LIST] = "SELECT n, kind, data FROM event WHERE build = ?1 AND n > ?2"
                       " AND (?3 IS NULL OR kind = ?3) ORDER BY n LIMIT ?4",
    [SQL_EVENT_PRUNE] = /* ?1 before, ?2 most */
    "DELETE FROM event WHERE build IN (SELECT id FROM job WHERE state > 3 AND finished_ms <= ?1"
    " ORDER BY finished_ms LIMIT ?2)",
    [SQL_PIN_ADD] = /* ?1 workspace, ?2 session, ?3 environment, ?4 version, ?5 body, ?6 config,
                       ?7 policy, ?8 build, ?9 artifact, ?10 now */
    "INSERT INTO pin (workspace, session, environment, version, body, config, policy, build,"
    " artifact, created_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [SQL_PIN_GET] = "SELECT environment, version, body, config, policy, build, artifact, created_us"
                    " FROM pin WHERE workspace = ?1 AND session = ?2",
    [SQL_PIN_DELETE] = "DELETE FROM pin WHERE workspace = ?1 AND session = ?2",
    [SQL_PIN_BUILT] = "UPDATE pin SET artifact = ?2 WHERE build = ?1 AND artifact IS NULL",
    [SQL_PIN_FOLLOW] = /* ?1 environment, ?2 version, ?3 build */
    "UPDATE pin SET build = ?3 WHERE environment = ?1 AND version = ?2 AND artifact IS NULL",
    [SQL_PIN_WAITING] = "SELECT workspace, session FROM pin WHERE build = ?1 AND artifact IS NULL",
    [SQL_PIN_EACH] = "SELECT workspace, session, artifact FROM pin WHERE artifact IS NOT NULL",
    [SQL_COUNTS] = "SELECT (SELECT n FROM tally WHERE what = 'environment'),"
                   " (SELECT n FROM tally WHERE what = 'pin'),"
                   " (SELECT n FROM tally WHERE what = 'artifact')",
};

const struct sql_schema state_schema = {
    .name = "worker",
    .migrations = migrations,
    .migration_count = COUNT(migrations),
    .statements = statements,
    .statement_count = STATE_SQL_COUNT,
};
