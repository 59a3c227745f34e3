// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What dom0 may try without the driver: hypercalls of its own making, frames it has no right to lend, and the toolstack's calls on
 * frames that are lent.  TAP.
 *
 *   lend_attack DOMID GFN             all of that
 *   lend_attack DOMID GFN orphan      leave a lease behind whose ioreq server is gone
 *   lend_attack DOMID GFN sweep       end all leases of dom0's
 *   lend_attack DOMID GFN target D    make domain D a device model of DOMID
 *   lend_attack DOMID GFN rom         make the page at GFN one that the guest may not write to
 *   lend_attack DOMID GFN hole N      take N pages of the guest's RAM away, where a lease is to go
 */
#define _GNU_SOURCE
#include "lendtest.h"

#include <xenforeignmemory.h>
#include <xen/hvm/params.h>

#include "rawlend.h"

static void check(long got, long want, const char *name)
{
    ok(got == want, "%s: %ld%s", name, got, got == want ? "" : " is wrong");
}

#include "lend_abuse.h"

#define KPF_PGTABLE (1ULL << 26)

static void page_tables(void)
{
    unsigned tried = 0, readable = 0, refused = 0;

    for (uint64_t pfn = 1000; pfn < max_mfn && tried < 16; pfn += 37) {
        int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
        uint64_t flags = 0, mfn;

        if (pread(fd, &flags, 8, pfn * 8) != 8) {
            close(fd);
            break;
        }
        close(fd);
        if (!(flags & KPF_PGTABLE))
            continue;
        mfn = mfn_of(pfn);
        flags = lend_one(0, mfn | FRAME_WRITE);
        if (!(pread64_of("/proc/kpageflags", pfn) & KPF_PGTABLE)) {
            lend_revoke(domid, lease.id, 0, 1, &lease.generation);
            continue;                           /* freed meanwhile */
        }
        tried++;
        readable++;
        refused += (long)flags == -EPERM;
    }
    ok(tried && refused == tried, "%u of %u page tables of dom0's refused as writable (%u lent read-only)", refused, tried,
       readable);
}

/* Frames that are somebody else's, by what the machine-to-physical table says of them. */
static void others(const char *whose, bool (*are)(uint64_t pfn), unsigned step, unsigned most)
{
    unsigned tried = 0, refused = 0;

    for (uint64_t mfn = 256; mfn < max_mfn && tried < most; mfn += step)
        if (are(m2p[mfn])) {
            tried++;
            refused += lend_one(0, mfn) == -EPERM && lend_one(0, mfn | FRAME_WRITE) == -EPERM && ring(domid, mfn) == -EPERM;
        }
    ok(tried && refused == tried, "%u of %u frames of %s refused", refused, tried, whose);
}

/* No pseudo-physical frame of dom0's is that high, but these pages of a guest's are. */
static bool guests(uint64_t pfn)
{
    return pfn >= 0xfeff0 && pfn <= 0xfefff;
}

static bool nobodys(uint64_t pfn)
{
    return (int64_t)pfn < 0 || pfn >= 1ULL << 32;
}

static void frames(uint64_t mine)
{
    lease = (struct lend_create){ gfn, 16, ioserv, 0, LEND_WB };
    check(lend_create(domid, &lease), 0, "a lease for trying frames");
    check(lend_one(1, mine), 0, "a frame of dom0's, read-only");
    check(lend_one(1, mine | FRAME_WRITE), 0, "and writable");
    page_tables();
    others("guests'", guests, 1, 64);
    others("Xen's and nobody's", nobodys, 997, 256);
    check(lend_one(0, 0xfee00), -EPERM, "the local APIC");
    check(lend_one(0, 0xfec00), -EPERM, "the I/O APIC");
    check(lend_one(0, 0xfed00 | FRAME_WRITE), -EPERM, "MMIO that dom0 may only read");
    check(ring(domid, 0xb8), -EPERM, "MMIO of dom0's for the page of a port");
    check(ring(domid, mine), 0, "a frame of dom0's for that");
    lend_destroy(domid, lease.id);
}

static void *foreign(uint64_t at)
{
    static xenforeignmemory_handle *fmem;
    xen_pfn_t pfn = at;
    int err = 0;
    void *mem;

    if (!fmem)
        fmem = xenforeignmemory_open(NULL, 0);
    mem = xenforeignmemory_map(fmem, domid, PROT_READ, 1, &pfn, &err);
    if (!mem || err)
        return NULL;
    xenforeignmemory_unmap(fmem, mem, 1);
    return mem;
}

