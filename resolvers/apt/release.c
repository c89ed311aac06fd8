/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/release.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "resolvers/apt/control.h"

#define MAX_KEYRINGS  32
#define KEYRING_BYTES (4u << 20)
#define GPGV_MS       20000

/* ---- keys ------------------------------------------------------------------------------------ */

bool apt_dearmour(struct span text, struct buf *out)
{
    struct span line;
    bool inside = false, body = false;
    AUTO_BUF struct buf base64 = BUF(KEYRING_BYTES * 2);
    size_t blocks = 0;
    while (span_next_line(&text, &line)) {
        line = span_trim(line);
        if (span_starts(line, SPAN("-----BEGIN PGP PUBLIC KEY BLOCK"))) {
            inside = true;
            body = false;
            buf_reset(&base64);
        } else if (inside && span_starts(line, SPAN("-----END"))) {
            char *to = buf_room(out, base64.len);
            size_t n = to ? base64_decode(buf_span(&base64), (uint8_t *)to) : SIZE_MAX;
            if (n == SIZE_MAX || base64.overflow)
                return false;
            out->len += n;
            inside = false;
            blocks++;
        } else if (inside && !body) {
            /* Armour headers end with an empty line; in a deb822 field that line is a dot. */
            body = line.len == 0 || span_eq(line, SPAN("."));
        } else if (inside && line.len && line.ptr[0] != '=') {
            buf_append(&base64, line);
        }
    }
    return blocks > 0;
}

