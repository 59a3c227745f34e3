// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_reborn: a domain goes, another one gets its id, and somebody still has the first one's descriptor. TAP.
 * The domains are made here; they never run.
 */
#define _GNU_SOURCE
#include <xenctrl.h>

#include "lendtest.h"

#define ID 1234

static xc_interface *xch;

static void create(void)
{
    struct xen_domctl_createdomain config = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, .max_vcpus = 1, .max_evtchn_port = -1, .max_grant_frames = 4,
        .max_maptrack_frames = 0, .grant_opts = XEN_DOMCTL_GRANT_version(1), .arch = { .emulation_flags = XEN_X86_EMU_LAPIC },
    };

    domid = ID;
    if (xc_domain_create(xch, &domid, &config) || domid != ID)
        die("domain %u", ID);
    if (xc_domain_max_vcpus(xch, domid, 1) || xc_set_paging_mempool_size(xch, domid, 4 << 20))
        die("its vCPU and page tables");
    make_server();
}

static void destroy(void)
{
    xendevicemodel_close(dmod);
    while (xc_domain_destroy(xch, ID))
        if (errno != EAGAIN)
            die("destroying domain %u", ID);
}

int main(void)
{
    char *mem = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct xen_lend_lease first, second;
    struct xen_lend_stats s;
    int old, new;

    xch = xc_interface_open(NULL, NULL, 0);
    if (!xch || mem == MAP_FAILED)
        die("getting ready");
    memset(mem, 1, 4 * PAGE);

    create();
    old = lend_bound();
    first = lease_of(mem, 4 * PAGE, 0x100000);
    is(call(old, XEN_LEND_IOC_LEASE, &first), 0, "a lease to the first domain");
    is(resolve(old, first.id, 0, XEN_LEND_PREFAULT, 4), 0, "installed");
    destroy();

    create();
    new = lend_bound();
    second = lease_of(mem, 4 * PAGE, 0x100000);
    is(call(new, XEN_LEND_IOC_LEASE, &second), 0, "a lease to the next one");
    ok(first.id == second.id, "with the same number: %u", second.id);
    is(resolve(new, second.id, 0, XEN_LEND_PREFAULT, 2), 0, "two pages of it");

    /* What the first one's descriptor may do now is nothing. */
    is(resolve(old, first.id, 2, 0, 0), ESRCH, "a resolve by the old descriptor");
    is_num(installed(new, second.id), 2, "installs nothing in the new lease");
    s = stats(old, first.id);
    is_num(s.installed, 0, "its counters are not the new lease's");
    second.gfn += 512;
    is(call(old, XEN_LEND_IOC_LEASE, &second), ESRCH, "another lease by the old descriptor");
    is(unlease(old, first.id), 0, "the old lease ends");
    is_num(installed(new, first.id), 2, "and takes nothing of the new one");
    close(old);
    is_num(installed(new, first.id), 2, "nor does its descriptor");
    is(resolve(new, first.id, 2, 0, 0) ?: (int)last.err, 0, "which is of use as before");
    madvise(mem, 4 * PAGE, MADV_REMOVE);
    is_num(installed(new, first.id), 0, "and what is taken back goes");
    close(new);
    destroy();
    return done();
}
