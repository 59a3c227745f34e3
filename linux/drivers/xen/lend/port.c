// SPDX-License-Identifier: GPL-2.0
/*
 * Memory lending: faults that the kernel answers.
 *
 * Xen puts a fault into the vCPU's slot, along with a token, and sends an event:
 *
 *	Xen				interrupt	thread
 *	slot: 0, the rest, token
 *	event			---->	wake	---->	claim the token
 *							EOI
 *							resolve (sleeps)
 *	vCPU goes on		<--------------------	  install, with the token
 *				or	<------------	answer, with the token
 *
 * There is a thread for each vCPU, and a few for those whose thread is still
 * busy with what the vCPU does not wait for any more: its lease has ended, or it
 * takes an interrupt and has another fault there.  All of them look at the slots
 * for themselves, so it does not matter which of them is woken, or how often.
 * They are threads of the process that has asked for them (vhost_task_create()),
 * so that memory and time count as its own, and its end is theirs.
 *
 * When that process ends, so does the file, as a rule.  But another one may have
 * the file, too, and the guest shall not wait for threads that are gone.  A while
 * after their end the interrupts queue works, which do what the threads did: for
 * memory that is still there they bring it in, else the answer is "failed".
 *
 * What Xen says in a slot is looked at as if a program had said it.
 */
#include <linux/interrupt.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/vhost_task.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <xen/events.h>
#include <xen/interface/event_channel.h>
#include <xen/page.h>
#include <asm/xen/hypercall.h>

#include "lend.h"
#include "trace.h"

/* As many as there can be in an HVM domain, and slots in a page. */
#define LEND_VCPUS	(XEN_PAGE_SIZE / sizeof(struct xen_hvm_lend_slot))

/* Threads beyond one per vCPU, but not more than there are vCPUs. */
#define LEND_SPARES	16U

/* Pauses between attempts for want of memory. */
#define LEND_PAUSE_MIN	msecs_to_jiffies(5)
#define LEND_PAUSE_MAX	msecs_to_jiffies(200)

/* How long a lease may be one that is just being made, in pauses. */
#define LEND_UNKNOWN	100

/* From the end of the threads until works take their place. */
#define LEND_GRACE	(5 * HZ)

struct lend_thread {
	struct lend_port *port;
	struct vhost_task *task;
	/* Its own; NULL: all of them. */
	struct lend_vcpu *vcpu;
	/* Whether to wake others instead; see lend_event(). */
	bool busy;
	/* Its process has ended, and @task may have. */
	bool dead;
};

/**
 * struct lend_vcpu - one of the borrower's
 * @thread:	its own
 * @spare:	one that is not any vCPU's, with the same number; or without a task
 * @number:	the vCPU's
 * @lock:	taken last, for a moment; @irq does not go from under whoever has it
 * @irq:	0: there is no such vCPU, or not any more
 * @eoi:	the interrupt is due to be ended
 * @seen:	the latest token that a thread has taken
 * @work:	in place of threads that are dead
 */
struct lend_vcpu {
	struct lend_thread thread;
	struct lend_thread spare;
	unsigned int number;
	spinlock_t lock;
	int irq;
	int eoi;
	u64 seen;
	struct work_struct work;
};

/* What a slot says. */
struct lend_ask {
	struct lend_wake wake;
	u32 lease;
	u64 page;
	bool write;
};

static void lend_eoi(struct lend_vcpu *v)
{
	spin_lock(&v->lock);
	/* Not of one that has this number by now, see lend_port_shut(). */
	if (v->irq && xchg(&v->eoi, 0))
		xen_irq_lateeoi(v->irq, 0);
	spin_unlock(&v->lock);
}

/* There is something in the slot that nobody has taken: take it. */
static bool lend_claim(struct lend_port *port, struct lend_vcpu *v,
		       struct lend_ask *ask)
{
	const struct xen_hvm_lend_slot *slot = &port->slots[v->number];
	u64 seen = READ_ONCE(v->seen);

