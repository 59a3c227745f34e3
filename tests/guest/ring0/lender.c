// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest as lender, with or without the right to be one.
 *
 *   lend DOMID GFN OTHER LENT PORT   the device model of DOMID (by XEN_DOMCTL_set_target); OTHER is a domain it has no right
 *                             to, and that has granted it reference 20, as has the borrower; LENT is what it has borrowed
 *                             itself, PORT another lender's; the page at ROM_GFN was made read-only
 *   bystand DOMID GFN         no right to anything
 *   super DOMID GFN           lends 2 MiB in one piece, all zeros, and leaves it at that
 *   large STEP DOMID GFN N    2 MiB in one piece, of which page N is the one that STEP is about: make, down, up, take; or over
 *                             (all writable again), where N is how many flushes that takes
 *   ends DOMID GFN OTHER      its own lease to DOMID, and what is OTHER's, to whom it does not lend
 *   pace DOMID GFN N CYCLES   N leases, and revokes for that many cycles; prints how many, and the cycles of the third longest
 *   batch DOMID GFN FRAME     512 of its frames from FRAME on, whatever they are; then a call that is 5 pages into one of 16
 *   again DOMID GFN FRAME CYCLES  lends that frame as 512 pages, over and over for so many cycles, with EPERM now and then
 */
#include "ring0.h"

#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EAGAIN 11
#define EACCES 13
#define EBUSY 16
#define EFAULT 14
#define EEXIST 17
#define EINVAL 22
#define ENOSPC 28
#define EOPNOTSUPP 95

#include "lend_op.h"
#include "lend_abuse.h"

static unsigned count, wrong;

static void check(long got, long want, const char *name)
{
    wrong += got != want;
    print("%s %u - %s: %ld", got == want ? "ok" : "not ok", ++count, name, got);
    if (got != want)
        print(" instead of %ld", want);
    print("\n");
}

static int result(void)
{
    int rc = wrong != 0;

    print("1..%u\n", count);
    count = wrong = 0;
    return rc;
}

static long hvmop_lend(struct lend_op *op)
{
    return hypercall(__HYPERVISOR_hvm_op, HVMOP_LEND, (unsigned long)op, 0, 0, 0);
}

static long dm_op(unsigned domid, unsigned op, void *arg, unsigned size)
{
    struct { uint32_t op, pad; uint8_t u[120]; } call = { .op = op };
    struct xen_dm_op_buf buf = { .size = sizeof(call) };
    long rc;

    memcpy(call.u, arg, size);
    set_xen_guest_handle(buf.h, (void *)&call);
    rc = hypercall(__HYPERVISOR_dm_op, domid, 1, (unsigned long)&buf, 0, 0);
    memcpy(arg, call.u, size);
    return rc;
}

int bystand(int argc, char **argv)
{
    unsigned domid = argc > 1 ? number(argv[1]) : 0;
    uint64_t gfn = argc > 2 ? number(argv[2]) : 0, frame = SPARE_GFN;
    struct lend_create c = { gfn, 1, 0, 0, LEND_WB };
    struct lend_query q = {};
    struct xen_dm_op_create_ioreq_server s = {};
    struct xen_dm_op_destroy_ioreq_server e = { .id = 0 };
    xen_ulong_t idx = gfn;
    xen_pfn_t at = FREE_GFN;
    int err = 0;
    struct xen_add_to_physmap_batch foreign = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1 };
    struct xen_mem_acquire_resource resource = { .domid = domid, .type = XENMEM_resource_ioreq_server, .frame = 1,
                                                 .nr_frames = 1 };

    check(lend_create(domid, &c), -EPERM, "lends to another guest");
    check(lend_install(domid, 1, 0, 1, &frame, 1), -EPERM, "installs in another guest");
    check(lend_revoke(domid, 1, 0, 1, NULL), -EPERM, "revokes from another guest");
    check(lend_destroy(domid, 1), -EPERM, "ends another guest's lease");
    check(lend_op(domid, LEND_QUERY, &q, sizeof(q)), -EPERM, "asks for another guest's leases");
    check(ring(domid, frame), -EPERM, "listens to another guest");
    check(lend_unlisten(domid, 1, UNLISTEN_FORCE), -EPERM, "ends another lender's port");
    check(lend_unlisten(domid, 0, UNLISTEN_FORCE), -EPERM, "ends all of another lender's ports");
    check(lend_answer(domid, 1, 1, (uintptr_t)&frame, 0, 0), -EPERM, "answers another guest's fault");
    check(dm_op(domid, XEN_DMOP_create_ioreq_server, &s, sizeof(s)), -EPERM, "makes an ioreq server for another guest");
    check(dm_op(domid, XEN_DMOP_destroy_ioreq_server, &e, sizeof(e)), -EPERM, "destroys another guest's ioreq server");
    check(lend_create(0, &c), -EINVAL, "lends to dom0");
    check(lend_create(0x7ff1, &c), -ESRCH, "lends to Xen's own domain for I/O");
    foreign.u.foreign_domid = domid;
    set_xen_guest_handle(foreign.idxs, &idx);
    set_xen_guest_handle(foreign.gpfns, &at);
    set_xen_guest_handle(foreign.errs, &err);
    err = hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, (unsigned long)&foreign, 0, 0, 0) ?: err;
    check(err, -EPERM, "maps what another guest has borrowed");
    set_xen_guest_handle(resource.frame_list, &at);
    check(hypercall(__HYPERVISOR_memory_op, XENMEM_acquire_resource, (unsigned long)&resource, 0, 0, 0), -EPERM,
          "maps another guest's ioreq page");
    return result();
}

