/*
 * Lending QEMU's memory to a Xen guest: what to show
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qapi/qapi-commands-xen-lend.h"
#include "exec/target_page.h"
#include "internal.h"

static XenLendLease *lease_info(XenLease *lease)
{
    XenLendLease *info = g_new0(XenLendLease, 1);
    struct xen_lend_stats stats = { };

    /* A guest that is about to go has leases without counters. */
    xen_lend_stats(lease, &stats);

    *info = (XenLendLease) {
        .id = lease->id,
        .name = g_strdup(lease->name),
        .gfn = lease->gpa >> qemu_target_page_bits(),
        .size = lease->len,
        .readonly = lease->options.readonly,
        .policy = lease->options.policy,
        .cache = lease->options.cache,
        .installed = stats.installed << qemu_target_page_bits(),
        .faults = stats.faults,
        .resolves = stats.resolves,
        .retries = stats.retries,
        .installs = stats.installs,
        .revokes = stats.revokes,
        .revoked = stats.revoked,
        .flushes = stats.flushes,
        .failures = stats.failures,
        .waiting = qatomic_read(&lease->waiting) + stats.waiting,
        .answered = qatomic_read(&lease->answered) + stats.answered,
        .failed = qatomic_read(&lease->failed) + stats.failed,
        .slowest_resolve = stats.slowest_us,
        .slowest_answer = MAX(qatomic_read(&lease->slowest_us),
                              stats.slowest_answer_us),
    };
    return info;
}

static XenLendRefusalList *refusals(void)
{
    XenLendRefusalList *list = NULL;
    XenUnleased *unleased;

    QLIST_FOREACH(unleased, &xen_lend.unleased, next) {
        XenLendRefusal *info = g_new0(XenLendRefusal, 1);

        info->name = g_strdup(unleased->name);
        info->gpa = unleased->section.offset_within_address_space;
        info->size = int128_get64(unleased->section.size);
        info->reason = g_strdup(unleased->reason);
        QAPI_LIST_PREPEND(list, info);
    }
    return list;
}

static int by_gpa(const void *a, const void *b)
{
    const XenLease *x = *(XenLease **)a, *y = *(XenLease **)b;

    return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

XenLendInfo *qmp_query_xen_lend(Error **errp)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    XenLendInfo *info = g_new0(XenLendInfo, 1);
    XenLendLeaseList **tail = &info->leases;
    XenLease *lease;
    guint i;

    info->mode = xen_lend.mode;
    info->available = xen_lend.fd >= 0;
    if (!info->available) {
        info->reason = g_strdup(xen_lend.why_not ?:
                                "this QEMU has no ioreq server for a Xen"
                                " guest");
    }
    info->abi = xen_lend.abi;
    info->kernel_faults = xen_lend.listens;
    info->refused = xen_lend.refused;
    info->stale = xen_lend.stale;
    info->refusals = refusals();

    QLIST_FOREACH(lease, &xen_lend.leases, next) {
        g_ptr_array_add(sorted, lease);
    }
    g_ptr_array_sort(sorted, by_gpa);
    for (i = 0; i < sorted->len; i++) {
        QAPI_LIST_APPEND(tail, lease_info(g_ptr_array_index(sorted, i)));
    }
    return info;
}
