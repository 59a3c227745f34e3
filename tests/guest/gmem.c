// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Touches guest frames that are lent outside of any device, through /dev/mem.
 *
 *   gmem GFN read PAGE COUNT           first 64-bit word of each page, in hex
 *   gmem GFN write PAGE COUNT VALUE    the first word of each page becomes VALUE + its number
 *   gmem GFN words PAGE COUNT          read every word; print the sum
 *   gmem -c CPU ...                    on that CPU
 *
 * Ends with 7 if an access gets SIGBUS.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL

static void bus(int sig)
{
    static const char text[] = "SIGBUS\n";

    (void)sig;
    _exit(write(1, text, sizeof(text) - 1) < 0 ? 8 : 7);
}

int main(int argc, char **argv)
{
    unsigned long gfn, page, count, value, sum = 0;
    volatile unsigned char *mem;
    int fd;

    if (argc > 2 && !strcmp(argv[1], "-c")) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET(atoi(argv[2]), &set);
        if (sched_setaffinity(0, sizeof(set), &set)) {
            perror("going to that CPU");
            return 2;
        }
        argc -= 2;
        argv += 2;
    }
    if (argc < 5) {
        fprintf(stderr, "usage: gmem GFN read|write|words PAGE COUNT [VALUE]\n");
        return 2;
    }
    gfn = strtoul(argv[1], NULL, 0);
    page = strtoul(argv[3], NULL, 0);
    count = strtoul(argv[4], NULL, 0);
    value = argc > 5 ? strtoul(argv[5], NULL, 0) : 0;
    signal(SIGBUS, bus);
    fd = open("/dev/mem", O_RDWR);
    if (fd < 0) {
        perror("/dev/mem");
        return 2;
    }
    mem = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (gfn + page) * PAGE);
    if (mem == MAP_FAILED) {
        perror("mapping the frames");
        return 2;
    }
    for (unsigned long i = 0; i < count; i++) {
        volatile uint64_t *word = (volatile uint64_t *)(mem + i * PAGE);

        if (!strcmp(argv[2], "write"))
            *word = value + page + i;
        else if (!strcmp(argv[2], "read"))
            printf("%llx ", (unsigned long long)*word);
        else
            for (unsigned w = 0; w < PAGE / 8; w++)
                sum += word[w];
    }
    if (!strcmp(argv[2], "words"))
        printf("%lx", sum);
    printf("\n");
    return 0;
}
