/*
 * Lending QEMU's memory to a Xen guest: without Xen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-xen-lend.h"

XenLendInfo *qmp_query_xen_lend(Error **errp)
{
    XenLendInfo *info = g_new0(XenLendInfo, 1);

    info->mode = ON_OFF_AUTO_OFF;
    info->reason = g_strdup("this QEMU has no support for lending to Xen");
    return info;
}
