// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: from pages of the backing to frames for Xen.
 *
 * The way of KVM's hva_to_pfn().  Page references taken here live until the
 * install is done or given up (lend_batch_put()); they keep a page from being
 * freed in between and mean nothing more: what makes a frame valid is the
 * check in lend_may_install().  Nothing is faulted in while there is one: that may
 * take for ever, and migration, truncation of DAX and hot-unplug would wait.
 *
 * Write permission is given only where Linux has a writable PTE.  Where it has
 * one already and the page is dirty, a read gets it as well, which saves a second
 * fault.  It never asks Linux for one, for that would dirty or copy the page; nor
 * does it make a clean page dirty, which is what a writable frame amounts to.
 */
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/ioport.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/statfs.h>
#include <linux/userfaultfd_k.h>
#include <xen/page.h>
#include <xen/xen.h>

#include "lend.h"

/* Neighbours are looked at in blocks; a block with none ends the search. */
#define LEND_BLOCK	16U

/* Attempts at a PFN map that faults in but is empty when we look. */
#define LEND_PFNMAP_TRIES	64

/*
 * The frame number as Xen wants it.  Frames that are not the lender's (foreign
 * and grant mappings) are not filtered out here: Xen checks, and has to.
 */
u64 lend_frame(unsigned long pfn, bool write)
{
	unsigned long frame = pfn_to_gfn(pfn);

	if (frame == ~0UL || frame >> (64 - PAGE_SHIFT))
		return XEN_HVM_LEND_frame_skip;
	return frame | (write ? XEN_HVM_LEND_frame_write : 0);
}

static void lend_batch_clear(struct lend_batch *b, unsigned int i,
			     unsigned int end)
{
	for (; i < end; i++) {
		b->frame[i] = XEN_HVM_LEND_frame_skip;
		b->page[i] = NULL;
	}
}

/* The window, or all of it; most windows are one page. */
void lend_batch_reset(struct lend_batch *b, bool write)
{
	bool all = b->target == LEND_NO_TARGET;

	b->write = write;
	b->pfnmap = false;
	b->absent_only = false;
	b->wide = false;
	b->begin = all ? 0 : b->from;
	b->end = all ? b->nr : b->to;
	lend_batch_clear(b, b->begin, b->end);
}

/* All of it after all, since it may become one entry of Xen's. */
static void lend_batch_widen(struct lend_batch *b)
{
	lend_batch_clear(b, 0, b->begin);
	lend_batch_clear(b, b->end, b->nr);
	b->begin = 0;
	b->end = b->nr;
	b->wide = true;
}

/* Entry @i's reference, if it has one. */
static void lend_put(struct lend_batch *b, unsigned int i)
{
	if (b->page[i])
		put_page(b->page[i]);
	b->page[i] = NULL;
}

void lend_batch_put(struct lend_batch *b)
{
	unsigned int i;

	for (i = b->begin; i < b->end; i++)
		lend_put(b, i);
}

/* Entry @i is not to be installed. */
static void lend_leave_out(struct lend_batch *b, unsigned int i)
{
	lend_put(b, i);
	b->frame[i] = XEN_HVM_LEND_frame_skip;
}

/* Has entry @i a page, and may the borrower write to it if it is to? */
static bool lend_is_taken(const struct lend_batch *b, unsigned int i)
{
	return b->frame[i] != XEN_HVM_LEND_frame_skip &&
	       (!b->write || b->frame[i] & XEN_HVM_LEND_frame_write);
}

/*
 * Mark the pages dirty that the borrower may write to from now on, among entries
 * @lo to @hi: no dirty bit of a PTE will tell.  Called under the lease's lock after
 * lend_may_install(): the PTE is still writable, and whoever wants to clean or
 * truncate the page is waiting for us in the notifier, so this is like
 * folio_mark_dirty() under the PTE lock, and as there it does not sleep.
 */
void lend_batch_dirty(struct lend_batch *b, unsigned int lo, unsigned int hi)
{
	struct folio *folio, *prev = NULL;
	unsigned int i;

	for (i = lo; i <= hi; i++) {
		if (!b->page[i] || !(b->frame[i] & XEN_HVM_LEND_frame_write) ||
		    b->frame[i] == XEN_HVM_LEND_frame_skip)
			continue;
		folio = page_folio(b->page[i]);
		if (folio != prev)
			folio_mark_dirty(folio);
		prev = folio;
	}
}

