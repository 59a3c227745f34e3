// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Touches the shared BAR of an ivshmem device from the guest's user space.
 *
 *   bar [-d N] size                    bytes in the BAR of the N-th device (0)
 *   bar [-d N] cat [OFFSET [LENGTH]]   its bytes on stdout
 *   bar [-d N] write OFFSET STRING     store a string
 *   bar [-d N] read OFFSET             one 64-bit word, in hex
 *   bar [-d N] touch OFFSET [LENGTH [STRIDE]]   read one byte of each page, or of one every STRIDE bytes
 *   bar [-d N] count OFFSET FILE       count in the 64-bit word there until FILE exists; each number has to be read back
 *   bar [-d N] pass COUNT              read every word COUNT times; say how long each pass took
 *   bar [-d N] hammer SECONDS [PAGES]  read and write the first PAGES (all) while dom0 takes them away; see below
 *
 * Hammer: page 0 is the control page, words
 *   [1] generation: every other page has this number or a higher one in its word 0
 *   [2] hole count: odd while pages may read as zero
 *   [3] stop
 *   [8] rounds done, written by the guest
 * A page is: word 0 generation, word 1 its page number, both written by dom0; word 2 a counter written by the guest.
 */
#include <time.h>

#include "ivshmem.h"

#define PAGE 4096UL

static volatile unsigned char *bar;
static size_t size;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void range(char **argv, size_t *offset, size_t *length)
{
    *offset = argv[0] ? number(argv[0]) : 0;
    *length = argv[0] && argv[1] ? number(argv[1]) : size - *offset;
    if (*offset > size || *length > size - *offset)
        errx(2, "beyond the end (%zu)", size);
}

/* Through a buffer of ours, so that user space does the reading. */
static void cat(size_t offset, size_t length)
{
    static uint64_t buffer[PAGE / 8];

    while (length) {
        size_t n = length < PAGE ? length : PAGE, i;

        if (n % 8 || offset % 8)
            for (i = 0; i < n; i++)
                ((unsigned char *)buffer)[i] = bar[offset + i];
        else
            for (i = 0; i < n / 8; i++)
                buffer[i] = *(volatile uint64_t *)(bar + offset + i * 8);
        if (fwrite(buffer, 1, n, stdout) != n)
            err(2, "stdout");
        offset += n;
        length -= n;
    }
    if (fflush(stdout))
        err(2, "stdout");
}

static void pass(unsigned long count)
{
    while (count--) {
        uint64_t start = now_ns(), sum = 0;
        size_t i;

        for (i = 0; i < size; i += 8)
            sum += *(volatile uint64_t *)(bar + i);
        printf("%016llx %llu us\n", (unsigned long long)sum, (unsigned long long)(now_ns() - start) / 1000);
    }
}

static int count(volatile uint64_t *word, const char *stop)
{
    unsigned long long wrong = 0;
    uint64_t n, found;

    for (n = 1; n % 1024 || access(stop, F_OK); n++) {
        *word = n;
        __sync_synchronize();
        found = *word;
        if (found != n && !wrong++)
            printf("%llx instead of %llx\n", (unsigned long long)found, (unsigned long long)n);
    }
    printf("%llu wrong of %llu\n", wrong, (unsigned long long)n - 1);
    return wrong ? 1 : 0;
}

static int hammer(unsigned long seconds, size_t pages)
{
    volatile uint64_t *control = (volatile uint64_t *)bar;
    size_t i;
    uint64_t *last = calloc(pages, sizeof(*last));
    uint64_t end = now_ns() + seconds * 1000000000ULL, rounds = 0, slowest = 0;
    uint64_t zero = 0, stale = 0, lost = 0, foreign = 0, epoch = control[2];

    if (!last)
        err(2, "calloc");
    for (i = 1; i < pages; i++)
        last[i] = *(volatile uint64_t *)(bar + i * PAGE + 16);
    while (!control[3] && now_ns() < end) {
        for (i = 1; i < pages; i++) {
            volatile uint64_t *page = (volatile uint64_t *)(bar + i * PAGE);
            uint64_t before = control[2], wanted = control[1], start = now_ns();
            uint64_t generation, tag, counter, took, after;

            __sync_synchronize();
            generation = page[0];
            tag = page[1];
            counter = page[2];
            __sync_synchronize();
            after = control[2];
            took = now_ns() - start;
            slowest = took > slowest ? took : slowest;
            if (before != epoch || after != epoch || (before & 1)) {
                /* holes are about: zeros are right, and our counters may go; the other values must still be current */
                if (generation == 0)
                    zero++;
                else if (tag != i)
                    foreign++;
                else if (generation < wanted)
                    stale++;
                if (i == pages - 1 && !(after & 1)) {
                    size_t j;

                    epoch = after;
                    for (j = 1; j < pages; j++)
                        last[j] = *(volatile uint64_t *)(bar + j * PAGE + 16);
                }
                continue;
            }
            if (tag != i)
                foreign++;
            else if (generation < wanted)
                stale++;
            if (counter != last[i])
                lost++;
            page[2] = last[i] = ++counter;
        }
        control[8] = ++rounds;
    }
    printf("rounds=%llu zero=%llu stale=%llu lost=%llu foreign=%llu slowest_us=%llu\n",
           (unsigned long long)rounds, (unsigned long long)zero, (unsigned long long)stale, (unsigned long long)lost,
           (unsigned long long)foreign, (unsigned long long)slowest / 1000);
    return stale || lost || foreign || !rounds;
}

int main(int argc, char **argv)
{
    const char *command;
    size_t offset, length, i;
    uint64_t address;
    int device = 0;

    argv++, argc--;
    if (argc >= 2 && !strcmp(argv[0], "-d")) {
        device = number(argv[1]);
        argv += 2, argc -= 2;
    }
    if (argc < 1) {
        fprintf(stderr, "usage: bar [-d N] size|cat|write|read|touch|count|pass|hammer ...\n");
        return 2;
    }
    command = argv[0];
    argv++, argc--;
    bar = ivshmem_map(device, &size, &address);
    if (!strcmp(command, "size")) {
        printf("%zu\n", size);
    } else if (!strcmp(command, "cat")) {
        range(argv, &offset, &length);
        cat(offset, length);
    } else if (!strcmp(command, "touch")) {
        range(argv, &offset, &length);
        for (i = offset; i < offset + length; i += argc > 2 ? number(argv[2]) : PAGE)
            (void)bar[i];
    } else if (!strcmp(command, "write") && argc == 2) {
        char *end[] = { argv[0], NULL };

        range(end, &offset, &length);
        for (i = 0; argv[1][i] && i < length; i++)
            bar[offset + i] = argv[1][i];
    } else if (!strcmp(command, "read") && argc == 1) {
        range(argv, &offset, &length);
        if (length < 8)
            return 2;
        printf("%016llx\n", *(volatile unsigned long long *)(bar + offset));
    } else if (!strcmp(command, "count") && argc == 2) {
        char *end[] = { argv[0], NULL };

        range(end, &offset, &length);
        if (length < 8 || offset % 8)
            return 2;
        return count((volatile uint64_t *)(bar + offset), argv[1]);
    } else if (!strcmp(command, "pass") && argc == 1) {
        pass(number(argv[0]));
    } else if (!strcmp(command, "hammer") && argc >= 1) {
        size_t pages = argc > 1 ? number(argv[1]) : size / PAGE;

        return hammer(number(argv[0]), pages < size / PAGE ? pages : size / PAGE);
    } else {
        fprintf(stderr, "bar: '%s' is no command, or lacks something\n", command);
        return 2;
    }
    return 0;
}
