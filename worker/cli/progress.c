/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/cli/progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/io.h"

#define REDRAW_MS        80
#define BAR_CELLS        24
#define BAR_CELLS_NARROW 12 /* what is told beside it fits into 80 columns then */
#define NARROW_COLUMNS   90

struct progress {
    uv_timer_t timer;
    uv_mutex_t mutex; /* over stderr and lines_drawn */
    enum progress_style style;
    progress_source *source; /* NULL: nothing is watched */
    const void *source_ctx;
    int lines_drawn;
    int64_t started_ms;
    enum build_phase told[RESOLVER_COUNT]; /* plain style */
};

/* 0: no terminal, or one that does not tell. */
static int columns_here(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

enum progress_style progress_style_here(void)
{
    const char *term = getenv("TERM");
    if (!isatty(STDERR_FILENO) || !term || strcmp(term, "dumb") == 0)
        return PROGRESS_PLAIN;
    return columns_here() >= 60 ? PROGRESS_BARS : PROGRESS_PLAIN;
}

const char *progress_bytes(uint64_t n, char out[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double v = (double)n;
    size_t unit = 0;
    while (v >= 999.5 && unit + 1 < COUNT(units)) {
        v /= 1000;
        unit++;
    }
    snprintf(out, 16, unit && v < 100 ? "%.1f %s" : "%.0f %s", v, units[unit]);
    return out;
}

static const char *phase_words(enum build_phase phase)
{
    static const char *const words[] = {"waiting", "resolving",  "fetching",
                                        "packing", "publishing", "done"};
    return words[phase];
}

static void describe(const struct build_progress *m, char *out, size_t size)
{
    char got[16], all[16];
    switch (m->phase) {
    case PHASE_RESOLVE: snprintf(out, size, "%zu packages seen", m->known); break;
    case PHASE_FETCH:
    case PHASE_INSTALL:
        snprintf(out, size, "%zu/%zu packages, %s of %s", m->units_ready, m->units,
                 progress_bytes(m->received, got), progress_bytes(m->total, all));
        break;
    default: snprintf(out, size, "%zu packages, %s", m->units, progress_bytes(m->received, got));
    }
}

/* How far a manager is, in cells. Bytes and segments count half each. */
static int cells_done(const struct build_progress *m, int cells)
{
    double bytes = m->total ? (double)m->received / (double)m->total : 0;
    double units = m->units ? (double)m->units_ready / (double)m->units : 0;
    if (m->phase >= PHASE_PUBLISH)
        return cells;
    return m->phase < PHASE_FETCH ? 0 : (int)((bytes + units) / 2 * cells);
}

static void erase(struct progress *p)
{
    for (; p->lines_drawn > 0; p->lines_drawn--)
        fputs("\033[1A\033[2K", stderr);
}

/* A line that wraps would be two when it is to be erased, so each ends before the last column,
 * of the terminal as wide as it is now. */
static void draw(struct progress *p)
{
    int columns = columns_here();
    int cells = columns < NARROW_COLUMNS ? BAR_CELLS_NARROW : BAR_CELLS;
    const struct build_progress *list;
    size_t n = p->source(p->source_ctx, &list);
    for (size_t i = 0; i < n; i++) {
        char text[64], bar[BAR_CELLS + 1], line[160];
        int done = cells_done(&list[i], cells);
        for (int k = 0; k < cells; k++)
            bar[k] = k < done ? '#' : '.';
        bar[cells] = '\0';
        describe(&list[i], text, sizeof(text));
        snprintf(line, sizeof(line), "%-6s [%s] %-10s %s", list[i].manager, bar,
                 phase_words(list[i].phase), text);
        fprintf(stderr, "%.*s\n", columns > 1 ? columns - 1 : 1, line);
        p->lines_drawn++;
    }
}

static void tell(struct progress *p)
{
    const struct build_progress *list;
    size_t n = p->source(p->source_ctx, &list);
    for (size_t i = 0; i < n; i++) {
        char text[64];
        /* Nothing had to be made: there is nothing to tell. */
        if (list[i].phase == p->told[i] || list[i].phase == PHASE_WAITING ||
            (list[i].phase == PHASE_DONE && list[i].units == 0))
            continue;
        p->told[i] = list[i].phase;
        describe(&list[i], text, sizeof(text));
        fprintf(stderr, "%s: %s (%s)\n", list[i].manager, phase_words(list[i].phase), text);
    }
}

static void show(struct progress *p)
{
    if (!p->source || p->style == PROGRESS_QUIET)
        return;
    uv_mutex_lock(&p->mutex);
    if (p->style == PROGRESS_BARS) {
        erase(p);
        draw(p);
    } else {
        tell(p);
    }
    fflush(stderr);
    uv_mutex_unlock(&p->mutex);
}

static void on_timer(uv_timer_t *timer)
{
    show(container_of(timer, struct progress, timer));
}

struct progress *progress_new(uv_loop_t *loop, enum progress_style style)
{
    struct progress *p = MEM_NEW(struct progress);
    p->style = style;
    uv_timer_init(loop, &p->timer);
    uv_unref((uv_handle_t *)&p->timer);
    if (uv_mutex_init(&p->mutex))
        abort();
    return p;
}

static size_t of_build(const void *ctx, const struct build_progress **list)
{
    return build_progress(ctx, list);
}

void progress_watch(struct progress *p, const struct build *b)
{
    progress_watch_source(p, of_build, b);
}

void progress_watch_source(struct progress *p, progress_source *source, const void *ctx)
{
    p->source = source;
    p->source_ctx = ctx;
    memset(p->told, 0, sizeof(p->told));
    p->started_ms = io_monotonic_ms();
    if (p->style != PROGRESS_QUIET)
        uv_timer_start(&p->timer, on_timer, REDRAW_MS, REDRAW_MS);
}

void progress_stop(struct progress *p)
{
    uv_timer_stop(&p->timer);
    /* A build that ended before the first redraw was too quick to need a display. */
    if (p->style == PROGRESS_PLAIN || p->lines_drawn)
        show(p);
    p->source = NULL;
    p->lines_drawn = 0;
}

static void on_closed(uv_handle_t *h)
{
    struct progress *p = container_of((uv_timer_t *)h, struct progress, timer);
    uv_mutex_destroy(&p->mutex);
    free(p);
}

void progress_free(struct progress *p)
{
    if (p)
        uv_close((uv_handle_t *)&p->timer, on_closed);
}

void progress_log(void *ctx, enum log_level level, const char *line)
{
    struct progress *p = ctx;
    uv_mutex_lock(&p->mutex);
    erase(p);
    fprintf(stderr, "%s: %s\n", log_level_name(level), line);
    uv_mutex_unlock(&p->mutex);
}