/*
 * Whether it costs nothing to make it dirty.  Without a copy in swap, anonymous
 * memory has to be written there some time or other.
 */
static bool lend_is_dirty(struct folio *folio)
{
	if (folio_test_dirty(folio))
		return true;
	/* Not with MADV_FREE, which a write would revoke. */
	return folio_test_anon(folio) && folio_test_swapbacked(folio) &&
	       !folio_test_swapcache(folio);
}

/* Entry @i is @page, whose reference is taken over; @write: if that is in order. */
static void lend_take(struct lend_batch *b, unsigned int i, struct page *page,
		      bool write)
{
	write = write && (b->write || lend_is_dirty(page_folio(page)));
	b->frame[i] = lend_frame(page_to_pfn(page), write);
	b->page[i] = page;
	if (b->frame[i] == XEN_HVM_LEND_frame_skip)
		lend_put(b, i);
}

/*
 * Whether another process may write to the page it has at @va.  To ask makes the
 * page dirty (GUP's FOLL_TOUCH, without which there is no remote GUP), so ask only
 * where it is.
 */
static bool lend_remote_writable(struct lend_lease *l, unsigned long va,
				 struct page *page)
{
	struct page *again;
	bool same;

	if (!lend_is_dirty(page_folio(page)))
		return false;
	if (get_user_pages_remote(l->mm, va, 1, FOLL_WRITE | FOLL_NOFAULT,
				  &again, NULL) != 1)
		return false;
	same = again == page;
	put_page(again);
	return same;
}

/*
 * Take a run of present pages beginning at entry @i, without faulting.  The @n
 * entries are free.  @fast: without a look at mmap_lock, in our own memory; else
 * that is held.  Returns the length of the run.
 */
static unsigned int lend_present(struct lend_lease *l, struct lend_batch *b,
				 unsigned int i, unsigned int n, bool write,
				 bool fast)
{
	unsigned long va = lend_va(l, b->first + i);
	bool ask = !fast && write && !b->write;
	unsigned int flags = write && !ask ? FOLL_WRITE :
					     FOLL_HONOR_NUMA_FAULT;
	long got, k;

	if (fast)
		got = get_user_pages_fast_only(va, n, write ? FOLL_WRITE : 0,
					       b->page + i);
	else
		got = get_user_pages_remote(l->mm, va, n, flags | FOLL_NOFAULT,
					    b->page + i, NULL);
	got = max(got, 0L);
	for (k = 0; k < got; k++) {
		struct page *page = b->page[i + k];

		if (ask)
			write = lend_remote_writable(l, va + (k << PAGE_SHIFT),
						     page);
		lend_take(b, i + k, page, write);
	}
	/* A huge page that GUP looked at and then let be leaves its traces. */
	for (; k < n; k++)
		b->page[i + k] = NULL;
	return got;
}

/*
 * RAM that its owner has mapped other than write-back, as graphics drivers do.
 * The borrower's mapping would be write-back and the two not coherent.
 */
static bool lend_is_incoherent(const struct follow_pfnmap_args *args)
{
#ifdef CONFIG_X86
	unsigned long type = _PAGE_PWT | _PAGE_PCD;

	/* Xen's PAT has WC behind this bit, which is PSE in large entries. */
	if (xen_pv_domain())
		type |= _PAGE_PAT;
	return pgprot_val(args->pgprot) & type && page_is_ram(args->pfn);
#else
	return false;
#endif
}

static bool lend_is_pfnmap(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_IO | VM_PFNMAP);
}

/*
 * Take one present entry of a PFN map; mmap_lock is held.  -ENXIO: not present,
 * or not in the way wanted; -EFAULT: no memory of ours; -EOPNOTSUPP: not with this
 * memory type.
 */
static int lend_present_pfnmap(struct lend_lease *l, struct lend_batch *b,
			       unsigned int i, bool write,
			       struct vm_area_struct *vma)
{
	struct follow_pfnmap_args args = {
		.vma = vma,
		.address = lend_va(l, b->first + i),
	};
	struct page *page;

