// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: /dev/xen/lend.
 *
 * Copies arguments in and out and checks what can be checked without knowing
 * the lease; the rest is done in lease.c and resolve.c.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <xen/xen.h>

#include "lend.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

#define LEND_FEATURES (XEN_LEND_FEAT_READONLY | XEN_LEND_FEAT_PFNMAP | \
		       XEN_LEND_FEAT_HUGE | XEN_LEND_FEAT_FD | \
		       XEN_LEND_FEAT_INFO | XEN_LEND_FEAT_STREAM | \
		       XEN_LEND_FEAT_LISTEN)

/*
 * The sizes the structures had in version 1 of the interface.  Nothing shorter
 * was ever valid; when a structure grows, its number here stays.
 */
#define LEND_BIND_V1	24
#define LEND_LEASE_V1	48
#define LEND_UNLEASE_V1	8
#define LEND_RESOLVE_V1	40
#define LEND_STATS_V1	112
#define LEND_INFO_V1	24
#define LEND_LISTEN_V1	8

static_assert(sizeof(struct xen_lend_bind) == LEND_BIND_V1);
static_assert(offsetofend(struct xen_lend_lease, id) == LEND_LEASE_V1);
static_assert(sizeof(struct xen_lend_lease) == 64);
static_assert(sizeof(struct xen_lend_unlease) == LEND_UNLEASE_V1);
static_assert(sizeof(struct xen_lend_resolve) == LEND_RESOLVE_V1);
static_assert(offsetofend(struct xen_lend_stats, slowest_us) == LEND_STATS_V1);
static_assert(sizeof(struct xen_lend_stats) == 144);
static_assert(sizeof(struct xen_lend_info) == LEND_INFO_V1);
static_assert(sizeof(struct xen_lend_listen) == LEND_LISTEN_V1);

/* *usize: what the caller says the size is; goes back to lend_copy_out(). */
static int lend_copy_in(void *k, size_t ksize, size_t min_size,
			void __user *u, u32 *usize)
{
	if (get_user(*usize, (u32 __user *)u))
		return -EFAULT;
	if (*usize < min_size)
		return -EINVAL;
	if (*usize > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(k, ksize, u, *usize);
}

/* The size itself, the first field, stays as the caller wrote it. */
static int lend_copy_out(void __user *u, u32 usize, const void *k,
			 size_t ksize)
{
	size_t len = min_t(size_t, usize, ksize) - sizeof(u32);

	return copy_to_user(u + sizeof(u32), k + sizeof(u32), len) ? -EFAULT : 0;
}

static int lend_ioctl_bind(struct lend_file *f, void __user *u)
{
	struct xen_lend_bind arg;
	u32 usize;
	int rc;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	rc = lend_copy_in(&arg, sizeof(arg), LEND_BIND_V1, u, &usize);
	if (rc)
		return rc;
	if (arg.pad || arg.domid >= DOMID_FIRST_RESERVED)
		return -EINVAL;

	/* Held while user memory is written to, which may take for ever. */
	if (mutex_lock_killable(&f->bind_lock))
		return -EINTR;
	if (f->bound) {
		rc = -EBUSY;
		goto out;
	}
	rc = lend_xen_probe(arg.domid, &f->number);
	if (rc)
		goto out;

	arg.abi = XEN_LEND_ABI_VERSION;
	arg.features = LEND_FEATURES;
	rc = lend_copy_out(u, usize, &arg, sizeof(arg));
	if (rc)
		goto out;

	f->domid = arg.domid;
	/* Pairs with the smp_load_acquire() in lend_ioctl(). */
	smp_store_release(&f->bound, true);
out:
	mutex_unlock(&f->bind_lock);
	return rc;
}

static int lend_ioctl_info(struct lend_file *f, void __user *u)
{
	struct xen_lend_info arg;
	u32 usize;
	int rc;

	rc = lend_copy_in(&arg, sizeof(arg), LEND_INFO_V1, u, &usize);
	if (rc)
		return rc;
	if (arg.pad)
		return -EINVAL;
	arg.abi = XEN_LEND_ABI_VERSION;
	arg.features = LEND_FEATURES;
	/* Pairs with the smp_store_release() in lend_ioctl_bind(). */
	arg.domid = smp_load_acquire(&f->bound) ? f->domid : XEN_LEND_UNBOUND;
	return lend_copy_out(u, usize, &arg, sizeof(arg));
}

static int lend_ioctl_lease(struct lend_file *f, void __user *u)
{
	struct xen_lend_lease arg;
	u32 usize;
	int rc;

	rc = lend_copy_in(&arg, sizeof(arg), LEND_LEASE_V1, u, &usize);
	if (rc)
		return rc;
	rc = lend_lease_new(f, &arg);
	if (rc)
		return rc;
	rc = lend_copy_out(u, usize, &arg, sizeof(arg));
	if (rc)
		lend_lease_end(f, arg.id);
	return rc;
}

static int lend_ioctl_unlease(struct lend_file *f, void __user *u)
{
	struct xen_lend_unlease arg;
	u32 usize;
	int rc;

	rc = lend_copy_in(&arg, sizeof(arg), LEND_UNLEASE_V1, u, &usize);
	return rc ?: lend_lease_end(f, arg.id);
}

static int lend_ioctl_resolve(struct lend_file *f, void __user *u)
{
	struct xen_lend_resolve arg;
	struct lend_lease *l;
	u32 usize;
	int rc;

	rc = lend_copy_in(&arg, sizeof(arg), LEND_RESOLVE_V1, u, &usize);
	if (rc)
		return rc;
	l = lend_lease_get(f, arg.id);
	if (!l)
		return -ENOENT;
	rc = lend_resolve(l, &arg, NULL);
	lend_lease_put(l);
	return rc ?: lend_copy_out(u, usize, &arg, sizeof(arg));
}

static int lend_ioctl_stats(struct lend_file *f, void __user *u)
{
	struct xen_lend_stats arg;
	struct lend_lease *l;
	u32 usize;
	int rc;

	rc = lend_copy_in(&arg, sizeof(arg), LEND_STATS_V1, u, &usize);
	if (rc)
		return rc;
	if (arg.next > 1)
		return -EINVAL;
	l = arg.next ? lend_lease_next(f, arg.id) : lend_lease_get(f, arg.id);
	if (!l)
		return -ENOENT;
	rc = lend_lease_stats(l, &arg);
	lend_lease_put(l);
	return rc ?: lend_copy_out(u, usize, &arg, sizeof(arg));
}

static int lend_ioctl_listen(struct lend_file *f, void __user *u)
{
	struct xen_lend_listen arg;
	u32 usize;
	int rc;

	rc = lend_copy_in(&arg, sizeof(arg), LEND_LISTEN_V1, u, &usize);
	if (rc)
		return rc;
	if (mutex_lock_killable(&f->bind_lock))
		return -EINTR;
	rc = f->port ? -EBUSY : lend_listen(f, arg.vcpus);
	mutex_unlock(&f->bind_lock);
	return rc;
}

/*
 * The size in the command is not compared: a program built against a longer
 * structure sends another number, and its size field says the same.
 */
static long lend_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct lend_file *f = file->private_data;
	void __user *u = (void __user *)arg;

	if (_IOC_TYPE(cmd) != _IOC_TYPE(XEN_LEND_IOC_BIND))
		return -ENOTTY;
	if (_IOC_NR(cmd) == _IOC_NR(XEN_LEND_IOC_BIND))
		return lend_ioctl_bind(f, u);
	if (_IOC_NR(cmd) == _IOC_NR(XEN_LEND_IOC_INFO))
		return lend_ioctl_info(f, u);

	if (_IOC_NR(cmd) < _IOC_NR(XEN_LEND_IOC_LEASE) ||
	    _IOC_NR(cmd) > _IOC_NR(XEN_LEND_IOC_LISTEN))
		return -ENOTTY;
	/* Pairs with the smp_store_release() in lend_ioctl_bind(). */
	if (!smp_load_acquire(&f->bound))
		return -ENOTCONN;

	switch (_IOC_NR(cmd)) {
	case _IOC_NR(XEN_LEND_IOC_LEASE):
		return lend_ioctl_lease(f, u);
	case _IOC_NR(XEN_LEND_IOC_UNLEASE):
		return lend_ioctl_unlease(f, u);
	case _IOC_NR(XEN_LEND_IOC_RESOLVE):
		return lend_ioctl_resolve(f, u);
	case _IOC_NR(XEN_LEND_IOC_LISTEN):
		return lend_ioctl_listen(f, u);
	default:
		return lend_ioctl_stats(f, u);
	}
}

