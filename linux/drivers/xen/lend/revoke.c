// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: taking pages out of the borrower, and the MMU notifier.
 */
#include <linux/bitmap.h>
#include <linux/mmu_notifier.h>

#include "lend.h"
#include "trace.h"

/*
 * Forget about zeros.  Under the lock, and when Xen does not have them any more
 * or has got real pages instead.  Erasing neither allocates nor sleeps.
 */
void lend_zero_drop(struct lend_lease *l, unsigned long first,
		    unsigned long last)
{
	unsigned long i;
	void *entry;

	lockdep_assert_held(&l->lock);

	xa_for_each_range(&l->zero, i, entry, first, last)
		xa_erase(&l->zero, i);
}

/*
 * Xen did not take pages out of the borrower, which only a bug of Xen's can be
 * the reason for.  Linux is going to reuse them all the same, so let Xen drop the
 * whole lease.  If it does not do that either, what was installed counts as
 * installed, for the next notifier to try again.
 *
 * Return: whether the pages are out.
 */
static bool lend_not_revoked(struct lend_lease *l, int err)
{
	int rc = lend_xen_destroy(l);

	lockdep_assert_held(&l->lock);

	if (!rc || lend_is_gone(rc)) {
		WRITE_ONCE(l->gone, true);
	} else if (!l->stuck) {
		pr_emerg("xen_lend: dom %u lease %u: Xen does not take memory back (%d, %d), and the guest can reach what is used for something else from now on. Destroy the guest: xl destroy %u\n",
			 l->domid, l->id, err, rc, l->domid);
		WRITE_ONCE(l->stuck, true);
	}
	/* Nor is anything given that could not be taken back. */
	WRITE_ONCE(l->dead, true);
	WARN_ONCE(1, "xen_lend: dom %u lease %u: revoke failed: %d\n",
		  l->domid, l->id, err);
	return l->gone;
}

/**
 * lend_revoke - take pages out of the borrower
 * @l:		the lease, its lock held
 * @first:	page of the lease
 * @last:	likewise; not more than LEND_REVOKE_PAGES in all
 *
 * Cannot allocate or wait, nor fail, unless Xen does what it must not.
 *
 * Return: whether anything may have been installed.
 */
bool lend_revoke(struct lend_lease *l, unsigned long first,
		 unsigned long last)
{
	unsigned long c0 = lend_chunk(l, first), c1 = lend_chunk(l, last);
	int rc;

	lockdep_assert_held(&l->lock);

	if (l->gone)
		return false;

	/*
	 * Nothing there: no need to bother Xen.  Its generation stays as it is,
	 * which is fine: a resolve of these pages that is under way has been told,
	 * sees that under the same lock, and never gets as far as showing Xen a
	 * generation.  One of other pages shows the newest, as @generation is
	 * read and written under this lock: so Xen, which has one number for
	 * the lease, refuses no install for a revoke elsewhere.  Its number is
	 * for revokes this lock does not cover.
	 */
	c0 = find_next_bit(l->chunks, c1 + 1, c0);
	if (c0 > c1)
		return false;
	c1 = find_last_bit(l->chunks, c1 + 1);
	first = max(first, lend_chunk_start(l, c0));
	last = min(last, lend_chunk_start(l, c1 + 1) - 1);

	rc = lend_xen_revoke(l, first, last - first + 1);
	/* With its domain, or all of it just now by lend_lease_kill(). */
	if (lend_is_gone(rc))
		WRITE_ONCE(l->gone, true);
	else if (rc && !lend_not_revoked(l, rc))
		return true;

	if (first > lend_chunk_start(l, c0))
		c0++;
	if (last < lend_chunk_start(l, c1 + 1) - 1)
		c1--;
	/* c1 may have become c0 - 1, and that -1. */
	if (c1 + 1 > c0)
		bitmap_clear(l->chunks, c0, c1 - c0 + 1);
	if (l->granted)
		bitmap_clear(l->granted, first, last - first + 1);
	lend_note_revoke(l, first, last);
	lend_zero_drop(l, first, last);
	return true;
}

/*
 * Linux writes a file to disk page by page, with a notifier call for each, and
 * each page of the guest's that becomes read-only takes a flush.  So when pages
 * follow each other, those that are going to follow come along: twice as many each
 * time.  What is writable is dirty, hence it is what comes next; if not, the
 * borrower has a fault more, and nothing else happens.
 *
 * Return: the last page to be made read-only with those up to @last.
 */
static unsigned long lend_clean_ahead(struct lend_lease *l,
				      unsigned long first, unsigned long last)
{
	bool goes_on = first == l->clean_next;

	lockdep_assert_held(&l->lock);

	l->clean_next = last + 1;
	if (!goes_on)
		l->clean_window = 0;
	if (!lend_find_granted(l, &first, &last))
		return last;
	l->clean_window = goes_on ? clamp(2 * l->clean_window, 1UL,
					  (unsigned long)LEND_CHUNK) : 0;
	return min(last + l->clean_window, l->nr - 1);
}

