/*
 * Lending QEMU's memory to a Xen guest: the kernel's lend device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "exec/target_page.h"
#include "internal.h"
#include "trace.h"

#define LEND_DEVICE "/dev/xen/lend"

XenLend xen_lend = {
    .mode = ON_OFF_AUTO_AUTO,
    .ahead = true,
    .kernel_faults = true,
    .fd = -1,
    .leases = QLIST_HEAD_INITIALIZER(xen_lend.leases),
    .kept = QLIST_HEAD_INITIALIZER(xen_lend.kept),
    .unleased = QLIST_HEAD_INITIALIZER(xen_lend.unleased),
};

void xen_lend_set_mode(OnOffAuto mode)
{
    xen_lend.mode = mode;
}

OnOffAuto xen_lend_get_mode(void)
{
    return xen_lend.mode;
}

void xen_lend_set_failure(XenLendFailure failure)
{
    xen_lend.failure = failure;
}

XenLendFailure xen_lend_get_failure(void)
{
    return xen_lend.failure;
}

void xen_lend_set_ahead(bool ahead)
{
    xen_lend.ahead = ahead;
}

bool xen_lend_get_ahead(void)
{
    return xen_lend.ahead;
}

void xen_lend_set_kernel_faults(bool kernel_faults)
{
    xen_lend.kernel_faults = kernel_faults;
    xen_lend.kernel_faults_asked = kernel_faults;
}

bool xen_lend_get_kernel_faults(void)
{
    return xen_lend.kernel_faults;
}

/* The file descriptor, or -1 and why there is none. */
static int open_and_bind(char **why_not)
{
    struct xen_lend_bind bind = {
        .size = sizeof(bind),
        .domid = xen_domid,
    };
    int fd;

    fd = qemu_open_old(LEND_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        *why_not = g_strdup_printf("cannot open " LEND_DEVICE ": %s%s",
                                   strerror(errno), errno == ENOENT ?
                                   "; is the kernel's xen-lend driver loaded?"
                                   : "");
        return -1;
    }

    if (ioctl(fd, XEN_LEND_IOC_BIND, &bind) < 0) {
        *why_not = errno == EOPNOTSUPP
            ? g_strdup("the hypervisor does not know how to lend memory")
            : g_strdup_printf("the kernel cannot lend memory to domain %u: %s",
                              xen_domid, strerror(errno));
        close(fd);
        return -1;
    }

    /* Later versions keep what this one has. */
    if (bind.abi < XEN_LEND_ABI_VERSION) {
        *why_not = g_strdup_printf("the kernel's xen-lend driver is too old"
                                   " (version %u, needed is %u)",
                                   bind.abi, XEN_LEND_ABI_VERSION);
        close(fd);
        return -1;
    }

    xen_lend.abi = bind.abi;
    xen_lend.features = bind.features;
    trace_xen_lend_open(xen_domid, bind.abi, bind.features);
    return fd;
}

bool xen_lend_open(Error **errp)
{
    if (xen_lend.mode == ON_OFF_AUTO_OFF) {
        xen_lend.why_not = g_strdup("switched off with lend=off");
        return true;
    }

    xen_lend.fd = open_and_bind(&xen_lend.why_not);
    if (xen_lend.fd < 0) {
        trace_xen_lend_unavailable(xen_lend.why_not);
        if (xen_lend.mode == ON_OFF_AUTO_ON) {
            error_setg(errp, "lend=on: %s", xen_lend.why_not);
            return false;
        }
    }
    return true;
}

void xen_lend_listen_in_kernel(unsigned int max_cpus)
{
    struct xen_lend_listen arg = {
        .size = sizeof(arg),
        .vcpus = max_cpus,
    };

    int err = 0;

    if (xen_lend.fd < 0 || !xen_lend.kernel_faults) {
        return;
    }
    if (!(xen_lend.features & XEN_LEND_FEAT_LISTEN)) {
        err = EOPNOTSUPP;
    } else if (ioctl(xen_lend.fd, XEN_LEND_IOC_LISTEN, &arg) < 0) {
        err = errno;
    }
    xen_lend.listens = !err;
    if (!err) {
        return;
    }
    /* An older kernel or Xen, say.  We can do it, too. */
    trace_xen_lend_no_listen(err);
    if (xen_lend.kernel_faults_asked) {
        warn_report("lend-kernel-faults=on: the kernel does not answer faults"
                    " (%s), QEMU does", strerror(err));
    }
}

