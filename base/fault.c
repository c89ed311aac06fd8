/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Process-wide on purpose: it stands for the machine failing under us. */
static atomic_int countdown; /* 0: not armed */
static atomic_int error_number;
static atomic_bool fired, sticky, lethal;

void fault_arm(int nth, int sys_errno)
{
    atomic_store(&fired, false);
    atomic_store(&sticky, false);
    atomic_store(&lethal, false);
    atomic_store(&error_number, sys_errno);
    atomic_store(&countdown, nth);
}

bool fault_disarm(void)
{
    atomic_store(&countdown, 0);
    atomic_store(&sticky, false);
    return atomic_exchange(&fired, false);
}

void fault_arm_from_env(void)
{
    const char *text = getenv("STRATA_FAULT");
    if (!text || strlen(text) < 6)
        return;
    long nth = strtol(text + 5, NULL, 10);
    if (nth <= 0 || nth > INT_MAX)
        return;
    fault_arm((int)nth, ENOSPC);
    atomic_store(&lethal, strncmp(text, "kill:", 5) == 0);
    atomic_store(&sticky, strncmp(text, "full:", 5) == 0);
}

static bool fail(void)
{
    errno = atomic_load(&error_number);
    return false;
}

bool fault_point(void)
{
    if (atomic_load_explicit(&countdown, memory_order_relaxed) <= 0)
        return atomic_load_explicit(&sticky, memory_order_relaxed) && atomic_load(&fired) ? fail()
                                                                                          : true;
    if (atomic_fetch_sub(&countdown, 1) != 1)
        return true;
    if (atomic_load(&lethal))
        raise(SIGKILL);
    atomic_store(&fired, true);
    return fail();
}