	/* Before the look: what comes after it is an interrupt again. */
	if (READ_ONCE(v->eoi))
		lend_eoi(v);

	ask->wake.vcpu = v->number;
	/* Pairs with Xen's write barriers, as the next one does. */
	ask->wake.token = smp_load_acquire(&slot->token);
	if (!ask->wake.token || ask->wake.token == seen)
		return false;
	ask->lease = READ_ONCE(slot->lease);
	ask->page = READ_ONCE(slot->offset);
	ask->write = READ_ONCE(slot->flags) & XEN_HVM_LEND_slot_write;
	/* Pairs with Xen's write barriers. */
	smp_rmb();
	/* Xen is writing: there is an event to come. */
	if (READ_ONCE(slot->token) != ask->wake.token)
		return false;
	return cmpxchg(&v->seen, seen, ask->wake.token) == seen;
}

/* Is an answer of no use any more? */
static bool lend_useless(struct lend_port *port, const struct lend_ask *ask)
{
	return READ_ONCE(port->stopping) || fatal_signal_pending(current) ||
	       READ_ONCE(port->slots[ask->wake.vcpu].token) != ask->wake.token;
}

/*
 * There is no such lease.  It has ended, then the vCPU knows by itself; or it is
 * about to be entered into the list.  Or Xen, having a bug, did not end it, and
 * the vCPU would ask for ever.  Returns it; NULL with how to answer.
 */
static struct lend_lease *lend_unknown(struct lend_port *port,
				       struct lend_ask *ask, bool *failed)
{
	struct lend_lease *l;
	int i = 0;

	*failed = false;
	while (i < LEND_UNKNOWN) {
		/* Both take as long as they take. */
		if (!atomic_read(&port->file->changing))
			i++;
		if (lend_useless(port, ask) ||
		    !lend_xen_has(port->file, ask->lease))
			return NULL;
		schedule_timeout_killable(1);
		l = lend_lease_get(port->file, ask->lease);
		if (l)
			return l;
	}
	*failed = true;
	return NULL;
}

/* -ERESTARTSYS: a signal is to be seen to, then again. */
static int lend_serve_lease(struct lend_port *port, struct lend_lease *l,
			    struct lend_ask *ask, bool *failed)
{
	unsigned long pause = LEND_PAUSE_MIN;
	struct xen_lend_resolve arg;
	int rc;

	for (;;) {
		arg = (struct xen_lend_resolve){
			.size = sizeof(arg),
			.id = l->id,
			.offset = ask->page << PAGE_SHIFT,
			.flags = ask->write ? XEN_LEND_WRITE : 0,
			.stream = ask->wake.vcpu,
		};
		rc = lend_resolve(l, &arg, &ask->wake);
		switch (rc) {
		case 0:
			/* A lease that has ended says nothing about the memory. */
			*failed = arg.result == XEN_LEND_FAILED &&
				  (!READ_ONCE(l->dead) || lend_is_stuck(l));
			return 0;
		case -EINTR:
		case -ERESTARTSYS:
			return -ERESTARTSYS;
		case -ENOENT:
		case -ESRCH:
			*failed = false;
			return 0;
		case -ENOMEM:
		case -ENOSPC:
			if (pause == LEND_PAUSE_MIN)
				pr_warn_ratelimited("xen_lend: dom %u lease %u: %s; the guest waits until there is some\n",
						    l->domid, l->id,
						    rc == -ENOMEM ? "no memory for a page" :
						    "no memory for page tables, the guest needs a larger shadow_memory");
			schedule_timeout_killable(pause);
			/* Also to stop, and to freeze. */
			if (signal_pending(current))
				return -ERESTARTSYS;
			if (lend_useless(port, ask) || READ_ONCE(l->dead)) {
				*failed = false;
				return 0;
			}
			pause = min(2 * pause, LEND_PAUSE_MAX);
			break;
		default:
			*failed = true;
			return 0;
		}
	}
}

