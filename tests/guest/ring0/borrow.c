// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lent frames given to everything in Xen that takes a frame or an address, and used in odd ways by the CPU.
 *
 *   borrow GFN           GFN is the first of 512 lent pages, the first word of page N being 0x1000 + N
 *   borrow GFN N PAGE    only attempt N, and only with a page that is absent
 *   borrow grant DOMID   grant a page of RAM as reference 20
 *   borrow scatter GFN   leave Xen with a page table for each 2 MiB of the GiB at GFN, and a page of RAM in its last page
 */
#include "ring0.h"

#define EPERM 1
#define ENOENT 2
#define EFAULT 14
#define EBUSY 16
#define EACCES 13
#define EINVAL 22
#define ENOSYS 38
#define EOPNOTSUPP 95

#include "lend_op.h"

static long memory_op(unsigned op, void *arg)
{
    return hypercall(__HYPERVISOR_memory_op, op, (unsigned long)arg, 0, 0, 0);
}

static long vcpu_op(unsigned op, void *arg)
{
    return hypercall(__HYPERVISOR_vcpu_op, op, 0, (unsigned long)arg, 0, 0);
}

static long evtchn_op(unsigned op, void *arg)
{
    return hypercall(__HYPERVISOR_event_channel_op, op, (unsigned long)arg, 0, 0, 0);
}

/* Buffers of hypercalls */

static long result_buffer(unsigned long gfn)
{
    return hypercall(__HYPERVISOR_xen_version, XENVER_extraversion, (unsigned long)AT(gfn), 0, 0, 0);
}

static long argument_buffer(unsigned long gfn)
{
    return memory_op(XENMEM_maximum_gpfn, AT(gfn));
}

static long call_list(unsigned long gfn)
{
    return hypercall(__HYPERVISOR_multicall, (unsigned long)AT(gfn), 1, 0, 0, 0);
}

static long split_buffer(unsigned long gfn)
{
    /* Begins in ordinary memory: the last page before the lent one, by page tables of our own. */
    static uint64_t pt[512] __attribute__((aligned(4096)));
    uint64_t *pd = (uint64_t *)((*(uint64_t *)pml4 & ~0xfffUL));
    uint64_t *entry = (uint64_t *)(pd[4] & ~0xfffUL) + 511, old = *entry;
    unsigned long va = (4UL << 30) + (511UL << 21);
    long rc;

    pt[0] = SPARE_GFN << 12 | 7;
    pt[1] = gfn << 12 | 7;
    *entry = (unsigned long)pt | 7;
    asm volatile("invlpg (%0)" :: "r" (va) : "memory");
    asm volatile("invlpg (%0)" :: "r" (va + PAGE) : "memory");
    rc = hypercall(__HYPERVISOR_xen_version, XENVER_extraversion, va + PAGE - 2, 0, 0, 0);
    *entry = old;
    asm volatile("mov %0, %%cr3" :: "r" (pml4) : "memory");
    return rc;
}

/* Grants; what comes back is the status of the operation */

static long copy(unsigned long from, unsigned long to, unsigned flags)
{
    struct gnttab_copy op = { .source.domid = DOMID_SELF, .dest.domid = DOMID_SELF, .len = 64, .flags = flags };
    long rc;

    if (flags & GNTCOPY_source_gref) {
        op.source.domid = own_domid();
        op.source.u.ref = from;
    } else {
        op.source.u.gmfn = from;
    }
    op.dest.u.gmfn = to;
    rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (unsigned long)&op, 1, 0, 0);
    return rc ?: op.status;
}

static long grant_copy_from(unsigned long gfn)
{
    return copy(gfn, SPARE_GFN, 0);
}

static long grant_copy_to(unsigned long gfn)
{
    return copy(SPARE_GFN, gfn, 0);
}

static long grant_source(unsigned long gfn)
{
    long rc;

    set_grant(20, own_domid(), gfn, GTF_permit_access);
    rc = copy(20, SPARE_GFN, GNTCOPY_source_gref);
    set_grant(20, 0, 0, 0);
    return rc;
}

