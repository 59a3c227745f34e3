// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What tests/functional/dom0/test_review.py wants done without the driver.
 *
 *   lend_review DOMID GFN iomem     frames of MMIO lose the permission that they were lent by; TAP
 *   lend_review DOMID GFN write     pages of 2 MiB become writable one by one; TAP
 *   lend_review DOMID GFN pod       populate-on-demand while there is a lease; TAP
 *   lend_review DOMID GFN mmio D    domain D gets a frame of MMIO, at LENDER_MMIO
 *   lend_review DOMID GFN race D N  while D lends that, N times it loses and gets back its permission; prints how often something
 *                                   stayed with DOMID that D has no permission for, and how often something was there before
 *   lend_review DOMID GFN end N     N times a lease of 16 pages ends; prints the least time that took, in us
 *   lend_review DOMID GFN dirty N   N times the dirty bitmap of 512 MiB, and how long that takes in us
 */
#define _GNU_SOURCE
#include <time.h>

#include "lendtest.h"
#include "rawlend.h"

#define SUPER 512
#define DIRTY (1 << 17)

static struct lend_query query(void)
{
    struct lend_query q = { .id = lease.id };

    if (lend_op(domid, LEND_QUERY, &q, sizeof(q)))
        die("query");
    return q;
}

/* Dom0 does not get its permission back, so it is for something that nobody uses, and another one each time. */
static void iomem(void)
{
    uint64_t mfn, mine;

    for (mine = 0x1000; lend_one(0, mine); mine++)
        ;
    for (mfn = 0xba; mfn < 0xc0 && lend_one(1, mfn | FRAME_WRITE); mfn++)
        ;
    is_num(query().installed, 2, "a frame of RAM and one of MMIO are lent");
    is(xc_domain_iomem_permission(xch, 0, mfn, 1, 0) ? errno : 0, 0, "dom0 loses the MMIO");
    is_num(query().installed, 0, "and so does its borrower");
    is(-lend_one(1, mfn), EPERM, "it cannot be lent again");
    is(-lend_one(1, mfn - 1), 0, "other MMIO can");
    is(-lend_one(0, mine), 0, "and so can RAM");
    is(xc_domain_iomem_permission(xch, 0, mfn, 1, 0) ? errno : 0, EPERM, "it cannot be taken twice");
    is_num(query().installed, 2, "which takes nothing");
}

static void superpage(uint64_t frames[SUPER])
{
    for (uint64_t mfn = SUPER; mfn + SUPER < max_mfn; mfn += SUPER) {
        for (unsigned n = 0; n < SUPER; n++)
            frames[n] = mfn + n;
        if (m2p[mfn] < max_mfn && !lend_install(domid, lease.id, 0, lease.generation, frames, SUPER))
            return;
    }
    errno = ENOENT;
    die("512 frames in a row");
}

static void writable(void)
{
    static uint64_t frames[SUPER];
    uint64_t flushes, installs;
    unsigned first, n;

    superpage(frames);
    is_num(query().installed, SUPER, "2 MiB are there read-only");
    /* What is a page table of dom0's at the time is refused. */
    for (first = 0; first < SUPER && lend_one(first, frames[first] | FRAME_WRITE); first++)
        ;
    is_num(query().installed, SUPER, "one page of it becomes writable, and the others stay");
    flushes = query().flushes;
    installs = query().installs;
    for (n = first + 1; n < SUPER; n++)
        lend_one(n, frames[n] | FRAME_WRITE);
    installs = query().installs - installs;
    ok(installs > 100, "%llu more of them become writable", (unsigned long long)installs);
    is_num(query().flushes - flushes, 0, "flushes for that");
    is_num(query().installed, SUPER, "all of it is there");
    is(-lend_revoke(domid, lease.id, 0, SUPER, &lease.generation), 0, "all of it is revoked");
    is_num(query().installed, 0, "pages are left");
}

