/* SPDX-License-Identifier: Apache-2.0 */
/* Projects: their page, the releases on it, and the best file of each. */
#include "resolvers/pip/links.h"
#include "resolvers/pip/resolve_priv.h"

static void page_done(struct registry_get *get);

struct pip_project *pip_project(struct pip_resolve *r, struct span name)
{
    struct pip_project *p = map_get(&r->projects, name);
    if (p || r->project_list.n >= PIP_MAX_PROJECTS)
        return p;
    p = ARENA_NEW(r->arena, struct pip_project);
    p->resolve = r;
    p->name = arena_span(r->arena, name);
    p->guess_set = p->root_set = version_set_all();
    map_put(&r->projects, p->name, p);
    *VEC_PUSH(&r->project_list) = p;
    return p;
}

/* Newest first; of one version the page's order stays. */
static int newer_first(const void *a, const void *b)
{
    const struct pip_file *x = *(const struct pip_file *const *)a;
    const struct pip_file *y = *(const struct pip_file *const *)b;
    int r = pip_version_cmp(&y->version, &x->version);
    if (r == 0)
        r = (x->source > y->source) - (x->source < y->source);
    return r ? r : (x > y) - (x < y);
}

static void make_releases(struct pip_project *p)
{
    struct arena *a = p->resolve->arena;
    size_t n = 0;
    for (size_t k = 0; k < p->source_count; k++)
        n += p->sources[k].page.files.n;
    p->sorted = arena_array(a, n, sizeof(*p->sorted));
    n = 0;
    for (size_t k = 0; k < p->source_count; k++) {
        struct pip_page *page = &p->sources[k].page;
        for (size_t i = 0; i < page->files.n; i++) {
            page->files.v[i].source = (uint8_t)k;
            p->sorted[n++] = &page->files.v[i];
        }
    }
    qsort(p->sorted, n, sizeof(p->sorted[0]), newer_first);
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += i == 0 || pip_version_cmp(&p->sorted[i - 1]->version, &p->sorted[i]->version) != 0;
    p->releases = arena_array(a, count, sizeof(*p->releases));
    for (size_t i = 0; i < n; i++) {
        struct pip_release *last = p->release_count ? &p->releases[p->release_count - 1] : NULL;
        if (!last || pip_version_cmp(&last->version, &p->sorted[i]->version) != 0) {
            last = &p->releases[p->release_count++];
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an arena never gives NULL */
            last->project = p;
            last->version = p->sorted[i]->version;
            last->first = i;
        }
        last->count++;
    }
}

/* "name @ url": one file, which is what the URL says it is. */
static bool make_direct(struct pip_project *p)
{
    struct arena *a = p->resolve->arena;
    struct pip_file f = {.size = -1};
    struct span path = span_slice(p->direct_url, 0, span_find_char(p->direct_url, '?'));
    size_t slash = span_find_last_char(path, '/');
    AUTO_BUF struct buf name = BUF(1024);
    url_percent_decode(span_skip(path, slash < path.len ? slash + 1 : 0), &name);
    f.filename = arena_span(a, buf_span(&name));
    f.url = p->direct_url;
    char hex[DIGEST_HEX_SIZE];
    f.sha256 = arena_span(a, span_str(digest_hex(&p->direct_digest, hex)));
    if (!pip_file_name(&f, p->name, a))
        return err_set(&p->err, ERR_INVALID,
                       "%.*s @ %.*s: the last part of the URL is no file name of a wheel or sdist "
                       "of %.*s",
                       SPAN_ARG(p->name), SPAN_ARG(p->direct_url), SPAN_ARG(p->name));
    p->source_count = 1;
    p->sources = arena_array(a, 1, sizeof(*p->sources));
    *VEC_PUSH(&p->sources[0].page.files) = f;
    make_releases(p);
    return true;
}

