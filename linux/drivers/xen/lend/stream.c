// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: how much comes along with a fault.
 *
 * Faults of a vCPU that follow each other, upwards or downwards, are a stream.
 * With each of them the window of pages that are brought doubles, from 16 KiB up
 * to what the lease allows.  A fault that is in no stream may begin one, but after
 * some that did not, it brings one page.
 *
 * A vCPU has several streams at a time, as it copies from one place to another,
 * say.  Who it is, the caller knows; that is a hint.
 */
#include <linux/spinlock.h>

#include "lend.h"

/* The first window of a stream, in pages. */
#define LEND_WINDOW	4U

/* What is so near to a window is of the same stream, for it may have gaps. */
#define LEND_REACH	16UL

/* Faults in no stream, one after the other, before the next brings one page. */
#define LEND_MISSES	4

/* The stream that a fault at @page is of, or NULL. */
static struct lend_stream *lend_stream_find(struct lend_streams *s,
					    unsigned long page)
{
	struct lend_stream *way;
	unsigned long reach;

	for (way = s->way; way < s->way + LEND_STREAM_WAYS; way++) {
		reach = max(LEND_REACH, way->window + 0UL);
		if (way->window && page < way->hi + reach &&
		    page + reach >= way->lo)
			return way;
	}
	return NULL;
}

static struct lend_stream *lend_stream_new(struct lend_streams *s,
					   unsigned long page, bool write)
{
	struct lend_stream *way, *oldest = s->way;

	for (way = s->way; way < s->way + LEND_STREAM_WAYS; way++)
		if (way->used < oldest->used)
			oldest = way;
	*oldest = (struct lend_stream){
		.last = page,
		.window = s->misses < LEND_MISSES ? LEND_WINDOW : 1,
		.write = write,
	};
	s->misses = min(s->misses + 1, LEND_MISSES);
	return oldest;
}

/* One more fault of the stream; returns whether it goes on. */
static bool lend_stream_go(struct lend_streams *s, struct lend_stream *way,
			   unsigned long page, bool write)
{
	s->misses = 0;
	way->write &= write;
	if (page == way->last)
		return false;
	way->down = page < way->last;
	way->last = page;
	way->window = way->window < LEND_WINDOW ? LEND_WINDOW : 2 * way->window;
	return true;
}

/**
 * lend_stream_fault - set the window of a batch
 * @l:		the lease
 * @b:		set to the guest's 2 MiB around the target; sets @from, @to, @ahead
 * @stream:	who has the fault, see struct xen_lend_resolve
 * @write:	the borrower wants to write
 */
void lend_stream_fault(struct lend_lease *l, struct lend_batch *b, u32 stream,
		       bool write)
{
	struct lend_streams *s = l->streams + stream % LEND_STREAMS;
	unsigned long page = b->first + b->target, lo, hi, n;
	struct lend_stream *way;
	bool goes_on = false;

	spin_lock(&s->lock);
	way = lend_stream_find(s, page);
	if (way)
		goes_on = lend_stream_go(s, way, page, write);
	else
		way = lend_stream_new(s, page, write);
	way->used = ++s->clock;
	way->window = min(way->window, l->around);

	n = way->window;
	if (!goes_on)
		/* Nobody knows where it goes. */
		lo = page - min(page, (l->gfn + page) % n);
	else if (way->down)
		lo = page - min(page, n - 1);
	else
		lo = page;
	hi = goes_on && way->down ? page + 1 : lo + n;
	way->lo = max(lo, b->first);
	way->hi = min(hi, b->first + b->nr);

	b->from = way->lo - b->first;
	b->to = way->hi - b->first;
	b->ahead = goes_on;
	b->fill = goes_on && way->write && !(l->flags & XEN_LEND_NO_AHEAD);
	spin_unlock(&s->lock);
}

void lend_stream_init(struct lend_lease *l)
{
	unsigned int i;

	for (i = 0; i < LEND_STREAMS; i++)
		spin_lock_init(&l->streams[i].lock);
}
