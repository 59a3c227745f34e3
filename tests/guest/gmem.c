// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Touches guest frames that are lent outside of any device, through /dev/mem.
 *
 *   gmem GFN read PAGE COUNT           first 64-bit word of each page, in hex
 *   gmem GFN write PAGE COUNT VALUE    the first word of each page becomes VALUE + its number
 *   gmem GFN words PAGE COUNT          read every word; print the sum
 *   gmem GFN rounds PAGE COUNT SECONDS write round after round to every page, and look for what the round before has written
 *   gmem GFN follow PAGE COUNT SECONDS do what page 0 orders: its first word goes to all other pages, then to its second word
 *   gmem -c CPU ...                    on that CPU
 *
 * Ends with 7 if an access gets SIGBUS.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sigbus.h"

static volatile uint64_t *word_of(volatile unsigned char *mem, unsigned long page, unsigned word)
{
    return (volatile uint64_t *)(mem + page * PAGE) + word;
}

/* Three words of each page; a page that goes back, or is of two minds, counts as wrong. */
static int rounds(volatile unsigned char *mem, unsigned long count, time_t end)
{
    static const unsigned where[] = { 0, 100, PAGE / 8 - 1 };
    unsigned long round = 0, wrong = 0;

    while (!wrong && (round < 2 || time(NULL) < end)) {
        round++;
        for (unsigned long i = 0; i < count; i++)
            for (unsigned w = 0; w < 3; w++) {
                uint64_t seen = *word_of(mem, i, where[w]);

                if (round > 1 && seen != ((round - 1) << 32) + i && !wrong++)
                    printf("page %lu word %u has %lx in round %lx\n", i, where[w], (unsigned long)seen, round);
                *word_of(mem, i, where[w]) = (round << 32) + i;
            }
    }
    printf("rounds=%lu wrong=%lu\n", round, wrong);
    return wrong ? 9 : 0;
}

static int follow(volatile unsigned char *mem, unsigned long count, time_t end)
{
    uint64_t done = 0, order;

    while (time(NULL) < end && done != ~0ULL) {
        order = *word_of(mem, 0, 0);
        if (order == done)
            continue;
        for (unsigned long i = 1; i < count; i++)
            *word_of(mem, i, 0) = order;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        *word_of(mem, 0, 1) = done = order;
    }
    return 0;
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
        fprintf(stderr, "usage: gmem GFN read|write|words|rounds|follow PAGE COUNT [VALUE]\n");
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
    if (!strcmp(argv[2], "rounds"))
        return rounds(mem, count, time(NULL) + value);
    if (!strcmp(argv[2], "follow"))
        return follow(mem, count, time(NULL) + value);
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
