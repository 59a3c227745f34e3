// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: XEN_LEND_POLICY_ZERO.
 *
 * A page of the backing that cannot be had is stood in for by a zeroed page the
 * lease owns.  It goes, with whatever the borrower wrote to it, when the
 * notifier hits it, when a resolve brings the real page, or with the lease.
 */
#include <linux/gfp.h>

#include "lend.h"
#include "trace.h"

/*
 * Under the lock and after Xen has let go of the pages.  Neither erasing nor
 * freeing allocates or sleeps.
 */
void lend_zero_drop(struct lend_lease *l, unsigned long first,
		    unsigned long last)
{
	struct page *page;
	unsigned long i;

	lockdep_assert_held(&l->lock);

	xa_for_each_range(&l->zero, i, page, first, last) {
		xa_erase(&l->zero, i);
		__free_page(page);
	}
}

/**
 * lend_zero_install - put a zeroed page where the real one cannot be had
 * @l:		the lease
 * @i:		page of the lease
 * @seq:	read before the attempt to have the real page
 *
 * Return: 0; -EAGAIN to start again; -ENOENT, -ESRCH, -ENOMEM and Xen's errors.
 */
int lend_zero_install(struct lend_lease *l, unsigned long i,
		      unsigned long seq)
{
	struct page *page, *there, *old;
	unsigned int done;
	u64 frame;
	int rc;

	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return -ENOMEM;
	frame = lend_frame(page_to_pfn(page), !lend_readonly(l));
	if (frame == XEN_HVM_LEND_frame_skip) {
		__free_page(page);
		return -EIO;
	}
	/* Makes room, so that the store under the lock need not allocate. */
	rc = xa_reserve(&l->zero, i, GFP_KERNEL_ACCOUNT);
	if (rc) {
		__free_page(page);
		return rc;
	}

	mutex_lock(&l->lock);
	there = xa_load(&l->zero, i);
	if (l->dead) {
		rc = -ENOENT;
	} else if (l->gone) {
		rc = -ESRCH;
	} else if (mmu_interval_read_retry(&l->mni, seq)) {
		rc = -EAGAIN;
	} else if (there) {
		/*
		 * Another vCPU was first.  Its page stays, and goes in again in
		 * case Xen has taken it out by itself.
		 */
		frame = lend_frame(page_to_pfn(there), !lend_readonly(l));
		rc = 0;
	} else {
		/*
		 * The reservation is gone if another thread that failed here
		 * has released it: then this is the ENOMEM of a busy moment.
		 */
		old = xa_store(&l->zero, i, page, GFP_NOWAIT | __GFP_NOWARN);
		rc = xa_is_err(old) ? -EAGAIN : 0;
	}
	if (rc)
		goto unlock;

	__set_bit(lend_chunk(l, i), l->chunks);
	rc = lend_xen_install(l, i, 1, &frame, &done);
	trace_xen_lend_install(l, i, 1, done, rc);
	if (rc && !there)
		xa_erase(&l->zero, i);
	if (!rc && !there)
		page = NULL;
unlock:
	mutex_unlock(&l->lock);
	xa_release(&l->zero, i);
	if (page)
		__free_page(page);
	return rc;
}