/**
 * lend_downgrade - make pages read-only in the borrower
 * @l:		the lease, its lock held
 * @first:	page of the lease
 * @last:	likewise; not more than LEND_REVOKE_PAGES in all
 *
 * As lend_revoke(), but the borrower can go on reading.  What it has written was
 * marked dirty when it got the right to write, see lend_batch_dirty(); the next
 * write is a fault and does so again.
 *
 * Return: whether anything may have been writable.
 */
static bool lend_downgrade(struct lend_lease *l, unsigned long first,
			   unsigned long last)
{
	unsigned long ahead = lend_clean_ahead(l, first, last);
	int rc;

	lockdep_assert_held(&l->lock);

	if (l->gone)
		return false;

	/* As in lend_revoke(): those who have looked up these pages were told. */
	if (!lend_find_granted(l, &first, &last))
		return false;
	if (ahead > last) {
		last = ahead;
		lend_find_granted(l, &first, &last);
	}

	rc = lend_xen_downgrade(l, first, last - first + 1);
	/* A Xen of before there were downgrades. */
	if (rc == -EINVAL)
		return lend_revoke(l, first, last);
	if (lend_is_gone(rc))
		WRITE_ONCE(l->gone, true);
	else if (rc && !lend_not_revoked(l, rc))
		return true;

	atomic64_add(lend_note_downgrade(l, first, last), &l->downgraded);
	return true;
}

/*
 * Does this change take away nothing but the right to write?  Both leave each
 * page where it is.  PROTECTION_PAGE: write-back, and what fork() shares;
 * SOFT_DIRTY: the kernel wants to know of the next write.  PROTECTION_VMA can be
 * anything.
 */
static bool lend_is_downgrade(const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_PROTECTION_PAGE ||
	       range->event == MMU_NOTIFY_SOFT_DIRTY;
}

/*
 * May what was looked up since lend_race_begin() be installed, from @b->lo up to
 * @b->hi?  0; -EAGAIN: no, something has been taken away since; -ENOENT: the lease
 * has ended; -ESRCH: Xen does not have it any more.
 */
int lend_may_install(struct lend_lease *l, const struct lend_batch *b)
{
	lockdep_assert_held(&l->lock);

	if (l->dead)
		return -ENOENT;
	if (l->gone)
		return -ESRCH;
	/* The notifier, which sets this, has the lock as well. */
	return b->raced ? -EAGAIN : 0;
}

/*
 * The notifier.  Runs with any of mmap_lock, i_mmap_rwsem, anon_vma and folio
 * locks held, inside reclaim, in the OOM reaper, in the exit of the process.
 * When it returns true the memory may be reused at once.
 */
static bool lend_invalidate(struct mmu_interval_notifier *mni,
			    const struct mmu_notifier_range *range,
			    unsigned long seq)
{
	struct lend_lease *l = container_of(mni, struct lend_lease, mni);
	bool blockable = mmu_notifier_range_blockable(range);
	bool downgrade = lend_is_downgrade(range);
	unsigned long first, last, at, end;
	bool installed = false;

	first = max(range->start, l->addr);
	last = min(range->end - 1, lend_va(l, l->nr) - 1);
	if (WARN_ON_ONCE(first > last))
		return true;
	first = (first - l->addr) >> PAGE_SHIFT;
	last = (last - l->addr) >> PAGE_SHIFT;

	/*
	 * Whoever has the lock is on its way out of a hypercall or a few.
	 * Still, the OOM reaper may not sleep: it tries again later.
	 */
	if (blockable) {
		mutex_lock(&l->lock);
	} else if (!mutex_trylock(&l->lock)) {
		atomic64_inc(&l->refused);
		return false;
	}
	/*
	 * Before the pages go: a resolve that has read page tables before now
	 * must see this in lend_commit() once it gets the lock.
	 */
	lend_race_mark(l, seq, first, last);
	for (at = first; at <= last; at = end + 1) {
		if (at != first && blockable) {
			/*
			 * Other notifiers have not got to wait for all of it.
			 * Resolves of these pages fail the same check meanwhile,
			 * or wait for us to return.
			 */
			mutex_unlock(&l->lock);
			cond_resched();
			mutex_lock(&l->lock);
		}
		end = min(last, at + LEND_REVOKE_PAGES - 1);
		installed |= downgrade ? lend_downgrade(l, at, end) :
					 lend_revoke(l, at, end);
	}
	mutex_unlock(&l->lock);

	atomic64_inc(&l->revokes);
	if (!installed)
		atomic64_inc(&l->skipped);
	trace_xen_lend_revoke(l, range->event, blockable, first,
			      last - first + 1, installed);
	return true;
}

const struct mmu_interval_notifier_ops lend_mni_ops = {
	.invalidate = lend_invalidate,
};