static void lend_serve(struct lend_port *port, struct lend_vcpu *v,
		       struct lend_ask *ask)
{
	u64 token = ask->wake.token;
	ktime_t start = ktime_get();
	bool failed = false;
	struct lend_lease *l;
	int rc = 0;

	l = lend_lease_get(port->file, ask->lease) ?:
	    lend_unknown(port, ask, &failed);
	if (l) {
		atomic64_inc(&l->waiting);
		if (ask->page >= l->nr)
			failed = true;
		else
			rc = lend_serve_lease(port, l, ask, &failed);
		atomic64_dec(&l->waiting);
	}
	if (rc) {
		/* For whoever looks next, unless there is something newer. */
		cmpxchg(&v->seen, token, token - 1);
	} else {
		if (l) {
			atomic64_inc(&l->answered);
			if (failed)
				atomic64_inc(&l->failed);
			lend_slowest(&l->slowest_answer_us,
				     ktime_us_delta(ktime_get(), start));
			trace_xen_lend_answer(l, ask->wake.vcpu, token,
					      !ask->wake.token, failed);
		}
		if (ask->wake.token)
			lend_xen_answer(port->file, port->id, &ask->wake, failed);
	}
	if (l)
		lend_lease_put(l);
}

static bool lend_look(struct lend_port *port, struct lend_vcpu *v)
{
	struct lend_ask ask;

	if (!READ_ONCE(v->irq) || !lend_claim(port, v, &ask))
		return false;
	__set_current_state(TASK_RUNNING);
	lend_serve(port, v, &ask);
	return true;
}

/* Called over and over, and after a wake-up if it has returned false. */
static bool lend_thread(void *data)
{
	struct lend_thread *t = data;
	struct lend_port *port = t->port;
	bool found = false;
	unsigned int i;

	if (READ_ONCE(port->stopping))
		return false;
	WRITE_ONCE(t->busy, true);
	/*
	 * An interrupt either finds it busy, and others are woken, who look
	 * whatever this one is about; or comes before the look.  Pairs with
	 * lend_event().
	 */
	smp_mb();
	if (t->vcpu) {
		found = lend_look(port, t->vcpu);
	} else {
		for (i = 0; i < port->vcpus && !found; i++)
			found = lend_look(port, &port->vcpu[i]);
	}
	WRITE_ONCE(t->busy, false);
	/*
	 * The last reference on a file may have been dropped here, and the file
	 * be kept for when the task goes back to user space.  It never does.
	 */
	if (found && task_work_pending(current))
		set_thread_flag(TIF_NOTIFY_SIGNAL);
	return found;
}

/* What a thread did for its vCPU. */
static void lend_vcpu_work(struct work_struct *work)
{
	struct lend_vcpu *v = container_of(work, struct lend_vcpu, work);
	struct lend_port *port = v->thread.port;

	while (!READ_ONCE(port->stopping) && lend_look(port, v))
		cond_resched();
}

/* The threads are gone, and yet the file is still there. */
static void lend_orphan_work(struct work_struct *work)
{
	struct lend_port *port = container_of(to_delayed_work(work),
					      struct lend_port, orphan_work);
	unsigned int i;

	WRITE_ONCE(port->orphan, true);
	/* An interrupt that does not see this has filled its slot.  Pairs with lend_event(). */
	smp_mb();
	for (i = 0; i < port->vcpus; i++)
		queue_work(lend_wq, &port->vcpu[i].work);
}

/* The process ends, and as a rule the file with it; all its threads come here. */
static void lend_thread_killed(void *data)
{
	struct lend_thread *t = data;

	WRITE_ONCE(t->dead, true);
	queue_delayed_work(lend_wq, &t->port->orphan_work, LEND_GRACE);
}