	/* Entries stay present under PROT_NONE. */
	if (!(vma->vm_flags & VM_READ))
		return -EFAULT;
	if (follow_pfnmap_start(&args))
		return -ENXIO;
	if (write && !args.writable) {
		follow_pfnmap_end(&args);
		return -ENXIO;
	}
	if (lend_is_incoherent(&args)) {
		follow_pfnmap_end(&args);
		return -EOPNOTSUPP;
	}
	write = args.writable && !lend_readonly(l);
	if (args.special || !pfn_valid(args.pfn)) {
		b->frame[i] = lend_frame(args.pfn, write);
	} else {
		/* Copied on write in a private mapping: an ordinary page. */
		page = pfn_to_page(args.pfn);
		if (folio_try_get(page_folio(page)))
			lend_take(b, i, page, write);
	}
	follow_pfnmap_end(&args);
	return b->frame[i] == XEN_HVM_LEND_frame_skip ? -EFAULT : 0;
}

/* Is it one of those that a stream with a stride touches? */
static bool lend_is_wanted(const struct lend_batch *b, unsigned int i)
{
	return b->wide || b->step == 1 ||
	       abs_diff(i, b->target) % b->step == 0;
}

/* Is there anything to be done about entry @i? */
static bool lend_is_open(struct lend_lease *l, const struct lend_batch *b,
			 unsigned int i)
{
	return b->frame[i] == XEN_HVM_LEND_frame_skip && lend_is_wanted(b, i) &&
	       !(b->absent_only &&
		 lend_is_installed(l, b->first + i, b->write));
}

/* To be written to, and there already for reading? */
static bool lend_is_there(struct lend_lease *l, const struct lend_batch *b,
			  unsigned int i)
{
	return b->absent_only && b->write &&
	       lend_is_installed(l, b->first + i, false);
}

/*
 * Take what is present of entries @i to @end; returns how many there were, those
 * included that are installed already, or not wanted.
 * Without mmap_lock (@locked) there is no telling what are PFN maps, and none of
 * these is taken.
 */
static unsigned int lend_gather_block(struct lend_lease *l,
				      struct lend_batch *b, unsigned int i,
				      unsigned int end, bool locked)
{
	struct vm_area_struct *vma = NULL;
	unsigned int n, got, stop, found = 0;
	bool own = l->mm == current->mm, there;

	for (; i < end; i += n) {
		n = 1;
		if (!lend_is_open(l, b, i)) {
			found++;
			continue;
		}
		stop = end;
		if (locked) {
			unsigned long va = lend_va(l, b->first + i);

			if (!vma || va >= vma->vm_end)
				vma = find_vma(l->mm, va);
			if (!vma)
				break;
			if (va < vma->vm_start)
				continue;
			if (lend_is_pfnmap(vma)) {
				if (!lend_present_pfnmap(l, b, i, false, vma))
					found++;
				continue;
			}
			stop = min(end - i, (vma->vm_end - va) >> PAGE_SHIFT);
			stop += i;
		}
		there = lend_is_there(l, b, i);
		for (n = 1; i + n < stop; n++)
			if (!lend_is_open(l, b, i + n) ||
			    lend_is_there(l, b, i + n) != there)
				break;
		if (!lend_readonly(l)) {
			got = lend_present(l, b, i, n, true, own);
			if (got) {
				found += got;
				n = got;
				continue;
			}
		}
		if (there) {
			/* Nobody may write to it, or not to all of it. */
			found += n;
			continue;
		}
		got = lend_present(l, b, i, n, false, own);
		/* The quick way takes no zero page, for one. */
		if (!got && locked && own)
			got = lend_present(l, b, i, n, false, false);
		found += got;
		n = got ?: 1;
	}
	return found;
}

/*
 * Whether looking around needs mmap_lock (*locked is set), and if so whether we
 * have got it.
 */
static bool lend_around_begin(struct lend_lease *l, struct lend_batch *b,
			      bool *locked)
{
	*locked = l->mm != current->mm || b->pfnmap;
	return !*locked || mmap_read_trylock(l->mm);
}

static void lend_around_end(struct lend_lease *l, bool locked)
{
	if (locked)
		mmap_read_unlock(l->mm);
}

/*
 * Fault in one entry of a PFN map.  Called and returns with mmap_lock held,
 * which may have been dropped.
 *
 * fixup_user_fault() ends when the process is killed (it sets
 * FAULT_FLAG_KILLABLE by itself if it may drop the lock).  It is not given
 * FAULT_FLAG_INTERRUPTIBLE: a handler that returns VM_FAULT_RETRY for a signal
 * that does not kill would be called again at once and for ever.
 */