static void ask(struct pip_source *s, const char *path)
{
    struct pip_resolve *r = s->project->resolve;
    s->state = PIP_FETCHING;
    s->get = (struct registry_get){.path = path,
                                   .accept = PIP_INDEX_ACCEPT,
                                   .ttl_ms = PIP_PAGE_TTL_MS,
                                   .max_bytes = PIP_MAX_PAGE,
                                   .priority = 10,
                                   .done = page_done,
                                   .ctx = s};
    r->pending++;
    registry_get(r->job->registry, &s->get);
}

/* find-links: pages that are the same for all projects, and files of this machine. */
static void ask_links(struct pip_project *p, const json_t *links)
{
    struct arena *a = p->resolve->arena;
    size_t i;
    json_t *v;
    json_array_foreach (links, i, v) {
        struct span link = span_of(json_string_value(v), json_string_length(v));
        if (!json_is_string(v) || p->source_count == PIP_MAX_INDEXES)
            continue;
        struct pip_source *s = &p->sources[p->source_count++];
        s->only_if_any = true;
        if (pip_link_is_page(link)) {
            p->sources_left++;
            ask(s, arena_str(a, link));
        } else {
            pip_links_list(link, p->name, a, &s->page);
            s->state = s->page.files.n ? PIP_READY : PIP_MISSING;
        }
    }
}

/* All indexes count alike, as with pip. */
static void ask_sources(struct pip_project *p)
{
    struct pip_resolve *r = p->resolve;
    const struct registry *registry = registry_of(r->job->registry);
    const char *path = arena_printf(r->arena, "%.*s/", SPAN_ARG(p->name));
    p->sources = arena_array(r->arena, PIP_MAX_INDEXES, sizeof(*p->sources));
    for (size_t i = 0; i < PIP_MAX_INDEXES; i++)
        p->sources[i].project = p;
    p->source_count = 1;
    for (size_t i = 0; i < registry->extra_count && p->source_count < PIP_MAX_INDEXES; i++)
        p->source_count += !registry->extra[i].scope;
    p->sources_left = p->source_count;
    ask(&p->sources[0], path);
    for (size_t i = 0, k = 1; k < p->source_count; i++)
        if (!registry->extra[i].scope)
            ask(&p->sources[k++], arena_printf(r->arena, "%s%s", registry->extra[i].url, path));
    ask_links(p, json_object_get(r->job->details, "find_links"));
}

static bool page_take(struct pip_source *s, const struct registry_get *get)
{
    struct pip_project *p = s->project;
    struct arena *a = p->resolve->arena;
    s->state = PIP_FAILED;
    if (get->err.code != ERR_NONE) {
        p->err = get->err;
        return err_wrap(&p->err, "index page of %.*s", SPAN_ARG(p->name));
    }
    if (get->status != 200) {
        s->state = PIP_MISSING;
        return true;
    }
    struct span body = arena_span(a, get->body);
    if (!pip_page_parse(&s->page, body, get->content_type, p->name, a, &p->err))
        return err_wrap(&p->err, "index page of %.*s", SPAN_ARG(p->name));
    s->page_url = arena_str(a, span_str(get->url));
    s->state = s->only_if_any && s->page.files.n == 0 ? PIP_MISSING : PIP_READY;
    return true;
}

/* The last page is there. */
static void pages_taken(struct pip_project *p)
{
    bool found = false;
    for (size_t i = 0; i < p->source_count; i++)
        found |= p->sources[i].state == PIP_READY;
    p->state = found ? PIP_READY : PIP_MISSING;
    if (!found)
        return;
    make_releases(p);
    pip_announce(p);
    pip_scout_page(p);
}

static void page_done(struct registry_get *get)
{
    struct pip_source *s = get->ctx;
    struct pip_project *p = s->project;
    struct pip_resolve *r = p->resolve;
    r->pending--;
    p->sources_left--;
    if (r->ending)
        s->state = PIP_FAILED;
    else if (!page_take(s, get))
        p->state = PIP_FAILED;
    else if (p->sources_left == 0 && p->state == PIP_FETCHING)
        pages_taken(p);
    pip_kick(r);
}

