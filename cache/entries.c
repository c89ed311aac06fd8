/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/entries_priv.h"

#include "base/map.h"
#include "cache/tar_priv.h"

void segment_plan_init(struct segment_plan *plan)
{
    *plan = (struct segment_plan){.arena = arena_new()};
}

void segment_plan_release(struct segment_plan *plan)
{
    if (plan->release)
        plan->release(plan);
    VEC_FREE(&plan->entries);
    arena_free(plan->arena);
    *plan = (struct segment_plan){0};
}

static struct segment_entry *add(struct segment_plan *plan, enum entry_type type, struct span path,
                                 uint32_t mode)
{
    struct segment_entry *e = VEC_PUSH(&plan->entries);
    e->type = type;
    e->path = path;
    e->mode = mode;
    return e;
}

struct segment_entry *segment_add_file(struct segment_plan *plan, struct span path, uint32_t mode,
                                       struct span bytes)
{
    struct segment_entry *e = add(plan, ENTRY_FILE, path, mode);
    e->bytes = bytes;
    e->size = bytes.len;
    return e;
}

struct segment_entry *segment_add_dir(struct segment_plan *plan, struct span path, uint32_t mode)
{
    return add(plan, ENTRY_DIR, path, mode);
}

struct segment_entry *segment_add_symlink(struct segment_plan *plan, struct span path,
                                          struct span target)
{
    struct segment_entry *e = add(plan, ENTRY_SYMLINK, path, 0777);
    e->target = target;
    return e;
}

void entry_list_release(struct entry_list *list)
{
    free(list->v);
    *list = (struct entry_list){0};
}

static bool bad(const struct segment_entry *e, const char *why, struct err *err)
{
    char shown[200];
    return err_set(err, ERR_INVALID, "path %s: %s", tar_show(e->path, shown), why);
}

static bool check_entry(const struct segment_entry *e, struct err *err)
{
    if (!tar_check_path(e->path, err))
        return false;
    switch (e->type) {
    case ENTRY_FILE:
        if (!e->deflated.ptr && e->bytes.len != e->size)
            return bad(e, "its size is not that of its content", err);
        return true;
    case ENTRY_SYMLINK:
        if (e->target.len == 0 || e->target.len >= SEGMENT_PATH_MAX || span_has(e->target, '\0'))
            return bad(e, "a link's target must be 1 to 4095 bytes without NUL", err);
        return true;
    case ENTRY_HARDLINK: return tar_check_path(e->target, err) || err_wrap(err, "hard link");
    case ENTRY_DIR: return true;
    case ENTRY_WHITEOUT: return e->path.len + 4 <= SEGMENT_PATH_MAX || bad(e, "too long", err);
    }
    return bad(e, "unknown type", err);
}

static void as_whiteout(struct entry_item *item, struct arena *arena)
{
    struct segment_entry *e = &item->e;
    size_t at = span_find_last_char(e->path, '/');
    at = at == e->path.len ? 0 : at + 1;
    item->hidden = e->path;
    struct span name = span_skip(e->path, at);
    e->path = span_str(
        arena_printf(arena, "%.*s.wh.%.*s", (int)at, e->path.ptr, (int)name.len, name.ptr));
    e->mode = 0644;
    e->size = 0;
    e->bytes = e->deflated = e->target = (struct span){0};
}

static bool take_entry(struct entry_list *list, const struct segment_entry *e, int64_t epoch,
                       struct arena *arena, struct err *err)
{
    if (!check_entry(e, err))
        return false;
    struct entry_item *item = &list->v[list->n++];
    item->e = *e;
    item->e.mode &= 07777;
    if (item->e.mtime > epoch)
        item->e.mtime = epoch;
    if (item->e.mtime < 0)
        item->e.mtime = 0;
    if (e->type == ENTRY_WHITEOUT)
        as_whiteout(item, arena);
    if (e->type != ENTRY_FILE)
        item->e.size = 0;
    if (item->e.size > SEGMENT_MAX_BYTES ||
        (list->content_bytes += item->e.size) > SEGMENT_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "more than %llu bytes in one package",
                       SEGMENT_MAX_BYTES);
    return true;
}

static int by_path(const void *a, const void *b)
{
    const struct entry_item *x = a, *y = b;
    return span_cmp(x->e.path, y->e.path);
}

/* Folders that nobody listed, found by the map of those that somebody did. */
static bool add_parents(struct entry_list *list, struct err *err)
{
    AUTO_MAP struct map seen = {0};
    VEC(struct entry_item) more = {0};
    for (size_t i = 0; i < list->n; i++)
        map_put(&seen, list->v[i].e.path, &list->v[i]);
    for (size_t i = 0; i < list->n; i++) {
        struct span path = list->v[i].e.path;
        for (size_t at; (at = span_find_last_char(path, '/')) < path.len;) {
            path = span_slice(path, 0, at);
            void **there = map_at(&seen, path);
            if (*there)
                break; /* its own parents are there, or come with it */
            struct entry_item *item = VEC_PUSH(&more);
            *there = list; /* any value but NULL */
            item->e = (struct segment_entry){.path = path, .type = ENTRY_DIR, .mode = 0755};
            item->implied = true;
        }
    }
    bool ok = list->n + more.n <= SEGMENT_MAX_ENTRIES;
    if (!ok)
        err_set(err, ERR_TOO_LARGE, "more than %u files and folders in one package",
                SEGMENT_MAX_ENTRIES);
    list->v = mem_grow(list->v, list->n + more.n + 1, sizeof(*list->v));
    if (more.n)
        memcpy(list->v + list->n, more.v, more.n * sizeof(*more.v));
    list->n += more.n;
    VEC_FREE(&more);
    return ok;
}

