// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: resolves and the invalidations that overlap them.
 *
 * The notifier has one sequence number for the whole lease (in fact for the
 * whole address space), so a resolve that goes by it starts again for a change
 * anywhere, and waits for the end of one anywhere.  Here the pages count:
 *
 *	resolve					notifier
 *	race_lock				mutex
 *	  wait if the target is in @changing	race_lock
 *	  join @batches				  add to @changing
 *	unlock					  tell @batches
 *	fault in, read page tables (sleeps)	unlock
 *	mutex					revoke
 *	if told about the target: again		unlock
 *	install					page tables change
 *	unlock					the sequence goes on
 *
 * A notifier that comes after the resolve has joined tells it.  One that came
 * before has left its range in @changing; there the resolve finds it, or it is
 * over.  No notifier says so when it is.  But all that are under way at the
 * same time have the same sequence number, and one with another number comes
 * only when they are over.  So ranges of another number go from @changing.
 * Those of the newest are over, too, once mmu_interval_read_begin() has waited
 * for this number.
 *
 * The page that a vCPU waits for is the target.  Its neighbours are left out
 * rather than waited for, and rather than started again for.
 */
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>

#include "lend.h"

/* A range has changed, or is about to: what does that mean for a batch? */
static void lend_batch_hit(struct lend_batch *b, unsigned long first,
			   unsigned long last)
{
	unsigned long target = b->first + b->target;

	if (last < b->first + b->lo || first >= b->first + b->hi)
		return;
	if (b->target == LEND_NO_TARGET || (first <= target && target <= last))
		b->raced = true;
	else if (last < target)
		b->lo = last + 1 - b->first;
	else
		b->hi = first - b->first;
}

/* Take part, unless the target may be changing at this moment. */
static bool lend_join(struct lend_lease *l, struct lend_batch *b)
{
	unsigned int i;

	lockdep_assert_held(&l->race_lock);

	b->lo = 0;
	b->hi = b->nr;
	b->raced = false;
	for (i = 0; i < l->nr_changing; i++)
		lend_batch_hit(b, l->changing[i].first, l->changing[i].last);
	if (b->raced)
		return false;
	list_add(&b->node, &l->batches);
	return true;
}

/**
 * lend_race_begin - page tables are going to be read
 * @l:		the lease; its lock is not held
 * @b:		@first, @nr and @target are set
 *
 * Waits while what Linux changes overlaps the target (if there is none: the
 * batch).  Page tables read from now on are what they seem, or the batch is
 * told.
 *
 * Return: 0, and lend_race_end() is to follow; -EAGAIN if the next change has
 * begun already.
 */
int lend_race_begin(struct lend_lease *l, struct lend_batch *b)
{
	unsigned long seq;
	bool joined;

	spin_lock(&l->race_lock);
	joined = lend_join(l, b);
	spin_unlock(&l->race_lock);
	if (joined)
		return 0;

	seq = mmu_interval_read_begin(&l->mni);
	spin_lock(&l->race_lock);
	/* Still the newest number, and over: so is all that is noted. */
	if (!mmu_interval_read_retry(&l->mni, seq))
		l->nr_changing = 0;
	joined = lend_join(l, b);
	spin_unlock(&l->race_lock);
	return joined ? 0 : -EAGAIN;
}

/* The batch has been installed, or given up. */
void lend_race_end(struct lend_lease *l, struct lend_batch *b)
{
	spin_lock(&l->race_lock);
	list_del(&b->node);
	spin_unlock(&l->race_lock);
}

/* Add to @changing: to the nearest range if that adjoins, or for want of room. */
static void lend_note_change(struct lend_lease *l, unsigned long first,
			     unsigned long last)
{
	struct lend_range *r, *near = NULL;
	unsigned long gap, least = ULONG_MAX;

	for (r = l->changing; r < l->changing + l->nr_changing; r++) {
		gap = first > r->last ? first - r->last :
		      r->first > last ? r->first - last : 0;
		if (gap < least) {
			least = gap;
			near = r;
		}
	}
	if (least > 1 && l->nr_changing < LEND_CHANGES) {
		l->changing[l->nr_changing++] =
			(struct lend_range){ first, last };
	} else {
		near->first = min(near->first, first);
		near->last = max(near->last, last);
	}
}

/**
 * lend_race_mark - pages are about to change
 * @l:		the lease, its lock held, for lend_may_install() to see this
 * @seq:	the notifier's
 * @first:	page of the lease
 * @last:	likewise
 */
void lend_race_mark(struct lend_lease *l, unsigned long seq,
		    unsigned long first, unsigned long last)
{
	struct lend_batch *b;

	lockdep_assert_held(&l->lock);

	spin_lock(&l->race_lock);
	if (mmu_interval_read_retry(&l->mni, seq))
		l->nr_changing = 0;
	mmu_interval_set_seq(&l->mni, seq);
	lend_note_change(l, first, last);
	list_for_each_entry(b, &l->batches, node)
		lend_batch_hit(b, first, last);
	spin_unlock(&l->race_lock);
}

/*
 * Before the notifier is inserted.  It is not told about what has begun by
 * then, but has its sequence number.
 */
void lend_race_init(struct lend_lease *l)
{
	spin_lock_init(&l->race_lock);
	INIT_LIST_HEAD(&l->batches);
	lend_note_change(l, 0, l->nr - 1);
}
