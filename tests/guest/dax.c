// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files on a file system mounted with -o dax, from user space.
 *
 *   dax is FILE                        does statx say that it is DAX
 *   dax load FILE PAGE COUNT           first word of each page, through a shared mapping
 *   dax store FILE PAGE COUNT VALUE    the first word of each page becomes VALUE + its number, then msync
 *   dax sync FILE                      map it with MAP_SYNC
 *   dax where FILE                     first page of the file on its device, and how many follow in a row (FIEMAP)
 *   dax make FILE PAGES                a file of so many pages, in a row if there is room
 *   dax rounds FILE SECONDS            store the number of the round in all pages, msync, and say so; again
 *   dax watch FILE SECONDS             read the words that are there again and again: they stay what they are
 *   dax direct FILE DEVICE PAGE COUNT  pages of DEVICE, read with O_DIRECT into a mapping of the file
 *   dax direct-out FILE DEVICE PAGE COUNT  and the other way
 *
 * Ends with 7 if an access gets SIGBUS.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sigbus.h"

static void die(const char *what)
{
    printf("%s: %s\n", what, strerrorname_np(errno));
    exit(2);
}

static volatile uint64_t *map(int fd, size_t len)
{
    void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (mem == MAP_FAILED)
        die("mmap");
    return mem;
}

static int is_dax(const char *path)
{
    struct statx x;

    if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &x))
        die("statx");
    printf("%d\n", !!(x.stx_attributes & STATX_ATTR_DAX));
    return 0;
}

static int where(int fd)
{
    struct { struct fiemap map; struct fiemap_extent first; } f = { .map = { .fm_length = ~0ULL, .fm_extent_count = 1 } };

    if (ioctl(fd, FS_IOC_FIEMAP, &f) || !f.map.fm_mapped_extents)
        die("fiemap");
    printf("%llu %llu\n", f.first.fe_physical / PAGE, f.first.fe_length / PAGE);
    return 0;
}

/* Written once, so that no metadata is left to be written. */
static int make(int fd, size_t len)
{
    static char zeros[PAGE];

    if (posix_fallocate(fd, 0, len))
        die("fallocate");
    for (size_t at = 0; at < len; at += PAGE)
        if (pwrite(fd, zeros, PAGE, at) != (ssize_t)PAGE)
            die("write");
    if (fsync(fd))
        die("fsync");
    return 0;
}

static int rounds(int fd, size_t len, unsigned seconds)
{
    volatile uint64_t *mem = map(fd, len);
    time_t end = time(NULL) + seconds;

    for (uint64_t round = 1; time(NULL) < end; round++) {
        for (size_t at = 0; at < len; at += PAGE)
            mem[at / 8] = round;
        if (msync((void *)mem, len, MS_SYNC))
            die("msync");
        printf("round %llu\n", (unsigned long long)round);
        fflush(stdout);
    }
    return 0;
}

static int watch(int fd, size_t len, unsigned seconds)
{
    volatile uint64_t *mem = map(fd, len);
    time_t end = time(NULL) + seconds;
    uint64_t first = mem[0];

    while (time(NULL) < end)
        for (size_t i = 0; i < len / PAGE; i++)
            if (mem[i * PAGE / 8] != first + i) {
                printf("page %zu: %llx\n", i, (unsigned long long)mem[i * PAGE / 8]);
                return 3;
            }
    return 0;
}

static int direct(int fd, size_t len, const char *device, unsigned long page, unsigned long count, int out)
{
    char *mem = (char *)map(fd, len);
    int dev = open(device, (out ? O_RDWR : O_RDONLY) | O_DIRECT);
    ssize_t n;

    if (dev < 0)
        die(device);
    n = out ? pwrite(dev, mem, count * PAGE, page * PAGE) : pread(dev, mem, count * PAGE, page * PAGE);
    if (n != (ssize_t)(count * PAGE))
        die("direct");
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    unsigned long a = argc > 3 ? strtoul(argv[3], NULL, 0) : 0, b = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;
    uint64_t value = argc > 5 ? strtoull(argv[5], NULL, 0) : 0;
    volatile uint64_t *mem;
    struct stat s;
    int fd;

    signal(SIGBUS, bus);
    if (!strcmp(what, "is"))
        return is_dax(argv[2]);
    fd = argc > 2 ? open(argv[2], O_RDWR | (strcmp(what, "make") ? 0 : O_CREAT), 0600) : -1;
    if (fd < 0 && errno == EROFS)
        fd = open(argv[2], O_RDONLY);
    if (fd < 0 || fstat(fd, &s))
        die(argc > 2 ? argv[2] : "usage");
    if (!strcmp(what, "make"))
        return make(fd, a * PAGE);
    if (!strcmp(what, "where"))
        return where(fd);
    if (!strcmp(what, "rounds"))
        return rounds(fd, s.st_size, a);
    if (!strcmp(what, "watch"))
        return watch(fd, s.st_size, a);
    if (!strncmp(what, "direct", 6) && argc > 5)
        return direct(fd, s.st_size, argv[3], b, value, what[6]);
    if (!strcmp(what, "sync")) {
        if (mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0) == MAP_FAILED)
            die("MAP_SYNC");
        return 0;
    }
    if (!strcmp(what, "load")) {
        mem = mmap(NULL, (a + b) * PAGE, PROT_READ, MAP_SHARED, fd, 0);
        if (mem == MAP_FAILED)
            die("mmap");
        for (unsigned long i = a; i < a + b; i++)
            printf("%llx ", (unsigned long long)mem[i * PAGE / 8]);
        printf("\n");
        return 0;
    }
    if (strcmp(what, "store"))
        return 2;
    mem = map(fd, (a + b) * PAGE);
    for (unsigned long i = a; i < a + b; i++)
        mem[i * PAGE / 8] = value + i;
    if (msync((void *)mem, (a + b) * PAGE, MS_SYNC))
        die("msync");
    return 0;
}
