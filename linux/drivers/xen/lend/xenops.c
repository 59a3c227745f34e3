// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: the calls into Xen.
 *
 * All of them take buffers on the stack or owned by the caller: none
 * allocates and none sleeps, so every one may be made under lend_lease.lock and
 * from a notifier.  Long ones are cut up by Xen itself (continuations).
 */
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/error-injection.h>
#include <linux/lockdep.h>
#include <xen/xen.h>
#include <xen/page.h>
#include <asm/xen/hypercall.h>

#include "lend.h"

static_assert(sizeof(struct xen_hvm_lend_create) == 40);
static_assert(sizeof(struct xen_hvm_lend_destroy) == 8);
static_assert(sizeof(struct xen_hvm_lend_install) == 48);
static_assert(sizeof(struct xen_hvm_lend_revoke) == 32);
static_assert(sizeof(struct xen_hvm_lend_query) == 104);
static_assert(sizeof(struct xen_hvm_lend_listen) == 32);
static_assert(sizeof(struct xen_hvm_lend_slot) == 32);
static_assert(sizeof(struct xen_hvm_lend_answered) == 16);
static_assert(sizeof(struct xen_hvm_lend_answer) == 24);
static_assert(offsetof(struct xen_hvm_lend_op, u) == 16);
static_assert(sizeof(struct xen_hvm_lend_op) == 128);
static_assert(XEN_PAGE_SHIFT == PAGE_SHIFT);

/*
 * Domain ids are used again, and so are lease ids in the domain that comes
 * after: the number makes sure it is the borrower we know, else ESRCH.
 */
static int lend_op(domid_t domid, u64 number, struct xen_hvm_lend_op *op)
{
	int rc;

	op->domain = domid;
	op->number = number;
	rc = HYPERVISOR_hvm_op(HVMOP_lend, op);
	/* A Xen that was built without. */
	return rc == -ENOSYS ? -EOPNOTSUPP : rc;
}

/*
 * Is there a borrower @domid, may we, and does this Xen know about lending?
 * Sets its number.
 */
int lend_xen_probe(domid_t domid, u64 *number)
{
	struct xen_hvm_lend_op op = { .cmd = XEN_HVM_LEND_query };
	int rc = lend_op(domid, 0, &op);

	if (rc == -ENOENT)
		rc = 0;
	/* A Xen of before there were numbers. */
	if (!rc && !op.number)
		rc = -EOPNOTSUPP;
	*number = op.number;
	return rc;
}

/* Sets @l->id and @l->generation.  Nobody else knows the lease yet. */
int lend_xen_create(struct lend_lease *l)
{
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_create,
		.u.create = {
			.first_gfn = l->gfn,
			.nr = l->nr,
			.ioserv = l->ioserv,
			.flags = lend_readonly(l) ? XEN_HVM_LEND_readonly : 0,
			.memtype = l->memtype,
			.port = l->port ? l->port->id : 0,
		},
	};
	int rc = lend_op(l->domid, l->number, &op);

	if (!rc) {
		l->id = op.u.create.id;
		l->generation = op.u.create.generation;
	}
	return rc;
}

int lend_xen_destroy(struct lend_lease *l)
{
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_destroy,
		.u.destroy.id = l->id,
	};

	return lend_op(l->domid, l->number, &op);
}
/* Xen does not refuse this, nor a revoke: so that a test can. */
ALLOW_ERROR_INJECTION(lend_xen_destroy, ERRNO);

/* The generation that Xen has reached by itself.  EAGAIN on success. */
static int lend_learn(struct lend_lease *l)
{
	struct xen_hvm_lend_query q;
	int rc;

	lockdep_assert_held(&l->lock);

	rc = lend_xen_query(l, &q);
	if (rc)
		return rc;
	l->generation = q.generation;
	return -EAGAIN;
}

/*
 * EAGAIN: the generation was not the one we knew, so Xen revoked something by
 * itself; the next try has the new one.  @done says how many frames were dealt
 * with, also on failure.  ENOSPC: no room for page tables in the borrower's
 * paging pool.  On success the vCPU that @wake stands for goes on; NULL if there
 * is none.
 */
