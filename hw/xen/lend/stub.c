/*
 * Lending QEMU's memory to a Xen guest: without Xen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/xen/lend-region.h"
#include "qapi/qapi-commands-xen-lend.h"

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

XenLendInfo *qmp_query_xen_lend(Error **errp)
{
    XenLendInfo *info = g_new0(XenLendInfo, 1);

    info->mode = ON_OFF_AUTO_OFF;
    info->reason = g_strdup("this QEMU has no support for lending to Xen");
    return info;
}
