/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/io.h"
#include "base/proc.h"
#include "cache/store.h"
#include "resolvers/platform.h"
#include "resolvers/platform_priv.h"

/* Part of every memo's key: raise it when what is asked of the interpreters changes. */
#define PROBE_VERSION 1

/* Long enough for a cold disk on a busy machine. */
#define PROBE_TIMEOUT_MS 20000

#define MAX_ANSWER   (16u << 10)
#define MAX_BIN_DIRS 64

/* Says name=value lines: one run, no import but `platform` itself. */
static const char python_script[] =
    "import os,sys,platform as p\n"
    "i=sys.implementation;v=i.version\n"
    "k='' if v.releaselevel=='final' else v.releaselevel[0]+str(v.serial)\n"
    "for n,x in (('implementation_name',i.name),\n"
    " ('implementation_version','%d.%d.%d'%v[:3]+k),('os_name',os.name),\n"
    " ('platform_machine',p.machine()),\n"
    " ('platform_python_implementation',p.python_implementation()),\n"
    " ('platform_release',p.release()),('platform_system',p.system()),\n"
    " ('platform_version',p.version()),('python_full_version',p.python_version()),\n"
    " ('python_version','.'.join(p.python_version_tuple()[:2])),\n"
    " ('sys_platform',sys.platform),('abiflags',getattr(sys,'abiflags',''))):\n"
    " sys.stdout.write(n+'='+x+'\\n')\n";

struct search {
    const struct platform_options *options;
    struct arena *arena;
    const char *bin_dirs[MAX_BIN_DIRS + 1];
    const char *masked_dirs[4];
    json_t *notes;
};

static void note(struct search *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct search *s, const char *fmt, ...)
{
    char text[2 * PATH_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    json_t *line = json_span(span_str(text));
    if (line)
        json_array_append_new(s->notes, line);
}

static void search_dirs(struct search *s)
{
    static const char *const first[] = {"/usr/bin", "/usr/local/bin", "/bin"};
    size_t n = 0;
    if (s->options->bin_dirs) {
        while (n < MAX_BIN_DIRS && s->options->bin_dirs[n])
            s->bin_dirs[n] = s->options->bin_dirs[n], n++;
        return;
    }
    while (n < COUNT(first))
        s->bin_dirs[n] = first[n], n++;
    struct span path = span_str(getenv("PATH")), dir;
    while (n < MAX_BIN_DIRS && span_next(&path, ':', &dir))
        if (dir.len > 0 && dir.ptr[0] == '/')
            s->bin_dirs[n++] = arena_str(s->arena, dir);
}

/* The home directories, which a session does not see: all of them, root's, and ours. */
static void search_masks(struct search *s)
{
    size_t n = 0;
    if (s->options->masked_dirs) {
        for (; n + 1 < COUNT(s->masked_dirs) && s->options->masked_dirs[n]; n++)
            s->masked_dirs[n] = s->options->masked_dirs[n];
        return;
    }
    char text[4096], real[PATH_MAX];
    struct passwd entry, *found = NULL;
    const char *home = getenv("HOME");
    s->masked_dirs[n++] = "/home";
    if (getpwuid_r(0, &entry, text, sizeof(text), &found) == 0 && found)
        s->masked_dirs[n++] = arena_str(s->arena, span_str(found->pw_dir));
    if (home && realpath(home, real))
        s->masked_dirs[n++] = arena_str(s->arena, span_str(real));
}

static bool is_masked(const struct search *s, const char *real)
{
    for (size_t i = 0; s->masked_dirs[i]; i++) {
        size_t len = strlen(s->masked_dirs[i]);
        if (len > 1 && strncmp(real, s->masked_dirs[i], len) == 0 && real[len] == '/')
            return true;
    }
    return false;
}

/* The real path of DIR/NAME when a session can run it. */
static bool usable(struct search *s, const char *dir, const char *name, char real[PATH_MAX],
                   struct stat *st)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
        !realpath(path, real) || stat(real, st) != 0 || !S_ISREG(st->st_mode) ||
        access(real, X_OK) != 0)
        return false;
    if (!is_masked(s, real))
        return true;
    note(s, "%s: passed over: it lies in a home directory, which sessions do not see", path);
    return false;
}