static long one(unsigned domid, const struct lend_create *c, unsigned page, uint64_t frame)
{
    return lend_install(domid, c->id, page, c->generation, &frame, 1);
}

static long map_grant(unsigned domid, unsigned ref, unsigned long gfn, grant_handle_t *handle)
{
    struct gnttab_map_grant_ref op = { .host_addr = gfn << 12, .flags = GNTMAP_host_map, .ref = ref, .dom = domid };
    long rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (unsigned long)&op, 1, 0, 0);

    *handle = op.handle;
    return rc ?: op.status;
}

static void unmap_grant(unsigned long gfn, grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = gfn << 12, .handle = handle };

    hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (unsigned long)&op, 1, 0, 0);
}

static long reservation(unsigned what, unsigned long gfn)
{
    xen_pfn_t frame = gfn;
    struct xen_memory_reservation op = { .nr_extents = 1, .domid = DOMID_SELF };

    set_xen_guest_handle(op.extent_start, &frame);
    return hypercall(__HYPERVISOR_memory_op, what, (unsigned long)&op, 0, 0, 0);
}

int super(int argc, char **argv)
{
    unsigned domid = argc > 1 ? number(argv[1]) : 0;
    struct xen_dm_op_create_ioreq_server s = {};
    struct lend_create c = { argc > 2 ? number(argv[2]) : 0, 512, 0, 0, LEND_WB };
    static uint64_t frames[512];

    for (unsigned i = 0; i < 512; i++)
        frames[i] = (SPARE_GFN + i) | FRAME_WRITE;
    memset(AT(SPARE_GFN), 0, 512 * PAGE);
    check(dm_op(domid, XEN_DMOP_create_ioreq_server, &s, sizeof(s)), 0, "an ioreq server of its own");
    c.ioserv = s.id;
    check(lend_create(domid, &c), 0, "a lease of 512 pages");
    check(lend_install(domid, c.id, 0, c.generation, frames, 512), 0, "installed");
    check(lend_done, 512, "all of them");
    return result();
}

