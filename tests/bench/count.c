// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A plugin of QEMU's TCG for the emulated machine: counts the instructions that a guest, Xen or the host's kernel, and user space
 * execute, and how often one gives way to another, between marks in the guest's program.
 *
 *   -plugin count.so,out=FILE
 *
 * A mark is an instruction without effect, nopl 0x4c4dKKNN(%rax,%rax,1), in any program of whatever level (tests/guest/mark.h). KK
 * is what it is: 1 begin, 2 end, 3 begin and note the path. Each appends one line of JSON to FILE:
 *
 *   {"kind": 1, "number": NN, "ns": T,
 *    "cpus": [{"instructions": [guest kernel, guest user, xen, kernel, user], "changes": [[5 x 5]]},
 *    ...]}
 *
 * "changes" says by row who was interrupted, by column who went on. With an end, after a 3, "path" is what happened in between:
 * [processor, who, instructions] in order of their ends.
 *
 * Who executes an instruction is known when it is translated, as the emulator does not mix up translations of different levels:
 * a guest from VMRUN to the instruction after it; else, and whether it is a kernel, by its address. Xen has a range of its own in
 * the address space that it shares with PV domains (xen/arch/x86/include/asm/config.h). A PVH dom0 is a guest. Blocks are counted when they begin, so one that ends early by a fault counts as whole.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum who { GUEST_KERNEL, GUEST_USER, XEN, KERNEL, USER, WHO };

#define XEN_START   0xffff800000000000ULL
#define XEN_END     0xffff880000000000ULL
#define KERNEL_HALF 0x8000000000000000ULL

#define MARK        0x4c4d0000U
enum { BEGIN = 1, END = 2, BEGIN_PATH = 3 };

#define STEPS_MAX   100000
#define RETURNS_MAX 64

struct counts {
    uint64_t who;                       /* that executes */
    uint64_t instructions[WHO];
    uint64_t changes[WHO][WHO];
    uint64_t since;                     /* instructions[who] when it began to */
};

struct step {
    unsigned cpu;
    enum who who;
    uint64_t instructions;
};

static struct qemu_plugin_scoreboard *board;
static int out = -1;
static __thread bool in_guest;

/* Addresses after a VMRUN; only ever more. */
static uint64_t returns[RETURNS_MAX];
static int nr_returns;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct step *steps;              /* lock */
static int nr_steps;                    /* lock */
static bool noting;                     /* read without the lock */

static struct counts *counts_of(unsigned cpu)
{
    return qemu_plugin_scoreboard_find(board, cpu);
}

static bool is_return(uint64_t address)
{
    int n = __atomic_load_n(&nr_returns, __ATOMIC_ACQUIRE);

    while (n--)
        if (returns[n] == address)
            return true;
    return false;
}