static long map(unsigned long gfn, unsigned long at)
{
    struct gnttab_map_grant_ref op = { .host_addr = at << 12, .flags = GNTMAP_host_map, .ref = 21, .dom = own_domid() };
    long rc;

    set_grant(21, own_domid(), gfn, GTF_permit_access);
    rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (unsigned long)&op, 1, 0, 0);
    if (!rc && !op.status) {
        struct gnttab_unmap_grant_ref undo = { .host_addr = at << 12, .handle = op.handle };

        hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (unsigned long)&undo, 1, 0, 0);
    }
    set_grant(21, 0, 0, 0);
    return rc ?: op.status;
}

static long grant_map_of(unsigned long gfn)
{
    return map(gfn, FREE_GFN);
}

static long grant_map_over(unsigned long gfn)
{
    return map(SPARE_GFN, gfn);
}

static long grant_transfer(unsigned long gfn)
{
    struct gnttab_transfer op = { .mfn = gfn, .domid = 0, .ref = 8 };
    long rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_transfer, (unsigned long)&op, 1, 0, 0);

    return rc ?: op.status;
}

/* The physical map */

static long add(unsigned space, unsigned long idx, unsigned long gfn)
{
    struct xen_add_to_physmap op = { .domid = DOMID_SELF, .space = space, .idx = idx, .gpfn = gfn };

    return memory_op(XENMEM_add_to_physmap, &op);
}

static long shared_info_over(unsigned long gfn)
{
    long rc = add(XENMAPSPACE_shared_info, 0, gfn);

    add(XENMAPSPACE_shared_info, 0, SHARED_GFN);
    return rc;
}

static long grant_table_over(unsigned long gfn)
{
    return add(XENMAPSPACE_grant_table, 1, gfn);
}

static long move_from(unsigned long gfn)
{
    return add(XENMAPSPACE_gmfn, gfn, FREE_GFN);
}

static unsigned long spare = SPARE_GFN + 16;

static long move_to(unsigned long gfn)
{
    return add(XENMAPSPACE_gmfn, spare++, gfn);
}

static long foreign_over(unsigned long gfn)
{
    xen_ulong_t idx = 0x100;
    xen_pfn_t at = gfn;
    int err = 0;
    struct xen_add_to_physmap_batch op = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1 };

    op.u.foreign_domid = 0;
    set_xen_guest_handle(op.idxs, &idx);
    set_xen_guest_handle(op.gpfns, &at);
    set_xen_guest_handle(op.errs, &err);
    return memory_op(XENMEM_add_to_physmap_batch, &op) ?: err;
}

static long batch_over(unsigned long gfn)
{
    xen_ulong_t idx = 0;
    xen_pfn_t at = gfn;
    int err = 0;
    struct xen_add_to_physmap_batch op = { .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .size = 1 };

    set_xen_guest_handle(op.idxs, &idx);
    set_xen_guest_handle(op.gpfns, &at);
    set_xen_guest_handle(op.errs, &err);
    memory_op(XENMEM_add_to_physmap_batch, &op);
    add(XENMAPSPACE_shared_info, 0, SHARED_GFN);
    return err;
}

static long remove(unsigned long gfn)
{
    struct xen_remove_from_physmap op = { .domid = DOMID_SELF, .gpfn = gfn };

    return memory_op(XENMEM_remove_from_physmap, &op);
}

static long reservation(unsigned what, unsigned long gfn, unsigned order)
{
    xen_pfn_t frame = gfn;
    struct xen_memory_reservation op = { .nr_extents = 1, .extent_order = order, .domid = DOMID_SELF };

    set_xen_guest_handle(op.extent_start, &frame);
    return memory_op(what, &op);
}

static long decrease(unsigned long gfn)
{
    return reservation(XENMEM_decrease_reservation, gfn, 0);
}

static long decrease_superpage(unsigned long gfn)
{
    return reservation(XENMEM_decrease_reservation, gfn & ~511UL, 9);
}

