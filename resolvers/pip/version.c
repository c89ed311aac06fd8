/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing, and the key:
 *
 *     num(epoch)  { num(release) }...  0x00          the base
 *     0x01 dev only | 0x02 num a | 0x03 num b | 0x04 num rc | 0x05 none
 *     0x01 no post | 0x02 num post
 *     0x01 num dev | 0x02 no dev                     so far the public version
 *     { 0x01 text 0x00 | 0x02 num }...  0x00         local
 *     zeros                                          trailing zeros of the release
 *
 * num(n) is 1 + its length in bytes, then the bytes, big end first. Bounds that are no
 * version end in 0xff, which no part begins with. */
#include "resolvers/pip/version.h"

#include "base/buf.h"
#include "resolvers/pip/version_priv.h"

#define MAX_TEXT 256

enum { PHASE_DEV = 1, PHASE_A, PHASE_B, PHASE_RC, PHASE_FINAL };

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool alnum(char c)
{
    c = lower(c);
    return digit(c) || (c >= 'a' && c <= 'z');
}

static bool separator(char c)
{
    return c == '-' || c == '_' || c == '.';
}

struct cursor {
    const char *p, *end;
};

static bool at_digit(const struct cursor *c)
{
    return c->p < c->end && digit(*c->p);
}

/* Digits at the cursor; false: none, or too many. */
static bool take_number(struct cursor *c, pip_num *out)
{
    const pip_num limit = ((pip_num)-1) / 10 - 1;
    if (!at_digit(c))
        return false;
    for (*out = 0; at_digit(c); c->p++) {
        if (*out > limit)
            return false;
        *out = *out * 10 + (unsigned)(*c->p - '0');
    }
    return true;
}

/* The word, in any case, if it is next. */
static bool take_word(struct cursor *c, struct span word)
{
    if ((size_t)(c->end - c->p) < word.len || !span_eq_nocase(span_of(c->p, word.len), word))
        return false;
    c->p += word.len;
    return true;
}

/* [-_.]? then one of the words, then [-_.]? and a number, which may be missing (0). Returns
 * the index of the word, or -1 with the cursor where it was. `bad`: a number too long. */
static int take_part(struct cursor *c, const struct span *words, int count, pip_num *n, bool *bad)
{
    struct cursor t = *c;
    if (t.p < t.end && separator(*t.p))
        t.p++;
    for (int i = 0; i < count; i++) {
        if (!take_word(&t, words[i]))
            continue;
        if (t.p < t.end && separator(*t.p) && t.p + 1 < t.end && digit(t.p[1]))
            t.p++;
        *n = 0;
        if (at_digit(&t))
            *bad |= !take_number(&t, n);
        /* A separator with no number behind it belongs to this part only when nothing else
         * can use it: "1.0a-.dev1" and "1.0a-" are versions. */
        else if (t.p < t.end && separator(*t.p) &&
                 (t.p + 1 == t.end || separator(t.p[1]) || t.p[1] == '+'))
            t.p++;
        *c = t;
        return i;
    }
    return -1;
}

static bool take_release(struct cursor *c, struct pip_parts *v)
{
    pip_num n;
    if (!take_number(c, &n))
        return false;
    if (c->p < c->end && *c->p == '!') {
        v->epoch = n;
        c->p++;
        if (!take_number(c, &n))
            return false;
    }
    v->release[v->release_count++] = n;
    while (c->end - c->p > 1 && *c->p == '.' && digit(c->p[1])) {
        c->p++;
        if (v->release_count == PIP_MAX_RELEASE || !take_number(c, &n))
            return false;
        v->release[v->release_count++] = n;
    }
    return true;
}

static bool take_suffix(struct cursor *c, struct pip_parts *v)
{
    static const struct span pre[] = {SPAN_INIT("alpha"), SPAN_INIT("a"),       SPAN_INIT("beta"),
                                      SPAN_INIT("b"),     SPAN_INIT("preview"), SPAN_INIT("pre"),
                                      SPAN_INIT("rc"),    SPAN_INIT("c")};
    static const unsigned char phase[] = {PHASE_A,  PHASE_A,  PHASE_B,  PHASE_B,
                                          PHASE_RC, PHASE_RC, PHASE_RC, PHASE_RC};
    static const struct span post[] = {SPAN_INIT("post"), SPAN_INIT("rev"), SPAN_INIT("r")};
    static const struct span dev[] = {SPAN_INIT("dev")};
    bool bad = false;
    int which = take_part(c, pre, (int)COUNT(pre), &v->pre, &bad);
    v->phase = which < 0 ? PHASE_FINAL : phase[which];
    if (c->end - c->p > 1 && *c->p == '-' && digit(c->p[1])) {
        c->p++;
        v->has_post = true;
        bad |= !take_number(c, &v->post);
    } else {
        v->has_post = take_part(c, post, (int)COUNT(post), &v->post, &bad) >= 0;
    }
    v->has_dev = take_part(c, dev, 1, &v->dev, &bad) >= 0;
    if (v->phase == PHASE_FINAL && !v->has_post && v->has_dev)
        v->phase = PHASE_DEV;
    return !bad;
}