int lend_xen_install(struct lend_lease *l, unsigned long first,
		     unsigned int nr, u64 *frames, unsigned int *done,
		     const struct lend_wake *wake)
{
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_install,
		.u.install = {
			.id = l->id,
			.nr = nr,
			.offset = first,
			.generation = l->generation,
			.frames = (unsigned long)frames,
			.vcpu = wake ? wake->vcpu : 0,
			.token = wake ? wake->token : 0,
		},
	};
	int rc;

	lockdep_assert_held(&l->lock);

	rc = lend_op(l->domid, l->number, &op);
	*done = rc ? min(op.u.install.done, nr) : nr;
	if (rc == -EAGAIN)
		return lend_learn(l);
	/* Not for want of memory here: for the caller to tell the two apart. */
	return rc == -ENOMEM ? -ENOSPC : rc;
}

static int lend_xen_take(struct lend_lease *l, unsigned long first,
			 unsigned long nr, u32 flags)
{
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_revoke,
		.u.revoke = {
			.id = l->id,
			.flags = flags,
			.offset = first,
			.nr = nr,
		},
	};
	int rc;

	lockdep_assert_held(&l->lock);

	rc = lend_op(l->domid, l->number, &op);
	if (!rc)
		l->generation = op.u.revoke.generation;
	return rc;
}

/* On success no vCPU can reach the old frames any more. */
int lend_xen_revoke(struct lend_lease *l, unsigned long first,
		    unsigned long nr)
{
	return lend_xen_take(l, first, nr, 0);
}
ALLOW_ERROR_INJECTION(lend_xen_revoke, ERRNO);

/* On success no vCPU can write to them. */
int lend_xen_downgrade(struct lend_lease *l, unsigned long first,
		       unsigned long nr)
{
	return lend_xen_take(l, first, nr, XEN_HVM_LEND_revoke_write);
}
ALLOW_ERROR_INJECTION(lend_xen_downgrade, ERRNO);

int lend_xen_query(struct lend_lease *l, struct xen_hvm_lend_query *q)
{
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_query,
		.u.query.id = l->id,
	};
	int rc = lend_op(l->domid, l->number, &op);

	/* Xen looks for this id or the next higher one. */
	if (!rc && op.u.query.id != l->id)
		rc = -ENOENT;
	if (!rc)
		*q = op.u.query;
	return rc;
}

/*
 * From now on Xen writes to the page @frame, and sets @evtchns for each of the
 * @vcpus there can be at most.  Sets @id.  EOPNOTSUPP from an older Xen.
 */
int lend_xen_listen(struct lend_file *f, u64 frame, u32 *evtchns, u32 vcpus,
		    u32 *id)
{
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_listen,
		.u.listen = {
			.frame = frame,
			.ports = (unsigned long)evtchns,
			.nr = vcpus,
		},
	};
	int rc = lend_op(f->domid, f->number, &op);

	*id = op.u.listen.id;
	return rc;
}

/* Does the borrower have such a lease?  Perhaps not one of this file. */
bool lend_xen_has(struct lend_file *f, u32 id)
{
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_query,
		.u.query.id = id,
	};

	return !lend_op(f->domid, f->number, &op) && op.u.query.id == id;
}

/*
 * On success, or if it is gone, Xen does not write to the page any more.  A lease
 * that Xen did not end is not to keep it: there nobody answers, faults fail.
 */
int lend_xen_unlisten(struct lend_file *f, u32 id)
{
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_unlisten,
		.u.unlisten.id = id,
	};
	int rc = lend_op(f->domid, f->number, &op);

	if (rc != -EBUSY)
		return rc;
	op.u.unlisten.flags = XEN_HVM_LEND_unlisten_force;
	return lend_op(f->domid, f->number, &op);
}

/* If the vCPU does not wait for that any more, nothing happens. */
int lend_xen_answer(struct lend_file *f, u32 id, const struct lend_wake *wake,
		    bool failed)
{
	struct xen_hvm_lend_answered answer = {
		.vcpu = wake->vcpu,
		.token = wake->token,
		.result = failed ? XEN_HVM_LEND_answer_failed :
				   XEN_HVM_LEND_answer_retry,
	};
	struct xen_hvm_lend_op op = {
		.cmd = XEN_HVM_LEND_answer,
		.u.answer = {
			.port = id,
			.nr = 1,
			.answers = (unsigned long)&answer,
		},
	};

	return lend_op(f->domid, f->number, &op);
}
