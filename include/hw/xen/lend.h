/*
 * Lending QEMU's memory to a Xen guest: what the accelerator and the ioreq
 * loop call
 *
 * Devices want hw/xen/lend-region.h, if anything.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_LEND_H
#define HW_XEN_LEND_H

#include "hw/xen/xen-hvm-common.h"
#include "qapi/qapi-types-xen-lend.h"

/*
 * A guest touched a page of a lease that is not there.  Defined by Xen's
 * public/hvm/ioreq.h if that is new enough.
 */
#ifndef IOREQ_TYPE_LEND
#define IOREQ_TYPE_LEND 9
#endif

/**
 * xen_lend_set_mode: whether to lend
 *
 * @mode: on, off, or auto (if hypervisor and kernel offer it)
 *
 * Context: before xen_lend_start(), BQL held.
 */
void xen_lend_set_mode(OnOffAuto mode);

/**
 * xen_lend_get_mode: what was set with xen_lend_set_mode(), auto at first
 *
 * Context: BQL held.
 */
OnOffAuto xen_lend_get_mode(void);

/**
 * xen_lend_set_failure: what the guest meets when a page cannot be had
 *
 * For RAM regions that do not say so themselves (see hw/xen/lend-region.h).
 *
 * @failure: fault (as hardware would) or zero (a page of zeros)
 *
 * Context: before xen_lend_start(), BQL held.
 */
void xen_lend_set_failure(XenLendFailure failure);

/**
 * xen_lend_get_failure: what was set with xen_lend_set_failure(), fault at
 *     first
 *
 * Context: BQL held.
 */
XenLendFailure xen_lend_get_failure(void);

/**
 * xen_lend_set_ahead: whether a guest that writes in order gets memory ahead
 *
 * Of a tmpfs or a memfd, up to 2 MiB, as with a huge page.
 *
 * Context: before xen_lend_start(), BQL held.
 */
void xen_lend_set_ahead(bool ahead);

/**
 * xen_lend_get_ahead: what was set with xen_lend_set_ahead(), true at first
 *
 * Context: BQL held.
 */
bool xen_lend_get_ahead(void);

/**
 * xen_lend_set_kernel_faults: whether the kernel may answer faults by itself
 *
 * If it can.  QEMU does otherwise, with a warning if this was called.
 *
 * Context: before xen_lend_start(), BQL held.
 */
void xen_lend_set_kernel_faults(bool kernel_faults);

/**
 * xen_lend_get_kernel_faults: what was set with xen_lend_set_kernel_faults(),
 *     true at first
 *
 * Context: BQL held.
 */
bool xen_lend_get_kernel_faults(void);

/**
 * xen_lend_add_properties: add "lend" and others to the accelerator
 *
 * @oc: the accelerator's class
 */
void xen_lend_add_properties(ObjectClass *oc);

/**
 * xen_lend_start: lend the RAM of the guest's devices from now on
 *
 * Opens the kernel's lend device and binds it to xen_domid, both of which
 * need privilege; what follows does not.
 *
 * @state: the ioreq server, enabled, with its event channels bound
 * @max_cpus: vCPUs the guest may have
 * @errp: set if the mode is "on" and lending is not possible; says which part
 *     is missing
 *
 * Context: once, before privileges are dropped, BQL held.
 * Return: false with @errp set if QEMU must not start.
 */
bool xen_lend_start(XenIOState *state, unsigned int max_cpus, Error **errp);

/**
 * xen_lend_fault: take a LEND request out of the ioreq loop
 *
 * Returns at once.  The request is answered later and from another thread,
 * or right away if it makes no sense any more.  In either case the caller
 * neither touches the slot nor notifies the vCPU again.
 *
 * @state: the ioreq server
 * @vcpu: whose slot it is
 * @req: a copy of the slot, whose state is STATE_IOREQ_INPROCESS by now
 *
 * Context: BQL held.
 */
void xen_lend_fault(XenIOState *state, unsigned int vcpu, const ioreq_t *req);

/**
 * xen_lend_init_window: give the machine room for memory devices
 *
 * @ms: the machine; its RAM size is known
 * @phys_bits: how many bits the guest's physical addresses have
 *
 * Context: once, while the machine is made, BQL held.
 */
void xen_lend_init_window(MachineState *ms, unsigned int phys_bits);

#endif
