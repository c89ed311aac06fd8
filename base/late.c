/* SPDX-License-Identifier: Apache-2.0 */
#include "base/late.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static bool bind_all(struct late_library *l, void *handle, struct err *err)
{
    for (size_t i = 0; i < l->count; i++) {
        l->functions[i] = dlsym(handle, l->names[i]);
        if (!l->functions[i])
            return err_set(err, ERR_UNSUPPORTED,
                           "%s on this machine has no %s: it is not the version that this program "
                           "was built for; install that, or build the program anew",
                           l->file, l->names[i]);
    }
    return true;
}

bool late_load(struct late_library *l, struct err *err)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load_explicit(&l->ready, memory_order_acquire))
        return true;
    pthread_mutex_lock(&one_at_a_time);
    bool ok = atomic_load_explicit(&l->ready, memory_order_relaxed);
    if (!ok) {
        void *handle = dlopen(l->file, RTLD_LAZY | RTLD_LOCAL);
        const char *why = handle ? NULL : dlerror();
        if (!handle)
            err_set(err, ERR_UNSUPPORTED,
                    "the shared library %s is needed and cannot be loaded (%s): install the "
                    "package that brings it",
                    l->file, why ? why : "no reason given");
        ok = handle && bind_all(l, handle, err);
        if (handle && !ok)
            dlclose(handle);
        atomic_store_explicit(&l->ready, ok, memory_order_release);
    }
    pthread_mutex_unlock(&one_at_a_time);
    return ok;
}

void late_must_load(struct late_library *l)
{
    struct err err = {0};
    if (late_load(l, &err))
        return;
    fprintf(stderr, "strata: %s\n", err.text);
    _Exit(1);
}