static int lend_fault_pfnmap(struct lend_lease *l, struct lend_batch *b,
			     unsigned int i, bool write,
			     struct vm_area_struct *vma)
{
	unsigned long va = lend_va(l, b->first + i);
	unsigned int tries;
	bool unlocked;
	int rc;

	b->pfnmap = true;
	for (tries = 0; tries < LEND_PFNMAP_TRIES; tries++) {
		rc = lend_present_pfnmap(l, b, i, write, vma);
		if (rc != -ENXIO)
			return rc;

		unlocked = false;
		rc = fixup_user_fault(l->mm, va, write ? FAULT_FLAG_WRITE : 0,
				      &unlocked);
		if (rc)
			return rc;
		/*
		 * A fault handler (TTM's, for one) that was to wait and has a
		 * signal pending returns success and no page: go and take it.
		 */
		if (signal_pending(current) && tries)
			return -ERESTARTSYS;
		if (unlocked) {
			vma = vma_lookup(l->mm, va);
			if (!vma)
				return -EFAULT;
			if (!lend_is_pfnmap(vma))
				return -EAGAIN;
		}
		cond_resched();
	}
	/* Faulted in and taken away over and over: let others run. */
	return -EAGAIN;
}

/*
 * Fault in entry @i.  Returns 0; -EINTR, -ERESTARTSYS; -EAGAIN to start again;
 * or what is wrong with the backing.
 */
static int lend_fault(struct lend_lease *l, struct lend_batch *b,
		      unsigned int i, bool write)
{
	unsigned long va = lend_va(l, b->first + i);
	unsigned int flags = FOLL_HWPOISON | FOLL_HONOR_NUMA_FAULT |
			     FOLL_INTERRUPTIBLE;
	bool own = l->mm == current->mm;
	struct vm_area_struct *vma;
	struct page *page;
	int locked = 1;
	long rc;

	if (own && !lend_readonly(l) && lend_present(l, b, i, 1, true, true))
		goto taken;

	if (mmap_read_lock_killable(l->mm))
		return -EINTR;
	vma = vma_lookup(l->mm, va);
	if (!vma) {
		rc = -EFAULT;
	} else if (write && !(vma->vm_flags & VM_WRITE)) {
		rc = -EACCES;
	} else if (lend_is_pfnmap(vma)) {
		rc = lend_fault_pfnmap(l, b, i, write, vma);
		mmap_read_unlock(l->mm);
		if (rc)
			return rc;
		goto taken;
	} else {
		b->pfnmap = false;
		if (write)
			flags |= FOLL_WRITE;
		rc = get_user_pages_remote(l->mm, va, 1, flags, &page, &locked);
		/* Here it is; but perhaps it may be written as well. */
		if (rc == 1 && (write || lend_readonly(l) || !locked ||
				!lend_present(l, b, i, 1, true, own)))
			lend_take(b, i, page, write);
		else if (rc == 1)
			put_page(page);
	}
	if (locked)
		mmap_read_unlock(l->mm);
	if (rc != 1)
		/* EEXIST: a PTE without a page in a VM_MIXEDMAP area. */
		return rc == -EEXIST ? -EFAULT : rc ?: -EAGAIN;
taken:
	/* No frame number: memory Xen does not know as ours. */
	return b->frame[i] == XEN_HVM_LEND_frame_skip ? -EFAULT : 0;
}

/*
 * Neighbours of the target, outwards as far as there are any.  The whole 2 MiB
 * if the target is part of a huge page, else what is not installed of the window.
 */
