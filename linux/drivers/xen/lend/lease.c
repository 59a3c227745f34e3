// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: the life of a lease.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/kthread.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "lend.h"
#include "trace.h"

/* Ends of mappings and of zeros, and of leases that Xen did not end at once. */
struct workqueue_struct *lend_wq;

static int lend_lease_check(const struct xen_lend_lease *arg)
{
	u64 nr = arg->len >> PAGE_SHIFT, end;
	u32 around = arg->around;

	if (arg->flags & ~(XEN_LEND_READONLY | XEN_LEND_POLICY_ZERO |
			   XEN_LEND_FD | XEN_LEND_NO_AHEAD | XEN_LEND_KERNEL))
		return -EINVAL;
	if (arg->flags & XEN_LEND_KERNEL && arg->ioserv)
		return -EINVAL;
	if (arg->ioserv > U16_MAX)
		return -EINVAL;
	if (arg->memtype != XEN_LEND_MEMTYPE_UC &&
	    arg->memtype != XEN_LEND_MEMTYPE_WC &&
	    arg->memtype != XEN_LEND_MEMTYPE_WB)
		return -EINVAL;
	if (around && (!is_power_of_2(around) || around < PAGE_SIZE ||
		       around > LEND_CHUNK << PAGE_SHIFT))
		return -EINVAL;
	if (!nr || nr > LEND_MAX_PAGES)
		return -EINVAL;
	if (!PAGE_ALIGNED(arg->addr) || !PAGE_ALIGNED(arg->len) ||
	    !PAGE_ALIGNED(arg->offset) || arg->pad)
		return -EINVAL;
	if (arg->flags & XEN_LEND_FD ? arg->addr : arg->fd || arg->offset)
		return -EINVAL;
	if (check_add_overflow(arg->addr, arg->len, &end) || end > TASK_SIZE)
		return -EINVAL;
	/* Guest physical addresses have 64 bits at the very most. */
	if (check_add_overflow(arg->gfn, nr, &end) ||
	    end > (1ULL << (64 - PAGE_SHIFT)))
		return -EINVAL;
	return 0;
}

static void lend_lease_free(struct kref *ref)
{
	struct lend_lease *l = container_of(ref, struct lend_lease, ref);

	xa_destroy(&l->zero);
	kfree(l->name);
	mmdrop(l->mm);
	lend_installed_free(l);
	kvfree(l->chunks);
	kvfree(l->super);
	mutex_destroy(&l->lock);
	kfree(l);
}

void lend_lease_put(struct lend_lease *l)
{
	kref_put(&l->ref, lend_lease_free);
}

static struct lend_lease *lend_lease_alloc(struct lend_file *f,
					   const struct xen_lend_lease *arg,
					   struct lend_port *port)
{
	struct lend_lease *l = kzalloc(sizeof(*l), GFP_KERNEL_ACCOUNT);
	unsigned long chunks;

	if (!l)
		return NULL;
	l->domid = f->domid;
	l->number = f->number;
	l->ioserv = arg->ioserv;
	l->port = port;
	l->flags = arg->flags;
	l->memtype = arg->memtype;
	l->around = arg->around ? arg->around >> PAGE_SHIFT : LEND_CHUNK;
	l->gfn = arg->gfn;
	l->addr = arg->addr;
	l->offset = arg->offset;
	l->nr = arg->len >> PAGE_SHIFT;
	l->gone = true;

	chunks = lend_chunk(l, l->nr - 1) + 1;
	l->chunks = kvcalloc(BITS_TO_LONGS(chunks), sizeof(long),
			     GFP_KERNEL_ACCOUNT);
	l->super = kvcalloc(BITS_TO_LONGS(chunks), sizeof(long),
			    GFP_KERNEL_ACCOUNT);
	if (lend_installed_init(l) || !l->chunks || !l->super) {
		lend_installed_free(l);
		kvfree(l->chunks);
		kvfree(l->super);
		kfree(l);
		return NULL;
	}
	kref_init(&l->ref);
	mutex_init(&l->lock);
	xa_init(&l->zero);
	lend_race_init(l);
	lend_stream_init(l);
	INIT_DELAYED_WORK(&l->zero_work, lend_zero_work);
	l->mm = current->mm;
	mmgrab(l->mm);

	/* Teach lockdep at once what the first reclaim would: see lend.h. */
	fs_reclaim_acquire(GFP_KERNEL);
	might_lock(&l->lock);
	fs_reclaim_release(GFP_KERNEL);
	return l;
}

/*
 * Take everything out, and have Xen forget the lease.  Order matters: first no
 * more installs, then everything goes, in steps between which notifiers have
 * their turn, then the lease.  That may take long where it is large, so it is
 * not done under the lock; a notifier that comes meanwhile finds nothing installed.
 */