/* A call of the toolstack's came to that: 0 or an errno. */
#define DID(call) ((call) < 0 ? errno : 0)

static void toolstack(uint64_t mine)
{
    unsigned long map[8];
    uint64_t old = 0;
    uint32_t port;
    void *ring;

    lease = (struct lend_create){ gfn, 16, ioserv, 0, LEND_WB };
    check(lend_create(domid, &lease), 0, "a lease for the toolstack to stumble over");
    check(lend_one(0, mine | FRAME_WRITE), 0, "with a page in it");
    ok(foreign(0x100), "a foreign mapping of guest RAM works");
    xc_domain_iomem_permission(xch, domid, 0xb8, 1, 1);
    ring = xc_monitor_enable(xch, domid, &port);
    ok(ring, "a monitor of the guest");
    for (unsigned i = 0; i < 2; i++) {
        const char *is_ = i ? "absent" : "present";
        xen_pfn_t at = gfn + i;
        int err;

        ok(!foreign(at), "%s page, foreign mapping", is_);
        err = DID(xc_set_mem_access(xch, domid, XENMEM_access_r, at, 1));
        /* AMD's processors do not have it. */
        ok(err == EBUSY || err == EINVAL, "%s page, mem_access: %s", is_, strerror(err));
        err = DID(xendevicemodel_set_mem_type(dmod, domid, HVMMEM_ram_ro, at, 1));
        ok(err == EINVAL, "%s page, set_mem_type: %s", is_, strerror(err));
        ok(xc_domain_decrease_reservation_exact(xch, domid, 1, 0, &at), "%s page, memory taken from there", is_);
        ok(xc_domain_populate_physmap_exact(xch, domid, 1, 0, 0, &at), "%s page, memory put there", is_);
        err = DID(xendevicemodel_relocate_memory(dmod, domid, 1, at, 0xfd200));
        ok(err == EACCES, "%s page, moved away: %s", is_, strerror(err));
        err = DID(xendevicemodel_relocate_memory(dmod, domid, 1, 0x900 + i, at));
        ok(err == EBUSY, "%s page, memory moved there: %s", is_, strerror(err));
        err = DID(xc_domain_memory_mapping(xch, domid, at, 0xb8, 1, 1));
        /* The library tries to undo it, and tells what came of that. */
        ok(err, "%s page, MMIO mapped there: %s", is_, strerror(err));
        err = DID(xc_domain_memory_mapping(xch, domid, at, 0xb8, 1, 0));
        ok(err, "%s page, MMIO unmapped from there: %s", is_, strerror(err));
    }
    if (ring) {
        xc_monitor_disable(xch, domid);
        munmap(ring, PAGE);
    }
    is(DID(xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0)), EBUSY, "log-dirty mode");
    /* This is for RAM only: nothing else changes its type. */
    is(DID(xendevicemodel_track_dirty_vram(dmod, domid, gfn, 16, map)), 0, "log-dirty mode of the range");
    xendevicemodel_track_dirty_vram(dmod, domid, 0, 0, map);
    is(DID(xendevicemodel_pin_memory_cacheattr(dmod, domid, gfn, gfn + 15, XEN_DMOP_MEM_CACHEATTR_UC)), 0,
       "cache attributes pinned to it");
    xendevicemodel_pin_memory_cacheattr(dmod, domid, gfn, gfn + 15, XEN_DMOP_DELETE_MEM_CACHEATTR);
    is(DID(xendevicemodel_modified_memory(dmod, domid, gfn, 16)), 0, "said to be modified by the device model");

    /* The ioreq page of old, by a frame number. */
    if (!xc_hvm_param_get(xch, domid, HVM_PARAM_IOREQ_SERVER_PFN, &old)) {
        xen_pfn_t page;
        ioservid_t id;

        xc_hvm_param_set(xch, domid, HVM_PARAM_IOREQ_SERVER_PFN, gfn);
        xc_hvm_param_set(xch, domid, HVM_PARAM_NR_IOREQ_SERVER_PAGES, 2);
        if (!xendevicemodel_create_ioreq_server(dmod, domid, 0, &id)) {
            is(DID(xendevicemodel_get_ioreq_server_info(dmod, domid, id, &page, NULL, NULL)), EINVAL, "an ioreq page there");
            xendevicemodel_destroy_ioreq_server(dmod, domid, id);
        }
    }
    ok(!lend_one(1, mine | FRAME_WRITE) && !lend_revoke(domid, lease.id, 0, 16, &lease.generation),
       "the lease is none the worse for it");
    lend_destroy(domid, lease.id);
}

