/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/rules/text.h"

#include <inttypes.h>
#include <time.h>

int64_t text_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

const char *text_time(int64_t us, char out[TEXT_TIME_SIZE])
{
    struct tm tm;
    time_t seconds = (time_t)(us / 1000000);
    char day[24];
    gmtime_r(&seconds, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, TEXT_TIME_SIZE, "%s.%06dZ", day, (int)(us % 1000000));
    return out;
}

void text_put_time_us(json_t *object, const char *key, int64_t us)
{
    char text[TEXT_TIME_SIZE];
    json_object_set_new(object, key, us ? json_string(text_time(us, text)) : json_null());
}

void text_put_time_ms(json_t *object, const char *key, int64_t ms)
{
    text_put_time_us(object, key, ms * 1000);
}

const char *text_cursor(char list, int64_t seq, char out[TEXT_CURSOR_SIZE])
{
    char plain[32];
    int n = snprintf(plain, sizeof(plain), "%c1.%" PRIx64, list, (uint64_t)seq);
    base64_encode(span_of(plain, (size_t)n), true, out);
    return out;
}

bool text_cursor_parse(char list, struct span text, int64_t *seq)
{
    uint8_t plain[64];
    if (text.len == 0 || text.len > 40)
        return false;
    size_t n = base64_decode(text, plain);
    if (n < 4 || n > 19 || plain[0] != (uint8_t)list || plain[1] != '1' || plain[2] != '.')
        return false;
    uint64_t value = 0;
    for (size_t i = 3; i < n; i++) {
        uint8_t c = plain[i];
        unsigned digit = c >= '0' && c <= '9'   ? c - (unsigned)'0'
                         : c >= 'a' && c <= 'f' ? c - 'a' + 10u
                                                : 16;
        if (digit > 15)
            return false;
        value = value << 4 | digit;
    }
    *seq = (int64_t)value;
    return *seq > 0;
}

static bool is_base58(char c)
{
    return ((c >= '1' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) &&
           c != 'I' && c != 'O' && c != 'l';
}

bool text_is_id(struct span text, const char *prefix)
{
    if (!span_starts(text, span_str(prefix)) || text.len != strlen(prefix) + 24)
        return false;
    for (size_t i = strlen(prefix); i < text.len; i++)
        if (!is_base58(text.ptr[i]))
            return false;
    return true;
}

bool text_is_session(struct span text)
{
    if (text.len == 0 || text.len > 128 || span_eq_str(text, ".") || span_eq_str(text, ".."))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c && strchr("._:@-", c))))
            return false;
    }
    return true;
}

bool text_percent_decode(struct span text, bool query, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];
        if (byte == '%') {
            if (i + 2 >= text.len || !hex_decode(span_slice(text, i + 1, i + 3), &byte) || !byte)
                return false;
            i += 2;
        } else if (byte == '+' && query) {
            byte = ' ';
        }
        buf_char(out, (char)byte);
    }
    return !out->overflow && span_is_utf8(buf_span(out));
}

size_t text_characters(struct span utf8)
{
    size_t n = 0;
    for (size_t i = 0; i < utf8.len; i++)
        n += ((unsigned char)utf8.ptr[i] & 0xC0) != 0x80;
    return n;
}

bool text_has_control(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F)
            return true;
    return false;
}

/* How many letters must change, be added or left out (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[33], la = strlen(a), lb = strlen(b);
    if (la > 32 || lb > 32)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            size_t drop = row[j] + 1, put = row[j - 1] + 1;
            corner = row[j];
            row[j] = change < drop ? change : drop;
            row[j] = row[j] < put ? row[j] : put;
        }
    }
    return row[lb];
}

const char *text_nearest(const char *key, const char *const *known)
{
    const char *best = NULL;
    size_t best_distance = strlen(key) < 4 ? 2 : 3; /* below this */
    for (size_t i = 0; known[i]; i++) {
        size_t d = distance(key, known[i]);
        if (d < best_distance) {
            best = known[i];
            best_distance = d;
        }
    }
    return best;
}