static void lend_gather_around(struct lend_lease *l, struct lend_batch *b)
{
	unsigned int lo, hi, i, n;
	struct page *page = b->page[b->target];
	bool write = b->frame[b->target] & XEN_HVM_LEND_frame_write;
	bool locked;

	/* Another vCPU's fault may have brought it, and its neighbours. */
	if (lend_is_installed(l, b->first + b->target, write) &&
	    !lend_was_taken(l, b->first + b->target))
		return;

	if (page && folio_order(page_folio(page)) >= LEND_CHUNK_SHIFT)
		lend_batch_widen(b);
	else if (page)
		b->absent_only = true;
	else if (l->around == LEND_CHUNK)
		/* Of device memory may come a large entry. */
		lend_batch_widen(b);
	/* Others are leaving. */
	lo = max(b->begin, READ_ONCE(b->lo));
	hi = min(b->end, READ_ONCE(b->hi));
	if (hi - lo == 1)
		return;

	if (!lend_around_begin(l, b, &locked))
		return;
	for (i = b->target; i < hi; i += LEND_BLOCK)
		if (!lend_gather_block(l, b, i, min(i + LEND_BLOCK, hi),
				       locked))
			break;
	for (i = b->target; i > lo; i = n) {
		n = max_t(int, i - LEND_BLOCK, lo);
		if (!lend_gather_block(l, b, n, i, locked))
			break;
	}
	lend_around_end(l, locked);
}

/**
 * lend_gather - the target page, faulted in, and the present ones around it
 * @l:		the lease; the caller has a reference on its mm's users
 * @b:		a batch that has been reset
 * @around:	take neighbours
 *
 * Return: as lend_fault().
 */
int lend_gather(struct lend_lease *l, struct lend_batch *b, bool around)
{
	int rc;

	rc = lend_fault(l, b, b->target, b->write);
	if (!rc && around)
		lend_gather_around(l, b);
	return rc;
}

/* What there is to be had without I/O behind a page that is not mapped. */
enum lend_cached { LEND_NOTHING, LEND_CACHED, LEND_HOLE };

static enum lend_cached lend_cached(struct address_space *mapping,
				    pgoff_t index)
{
	enum lend_cached cached = LEND_NOTHING;
	struct folio *folio;

	/* Not what is in swap, nor what is only just being read. */
	folio = filemap_get_folio(mapping, index);
	if (!IS_ERR(folio)) {
		if (folio_test_uptodate(folio) && !folio_test_locked(folio))
			cached = LEND_CACHED;
		folio_put(folio);
	} else if (!xa_load(&mapping->i_pages, index)) {
		cached = LEND_HOLE;
	}
	return cached;
}

/*
 * Is it a tmpfs or a memfd, with room for all of the file?  If there is less, what
 * comes ahead could take the place of what is asked for.
 */
static bool lend_may_fill(const struct vm_area_struct *vma)
{
	struct inode *inode = file_inode(vma->vm_file);
	struct kstatfs st;
	u64 size, used;

	if (!(vma->vm_flags & VM_SHARED) || !(vma->vm_flags & VM_WRITE) ||
	    inode->i_sb->s_magic != TMPFS_MAGIC ||
	    vfs_statfs(&vma->vm_file->f_path, &st))
		return false;
	size = DIV_ROUND_UP_ULL(i_size_read(inode), PAGE_SIZE);
	used = (u64)inode->i_blocks << 9 >> PAGE_SHIFT;
	/* No number: no limit. */
	return !st.f_blocks || used + st.f_bavail >= size;
}

/* Have entries @from to @to mapped, which are all cached, or all holes. */
static void lend_map_run(struct lend_lease *l, struct lend_batch *b,
			 unsigned int from, unsigned int to, bool hole)
{
	get_user_pages_remote(l->mm, lend_va(l, b->first + from), to - from,
			      hole ? FOLL_WRITE : 0, NULL, NULL);
}

/*
 * Have entries @i to @end mapped, where that is cheap.  Returns whether there was
 * any to be had, or is installed already.  mmap_lock is held.
 */
static bool lend_map_block(struct lend_lease *l, struct lend_batch *b,
			   unsigned int i, unsigned int end)
{
	enum lend_cached cached, run = LEND_NOTHING;
	struct vm_area_struct *vma;
	bool found = false, fill;
	unsigned int from = i;
	unsigned long va;

	vma = vma_lookup(l->mm, lend_va(l, b->first + i));
	/* Nor is anybody asked for what nobody waits for. */
	if (!vma || !vma->vm_file || lend_is_pfnmap(vma) ||
	    is_vm_hugetlb_page(vma) || userfaultfd_armed(vma))
		return false;

	fill = b->fill && lend_may_fill(vma);
	for (; i < end; i++) {
		va = lend_va(l, b->first + i);
		if (va >= vma->vm_end)
			break;
		cached = LEND_NOTHING;
		/* For a write it would be mapped no better than it is. */
		if (!lend_is_wanted(b, i) ||
		    lend_is_installed(l, b->first + i, false))
			found = true;
		else
			cached = lend_cached(vma->vm_file->f_mapping,
					     vma->vm_pgoff +
					     ((va - vma->vm_start) >>
					      PAGE_SHIFT));
		if (cached == LEND_HOLE && !fill)
			cached = LEND_NOTHING;
		if (cached != run) {
			if (run != LEND_NOTHING)
				lend_map_run(l, b, from, i, run == LEND_HOLE);
			from = i;
			run = cached;
		}
		found |= cached != LEND_NOTHING;
	}
	if (run != LEND_NOTHING)
		lend_map_run(l, b, from, i, run == LEND_HOLE);
	return found;
}

