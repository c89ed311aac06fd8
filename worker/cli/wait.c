/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c - runs the loop until something long is done, which an interrupt cancels. */
#include <unistd.h>

#include "worker/cli/cli.h"

/* Once: cancel, and leave nothing half-made. Twice: the user means it. */
static void on_signal(uv_signal_t *signal, int number)
{
    struct cli_wait *w = signal->data;
    if (w->interrupts++)
        _exit(128 + number);
    w->cancel(w->what);
}

void cli_wait(struct cli *c, struct cli_wait *w)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    uv_signal_t signals[2];
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&c->loop, &signals[i]);
        signals[i].data = w;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&signals[i]);
    }
    while (!w->done)
        uv_run(&c->loop, UV_RUN_ONCE);
    progress_stop(c->progress);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    uv_run(&c->loop, UV_RUN_NOWAIT);
}