static struct digest memo_key(const char *real, const struct stat *st)
{
    AUTO_BUF struct buf b = BUF(2 * PATH_MAX);
    buf_printf(&b, "%d %s %llu %llu %lld.%09ld %lld", PROBE_VERSION, real,
               (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
               (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_size);
    return digest_of(buf_span(&b));
}

/* The answer of a program, from the store's memory or by running it. */
static bool ask(struct search *s, const char *kind, const char *const *argv, const struct stat *st,
                struct buf *out)
{
    struct store *store = s->options->store;
    struct digest key = memo_key(argv[0], st);
    struct err err = {0};
    int status = 0;
    /* No variable of ours may change what an interpreter says. */
    static const char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL};
    if (store && store_memo_get(store, kind, &key, out, NULL))
        return true;
    struct proc p = {
        .argv = argv, .env = env, .cwd = "/", .out = out, .timeout_ms = PROBE_TIMEOUT_MS};
    if (!proc_run(&p, &status, &err)) {
        note(s, "%s: passed over: %s", argv[0], err.text);
        return false;
    }
    if (status != 0 || out->overflow) {
        note(s, "%s: passed over: asked for its version, it ended with status %d", argv[0], status);
        return false;
    }
    if (store)
        store_memo_put(store, kind, &key, buf_span(out));
    return true;
}

static bool python_answer(struct search *s, const char *real, struct span text, json_t *markers)
{
    struct span line, name, value, flags = SPAN("");
    while (span_next_line(&text, &line)) {
        if (!span_cut_char(line, '=', &name, &value) || name.len > 64)
            continue;
        char key[65];
        memcpy(key, name.ptr, name.len);
        key[name.len] = '\0';
        if (strcmp(key, "abiflags") == 0)
            flags = value;
        else
            json_put_span(markers, key, value);
    }
    if (flags.len > 0 && !span_eq(flags, SPAN("m"))) {
        note(s, "%s: passed over: a build with ABI flags \"%.*s\" takes other wheels", real,
             SPAN_ARG(flags));
        return false;
    }
    return true;
}

static bool probe_python(struct search *s, struct platform_box *b, const char *dir)
{
    char real[PATH_MAX];
    struct stat st;
    AUTO_BUF struct buf out = BUF(MAX_ANSWER);
    if (!usable(s, dir, "python3", real, &st))
        return false;
    const char *argv[] = {real, "-I", "-S", "-c", python_script, NULL};
    if (!ask(s, "python", argv, &st, &out))
        return false;
    AUTO_JSON json_t *markers = json_object();
    if (!python_answer(s, real, buf_span(&out), markers))
        return false;
    platform_kernel_markers(markers); /* the answer may be from before a reboot */
    if (!platform_take_markers(b, markers)) {
        note(s, "%s: passed over: it does not tell its PEP 508 markers", real);
        return false;
    }
    b->p.python_program = arena_str(b->arena, span_str(real));
    return true;
}

/* "#define NAME 20" in node's version header. */
static bool header_number(struct span text, const char *name, unsigned *out)
{
    AUTO_BUF struct buf needle = BUF(128);
    uint64_t number;
    buf_printf(&needle, "#define %s ", name);
    size_t at = span_find(text, buf_span(&needle));
    struct span rest = span_skip(text, at + needle.len), line;
    if (at == text.len || !span_next_line(&rest, &line) || !span_to_u64(span_trim(line), &number) ||
        number > 9999)
        return false;
    *out = (unsigned)number;
    return true;
}

/* Running node costs 40 ms; its headers, installed with it, cost nothing. They are believed
 * when they are of the same day as the program: one package's files are. */
static const char *node_header_version(struct arena *a, const char *real, const struct stat *st)
{
    char path[PATH_MAX];
    struct stat header;
    struct err err;
    unsigned v[3];
    AUTO_BUF struct buf text = BUF(MAX_ANSWER);
    struct span bin = span_str(real), prefix;
    if (!span_ends(bin, SPAN("/bin/node")))
        return NULL;
    prefix = span_slice(bin, 0, bin.len - strlen("/bin/node"));
    if (snprintf(path, sizeof(path), "%.*s/include/node/node_version.h", SPAN_ARG(prefix)) >=
            (int)sizeof(path) ||
        stat(path, &header) != 0 || llabs(header.st_mtim.tv_sec - st->st_mtim.tv_sec) > 86400 ||
        !io_read_file(AT_FDCWD, path, &text, &err))
        return NULL;
    if (!header_number(buf_span(&text), "NODE_MAJOR_VERSION", &v[0]) ||
        !header_number(buf_span(&text), "NODE_MINOR_VERSION", &v[1]) ||
        !header_number(buf_span(&text), "NODE_PATCH_VERSION", &v[2]))
        return NULL;
    return arena_printf(a, "%u.%u.%u", v[0], v[1], v[2]);
}

static bool is_version(struct span v)
{
    struct span rest = v, piece;
    int n = 0;
    while (span_next(&rest, '.', &piece))
        if (n++ < 3 && (piece.len == 0 || piece.ptr[0] < '0' || piece.ptr[0] > '9'))
            return false;
    return n >= 3 && v.len < 64;
}

static bool probe_node(struct search *s, struct platform_box *b, const char *dir)
{
    static const char *const names[] = {"node", "nodejs"};
    char real[PATH_MAX];
    struct stat st;
    AUTO_BUF struct buf out = BUF(MAX_ANSWER);
    if (!usable(s, dir, names[0], real, &st) && !usable(s, dir, names[1], real, &st))
        return false;
    const char *version = node_header_version(b->arena, real, &st);
    if (!version) {
        const char *argv[] = {real, "--version", NULL};
        if (!ask(s, "node", argv, &st, &out))
            return false;
        struct span text = span_trim(buf_span(&out));
        if (span_starts(text, SPAN("v")))
            text = span_skip(text, 1);
        if (!is_version(text)) {
            note(s, "%s: passed over: \"%.*s\" is no version", real, SPAN_ARG(text));
            return false;
        }
        version = arena_str(b->arena, text);
    }
    b->p.node = version;
    b->p.node_program = arena_str(b->arena, span_str(real));
    return true;
}

/* npm's version is in its package.json, beside the folder of the program. */
static bool probe_npm(struct search *s, struct platform_box *b, const char *dir)
{
    char real[PATH_MAX], path[PATH_MAX];
    struct stat st;
    struct err err;
    struct span folder, rest;
    AUTO_BUF struct buf text = BUF(1u << 20);
    if (!usable(s, dir, "npm", real, &st) ||
        !span_cut_last_char(span_str(real), '/', &folder, &rest) ||
        !span_cut_last_char(folder, '/', &folder, &rest) ||
        snprintf(path, sizeof(path), "%.*s/package.json", SPAN_ARG(folder)) >= (int)sizeof(path) ||
        !io_read_file(AT_FDCWD, path, &text, &err))
        return false;
    AUTO_JSON json_t *package = json_parse(buf_span(&text), &err);
    struct span name = json_get_span(package, "name"), version = json_get_span(package, "version");
    if (!name.ptr || !span_eq(name, SPAN("npm")) || !version.ptr || !is_version(version))
        return false;
    b->p.npm = arena_str(b->arena, version);
    return true;
}

static void probe_first(struct search *s, struct platform_box *b,
                        bool (*probe)(struct search *s, struct platform_box *b, const char *dir))
{
    for (size_t i = 0; s->bin_dirs[i]; i++)
        if (probe(s, b, s->bin_dirs[i]))
            return;
}

/* "/bin" is "/usr/bin" on most machines, and PATH names both again. */
static void drop_repeated_dirs(struct search *s)
{
    char real[PATH_MAX];
    size_t n = 0;
    for (size_t i = 0; s->bin_dirs[i]; i++) {
        bool seen = !realpath(s->bin_dirs[i], real);
        for (size_t k = 0; k < n && !seen; k++)
            seen = strcmp(s->bin_dirs[k], real) == 0;
        if (!seen)
            s->bin_dirs[n++] = arena_str(s->arena, span_str(real));
    }
    s->bin_dirs[n] = NULL;
}

void platform_probe(const struct platform_options *options, struct platform **out, json_t **notes)
{
    AUTO_ARENA struct arena *arena = arena_new();
    struct search s = {.options = options, .arena = arena, .notes = json_array()};
    struct platform_box *b = platform_box_new();
    struct utsname u;
    search_dirs(&s);
    drop_repeated_dirs(&s);
    search_masks(&s);
    b->p.arch = uname(&u) == 0 ? arena_str(b->arena, span_str(u.machine)) : "";
    b->p.libc = "glibc";
    b->p.libc_version = arena_str(b->arena, span_str(gnu_get_libc_version()));
    probe_first(&s, b, probe_python);
    probe_first(&s, b, probe_node);
    probe_first(&s, b, probe_npm);
    if (notes)
        *notes = json_incref(s.notes);
    json_decref(s.notes);
    *out = &b->p;
}
