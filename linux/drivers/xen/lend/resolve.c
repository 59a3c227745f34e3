// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: XEN_LEND_IOC_RESOLVE.
 *
 *	resolve					notifier
 *	lend_race_begin()
 *	fault in, read page tables (sleeps)
 *	lock					lock
 *	if not lend_may_install(): again	  lend_race_mark()
 *	install					  revoke
 *	unlock					unlock
 *						memory is reused
 *
 * Whichever takes the lock first: either the install is undone by the revoke,
 * or it never happens.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "lend.h"
#include "trace.h"

/* After so many races leave the neighbours alone, to be quicker. */
#define LEND_PATIENCE	4

/* After these, ever longer pauses between attempts, in 100 us. */
#define LEND_PAUSES	20U

/* Real pages have taken the place of zero pages. */
static void lend_replaced(struct lend_lease *l, struct lend_batch *b,
			  unsigned int lo, unsigned int done)
{
	unsigned int i;

	if (xa_empty(&l->zero))
		return;
	for (i = lo; i < lo + done; i++)
		if (b->frame[i] != XEN_HVM_LEND_frame_skip)
			lend_zero_drop(l, b->first + i, b->first + i);
}

/* Install entries lo..hi; *done is set to how many of them Xen has dealt with. */
static int lend_install_range(struct lend_lease *l, struct lend_batch *b,
			      unsigned int lo, unsigned int hi,
			      unsigned int *done, struct lend_outcome *out)
{
	unsigned long c0 = lend_chunk(l, b->first + lo), c;
	const struct lend_wake *wake;
	int rc;

	lockdep_assert_held(&l->lock);

	/* Before Xen has it: from here on a revoke is needed. */
	for (c = c0; c <= lend_chunk(l, b->first + hi); c++)
		__set_bit(c, l->chunks);
	lend_note_grant(l, b->first + lo, b->frame + lo, hi - lo + 1);
	/* Who waits for the target goes on by the same call. */
	wake = b->wake.token && b->target >= lo && b->target <= hi ? &b->wake :
								      NULL;
	rc = lend_xen_install(l, b->first + lo, hi - lo + 1, b->frame + lo,
			      done, wake);
	if (wake && !rc)
		b->wake.token = 0;
	trace_xen_lend_install(l, b->first + lo, hi - lo + 1, *done, rc);
	lend_replaced(l, b, lo, *done);
	if (*done == LEND_CHUNK && lend_is_super(l, b))
		__set_bit(c0, l->super);
	out->installed += lend_note_install(l, b->first + lo, b->frame + lo,
					    *done);
	if (*done)
		/* Pairs with lend_resolve_batch(): who sees this finds the pages. */
		smp_store_release(&l->commits, l->commits + 1);
	return rc;
}

/* The same if nobody waits: frames that Xen refuses are left out. */
static int lend_install_each(struct lend_lease *l, struct lend_batch *b,
			     unsigned int lo, unsigned int hi,
			     struct lend_outcome *out)
{
	unsigned int done;
	int rc, err = 0;

	/* The first one that was not dealt with is the one refused. */
	for (; lo <= hi; lo += done + 1) {
		rc = lend_install_range(l, b, lo, hi, &done, out);
		if (rc != -EPERM)
			return rc ?: err;
		err = rc;
	}
	return err;
}

/*
 * Neighbours that others have installed since we looked.  Xen would find them
 * there, which takes its time.
 */
static void lend_leave_installed(struct lend_lease *l, struct lend_batch *b)
{
	unsigned int i;

	if (b->target == LEND_NO_TARGET || lend_is_super(l, b))
		return;
	for (i = max(b->lo, b->begin); i < min(b->hi, b->end); i++)
		if (i != b->target && b->frame[i] != XEN_HVM_LEND_frame_skip &&
		    lend_is_installed(l, b->first + i,
				      b->frame[i] & XEN_HVM_LEND_frame_write))
			b->frame[i] = XEN_HVM_LEND_frame_skip;
}

static int lend_install(struct lend_lease *l, struct lend_batch *b,
			struct lend_outcome *out)
{
	unsigned int lo, hi, end = min(b->hi, b->end), done;
	int rc;

	lend_leave_installed(l, b);
	for (lo = max(b->lo, b->begin); lo < end; lo++)
		if (b->frame[lo] != XEN_HVM_LEND_frame_skip)
			break;
	if (lo >= end)
		return 0;
	for (hi = end - 1; b->frame[hi] == XEN_HVM_LEND_frame_skip; hi--)
		;