static long populate(unsigned long gfn)
{
    /* So that there is memory to populate with. */
    reservation(XENMEM_decrease_reservation, spare++, 0);
    return reservation(XENMEM_populate_physmap, gfn, 0);
}

static long exchange(unsigned long gfn)
{
    xen_pfn_t in = gfn, out = FREE_GFN;
    struct xen_memory_exchange op = {
        .in = { .nr_extents = 1, .domid = DOMID_SELF }, .out = { .nr_extents = 1, .domid = DOMID_SELF },
    };

    set_xen_guest_handle(op.in.extent_start, &in);
    set_xen_guest_handle(op.out.extent_start, &out);
    return memory_op(XENMEM_exchange, &op);
}

static long resource_over(unsigned long gfn)
{
    xen_pfn_t frame = gfn;
    struct xen_mem_acquire_resource op = { .domid = own_domid(), .type = XENMEM_resource_grant_table, .nr_frames = 1 };

    set_xen_guest_handle(op.frame_list, &frame);
    return memory_op(XENMEM_acquire_resource, &op);
}

static long access_rights(unsigned long gfn)
{
    struct xen_mem_access_op op = {
        .op = XENMEM_access_op_set_access, .access = XENMEM_access_r, .domid = own_domid(), .nr = 1, .pfn = gfn,
    };

    return memory_op(XENMEM_access_op, &op);
}

/* Pages that Xen keeps mapped */

static long vcpu_info(unsigned long gfn)
{
    struct vcpu_register_vcpu_info op = { .mfn = gfn };

    return vcpu_op(VCPUOP_register_vcpu_info, &op);
}

static long runstate_phys(unsigned long gfn)
{
    struct vcpu_register_runstate_memory_area op = { .addr.p = gfn << 12 };

    return vcpu_op(14 /* VCPUOP_register_runstate_phys_area */, &op);
}

static long time_phys(unsigned long gfn)
{
    struct vcpu_register_time_memory_area op = { .addr.p = gfn << 12 };

    return vcpu_op(15 /* VCPUOP_register_vcpu_time_phys_area */, &op);
}

/* These two are addresses that Xen writes to when it sees fit; a write that fails is forgotten. */
static long runstate(unsigned long gfn)
{
    struct vcpu_register_runstate_memory_area op = {};
    long rc;

    set_xen_guest_handle(op.addr.h, (struct vcpu_runstate_info *)AT(gfn));
    rc = vcpu_op(VCPUOP_register_runstate_memory_area, &op);
    for (int i = 0; i < 20; i++)
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
    op.addr.p = 0;
    vcpu_op(VCPUOP_register_runstate_memory_area, &op);
    return rc;
}

static long time_info(unsigned long gfn)
{
    struct vcpu_register_time_memory_area op = {};
    long rc;

    set_xen_guest_handle(op.addr.h, (struct vcpu_time_info *)AT(gfn));
    rc = vcpu_op(VCPUOP_register_vcpu_time_memory_area, &op);
    for (int i = 0; i < 20; i++)
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
    op.addr.p = 0;
    vcpu_op(VCPUOP_register_vcpu_time_memory_area, &op);
    return rc;
}

static long event_fifo(unsigned long gfn)
{
    struct evtchn_init_control op = { .control_gfn = gfn };

    return evtchn_op(EVTCHNOP_init_control, &op);
}

static long hvm_param(unsigned index, unsigned long gfn)
{
    struct xen_hvm_param op = { .domid = DOMID_SELF, .index = index, .value = gfn };

    return hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, (unsigned long)&op, 0, 0, 0);
}

static long ioreq_page(unsigned long gfn)
{
    return hvm_param(HVM_PARAM_IOREQ_PFN, gfn);
}

static long event_ring(unsigned long gfn)
{
    return hvm_param(HVM_PARAM_MONITOR_RING_PFN, gfn);
}

