/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - runs a fuzz target over the files of its corpus, for ordinary builds. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *folder)
{
    DIR *dir = opendir(folder);
    int n = 0;
    if (!dir) {
        perror(folder);
        return 1;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        AUTO_FREE char *path = mem_printf("%s/%s", folder, e->d_name);
        AUTO_BUF struct buf bytes = BUF(64u << 20);
        struct err err = {0};
        if (e->d_name[0] == '.' || !io_read_file(AT_FDCWD, path, &bytes, &err))
            continue;
        LLVMFuzzerTestOneInput((const uint8_t *)buf_cstr(&bytes), bytes.len);
        n++;
    }
    closedir(dir);
    printf("%s: %d inputs\n", folder, n);
    return n ? 0 : 1;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (replay(argv[i]))
            return 1;
    return 0;
}
