// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: leases on a file (XEN_LEND_FD).
 *
 * Linux tells only about memory that is mapped: write-back, reclaim, truncation
 * and a driver that moves a buffer find their users by the file's mappings, and
 * nothing but a mapping has an MMU notifier.  So the driver needs one.  A module
 * cannot make an address space of its own (mm_alloc() and all that clones a
 * process is for the kernel proper), hence the mapping is in the address space
 * of the process that leases, as KVM's private memory slots are.  The process
 * has no business there.  Should it change or unmap the range all the same, the
 * notifier sees that, too, and the borrower's accesses fail.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>
#include <linux/sched/mm.h>

#include "lend.h"

/*
 * What is mapped at @at, up to @end: *from and *to are set to the part of one
 * mapping that lies in between, the return value says of which file it is, for
 * comparison only.  Nothing if we are to die.
 *
 * A lease has no reference on the file.  With one, a file that itself holds on
 * to the file of /dev/xen/lend (io_uring's does to those registered with it)
 * would keep both for ever.
 */
static const struct file *lend_mapped(struct mm_struct *mm, unsigned long at,
				      unsigned long end, unsigned long *from,
				      unsigned long *to)
{
	const struct file *file = NULL;
	struct vm_area_struct *vma;

	*from = end;
	*to = end;
	if (mmap_read_lock_killable(mm))
		return NULL;
	vma = find_vma(mm, at);
	if (vma && vma->vm_start < end) {
		*from = max(at, vma->vm_start);
		*to = min(end, vma->vm_end);
		file = vma->vm_file;
	}
	mmap_read_unlock(mm);
	return file;
}

/*
 * vm_munmap() holds the lock for writing until everything is unmapped, and all
 * faults of the process wait for that.  So not all at once, but in pieces of which
 * each is a few milliseconds' work.  At such a border huge pages of any size end.
 */
#define LEND_UNMAP_SIZE	(1UL << 30)

/**
 * lend_unmap - undo lend_map()
 * @l:		a lease whose notifier is gone, or that never got one
 *
 * In the address space of the lease, which the caller runs in.  What has taken
 * the mapping's place is left alone.
 *
 * Return: false if something may be left, as the caller is about to die.  Then
 * somebody else has to do it, for other processes may share the address space.
 */
bool lend_unmap(struct lend_lease *l)
{
	unsigned long at, from, to, end = lend_va(l, l->nr);
	const struct file *file;

	for (at = l->addr; at < end; at = to) {
		to = min(end, ALIGN(at + 1, LEND_UNMAP_SIZE));
		file = lend_mapped(l->mm, at, to, &from, &to);
		/* Whoever has not got to look which one it is has just mapped it. */
		if (!file || (l->file && file != l->file))
			continue;
		/* Drivers may not like it cut: then the whole of it. */
		if (vm_munmap(from, to - from) &&
		    lend_mapped(l->mm, from, end, &from, &to) == file)
			vm_munmap(from, to - from);
		cond_resched();
	}
	return !fatal_signal_pending(current);
}

/* Make the new mapping the lease's: know it again, and have it neither forked nor dumped. */
static int lend_map_own(struct lend_lease *l, unsigned long len)
{
	struct vm_area_struct *vma;
	int rc = -EFAULT;

	if (mmap_write_lock_killable(l->mm))
		return -EINTR;
	vma = vma_lookup(l->mm, l->addr);
	/* Unless another thread was quick to unmap it: that one knows why. */
	if (vma && vma->vm_end >= l->addr + len) {
		/* Not always the caller's: drivers put another one there. */
		l->file = vma->vm_file;
		rc = l->file ? 0 : -EFAULT;
		/* Part of a larger one: what the caller has mapped beside it. */
		if (vma->vm_start == l->addr && vma->vm_end == l->addr + len)
			vm_flags_set(vma, VM_DONTCOPY | VM_DONTDUMP);
	}
	mmap_write_unlock(l->mm);
	return rc;
}

/**
 * lend_map - map a file for a lease, in the address space of the caller
 * @l:		a lease that is not known to anybody yet; sets @addr and @file
 * @fd:		the file
 *
 * If this fails, @addr says whether there is something for lend_unmap().
 *
 * Return: 0; -EBADF, or what mmap() says.
 */
int lend_map(struct lend_lease *l, int fd)
{
	unsigned long prot = PROT_READ | (lend_readonly(l) ? 0 : PROT_WRITE);
	unsigned long len = l->nr << PAGE_SHIFT, addr;
	struct file *file = fget(fd);

	if (!file)
		return -EBADF;
	l->name = kasprintf(GFP_KERNEL_ACCOUNT, "%pD", file);
	addr = l->name ? vm_mmap(file, 0, len, prot, MAP_SHARED, l->offset) :
			 -ENOMEM;
	fput(file);
	if (IS_ERR_VALUE(addr))
		return addr;

	l->addr = addr;
	return lend_map_own(l, len);
}
