/*
 * Memory lending: HVMOP_lend, by means of a domain which never runs.
 *
 * What a borrower gets to see needs a guest, and isn't covered.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xencall.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenguest.h>
#include <xen-tools/common-macros.h>

#include <xen/hvm/hvm_op.h>

static unsigned int nr_failures;
#define fail(fmt, ...)                          \
({                                              \
    nr_failures++;                              \
    (void)printf(fmt, ##__VA_ARGS__);           \
})

/* A call is expected to fail with @error, or to succeed if that's 0. */
#define expect(error, call)                                              \
({                                                                       \
    int got_ = (call) < 0 ? errno : 0;                                   \
                                                                         \
    if ( got_ != (error) )                                               \
        fail("  Fail: line %d: expected %d, got %d - %s\n", __LINE__,    \
             error, got_, strerror(got_));                               \
})

#define expect_eq(want, got)                                             \
({                                                                       \
    uint64_t want_ = (want), got_ = (got);                               \
                                                                         \
    if ( got_ != want_ )                                                 \
        fail("  Fail: line %d: expected %"PRIu64", got %"PRIu64"\n",     \
             __LINE__, want_, got_);                                     \
})

#define WB    XEN_DMOP_MEM_CACHEATTR_WB
#define GFN   0x1000
#define NR    16
#define WRITE XEN_HVM_LEND_frame_write
#define SKIP  XEN_HVM_LEND_frame_skip

static xencall_handle *xcall;
static xen_hvm_lend_op_t *op;    /* These two are hypercall buffers. */
static uint64_t *op_frames;
static xc_interface *xch;
static xendevicemodel_handle *dmod;
static uint32_t domid;
static ioservid_t ioserv;

static struct xen_domctl_createdomain create = {
    .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
    .max_vcpus = 1,
    .max_evtchn_port = -1,
    .max_grant_frames = 1,
    .grant_opts = XEN_DOMCTL_GRANT_version(1),
    .arch.emulation_flags = XEN_X86_EMU_LAPIC,
};

static int call(uint32_t cmd)
{
    op->cmd = cmd;
    op->domain = domid;
    op->pad = 0;

    return xencall2(xcall, __HYPERVISOR_hvm_op, HVMOP_lend, (uintptr_t)op);
}

static int create_lease(uint64_t gfn, uint64_t nr, ioservid_t server,
                        unsigned int flags, uint32_t memtype, uint32_t *id,
                        uint64_t *generation)
{
    int rc;

    op->u.create = (xen_hvm_lend_create_t){
        .first_gfn = gfn,
        .nr = nr,
        .ioserv = server,
        .flags = flags,
        .memtype = memtype,
    };

    rc = call(XEN_HVM_LEND_create);
    *id = op->u.create.id;
    *generation = op->u.create.generation;

    return rc;
}

/* Without the parameters which don't matter. */
static int lease(uint64_t gfn, uint64_t nr, unsigned int flags, uint32_t *id,
                 uint64_t *generation)
{
    return create_lease(gfn, nr, ioserv, flags, WB, id, generation);
}

static int destroy(uint32_t id)
{
    op->u.destroy = (xen_hvm_lend_destroy_t){ .id = id };

    return call(XEN_HVM_LEND_destroy);
}

static int lend_pages(uint32_t id, uint64_t offset, uint64_t generation,
                      const uint64_t frames[], unsigned int nr, uint32_t *done)
{
    int rc;

    memcpy(op_frames, frames, nr * sizeof(*frames));
    op->u.install = (xen_hvm_lend_install_t){
        .id = id,
        .nr = nr,
        .offset = offset,
        .generation = generation,
        .frames = (uintptr_t)op_frames,
    };

    rc = call(XEN_HVM_LEND_install);
    *done = op->u.install.done;

    return rc;
}

static int lend_page(uint32_t id, uint64_t offset, uint64_t generation,
                     uint64_t frame)
{
    uint32_t done;

    return lend_pages(id, offset, generation, &frame, 1, &done);
}

static int take_back(uint32_t id, uint64_t offset, uint64_t nr,
                     uint64_t *generation)
{
    int rc;

    op->u.revoke = (xen_hvm_lend_revoke_t){
        .id = id,
        .offset = offset,
        .nr = nr,
    };

    rc = call(XEN_HVM_LEND_revoke);
    if ( !rc )
        *generation = op->u.revoke.generation;

    return rc;
}