/* +label(.label)*, the rest of the text. */
static bool take_local(struct cursor *c, struct pip_parts *v)
{
    if (c->p == c->end)
        return true;
    if (*c->p++ != '+' || c->p == c->end)
        return false;
    v->local = span_of(c->p, (size_t)(c->end - c->p));
    for (size_t i = 0; i < v->local.len; i++) {
        bool edge = i == 0 || i + 1 == v->local.len;
        char ch = v->local.ptr[i];
        if (!alnum(ch) && (edge || !separator(ch) || separator(v->local.ptr[i + 1])))
            return false;
    }
    c->p = c->end;
    return true;
}

bool pip_parts_parse(struct span text, struct pip_parts *v)
{
    text = span_trim(text);
    v->epoch = v->pre = v->post = v->dev = 0;
    v->release_count = 0;
    v->local = SPAN("");
    if (text.len == 0 || text.len > MAX_TEXT)
        return false;
    struct cursor c = {text.ptr, text.ptr + text.len};
    if (lower(*c.p) == 'v')
        c.p++;
    return take_release(&c, v) && take_suffix(&c, v) && take_local(&c, v);
}

static void put_byte(struct pip_key *k, unsigned b)
{
    k->bytes[k->len++] = (char)b;
}

static void put_number(struct pip_key *k, pip_num n)
{
    unsigned bytes = 0;
    for (pip_num m = n; m; m >>= 8)
        bytes++;
    put_byte(k, bytes + 1);
    while (bytes--)
        put_byte(k, (unsigned)(n >> (8 * bytes)) & 0xff);
}

static void put_base(struct pip_key *k, const struct pip_parts *v)
{
    size_t n = v->release_count;
    while (n > 0 && v->release[n - 1] == 0)
        n--;
    k->len = 0;
    put_number(k, v->epoch);
    for (size_t i = 0; i < n; i++)
        put_number(k, v->release[i]);
    put_byte(k, 0);
}

static void put_pre(struct pip_key *k, const struct pip_parts *v)
{
    put_byte(k, v->phase);
    if (v->phase != PHASE_DEV && v->phase != PHASE_FINAL)
        put_number(k, v->pre);
}

void pip_key_public(struct pip_key *k, const struct pip_parts *v)
{
    put_base(k, v);
    put_pre(k, v);
    put_byte(k, v->has_post ? 2 : 1);
    if (v->has_post)
        put_number(k, v->post);
    put_byte(k, v->has_dev ? 1 : 2);
    if (v->has_dev)
        put_number(k, v->dev);
}

void pip_key_after_posts(struct pip_key *k, const struct pip_parts *v)
{
    put_base(k, v);
    put_pre(k, v);
    put_byte(k, 0xff);
}

void pip_key_local(struct pip_key *k, const struct pip_parts *v)
{
    for (size_t i = 0; i < v->local.len;) {
        size_t to = i;
        while (to < v->local.len && !separator(v->local.ptr[to]))
            to++;
        struct cursor c = {v->local.ptr + i, v->local.ptr + to};
        pip_num n;
        if (take_number(&c, &n) && c.p == c.end) {
            put_byte(k, 2);
            put_number(k, n);
        } else {
            put_byte(k, 1);
            for (; i < to; i++)
                put_byte(k, (unsigned char)lower(v->local.ptr[i]));
            put_byte(k, 0);
        }
        i = to + 1;
    }
    put_byte(k, 0);
}

void pip_key_zeros(struct pip_key *k, const struct pip_parts *v)
{
    size_t zeros = 0;
    while (zeros < v->release_count && v->release[v->release_count - 1 - zeros] == 0)
        zeros++;
    put_byte(k, (unsigned)(zeros > 254 ? 254 : zeros));
}

static void text_number(struct buf *b, pip_num n)
{
    char digits[40];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + (int)(n % 10));
    while (n /= 10);
    buf_append(b, span_of(digits + at, sizeof(digits) - at));
}

static void text_part(struct buf *b, const char *word, pip_num n)
{
    buf_str(b, word);
    text_number(b, n);
}

static void text_local(struct buf *b, struct span local)
{
    char join = '+';
    for (size_t i = 0; i < local.len;) {
        size_t to = i;
        while (to < local.len && !separator(local.ptr[to]))
            to++;
        struct span label = span_slice(local, i, to);
        while (span_is_digits(label) && label.len > 1 && label.ptr[0] == '0')
            label = span_skip(label, 1);
        buf_char(b, join);
        for (size_t k = 0; k < label.len; k++)
            buf_char(b, lower(label.ptr[k]));
        join = '.';
        i = to + 1;
    }
}

