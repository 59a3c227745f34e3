// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_asks DOMID [GFN]: what a device model asks of Xen around a lease, each with the answer it has to get; TAP.
 *
 * Runs in dom0 against Xen, and in the qtest lane against the stand-in: what the stand-in says there, Xen says, too.
 */
#define _GNU_SOURCE
#include "lendtest.h"

#include <xenevtchn.h>
#include <xenforeignmemory.h>

#define RANGE(first, pages) 1, (first) * PAGE, ((first) + (pages)) * PAGE - 1

static xc_interface *xch;

static int ret(int rc)
{
    return rc < 0 ? errno : 0;
}

static int range(bool add, uint64_t first, unsigned pages)
{
    return ret(add ? xendevicemodel_map_io_range_to_ioreq_server(dmod, domid, ioserv, RANGE(first, pages))
                   : xendevicemodel_unmap_io_range_from_ioreq_server(dmod, domid, ioserv, RANGE(first, pages)));
}

static void ranges(void)
{
    int n, err = 0;

    is(range(true, gfn, 16), 0, "a range for the ioreq server");
    is(range(true, gfn, 16), EEXIST, "the same again");
    is(range(true, gfn + 15, 16), EEXIST, "one that overlaps");
    is(range(false, gfn + 32, 16), ENOENT, "one it does not have, taken back");
    is(range(false, gfn, 16), 0, "its own, taken back");
    is(range(false, gfn, 16), ENOENT, "and once more");

    for (n = 0; n < 300 && !err; n++)
        err = range(true, gfn + 2 * n, 1);
    ok(err && n - 1 == 256, "at most 256 ranges (%d and then %s)", n - 1, err ? strerrorname_np(err) : "no end");
    while (n-- > 0)
        range(false, gfn + 2 * n, 1);
}

static int populate(uint64_t at)
{
    xen_pfn_t frame = at;

    return xc_domain_populate_physmap_exact(xch, domid, 1, 0, 0, &frame) ? EBUSY : 0;
}

/* What comes of mapping a frame of the guest's, as QEMU does it. */
static int foreign(uint64_t at)
{
    static xenforeignmemory_handle *fmem;
    xen_pfn_t frame = at;
    int err = 0;
    void *p;

    if (!fmem)
        fmem = xenforeignmemory_open(NULL, 0);
    p = xenforeignmemory_map(fmem, domid, PROT_READ | PROT_WRITE, 1, &frame, &err);
    if (!p)
        return errno;
    xenforeignmemory_unmap(fmem, p, 1);
    return -err;
}

static void frames(void)
{
    char *mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct xen_lend_lease l = lease_of(mem, 16 * PAGE, gfn);
    int fd = lend_bound();

    is(foreign(gfn), EINVAL, "mapping a frame where nothing is");
    is(foreign(0x100), 0, "mapping guest RAM");
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "a lease");
    is(foreign(gfn), EINVAL, "mapping a leased frame that is absent");
    is(resolve(fd, l.id, 0, 0, 0), 0, "resolve");
    is(foreign(gfn), EINVAL, "mapping a leased frame that is installed");
    is(populate(gfn), EBUSY, "populating an installed frame");
    is(populate(gfn + 15), EBUSY, "populating an absent frame");
    is(populate(gfn + 16), 0, "populating the frame behind");
    is(populate(gfn + 16), 0, "and again, which replaces it");
    is(unlease(fd, l.id), 0, "unlease");
    is(foreign(gfn), EINVAL, "the frame is a hole again");
    is(populate(gfn + 15), 0, "which can be populated");
    l = lease_of(mem, 16 * PAGE, gfn);
    is(call(fd, XEN_LEND_IOC_LEASE, &l), EEXIST, "and then not be leased");
    close(fd);
}

static void events(void)
{
    xenevtchn_handle *xce = xenevtchn_open(NULL, 0);

    ok(xenevtchn_bind_interdomain(xce, domid, 1u << 20) < 0, "binding to a port the guest does not have");
    is(ret(xenevtchn_notify(xce, 200)), ENOTCONN, "notifying a port that is not bound");
    xenevtchn_close(xce);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    xch = xc_interface_open(NULL, NULL, 0);
    make_server();
    ranges();
    frames();
    events();
    drop_server();
    return done();
}
