// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the other vCPUs do meanwhile.  None of them is waited for.  One that is told something new is told so by INIT, whatever it
 * is about, and begins anew.
 *
 *   others read V GFN         vCPU V reads the first word of a page
 *   others write V GFN VALUE  or writes to it
 *   others seen V             what it has read, or written, or 0 for rest; "nothing" if it has not come to it yet
 *   others roam V GFN PAGES   it reads and writes pages in some order, for ever, whether they can be had or not
 *   others start V W          it has vCPU W begin anew, for ever
 *   others rounds V           how many so far
 *   others rest V             it does nothing
 */
#include "ring0.h"

#define VCPUS 8
#define ICR(reg) (*(volatile uint32_t *)(0xfee00000UL + (reg)))

static struct {
    bool started, seen;
    unsigned long gfn, pages;
    uint64_t value, rounds;
} cpus[VCPUS];
static char stacks[VCPUS][PAGE] __attribute__((aligned(16)));

static void rest(void)
{
    for (;;)
        asm volatile("cli; hlt");
}

static void reads(unsigned long v)
{
    cpus[v].value = *(volatile uint64_t *)AT(cpus[v].gfn);
    __atomic_store_n(&cpus[v].seen, true, __ATOMIC_SEQ_CST);
    rest();
}

static void writes(unsigned long v)
{
    *(volatile uint64_t *)AT(cpus[v].gfn) = cpus[v].value;
    __atomic_store_n(&cpus[v].seen, true, __ATOMIC_SEQ_CST);
    rest();
}

/* Memory that is gone: once more. */
extern char machine_check[];
asm(".text\n"
    "machine_check: push %rax\n\t push %rcx\n\t push %rdx\n\t xor %eax, %eax\n\t xor %edx, %edx\n\t mov $0x17a, %ecx\n\t wrmsr\n\t"
    "pop %rdx\n\t pop %rcx\n\t pop %rax\n\t iretq\n");

static void roams(unsigned long v)
{
    uint32_t random = v;

    asm volatile("lidt idtr");

    for (;;) {
        volatile uint64_t *word;

        random = random * 1664525 + 1013904223;
        word = (uint64_t *)AT(cpus[v].gfn + (random >> 12) % cpus[v].pages) + v;
        if (random & 1 << 10)
            *word = random;
        else
            (void)*word;
        __atomic_add_fetch(&cpus[v].rounds, 1, __ATOMIC_SEQ_CST);
    }
}

static void rests(unsigned long v)
{
    cpus[v].value = 0;
    __atomic_store_n(&cpus[v].seen, true, __ATOMIC_SEQ_CST);
    rest();
}

static void begin(unsigned v, void (*fn)(unsigned long));

/* By the time that it is up, or has failed to, again. */
static void starts(unsigned long v)
{
    for (;;) {
        begin(cpus[v].gfn, rests);
        __atomic_add_fetch(&cpus[v].rounds, 1, __ATOMIC_SEQ_CST);
    }
}

static void begin(unsigned v, void (*fn)(unsigned long))
{
    if (cpus[v].started) {
        ICR(0xf0) = 0x1ff;
        ICR(0x310) = 2 * v << 24;
        ICR(0x300) = 0x4500;            /* INIT */
    }
    cpus[v].started = true;
    cpus[v].seen = false;
    cpus[v].rounds = 0;
    run_vcpu(v, fn, v, stacks[v] + sizeof(stacks[v]) - 8);
}

int others(int argc, char **argv)
{
    unsigned v = argc > 2 ? number(argv[2]) : 0;

    if (!v || v >= VCPUS)
        return 2;
    if (argc > 3)
        cpus[v].gfn = number(argv[3]);
    if (argc > 4)
        cpus[v].value = cpus[v].pages = number(argv[4]);
    if (!strcmp(argv[1], "read")) {
        begin(v, reads);
    } else if (!strcmp(argv[1], "write")) {
        begin(v, writes);
    } else if (!strcmp(argv[1], "roam") && cpus[v].pages) {
        set_gate(idt, 18, (unsigned long)machine_check);
        begin(v, roams);
    } else if (!strcmp(argv[1], "start") && cpus[v].gfn && cpus[v].gfn < VCPUS && cpus[v].gfn != v) {
        begin(v, starts);
    } else if (!strcmp(argv[1], "seen")) {
        if (__atomic_load_n(&cpus[v].seen, __ATOMIC_SEQ_CST))
            print("%lx\n", cpus[v].value);
        else
            print("nothing\n");
    } else if (!strcmp(argv[1], "rounds")) {
        print("%lu\n", __atomic_load_n(&cpus[v].rounds, __ATOMIC_SEQ_CST));
    } else if (!strcmp(argv[1], "rest")) {
        begin(v, rests);
    } else {
        return 2;
    }
    return 0;
}
