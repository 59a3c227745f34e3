// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the CPU itself keeps in memory, in lent memory: page tables, descriptor tables, task state, stack.
 *
 *   state prepare GFN     fill in the tables; the lender then revokes them
 *   state use GFN         use them
 *   state gone GFN [CODE] an access to a page that cannot be had; CODE is the machine check's, where the processor gives one
 *   state fetch GFN [CODE] the same by executing it
 *   state ro GFN          a write to a read-only lease
 *   state read GFN N      first words of N pages
 *   state code GFN        code in the page is executed
 *   state mtrr GFN        the MTRRs are switched, and back
 *   state interrupt GFN   an interrupt arrives while the stack is a page that cannot be had
 *   state exception GFN   exceptions are raised on such a stack
 */
#include "ring0.h"

#define FAR (1UL << 39)         /* an address that is mapped by lent tables only */

enum { PML4, PDPT, PD, PT, GDT, IDT, STACK, TASK, TASK_STACK, DATA, TABLES };

static void prepare(unsigned long gfn)
{
    uint64_t *table[TABLES], base = (unsigned long)AT(gfn + TASK), *task;

    for (unsigned i = 0; i < TABLES; i++)
        table[i] = memset(AT(gfn + i), 0, PAGE);
    table[PML4][0] = *(uint64_t *)pml4;
    table[PML4][1] = (gfn + PDPT) << 12 | 7;
    table[PDPT][0] = (gfn + PD) << 12 | 7;
    table[PD][0] = (gfn + PT) << 12 | 7;
    table[PT][0] = SPARE_GFN << 12 | 7;
    table[PT][1] = (gfn + DATA) << 12 | 7;
    memcpy(table[GDT], gdt, sizeof(gdt));
    table[GDT][3] = 103 | (base & 0xffffff) << 16 | 0x89UL << 40 | (base & 0xff000000) << 32;
    table[GDT][4] = base >> 32;
    memcpy(table[IDT], idt, 32 * 16);
    table[IDT][2 * 3] |= 1UL << 32;             /* int3 uses a stack from the task state */
    task = (void *)table[TASK] + 36;
    *task = (unsigned long)AT(gfn + TASK_STACK) + PAGE;
}

static long page_tables(unsigned long gfn)
{
    static volatile uint64_t far, lent;
    char *name = (char *)FAR + 64;
    long rc;

    asm volatile("mov %0, %%cr3" :: "r" (AT(gfn + PML4)) : "memory");
    *(volatile uint64_t *)FAR = 0x1122;
    far = *(volatile uint64_t *)FAR;
    *(volatile uint64_t *)(FAR + PAGE) = 0x3344;
    lent = *(volatile uint64_t *)(FAR + PAGE);
    /*
     * Xen's own walk of them fails, here that for a buffer in ordinary memory.  (With all tables lent, Xen could not look at the
     * instruction either; on AMD machines without next-RIP support, and with debug builds of Xen, a guest then makes its
     * hypercall for ever.)
     */
    ((volatile uint64_t *)pml4)[1] = (gfn + PDPT) << 12 | 7;
    asm volatile("mov %0, %%cr3" :: "r" (pml4) : "memory");
    rc = hypercall(__HYPERVISOR_xen_version, XENVER_extraversion, (unsigned long)name, 0, 0, 0);
    ((volatile uint64_t *)pml4)[1] = 0;
    asm volatile("mov %0, %%cr3" :: "r" (pml4) : "memory");
    if (far != 0x1122 || lent != 0x3344 || *(uint64_t *)AT(SPARE_GFN) != 0x1122 || *(uint64_t *)AT(gfn + DATA) != 0x3344)
        return -1;
    return rc;
}

static long descriptors(unsigned long gfn)
{
    struct descriptor there = { 39, (unsigned long)AT(gfn + GDT) };

    asm volatile("lgdt %0\n\t mov %1, %%es\n\t mov %1, %%ss" :: "m" (there), "r" (0x10) : "memory");
    return 0;
}