void pip_project_want(struct pip_project *p)
{
    struct pip_resolve *r = p->resolve;
    if (p->state != PIP_UNKNOWN || r->ending)
        return;
    if (p->direct_url.len) {
        p->state = make_direct(p) ? PIP_READY : PIP_FAILED;
        if (p->state == PIP_READY) {
            pip_announce(p);
            pip_scout_page(p);
        }
        pip_kick(r);
        return;
    }
    p->state = PIP_FETCHING;
    ask_sources(p);
}

struct pip_release *pip_release_at(const struct pip_project *p, struct span key)
{
    size_t from = 0, to = p->release_count;
    while (from < to) { /* newest first */
        size_t mid = (from + to) / 2;
        int c = span_cmp(pip_key_order(p->releases[mid].version.key), pip_key_order(key));
        if (c == 0)
            return &p->releases[mid];
        if (c > 0)
            from = mid + 1;
        else
            to = mid;
    }
    return NULL;
}

/* What is no valid specifier restricts nothing, as with pip. */
bool pip_python_fits(struct pip_resolve *r, struct span requires_python)
{
    if (requires_python.len == 0)
        return true;
    void **known = map_at(&r->pythons, requires_python);
    if (!*known) {
        struct pip_specs specs;
        bool fits = !pip_specs_parse(requires_python, r->arena, &specs, NULL) ||
                    pip_specs_match(&specs, &r->python);
        *known = fits ? r : (void *)&r->pythons;
    }
    return *known == r;
}

struct candidate {
    const struct pip_file *file;
    struct pip_wheel_name name; /* of a wheel */
    uint32_t rank;              /* of an sdist: behind all wheels */
};

static enum pip_unusable judge_file(struct pip_resolve *r, struct candidate *c, bool direct)
{
    const struct policy *policy = r->job->policy;
    const struct pip_file *f = c->file;
    c->rank = PIP_NO_RANK - 1;
    if (f->wheel) {
        if (!pip_wheel_name_parse(f->filename, &c->name))
            return PIP_BAD_PLATFORM;
        c->rank = pip_wheel_rank(&r->tags, &c->name);
        if (c->rank == PIP_NO_RANK)
            return PIP_BAD_PLATFORM;
    } else if (policy->only_binary) {
        return PIP_NOT_BINARY;
    }
    if (!pip_python_fits(r, f->requires_python))
        return PIP_BAD_PYTHON;
    if (policy->exclude_newer_ms && !direct) {
        int64_t upload_ms = pip_file_upload_ms(f);
        if (upload_ms == PIP_UPLOAD_UNKNOWN)
            return PIP_NO_UPLOAD_TIME;
        if (upload_ms >= policy->exclude_newer_ms)
            return PIP_TOO_NEW;
    }
    return PIP_USABLE;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
    if (!b->file)
        return true;
    if (a->file->yanked != b->file->yanked)
        return !a->file->yanked;
    if (a->rank != b->rank)
        return a->rank < b->rank;
    if (!a->file->wheel || !b->file->wheel) {
        /* Of two sdists .tar.gz, as PEP 625 has it. */
        return span_ends(a->file->filename, SPAN(".tar.gz")) &&
               !span_ends(b->file->filename, SPAN(".tar.gz"));
    }
    return pip_build_cmp(&a->name, &b->name) > 0;
}

void pip_release_judge(struct pip_release *rel)
{
    struct pip_project *p = rel->project;
    struct candidate best = {0};
    if (rel->judged)
        return;
    rel->judged = true;
    rel->unusable = PIP_BAD_PLATFORM;
    for (size_t i = 0; i < rel->count; i++) {
        struct candidate c = {.file = p->sorted[rel->first + i]};
        enum pip_unusable why = judge_file(p->resolve, &c, p->direct_url.len > 0);
        if (why != PIP_USABLE) {
            if (why != PIP_BAD_PLATFORM)
                rel->unusable = why;
        } else if (better(&c, &best)) {
            best = c;
        }
    }
    if (best.file) {
        rel->unusable = PIP_USABLE;
        rel->file = best.file;
        rel->yanked = best.file->yanked;
    }
}
