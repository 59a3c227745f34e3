/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory lending: what the files of the driver share.
 *
 * Documentation/userspace-api/xen-lend.rst has the life of a lease.  The one
 * rule to know before touching anything here: lend_lease.lock is taken by
 * the MMU notifier, which runs inside reclaim and with mmap_lock or page locks
 * held.  So nothing done under it may allocate with reclaim, take mmap_lock,
 * drop the last reference to a mm, or wait for anybody.
 */
#ifndef _XEN_LEND_LEND_H
#define _XEN_LEND_LEND_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <xen/lend.h>
#include <xen/interface/lend.h>
#include <xen/interface/xen.h>

/* One install hypercall covers at most a 2 MiB guest frame. */
#define LEND_CHUNK_SHIFT	9
#define LEND_CHUNK		(1U << LEND_CHUNK_SHIFT)

/* So many pages by one revoke: 128 MiB, some milliseconds at 4 KiB each. */
#define LEND_REVOKE_PAGES	(1UL << 15)

/* Longest lease in pages, as in the hypervisor. */
#define LEND_MAX_PAGES		(1ULL << 28)

/* So many ranges are told apart that change at the same time. */
#define LEND_CHANGES		8

/* Pages of a lease. */
struct lend_range {
	unsigned long first, last;
};

/* A vCPU that waits, and for what: Xen's token, 0 if there is none. */
struct lend_wake {
	u32 vcpu;
	u64 token;
};

/* Streams of faults are told apart by who has the fault, and a few for each. */
#define LEND_STREAMS		16
#define LEND_STREAM_WAYS	4

/**
 * struct lend_stream - faults that follow each other
 * @lo:		first page of the last window
 * @hi:		the page after it
 * @last:	page of the last fault
 * @stride:	from the one before to it, in pages
 * @step:	one page in so many is touched
 * @used:	when that was, by the clock of struct lend_streams
 * @window:	pages that are brought; 0: no stream
 * @down:	to lower addresses
 * @write:	all of its faults were writes
 */
struct lend_stream {
	unsigned long lo;
	unsigned long hi;
	unsigned long last;
	long stride;
	unsigned int step;
	unsigned int used;
	unsigned int window;
	bool down;
	bool write;
};

/**
 * struct lend_streams - of one vCPU, or a few
 * @lock:	taken last, for a moment
 * @clock:	counts faults
 * @misses:	faults in a row that were in no stream
 * @last:	page of the last of these
 * @stride:	from the one before to it
 * @way:	the streams
 */
struct lend_streams {
	spinlock_t lock;
	unsigned int clock;
	int misses;
	unsigned long last;
	long stride;
	struct lend_stream way[LEND_STREAM_WAYS];
};

/**
 * struct lend_file - an open /dev/xen/lend
 * @bind_lock:	serializes XEN_LEND_IOC_BIND
 * @bound:	set once, after @domid (smp_store_release, smp_load_acquire)
 * @domid:	the borrower
 * @number:	Xen's for the borrower, never another domain's
 * @ref:	held by the open file, and by a port until its threads are gone
 * @leases:	leases by id; an entry holds a reference
 * @changing:	calls under way that make or end a lease, which Xen may have though
 *		@leases does not
 * @port:	where Xen puts faults for the kernel to answer, or NULL; set once
 *		(smp_store_release, smp_load_acquire), with @bind_lock
 * @node:	all open files, for debugfs
 * @pid:	who opened it, for debugfs
 * @comm:	likewise
 */
struct lend_file {
	struct mutex bind_lock;
	bool bound;
	domid_t domid;
	u64 number;
	struct kref ref;
	struct xarray leases;
	atomic_t changing;
	struct lend_port *port;
	struct list_head node;
	pid_t pid;
	char comm[TASK_COMM_LEN];
};

/**
 * struct lend_port - faults that the kernel answers, see port.c
 * @file:	holds a reference
 * @id:		Xen's
 * @stopping:	the file is closed: no fault is to be looked at any more
 * @orphan:	the process that asked for it has ended: works take the place of
 *		its threads
 * @orphan_work:	says so
 * @page:	what Xen writes to
 * @slots:	in there, by vCPU
 * @work:	ends the threads
 * @vcpus:	how many there are
 * @vcpu:	by number
 */
struct lend_port {
	struct lend_file *file;
	u32 id;
	bool stopping;
	bool orphan;
	struct delayed_work orphan_work;
	struct page *page;
	const struct xen_hvm_lend_slot *slots;
	struct work_struct work;
	unsigned int vcpus;
	struct lend_vcpu *vcpu;
};