static long stack(unsigned long gfn)
{
    long rc;

    asm volatile("mov %%rsp, %%rbx\n\t mov %1, %%rsp\n\t push $77\n\t pop %%rax\n\t mov %%rbx, %%rsp"
                 : "=&a" (rc) : "r" (AT(gfn + STACK + 1)) : "rbx", "memory");
    return rc;
}

/* Delivering the exception needs four absent pages: IDT, GDT (if it went again), task state, stack. */
static long exceptions(unsigned long gfn)
{
    struct descriptor there = { 32 * 16 - 1, (unsigned long)AT(gfn + IDT) };
    uint64_t before = breakpoints;

    asm volatile("ltr %w0" :: "r" (0x18));
    asm volatile("lidt %0" :: "m" (there));
    asm volatile("int3");
    asm volatile("lidt idtr\n\t lgdt gdtr");
    return breakpoints - before;
}

static long read(unsigned long at)
{
    return *(volatile uint64_t *)at;
}

static long write(unsigned long at)
{
    uint64_t old = *(volatile uint64_t *)at;

    *(volatile uint64_t *)at = ~old;
    return *(volatile uint64_t *)at == old ? 0 : -1;
}

static long code(unsigned long at)
{
    static const uint8_t forty_two[] = { 0xb8, 42, 0, 0, 0, 0xc3 };     /* mov $42, %eax; ret */

    memcpy((void *)at, forty_two, sizeof(forty_two));
    return ((long (*)(void))at)();
}

/* Of the bank that says anything. */
static long mca_code(void)
{
    for (unsigned bank = 0; bank < 2; bank++) {
        uint64_t status = rdmsr(0x401 + 4 * bank);

        if (status >> 63)
            return status & 0xffff;
    }
    return 0;
}

#define APIC(reg) (*(volatile uint32_t *)(0xfee00000UL + (reg)))
#define VECTOR 0x40

extern uint64_t interrupts;
extern char interrupt[];
asm(".text\n"
    "interrupt: incq interrupts\n\t push %rax\n\t mov $0xfee000b0, %eax\n\t movl $0, (%rax)\n\t pop %rax\n\t iretq\n"
    ".data\n .balign 8\n .globl interrupts\n interrupts: .quad 0\n .text");

/* The APIC has it when interrupts are enabled. */
static long interrupted(unsigned long stack)
{
    APIC(0x300) = 0x40000 | VECTOR;             /* to itself */
    asm volatile("mov %%rsp, %%rbx\n\t mov %0, %%rsp\n\t sti\n\t nop\n\t nop\n\t cli\n\t mov %%rbx, %%rsp"
                 :: "r" (stack) : "rbx", "memory");
    return interrupts;
}

/* General protection, and a page fault: to the CPU two kinds of exception. */
static long general(unsigned long stack)
{
    asm volatile("mov %%rsp, %%rbx\n\t mov %0, %%rsp\n\t mov (%1), %%rax\n\t mov %%rbx, %%rsp"
                 :: "r" (stack), "r" (1UL << 63) : "rax", "rbx", "memory");
    return 0;
}

static long page_fault(unsigned long stack)
{
    asm volatile("mov %%rsp, %%rbx\n\t mov %0, %%rsp\n\t mov (%1), %%rax\n\t mov %%rbx, %%rsp"
                 :: "r" (stack), "r" (FAR) : "rax", "rbx", "memory");
    return 0;
}

/* The machine check has a stack of its own, by a task state of our own. */
static void prepare_interrupt(void)
{
    static uint64_t task[14], room[512];
    uint64_t base = (unsigned long)task;

    if (!gdt[3]) {
        *(uint64_t *)((char *)task + 36) = (unsigned long)(room + 512);
        gdt[3] = 103 | (base & 0xffffff) << 16 | 0x89UL << 40 | (base & 0xff000000) << 32;
        gdt[4] = base >> 32;
        asm volatile("ltr %w0" :: "r" (0x18));
        ((uint64_t *)idt)[2 * 18] |= 1UL << 32;
        set_gate(idt, VECTOR, (unsigned long)interrupt);
    }
    APIC(0xf0) = 0x1ff;
    APIC(0x80) = 0;
}

