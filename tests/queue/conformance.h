/* SPDX-License-Identifier: Apache-2.0 */
/* conformance.h - what every back end of the queue must do.
 *
 * A back end's test program gives a function that opens a queue on its database, which is
 * empty after each reset(), and adds these cases to its suite. */
#ifndef STRATA_TESTS_QUEUE_CONFORMANCE_H
#define STRATA_TESTS_QUEUE_CONFORMANCE_H

#include <check.h>

#include "queue/queue.h"

struct backend {
    void (*reset)(void);
    struct queue *(*open)(const struct queue_options *options);
};

TCase *conformance_case(const struct backend *backend);

#endif