static void add_return(uint64_t address)
{
    pthread_mutex_lock(&lock);
    if (!is_return(address) && nr_returns < RETURNS_MAX) {
        returns[nr_returns] = address;
        __atomic_store_n(&nr_returns, nr_returns + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
}

static void enter_guest(unsigned cpu, void *data)
{
    in_guest = true;
}

static void leave_guest(unsigned cpu, void *data)
{
    in_guest = false;
}

static void change(unsigned cpu, void *data)
{
    struct counts *c = counts_of(cpu);
    enum who from = c->who, to = (uintptr_t)data;

    c->changes[from][to]++;
    if (__atomic_load_n(&noting, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&lock);
        if (nr_steps < STEPS_MAX)
            steps[nr_steps++] = (struct step){ cpu, from, c->instructions[from] - c->since };
        pthread_mutex_unlock(&lock);
    }
    c->since = c->instructions[to];
    c->who = to;
}

static void write_counts(FILE *f, const struct counts *c)
{
    fprintf(f, "{\"instructions\": [");
    for (int i = 0; i < WHO; i++)
        fprintf(f, "%s%" PRIu64, i ? ", " : "", c->instructions[i]);
    fprintf(f, "], \"changes\": [");
    for (int i = 0; i < WHO; i++) {
        fprintf(f, "%s[", i ? ", " : "");
        for (int k = 0; k < WHO; k++)
            fprintf(f, "%s%" PRIu64, k ? ", " : "", c->changes[i][k]);
        fprintf(f, "]");
    }
    fprintf(f, "]}");
}

/* Others go on counting while we look. */
static void mark(unsigned cpu, void *data)
{
    unsigned what = (uintptr_t)data, kind = what >> 8;
    struct timespec now;
    char *text = NULL;
    size_t size = 0, done = 0;
    FILE *f;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&lock);
    f = open_memstream(&text, &size);
    if (!f)
        abort();
    fprintf(f, "{\"kind\": %u, \"number\": %u, \"ns\": %" PRIu64 ", \"cpus\": [", kind, what & 0xff,
            now.tv_sec * UINT64_C(1000000000) + now.tv_nsec);
    for (int i = 0; i < qemu_plugin_num_vcpus(); i++) {
        fprintf(f, "%s", i ? ", " : "");
        write_counts(f, counts_of(i));
    }
    fprintf(f, "]");
    if (kind == END && noting) {
        fprintf(f, ", \"path\": [");
        for (int i = 0; i < nr_steps; i++)
            fprintf(f, "%s[%u, %u, %" PRIu64 "]", i ? ", " : "", steps[i].cpu, steps[i].who, steps[i].instructions);
        fprintf(f, "]");
    }
    fprintf(f, "}\n");
    fclose(f);
    nr_steps = 0;
    __atomic_store_n(&noting, kind == BEGIN_PATH, __ATOMIC_RELAXED);
    while (done < size) {
        ssize_t n = write(out, text + done, size - done);

        if (n <= 0)
            abort();
        done += n;
    }
    free(text);
    pthread_mutex_unlock(&lock);
}

static enum who who_is_at(uint64_t address)
{
    if (address < KERNEL_HALF)
        return USER;
    return address >= XEN_START && address < XEN_END ? XEN : KERNEL;
}

/* Called by the processor that is going to execute it. */
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    static const unsigned char vmrun[] = { 0x0f, 0x01, 0xd8 }, nopl[] = { 0x0f, 0x1f, 0x84, 0x00 };
    size_t n = qemu_plugin_tb_n_insns(tb);
    uint64_t start = qemu_plugin_tb_vaddr(tb);
    bool back = is_return(start) && start >= KERNEL_HALF;
    bool guest = in_guest && !back;
    enum who who = guest ? (start < KERNEL_HALF ? GUEST_USER : GUEST_KERNEL) : who_is_at(start);

    if (back)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, leave_guest, QEMU_PLUGIN_CB_NO_REGS, NULL);
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, change, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_COND_NE,
                                              qemu_plugin_scoreboard_u64_in_struct(board, struct counts, who), who,
                                              (void *)(uintptr_t)who);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        tb, QEMU_PLUGIN_INLINE_ADD_U64, (qemu_plugin_u64){ board, offsetof(struct counts, instructions[0]) + who * 8 }, n);

    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t size = qemu_plugin_insn_size(insn);
        unsigned char bytes[16];
        uint32_t word;

        if (size != sizeof(vmrun) && size != 8)
            continue;
        qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
        if (size == sizeof(vmrun) && !memcmp(bytes, vmrun, size) && !guest) {
            add_return(qemu_plugin_insn_vaddr(insn) + size);
            qemu_plugin_register_vcpu_insn_exec_cb(insn, enter_guest, QEMU_PLUGIN_CB_NO_REGS, NULL);
        } else if (size == 8 && !memcmp(bytes, nopl, sizeof(nopl))) {
            memcpy(&word, bytes + 4, 4);
            if ((word & 0xffff0000U) == MARK)
                qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)(word & 0xffff));
        }
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4)) {
            fprintf(stderr, "count: no option '%s'\n", argv[i]);
            return -1;
        }
        out = open(argv[i] + 4, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    }
    steps = calloc(STEPS_MAX, sizeof(*steps));
    if (out < 0 || !steps) {
        fprintf(stderr, "count: needs out=FILE, to be written to\n");
        return -1;
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct counts));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