/* A task that is dead stays for an RCU grace period. */
static void lend_wake_thread(struct lend_thread *t)
{
	rcu_read_lock();
	if (!READ_ONCE(t->dead))
		vhost_task_wake(t->task);
	rcu_read_unlock();
}

static irqreturn_t lend_event(int irq, void *data)
{
	struct lend_vcpu *v = data;
	struct lend_port *port = v->thread.port;
	unsigned int i;

	WRITE_ONCE(v->eoi, 1);
	/* Pairs with lend_thread() and lend_orphan_work(). */
	smp_mb();
	if (READ_ONCE(port->orphan)) {
		queue_work(lend_wq, &v->work);
		return IRQ_HANDLED;
	}
	/* Always: it may be about to go to sleep. */
	lend_wake_thread(&v->thread);
	if (!READ_ONCE(v->thread.busy))
		return IRQ_HANDLED;
	for (i = 0; i < port->vcpus && port->vcpu[i].spare.task; i++)
		lend_wake_thread(&port->vcpu[i].spare);
	return IRQ_HANDLED;
}

static int lend_bind_event(struct lend_vcpu *v, domid_t domid, u32 evtchn)
{
	struct evtchn_bind_interdomain bind = {
		.remote_dom = domid,
		.remote_port = evtchn,
	};
	int rc, irq;

	rc = HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind);
	if (rc)
		return rc;
	irq = bind_evtchn_to_irq_lateeoi(bind.local_port);
	/*
	 * For want of memory.  The port may be closed by then, or not, and if it
	 * is, another's may have its number.  One that is left is better than
	 * closing that.
	 */
	if (irq < 0)
		return irq;
	rc = request_irq(irq, lend_event, 0, "xen-lend", v);
	if (rc) {
		evtchn_put(bind.local_port);
		return rc;
	}
	WRITE_ONCE(v->irq, irq);
	/*
	 * Xen sends an event along with the bind.  A thread that was woken by
	 * that before there was a number could not end the interrupt.
	 */
	lend_wake_thread(&v->thread);
	return 0;
}

static int lend_thread_new(struct lend_port *port, struct lend_thread *t,
			   struct lend_vcpu *v, const char *kind,
			   unsigned int number)
{
	char name[32];
	struct vhost_task *task;

	snprintf(name, sizeof(name), "xen-lend%s/%u", kind, number);
	t->port = port;
	t->vcpu = v;
	task = vhost_task_create(lend_thread, lend_thread_killed, t, name);
	if (IS_ERR_OR_NULL(task))
		return task ? PTR_ERR(task) : -ENOMEM;
	t->task = task;
	vhost_task_start(task);
	return 0;
}

/* Nothing of Xen's or of the interrupts' comes to the threads any more. */
static void lend_port_free(struct lend_port *port)
{
	unsigned int i;

	for (i = 0; i < port->vcpus; i++) {
		if (port->vcpu[i].thread.task)
			vhost_task_stop(port->vcpu[i].thread.task);
		if (port->vcpu[i].spare.task)
			vhost_task_stop(port->vcpu[i].spare.task);
	}
	/* Nor do they, and nothing queues a work any more. */
	cancel_delayed_work_sync(&port->orphan_work);
	for (i = 0; i < port->vcpus; i++)
		cancel_work_sync(&port->vcpu[i].work);
	if (port->page)
		__free_page(port->page);
	kfree(port->vcpu);
	kfree(port);
}

static void lend_port_work(struct work_struct *work)
{
	struct lend_port *port = container_of(work, struct lend_port, work);
	struct lend_file *f = port->file;

	lend_port_free(port);
	lend_file_put(f);
	/* This code stays until the queue is empty, see lend_lease_exit(). */
	module_put(THIS_MODULE);
}

/* Nobody ends an interrupt after this.  Returns its number, or 0. */
static int lend_take_irq(struct lend_vcpu *v)
{
	int irq;

	spin_lock(&v->lock);
	irq = v->irq;
	WRITE_ONCE(v->irq, 0);
	spin_unlock(&v->lock);
	return irq;
}