static int lend_forget(struct lend_lease *l)
{
	unsigned long at;
	bool gone;
	int rc;

	mutex_lock(&l->lock);
	WRITE_ONCE(l->dead, true);
	for (at = 0; at < l->nr; at += LEND_REVOKE_PAGES) {
		lend_revoke(l, at, min(at + LEND_REVOKE_PAGES, l->nr) - 1);
		mutex_unlock(&l->lock);
		cond_resched();
		mutex_lock(&l->lock);
	}
	gone = l->gone;
	mutex_unlock(&l->lock);
	if (gone)
		return 0;

	rc = lend_xen_destroy(l);
	if (rc && !lend_is_gone(rc))
		return rc;
	mutex_lock(&l->lock);
	WRITE_ONCE(l->gone, true);
	mutex_unlock(&l->lock);
	return 0;
}

static void lend_unmap_work(struct work_struct *work)
{
	struct lend_lease *l = container_of(work, struct lend_lease, unmap);

	kthread_use_mm(l->mm);
	lend_unmap(l);
	kthread_unuse_mm(l->mm);
	mmput(l->mm);
	lend_lease_put(l);
}

/*
 * End the driver's mapping.  Whoever ends a lease may be another process than the
 * one that made it, or be exiting: then a worker does it.  Nobody waits for
 * that, since the lock of an address space can be held for as long as some
 * backing takes.
 */
static void lend_lease_unmap(struct lend_lease *l)
{
	if (!(l->flags & XEN_LEND_FD) || !l->addr)
		return;
	if (current->mm == l->mm && lend_unmap(l))
		return;
	if (mmget_not_zero(l->mm)) {
		kref_get(&l->ref);
		INIT_WORK(&l->unmap, lend_unmap_work);
		queue_work(lend_wq, &l->unmap);
	}
}

/* What Linux has of a lease that Xen has forgotten. */
static void lend_lease_bury(struct lend_lease *l)
{
	/* Waits for callbacks under way; they take the lock. */
	mmu_interval_notifier_remove(&l->mni);

	lend_lease_unmap(l);
}

/* How long until Xen is asked again to end a lease, to begin with and at most. */
#define LEND_END_DELAY		HZ
#define LEND_END_DELAY_MAX	(60 * HZ)

static void lend_end_work(struct work_struct *work)
{
	struct lend_lease *l = container_of(to_delayed_work(work),
					    struct lend_lease, end_work);

	if (lend_forget(l)) {
		l->end_delay = min(2 * l->end_delay,
				   (unsigned long)LEND_END_DELAY_MAX);
		queue_delayed_work(lend_wq, &l->end_work, l->end_delay);
		return;
	}
	pr_info("xen_lend: dom %u lease %u: ended at last\n", l->domid, l->id);
	lend_lease_bury(l);
	lend_lease_put(l);
	/* This code stays until the queue is empty, see lend_lease_exit(). */
	module_put(THIS_MODULE);
}

/*
 * Xen does not end the lease, which only a bug of Xen's can be the reason for.
 * As it may still have pages of it the notifier has to stay, and with it the lease
 * and the module, until Xen does, or the borrower is gone.
 */
static void lend_lease_keep(struct lend_lease *l, int rc)
{
	pr_err("xen_lend: dom %u lease %u: Xen does not end it (%d), and is asked again from time to time. Its frames are not free in the guest until then. To be rid of it, destroy the guest: xl destroy %u\n",
	       l->domid, l->id, rc, l->domid);
	WARN_ONCE(1, "xen_lend: dom %u lease %u: destroy failed: %d\n",
		  l->domid, l->id, rc);
	kref_get(&l->ref);
	__module_get(THIS_MODULE);
	INIT_DELAYED_WORK(&l->end_work, lend_end_work);
	l->end_delay = LEND_END_DELAY;
	queue_delayed_work(lend_wq, &l->end_work, l->end_delay);
}

/* End a lease, published or not.  -EIO: not yet, but whatever can be done is. */
static int lend_lease_kill(struct lend_lease *l)
{
	int rc = lend_forget(l);

	lend_zero_cancel(l);
	if (rc) {
		lend_lease_keep(l, rc);
		return -EIO;
	}
	lend_lease_bury(l);
	return 0;
}

/**
 * lend_lease_new - XEN_LEND_IOC_LEASE
 * @f:		a bound file
 * @arg:	as the caller gave it; @arg->id is set on success
 *
 * The notifier is there before Xen knows the range.  It need not wait for the
 * create, which takes long where the range is large: nothing gets installed
 * before the lease is known to resolves.  Between Xen's create and
 * the insert into @f->leases the borrower may already fault; a resolve that is
 * that quick gets ENOENT, and the borrower faults again.
 */
