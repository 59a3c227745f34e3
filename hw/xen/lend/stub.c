/*
 * Lending QEMU's memory to a Xen guest: without Xen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/xen/lend-region.h"
#ifdef CONFIG_XEN_LEND
#include "qapi/qapi-commands-xen-lend.h"
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
