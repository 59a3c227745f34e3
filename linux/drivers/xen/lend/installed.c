// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: which pages are installed.
 *
 * For neighbours of a fault, which need not be given to Xen again.  It is a hint
 * for that and nothing else: Xen may take pages out by itself (for want of page
 * tables, or because a frame is not the lender's any more), and does not say so.
 * So the page that somebody waits for is always given, and a revoke goes by
 * lend_lease.chunks.
 *
 * One of the three maps is more than a hint, as a downgrade goes by it: what is
 * clear in lend_lease.granted Xen does not have writable.  A bit is set before Xen
 * is given the page, and cleared when Xen has taken back that very page.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>

#include "lend.h"

int lend_installed_init(struct lend_lease *l)
{
	size_t longs = BITS_TO_LONGS(l->nr);

	l->installed = kvcalloc(longs, sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!lend_readonly(l)) {
		l->writable = kvcalloc(longs, sizeof(long), GFP_KERNEL_ACCOUNT);
		l->granted = kvcalloc(longs, sizeof(long), GFP_KERNEL_ACCOUNT);
	}
	return l->installed && (lend_readonly(l) ||
				(l->writable && l->granted)) ? 0 : -ENOMEM;
}

void lend_installed_free(struct lend_lease *l)
{
	kvfree(l->installed);
	kvfree(l->writable);
	kvfree(l->granted);
}

/*
 * Is it there, and writable if @write?  Zeros are not, for the real page is to
 * take their place.  Exact under the lock, but for what Xen has taken.
 */
bool lend_is_installed(struct lend_lease *l, unsigned long page, bool write)
{
	if (!test_bit(page, l->installed) ||
	    (write && !test_bit(page, l->writable)))
		return false;
	return xa_empty(&l->zero) || !xa_load(&l->zero, page);
}

/* Could Xen map the chunk by one entry?  As it looks at that itself. */
bool lend_is_super(const struct lend_lease *l, const struct lend_batch *b)
{
	unsigned int i;

	if (b->end - b->begin != LEND_CHUNK ||
	    (l->gfn + b->first) % LEND_CHUNK ||
	    b->frame[0] == XEN_HVM_LEND_frame_skip || b->frame[0] % LEND_CHUNK)
		return false;
	for (i = 1; i < LEND_CHUNK; i++)
		if (b->frame[i] != b->frame[0] + i)
			return false;
	return true;
}

/**
 * lend_note_install - these are installed now
 * @l:		the lease, its lock held
 * @first:	page of the lease
 * @frame:	as given to Xen
 * @nr:		of them
 *
 * Return: how many were not installed, or not writable, before.
 */
u32 lend_note_install(struct lend_lease *l, unsigned long first,
		      const u64 *frame, unsigned int nr)
{
	unsigned int i;
	bool news;
	u32 n = 0;

	lockdep_assert_held(&l->lock);

	for (i = 0; i < nr; i++) {
		if (frame[i] == XEN_HVM_LEND_frame_skip)
			continue;
		news = !__test_and_set_bit(first + i, l->installed);
		l->nr_installed += news;
		if (frame[i] & XEN_HVM_LEND_frame_write)
			news |= !__test_and_set_bit(first + i, l->writable);
		n += news;
	}
	return n;
}

static void lend_forget_installed(struct lend_lease *l, unsigned long first,
				  unsigned long last)
{
	unsigned long from = first, to;

	for_each_set_bitrange_from(from, to, l->installed, last + 1)
		l->nr_installed -= to - from;
	bitmap_clear(l->installed, first, last - first + 1);
	if (l->writable)
		bitmap_clear(l->writable, first, last - first + 1);
}

/* These are not.  Where Xen had 2 MiB in one entry, nor are those around them. */
void lend_note_revoke(struct lend_lease *l, unsigned long first,
		      unsigned long last)
{
	unsigned long c0 = lend_chunk(l, first), c1 = lend_chunk(l, last);

	lockdep_assert_held(&l->lock);

	if (test_bit(c0, l->super))
		first = lend_chunk_start(l, c0);
	if (test_bit(c1, l->super))
		last = lend_chunk_start(l, c1 + 1) - 1;
	bitmap_clear(l->super, c0, c1 - c0 + 1);
	lend_forget_installed(l, first, last);
}

/**
 * lend_note_grant - these are going to be writable
 * @l:		the lease, its lock held
 * @first:	page of the lease
 * @frame:	as Xen is going to be given them
 * @nr:		of them
 */
void lend_note_grant(struct lend_lease *l, unsigned long first,
		     const u64 *frame, unsigned int nr)
{
	unsigned int i;

	lockdep_assert_held(&l->lock);

	for (i = 0; l->granted && i < nr; i++)
		if (frame[i] != XEN_HVM_LEND_frame_skip &&
		    frame[i] & XEN_HVM_LEND_frame_write)
			__set_bit(first + i, l->granted);
}

/**
 * lend_find_granted - what of a range may be writable?
 * @l:		the lease, its lock held
 * @first:	page of the lease; set to the first that may be
 * @last:	likewise, the last
 *
 * Return: whether there is any.
 */
bool lend_find_granted(struct lend_lease *l, unsigned long *first,
		       unsigned long *last)
{
	unsigned long end = *last + 1;

	lockdep_assert_held(&l->lock);

	if (!l->granted)
		return false;
	*first = find_next_bit(l->granted, end, *first);
	if (*first == end)
		return false;
	*last = find_last_bit(l->granted, end);
	return true;
}

/**
 * lend_note_downgrade - these are read-only
 * @l:		the lease, its lock held
 * @first:	page of the lease
 * @last:	likewise
 *
 * Xen makes large entries read-only as a whole, as it takes them out in a revoke.
 *
 * Return: how many may have been writable.
 */
unsigned long lend_note_downgrade(struct lend_lease *l, unsigned long first,
				  unsigned long last)
{
	unsigned long c0 = lend_chunk(l, first), c1 = lend_chunk(l, last);
	unsigned long from = first, to, nr = 0;

	lockdep_assert_held(&l->lock);

	for_each_set_bitrange_from(from, to, l->granted, last + 1)
		nr += to - from;
	bitmap_clear(l->granted, first, last - first + 1);
	if (test_bit(c0, l->super))
		first = lend_chunk_start(l, c0);
	if (test_bit(c1, l->super))
		last = lend_chunk_start(l, c1 + 1) - 1;
	bitmap_clear(l->writable, first, last - first + 1);
	return nr;
}

/**
 * lend_was_taken - a page is wanted that should be there
 * @l:		the lease, its lock not held
 * @page:	page of the lease
 *
 * Either another vCPU has had a fault there at the same time, or Xen has taken
 * it out by itself, and then very likely with all that is in the same page table.
 * Xen's count of pages tells.
 *
 * Return: whether Xen may have taken it; then what is known of the chunk is
 * forgotten.
 */
bool lend_was_taken(struct lend_lease *l, unsigned long page)
{
	unsigned long chunk = lend_chunk(l, page);
	struct xen_hvm_lend_query q;
	bool taken;

	mutex_lock(&l->lock);
	taken = lend_xen_query(l, &q) || q.installed != l->nr_installed;
	if (taken)
		lend_note_revoke(l, lend_chunk_start(l, chunk),
				 lend_chunk_start(l, chunk + 1) - 1);
	mutex_unlock(&l->lock);
	return taken;
}
