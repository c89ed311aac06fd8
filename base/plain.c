/* SPDX-License-Identifier: Apache-2.0 */
#include "base/plain.h"

#include <stdint.h>
#include <string.h>

#include "base/span.h"

/* How many bytes the character at `s` says it has; 0: no character begins so. */
static size_t length_of(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first < 0xe0)
        return 2;
    if (first >= 0xe0 && first < 0xf0)
        return 3;
    return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

static uint32_t code_point(const unsigned char *s, size_t n)
{
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = s[0] & first_bits[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3fu);
    return c;
}

/* Marks that switch the direction of writing (Unicode's Bidi_Control) or end a line. */
static bool is_mark(uint32_t c)
{
    return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* Whether the text ends within the character at `s`, as where a buffer was too short. */
static bool cut_off(const char *s, size_t left, size_t n)
{
    if (left >= n)
        return false;
    for (size_t i = 1; i < left; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return false;
    return true;
}

size_t plain_text(char *text, size_t len, enum plain_lines lines)
{
    size_t in = 0, out = 0;
    while (in < len) {
        unsigned char first = (unsigned char)text[in];
        size_t n = length_of(first);
        if (n > 1 && cut_off(text + in, len - in, n))
            break;
        if (n == 0 || !span_is_utf8(span_of(text + in, n))) {
            text[out++] = '?';
            in++;
            continue;
        }
        uint32_t c = code_point((const unsigned char *)text + in, n);
        if (c == '\n' && lines == PLAIN_LINES) {
            text[out++] = '\n';
        } else if (c == '\n' || c == '\t') {
            text[out++] = ' ';
        } else if (is_control(c) || is_mark(c)) {
            text[out++] = '?';
        } else {
            memmove(text + out, text + in, n);
            out += n;
        }
        in += n;
    }
    return out;
}

void plain_str(char *text, enum plain_lines lines)
{
    text[plain_text(text, strlen(text), lines)] = '\0';
}
