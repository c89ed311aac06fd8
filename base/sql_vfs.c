/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sql_vfs.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

#define VFS_NAME "strata"

/* The system's file lies right behind ours. */
struct file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_file *real(sqlite3_file *f)
{
    return ((struct file *)(void *)f)->real;
}

static int on_close(sqlite3_file *f)
{
    return real(f)->pMethods->xClose(real(f));
}

static int on_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    return real(f)->pMethods->xRead(real(f), out, n, at);
}

static int on_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    if (!fault_point())
        return errno == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    return real(f)->pMethods->xWrite(real(f), bytes, n, at);
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return fault_point() ? real(f)->pMethods->xTruncate(real(f), size) : SQLITE_IOERR_TRUNCATE;
}

static int on_sync(sqlite3_file *f, int flags)
{
    return fault_point() ? real(f)->pMethods->xSync(real(f), flags) : SQLITE_IOERR_FSYNC;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real(f)->pMethods->xFileSize(real(f), size);
}

static int on_lock(sqlite3_file *f, int kind)
{
    return real(f)->pMethods->xLock(real(f), kind);
}

static int on_unlock(sqlite3_file *f, int kind)
{
    return real(f)->pMethods->xUnlock(real(f), kind);
}

static int on_check(sqlite3_file *f, int *out)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int on_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int on_device(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void on_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int on_shm_unmap(sqlite3_file *f, int remove)
{
    return real(f)->pMethods->xShmUnmap(real(f), remove);
}

static int on_fetch(sqlite3_file *f, sqlite3_int64 at, int n, void **out)
{
    return real(f)->pMethods->xFetch(real(f), at, n, out);
}

static int on_unfetch(sqlite3_file *f, sqlite3_int64 at, void *p)
{
    return real(f)->pMethods->xUnfetch(real(f), at, p);
}

static const sqlite3_io_methods methods = {
    .iVersion = 3,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check,
    .xFileControl = on_control,
    .xSectorSize = on_sector,
    .xDeviceCharacteristics = on_device,
    .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock,
    .xShmBarrier = on_shm_barrier,
    .xShmUnmap = on_shm_unmap,
    .xFetch = on_fetch,
    .xUnfetch = on_unfetch,
};

static sqlite3_vfs *system_vfs(sqlite3_vfs *v)
{
    return v->pAppData;
}

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *out, int flags, int *got)
{
    struct file *f = (struct file *)(void *)out;
    f->real = (sqlite3_file *)(void *)(f + 1);
    int rc = system_vfs(v)->xOpen(system_vfs(v), name, f->real, flags, got);
    f->base.pMethods = f->real->pMethods ? &methods : NULL;
    return rc;
}

static int on_delete(sqlite3_vfs *v, const char *name, int sync)
{
    return fault_point() ? system_vfs(v)->xDelete(system_vfs(v), name, sync) : SQLITE_IOERR_DELETE;
}

/* Process-wide on purpose: SQLite keeps its list of VFSes that way. */
static sqlite3_vfs vfs;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void)
{
    sqlite3_vfs *theirs = sqlite3_vfs_find(NULL);
    if (!theirs)
        return;
    vfs = *theirs; /* what is not replaced below takes no file and may be called as it is */
    vfs.pNext = NULL;
    vfs.zName = VFS_NAME;
    vfs.pAppData = theirs;
    vfs.szOsFile = (int)sizeof(struct file) + theirs->szOsFile;
    vfs.xOpen = on_open;
    vfs.xDelete = on_delete;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        vfs.zName = NULL;
}

const char *sql_vfs_name(void)
{
    pthread_once(&once, set_up);
    return vfs.zName;
}