/**
 * struct lend_lease - a gfn range of a borrower bound to a range of a mm
 * @mni:	the notifier over [@addr, @addr + @nr pages)
 * @mm:		the lender's address space, held by mm_count
 * @ref:	held by lend_file.leases and by every call under way
 * @domid:	the borrower
 * @number:	Xen's for it, see lend_file
 * @ioserv:	ioreq server that gets the faults
 * @port:	or where the kernel gets them
 * @id:		as given by Xen; constant once the lease is published
 * @flags:	XEN_LEND_READONLY, XEN_LEND_POLICY_*
 * @memtype:	XEN_LEND_MEMTYPE_*
 * @around:	pages mapped around a fault at most, a power of two up to LEND_CHUNK
 * @gfn:	first guest frame
 * @addr:	start of the backing
 * @file:	which file the driver has mapped at @addr, NULL if it has not, or has
 *		not got to look; for comparison only, the mapping has the reference
 * @name:	of that file, for debugfs
 * @offset:	start of the backing in the file
 * @unmap:	ends that mapping when the caller cannot
 * @zero_work:	ends zeros that have been there for long enough
 * @end_work:	tries again to end a lease that Xen would not let go of
 * @end_delay:	until then, in jiffies
 * @nr:		pages
 * @lock:	orders revokes against installs; protects what follows
 * @dead:	the lease is ending, or Xen would not revoke: nothing is installed
 *		any more
 * @gone:	Xen knows nothing (any more) about it: nothing to revoke
 * @stuck:	Xen would not revoke, nor end the lease, and people have been told
 * @commits:	counts calls that installed real pages (smp_store_release), for
 *		zeros that were decided on before (smp_load_acquire)
 * @generation:	Xen's number for "no revoke since"
 * @chunks:	one bit per 2 MiB of guest frames; clear: nothing is installed
 * @super:	likewise; set: by one entry of Xen's
 * @installed:	a bit per page, a hint; likewise what follows, see installed.c
 * @writable:	a bit per page; NULL if read-only
 * @granted:	likewise, but no hint; clear: Xen does not have it writable
 * @clean_next:	the page after those that Linux wrote to disk last
 * @clean_window:	as many pages are made read-only at once
 * @nr_installed:	bits set in @installed
 * @zero:	pages that read as zeros because the real one is not there (erased
 *		under @lock, stored outside of it)
 * @race_lock:	taken last, for a moment; protects what follows, see race.c
 * @batches:	of resolves under way, each of which is told of changes to its pages
 * @changing:	what Linux may be changing: the ranges of all notifier calls with
 *		the sequence number that @mni has
 * @nr_changing:	how many of them
 * @streams:	by who has the fault, see stream.c
 * @resolves:	calls, likewise the counters that follow
 * @retries:	resolves that raced with a revoke
 * @installs:	pages that were not installed before
 * @revokes:	notifier calls that hit the lease
 * @skipped:	notifier calls that found nothing installed
 * @downgraded:	pages that were made read-only, as far as the driver knows
 * @refused:	notifier calls that might not sleep and found @lock taken
 * @failures:	resolves that ended ZEROED or FAILED
 * @slowest_us:	longest resolve
 * @waiting:	faults that are to be answered by the kernel
 * @answered:	those that were
 * @failed:	of these, with "failed"
 * @slowest_answer_us:	longest time it took
 */
struct lend_lease {
	struct mmu_interval_notifier mni;
	struct mm_struct *mm;
	struct kref ref;
	domid_t domid;
	u64 number;
	u16 ioserv;
	struct lend_port *port;
	u32 id;
	u32 flags;
	u32 memtype;
	unsigned int around;
	u64 gfn;
	unsigned long addr;
	unsigned long nr;
	const struct file *file;
	char *name;
	u64 offset;
	struct work_struct unmap;
	struct delayed_work zero_work;
	struct delayed_work end_work;
	unsigned long end_delay;

	struct mutex lock;
	bool dead;
	bool gone;
	bool stuck;
	unsigned long commits;
	u64 generation;
	unsigned long *chunks;
	unsigned long *super;
	unsigned long *installed;
	unsigned long *writable;
	unsigned long *granted;
	unsigned long clean_next;
	unsigned long clean_window;
	unsigned long nr_installed;
	struct xarray zero;

	spinlock_t race_lock;
	struct list_head batches;
	struct lend_range changing[LEND_CHANGES];
	unsigned int nr_changing;

	struct lend_streams streams[LEND_STREAMS];