/* One page stays lent for whoever wants to look from the borrower's side: "lend keep". */
int lend(int argc, char **argv)
{
    unsigned domid = argc > 1 ? number(argv[1]) : 0, other = argc > 3 ? number(argv[3]) : 0;
    uint64_t gfn = argc > 2 ? number(argv[2]) : 0, lent = argc > 4 ? number(argv[4]) : 0, generation = 0;
    uint32_t theirs = argc > 5 ? number(argv[5]) : 1;
    struct lend_answered answered = { .token = 1 };
    struct xen_dm_op_create_ioreq_server s = {};
    struct xen_dm_op_destroy_ioreq_server e = { .id = 0 };
    struct xen_hvm_param p = { .domid = domid, .index = HVM_PARAM_STORE_PFN };
    struct lend_create c, d;
    grant_handle_t handle;

    if (argc < 5)
        return 2;
    check(dm_op(domid, XEN_DMOP_create_ioreq_server, &s, sizeof(s)), 0, "an ioreq server of its own");
    abuse(domid, s.id, gfn, 0x100, SPARE_GFN);

    /* Somebody else's lease: the first one there is, dom0's. */
    c = (struct lend_create){ .id = 1, .generation = 1 };
    check(one(domid, &c, 0, SPARE_GFN), -EPERM, "a page for another lender's lease");
    check(lend_revoke(domid, 1, 0, 1, NULL), -EPERM, "another lender's page revoked");
    check(lend_destroy(domid, 1), -EPERM, "another lender's lease ended");
    check(lend_unlisten(domid, theirs, UNLISTEN_FORCE), -ENOENT, "another lender's port ended");
    check(lend_unlisten(domid, 0, UNLISTEN_FORCE), -ENOENT, "all ports ended");
    check(lend_answer(domid, theirs, 1, (uintptr_t)&answered, 0, 0), -ENOENT, "an answer by another lender's port");
    c = (struct lend_create){ gfn, 1, 0, 0, LEND_WB, .port = theirs };
    check(lend_create(domid, &c), -ENOENT, "a lease by another lender's port");
    d = (struct lend_create){ gfn, 1, 0, 0, LEND_WB };
    check(lend_create(domid, &d), -ENOENT, "a lease by way of another lender's ioreq server");
    check(dm_op(domid, XEN_DMOP_destroy_ioreq_server, &e, sizeof(e)), -EPERM, "another lender's ioreq server destroyed");

    /* Who borrows */
    check(lend_create(own_domid(), &d), -EPERM, "a lease to itself");
    d = (struct lend_create){ gfn, 1, s.id, 0, LEND_WB };
    check(lend_create(other, &d), -EPERM, "a lease to a guest it has no right to");
    check(lend_create(0, &d), -EINVAL, "a lease to dom0");

    /* Frames */
    c = (struct lend_create){ gfn, 16, s.id, 0, LEND_WB };
    check(lend_create(domid, &c), 0, "a lease");
    check(one(domid, &c, 0, 0xfd800), -EPERM, "a frame that nothing is at");
    check(one(domid, &c, 0, 0xfee00), -EPERM, "its local APIC");
    check(one(domid, &c, 0, 0xf0000), -EPERM, "MMIO nobody gave it");
    check(one(domid, &c, 0, SHARED_GFN), -EPERM, "its shared info page, which is Xen's");
    check(one(domid, &c, 0, GRANT_GFN), -EPERM, "its grant table, which is Xen's");
    check(ring(domid, SHARED_GFN), -EPERM, "its shared info page for the page of a port");
    check(ring(domid, GRANT_GFN), -EPERM, "its grant table for that");
    check(ring(domid, 0xfd800), -EPERM, "a frame that nothing is at");
    check(ring(domid, ROM_GFN), -EPERM, "memory that it may only read");
    check(ring(domid, SPARE_GFN), 0, "its own memory");
    check(map_grant(other, 20, FREE_GFN, &handle), 0, "a page that another guest granted");
    check(one(domid, &c, 0, FREE_GFN), -EPERM, "read-only");
    check(one(domid, &c, 0, FREE_GFN | FRAME_WRITE), -EPERM, "writable");
    check(ring(domid, FREE_GFN), -EPERM, "for the page of a port");
    unmap_grant(FREE_GFN, handle);
    check(map_grant(domid, 20, FREE_GFN, &handle), 0, "a page that the borrower granted");
    check(one(domid, &c, 0, FREE_GFN | FRAME_WRITE), -EPERM, "lent back to it");
    unmap_grant(FREE_GFN, handle);
    check(*(volatile uint64_t *)AT(lent) != 0, 1, "memory it has borrowed itself");
    check(one(domid, &c, 0, lent), -EPERM, "lent on");
    check(ring(domid, lent), -EPERM, "for the page of a port");

    /* A frame that goes away while it is lent: it is the borrower's to see until the revoke, and free then. */
    *(uint64_t *)AT(SPARE_GFN + 1) = 0xabcd;
    check(one(domid, &c, 1, (SPARE_GFN + 1) | FRAME_WRITE), 0, "a page of its own");
    check(reservation(XENMEM_decrease_reservation, SPARE_GFN + 1), 1, "which it gives back to Xen");
    check(one(domid, &c, 2, SPARE_GFN + 1), -EPERM, "and wants to lend again");
    check(reservation(XENMEM_populate_physmap, SPARE_GFN + 1), 1, "a new frame in its place");
    check(lend_revoke(domid, c.id, 1, 1, &generation), 0, "the old one revoked");
    check(one(domid, &c, 1, SPARE_GFN + 1), -EAGAIN, "the new one with the old generation");
    c.generation = generation;
    *(uint64_t *)AT(SPARE_GFN + 2) = 0x1234;
    check(one(domid, &c, 1, (SPARE_GFN + 2) | FRAME_WRITE), 0, "a page to stay");

    /* The guest's own pages by way of its parameters: a lender may ask for them. */
    check(hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (unsigned long)&p, 0, 0, 0), 0, "a parameter of the borrower's");
    return result();
}

