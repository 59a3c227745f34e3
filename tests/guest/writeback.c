// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * writeback FILE PAGES ROUNDS: a word of each of the first PAGES pages of the mapped file is written, then fdatasync; so ROUNDS
 * times, between marks (mark.h). The file is made, and the first round goes before the mark.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mark.h"

#define PAGE 4096UL

static void write_all(int fd, volatile uint64_t *words, size_t pages, uint64_t value)
{
    for (size_t i = 0; i < pages; i++)
        words[i * PAGE / 8] = value;
    if (fdatasync(fd))
        err(1, "fdatasync");
}

int main(int argc, char **argv)
{
    size_t pages = argc == 4 ? strtoul(argv[2], NULL, 0) : 0;
    unsigned long rounds = argc == 4 ? strtoul(argv[3], NULL, 0) : 0;
    int fd = argc == 4 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
    static char zeros[PAGE];
    volatile uint64_t *words;

    if (!pages || !rounds || fd < 0)
        err(2, "writeback FILE PAGES ROUNDS");
    /* written once, so that no block has to be found for it later */
    for (size_t i = 0; i < pages; i++)
        if (pwrite(fd, zeros, PAGE, i * PAGE) != (ssize_t)PAGE)
            err(2, "write");
    if (fsync(fd))
        err(2, "fsync");
    words = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED)
        err(2, "mmap");
    write_all(fd, words, pages, 1);
    MARK_BEGIN();
    for (uint64_t round = 2; round < rounds + 2; round++)
        write_all(fd, words, pages, round);
    MARK_END();
    return 0;
}
