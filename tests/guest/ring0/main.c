// SPDX-License-Identifier: GPL-2.0-or-later
/* The console, and commands from it: "ID COMMAND ARGUMENT..."; see images/guest/init for what comes back. */
#include "ring0.h"

#include <xen/io/console.h>

static struct xencons_interface *console;
static evtchn_port_t console_port;
static struct shared_info *const shared = AT(SHARED_GFN);

long hypercall(unsigned nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e)
{
    register unsigned long r10 asm("r10") = d;
    register unsigned long r8 asm("r8") = e;
    long result;

    asm volatile("call *%[page]" : "=a" (result), "+D" (a), "+S" (b), "+d" (c), "+r" (r10), "+r" (r8)
                 : [page] "r" (hypercall_page + nr * 32) : "memory", "rcx", "r11");
    return result;
}

/* Xen's headers want them by name; so may the compiler. */
void *memset(void *to, int byte, size_t n)
{
    void *at = to;

    asm volatile("rep stosb" : "+D" (at), "+c" (n) : "a" (byte) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *at = to;

    asm volatile("rep movsb" : "+D" (at), "+S" (from), "+c" (n) :: "memory");
    return to;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a - *b;
}

uint64_t number(const char *text)
{
    uint64_t value = 0;
    unsigned base = 10;

    if (text[0] == '0' && text[1] == 'x')
        base = 16, text += 2;
    for (; *text; text++)
        value = value * base + (*text <= '9' ? *text - '0' : (*text | 32) - 'a' + 10);
    return value;
}

domid_t own_domid(void)
{
    uint32_t a = 0x40000004, b, c = 0, d;

    asm volatile("cpuid" : "+a" (a), "=b" (b), "+c" (c), "=d" (d));
    return a & 16 ? c : DOMID_SELF;
}

static void notify(void)
{
    struct evtchn_send send = { .port = console_port };

    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (unsigned long)&send, 0, 0, 0);
}

static void put(char c)
{
    while (console->out_prod - *(volatile XENCONS_RING_IDX *)&console->out_cons >= sizeof(console->out)) {
        notify();
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
    }
    console->out[MASK_XENCONS_IDX(console->out_prod, console->out)] = c;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    console->out_prod++;
}

static void put_number(uint64_t value, unsigned base, bool negative)
{
    char text[24];
    int n = 0;

    do
        text[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    if (negative)
        put('-');
    while (n)
        put(text[--n]);
}

/* %s, %c, and with or without l: %d %u %x; no widths. */
void print(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    for (; *fmt; fmt++) {
        bool wide = false;
        long value;
        const char *text;

        if (*fmt != '%') {
            put(*fmt);
            continue;
        }
        if (*++fmt == 'l')
            wide = true, fmt++;
        switch (*fmt) {
        case 's':
            for (text = va_arg(ap, const char *); *text; text++)
                put(*text);
            break;
        case 'c':
            put(va_arg(ap, int));
            break;
        case 'd':
            value = wide ? va_arg(ap, long) : va_arg(ap, int);
            put_number(value < 0 ? -value : value, 10, value < 0);
            break;
        default:
            put_number(wide ? va_arg(ap, unsigned long) : va_arg(ap, unsigned), *fmt == 'x' ? 16 : 10, false);
        }
    }
    va_end(ap);
    notify();
}

static char get(void)
{
    evtchn_port_t ports[] = { console_port };
    struct sched_poll poll = { .nr_ports = 1 };
    char c;

    set_xen_guest_handle(poll.ports, ports);
    for (;;) {
        __atomic_and_fetch(&shared->evtchn_pending[console_port / 64], ~(1UL << console_port % 64), __ATOMIC_SEQ_CST);
        if (*(volatile XENCONS_RING_IDX *)&console->in_prod != console->in_cons)
            break;
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (unsigned long)&poll, 0, 0, 0);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    c = console->in[MASK_XENCONS_IDX(console->in_cons, console->in)];
    __atomic_thread_fence(__ATOMIC_RELEASE);
    console->in_cons++;
    return c;
}

void set_gate(void *table, unsigned vector, unsigned long handler)
{
    uint64_t *gate = (uint64_t *)table + 2 * vector;

    gate[0] = (handler & 0xffff) | 8UL << 16 | 0x8e00UL << 32 | (handler & 0xffff0000) << 32;
    gate[1] = handler >> 32;
}

/* An exception nobody reckoned with. */
void lost(unsigned long vector, unsigned long a, unsigned long b);
void lost(unsigned long vector, unsigned long a, unsigned long b)
{
    struct sched_shutdown crash = { .reason = SHUTDOWN_crash };

    print("exception %lu, on the stack %lx %lx\n", vector, a, b);
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (unsigned long)&crash, 0, 0, 0);
    for (;;)
        ;
}