static int query(uint32_t id, xen_hvm_lend_query_t *info)
{
    int rc;

    op->u.query = (xen_hvm_lend_query_t){ .id = id };

    rc = call(XEN_HVM_LEND_query);
    *info = op->u.query;

    return rc;
}

static uint64_t installed(uint32_t id)
{
    xen_hvm_lend_query_t info;

    if ( query(id, &info) || info.id != id )
        return ~0;

    return info.installed;
}

/*
 * The frame behind a page of ours: the PFN if this domain is HVM or PVH.  A PV
 * one's MFN is the one M2P says to have that PFN; as a different domain may
 * use the same PFN, try which of them are accepted.
 */
static int find_frame(const void *page, uint32_t id, uint64_t generation,
                      uint64_t *frame)
{
    int fd = open("/proc/self/pagemap", O_RDONLY);
    unsigned long max_mfn, mfn;
    xen_pfn_t *m2p;
    uint64_t entry;

    if ( fd < 0 ||
         pread(fd, &entry, sizeof(entry),
               (uintptr_t)page / XC_PAGE_SIZE * sizeof(entry)) !=
         sizeof(entry) )
        return -1;
    close(fd);

    *frame = entry & ((1ULL << 55) - 1);
    if ( !lend_page(id, 0, generation, *frame | WRITE) )
        return 0;

    if ( xc_maximum_ram_page(xch, &max_mfn) ||
         !(m2p = xc_map_m2p(xch, max_mfn, PROT_READ, NULL)) )
        return -1;

    for ( mfn = 0; mfn < max_mfn; mfn++ )
        if ( m2p[mfn] == *frame &&
             !lend_page(id, 0, generation, mfn | WRITE) )
        {
            *frame = mfn;
            return 0;
        }

    return -1;
}

static void test_create(void)
{
    xen_hvm_lend_query_t info;
    uint32_t id, other;
    uint64_t generation;

    printf("Test create, destroy, query\n");

    expect(ENOENT, query(0, &info));

    expect(EINVAL, lease(GFN, 0, 0, &id, &generation));
    expect(EINVAL, lease(GFN, XEN_HVM_LEND_MAX_PAGES + 1, 0, &id,
                         &generation));
    expect(EINVAL, lease(~0ULL, 2, 0, &id, &generation));
    expect(EINVAL, lease(1ULL << 40, 1, 0, &id, &generation));
    expect(EINVAL, lease(GFN, NR, ~XEN_HVM_LEND_readonly & 0xffff, &id,
                         &generation));
    expect(EINVAL, create_lease(GFN, NR, ioserv, 0, ~0, &id, &generation));
    expect(ENOENT, create_lease(GFN, NR, ioserv + 1, 0, WB, &id,
                                &generation));
    expect(EEXIST, lease(0, 1, 0, &id, &generation)); /* There's RAM. */

    expect(0, lease(GFN, NR, 0, &id, &generation));
    expect(EEXIST, lease(GFN + NR - 1, NR, 0, &other, &generation));
    expect(0, lease(GFN + NR, NR, XEN_HVM_LEND_readonly, &other,
                    &generation));

    expect(0, query(id, &info));
    expect_eq(GFN, info.first_gfn);
    expect_eq(NR, info.nr);
    expect_eq(ioserv, info.ioserv);
    expect_eq(0, info.flags);
    expect_eq(0, info.installed);
    expect(0, query(id + 1, &info));
    expect_eq(other, info.id);
    expect_eq(XEN_HVM_LEND_readonly, info.flags);

    expect(0, destroy(id));
    expect(ENOENT, destroy(id));
    expect(0, destroy(other));
    expect(ENOENT, query(0, &info));
}

