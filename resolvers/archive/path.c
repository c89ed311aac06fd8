/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/archive/archive_priv.h"
#include "resolvers/archive/paths.h"

const char *archive_show(struct span name, char out[ARCHIVE_SHOW_SIZE])
{
    size_t n = 0;
    for (; n < name.len && n < ARCHIVE_SHOW_SIZE - 4; n++) {
        unsigned char c = (unsigned char)name.ptr[n];
        out[n] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    if (n < name.len) {
        /* Not in the middle of a UTF-8 sequence. */
        while (n && ((unsigned char)name.ptr[n] & 0xc0) == 0x80)
            n--;
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n] = '\0';
    return out;
}

bool archive_path_is_plain(struct span path)
{
    struct span rest = path, part;
    if (path.len == 0 || span_has(path, '\0'))
        return false;
    while (span_next(&rest, '/', &part))
        if (part.len == 0 || span_eq(part, SPAN(".")) || span_eq(part, SPAN("..")))
            return false;
    return true;
}

bool archive_path_is_small(struct span path)
{
    size_t depth = 0;
    for (size_t i = 0; i < path.len && path.len <= ARCHIVE_MAX_PATH; i++)
        depth += path.ptr[i] == '/';
    return path.len <= ARCHIVE_MAX_PATH && depth <= ARCHIVE_MAX_DEPTH;
}

bool archive_path_escapes(struct span path)
{
    struct span rest = path, part;
    if (span_has(path, '\0') || span_starts(path, SPAN("/")))
        return true;
    while (span_next(&rest, '/', &part))
        if (span_eq(part, SPAN("..")))
            return true;
    return false;
}

bool paths_find_file_as_folder(const struct map *files, struct span *file)
{
    for (size_t i = 0; i < files->n; i++) {
        struct span folder = files->v[i].key, name;
        while (files->v[i].value && span_cut_last_char(folder, '/', &folder, &name))
            if (map_get(files, folder)) {
                *file = folder;
                return true;
            }
    }
    return false;
}