static unsigned count;

static unsigned judge(const char *name, long got, long want)
{
    print("%s %u - %s: %ld\n", got == want ? "ok" : "not ok", ++count, name, got);
    return got != want;
}

int state(int argc, char **argv)
{
    unsigned long gfn = argc > 2 ? number(argv[2]) : 0;
    unsigned bad = 0;

    count = 0;
    if (argc < 3)
        return 2;
    if (!strcmp(argv[1], "prepare")) {
        prepare(gfn);
    } else if (!strcmp(argv[1], "use")) {
        bad += judge("page tables of all levels; what Xen reads through them", attempt(page_tables, gfn), -14);
        bad += judge("global descriptor table", attempt(descriptors, gfn), 0);
        bad += judge("stack", attempt(stack, gfn), 77);
        bad += judge("interrupt descriptor table, task state and its stack", attempt(exceptions, gfn), 1);
        print("1..%u\n", count);
    } else if (!strcmp(argv[1], "gone") || !strcmp(argv[1], "fetch")) {
        bool fetch = argv[1][0] == 'f';

        bad += judge("a page that cannot be had", fetch ? attempt((void *)(gfn << 12), 0) : attempt(read, gfn << 12), -1018);
        if (argc > 3)
            bad += judge("the machine check's code", mca_code(), number(argv[3]));
        /* The guest has dealt with it. */
        wrmsr(0x17a, 0);
        print("1..%u\n", count);
    } else if (!strcmp(argv[1], "code")) {
        bad += judge("code", attempt(code, gfn << 12), 42);
        print("1..%u\n", count);
    } else if (!strcmp(argv[1], "interrupt")) {
        static uint64_t good[512];

        prepare_interrupt();
        interrupts = 0;
        bad += judge("an interrupt on a good stack", attempt(interrupted, (unsigned long)(good + 512)), 1);
        bad += judge("on one that is gone", attempt(interrupted, (gfn + 1) << 12), -1018);
        wrmsr(0x17a, 0);
        bad += judge("is not lost before", interrupts, 1);
        asm volatile("sti\n\t nop\n\t nop\n\t cli" ::: "memory");
        bad += judge("nor after", interrupts, 2);
        bad += judge("and others arrive", attempt(interrupted, (unsigned long)(good + 512)), 3);
        print("1..%u\n", count);
    } else if (!strcmp(argv[1], "exception")) {
        static uint64_t good[512];

        prepare_interrupt();
        bad += judge("general protection on a good stack", attempt(general, (unsigned long)(good + 512)), -1013);
        bad += judge("on one that is gone", attempt(general, (gfn + 1) << 12), -1018);
        wrmsr(0x17a, 0);
        bad += judge("a page fault on a good stack", attempt(page_fault, (unsigned long)(good + 512)), -1014);
        bad += judge("on one that is gone", attempt(page_fault, (gfn + 1) << 12), -1018);
        wrmsr(0x17a, 0);
        print("1..%u\n", count);
    } else if (!strcmp(argv[1], "mtrr")) {
        uint64_t old = rdmsr(0x2ff);

        wrmsr(0x2ff, old ^ 0x800);
        wrmsr(0x2ff, old);
    } else if (!strcmp(argv[1], "ro")) {
        bad += judge("written to where it is read-only", attempt(write, gfn << 12), 0);
        print("1..%u\n", count);
    } else {
        for (unsigned n = argc > 3 ? number(argv[3]) : 1, i = 0; i < n; i++)
            print("%lx ", (unsigned long)attempt(read, (gfn + i) << 12));
        print("\n");
    }
    return bad != 0;
}
