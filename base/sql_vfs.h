/* SPDX-License-Identifier: Apache-2.0 */
/* sql_vfs.h - SQLite's files, with each durable step a fault point (fault.h).
 *
 * Writes, truncations, syncs and deletions of a database, its log and its journals pass a
 * fault point and then go to the system's own VFS; all else goes there straight. So the tests
 * that make the nth step fail, or end the process there, reach into a transaction's middle.
 *
 * Threads: sql_vfs_name may be called from any. */
#ifndef STRATA_BASE_SQL_VFS_H
#define STRATA_BASE_SQL_VFS_H

/* The VFS to open with; NULL: SQLite's own (registration failed). */
const char *sql_vfs_name(void);

#endif