static long ident_page_table(unsigned long gfn)
{
    return hvm_param(HVM_PARAM_IDENT_PT, gfn << 12);
}

/* For messages of dom0's; one in RAM has to work. */
static long argo_ring(unsigned long gfn)
{
    struct {
        uint32_t port;
        uint16_t partner, pad;
        uint32_t len;
    } ring = { .port = 7, .len = 1024 };
    unsigned long ram = SPARE_GFN + 6;

    if (hypercall(__HYPERVISOR_argo_op, 1, (unsigned long)&ring, (unsigned long)&ram, 1, 0))
        return -1;
    ring.port = 8;
    return hypercall(__HYPERVISOR_argo_op, 1, (unsigned long)&ring, (unsigned long)&gfn, 1, 0);
}

/* The CPU */

static long local_apic(unsigned long gfn)
{
    uint64_t base = rdmsr(0x1b);

    wrmsr(0x1b, (base & 0xfff) | gfn << 12);
    *(volatile uint32_t *)(AT(gfn) + 0x80) = 0x20;      /* the register of the task priority, if it is there */
    *(volatile uint32_t *)(AT(gfn) + 0x80) = 0;
    wrmsr(0x1b, base);
    return rdmsr(0x1b) == base ? 0 : -1;
}

static long split_lock(unsigned long gfn)
{
    volatile uint64_t *at = AT(gfn) + PAGE - 4;
    uint64_t old = *at;

    asm volatile("lock addq %1, %0" : "+m" (*at) : "r" (0x123456789abcdefUL));
    asm volatile("lock subq %1, %0" : "+m" (*at) : "r" (0x123456789abcdefUL));
    return *at == old ? 0 : -1;
}

static long wide_exchange(unsigned long at)
{
    uint64_t low = 1, high = 2;
    bool done;

    asm volatile("lock cmpxchg16b (%[at])" : "=@ccz" (done), "+a" (low), "+d" (high)
                 : [at] "r" (at), "b" (low), "c" (high) : "memory");
    return done ? 1 : 0;
}

static long cmpxchg16b(unsigned long gfn)
{
    return wide_exchange((gfn << 12) + 64);
}

static long cmpxchg16b_across(unsigned long gfn)
{
    return wide_exchange((gfn << 12) + PAGE - 8);
}

static long string_across(unsigned long gfn)
{
    void *to = AT(gfn) + PAGE - 100, *from = AT(SPARE_GFN);
    unsigned long n = 200;

    memcpy(from, to, 200);
    asm volatile("rep movsb" : "+D" (to), "+S" (from), "+c" (n) :: "memory");
    return n;
}

/* Instructions that Xen has to emulate: the local APIC's identity is copied, and ports are read and written. */
static long emulated_write(unsigned long gfn)
{
    void *to = AT(gfn) + 128, *from = (void *)0xfee00030UL;
    uint32_t version = *(volatile uint32_t *)from, got;

    asm volatile("movsl" : "+D" (to), "+S" (from) :: "memory");
    got = *(volatile uint32_t *)(AT(gfn) + 128);
    *(volatile uint32_t *)(AT(gfn) + 128) = 0;
    return got == version ? 0 : -1;
}

static long emulated_read(unsigned long gfn)
{
    void *from = AT(gfn) + 256, *to = (void *)0xfee00080UL;

    asm volatile("movsl" : "+D" (to), "+S" (from) :: "memory");
    return *(volatile uint32_t *)0xfee00080UL;
}

static long emulated_across(unsigned long gfn)
{
    void *to = AT(gfn) + PAGE - 2, *from = (void *)0xfee00030UL;
    uint32_t version = *(volatile uint32_t *)from, got, old = *(volatile uint32_t *)to;

    asm volatile("movsl" : "+D" (to), "+S" (from) :: "memory");
    got = *(volatile uint32_t *)(AT(gfn) + PAGE - 2);
    *(volatile uint32_t *)(AT(gfn) + PAGE - 2) = old;
    return got == version ? 0 : -1;
}