static void pod(void)
{
    xen_pfn_t at = 0xfd300;

    ok(xc_domain_populate_physmap_exact(xch, domid, 1, 0, XENMEMF_populate_on_demand, &at), "memory on demand: %s",
       strerror(errno));
    ok(!xc_domain_setmaxmem(xch, domid, 1 << 20) && !xc_domain_populate_physmap_exact(xch, domid, 1, 0, 0, &at), "memory at once");
}

/* What nobody uses: as above, from the other end. */
#define MMIO        0xbf
#define LENDER_MMIO 0xfd000

static void mmio(unsigned lender)
{
    if (xc_domain_iomem_permission(xch, lender, MMIO, 1, 1) || xc_domain_memory_mapping(xch, lender, LENDER_MMIO, MMIO, 1, 1))
        die("MMIO for the lender");
}

static uint64_t lent_now(void)
{
    struct lend_query q = {};

    if (lend_op(domid, LEND_QUERY, &q, sizeof(q)))
        die("query");
    return q.installed;
}

static void race(unsigned lender, unsigned times)
{
    unsigned stayed = 0, there = 0;

    for (unsigned n = 0; n < times; n++) {
        if (xc_domain_iomem_permission(xch, lender, MMIO, 1, 1))
            die("permission");
        usleep(5000 + n % 16 * 500);
        there += lent_now() > 0;
        if (xc_domain_iomem_permission(xch, lender, MMIO, 1, 0))
            die("no permission");
        /* For what was under way to be done. */
        usleep(20000);
        stayed += lent_now() > 0;
    }
    printf("%u of %u\n", stayed, there);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void dirty(unsigned times)
{
    static unsigned long map[DIRTY / 64];
    int fd = open("/sys/module/xen_privcmd/parameters/dm_op_buf_max_size", O_WRONLY | O_CLOEXEC);
    double start;

    if (fd < 0 || write(fd, "32768", 5) != 5)
        die("the size of buffers");
    close(fd);
    /* The first call is what begins it. */
    if (xendevicemodel_track_dirty_vram(dmod, domid, 0, DIRTY, map))
        die("dirty bitmap");
    start = now();
    for (unsigned i = 0; i < times; i++)
        if (xendevicemodel_track_dirty_vram(dmod, domid, 0, DIRTY, map))
            die("dirty bitmap");
    printf("%.0f\n", (now() - start) / times);
    xendevicemodel_track_dirty_vram(dmod, domid, 0, 0, map);
}

static void end(unsigned times)
{
    double least = 1e9, start, took;

    for (unsigned i = 0; i < times; i++) {
        lease = (struct lend_create){ gfn, 16, ioserv, 0, LEND_WB };
        if (lend_create(domid, &lease))
            die("a lease");
        start = now();
        if (lend_destroy(domid, lease.id))
            die("its end");
        took = now() - start;
        least = took < least ? took : least;
    }
    printf("%.0f\n", least);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    if (argc < 4)
        return 2;
    if (argc > 4 && (!strcmp(argv[3], "mmio") || !strcmp(argv[3], "race"))) {
        xch = xc_interface_open(NULL, NULL, 0);
        if (argc > 5)
            race(strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
        else
            mmio(strtoul(argv[4], NULL, 0));
        return 0;
    }
    know_frames();
    make_server();
    if (!strcmp(argv[3], "dirty")) {
        dirty(argc > 4 ? strtoul(argv[4], NULL, 0) : 1);
        drop_server();
        return 0;
    }
    if (!strcmp(argv[3], "end")) {
        end(argc > 4 ? strtoul(argv[4], NULL, 0) : 1);
        drop_server();
        return 0;
    }
    gfn = (gfn + SUPER - 1) & ~(SUPER - 1UL);
    lease = (struct lend_create){ gfn, SUPER, ioserv, 0, LEND_WB };
    if (lend_create(domid, &lease))
        die("a lease");
    if (!strcmp(argv[3], "iomem"))
        iomem();
    else if (!strcmp(argv[3], "write"))
        writable();
    else
        pod();
    lend_destroy(domid, lease.id);
    drop_server();
    return done();
}