/**
 * lend_look_ahead - have the window of a stream mapped, where that is cheap
 * @l:		the lease; the caller has a reference on its mm's users
 * @b:		a batch that has been reset
 *
 * For lend_gather() to find it.  Pages in the page cache; if @b->fill also holes
 * of a tmpfs or a memfd, for which memory is all it takes.  Keeps no reference.
 * Nobody minds if it does not work.
 */
void lend_look_ahead(struct lend_lease *l, struct lend_batch *b)
{
	unsigned int i = b->target, n;
	bool more = true;

	/* Others have their turn with mmap_lock after each block. */
	for (; more && i < b->to && mmap_read_trylock(l->mm); i += LEND_BLOCK) {
		more = lend_map_block(l, b, i, min(i + LEND_BLOCK, b->to));
		mmap_read_unlock(l->mm);
	}
	more = true;
	for (i = b->target; more && i > b->from && mmap_read_trylock(l->mm);
	     i = n) {
		n = max_t(int, i - LEND_BLOCK, b->from);
		more = lend_map_block(l, b, n, i);
		mmap_read_unlock(l->mm);
	}
}

/* Note which entries of a block are there, and keep no reference. */
static void lend_look(struct lend_lease *l, struct lend_batch *b,
		      unsigned int i, unsigned int end)
{
	bool locked;

	if (!lend_around_begin(l, b, &locked))
		return;
	lend_gather_block(l, b, i, end, locked);
	lend_around_end(l, locked);
	for (; i < end; i++)
		lend_put(b, i);
}

/**
 * lend_populate - have every page of a batch faulted in, where it is not there
 * @l:		the lease; the caller has a reference on its mm's users
 * @b:		a batch that has been reset; sets @b->absent
 * @err:	what is wrong with the first page that cannot be had (an errno)
 *
 * Sleeps, and keeps nothing: lend_gather_all() is to follow.
 *
 * Return: 0, or -EINTR, -ERESTARTSYS.
 */
int lend_populate(struct lend_lease *l, struct lend_batch *b, u32 *err)
{
	unsigned int i;
	int rc;

	b->absent = 0;
	for (i = 0; i < b->nr; i++) {
		if (i % LEND_BLOCK == 0)
			lend_look(l, b, i, min(i + LEND_BLOCK, b->nr));
		if (lend_is_taken(b, i))
			continue;
		lend_leave_out(b, i);
		rc = lend_fault(l, b, i, b->write);
		lend_leave_out(b, i);
		if (rc == -EINTR || rc == -ERESTARTSYS)
			return rc;
		/* EAGAIN: there, and gone again. */
		if (rc && rc != -EAGAIN) {
			b->absent++;
			*err = *err ?: -rc;
		}
		cond_resched();
	}
	return 0;
}

/**
 * lend_gather_all - every page of a batch that is there
 * @l:		the lease; the caller has a reference on its mm's users
 * @b:		a batch that has been populated
 *
 * Return: 0; -EAGAIN if some have gone again; -EINTR.
 */
int lend_gather_all(struct lend_lease *l, struct lend_batch *b)
{
	unsigned int i, missing = 0;

	lend_batch_reset(b, b->write);
	if (mmap_read_lock_killable(l->mm))
		return -EINTR;
	lend_gather_block(l, b, 0, b->nr, true);
	mmap_read_unlock(l->mm);

	for (i = 0; i < b->nr; i++) {
		if (lend_is_taken(b, i))
			continue;
		lend_leave_out(b, i);
		missing++;
	}
	return missing > b->absent ? -EAGAIN : 0;
}
