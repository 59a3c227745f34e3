/*
 * Lending QEMU's memory to a Xen guest: the accelerator's properties
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qom/object.h"
#include "hw/xen/lend.h"

static int get_lend(Object *obj, Error **errp)
{
    return xen_lend_get_mode();
}

static void set_lend(Object *obj, int mode, Error **errp)
{
    xen_lend_set_mode(mode);
}

static int get_lend_failure(Object *obj, Error **errp)
{
    return xen_lend_get_failure();
}

static void set_lend_failure(Object *obj, int failure, Error **errp)
{
    xen_lend_set_failure(failure);
}

static bool get_lend_ahead(Object *obj, Error **errp)
{
    return xen_lend_get_ahead();
}

static void set_lend_ahead(Object *obj, bool ahead, Error **errp)
{
    xen_lend_set_ahead(ahead);
}

static bool get_lend_kernel_faults(Object *obj, Error **errp)
{
    return xen_lend_get_kernel_faults();
}

static void set_lend_kernel_faults(Object *obj, bool kernel_faults,
                                   Error **errp)
{
    xen_lend_set_kernel_faults(kernel_faults);
}

void xen_lend_add_properties(ObjectClass *oc)
{
    object_class_property_add_enum(oc, "lend", "OnOffAuto", &OnOffAuto_lookup,
                                   get_lend, set_lend);
    object_class_property_set_description(oc, "lend",
        "Lend memory of QEMU's own to the guest (on, off, auto)");

    object_class_property_add_enum(oc, "lend-failure", "XenLendFailure",
                                   &XenLendFailure_lookup,
                                   get_lend_failure, set_lend_failure);
    object_class_property_set_description(oc, "lend-failure",
        "What the guest meets when a page is not there any more (fault, zero)");

    object_class_property_add_bool(oc, "lend-ahead",
                                   get_lend_ahead, set_lend_ahead);
    object_class_property_set_description(oc, "lend-ahead",
        "Allocate shared memory ahead of a guest that writes in order");

    object_class_property_add_bool(oc, "lend-kernel-faults",
                                   get_lend_kernel_faults,
                                   set_lend_kernel_faults);
    object_class_property_set_description(oc, "lend-kernel-faults",
        "Let the kernel answer the faults on lent memory, if it can");
}