static long port_in(unsigned long gfn)
{
    void *to = AT(gfn) + 512;
    unsigned long n = 32;

    asm volatile("rep insb" : "+D" (to), "+c" (n) : "d" (0x3f0) : "memory");
    for (int i = 0; i < 32; i++)
        n += *(uint8_t *)(AT(gfn) + 512 + i) != 0xff;
    memset(AT(gfn) + 512, 0, 32);
    return n;
}

static long port_out(unsigned long gfn)
{
    void *from = AT(gfn) + 512;
    unsigned long n = 32;

    asm volatile("rep outsb" : "+S" (from), "+c" (n) : "d" (0x3f0) : "memory");
    return n;
}

static long put_code(unsigned long gfn, const uint8_t *code, unsigned n)
{
    long (*fn)(unsigned long) = AT(gfn) + 1024;
    long rc;

    memcpy(AT(gfn) + 1024, code, n);
    rc = attempt(fn, 0xfee00030UL);
    memset(AT(gfn) + 1024, 0, n);
    return rc;
}

static long code(unsigned long gfn)
{
    static const uint8_t forty_two[] = { 0xb8, 42, 0, 0, 0, 0xc3 };

    return put_code(gfn, forty_two, sizeof(forty_two));
}

/* Code that needs emulation: Xen has to fetch it from lent memory. */
static long code_emulated(unsigned long gfn)
{
    static const uint8_t apic[] = { 0x8b, 0x07, 0x31, 0xc0, 0xc3 };     /* mov (%rdi), %eax; xor %eax, %eax; ret */

    return put_code(gfn, apic, sizeof(apic));
}

static long code_cpuid(unsigned long gfn)
{
    static const uint8_t cpuid[] = { 0x53, 0x31, 0xc0, 0x0f, 0xa2, 0x5b, 0x31, 0xc0, 0xc3 };

    return put_code(gfn, cpuid, sizeof(cpuid));
}

/* The lender's calls, by the borrower, on itself */
static long hvmop_lend(struct lend_op *op)
{
    return hypercall(__HYPERVISOR_hvm_op, HVMOP_LEND, (unsigned long)op, 0, 0, 0);
}

static long lend_to_itself(unsigned long gfn)
{
    struct lend_create create = { .first_gfn = gfn, .nr = 1, .memtype = LEND_WB };

    return lend_create(own_domid(), &create);
}

#define MC(vector) (-1000 - (vector))

static const struct {
    const char *name;
    long (*fn)(unsigned long gfn);
    long want, or;      /* or: what is as good; 0 if nothing is */
} attempts[] = {
    { "as the buffer of a result", result_buffer, -EFAULT },
    { "as the buffer of an argument", argument_buffer, -EFAULT },
    { "as the second page of a buffer", split_buffer, -EFAULT },
    { "as the list of a multicall", call_list, -EFAULT },
    { "as the source of a grant copy", grant_copy_from, GNTST_bad_page },
    { "as the target of a grant copy", grant_copy_to, GNTST_bad_page },
    { "granted, copied from", grant_source, GNTST_bad_page },
    { "granted, mapped", grant_map_of, GNTST_bad_page },
    { "a grant mapped over it", grant_map_over, GNTST_general_error },
    { "transferred as a grant", grant_transfer, -ENOSYS },
    { "shared info put over it", shared_info_over, -EBUSY },
    { "shared info put over it in a batch", batch_over, -EBUSY },
    { "the grant table put over it", grant_table_over, -EBUSY },
    { "moved to another frame", move_from, -EACCES },
    { "memory moved over it", move_to, -EBUSY },
    { "a foreign page put over it", foreign_over, -EPERM },
    { "removed from the physical map", remove, -ENOENT },
    { "given back to Xen", decrease, 0 },
    { "given back to Xen as a superpage", decrease_superpage, 0 },
    { "populated", populate, 0 },
    { "exchanged", exchange, -EINVAL },
    { "a resource put over it", resource_over, -EPERM },
    { "access rights set", access_rights, -EPERM, -EOPNOTSUPP },
    { "as vcpu_info", vcpu_info, -EINVAL },
    { "as the area of the run state", runstate_phys, -EINVAL },
    { "as the area of the time", time_phys, -EINVAL },
    { "as the address of the run state", runstate, 0 },
    { "as the address of the time", time_info, 0 },
    { "as the control block of event channels", event_fifo, -EINVAL },
    { "as ioreq page", ioreq_page, -EPERM },
    { "as the ring of VM events", event_ring, -EPERM },
    { "as the identity page table", ident_page_table, -EPERM },
    { "as an Argo ring", argo_ring, -EINVAL },
    { "leased by the borrower itself", lend_to_itself, -EPERM },
    { "the local APIC moved there", local_apic, MC(13) },
    { "a locked operation across two pages", split_lock, 0 },
    { "cmpxchg16b", cmpxchg16b, 0 },
    { "cmpxchg16b across two pages", cmpxchg16b_across, MC(13) },
    { "a string copied across two pages", string_across, 0 },
    { "written to by an emulated instruction", emulated_write, 0 },
    { "read by an emulated instruction", emulated_read, 0 },
    { "an emulated write across two pages", emulated_across, 0 },
    { "filled from a port", port_in, 0 },
    { "written to a port", port_out, 0 },
    { "code in it", code, 42 },
    { "code in it that has to be emulated", code_emulated, 0 },
    { "code in it that is intercepted", code_cpuid, 0 },
};