void pip_parts_text(const struct pip_parts *v, struct buf *b)
{
    static const char *const words[] = {
        [PHASE_A] = "a", [PHASE_B] = "b", [PHASE_RC] = "rc", [PHASE_FINAL] = ""};
    if (v->epoch) {
        text_number(b, v->epoch);
        buf_char(b, '!');
    }
    for (size_t i = 0; i < v->release_count; i++) {
        if (i)
            buf_char(b, '.');
        text_number(b, v->release[i]);
    }
    if (v->phase == PHASE_A || v->phase == PHASE_B || v->phase == PHASE_RC)
        text_part(b, words[v->phase], v->pre);
    if (v->has_post)
        text_part(b, ".post", v->post);
    if (v->has_dev)
        text_part(b, ".dev", v->dev);
    text_local(b, v->local);
}

bool pip_version_parse(struct span text, struct arena *a, struct pip_version *out)
{
    struct pip_parts v;
    struct pip_key k;
    if (!pip_parts_parse(text, &v))
        return false;
    pip_key_public(&k, &v);
    pip_key_local(&k, &v);
    pip_key_zeros(&k, &v);
    char text_bytes[4 * MAX_TEXT];
    struct buf b = {.ptr = text_bytes, .cap = sizeof(text_bytes), .max = sizeof(text_bytes) - 1};
    pip_parts_text(&v, &b);
    out->key = arena_span(a, span_of(k.bytes, k.len));
    out->text = arena_span(a, buf_span(&b));
    out->prerelease = v.has_dev || v.phase != PHASE_FINAL;
    out->local = v.local.len > 0;
    return true;
}

struct span pip_key_order(struct span key)
{
    return key.len ? span_slice(key, 0, key.len - 1) : key;
}

int pip_version_cmp(const struct pip_version *a, const struct pip_version *b)
{
    return span_cmp(pip_key_order(a->key), pip_key_order(b->key));
}

/* Reading a key back, for messages: bounds may end anywhere. */
static bool read_number(struct span *k, pip_num *n)
{
    size_t bytes = k->len ? (size_t)(unsigned char)k->ptr[0] : 0;
    if (bytes == 0 || bytes > 17 || k->len < bytes)
        return false;
    *n = 0;
    for (size_t i = 1; i < bytes; i++)
        *n = *n << 8 | (unsigned char)k->ptr[i];
    *k = span_skip(*k, bytes);
    return true;
}

static unsigned read_byte(struct span *k)
{
    unsigned b = k->len ? (unsigned char)k->ptr[0] : 0;
    *k = span_skip(*k, 1);
    return b;
}

static void read_local(struct span k, struct buf *b)
{
    char join = '+';
    for (unsigned kind; (kind = read_byte(&k)) == 1 || kind == 2; join = '.') {
        pip_num n;
        buf_char(b, join);
        if (kind == 2) {
            if (!read_number(&k, &n))
                return;
            text_number(b, n);
        } else {
            for (unsigned c; (c = read_byte(&k)) != 0;)
                buf_char(b, (char)c);
        }
    }
}

const char *pip_key_text(struct span key, struct arena *a)
{
    AUTO_BUF struct buf b = BUF(4 * MAX_TEXT);
    struct pip_parts v = {.phase = PHASE_FINAL};
    struct span k = key;
    pip_num n;
    if (!read_number(&k, &v.epoch))
        return "0";
    while (v.release_count < PIP_MAX_RELEASE && k.len && k.ptr[0] && read_number(&k, &n))
        v.release[v.release_count++] = n;
    read_byte(&k);
    unsigned phase = read_byte(&k);
    if (phase >= PHASE_DEV && phase <= PHASE_FINAL)
        v.phase = (unsigned char)phase;
    if (phase >= PHASE_A && phase <= PHASE_RC)
        read_number(&k, &v.pre);
    v.has_post = read_byte(&k) == 2 && read_number(&k, &v.post);
    v.has_dev = read_byte(&k) == 1 && read_number(&k, &v.dev);
    /* Zeros dropped at the end come back as far as they are known: one for "1", so that it
     * reads as a version. */
    size_t zeros = key.len ? (unsigned char)key.ptr[key.len - 1] : 0;
    bool whole = k.len >= 2 && zeros < 8;
    for (size_t i = 0; whole && i < zeros && v.release_count < PIP_MAX_RELEASE; i++)
        v.release[v.release_count++] = 0;
    while (v.release_count < (whole ? 1u : 2u))
        v.release[v.release_count++] = 0;
    pip_parts_text(&v, &b);
    read_local(k, &b);
    return arena_str(a, buf_span(&b));
}