/* Sorted already. Folders listed twice become one. */
static bool refuse_duplicates(struct entry_list *list, struct err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct entry_item *last = n ? &list->v[n - 1] : NULL, *item = &list->v[i];
        if (last && span_eq(last->e.path, item->e.path)) {
            if (last->e.type != ENTRY_DIR || item->e.type != ENTRY_DIR ||
                last->e.mode != item->e.mode || last->e.uid != item->e.uid ||
                last->e.gid != item->e.gid)
                return bad(&item->e, "is there twice", err);
            if (item->e.mtime > last->e.mtime) /* whichever came first: the order is no input */
                last->e.mtime = item->e.mtime;
            continue;
        }
        list->v[n++] = *item;
    }
    list->n = n;
    return true;
}

static struct entry_item *find(const struct entry_list *list, struct span path)
{
    struct entry_item key = {.e.path = path};
    return list->n ? bsearch(&key, list->v, list->n, sizeof(*list->v), by_path) : NULL;
}

static bool check_parents(const struct entry_list *list, struct err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        struct span path = list->v[i].e.path;
        size_t at = span_find_last_char(path, '/');
        const struct entry_item *parent =
            at < path.len ? find(list, span_slice(path, 0, at)) : NULL;
        if (parent && parent->e.type != ENTRY_DIR)
            return bad(&list->v[i].e, "what is above it is not a folder", err);
    }
    return true;
}

/* The file behind a hard link, through other hard links. */
static struct entry_item *link_root(const struct entry_list *list, const struct entry_item *link)
{
    struct entry_item *to = find(list, link->e.target);
    for (int depth = 0; to && to->e.type == ENTRY_HARDLINK && depth < 64; depth++)
        to = find(list, to->e.target);
    return to && to->e.type == ENTRY_FILE ? to : NULL;
}

/* A tar is read front to back, so of the names of one file the first in order must carry the
 * content, and the others link to it. */
static bool turn_links(struct entry_list *list, struct err *err)
{
    AUTO_MAP struct map first = {0}; /* the file's path -> the first of its names */
    bool any = false;
    for (size_t i = 0; i < list->n; i++) {
        struct entry_item *item = &list->v[i], *root;
        if (item->e.type != ENTRY_HARDLINK)
            continue;
        if (!(root = link_root(list, item)))
            return bad(&item->e, "its hard link's target is not a file of the package", err);
        item->e.target = root->e.path;
        void **at = map_at(&first, root->e.path);
        if (!*at)
            *at = item < root ? item : root;
        any = true;
    }
    for (size_t i = 0; any && i < list->n; i++) {
        struct entry_item *item = &list->v[i], *head;
        if (item->e.type == ENTRY_HARDLINK && (head = map_get(&first, item->e.target)) != item)
            item->e.target = head->e.path;
    }
    for (size_t i = 0; i < first.n; i++) {
        struct entry_item *head = first.v[i].value, *root = find(list, first.v[i].key);
        if (head == root)
            continue;
        struct span path = head->e.path;
        head->e = root->e;
        head->e.path = path;
        root->e.type = ENTRY_HARDLINK;
        root->e.target = path;
    }
    /* Names share one file and so all it has but the name. */
    for (size_t i = 0; any && i < list->n; i++) {
        struct entry_item *item = &list->v[i];
        const struct entry_item *root =
            item->e.type == ENTRY_HARDLINK ? find(list, item->e.target) : NULL;
        if (!root)
            continue;
        item->e.mode = root->e.mode;
        item->e.uid = root->e.uid;
        item->e.gid = root->e.gid;
        item->e.mtime = root->e.mtime;
        item->e.size = 0;
        item->e.bytes = item->e.deflated = (struct span){0};
    }
    return true;
}

/* Folders first, both parts in their order. */
static void put_folders_first(struct entry_list *list)
{
    struct entry_item *sorted = mem_array(list->n + 1, sizeof(*sorted));
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].e.type == ENTRY_DIR)
            sorted[n++] = list->v[i];
    list->folders = n;
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].e.type != ENTRY_DIR)
            sorted[n++] = list->v[i];
    free(list->v);
    list->v = sorted;
}

bool entry_list_make(struct entry_list *list, const struct segment_plan *plan, int64_t epoch,
                     struct err *err)
{
    size_t n = plan->entries.n;
    *list = (struct entry_list){0};
    if (n > SEGMENT_MAX_ENTRIES)
        return err_set(err, ERR_TOO_LARGE, "more than %u files and folders in one package",
                       SEGMENT_MAX_ENTRIES);
    list->v = mem_array(n + 1, sizeof(*list->v));
    for (size_t i = 0; i < n; i++)
        if (!take_entry(list, &plan->entries.v[i], epoch, plan->arena, err))
            return false;
    if (!add_parents(list, err))
        return false;
    qsort(list->v, list->n, sizeof(*list->v), by_path);
    if (!refuse_duplicates(list, err) || !check_parents(list, err) || !turn_links(list, err))
        return false;
    put_folders_first(list);
    return true;
}
