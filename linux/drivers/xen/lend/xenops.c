// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: the calls into Xen.
 *
 * All of them are dm_ops on buffers on the stack or owned by the caller: none
 * allocates and none sleeps, so every one may be made under lend_lease.lock and
 * from a notifier.  Long ones are cut up by Xen itself (continuations).
 */
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/lockdep.h>
#include <xen/xen.h>
#include <xen/page.h>
#include <asm/xen/hypercall.h>

#include "lend.h"

/* Xen's struct xen_dm_op, as far as lending goes. */
struct lend_dm_op {
	u32 op;
	u32 pad;
	union {
		struct xen_dm_op_lend_create create;
		struct xen_dm_op_lend_destroy destroy;
		struct xen_dm_op_lend_install install;
		struct xen_dm_op_lend_revoke revoke;
		struct xen_dm_op_lend_query query;
	} u;
};

static_assert(sizeof(struct xen_dm_op_lend_create) == 40);
static_assert(sizeof(struct xen_dm_op_lend_destroy) == 8);
static_assert(sizeof(struct xen_dm_op_lend_install) == 32);
static_assert(sizeof(struct xen_dm_op_lend_revoke) == 32);
static_assert(sizeof(struct xen_dm_op_lend_query) == 80);
static_assert(offsetof(struct lend_dm_op, u) == 8);
static_assert(XEN_PAGE_SHIFT == PAGE_SHIFT);

static int lend_dm_op(domid_t domid, struct lend_dm_op *op, void *buf,
		      size_t len)
{
	struct xen_dm_op_buf bufs[2] = {};

	set_xen_guest_handle(bufs[0].h, op);
	bufs[0].size = sizeof(*op);
	if (!buf)
		return HYPERVISOR_dm_op(domid, 1, bufs);

	set_xen_guest_handle(bufs[1].h, buf);
	bufs[1].size = len;
	return HYPERVISOR_dm_op(domid, 2, bufs);
}

/* Is there a borrower @domid, may we, and does this Xen know about lending? */
int lend_xen_probe(domid_t domid)
{
	struct lend_dm_op op = { .op = XEN_DMOP_lend_query };
	int rc = lend_dm_op(domid, &op, NULL, 0);

	return rc == -ENOENT ? 0 : rc;
}

/* Sets @l->id and @l->generation. */
int lend_xen_create(struct lend_lease *l)
{
	struct lend_dm_op op = {
		.op = XEN_DMOP_lend_create,
		.u.create = {
			.first_gfn = l->gfn,
			.nr = l->nr,
			.ioserv = l->ioserv,
			.flags = lend_readonly(l) ? XEN_DMOP_LEND_readonly : 0,
			.memtype = l->memtype,
		},
	};
	int rc;

	lockdep_assert_held(&l->lock);

	rc = lend_dm_op(l->domid, &op, NULL, 0);
	if (!rc) {
		l->id = op.u.create.id;
		l->generation = op.u.create.generation;
	}
	return rc;
}

int lend_xen_destroy(struct lend_lease *l)
{
	struct lend_dm_op op = {
		.op = XEN_DMOP_lend_destroy,
		.u.destroy.id = l->id,
	};

	lockdep_assert_held(&l->lock);

	return lend_dm_op(l->domid, &op, NULL, 0);
}

/*
 * EAGAIN: the generation is not the one we know, so Xen revoked something by
 * itself.  @done says how many frames were dealt with, also on failure.
 */
int lend_xen_install(struct lend_lease *l, unsigned long first,
		     unsigned int nr, u64 *frames, unsigned int *done)
{
	struct lend_dm_op op = {
		.op = XEN_DMOP_lend_install,
		.u.install = {
			.id = l->id,
			.nr = nr,
			.offset = first,
			.generation = l->generation,
		},
	};
	int rc;

	lockdep_assert_held(&l->lock);

	rc = lend_dm_op(l->domid, &op, frames, nr * sizeof(*frames));
	*done = rc ? min(op.u.install.done, nr) : nr;
	return rc;
}

/* On success no vCPU can reach the old frames any more. */
int lend_xen_revoke(struct lend_lease *l, unsigned long first,
		    unsigned long nr)
{
	struct lend_dm_op op = {
		.op = XEN_DMOP_lend_revoke,
		.u.revoke = {
			.id = l->id,
			.offset = first,
			.nr = nr,
		},
	};
	int rc;

	lockdep_assert_held(&l->lock);

	rc = lend_dm_op(l->domid, &op, NULL, 0);
	if (!rc)
		l->generation = op.u.revoke.generation;
	return rc;
}

int lend_xen_query(struct lend_lease *l, struct xen_dm_op_lend_query *q)
{
	struct lend_dm_op op = {
		.op = XEN_DMOP_lend_query,
		.u.query.id = l->id,
	};
	int rc = lend_dm_op(l->domid, &op, NULL, 0);

	/* Xen looks for this id or the next higher one. */
	if (!rc && op.u.query.id != l->id)
		rc = -ENOENT;
	if (!rc)
		*q = op.u.query;
	return rc;
}
