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
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "lend.h"

static struct workqueue_struct *lend_wq;

/*
 * What is mapped at @at, up to @end: *from and *to are set to the part of one
 * mapping that lies in between, the return value says of which file it is.
 */
static struct file *lend_mapped(struct mm_struct *mm, unsigned long at,
				unsigned long end, unsigned long *from,
				unsigned long *to)
{
	struct vm_area_struct *vma;
	struct file *file = NULL;

	*from = end;
	*to = end;
	mmap_read_lock(mm);
	vma = find_vma(mm, at);
	if (vma && vma->vm_start < end) {
		*from = max(at, vma->vm_start);
		*to = min(end, vma->vm_end);
		file = vma->vm_file ? get_file(vma->vm_file) : NULL;
	}
	mmap_read_unlock(mm);
	return file;
}

/* Undo lend_map() in the address space we run in; leave alone what is not ours. */
static void lend_unmap_here(struct lend_lease *l)
{
	unsigned long at, from, to, end = lend_va(l, l->nr);
	struct file *file;

	for (at = l->addr; at < end; at = to) {
		file = lend_mapped(l->mm, at, end, &from, &to);
		if (file && file == l->file)
			vm_munmap(from, to - from);
		if (file)
			fput(file);
	}
}

static void lend_unmap_work(struct work_struct *work)
{
	struct lend_lease *l = container_of(work, struct lend_lease, unmap);

	kthread_use_mm(l->mm);
	lend_unmap_here(l);
	kthread_unuse_mm(l->mm);
	mmput(l->mm);
	lend_lease_put(l);
}

/**
 * lend_unmap - end the driver's mapping
 * @l:		a lease whose notifier is gone
 *
 * Whoever ends a lease may be another process than the one that made it, or be
 * exiting: then a worker does it.  Nobody waits for that, since the lock of an
 * address space can be held for as long as some backing takes.
 */
void lend_unmap(struct lend_lease *l)
{
	if (!l->file)
		return;
	if (current->mm == l->mm) {
		lend_unmap_here(l);
	} else if (mmget_not_zero(l->mm)) {
		kref_get(&l->ref);
		INIT_WORK(&l->unmap, lend_unmap_work);
		queue_work(lend_wq, &l->unmap);
	}
}

/**
 * lend_map - map a file for a lease, in the address space of the caller
 * @l:		a lease that is not known to anybody yet; sets @addr and @file
 * @fd:		the file
 *
 * Return: 0; -EBADF, or what mmap() says.
 */
int lend_map(struct lend_lease *l, int fd)
{
	unsigned long prot = PROT_READ | (lend_readonly(l) ? 0 : PROT_WRITE);
	unsigned long len = l->nr << PAGE_SHIFT, addr, from, to;
	struct file *file = fget(fd);

	if (!file)
		return -EBADF;
	addr = vm_mmap(file, 0, len, prot, MAP_SHARED, l->offset);
	fput(file);
	if (IS_ERR_VALUE(addr))
		return addr;

	l->addr = addr;
	/* Not always @file: drivers put another one behind a mapping. */
	l->file = lend_mapped(l->mm, addr, addr + len, &from, &to);
	/* Another thread was quick to unmap it: that one knows why. */
	return l->file && from == addr && to == addr + len ? 0 : -EFAULT;
}

int lend_map_init(void)
{
	lend_wq = alloc_workqueue("xen_lend", WQ_UNBOUND, 0);
	return lend_wq ? 0 : -ENOMEM;
}

/* Waits for the mappings still to be ended; there is no lease any more. */
void lend_map_exit(void)
{
	destroy_workqueue(lend_wq);
}
