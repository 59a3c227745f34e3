/*
 * Lending QEMU's memory to a Xen guest: the human monitor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-xen-lend.h"
#include "monitor/monitor.h"

static void print_lease(Monitor *mon, const XenLendLease *lease)
{
    monitor_printf(mon, "lease %" PRIu32 " '%s' gfn 0x%" PRIx64 " size 0x%"
                   PRIx64 " %s cache=%s policy=%s\n",
                   lease->id, lease->name, lease->gfn, lease->size,
                   lease->readonly ? "ro" : "rw",
                   XenLendCache_str(lease->cache),
                   XenLendFailure_str(lease->policy));
    monitor_printf(mon, "  installed 0x%" PRIx64 " faults %" PRIu64
                   " resolves %" PRIu64 " retries %" PRIu64 " installs %"
                   PRIu64 "\n",
                   lease->installed, lease->faults, lease->resolves,
                   lease->retries, lease->installs);
    monitor_printf(mon, "  revokes %" PRIu64 " revoked %" PRIu64
                   " flushes %" PRIu64 " failures %" PRIu64 "\n",
                   lease->revokes, lease->revoked, lease->flushes,
                   lease->failures);
    monitor_printf(mon, "  waiting %" PRIu32 " answered %" PRIu64 " failed %"
                   PRIu64 " slowest resolve %" PRIu64 " us, answer %" PRIu64
                   " us\n",
                   lease->waiting, lease->answered, lease->failed,
                   lease->slowest_resolve, lease->slowest_answer);
}

static void hmp_info_xen_lend(Monitor *mon, const QDict *qdict)
{
    g_autoptr(XenLendInfo) info = qmp_query_xen_lend(&error_abort);
    XenLendRefusalList *refusal;
    XenLendLeaseList *entry;

    if (info->available) {
        monitor_printf(mon, "lending: on (mode %s, abi %" PRIu32 ")\n",
                       OnOffAuto_str(info->mode), info->abi);
    } else {
        monitor_printf(mon, "lending: off (mode %s): %s\n",
                       OnOffAuto_str(info->mode), info->reason);
    }
    monitor_printf(mon, "refused %" PRIu64 " stale %" PRIu64 "\n",
                   info->refused, info->stale);
    for (refusal = info->refusals; refusal; refusal = refusal->next) {
        monitor_printf(mon, "emulated '%s' gpa 0x%" PRIx64 " size 0x%" PRIx64
                       ": %s\n", refusal->value->name, refusal->value->gpa,
                       refusal->value->size, refusal->value->reason);
    }
    for (entry = info->leases; entry; entry = entry->next) {
        print_lease(mon, entry->value);
    }
}

static void xen_lend_hmp_register(void)
{
    monitor_register_hmp("xen-lend", true, hmp_info_xen_lend);
}

type_init(xen_lend_hmp_register)