/* What Xen says of the lease. */
static struct lend_query queried(unsigned domid, uint32_t id)
{
    struct lend_query q = { .id = id };

    check(lend_op(domid, LEND_QUERY, &q, sizeof(q)), 0, "a query");
    return q;
}

/* Steps are commands of their own, for the borrower to do something in between. */
int large(int argc, char **argv)
{
    static struct lend_create c;
    static struct lend_query before;
    static uint64_t frames[512], old;
    unsigned domid = argc > 2 ? number(argv[2]) : 0;
    uint64_t page = argc > 4 ? number(argv[4]) : 0, generation = c.generation;
    struct xen_dm_op_create_ioreq_server s = {};
    struct lend_query q;

    if (argc < 5)
        return 2;
    if (!strcmp(argv[1], "make")) {
        for (unsigned i = 0; i < 512; i++) {
            frames[i] = (SPARE_GFN + i) | FRAME_WRITE;
            *(uint64_t *)AT(SPARE_GFN + i) = 0x1000 + i;
        }
        check(dm_op(domid, XEN_DMOP_create_ioreq_server, &s, sizeof(s)), 0, "an ioreq server of its own");
        c = (struct lend_create){ number(argv[3]), 512, s.id, 0, LEND_WB };
        check(lend_create(domid, &c), 0, "a lease of 512 pages");
        check(lend_install(domid, c.id, 0, c.generation, frames, 512), 0, "installed");
    } else if (!strcmp(argv[1], "down")) {
        old = c.generation;
        check(lend_downgrade(domid, c.id, page, 1, &c.generation), 0, "a downgrade of one page");
        check(c.generation, generation + 1, "the generation after it");
        check(lend_install(domid, c.id, page, old, frames + page, 1), -EAGAIN, "what was looked up before it");
        q = queried(domid, c.id);
        check(q.downgrades - before.downgrades, 512, "pages that are read-only now");
        check(q.revokes - before.revokes, 0, "pages taken out");
        check(q.flushes - before.flushes, 1, "flushes");
    } else if (!strcmp(argv[1], "up")) {
        check(lend_install(domid, c.id, page, c.generation, frames + page, 1), 0, "one page writable again");
        q = queried(domid, c.id);
        check(q.flushes - before.flushes, 0, "flushes");
    } else if (!strcmp(argv[1], "over")) {
        check(lend_install(domid, c.id, 0, c.generation, frames, 512), 0, "all of them, writable");
        q = queried(domid, c.id);
        check(q.flushes - before.flushes, page, "flushes");
    } else if (!strcmp(argv[1], "take")) {
        check(lend_revoke(domid, c.id, page, 1, &c.generation), 0, "one page taken");
    } else {
        return 2;
    }
    before = queried(domid, c.id);
    print("# installed %lu faults %lu\n", before.installed, before.faults);
    return result();
}

/* A lease by way of an ioreq server of its own; as the commands below want it. */
static struct lend_create own_lease(unsigned domid, uint64_t gfn, uint64_t nr)
{
    struct xen_dm_op_create_ioreq_server s = {};
    struct lend_create c = { gfn, nr, 0, 0, LEND_WB };

    check(dm_op(domid, XEN_DMOP_create_ioreq_server, &s, sizeof(s)), 0, "an ioreq server of its own");
    c.ioserv = s.id;
    check(lend_create(domid, &c), 0, "a lease");
    return c;
}