static void test_install(void *page)
{
    uint64_t frame, old, generation, frames[NR], other_gen;
    uint32_t id, other, done;
    unsigned int i;

    printf("Test install, revoke\n");

    expect(0, lease(GFN, NR, 0, &id, &generation));
    expect(0, lease(GFN + NR, NR, XEN_HVM_LEND_readonly, &other, &other_gen));

    if ( find_frame(page, id, generation, &frame) )
    {
        fail("  Fail: no frame to lend: %d - %s\n", errno, strerror(errno));
        return;
    }
    expect_eq(1, installed(id));

    expect(EINVAL, lend_page(id, NR, generation, frame));
    expect(EAGAIN, lend_page(id, 1, generation + 1, frame));
    expect(EPERM, lend_page(id, 1, generation, 1ULL << 40));
    expect(ENOENT, lend_page(id + 2, 1, generation, frame));
    expect(EACCES, lend_page(other, 0, other_gen, frame | WRITE));
    expect(0, lend_page(other, 0, other_gen, frame));

    /* Up to, but excluding, the bad one; not at all where told so. */
    for ( i = 0; i < NR; i++ )
        frames[i] = frame;
    frames[3] = SKIP;
    frames[6] = 1ULL << 40;
    expect(EPERM, lend_pages(id, 0, generation, frames, NR, &done));
    expect_eq(6, done);
    expect_eq(5, installed(id));

    expect(EINVAL, take_back(id, 0, 0, &old));
    expect(EINVAL, take_back(id, 1, NR, &old));
    expect(ENOENT, take_back(id + 2, 0, 1, &old));

    old = generation;
    expect(0, take_back(id, 4, NR - 4, &generation));
    expect_eq(3, installed(id));
    expect_eq(1, installed(other));
    expect(EAGAIN, lend_page(id, 5, old, frame));
    expect(0, lend_page(id, 5, generation, frame));
    expect_eq(4, installed(id));

    expect(0, destroy(id));
    expect(ENOENT, lend_page(id, 0, generation, frame));
    expect(ENOENT, take_back(id, 0, 1, &generation));

    /* The other one, with a page installed, is left to domain destruction. */
}

static int listen_on(uint64_t frame, unsigned int nr, uint32_t *id)
{
    int rc;

    op->u.listen = (xen_hvm_lend_listen_t){
        .frame = frame,
        .ports = (uintptr_t)op_frames,
        .nr = nr,
    };

    rc = call(XEN_HVM_LEND_listen);
    *id = op->u.listen.id;

    return rc;
}

static int unlisten(uint32_t id, uint32_t flags)
{
    op->u.unlisten = (xen_hvm_lend_unlisten_t){ .id = id, .flags = flags };

    return call(XEN_HVM_LEND_unlisten);
}

static int answer(uint32_t port, unsigned int nr, uint32_t vcpu,
                  uint32_t result)
{
    xen_hvm_lend_answered_t *a = (void *)op_frames;

    a[0] = (xen_hvm_lend_answered_t){ .vcpu = vcpu, .result = result,
                                      .token = 1 };
    op->u.answer = (xen_hvm_lend_answer_t){
        .port = port,
        .nr = nr,
        .answers = (uintptr_t)op_frames,
    };

    return call(XEN_HVM_LEND_answer);
}

static int lease_port(uint32_t port, ioservid_t server, uint32_t *id)
{
    op->u.create = (xen_hvm_lend_create_t){
        .first_gfn = GFN,
        .nr = NR,
        .ioserv = server,
        .memtype = WB,
        .port = port,
    };

    *id = 0;
    if ( call(XEN_HVM_LEND_create) )
        return -1;
    *id = op->u.create.id;

    return 0;
}

