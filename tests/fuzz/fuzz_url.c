/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_url.c - base, newline, reference. What was joined is a URL, and joining it again with
 * itself or the empty reference changes nothing; percent coding comes back whole. */
#include <assert.h>

#include "base/mem.h"
#include "base/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(struct span url, const struct url_parts *p)
{
    const struct span pieces[] = {p->scheme, p->userinfo, p->host, p->port, p->path, p->fragment};
    for (size_t i = 0; i < COUNT(pieces); i++)
        assert(pieces[i].len == 0 ||
               (pieces[i].ptr >= url.ptr && pieces[i].ptr + pieces[i].len <= url.ptr + url.len));
    assert(p->host.len > 0 && (p->path.len == 0 || p->path.ptr[0] == '/' || p->path.ptr[0] == '?'));
    for (size_t i = 0; i < p->host.len; i++)
        assert(!strchr("/?#@\\ ", p->host.ptr[i]));
}

/* No segment of the path is "." or "..". */
static void check_dots(struct span path)
{
    struct span piece;
    path = span_slice(path, 0, span_find_char(path, '?'));
    while (span_next(&path, '/', &piece))
        assert(!span_eq(piece, SPAN(".")) && !span_eq(piece, SPAN("..")));
}

static void check_join(struct span base, struct span reference)
{
    AUTO_BUF struct buf once = BUF(64u << 10), twice = BUF(64u << 10), same = BUF(64u << 10);
    struct url_parts p;
    if (!url_join(base, reference, false, &once)) {
        assert(once.len == 0);
        return;
    }
    assert(url_split(buf_span(&once), &p) && p.fragment.len == 0);
    check_parts(buf_span(&once), &p);
    struct span path = span_slice(reference, 0, span_find_char(reference, '#'));
    if (span_slice(path, 0, span_find_char(path, '?')).len)
        check_dots(p.path);
    assert(url_join(base, buf_span(&once), false, &twice));
    if (span_slice(path, 0, span_find_char(path, '?')).len)
        assert(span_eq(buf_span(&once), buf_span(&twice)));
    assert(url_join(buf_span(&once), SPAN(""), false, &same));
    assert(span_eq(buf_span(&once), buf_span(&same)));
    assert(url_same_origin(buf_span(&once), buf_span(&once)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of(data, size), base = all, reference = SPAN("");
    struct url_parts p;
    AUTO_BUF struct buf coded = BUF(1u << 20), back = BUF(1u << 20), shown = BUF(1u << 20);
    span_cut_char(all, '\n', &base, &reference);
    if (url_split(base, &p)) {
        check_parts(base, &p);
        url_show(base, &shown);
        struct span query;
        if (span_cut_char(p.path, '?', &query, &query) && query.len > 8)
            assert(shown.len <= p.host.len + p.port.len + 1 + p.path.len - query.len);
    }
    check_join(base, reference);
    url_percent_encode(all, "/", &coded);
    url_percent_decode(buf_span(&coded), &back);
    assert(span_eq(buf_span(&back), all));
    return 0;
}