int ends(int argc, char **argv)
{
    unsigned domid = argc > 1 ? number(argv[1]) : 0, other = argc > 3 ? number(argv[3]) : 0;
    uint64_t gfn = argc > 2 ? number(argv[2]) : 0;
    struct lend_create c = own_lease(domid, gfn, 16), again = { gfn, 16, 0, 0, LEND_WB, .id = 77 };

    check(lend_revoke(domid, 77, 0, 1, NULL), -ENOENT, "revokes in no lease of its borrower's");
    check(lend_destroy(other, 77), -EPERM, "ends a lease of a guest it does not lend to");
    check(lend_revoke(other, 77, 0, 1, NULL), -EPERM, "revokes in one");
    check(lend_create(other, &again), -EPERM, "goes on making one");
    check(lend_revoke(domid, c.id, 0, 16, NULL), 0, "revokes in its own");
    check(lend_destroy(domid, c.id), 0, "ends its own");
    return result();
}

int pace(int argc, char **argv)
{
    unsigned domid = argc > 1 ? number(argv[1]) : 0, n = argc > 3 ? number(argv[3]) : 0;
    uint64_t gfn = argc > 2 ? number(argv[2]) : 0, window = argc > 4 ? number(argv[4]) : 0, longest[3] = {}, start, calls = 0;
    struct lend_create c = own_lease(domid, gfn, 16);
    uint64_t now, before;

    for (unsigned i = 1; i < n; i++) {
        struct lend_create more = { gfn + 16 * i, 16, c.ioserv, 0, LEND_WB };

        check(lend_create(domid, &more), 0, "one more lease");
    }
    for (start = before = cycles(); before - start < window; before = now, calls++) {
        if (lend_revoke(domid, c.id, 0, 1, NULL))
            check(1, 0, "a revoke");
        now = cycles();
        for (uint64_t i = 0, took = now - before; i < ARRAY_SIZE(longest); i++)
            if (took > longest[i]) {
                uint64_t shorter = longest[i];

                longest[i] = took;
                took = shorter;
            }
    }
    print("calls %lu longest %lu\n", calls, longest[2]);
    return result();
}

int batch(int argc, char **argv)
{
    unsigned domid = argc > 1 ? number(argv[1]) : 0;
    uint64_t gfn = argc > 2 ? number(argv[2]) : 0, frame = argc > 3 ? number(argv[3]) : 0, left;
    struct lend_create c = own_lease(domid, gfn, 512);
    struct lend_install i = { c.id, 16, 0, c.generation, .done = 5 };
    struct lend_query q = { .id = c.id };
    static uint64_t frames[512];

    for (unsigned n = 0; n < 512; n++)
        frames[n] = (frame + n) | FRAME_WRITE;
    check(lend_install(domid, c.id, 0, c.generation, frames, 512), 0, "frames that are nowhere yet");
    check(lend_done, 512, "all of them");
    check(*(volatile uint64_t *)AT(frame + 7), 0, "which are there now");
    *(volatile uint64_t *)AT(frame + 7) = 0x77;
    check(lend_revoke(domid, c.id, 0, 16, &c.generation), 0, "some revoked");
    /* With frames in a row that takes out all 2 MiB. */
    lend_op(domid, LEND_QUERY, &q, sizeof(q));
    left = q.installed;
    i.generation = c.generation;
    i.frames = (uintptr_t)frames;
    check(lend_op(domid, LEND_INSTALL, &i, sizeof(i)), 0, "a call that has five of sixteen pages behind it");
    check(i.done, 16, "goes on from there");
    lend_op(domid, LEND_QUERY, &q, sizeof(q));
    check(q.installed - left, 11, "and only from there");
    i.done = 16;
    check(lend_op(domid, LEND_INSTALL, &i, sizeof(i)), -EINVAL, "one that has all of them behind it");
    return result();
}

int again(int argc, char **argv)
{
    unsigned domid = argc > 1 ? number(argv[1]) : 0;
    uint64_t gfn = argc > 2 ? number(argv[2]) : 0, frame = argc > 3 ? number(argv[3]) : 0, start = cycles();
    uint64_t window = argc > 4 ? number(argv[4]) : 0, lent = 0, refused = 0;
    struct lend_create c = own_lease(domid, gfn, 512);
    static uint64_t frames[512];

    for (unsigned n = 0; n < 512; n++)
        frames[n] = frame;
    while (cycles() - start < window) {
        long rc = lend_install(domid, c.id, 0, c.generation, frames, 512);

        lent += !rc;
        refused += rc == -EPERM;
        if (rc && rc != -EPERM)
            check(rc, 0, "lent again");
    }
    print("lent %lu refused %lu\n", lent, refused);
    return result();
}
