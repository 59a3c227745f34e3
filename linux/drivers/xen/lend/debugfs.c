// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: /sys/kernel/debug/xen_lend/leases, for people, and stats, for
 * programs: a line of column names, then a line of numbers per lease.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/seq_file.h>

#include "lend.h"

static struct dentry *lend_dir;
static LIST_HEAD(lend_files);
static DEFINE_MUTEX(lend_files_lock);

static const char *lend_memtype(u32 memtype)
{
	switch (memtype) {
	case XEN_LEND_MEMTYPE_UC:
		return "UC";
	case XEN_LEND_MEMTYPE_WC:
		return "WC";
	default:
		return "WB";
	}
}

static void lend_show_lease(struct seq_file *m, struct lend_lease *l)
{
	struct xen_lend_stats st;

	lend_lease_stats(l, &st);
	seq_printf(m, "  lease %u: gfn %#llx+%#lx <- va %#lx", l->id, l->gfn,
		   l->nr, l->addr);
	if (l->file)
		seq_printf(m, " (file %s+%#llx)", l->name, l->offset);
	seq_printf(m, ", %s %s, policy %s, ioserv %u, around %u KiB%s\n",
		   lend_readonly(l) ? "read-only" : "read-write",
		   lend_memtype(l->memtype),
		   l->flags & XEN_LEND_POLICY_ZERO ? "zero" : "fault",
		   l->ioserv, l->around << (PAGE_SHIFT - 10),
		   READ_ONCE(l->gone) ? ", borrower gone" : "");
	seq_printf(m, "    xen:      %llu installed, %llu faults, %llu revoked, %llu flushes\n",
		   st.installed, st.faults, st.revoked, st.flushes);
	seq_printf(m, "    driver:   %llu resolves, %llu retries, %llu installs, %llu failures, slowest %llu us\n",
		   st.resolves, st.retries, st.installs, st.failures,
		   st.slowest_us);
	seq_printf(m, "    notifier: %llu calls, %lld of them with nothing installed, %lld put off; %lld pages made read-only\n",
		   st.revokes, atomic64_read(&l->skipped),
		   atomic64_read(&l->refused), atomic64_read(&l->downgraded));
}

static void lend_show_file(struct seq_file *m, struct lend_file *f)
{
	struct lend_lease *l;
	unsigned long id;

	/* Pairs with the smp_store_release() in lend_ioctl_bind(). */
	if (!smp_load_acquire(&f->bound)) {
		seq_printf(m, "unbound, opened by %s[%d]\n", f->comm, f->pid);
		return;
	}
	seq_printf(m, "dom %u, opened by %s[%d]\n", f->domid, f->comm, f->pid);
	for (id = 0; (l = lend_lease_next(f, id)); id = l->id + 1UL,
	     lend_lease_put(l))
		lend_show_lease(m, l);
}

static int leases_show(struct seq_file *m, void *unused)
{
	struct lend_file *f;

	mutex_lock(&lend_files_lock);
	list_for_each_entry(f, &lend_files, node)
		lend_show_file(m, f);
	mutex_unlock(&lend_files_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(leases);

static void lend_stats_lease(struct seq_file *m, struct lend_file *f,
			     struct lend_lease *l)
{
	struct xen_lend_stats st;

	lend_lease_stats(l, &st);
	seq_printf(m, "%u %u %d %#llx %lu %llu %u %u", f->domid, l->id, f->pid,
		   l->gfn, l->nr, st.installed, l->flags, l->memtype);
	seq_printf(m, " %llu %llu %llu %llu %llu", st.faults, st.resolves,
		   st.retries, st.installs, st.revokes);
	seq_printf(m, " %lld %lld %llu %llu %llu %llu %lld\n",
		   atomic64_read(&l->skipped), atomic64_read(&l->refused),
		   st.revoked, st.flushes, st.failures, st.slowest_us,
		   atomic64_read(&l->downgraded));
}

static int stats_show(struct seq_file *m, void *unused)
{
	struct lend_lease *l;
	struct lend_file *f;
	unsigned long id;

	seq_puts(m, "dom lease pid gfn pages installed flags memtype faults resolves retries installs notified skipped refused revoked flushes failures slowest_us downgraded\n");
	mutex_lock(&lend_files_lock);
	list_for_each_entry(f, &lend_files, node) {
		/* Pairs with the smp_store_release() in lend_ioctl_bind(). */
		if (!smp_load_acquire(&f->bound))
			continue;
		for (id = 0; (l = lend_lease_next(f, id)); id = l->id + 1UL,
		     lend_lease_put(l))
			lend_stats_lease(m, f, l);
	}
	mutex_unlock(&lend_files_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

void lend_debugfs_add(struct lend_file *f)
{
	mutex_lock(&lend_files_lock);
	list_add_tail(&f->node, &lend_files);
	mutex_unlock(&lend_files_lock);
}

/* When this returns no reader is at the file any more. */
void lend_debugfs_del(struct lend_file *f)
{
	mutex_lock(&lend_files_lock);
	list_del(&f->node);
	mutex_unlock(&lend_files_lock);
}

void lend_debugfs_init(void)
{
	lend_dir = debugfs_create_dir("xen_lend", NULL);
	debugfs_create_file("leases", 0400, lend_dir, NULL, &leases_fops);
	debugfs_create_file("stats", 0400, lend_dir, NULL, &stats_fops);
}

void lend_debugfs_exit(void)
{
	debugfs_remove(lend_dir);
}