/* A page of RAM is moved about; the tables that it needed stay. */
static int scatter(unsigned long gfn)
{
    unsigned long at = SPARE_GFN + 32;

    for (unsigned i = 0; i <= 512; i++) {
        unsigned long next = gfn + 512 * i - (i == 512);
        long rc = add(XENMAPSPACE_gmfn, at, next);

        if (rc) {
            print("%lx to %lx: %ld\n", at, next, rc);
            return 1;
        }
        at = next;
    }
    return 0;
}

/* Is the page as it was? */
static bool whole(unsigned long gfn, unsigned page)
{
    uint64_t *word = AT(gfn + page);

    if (word[0] != 0x1000 + page)
        return false;
    for (unsigned i = 1; i < PAGE / 8; i++)
        if (word[i])
            return false;
    return true;
}

int borrow(int argc, char **argv)
{
    unsigned long gfn = argc == 2 ? number(argv[1]) : 0;
    unsigned wrong = 0;

    if (argc == 3 && !strcmp(argv[1], "grant")) {
        set_grant(20, number(argv[2]), SPARE_GFN + 8, GTF_permit_access);
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "scatter"))
        return scatter(number(argv[2]));
    if (argc == 4) {
        unsigned i = number(argv[2]), page = number(argv[3]);
        long got = i < ARRAY_SIZE(attempts) ? attempt(attempts[i].fn, number(argv[1]) + page) : 0;
        bool good = i < ARRAY_SIZE(attempts) && got == attempts[i].want && whole(number(argv[1]), page);

        print("%s 1 - page %u, %s: %ld\n1..1\n", good ? "ok" : "not ok", page, attempts[i].name, got);
        return !good;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(attempts); i++) {
        /* Four pages each: one not touched, one present, two absent. */
        unsigned page = 508 - 4 * i;
        long absent = attempt(attempts[i].fn, gfn + page + 2), present;
        bool good;

        (void)*(volatile uint64_t *)AT(gfn + page + 1);
        present = attempt(attempts[i].fn, gfn + page + 1);
        good = (absent == attempts[i].want || (attempts[i].or && absent == attempts[i].or)) && present == absent;
        for (int p = 0; p < 4; p++)
            good &= whole(gfn, page + p);
        wrong += !good;
        print("%s %u - %s: %ld, %ld\n", good ? "ok" : "not ok", i + 1, attempts[i].name, absent, present);
    }
    print("1..%u\n", (unsigned)ARRAY_SIZE(attempts));
    return wrong != 0;
}
