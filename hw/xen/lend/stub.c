/*
 * Lending QEMU's memory to a Xen guest: without Xen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/xen/lend-region.h"
#ifdef CONFIG_XEN_LEND
#include "qapi/qapi-commands-xen-lend.h"
#elif defined(CONFIG_XEN_BACKEND)
#include "qapi/error.h"
#include "hw/xen/lend.h"
#endif

MemTxResult xen_lent_read(RAMBlock *block, void *buf, void *host, size_t len)
{
    g_assert_not_reached();
}

MemTxResult xen_lent_write(RAMBlock *block, void *host, const void *buf,
                           size_t len)
{
    g_assert_not_reached();
}

bool xen_lend_is_damaged(const MemoryRegion *mr)
{
    return false;
}

bool xen_lend_can_save(Error **errp)
{
    return true;
}

#if defined(CONFIG_XEN_BACKEND) && !defined(CONFIG_XEN_LEND)
/* Xen's device models on hosts that are not Linux. */
static OnOffAuto mode;
static XenLendFailure failure;
static bool ahead = true;

void xen_lend_set_mode(OnOffAuto new_mode)
{
    mode = new_mode;
}

OnOffAuto xen_lend_get_mode(void)
{
    return mode;
}

void xen_lend_set_failure(XenLendFailure new_failure)
{
    failure = new_failure;
}

XenLendFailure xen_lend_get_failure(void)
{
    return failure;
}

void xen_lend_set_ahead(bool new_ahead)
{
    ahead = new_ahead;
}

bool xen_lend_get_ahead(void)
{
    return ahead;
}

bool xen_lend_start(XenIOState *state, unsigned int max_cpus, Error **errp)
{
    if (mode == ON_OFF_AUTO_ON) {
        error_setg(errp, "lending memory to a Xen guest needs Linux");
        return false;
    }
    return true;
}

void xen_lend_fault(XenIOState *state, unsigned int vcpu, const ioreq_t *req)
{
    /* Nothing is lent, so nobody asks. */
}
#endif

#ifdef CONFIG_XEN_LEND
/* For targets that cannot be Xen's device model. */
XenLendInfo *qmp_query_xen_lend(Error **errp)
{
    XenLendInfo *info = g_new0(XenLendInfo, 1);

    info->mode = ON_OFF_AUTO_OFF;
    info->reason = g_strdup("this QEMU is not for Xen guests");
    return info;
}
#endif