void run_vcpu(unsigned vcpu, void (*fn)(unsigned long), unsigned long arg, void *stack)
{
    static struct vcpu_hvm_context context;
    unsigned long cr0, cr4;
    long rc;

    asm("mov %%cr0, %0; mov %%cr4, %1" : "=r" (cr0), "=r" (cr4));
    context = (struct vcpu_hvm_context){
        .mode = VCPU_HVM_MODE_64B,
        .cpu_regs.x86_64 = {
            .rip = (unsigned long)start_vcpu, .rsp = (unsigned long)stack, .rdi = (unsigned long)fn, .rsi = arg, .rflags = 2,
            .cr0 = cr0, .cr3 = (unsigned long)pml4, .cr4 = cr4, .efer = 0x500,
        },
    };
    rc = hypercall(__HYPERVISOR_vcpu_op, VCPUOP_initialise, vcpu, (unsigned long)&context, 0, 0);
    rc = rc ?: hypercall(__HYPERVISOR_vcpu_op, VCPUOP_up, vcpu, 0, 0, 0);
    if (rc)
        print("vCPU %u: %ld\n", vcpu, rc);
}

void set_grant(unsigned ref, domid_t to, unsigned long gfn, unsigned flags)
{
    grant_entry_v1_t *entry = (grant_entry_v1_t *)AT(GRANT_GFN) + ref;

    entry->flags = 0;
    entry->domid = to;
    entry->frame = gfn;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    entry->flags = flags;
}

static long param(unsigned index)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };

    hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (unsigned long)&p, 0, 0, 0);
    return p.value;
}

long place(unsigned space, unsigned long index, unsigned long gfn)
{
    struct xen_add_to_physmap add = { .domid = DOMID_SELF, .space = space, .idx = index, .gpfn = gfn };

    return hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (unsigned long)&add, 0, 0, 0);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "borrow", borrow }, { "state", state }, { "lend", lend }, { "bystand", bystand }, { "super", super },
    { "hammer", hammer }, { "touch", touch }, { "ends", ends }, { "pace", pace }, { "batch", batch },
    { "crash", crash }, { "again", again }, { "others", others }, { "large", large },
};

static int command(char *line)
{
    char *argv[12];
    int argc = 0;

    while (*line && argc < 12) {
        while (*line == ' ')
            *line++ = 0;
        if (*line)
            argv[argc++] = line;
        while (*line && *line != ' ')
            line++;
    }
    for (unsigned i = 0; argc && i < ARRAY_SIZE(commands); i++)
        if (!strcmp(argv[0], commands[i].name))
            return commands[i].run(argc, argv);
    print("no such command\n");
    return 127;
}

void main(void);
void main(void)
{
    static char line[256];

    for (unsigned v = 0; v < 32; v++)
        set_gate(idt, v, (unsigned long)stubs + 16 * v);
    asm volatile("lidt idtr");
    wrmsr(0x40000000, (unsigned long)hypercall_page);
    console = AT((unsigned long)param(HVM_PARAM_CONSOLE_PFN));
    console_port = param(HVM_PARAM_CONSOLE_EVTCHN);
    place(XENMAPSPACE_shared_info, 0, SHARED_GFN);
    place(XENMAPSPACE_grant_table, 0, GRANT_GFN);
    print("@lend ready\n");
    for (;;) {
        unsigned n = 0;
        char *rest = line;

        do
            line[n] = get();
        while (line[n] != '\n' && ++n < sizeof(line) - 1);
        line[n] = 0;
        while (*rest && *rest != ' ')
            rest++;
        if (*rest)
            *rest++ = 0;
        print("@lend begin %s\n", line);
        n = command(rest);
        print("@lend end %s %u\n", line, n);
    }
}