/* A keyring as a file that gpgv reads: itself, or a binary copy of an armoured one. */
static bool usable_keyring(const char *keyring, char *path, size_t size, bool *copied,
                           struct err *err)
{
    AUTO_BUF struct buf text = BUF(KEYRING_BYTES), packets = BUF(KEYRING_BYTES);
    *copied = false;
    if (keyring[0] == '/') {
        if (!io_read_file(-1, keyring, &text, err))
            return err_wrap(err, "keyring");
    } else {
        buf_str(&text, keyring);
    }
    if (!apt_dearmour(buf_span(&text), &packets)) {
        if (keyring[0] != '/')
            return err_set(err, ERR_SIGNATURE, "Signed-By is neither a path nor a key block");
        snprintf(path, size, "%s", keyring);
        return true;
    }
    const char *tmp = getenv("TMPDIR");
    snprintf(path, size, "%s/strata-key-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
    int fd = mkstemp(path);
    if (fd < 0)
        return err_sys(err, "temporary keyring");
    *copied = true;
    bool ok = io_write_all(fd, buf_span(&packets), err);
    close(fd);
    return ok;
}

/* What gpgv says of each signature, a line each (gnupg, doc/DETAILS). One good one is enough, as
 * for apt: archives sign with old and new keys, of which we may not have all. A bad one is always
 * too much, whoever made it. *why: its last words for people. */
static bool is_good(struct span said, struct span *why)
{
    struct span line;
    size_t good = 0, bad = 0;
    while (span_next_line(&said, &line)) {
        good += span_starts(line, SPAN("[GNUPG:] GOODSIG "));
        bad += span_starts(line, SPAN("[GNUPG:] BADSIG "));
        if (span_trim(line).len && !span_starts(line, SPAN("[GNUPG:]")))
            *why = line;
    }
    return good > 0 && bad == 0;
}

static bool run_gpgv(struct span input, const char *const *argv, struct buf *out, struct err *err)
{
    AUTO_BUF struct buf said = BUF(64u << 10);
    struct span why = SPAN("no signature by a trusted key");
    int status = 0;
    struct proc p = {
        .argv = argv,
        .input = input,
        .out = out,
        .errout = &said,
        .timeout_ms = GPGV_MS,
    };
    if (!proc_run(&p, &status, err)) {
        if (err->code == ERR_NOT_FOUND)
            err_set(err, ERR_PLATFORM,
                    "signatures are checked with gpgv, which is not there; "
                    "run: apt-get install gpgv");
        return false;
    }
    if (is_good(buf_span(&said), &why) && !said.overflow && (!out || (out->len && !out->overflow)))
        return true;
    return err_set(err, ERR_SIGNATURE, "%.*s", SPAN_ARG(why));
}

/* One message, one block of signatures, nothing before and nothing after: else part of what gpgv
 * gives back might be covered by no good signature. */
static bool is_one_message(struct span text)
{
    size_t begins = 0, signatures = 0, ends = 0;
    struct span line;
    bool first = true;
    while (span_next_line(&text, &line)) {
        bool begin = span_starts(line, SPAN("-----BEGIN PGP SIGNED MESSAGE-----"));
        if (first != begin)
            return false;
        first = false;
        if (ends && span_trim(line).len)
            return false;
        begins += begin;
        signatures += span_starts(line, SPAN("-----BEGIN PGP SIGNATURE-----"));
        ends += span_starts(line, SPAN("-----END PGP SIGNATURE-----"));
    }
    return begins == 1 && signatures == 1 && ends == 1;
}

struct keys {
    char paths[MAX_KEYRINGS][512];
    bool copied[MAX_KEYRINGS];
    size_t count;
};

static bool keys_open(struct keys *k, const char *const *keyrings, size_t count, const char **argv,
                      size_t *argc, struct err *err)
{
    if (count == 0 || count > MAX_KEYRINGS)
        return err_set(err, ERR_SIGNATURE, "the source has no keyring; write Signed-By");
    for (; k->count < count; k->count++) {
        size_t i = k->count;
        if (!usable_keyring(keyrings[i], k->paths[i], sizeof(k->paths[i]), &k->copied[i], err))
            return false;
        argv[(*argc)++] = "--keyring";
        argv[(*argc)++] = k->paths[i];
    }
    return true;
}

static void keys_close(struct keys *k)
{
    while (k->count-- > 0)
        if (k->copied[k->count])
            unlink(k->paths[k->count]);
}

bool apt_release_verify(struct span signed_text, const char *const *keyrings, size_t count,
                        struct buf *out, struct err *err)
{
    const char *argv[2 * MAX_KEYRINGS + 10] = {
        "gpgv", "--ignore-time-conflict", "--status-fd", "2", "--output", "-"};
    struct keys keys = {0};
    size_t n = 6;
    if (!span_starts(signed_text, SPAN("-----BEGIN PGP SIGNED MESSAGE-----")))
        return err_set(err, ERR_SIGNATURE, "it is not signed");
    if (!is_one_message(signed_text))
        return err_set(err, ERR_SIGNATURE, "it is not one signed message");
    bool ok = keys_open(&keys, keyrings, count, argv, &n, err);
    argv[n++] = "-";
    ok = ok && run_gpgv(signed_text, argv, out, err);
    keys_close(&keys);
    return ok;
}

/* gpgv wants the signature in a file when the text is on its standard input. */
static bool write_signature(struct span signature, char *path, size_t size, struct err *err)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, size, "%s/strata-sig-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
    AUTO_FD int fd = mkstemp(path);
    if (fd < 0)
        return err_sys(err, "temporary signature");
    if (io_write_all(fd, signature, err))
        return true;
    unlink(path);
    return false;
}

bool apt_release_verify_detached(struct span text, struct span signature,
                                 const char *const *keyrings, size_t count, struct err *err)
{
    const char *argv[2 * MAX_KEYRINGS + 10] = {"gpgv", "--ignore-time-conflict", "--status-fd",
                                               "2"};
    struct keys keys = {0};
    char path[512];
    size_t n = 4;
    if (!write_signature(signature, path, sizeof(path), err))
        return false;
    bool ok = keys_open(&keys, keyrings, count, argv, &n, err);
    argv[n++] = path;
    argv[n++] = "-";
    ok = ok && run_gpgv(text, argv, NULL, err);
    keys_close(&keys);
    unlink(path);
    return ok;
}

/* ---- the file -------------------------------------------------------------------------------- */