	lend_batch_dirty(b, lo, hi);
	if (b->target == LEND_NO_TARGET)
		return lend_install_each(l, b, lo, hi, out);
	rc = lend_install_range(l, b, lo, hi, &done, out);

	/* The one somebody waits for is in: the rest was a courtesy. */
	if (rc && b->target >= lo && b->target - lo < done)
		return 0;

	/* A neighbour Xen does not like, or too little room for all of them. */
	if ((rc == -EPERM || rc == -ENOSPC || rc == -EINVAL) && lo != hi)
		rc = lend_install_range(l, b, b->target, b->target, &done, out);
	return rc;
}

/* The second half: check that nothing has changed, and install. */
static int lend_commit(struct lend_lease *l, struct lend_batch *b,
		       struct lend_outcome *out)
{
	int rc;

	mutex_lock(&l->lock);
	rc = lend_may_install(l, b);
	if (!rc)
		rc = lend_install(l, b, out);
	mutex_unlock(&l->lock);
	return rc;
}

/*
 * Is this what is wrong with the backing, rather than a reason to end the call?
 * Want of memory passes, so whoever waits for a page is to ask again.
 */
static bool lend_is_failure(int rc, bool wanted)
{
	switch (rc) {
	case 0:
	case -EINTR:
	case -ERESTARTSYS:
	case -EAGAIN:
		return false;
	case -ENOMEM:
		return !wanted;
	default:
		return true;
	}
}

/* Revokes come faster than we are: leave the processor to others for a while. */
static void lend_pause(unsigned int tries)
{
	if (tries <= LEND_PATIENCE)
		cond_resched();
	else
		fsleep(min(tries - LEND_PATIENCE, LEND_PAUSES) * 100);
}

/*
 * Bring in one batch, trying again for as long as revokes come between.
 * Returns 0 or an error that ends the call.  Adds to @out->installed, and sets
 * the rest of it.
 */
