// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: XEN_LEND_POLICY_ZERO.
 *
 * A page of the backing that is not there reads as zeros: the kernel's zero page
 * is installed in its place.  The borrower may only read it.  A write would
 * be lost as soon as the real page is back, so it fails instead, as it does
 * without the policy.
 *
 * Nobody tells when the backing is whole again (a file that grows has no
 * notifier).  So zeros last for a second, and then the borrower asks again.
 * They go earlier when the notifier hits them, when a resolve brings the real
 * page, or with the lease.
 */
#include <linux/mm.h>
#include <linux/workqueue.h>

#include "lend.h"
#include "trace.h"

/* How long zeros stay (jiffies). */
#define LEND_ZERO_TIME	HZ

/* Runs of zeros taken out before others get the lock. */
#define LEND_ZERO_RUNS	64

/* Take some zeros out of the borrower.  Returns whether there may be more. */
static bool lend_zero_expire(struct lend_lease *l)
{
	unsigned long first, last;
	unsigned int runs;

	lockdep_assert_held(&l->lock);

	for (runs = 0; runs < LEND_ZERO_RUNS; runs++) {
		first = 0;
		if (l->dead || !xa_find(&l->zero, &first, ULONG_MAX,
					XA_PRESENT))
			return false;
		for (last = first; last - first < LEND_CHUNK; last++)
			if (!xa_load(&l->zero, last + 1))
				break;
		lend_revoke(l, first, last);
		/* Also what was noted, but not installed. */
		lend_zero_drop(l, first, last);
	}
	return true;
}

/* The lease waits for it when it ends, see lend_zero_cancel(). */
void lend_zero_work(struct work_struct *work)
{
	struct lend_lease *l = container_of(to_delayed_work(work),
					    struct lend_lease, zero_work);
	bool more;

	do {
		mutex_lock(&l->lock);
		more = lend_zero_expire(l);
		mutex_unlock(&l->lock);
		cond_resched();
	} while (more);
}

/* A second from now on at the latest; under the lock, and not when dead. */
static void lend_zero_schedule(struct lend_lease *l)
{
	lockdep_assert_held(&l->lock);

	queue_delayed_work(lend_wq, &l->zero_work, LEND_ZERO_TIME);
}

/* The lease is dead, so nobody schedules it any more; the lock is not held. */
void lend_zero_cancel(struct lend_lease *l)
{
	cancel_delayed_work_sync(&l->zero_work);
}

/**
 * lend_zero_install - zeros where a page of the backing is not there
 * @l:		the lease
 * @b:		has the page as its target; lend_race_begin() and its @commits are
 *		from before the attempt to have the real one
 *
 * Return: 0; -EAGAIN to start again; -ENOENT, -ESRCH, -ENOMEM and Xen's errors.
 */
int lend_zero_install(struct lend_lease *l, const struct lend_batch *b)
{
	unsigned long i = b->first + b->target;
	u64 frame = lend_frame(page_to_pfn(ZERO_PAGE(0)), false);
	unsigned int done;
	int rc;

	if (frame == XEN_HVM_LEND_frame_skip)
		return -EIO;
	/* Noted before the lock, which is not for allocating. */
	rc = xa_err(xa_store(&l->zero, i, xa_mk_value(1), GFP_KERNEL_ACCOUNT));
	if (rc)
		return rc;

	mutex_lock(&l->lock);
	rc = lend_may_install(l, b);
	/*
	 * The note goes with a revoke, or with a zero that expires.  And a file
	 * that has got longer meanwhile tells nobody, but may have its page
	 * installed, and written to, by another resolve: zeros must not take its
	 * place.
	 */
	if (!rc && (l->commits != b->commits || !xa_load(&l->zero, i)))
		rc = -EAGAIN;
	if (!rc) {
		lend_zero_schedule(l);
		__set_bit(lend_chunk(l, i), l->chunks);
		rc = lend_xen_install(l, i, 1, &frame, &done, NULL);
		trace_xen_lend_install(l, i, 1, done, rc);
		lend_note_install(l, i, &frame, done);
	}
	mutex_unlock(&l->lock);
	return rc;
}
