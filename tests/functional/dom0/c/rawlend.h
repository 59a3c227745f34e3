/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lending without the driver: hypercalls through privcmd, and machine frames of dom0's.  After lendtest.h.
 */
#ifndef RAWLEND_H
#define RAWLEND_H

#include <xenguest.h>
#include <xen/sys/privcmd.h>

#include "lend_op.h"

/* Xen reaches what is locked and present. */
static long hvmop_lend(struct lend_op *op)
{
    static int fd = -1;
    struct privcmd_hypercall call = { .op = __HYPERVISOR_hvm_op, .arg = { HVMOP_LEND, (uintptr_t)op } };

    if (fd < 0) {
        fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
        mlockall(MCL_CURRENT | MCL_FUTURE);
    }
    return ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call) < 0 ? -errno : 0;
}

static xc_interface *xch;
static xen_pfn_t *m2p;
static unsigned long max_mfn;
static struct lend_create lease;

static inline long lend_one(unsigned page, uint64_t frame)
{
    return lend_install(domid, lease.id, page, lease.generation, &frame, 1);
}

/* Dom0's frame numbers are pseudo-physical: the machine frame is the one that claims to be it, and that dom0 may lend. */
static inline uint64_t mfn_of(uint64_t pfn)
{
    for (uint64_t mfn = 0; mfn < max_mfn; mfn++)
        if (m2p[mfn] == pfn && !lend_one(0, mfn)) {
            lend_revoke(domid, lease.id, 0, 1, &lease.generation);
            return mfn;
        }
    errno = ENOENT;
    die("pfn %#llx", (unsigned long long)pfn);
    return 0;
}

static inline uint64_t pread64_of(const char *path, uint64_t index)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t value = 0;

    if (fd < 0 || pread(fd, &value, 8, index * 8) != 8)
        die("%s", path);
    close(fd);
    return value;
}

static inline void know_frames(void)
{
    xch = xc_interface_open(NULL, NULL, 0);
    xc_maximum_ram_page(xch, &max_mfn);
    m2p = xc_map_m2p(xch, max_mfn, PROT_READ, NULL);
    if (!m2p)
        die("the machine-to-physical table");
}

#endif
