// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exits FILE [times]: reads a word of an ivshmem device's configuration space, which QEMU emulates, until FILE exists; prints how
 * often. With "times" also how long it took on average, and at most (ns).
 */
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int config(void)
{
    uint16_t id[2];
    glob_t found;

    glob("/sys/bus/pci/devices/*/config", 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int fd = open(found.gl_pathv[i], O_RDONLY);

        if (fd >= 0 && pread(fd, id, sizeof(id), 0) == sizeof(id) && id[1] == 0x1110)
            return fd;
        close(fd);
    }
    return -1;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

int main(int argc, char **argv)
{
    unsigned long count = 0;
    uint64_t sum = 0, most = 0;
    int fd = config();
    uint32_t word;

    if (argc < 2 || argc > 3 || fd < 0) {
        fprintf(stderr, "usage: exits FILE [times], with an ivshmem device\n");
        return 2;
    }
    while (access(argv[1], F_OK)) {
        uint64_t took = now_ns();

        /* the base address register: the kernel has a cache of the words before */
        if (pread(fd, &word, sizeof(word), 0x18) != sizeof(word))
            return 1;
        took = now_ns() - took;
        sum += took;
        most = took > most ? took : most;
        count++;
    }
    printf("%lu", count);
    if (argc == 3)
        printf(" %llu %llu", (unsigned long long)(count ? sum / count : 0), (unsigned long long)most);
    printf("\n");
    return 0;
}