int lend_lease_new(struct lend_file *f, struct xen_lend_lease *arg)
{
	struct lend_port *port = NULL;
	struct lend_lease *l;
	int rc;

	rc = lend_lease_check(arg);
	if (rc)
		return rc;
	if (arg->flags & XEN_LEND_KERNEL) {
		/* Pairs with lend_listen().  It stays until the file is closed. */
		port = smp_load_acquire(&f->port);
		if (!port)
			return -ENOENT;
	}
	l = lend_lease_alloc(f, arg, port);
	if (!l)
		return -ENOMEM;

	if (l->flags & XEN_LEND_FD) {
		rc = lend_map(l, arg->fd);
		if (rc)
			goto unmap;
	}
	rc = mmu_interval_notifier_insert(&l->mni, l->mm, l->addr, arg->len,
					  &lend_mni_ops);
	/* The first of an address space takes all its locks, if no signal comes. */
	if (rc == -EINTR)
		rc = -ERESTARTNOINTR;
	if (rc)
		goto unmap;

	/* Faults may come before a thread of the port's finds the lease. */
	atomic_inc(&f->changing);
	rc = lend_xen_create(l);
	if (rc)
		goto kill;
	mutex_lock(&l->lock);
	WRITE_ONCE(l->gone, false);
	mutex_unlock(&l->lock);

	arg->id = l->id;
	trace_xen_lend_lease(l);
	rc = xa_insert(&f->leases, l->id, l, GFP_KERNEL_ACCOUNT);
	if (!rc) {
		atomic_dec(&f->changing);
		return 0;
	}
	/* EBUSY: Xen gave out an id of a lease that its domain took along. */
	if (rc == -EBUSY)
		rc = -ESRCH;
kill:
	lend_lease_kill(l);
	atomic_dec(&f->changing);
	goto put;
unmap:
	lend_lease_unmap(l);
put:
	lend_lease_put(l);
	return rc;
}

int lend_lease_end(struct lend_file *f, u32 id)
{
	struct lend_lease *l;
	int rc = -ENOENT;

	/* Xen has it for some time after a thread of the port's does not find it. */
	atomic_inc(&f->changing);
	l = xa_erase(&f->leases, id);
	if (l) {
		trace_xen_lend_unlease(l);
		rc = lend_lease_kill(l);
		lend_lease_put(l);
	}
	atomic_dec(&f->changing);
	return rc;
}

/* The file is closed: nobody else is in here. */
void lend_lease_end_all(struct lend_file *f)
{
	struct lend_lease *l;
	unsigned long id;

	xa_for_each(&f->leases, id, l)
		lend_lease_end(f, id);
}

struct lend_lease *lend_lease_get(struct lend_file *f, u32 id)
{
	struct lend_lease *l;

	xa_lock(&f->leases);
	l = xa_load(&f->leases, id);
	if (l)
		kref_get(&l->ref);
	xa_unlock(&f->leases);
	return l;
}

/* The lease with the lowest id that is not below @id. */
struct lend_lease *lend_lease_next(struct lend_file *f, unsigned long id)
{
	struct lend_lease *l;

	xa_lock(&f->leases);
	l = xa_find(&f->leases, &id, U32_MAX, XA_PRESENT);
	if (l)
		kref_get(&l->ref);
	xa_unlock(&f->leases);
	return l;
}

/* Our counters and Xen's; zeros for Xen's if the borrower is gone. */
int lend_lease_stats(struct lend_lease *l, struct xen_lend_stats *st)
{
	struct xen_hvm_lend_query q = {};
	bool gone = lend_xen_query(l, &q);

	*st = (struct xen_lend_stats){
		.size = sizeof(*st),
		.id = l->id,
		.flags = l->flags,
		.gfn = l->gfn,
		.len = (u64)l->nr << PAGE_SHIFT,
		.installed = q.installed,
		.faults = q.faults,
		.resolves = atomic64_read(&l->resolves),
		.retries = atomic64_read(&l->retries),
		/* Ours does not count again what Xen had taken by itself. */
		.installs = gone ? atomic64_read(&l->installs) : q.installs,
		.revokes = atomic64_read(&l->revokes),
		.revoked = q.revokes,
		.flushes = q.flushes,
		.failures = atomic64_read(&l->failures),
		.slowest_us = atomic64_read(&l->slowest_us),
		.waiting = atomic64_read(&l->waiting),
		.answered = atomic64_read(&l->answered),
		.failed = atomic64_read(&l->failed),
		.slowest_answer_us = atomic64_read(&l->slowest_answer_us),
	};
	return 0;
}

int lend_lease_init(void)
{
	lend_wq = alloc_workqueue("xen_lend", WQ_UNBOUND, 0);
	return lend_wq ? 0 : -ENOMEM;
}

/* Waits for what is left to be done; there is no lease on any file any more. */
void lend_lease_exit(void)
{
	destroy_workqueue(lend_wq);
}