	atomic64_t resolves;
	atomic64_t retries;
	atomic64_t installs;
	atomic64_t revokes;
	atomic64_t skipped;
	atomic64_t downgraded;
	atomic64_t refused;
	atomic64_t failures;
	atomic64_t slowest_us;
	atomic64_t waiting;
	atomic64_t answered;
	atomic64_t failed;
	atomic64_t slowest_answer_us;
};

static inline bool lend_readonly(const struct lend_lease *l)
{
	return l->flags & XEN_LEND_READONLY;
}

/* Nothing can be installed any more, and yet Xen has faults for it. */
static inline bool lend_is_stuck(const struct lend_lease *l)
{
	return READ_ONCE(l->stuck) && !READ_ONCE(l->gone);
}

static inline unsigned long lend_va(const struct lend_lease *l,
				    unsigned long page)
{
	return l->addr + (page << PAGE_SHIFT);
}

/* The bit of @chunks for a page of the lease: chunks are those of the guest. */
static inline unsigned long lend_chunk(const struct lend_lease *l,
				       unsigned long page)
{
	return ((l->gfn + page) >> LEND_CHUNK_SHIFT) -
	       (l->gfn >> LEND_CHUNK_SHIFT);
}

/* The first page of a chunk; of the chunk after the last: one past the end. */
static inline unsigned long lend_chunk_start(const struct lend_lease *l,
					     unsigned long chunk)
{
	u64 gfn = ((l->gfn >> LEND_CHUNK_SHIFT) + chunk) << LEND_CHUNK_SHIFT;

	if (gfn <= l->gfn)
		return 0;
	return min_t(u64, gfn - l->gfn, l->nr);
}

/**
 * struct lend_batch - pages on their way into the borrower
 * @first:	page of the lease that entry 0 stands for
 * @nr:		entries in use
 * @target:	the entry somebody waits for, or LEND_NO_TARGET
 * @from:	first entry of the window, with a target
 * @to:		the entry after the last one
 * @begin:	first entry that is in use; those outside are not initialized
 * @end:	the entry after the last one
 * @step:	one entry in so many is wanted, the target among them
 * @wide:	but all are by now, to become one entry of Xen's
 * @ahead:	in a stream: what is in the page cache is worth mapping
 * @fill:	and holes are worth filling
 * @absent:	pages that could not be faulted in ahead
 * @pfnmap:	the last page faulted came from a PFN map
 * @absent_only:	look for what is not installed
 * @write:	the borrower wants to write
 * @node:	in lend_lease.batches while page tables are read and until the
 *		install; with race_lock, likewise what follows
 * @lo:		first entry that may be installed, for those below have changed
 * @hi:		the entry after the last one
 * @raced:	the target has changed; without one: anything
 * @commits:	lend_lease.commits before the look-up
 * @wake:	who goes on once the target is installed; its token is 0 after that
 * @frame:	for Xen: XEN_HVM_LEND_frame_skip, or a number and the write bit
 * @page:	page to put after the install, NULL for a PFN without one
 */
struct lend_batch {
	unsigned long first;
	unsigned int nr;
	unsigned int target;
	unsigned int from;
	unsigned int to;
	unsigned int begin;
	unsigned int end;
	unsigned int step;
	bool wide;
	bool ahead;
	bool fill;
	unsigned int absent;
	bool pfnmap;
	bool absent_only;
	bool write;
	struct list_head node;
	unsigned int lo;
	unsigned int hi;
	bool raced;
	unsigned long commits;
	struct lend_wake wake;
	u64 frame[LEND_CHUNK];
	struct page *page[LEND_CHUNK];
};

#define LEND_NO_TARGET		UINT_MAX

/**
 * struct lend_outcome - what a resolve has come to
 * @installed:	pages installed that were not before
 * @err:	what is wrong with the backing (positive errno), or 0
 * @zeroed:	a zero page stands in
 */
struct lend_outcome {
	u32 installed;
	u32 err;
	bool zeroed;
};

/* lease.c */
extern struct workqueue_struct *lend_wq;
int lend_lease_init(void);
void lend_lease_exit(void);
int lend_lease_new(struct lend_file *f, struct xen_lend_lease *arg);
int lend_lease_end(struct lend_file *f, u32 id);
void lend_lease_end_all(struct lend_file *f);
struct lend_lease *lend_lease_get(struct lend_file *f, u32 id);
struct lend_lease *lend_lease_next(struct lend_file *f, unsigned long id);
void lend_lease_put(struct lend_lease *l);
void lend_slowest(atomic64_t *slowest, s64 us);
int lend_lease_stats(struct lend_lease *l, struct xen_lend_stats *st);

/* revoke.c */
extern const struct mmu_interval_notifier_ops lend_mni_ops;
bool lend_revoke(struct lend_lease *l, unsigned long first,
		 unsigned long last);