static int lend_resolve_batch(struct lend_lease *l, struct lend_batch *b,
			      bool write, struct lend_outcome *out)
{
	bool wanted = b->target != LEND_NO_TARGET, alive, joined;
	unsigned int tries = 0;
	int rc;

	do {
		if (tries++) {
			atomic64_inc(&l->retries);
			lend_pause(tries);
		}
		if (READ_ONCE(l->dead)) {
			/* With ENOENT, the borrower would ask for ever. */
			out->err = lend_is_stuck(l) ? EIO : 0;
			return out->err ? 0 : -ENOENT;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		/* Each call makes one attempt, or signals could keep it from any. */
		if (tries > 1 && signal_pending(current))
			return -ERESTARTSYS;

		lend_batch_reset(b, write);
		out->err = 0;
		rc = 0;
		alive = mmget_not_zero(l->mm);
		/* Takes time: before lend_race_begin(), for what follows counts. */
		if (alive && !wanted)
			rc = lend_populate(l, b, &out->err);
		else if (alive && b->ahead && tries == 1)
			lend_look_ahead(l, b);
		joined = !lend_race_begin(l, b);
		/* Pairs with the release in lend_install_range(). */
		b->commits = smp_load_acquire(&l->commits);
		/* The lender's address space is gone, and the backing with it. */
		if (!joined)
			rc = rc ?: -EAGAIN;
		else if (!alive)
			out->err = ESRCH;
		else if (wanted)
			rc = lend_gather(l, b, tries <= LEND_PATIENCE);
		else if (!rc)
			rc = lend_gather_all(l, b);
		/* What is not there for long is not there. */
		if (rc == -EAGAIN && joined && !wanted && tries > LEND_PATIENCE)
			rc = 0;

		if (lend_is_failure(rc, wanted)) {
			out->err = -rc;
			rc = 0;
		}
		if (rc) {
			;
		} else if (!wanted || !out->err) {
			rc = lend_commit(l, b, out);
		} else if (!write && l->flags & XEN_LEND_POLICY_ZERO) {
			rc = lend_zero_install(l, b);
			out->zeroed = !rc;
			out->installed += !rc;
		}
		if (joined)
			lend_race_end(l, b);
		lend_batch_put(b);
		/*
		 * May be the last one and tear the mm down, notifier included:
		 * so not under the lock, and with no page held.
		 */
		if (alive)
			mmput(l->mm);
	} while (rc == -EAGAIN);

	/* Xen would not take the frame: that is for the borrower to know. */
	if (rc == -EPERM || rc == -EINVAL || rc == -EIO) {
		out->err = out->err ?: -rc;
		rc = 0;
	}
	return rc;
}

/* Set the batch to the guest's 2 MiB around @page. */
static void lend_batch_around(struct lend_lease *l, struct lend_batch *b,
			      unsigned long page)
{
	unsigned long c = lend_chunk(l, page);

	b->first = lend_chunk_start(l, c);
	b->nr = lend_chunk_start(l, c + 1) - b->first;
	b->target = page - b->first;
}

/* @nr: the pages wanted, and then those dealt with. */
static int lend_prefault(struct lend_lease *l, struct lend_batch *b,
			 unsigned long page, u32 *nr, bool write,
			 struct lend_outcome *out)
{
	unsigned long start = page, end = page + *nr, stop;
	u32 first_err = 0;
	int rc = 0;

	for (; page < end; page = stop) {
		if (page != start && signal_pending(current))
			break;
		stop = min(end, lend_chunk_start(l, lend_chunk(l, page) + 1));
		b->first = page;
		b->nr = stop - page;
		b->target = LEND_NO_TARGET;
		b->step = 1;
		rc = lend_resolve_batch(l, b, write, out);
		/* What was done counts; the caller goes on from there. */
		if (rc)
			break;
		first_err = first_err ?: out->err;
		cond_resched();
	}
	out->err = first_err;
	*nr = page - start;
	return page == start ? rc : 0;
}

void lend_slowest(atomic64_t *slowest, s64 us)
{
	s64 old = atomic64_read(slowest);

	while (us > old && !atomic64_try_cmpxchg(slowest, &old, us))
		;
}

static void lend_account(struct lend_lease *l, u32 installed, bool failed,
			 s64 us)
{
	atomic64_inc(&l->resolves);
	atomic64_add(installed, &l->installs);
	if (failed)
		atomic64_inc(&l->failures);
	lend_slowest(&l->slowest_us, us);
}

/**
 * lend_resolve - XEN_LEND_IOC_RESOLVE
 * @l:		the lease
 * @arg:	as the caller gave it; the out fields are set on success
 * @wake:	the vCPU that has the fault, for Xen to wake it along with the
 *		install, upon which the token is 0; NULL if others answer it
 */
int lend_resolve(struct lend_lease *l, struct xen_lend_resolve *arg,
		 struct lend_wake *wake)
{
	unsigned long page = arg->offset >> PAGE_SHIFT;
	bool prefault = arg->flags & XEN_LEND_PREFAULT;
	bool write = arg->flags & XEN_LEND_WRITE;
	ktime_t start = ktime_get();
	struct lend_outcome out = {};
	struct lend_batch *b;
	int rc;
	s64 us;

	if (arg->flags & ~(XEN_LEND_WRITE | XEN_LEND_PREFAULT))
		return -EINVAL;
	if (prefault != !!arg->nr)
		return -EINVAL;
	if (page >= l->nr || arg->nr > l->nr - page)
		return -EINVAL;

	if (write && lend_readonly(l)) {
		out.err = EACCES;
		rc = 0;
		goto out;
	}
	b = kvmalloc(sizeof(*b), GFP_KERNEL_ACCOUNT);
	if (!b)
		return -ENOMEM;
	b->wake = wake ? *wake : (struct lend_wake){};
	if (prefault) {
		rc = lend_prefault(l, b, page, &arg->nr, write, &out);
	} else {
		lend_batch_around(l, b, page);
		lend_stream_fault(l, b, arg->stream, write);
		rc = lend_resolve_batch(l, b, write, &out);
	}
	if (wake)
		*wake = b->wake;
	kvfree(b);
out:
	us = ktime_us_delta(ktime_get(), start);
	lend_account(l, out.installed, out.err, us);
	trace_xen_lend_resolve(l, page, write, out.installed,
			       rc ?: -(int)out.err, us);
	if (rc)
		return rc;

	arg->result = out.zeroed ? XEN_LEND_ZEROED :
		      out.err ? XEN_LEND_FAILED : XEN_LEND_INSTALLED;
	arg->installed = out.installed;
	arg->err = out.err;
	return 0;
}