/* Xen and the interrupts let go of the port. */
static void lend_port_shut(struct lend_file *f, struct lend_port *port)
{
	unsigned int i;
	int rc, irq;

	WRITE_ONCE(port->stopping, true);
	if (port->id) {
		rc = lend_xen_unlisten(f, port->id);
		if (rc && !lend_is_gone(rc)) {
			pr_err("xen_lend: dom %u: Xen does not end port %u (%d), whose page is lost\n",
			       f->domid, port->id, rc);
			get_page(port->page);
		}
	}
	for (i = 0; i < port->vcpus; i++) {
		irq = lend_take_irq(&port->vcpu[i]);
		if (irq)
			unbind_from_irqhandler(irq, &port->vcpu[i]);
	}
}

static int lend_port_open(struct lend_file *f, struct lend_port *port,
			  u32 *evtchns)
{
	unsigned int i;
	int rc;
	u32 id;

	for (i = 0; i < port->vcpus; i++) {
		struct lend_vcpu *v = &port->vcpu[i];

		rc = lend_thread_new(port, &v->thread, v, "", i);
		if (!rc && i < LEND_SPARES)
			rc = lend_thread_new(port, &v->spare, NULL, "+", i);
		if (rc)
			return rc;
	}

	rc = lend_xen_listen(f, pfn_to_gfn(page_to_pfn(port->page)), evtchns,
			     port->vcpus, &id);
	if (rc)
		return rc;
	port->id = id;
	for (i = 0; i < port->vcpus; i++) {
		rc = evtchns[i] ? lend_bind_event(&port->vcpu[i], f->domid,
						  evtchns[i]) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

/**
 * lend_listen - XEN_LEND_IOC_LISTEN
 * @f:		a bound file, with @bind_lock held, that does not listen
 * @vcpus:	as the caller gave it
 */
int lend_listen(struct lend_file *f, u32 vcpus)
{
	struct lend_port *port;
	struct lend_vcpu *v;
	unsigned int i;
	u32 *evtchns;
	int rc = -ENOMEM;

	if (!vcpus || vcpus > LEND_VCPUS)
		return -EINVAL;
	evtchns = kcalloc(vcpus, sizeof(*evtchns), GFP_KERNEL_ACCOUNT);
	port = kzalloc(sizeof(*port), GFP_KERNEL_ACCOUNT);
	if (!port || !evtchns)
		goto out;
	INIT_DELAYED_WORK(&port->orphan_work, lend_orphan_work);
	port->vcpu = kcalloc(vcpus, sizeof(*port->vcpu), GFP_KERNEL_ACCOUNT);
	port->page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!port->vcpu || !port->page)
		goto free;
	port->vcpus = vcpus;
	port->slots = page_address(port->page);
	port->file = f;
	for (i = 0; i < vcpus; i++) {
		v = &port->vcpu[i];
		v->number = i;
		v->thread.port = port;
		spin_lock_init(&v->lock);
		INIT_WORK(&v->work, lend_vcpu_work);
	}

	rc = lend_port_open(f, port, evtchns);
	if (rc) {
		lend_port_shut(f, port);
		goto free;
	}
	kref_get(&f->ref);
	__module_get(THIS_MODULE);
	/* Pairs with lend_lease_new(). */
	smp_store_release(&f->port, port);
	kfree(evtchns);
	return 0;
free:
	lend_port_free(port);
	port = NULL;
out:
	kfree(port);
	kfree(evtchns);
	return rc;
}

/*
 * The file is closed, and its leases have ended.  A thread may sit in the backing
 * for as long as that takes: nobody here waits for it.
 */
void lend_unlisten(struct lend_file *f)
{
	struct lend_port *port = f->port;

	if (!port)
		return;
	lend_port_shut(f, port);
	INIT_WORK(&port->work, lend_port_work);
	queue_work(lend_wq, &port->work);
}
