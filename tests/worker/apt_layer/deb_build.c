/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/apt_layer/deb_build.h"

#include <stdio.h>

static void pad(struct buf *out, size_t block)
{
    while (out->len % block)
        buf_char(out, '\0');
}

static void tar_row(struct buf *out, const struct deb_row *r)
{
    char h[512] = {0};
    bool link = r->type == '1' || r->type == '2';
    const char *text = r->text ? r->text : "";
    size_t size = link ? 0 : strlen(text);
    unsigned sum = 0;
    snprintf(h, 100, "%s", r->path);
    snprintf(h + 100, 8, "%07o", r->mode);
    snprintf(h + 108, 8, "%07o", r->uid);
    snprintf(h + 116, 8, "%07o", r->uid);
    snprintf(h + 124, 12, "%011o", (unsigned)size);
    snprintf(h + 136, 12, "%011o", 1000000000u);
    memset(h + 148, ' ', 8);
    h[156] = r->type;
    if (link)
        snprintf(h + 157, 100, "%s", text);
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    snprintf(h + 265, 32, "%s", r->uid ? "daemon" : "root");
    snprintf(h + 297, 32, "%s", r->uid ? "daemon" : "root");
    for (size_t i = 0; i < sizeof(h); i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    buf_append(out, span_of(h, sizeof(h)));
    buf_append(out, span_of(text, size));
    pad(out, 512);
}

static void tar_of_rows(struct buf *out, const struct deb_row *rows)
{
    for (; rows && rows->path; rows++)
        tar_row(out, rows);
    size_t end = out->len + 1024;
    while (out->len < end)
        buf_char(out, '\0');
}

static void member(struct buf *out, const char *name, struct span content)
{
    buf_printf(out, "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "100644", content.len);
    buf_append(out, content);
    pad(out, 2);
}

void deb_build(struct buf *out, const char *control, const struct deb_row *controls,
               const struct deb_row *data)
{
    AUTO_BUF struct buf c = BUF(1u << 20), d = BUF(1u << 20);
    struct deb_row row = {"./control", '0', 0644, 0, control};
    tar_row(&c, &row);
    tar_of_rows(&c, controls);
    tar_of_rows(&d, data);
    buf_str(out, "!<arch>\n");
    member(out, "debian-binary", SPAN("2.0\n"));
    member(out, "control.tar", buf_span(&c));
    member(out, "data.tar", buf_span(&d));
}