void lend_zero_drop(struct lend_lease *l, unsigned long first,
		    unsigned long last);
int lend_may_install(struct lend_lease *l, const struct lend_batch *b);

/* installed.c */
int lend_installed_init(struct lend_lease *l);
void lend_installed_free(struct lend_lease *l);
bool lend_is_installed(struct lend_lease *l, unsigned long page, bool write);
bool lend_is_super(const struct lend_lease *l, const struct lend_batch *b);
u32 lend_note_install(struct lend_lease *l, unsigned long first,
		      const u64 *frame, unsigned int nr);
void lend_note_revoke(struct lend_lease *l, unsigned long first,
		      unsigned long last);
void lend_note_grant(struct lend_lease *l, unsigned long first,
		     const u64 *frame, unsigned int nr);
bool lend_find_granted(struct lend_lease *l, unsigned long *first,
		       unsigned long *last);
unsigned long lend_note_downgrade(struct lend_lease *l, unsigned long first,
				  unsigned long last);
bool lend_was_taken(struct lend_lease *l, unsigned long page);

/* race.c */
void lend_race_init(struct lend_lease *l);
int lend_race_begin(struct lend_lease *l, struct lend_batch *b);
void lend_race_end(struct lend_lease *l, struct lend_batch *b);
void lend_race_mark(struct lend_lease *l, unsigned long seq,
		    unsigned long first, unsigned long last);

/* map.c */
int lend_map(struct lend_lease *l, int fd);
bool lend_unmap(struct lend_lease *l);

/* resolve.c */
int lend_resolve(struct lend_lease *l, struct xen_lend_resolve *arg,
		 struct lend_wake *wake);

/* port.c */
int lend_listen(struct lend_file *f, u32 vcpus);
void lend_unlisten(struct lend_file *f);

/* main.c */
void lend_file_put(struct lend_file *f);

/* stream.c */
void lend_stream_init(struct lend_lease *l);
void lend_stream_fault(struct lend_lease *l, struct lend_batch *b, u32 stream,
		       bool write);

/* gather.c */
void lend_batch_reset(struct lend_batch *b, bool write);
void lend_batch_put(struct lend_batch *b);
void lend_batch_dirty(struct lend_batch *b, unsigned int lo, unsigned int hi);
int lend_gather(struct lend_lease *l, struct lend_batch *b, bool around);
void lend_look_ahead(struct lend_lease *l, struct lend_batch *b);
int lend_populate(struct lend_lease *l, struct lend_batch *b, u32 *err);
int lend_gather_all(struct lend_lease *l, struct lend_batch *b);
u64 lend_frame(unsigned long pfn, bool write);

/* zero.c */
int lend_zero_install(struct lend_lease *l, const struct lend_batch *b);
void lend_zero_cancel(struct lend_lease *l);
void lend_zero_work(struct work_struct *work);

/* What Xen says when there is nothing left to revoke or destroy. */
static inline bool lend_is_gone(int rc)
{
	return rc == -ENOENT || rc == -ESRCH;
}

/* xenops.c */
int lend_xen_probe(domid_t domid, u64 *number);
int lend_xen_create(struct lend_lease *l);
int lend_xen_destroy(struct lend_lease *l);
int lend_xen_install(struct lend_lease *l, unsigned long first,
		     unsigned int nr, u64 *frames, unsigned int *done,
		     const struct lend_wake *wake);
int lend_xen_revoke(struct lend_lease *l, unsigned long first,
		    unsigned long nr);
int lend_xen_downgrade(struct lend_lease *l, unsigned long first,
		       unsigned long nr);
int lend_xen_query(struct lend_lease *l, struct xen_hvm_lend_query *q);
int lend_xen_listen(struct lend_file *f, u64 frame, u32 *evtchns, u32 vcpus,
		    u32 *id);
bool lend_xen_has(struct lend_file *f, u32 id);
int lend_xen_unlisten(struct lend_file *f, u32 id);
int lend_xen_answer(struct lend_file *f, u32 id, const struct lend_wake *wake,
		    bool failed);

/* debugfs.c */
#ifdef CONFIG_DEBUG_FS
void lend_debugfs_init(void);
void lend_debugfs_exit(void);
void lend_debugfs_add(struct lend_file *f);
void lend_debugfs_del(struct lend_file *f);
#else
static inline void lend_debugfs_init(void) { }
static inline void lend_debugfs_exit(void) { }
static inline void lend_debugfs_add(struct lend_file *f) { }
static inline void lend_debugfs_del(struct lend_file *f) { }
#endif

#endif /* _XEN_LEND_LEND_H */
