// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hammer GFN PAGES VCPUS SEED: all vCPUs read and write lent pages until the first word of page 0 is set.
 *
 * What a page other than page 0 has to hold, wherever the lender has moved it meanwhile: in word 0 its number plus TAG, in word
 * 8 * (1 + V) how often vCPU V has written there, in word 64 how often all of them have, counted with a locked instruction.
 */
#include "ring0.h"

#define TAG    0x1e4d000000000000UL
#define POISON 0xdeaddeaddeaddeadUL
#define VCPUS  8
#define PAGES  1024

static struct {
    uint64_t rounds, poison, lost, foreign, random;
    uint64_t own[PAGES], shared[PAGES];
    bool done;
} cpus[VCPUS];
static char stacks[VCPUS][8192] __attribute__((aligned(16)));
static unsigned long base;
static unsigned pages;

static uint64_t rnd(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void work(unsigned long v)
{
    volatile uint64_t *stop = AT(base);

    /* No interrupts come; but Bochs would keep them from Xen, too, for as long as they are masked here. */
    asm volatile("sti");
    while (!*stop) {
        unsigned page = 1 + (rnd(&cpus[v].random) >> 20) % (pages - 1);
        volatile uint64_t *word = AT(base + page), *own = word + 8 * (1 + v);
        uint64_t tag = word[0], value = *own;

        if (tag != TAG + page) {
            if (tag == POISON)
                cpus[v].poison++;
            else
                cpus[v].foreign++;
        }
        if (value != cpus[v].own[page]) {
            if (value == POISON)
                cpus[v].poison++;
            else
                cpus[v].lost++;
        }
        *own = cpus[v].own[page] = value + 1;
        __atomic_add_fetch(word + 64, 1, __ATOMIC_SEQ_CST);
        cpus[v].shared[page]++;
        cpus[v].rounds++;
    }
    asm volatile("cli");
    __atomic_store_n(&cpus[v].done, true, __ATOMIC_SEQ_CST);
}

int hammer(int argc, char **argv)
{
    uint64_t rounds = 0, poison = 0, lost = 0, foreign = 0;
    unsigned vcpus;

    if (argc < 5)
        return 2;
    base = number(argv[1]);
    pages = number(argv[2]);
    vcpus = number(argv[3]);
    if (pages < 2 || pages > PAGES || vcpus < 1 || vcpus > VCPUS)
        return 2;
    memset(cpus, 0, sizeof(cpus));
    for (unsigned v = 0; v < vcpus; v++)
        cpus[v].random = (number(argv[4]) + v) * 0x9e3779b97f4a7c15UL + 1;
    for (unsigned v = 1; v < vcpus; v++)
        run_vcpu(v, work, v, stacks[v] + sizeof(stacks[v]) - 8);
    work(0);
    for (unsigned v = 0; v < vcpus; v++) {
        while (!__atomic_load_n(&cpus[v].done, __ATOMIC_SEQ_CST))
            hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
        rounds += cpus[v].rounds;
        poison += cpus[v].poison;
        lost += cpus[v].lost;
        foreign += cpus[v].foreign;
    }
    for (unsigned page = 1; page < pages; page++) {
        uint64_t sum = 0;

        for (unsigned v = 0; v < vcpus; v++) {
            sum += cpus[v].shared[page];
            lost += *((volatile uint64_t *)AT(base + page) + 8 * (1 + v)) != cpus[v].own[page];
        }
        lost += *((volatile uint64_t *)AT(base + page) + 64) != sum;
    }
    print("rounds=%lu poison=%lu lost=%lu foreign=%lu\n", (unsigned long)rounds, (unsigned long)poison, (unsigned long)lost,
          (unsigned long)foreign);
    return poison || lost || foreign || !rounds;
}