int64_t apt_date_ms(struct span text)
{
    AUTO_FREE char *copy = mem_dup(text);
    struct tm tm = {0};
    const char *rest = strptime(copy, "%a, %d %b %Y %H:%M:%S", &tm);
    if (!rest)
        return 0;
    struct span zone = span_trim(span_str(rest));
    if (zone.len && !span_eq(zone, SPAN("UTC")) && !span_eq(zone, SPAN("GMT")) &&
        !span_eq(zone, SPAN("+0000")) && !span_eq(zone, SPAN("Z")))
        return 0;
    return (int64_t)timegm(&tm) * 1000;
}

/* It becomes part of an address: below the suite, and no blanks or control bytes. */
static bool path_is_plain(struct span path)
{
    for (size_t i = 0; i < path.len; i++)
        if ((unsigned char)path.ptr[i] <= 0x20 || path.ptr[i] == 0x7f)
            return false;
    return path.len > 0 && path.ptr[0] != '/' && span_find(path, SPAN("..")) == path.len;
}

/* " HEX SIZE PATH" lines. */
static void parse_files(struct apt_release *r, struct span value)
{
    struct span line, hex, rest, size;
    while (span_next_line(&value, &line)) {
        struct apt_release_file file;
        line = span_trim(line);
        if (!span_cut_char(line, ' ', &hex, &rest) ||
            !span_cut_char(span_trim(rest), ' ', &size, &rest) || !span_to_u64(size, &file.size) ||
            !digest_parse_hex(hex, &file.sha256))
            continue;
        struct span path = span_trim(rest);
        if (!path_is_plain(path))
            continue;
        struct apt_release_file *f = ARENA_NEW(r->arena, struct apt_release_file);
        *f = file;
        map_put(&r->files, arena_span(r->arena, path), f);
    }
}

static void set_field(struct apt_release *r, struct span key, struct span value)
{
    if (span_eq(key, SPAN("Origin")))
        r->origin = arena_span(r->arena, value);
    else if (span_eq(key, SPAN("Suite")))
        r->suite = arena_span(r->arena, value);
    else if (span_eq(key, SPAN("Codename")))
        r->codename = arena_span(r->arena, value);
    else if (span_eq(key, SPAN("Date")))
        r->date_ms = apt_date_ms(value);
    else if (span_eq(key, SPAN("Valid-Until")))
        r->valid_until_ms = apt_date_ms(value);
    else if (span_eq(key, SPAN("NotAutomatic")))
        r->not_automatic = span_eq(value, SPAN("yes"));
    else if (span_eq(key, SPAN("ButAutomaticUpgrades")))
        r->but_automatic_upgrades = span_eq(value, SPAN("yes"));
    else if (span_eq(key, SPAN("Acquire-By-Hash")))
        r->by_hash = span_eq(value, SPAN("yes"));
    else if (span_eq(key, SPAN("SHA256")))
        parse_files(r, value);
}

bool apt_release_parse(struct span text, struct apt_release **out, struct err *err)
{
    struct apt_release *r = MEM_NEW(struct apt_release);
    struct span key, value, stanza;
    r->arena = arena_new();
    r->origin = r->suite = r->codename = SPAN("");
    if (control_stanza(&text, &stanza))
        while (control_field(&stanza, &key, &value))
            set_field(r, key, value);
    if (r->files.n == 0) {
        apt_release_free(r);
        return err_set(err, ERR_BAD_ARCHIVE, "the Release file lists no SHA256 sums");
    }
    *out = r;
    return true;
}

void apt_release_free(struct apt_release *r)
{
    if (!r)
        return;
    map_release(&r->files);
    arena_free(r->arena);
    free(r);
}

const struct apt_release_file *apt_release_file(const struct apt_release *r, const char *path)
{
    return map_get(&r->files, span_str(path));
}

int apt_release_pin(const struct apt_release *r)
{
    return !r->not_automatic ? 500 : r->but_automatic_upgrades ? 100 : 1;
}
