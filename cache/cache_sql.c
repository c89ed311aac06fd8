/* SPDX-License-Identifier: Apache-2.0 */
/* The index of the store. Digests are 32-byte blobs; times are ms since the epoch. */
#include "cache/cache_sql_priv.h"

#include "base/mem.h"

static const char *const migrations[] = {
    "CREATE TABLE memo (kind TEXT NOT NULL, key BLOB NOT NULL, text BLOB NOT NULL,"
    " at_ms INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;"
    "CREATE TABLE blob_hash (algo TEXT NOT NULL, bytes BLOB NOT NULL, digest BLOB NOT NULL,"
    " size INTEGER NOT NULL, PRIMARY KEY (algo, bytes)) WITHOUT ROWID;"
    "CREATE TABLE artifact (digest BLOB PRIMARY KEY, name TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL, size INTEGER NOT NULL,"
    " layers INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE build_key (key BLOB PRIMARY KEY,"
    " artifact BLOB NOT NULL REFERENCES artifact (digest) ON DELETE CASCADE,"
    " at_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX build_key_artifact ON build_key (artifact);"
    "CREATE TABLE pin (owner TEXT PRIMARY KEY,"
    " artifact BLOB NOT NULL REFERENCES artifact (digest), at_ms INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX pin_artifact ON pin (artifact);"
    "CREATE TABLE tag (name TEXT PRIMARY KEY,"
    " artifact BLOB NOT NULL REFERENCES artifact (digest), at_ms INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX tag_artifact ON tag (artifact);",
};

static const char *const statements[CACHE_SQL_COUNT] = {
    [SQL_MEMO_GET] = "SELECT text, at_ms FROM memo WHERE kind = ?1 AND key = ?2",
    [SQL_MEMO_PUT] = /* ?3 text, ?4 now_ms */
    "INSERT INTO memo (kind, key, text, at_ms) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (kind, key) DO UPDATE SET text = excluded.text, at_ms = excluded.at_ms",
    [SQL_MEMO_DROP] = "DELETE FROM memo WHERE kind = ?1 AND key = ?2",
    [SQL_MEMO_EXPIRE] = "DELETE FROM memo WHERE at_ms < ?1",

    [SQL_HASH_GET] = "SELECT digest, size FROM blob_hash WHERE algo = ?1 AND bytes = ?2",
    [SQL_HASH_PUT] = "INSERT OR REPLACE INTO blob_hash (algo, bytes, digest, size)"
                     " VALUES (?1, ?2, ?3, ?4)",
    [SQL_HASH_LIST] = "SELECT algo, bytes, digest FROM blob_hash",
    [SQL_HASH_DROP] = "DELETE FROM blob_hash WHERE algo = ?1 AND bytes = ?2",

    [SQL_ARTIFACT_PUT] = /* ?2 name, ?3 now_ms, ?4 size, ?5 layers */
    "INSERT INTO artifact (digest, name, created_ms, used_ms, size, layers)"
    " VALUES (?1, ?2, ?3, ?3, ?4, ?5) ON CONFLICT (digest) DO UPDATE SET"
    " used_ms = max(used_ms, excluded.used_ms),"
    " name = CASE WHEN excluded.name <> '' THEN excluded.name ELSE name END",
    [SQL_ARTIFACT_USE] = "UPDATE artifact SET used_ms = max(used_ms, ?2) WHERE digest = ?1",
    [SQL_ARTIFACT_LIST] = "SELECT digest, name, created_ms, used_ms, size, layers FROM artifact"
                          " ORDER BY created_ms DESC, digest",
    [SQL_ARTIFACT_FIND] = "SELECT digest FROM artifact WHERE digest >= ?1 AND digest <= ?2 LIMIT 2",
    /* Looks once more: it may have been used or pinned since it was found idle. */
    [SQL_ARTIFACT_COLLECT] = /* ?2 idle since before */
    "DELETE FROM artifact WHERE digest = ?1 AND used_ms < ?2"
    " AND digest NOT IN (SELECT artifact FROM pin)"
    " AND digest NOT IN (SELECT artifact FROM tag)",
    [SQL_ARTIFACT_DROP] = "DELETE FROM artifact WHERE digest = ?1",

    [SQL_KEY_GET] = "SELECT artifact FROM build_key WHERE key = ?1",
    [SQL_KEY_PUT] = "INSERT OR REPLACE INTO build_key (key, artifact, at_ms) VALUES (?1, ?2, ?3)",

    [SQL_PIN_PUT] = "INSERT OR REPLACE INTO pin (owner, artifact, at_ms) VALUES (?1, ?2, ?3)",
    [SQL_PIN_DROP] = "DELETE FROM pin WHERE owner = ?1",
    [SQL_PIN_GET] = "SELECT artifact FROM pin WHERE owner = ?1",
    [SQL_PIN_LIST] = "SELECT owner, artifact, at_ms FROM pin ORDER BY owner",
    [SQL_TAG_PUT] = "INSERT OR REPLACE INTO tag (name, artifact, at_ms) VALUES (?1, ?2, ?3)",
    [SQL_TAG_DROP] = "DELETE FROM tag WHERE name = ?1",
    [SQL_TAG_GET] = "SELECT artifact FROM tag WHERE name = ?1",
    [SQL_TAG_LIST] = "SELECT name, artifact, at_ms FROM tag ORDER BY name",
};

const struct sql_schema cache_schema = {
    .name = "cache",
    .migrations = migrations,
    .migration_count = COUNT(migrations),
    .statements = statements,
    .statement_count = CACHE_SQL_COUNT,
};

bool cache_sql_wait_for_disk(struct sql *db, bool wait, struct err *err)
{
    return sql_exec(db, wait ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", err);
}
