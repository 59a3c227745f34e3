// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pieces N SIZE STEP ROUNDS: memory that the N-th test device (xen-lend-testdev, with a control register) maps at the begin of its
 * BAR: mapped, a word written every STEP bytes, each read back, unmapped; so ROUNDS times, between marks (mark.h).
 */
#include "ivshmem.h"
#include "mark.h"

int main(int argc, char **argv)
{
    volatile uint32_t *mapped;
    volatile uint64_t *words;
    unsigned long rounds, step;
    uint64_t address;
    size_t size, length;

    if (argc != 5)
        errx(2, "usage: pieces N SIZE STEP ROUNDS");
    words = bar_map(0x1b36, 0x0005, atoi(argv[1]), 0, &size, &address);
    mapped = bar_map(0x1b36, 0x0005, atoi(argv[1]), 2, &length, &address);
    length = strtoul(argv[2], NULL, 0);
    step = strtoul(argv[3], NULL, 0);
    rounds = strtoul(argv[4], NULL, 0);
    if (!step || step % sizeof(*words))
        errx(2, "a step is a multiple of %zu", sizeof(*words));
    if (!length || length > size)
        errx(2, "the BAR has %zu bytes", size);
    *mapped = 0;
    MARK_BEGIN();
    for (unsigned long round = 0; round < rounds; round++) {
        *mapped = 1;
        for (size_t at = 0; at < length; at += step)
            words[at / sizeof(*words)] = round + at;
        for (size_t at = 0; at < length; at += step)
            if (words[at / sizeof(*words)] != round + at)
                errx(1, "%lx at %zx", (unsigned long)words[at / sizeof(*words)], at);
        *mapped = 0;
    }
    MARK_END();
    return 0;
}