/* What a device model keeps that has given up all else: dm_ops, on its guest. */
static void restricted(uint64_t mine)
{
    struct { uint32_t op, pad; uint64_t u[15]; } dm = { .u = { gfn, 1, (uint64_t)LEND_WB << 32 | ioserv } };
    struct privcmd_dm_op_buf buf = { &dm, sizeof(dm) };
    struct privcmd_dm_op dm_op = { .dom = domid, .num = 1, .ubufs = &buf };
    struct lend_create c = { gfn, 1, ioserv, 0, LEND_WB };
    struct lend_op op = { .cmd = LEND_CREATE, .domain = domid };
    struct privcmd_hypercall call = { .op = __HYPERVISOR_hvm_op, .arg = { HVMOP_LEND, (uintptr_t)&op } };
    domid_t only = domid;
    int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);

    memcpy(&op.u, &c, sizeof(c));
    is(DID(ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &only)), 0, "restricted to the guest");
    dm.op = XEN_DMOP_nr_vcpus;
    is(DID(ioctl(fd, IOCTL_PRIVCMD_DM_OP, &dm_op)), 0, "restricted, counting vCPUs");
    is(DID(ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call)), EPERM, "restricted, making a lease");
    for (dm.op = 21; dm.op < 26; dm.op++) {
        int err = DID(ioctl(fd, IOCTL_PRIVCMD_DM_OP, &dm_op));

        ok(err == EOPNOTSUPP, "restricted, dm_op %u, which nothing is: %s", dm.op, strerror(err));
    }
    close(fd);
    check(lend_create(domid, &c), 0, "the same lease, not restricted");
    lease = c;
    check(lend_one(0, mine), 0, "with a frame of dom0's");
    lend_destroy(domid, c.id);
}

static void sweep(void)
{
    struct lend_query q = {};

    while (!lend_op(domid, LEND_QUERY, &q, sizeof(q))) {
        if (!q.lender)
            lend_destroy(domid, q.id);
        q = (struct lend_query){ .id = q.id + 1 };
    }
}

int main(int argc, char **argv)
{
    struct lend_create c;
    uint64_t pfn, mine;
    char *mem;

    arguments(argc, argv);
    know_frames();
    if (argc > 4 && !strcmp(argv[3], "target"))
        return xc_domain_set_target(xch, strtoul(argv[4], NULL, 0), domid) ? 1 : 0;
    if (argc > 4) {
        for (unsigned long n = 0; n < strtoul(argv[4], NULL, 0); n++) {
            xen_pfn_t at = gfn + n;

            if (xc_domain_decrease_reservation_exact(xch, domid, 1, 0, &at))
                return 1;
        }
        return 0;
    }
    if (argc > 3 && !strcmp(argv[3], "rom")) {
        dmod = xendevicemodel_open(NULL, 0);
        return xendevicemodel_set_mem_type(dmod, domid, HVMMEM_ram_ro, gfn, 1) ? 1 : 0;
    }
    if (argc > 3 && !strcmp(argv[3], "sweep")) {
        sweep();
        return 0;
    }
    make_server();
    if (argc > 3) {
        c = (struct lend_create){ gfn, 16, ioserv, 0, LEND_WB };
        check(xendevicemodel_set_ioreq_server_state(dmod, domid, ioserv, 1), 0, "the ioreq server is on");
        check(lend_create(domid, &c), 0, "a lease");
        drop_server();
        return done();
    }
    mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    mlock(mem, PAGE);
    lease = (struct lend_create){ gfn, 16, ioserv, 0, LEND_WB };
    if (lend_create(domid, &lease))
        die("a lease");
    pfn = pread64_of("/proc/self/pagemap", (uintptr_t)mem / PAGE) & ((1ULL << 55) - 1);
    mine = mfn_of(pfn);
    lend_destroy(domid, lease.id);

    abuse(domid, ioserv, gfn, 0x100, mine);
    frames(mine);
    toolstack(mine);
    restricted(mine);
    drop_server();
    return done();
}