static int lend_open(struct inode *inode, struct file *file)
{
	struct lend_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);

	if (!f)
		return -ENOMEM;
	kref_init(&f->ref);
	mutex_init(&f->bind_lock);
	xa_init(&f->leases);
	f->pid = task_tgid_nr(current);
	get_task_comm(f->comm, current);
	lend_debugfs_add(f);
	file->private_data = f;
	return nonseekable_open(inode, file);
}

static void lend_file_free(struct kref *ref)
{
	struct lend_file *f = container_of(ref, struct lend_file, ref);

	xa_destroy(&f->leases);
	kfree(f);
}

void lend_file_put(struct lend_file *f)
{
	kref_put(&f->ref, lend_file_free);
}

static int lend_release(struct inode *inode, struct file *file)
{
	struct lend_file *f = file->private_data;

	lend_debugfs_del(f);
	lend_lease_end_all(f);
	lend_unlisten(f);
	lend_file_put(f);
	return 0;
}

static const struct file_operations lend_fops = {
	.owner = THIS_MODULE,
	.open = lend_open,
	.release = lend_release,
	.unlocked_ioctl = lend_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice lend_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "xen/lend",
	.fops = &lend_fops,
	.mode = 0600,
};

static int __init lend_init(void)
{
	int rc;

	if (!xen_domain())
		return -ENODEV;
	rc = lend_lease_init();
	if (rc)
		return rc;
	lend_debugfs_init();
	rc = misc_register(&lend_dev);
	if (rc) {
		lend_debugfs_exit();
		lend_lease_exit();
	}
	return rc;
}

static void __exit lend_exit(void)
{
	misc_deregister(&lend_dev);
	lend_debugfs_exit();
	lend_lease_exit();
}

module_init(lend_init);
module_exit(lend_exit);

MODULE_DESCRIPTION("Lend pageable memory to Xen guests");
MODULE_LICENSE("GPL");