int xen_lend_lease(XenLease *lease, void *host)
{
    static const uint32_t memtype[] = {
        [XEN_LEND_CACHE_WB] = XEN_LEND_MEMTYPE_WB,
        [XEN_LEND_CACHE_WC] = XEN_LEND_MEMTYPE_WC,
        [XEN_LEND_CACHE_UC] = XEN_LEND_MEMTYPE_UC,
    };
    const XenLentOptions *options = &lease->options;
    struct xen_lend_lease arg = {
        .size = sizeof(arg),
        .flags = (options->readonly ? XEN_LEND_READONLY : 0) |
                 (options->policy == XEN_LEND_FAILURE_ZERO ?
                  XEN_LEND_POLICY_ZERO : 0) |
                 (xen_lend.features & XEN_LEND_FEAT_STREAM &&
                  !xen_lend.ahead ? XEN_LEND_NO_AHEAD : 0) |
                 (xen_lend.listens ? XEN_LEND_KERNEL : 0),
        .addr = (uintptr_t)host,
        .len = lease->len,
        .gfn = lease->gpa >> qemu_target_page_bits(),
        .memtype = memtype[options->cache],
        .ioserv = xen_lend.listens ? 0 : xen_lend.ioserv,
        .around = options->around,
    };

    if (ioctl(xen_lend.fd, XEN_LEND_IOC_LEASE, &arg) < 0) {
        int err = errno;

        trace_xen_lend_refused(lease->name, lease->gpa, lease->len, err);
        return -err;
    }

    lease->id = arg.id;
    trace_xen_lend_lease(lease->name, lease->id, lease->gpa, lease->len,
                         host, arg.flags);
    return 0;
}

bool xen_lend_unlease(XenLease *lease)
{
    struct xen_lend_unlease arg = {
        .size = sizeof(arg),
        .id = lease->id,
    };

    int64_t start = get_clock();
    bool ended = true;
    int err;

    trace_xen_lend_unlease(lease->name, lease->id, lease->gpa, lease->len);
    if (ioctl(xen_lend.fd, XEN_LEND_IOC_UNLEASE, &arg) < 0) {
        err = errno;
        trace_xen_lend_unlease_failed(lease->id, err);
        /* A guest that is gone is no news. */
        if (err != ENOENT && err != ESRCH) {
            error_report("xen: the guest may still have '%s': cannot end its"
                         " lease: %s", lease->name, strerror(err));
            ended = false;
        }
    }
    trace_xen_lend_unleased(lease->id, (get_clock() - start) / SCALE_US);
    return ended;
}

int xen_lend_resolve(XenLease *lease, uint64_t offset, uint32_t nr, bool write,
                     unsigned int vcpu, struct xen_lend_resolve *out)
{
    *out = (struct xen_lend_resolve) {
        .size = sizeof(*out),
        .id = lease->id,
        .offset = offset,
        .nr = nr,
        .flags = (write ? XEN_LEND_WRITE : 0) | (nr ? XEN_LEND_PREFAULT : 0),
        .stream = xen_lend.features & XEN_LEND_FEAT_STREAM ? vcpu : 0,
    };

    return ioctl(xen_lend.fd, XEN_LEND_IOC_RESOLVE, out) < 0 ? -errno : 0;
}

int xen_lend_stats(const XenLease *lease, struct xen_lend_stats *out)
{
    *out = (struct xen_lend_stats) {
        .size = sizeof(*out),
        .id = lease->id,
    };

    return ioctl(xen_lend.fd, XEN_LEND_IOC_STATS, out) < 0 ? -errno : 0;
}
