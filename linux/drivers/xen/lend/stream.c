// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: how much comes along with a fault.
 *
 * Faults of a vCPU that follow each other, upwards or downwards, are a stream.
 * With each of them the window of pages that are brought doubles, from 16 KiB up
 * to what the lease allows.  A fault that is in no stream may begin one, but after
 * some that did not, it brings one page.
 *
 * A stream may have a stride.  When two faults in a row are as far from the one
 * before each, and what is between has been left out, one page in so many comes.
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
		reach = max3(LEND_REACH, way->window + 0UL, 2UL * way->step);
		if (way->window && page < way->hi + reach &&
		    page + reach >= way->lo)
			return way;
	}
	return NULL;
}

/* So far apart that it is worth telling them apart, and two or more in 2 MiB. */
static bool lend_is_stride(long stride)
{
	return abs(stride) > 1 && abs(stride) <= LEND_CHUNK / 2;
}

static struct lend_stream *lend_stream_new(struct lend_streams *s,
					   unsigned long page, bool write)
{
	struct lend_stream *way, *oldest = s->way;
	long stride = page - s->last;

	for (way = s->way; way < s->way + LEND_STREAM_WAYS; way++)
		if (way->used < oldest->used)
			oldest = way;
	*oldest = (struct lend_stream){
		.last = page,
		.stride = stride,
		.step = 1,
		.window = s->misses < LEND_MISSES ? LEND_WINDOW : 1,
		.down = stride < 0,
		.write = write,
	};
	s->misses = min(s->misses + 1, LEND_MISSES);
	if (stride == s->stride && lend_is_stride(stride)) {
		oldest->step = abs(stride);
		oldest->window = LEND_WINDOW;
		s->misses = 0;
	}
	s->last = page;
	s->stride = stride;
	return oldest;
}

/* Has something been left out between the last window and @page? */
static bool lend_is_apart(const struct lend_stream *way, unsigned long page)
{
	return page > way->hi || page + 1 < way->lo;
}

/* One more fault of the stream; returns whether it goes on. */
static bool lend_stream_go(struct lend_streams *s, struct lend_stream *way,
			   unsigned long page, bool write)
{
	long stride = page - way->last;

	s->misses = 0;
	way->write &= write;
	if (!stride)
		return false;
	way->window = way->window < LEND_WINDOW ? LEND_WINDOW : 2 * way->window;
	if (stride % (long)way->step) {
		way->step = 1;
		way->window = LEND_WINDOW;
	} else if (way->step == 1 && stride == way->stride &&
		   lend_is_stride(stride) && lend_is_apart(way, page)) {
		way->step = abs(stride);
	}
	way->down = stride < 0;
	way->stride = stride;
	way->last = page;
	return true;
}

/**
 * lend_stream_fault - set the window of a batch
 * @l:		the lease
 * @b:		set to the guest's 2 MiB around the target; sets @from, @to, @step,
 *		@ahead, @fill
 * @stream:	who has the fault, see struct xen_lend_resolve
 * @write:	the borrower wants to write
 */
void lend_stream_fault(struct lend_lease *l, struct lend_batch *b, u32 stream,
		       bool write)
{
	struct lend_streams *s = l->streams + stream % LEND_STREAMS;
	unsigned long page = b->first + b->target, lo, hi, span;
	struct lend_stream *way;
	bool goes_on = false;

	spin_lock(&s->lock);
	way = lend_stream_find(s, page);
	if (way)
		goes_on = lend_stream_go(s, way, page, write);
	else
		way = lend_stream_new(s, page, write);
	goes_on |= way->step > 1;
	way->used = ++s->clock;
	way->window = min(way->window, l->around);

	span = (way->window - 1UL) * way->step + 1;
	if (!goes_on)
		/* Nobody knows where it goes. */
		lo = page - min(page, (l->gfn + page) % span);
	else if (way->down)
		lo = page - min(page, span - 1);
	else
		lo = page;
	hi = goes_on && way->down ? page + 1 : lo + span;
	way->lo = max(lo, b->first);
	way->hi = min(hi, b->first + b->nr);

	b->from = way->lo - b->first;
	b->to = way->hi - b->first;
	b->step = way->step;
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