static void test_listen(void *page)
{
    uint64_t frame, generation;
    xen_hvm_lend_query_t info;
    uint32_t id, lent, ports[4];
    unsigned int i;

    printf("Test listen, answer, unlisten\n");

    expect(0, lease(GFN, NR, 0, &lent, &generation));
    if ( find_frame(page, lent, generation, &frame) )
    {
        fail("  Fail: no frame to lend: %d - %s\n", errno, strerror(errno));
        return;
    }
    expect(0, destroy(lent));

    expect(EINVAL, listen_on(frame, 0, &id));
    expect(EINVAL, listen_on(frame, 129, &id));
    expect(EPERM, listen_on(1ULL << 40, 1, &id));
    expect(ENOENT, unlisten(0, 0));
    expect(ENOENT, unlisten(1, 0));
    expect(ENOENT, answer(0, 1, 0, 0));
    expect(ENOENT, answer(1, 1, 0, 0));
    expect(ENOENT, lease_port(1, 0, &lent));

    for ( i = 0; i < ARRAY_SIZE(ports); i++ )
    {
        expect(0, listen_on(frame, 1, &ports[i]));
        expect_eq(1, op->u.listen.nr);
        if ( !*(uint32_t *)op_frames )
            fail("  Fail: no event channel\n");
    }
    expect(ENOSPC, listen_on(frame, 1, &id));
    expect(0, unlisten(ports[3], 0));
    expect(ENOENT, unlisten(ports[3], 0));
    expect(0, listen_on(frame, 1, &id));
    if ( id == ports[3] )
        fail("  Fail: a port was used again\n");
    expect(EINVAL, unlisten(id, ~XEN_HVM_LEND_unlisten_force));
    expect(0, unlisten(id, 0));

    expect(EINVAL, answer(ports[0], 0, 0, 0));
    expect(EINVAL, answer(ports[0], XEN_HVM_LEND_MAX_ANSWERS + 1, 0, 0));
    expect(EINVAL, answer(ports[0], 1, 0, 2));
    expect(0, answer(ports[0], 1, 0, 0));
    expect_eq(0, op->u.answer.woken);
    expect(0, answer(ports[0], 1, ~0u, 1));
    expect_eq(0, op->u.answer.woken);

    expect(EINVAL, lease_port(ports[0], 1, &lent));
    expect(ENOENT, lease_port(ports[3], 0, &lent));
    expect(0, lease_port(ports[0], 0, &lent));

    /* A token that nobody waits for is no reason not to install. */
    op_frames[0] = frame;
    op->u.install = (xen_hvm_lend_install_t){
        .id = lent, .nr = 1, .generation = 1,
        .frames = (uintptr_t)op_frames, .vcpu = ~0u, .token = ~0ULL,
    };
    expect(0, call(XEN_HVM_LEND_install));
    expect_eq(1, installed(lent));
    op->u.install = (xen_hvm_lend_install_t){
        .id = lent, .nr = 1, .generation = 1,
        .frames = (uintptr_t)op_frames, .vcpu = 1,
    };
    expect(EINVAL, call(XEN_HVM_LEND_install));

    /* First leases, then ports.  Unless there's no other way. */
    expect(0, query(lent, &info));
    expect_eq(ports[0], info.port);
    expect(EBUSY, unlisten(ports[0], 0));
    expect(EBUSY, unlisten(0, 0));
    expect(ENOENT, unlisten(ports[1], 0));
    expect(0, unlisten(ports[0], XEN_HVM_LEND_unlisten_force));
    expect_eq(1, installed(lent));
    expect(0, destroy(lent));
    expect(ENOENT, unlisten(0, 0));

    /* Another one is left to domain destruction. */
    expect(0, listen_on(frame, 1, &id));
}

int main(int argc, char **argv)
{
    xen_pfn_t ram[1] = { 0 };
    void *page;
    uint32_t port;
    int rc;

    printf("Memory lending tests\n");

    xch = xc_interface_open(NULL, NULL, 0);
    dmod = xendevicemodel_open(NULL, 0);
    xcall = xencall_open(NULL, 0);
    op = xcall ? xencall_alloc_buffer(xcall, sizeof(*op)) : NULL;
    op_frames = xcall ? xencall_alloc_buffer(xcall, NR * sizeof(*op_frames))
                      : NULL;
    page = mmap(NULL, XC_PAGE_SIZE, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if ( !xch )
        err(1, "xc_interface_open");
    if ( !dmod )
        err(1, "xendevicemodel_open");
    if ( !xcall || !op || !op_frames )
        err(1, "xencall");
    if ( page == MAP_FAILED || mlock(page, XC_PAGE_SIZE) )
        err(1, "mmap");

    rc = xc_domain_create(xch, &domid, &create);
    if ( rc )
    {
        if ( errno == EINVAL || errno == EOPNOTSUPP )
            printf("Skip: %d - %s\n", errno, strerror(errno));
        else
            fail("Domain create failure: %d - %s\n", errno, strerror(errno));
        goto out;
    }

    printf("  Created d%u\n", domid);

    /* Events are by vCPU. */
    if ( !listen_on(0, 1, &port) || (errno != EAGAIN && errno != ENOSYS) )
        fail("  Fail: listening to no vCPU: %d - %s\n", errno,
             strerror(errno));

    if ( xc_domain_max_vcpus(xch, domid, 1) ||
         xc_domain_setmaxmem(xch, domid, -1) ||
         xc_domain_populate_physmap_exact(xch, domid, 1, 0, 0, ram) ||
         xendevicemodel_create_ioreq_server(dmod, domid, 0, &ioserv) )
    {
        fail("  Domain setup failure: %d - %s\n", errno, strerror(errno));
        goto destroy;
    }

    rc = destroy(0);
    if ( rc && errno == ENOSYS )
    {
        printf("Skip: no memory lending in this hypervisor\n");
        goto destroy;
    }

    test_create();
    test_listen(page);
    test_install(page);

 destroy:
    rc = xc_domain_destroy(xch, domid);
    if ( rc )
        fail("  Failed to destroy domain: %d - %s\n", errno, strerror(errno));

 out:
    return !!nr_failures;
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
