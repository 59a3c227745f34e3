/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory lending: Ports, for the lender's kernel to answer faults by itself.
 *
 * A port has a page of the lender's, with a slot per vCPU of the borrower, and
 * an event channel per vCPU.  A fault is put into the slot, along with a token
 * which isn't used again; the answer is a hypercall that names the token.  An
 * ioreq slot isn't involved, hence a vCPU which turns away from its fault, to
 * take an interrupt, has the ioreq slot for whatever the handler needs it for.
 *
 * The page is only ever written to.  What's in there is the lender's problem.
 *
 * Locking
 *
 * The borrower's p2m lock protects the list of ports.  A vCPU that has a fault
 * doesn't hold it; it has the lock of its own wait instead.  Whoever takes a
 * port off the list, or ends a lease, then goes through all waits, with their
 * locks: Either the wait is seen there, or the vCPU sees what has changed.  A
 * wait's lock nests inside of the p2m lock, and event channel and scheduler
 * locks inside of it.
 */

#include <xen/err.h>
#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/ioreq.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/xmalloc.h>

#include <asm/hvm/ioreq.h>
#include <asm/hvm/support.h>

#include "private.h"

/* How many ports a borrower can have. */
#define MAX_PORTS 8

struct lend_port {
    uint32_t id;
    domid_t owner;
    struct page_info *page;
    void *slots;
    evtchn_port_t evtchn[]; /* by vCPU */
};

/* What a vCPU waits for, or has turned away from. */
struct lend_wait {
    spinlock_t lock;
    enum {
        WAIT_none,
        WAIT_sent,
        WAIT_retry,     /* answered so ... */
        WAIT_failed,    /* ... or so */
    } state;
    uint64_t token;     /* the latest */
    uint32_t port;
    uint32_t lease;
    unsigned long pfn;
    bool write;
    bool awaited;       /* the vCPU's own: it's not past it yet */
};

/* Of a borrower.  There from the first port on until the domain dies. */
struct lend_ports {
    struct rcu_head rcu;
    struct lend_port *port[MAX_PORTS];
    domid_t owner[MAX_PORTS]; /* for lend_has_port() */
    uint32_t last_id;
    unsigned int ends;  /* of leases and ports */
    unsigned int nr;    /* of waits */
    struct lend_wait wait[];
};

static struct lend_port *find_port(const struct lend_ports *ps, uint32_t id)
{
    unsigned int i;

    for ( i = 0; ps && i < MAX_PORTS; i++ )
    {
        struct lend_port *port = ACCESS_ONCE(ps->port[i]);

        if ( port && port->id == id )
            return port;
    }

    return NULL;
}

/* Does @id name a port of @owner's?  Called with the p2m lock held. */
bool lend_owns_port(struct p2m_domain *p2m, uint32_t id,
                    const struct domain *owner)
{
    const struct lend_port *port = find_port(p2m->lend.ports, id);

    ASSERT(p2m_locked_by_me(p2m));

    return port && port->owner == owner->domain_id;
}

/* End the wait.  Called with its lock held. */
static void end_wait(struct domain *d, struct lend_ports *ps,
                     struct lend_wait *w, bool failed)
{
    struct vcpu *v = d->vcpu[w - ps->wait];

    w->state = failed ? WAIT_failed : WAIT_retry;

    if ( test_and_clear_bit(_VPF_blocked_in_xen, &v->pause_flags) )
        vcpu_wake(v);

    /* Not when it's blocked for HLT.  Barrier paired with block()'s. */
    smp_mb();
    if ( v->io.lend_blocked )
        vcpu_unblock(v);
}

/*
 * End all waits for @lease, or for @port: These vCPUs repeat their accesses.
 * Called with the p2m lock held, when no fault is to be sent there anymore.
 */
static void end_waits(struct domain *d, struct lend_ports *ps, uint32_t lease,
                      uint32_t port)
{
    unsigned int i;

    /* For those who have looked, but not sent.  See lend_port_send(). */
    ps->ends++;

    for ( i = 0; i < ps->nr; i++ )
    {
        struct lend_wait *w = &ps->wait[i];

        spin_lock(&w->lock);
        if ( w->state == WAIT_sent && (lease ? w->lease == lease
                                             : w->port == port) )
            end_wait(d, ps, w, false);
        spin_unlock(&w->lock);
    }
}

/* The lease is about to end.  Called with the p2m lock held. */
void lend_port_end_lease(struct p2m_domain *p2m, const struct lease *l)
{
    if ( l->port && p2m->lend.ports )
        end_waits(p2m->domain, p2m->lend.ports, l->id, 0);
}

/* Sampled with the p2m lock held, for lend_port_send(). */
unsigned int lend_port_ends(const struct p2m_domain *p2m)
{
    return p2m->lend.ports ? p2m->lend.ports->ends : 0;
}

static bool same_fault(const struct lend_wait *w, const struct lend_fault *lf)
{
    return w->state == WAIT_sent && w->port == lf->port &&
           w->lease == (uint32_t)lf->req.data &&
           w->pfn == paddr_to_pfn(lf->req.addr) &&
           w->write == (lf->req.dir == IOREQ_WRITE);
}

/*
 * The current vCPU has turned away from a fault which is still without answer:
 * Is this the same one?  The answer may come any time.
 */
bool lend_port_waits(const struct p2m_domain *p2m, const struct lend_fault *lf)
{
    struct lend_ports *ps = p2m->lend.ports;
    struct lend_wait *w = ps ? &ps->wait[current->vcpu_id] : NULL;
    bool ret;

    if ( !w )
        return false;

    spin_lock(&w->lock);
    ret = same_fault(w, lf);
    spin_unlock(&w->lock);

    return ret;
}

/*
 * Ask the lender.  Called on the current vCPU, with no lock held.  Results are
 * those of ioreq_send_lend():
 *
 * IOREQ_STATUS_RETRY:     asked, the vCPU has to wait for the answer
 * IOREQ_STATUS_HANDLED:   the lease, or another one, ended meanwhile: the guest
 *                         is to repeat the access
 * IOREQ_STATUS_UNHANDLED: there is nobody to answer, nor will there be
 */
int lend_port_send(const struct lend_fault *lf)
{
    struct vcpu *v = current;
    struct lend_ports *ps = p2m_get_hostp2m(v->domain)->lend.ports;
    struct lend_wait *w = &ps->wait[v->vcpu_id];
    const struct lend_port *port;
    int rc = IOREQ_STATUS_RETRY;

    spin_lock(&w->lock);

    port = find_port(ps, lf->port);

    if ( ACCESS_ONCE(ps->ends) != lf->ends )
        rc = IOREQ_STATUS_HANDLED;
    else if ( !port || !port->evtchn[v->vcpu_id] )
        rc = IOREQ_STATUS_UNHANDLED;
    else if ( !same_fault(w, lf) )
    {
        volatile struct xen_hvm_lend_slot *slot = port->slots;

        w->state = WAIT_sent;
        w->token++;
        w->port = lf->port;
        w->lease = lf->req.data;
        w->pfn = paddr_to_pfn(lf->req.addr);
        w->write = lf->req.dir == IOREQ_WRITE;

        /* The lender looks at the token, the rest, and the token again. */
        slot += v->vcpu_id;
        slot->token = 0;
        smp_wmb();
        slot->lease = w->lease;
        slot->flags = (w->write ? XEN_HVM_LEND_slot_write : 0) |
                      (lf->req.data & IOREQ_LEND_FETCH ? XEN_HVM_LEND_slot_fetch
                                                       : 0);
        slot->offset = lf->offset;
        smp_wmb();
        slot->token = w->token;
        smp_wmb();

        notify_via_xen_event_channel(v->domain, port->evtchn[v->vcpu_id]);
    }

    w->awaited = rc == IOREQ_STATUS_RETRY;

    spin_unlock(&w->lock);

    /* It's for lend_port_wait() to block the vCPU, or not to. */
    if ( rc == IOREQ_STATUS_RETRY )
        raise_softirq(SCHEDULE_SOFTIRQ);

    return rc;
}

/*
 * Block until there's an answer, or an interrupt to take, as for HLT.  Nothing
 * is lost by turning away from the fault: The guest repeats the access.
 *
 * No arch_vcpu_block(): It's about interrupts which devices post, and isn't to
 * be called again before the vCPU has run.  Lending excludes an IOMMU.
 */
static void block(struct vcpu *v, const struct lend_wait *w)
{
    ASSERT(!is_iommu_enabled(v->domain));

    v->io.lend_blocked = true;
    set_bit(_VPF_blocked, &v->pause_flags);
    smp_mb__after_atomic(); /* set blocked status /then/ look for reasons */

    if ( ACCESS_ONCE(w->state) != WAIT_sent || lend_interrupted(v) )
    {
        clear_bit(_VPF_blocked, &v->pause_flags);
        v->io.lend_blocked = false;
    }
    else
    {
        raise_softirq(SCHEDULE_SOFTIRQ);
        do_softirq();
    }
}

/*
 * Wait for the answer to what lend_port_send() asked, if that's what @v, the
 * current vCPU, has to do prior to running again.  Called with no lock held.
 * Does not return when the vCPU blocks: It'll be called again.
 *
 * There's no interrupting what's not the guest's to repeat.  Nor would there be
 * a need to, as its interrupts are taken between instructions.
 */
void lend_port_wait(struct vcpu *v)
{
    struct lend_ports *ps = p2m_get_hostp2m(v->domain)->lend.ports;
    struct lend_wait *w;
    bool interruptible = v->io.completion == VIO_lend_completion;

    ASSERT(v == current);

    if ( likely(!ps) || !ps->wait[v->vcpu_id].awaited )
        return;
    w = &ps->wait[v->vcpu_id];

    while ( ACCESS_ONCE(w->state) == WAIT_sent )
    {
        /* A broadcast which is to come isn't going to wait, either. */
        if ( interruptible && (v->mapcache_invalidate || lend_interrupted(v)) )
        {
            w->awaited = false;
            v->io.completion = VIO_no_completion;
            return;
        }

        if ( interruptible )
            block(v, w);
        else
            wait_on_xen_event_channel(0, ACCESS_ONCE(w->state) != WAIT_sent);
    }

    w->awaited = false;
    v->io.lend_answer = w->state == WAIT_failed ? IOREQ_LEND_FAILED
                                                : IOREQ_LEND_RETRY;
}

/*
 * An answer to the wait of @vcpu, if it still is the one that @token and @port
 * tell.  Called with the p2m lock held.  Returns whether it was.
 */
static bool answer(struct p2m_domain *p2m, uint32_t port, uint32_t vcpu,
                   uint64_t token, bool failed)
{
    struct lend_ports *ps = p2m->lend.ports;
    const struct vcpu *v = domain_vcpu(p2m->domain, vcpu);
    struct lend_wait *w;
    bool ret;

    if ( !port || !ps || !v )
        return false;

    w = &ps->wait[v->vcpu_id];

    spin_lock(&w->lock);
    ret = w->state == WAIT_sent && w->port == port && w->token == token;
    if ( ret )
        end_wait(p2m->domain, ps, w, failed);
    spin_unlock(&w->lock);

    return ret;
}

/*
 * What an install was for is there.  Called with the p2m lock held.  A token
 * which isn't awaited (anymore) is nothing unusual.
 */
void lend_port_installed(struct p2m_domain *p2m, const struct lease *l,
                         uint32_t vcpu, uint64_t token)
{
    answer(p2m, l->port, vcpu, token, false);
}

/* XEN_HVM_LEND_answer, on borrower @d.  Called with no lock held. */
int lend_answer(struct domain *d, struct xen_hvm_lend_answer *op)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct xen_hvm_lend_answered a[XEN_HVM_LEND_MAX_ANSWERS];
    unsigned int i;
    int rc = -ENOENT;

    if ( !op->nr || op->nr > ARRAY_SIZE(a) || op->woken || op->pad )
        return -EINVAL;

    if ( copy_from_guest(a, guest_handle_from_ptr(op->answers,
                                                  xen_hvm_lend_answered_t),
                         op->nr) )
        return -EFAULT;

    for ( i = 0; i < op->nr; i++ )
        if ( a[i].result > XEN_HVM_LEND_answer_failed )
            return -EINVAL;

    p2m_lock(p2m);

    if ( lend_owns_port(p2m, op->port, current->domain) )
    {
        for ( i = 0; i < op->nr; i++ )
            op->woken += answer(p2m, op->port, a[i].vcpu, a[i].token,
                                a[i].result == XEN_HVM_LEND_answer_failed);
        rc = 0;
    }

    p2m_unlock(p2m);

    return rc;
}

/* Called with no lock held, when no vCPU can get at the port anymore. */
static void free_port(struct domain *d, struct lend_port *port)
{
    unsigned int i;

    for ( i = 0; i < d->max_vcpus; i++ )
        if ( port->evtchn[i] )
            free_xen_event_channel(d, port->evtchn[i]);

    destroy_ring_for_helper(&port->slots, port->page);
    xfree(port);
}

static struct lend_port *alloc_port(struct domain *d, uint64_t frame)
{
    struct domain *currd = current->domain;
    struct lend_port *port = xzalloc_flex_struct(struct lend_port, evtchn,
                                                 d->max_vcpus);
    const struct vcpu *v;
    int rc;

    if ( !port )
        return ERR_PTR(-ENOMEM);

    port->owner = currd->domain_id;

    rc = prepare_ring_for_helper(currd, frame, &port->page, &port->slots);
    if ( rc )
    {
        xfree(port);
        return ERR_PTR(rc == -ENOMEM ? rc : -EPERM);
    }
    clear_page(port->slots);

    for_each_vcpu ( d, v )
    {
        rc = alloc_unbound_xen_event_channel(d, v->vcpu_id, currd->domain_id,
                                             NULL);
        if ( rc < 0 )
        {
            free_port(d, port);
            return ERR_PTR(rc);
        }
        port->evtchn[v->vcpu_id] = rc;
    }

    return port;
}

static struct lend_ports *alloc_ports(const struct domain *d)
{
    struct lend_ports *ps = xzalloc_flex_struct(struct lend_ports, wait,
                                                d->max_vcpus);
    unsigned int i;

    if ( ps )
    {
        ps->nr = d->max_vcpus;
        for ( i = 0; i < MAX_PORTS; i++ )
            ps->owner[i] = DOMID_INVALID;
        for ( i = 0; i < ps->nr; i++ )
            spin_lock_init(&ps->wait[i].lock);
    }

    return ps;
}

static int add_port(struct p2m_domain *p2m, struct lend_port *port,
                    struct lend_ports **ps)
{
    unsigned int i;

    /* Pairs with domain_kill() setting it ahead of lend_relinquish(). */
    if ( p2m->domain->is_dying )
        return -ESRCH;

    if ( !p2m->lend.ports )
    {
        smp_wmb(); /* initialized /then/ there for lend_has_port() */
        p2m->lend.ports = *ps;
        *ps = NULL;
    }

    if ( p2m->lend.ports->last_id == UINT32_MAX )
        return -ENOSPC;

    for ( i = 0; i < MAX_PORTS; i++ )
        if ( !p2m->lend.ports->port[i] )
        {
            port->id = ++p2m->lend.ports->last_id;
            smp_wmb(); /* for find_port() */
            p2m->lend.ports->port[i] = port;
            p2m->lend.ports->owner[i] = port->owner;
            current->domain->arch.mem_lender = true;
            return 0;
        }

    return -ENOSPC;
}

/*
 * XEN_HVM_LEND_listen, on borrower @d.  Called with no lock held, for a caller
 * who may lend to @d.
 */
int lend_listen(struct domain *d, struct xen_hvm_lend_listen *op)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct lend_ports *ps;
    struct lend_port *port;
    int rc;

    BUILD_BUG_ON(sizeof(struct xen_hvm_lend_slot) * HVM_MAX_VCPUS > PAGE_SIZE);

    if ( op->id || op->pad || op->nr < d->max_vcpus || op->nr > HVM_MAX_VCPUS )
        return -EINVAL;

    ps = alloc_ports(d);
    if ( !ps )
        return -ENOMEM;

    port = alloc_port(d, op->frame);
    if ( IS_ERR(port) )
    {
        xfree(ps);
        return PTR_ERR(port);
    }

    rc = -EFAULT;
    if ( !copy_to_guest(guest_handle_from_ptr(op->ports, evtchn_port_t),
                        port->evtchn, d->max_vcpus) )
    {
        p2m_lock(p2m);
        rc = add_port(p2m, port, &ps);
        /* With the lock dropped, the port may be gone. */
        if ( !rc )
            op->id = port->id;
        p2m_unlock(p2m);
    }

    op->nr = d->max_vcpus;

    if ( rc )
        free_port(d, port);
    xfree(ps);

    return rc;
}

/*
 * Take a port of @owner's off the list: @id, or any if that's 0.  NULL: there's
 * none.
 */
static struct lend_port *remove_port(struct p2m_domain *p2m, uint32_t id,
                                     const struct domain *owner)
{
    struct lend_ports *ps;
    struct lend_port *port = NULL;
    unsigned int i;

    p2m_lock(p2m);

    ps = p2m->lend.ports;
    for ( i = 0; ps && i < MAX_PORTS; i++ )
    {
        port = ps->port[i];
        if ( port && (!id || port->id == id) &&
             (!owner || port->owner == owner->domain_id) )
        {
            ps->port[i] = NULL;
            ps->owner[i] = DOMID_INVALID;
            end_waits(p2m->domain, ps, 0, port->id);
            break;
        }
        port = NULL;
    }

    p2m_unlock(p2m);

    return port;
}

/* XEN_HVM_LEND_unlisten, on borrower @d.  Called with no lock held. */
int lend_unlisten(struct domain *d, const struct xen_hvm_lend_unlisten *op)
{
    struct lend_port *port;

    if ( op->pad )
        return -EINVAL;

    port = op->id ? remove_port(p2m_get_hostp2m(d), op->id, current->domain)
                  : NULL;
    if ( !port )
        return -ENOENT;

    free_port(d, port);

    return 0;
}

/*
 * Does @owner have a port at @d?  For who may answer and unlisten, whatever
 * policy says by now.  Called with no lock held, in the scope of an RCU one.
 */
bool lend_has_port(const struct domain *d, const struct domain *owner)
{
    const struct lend_ports *ps = ACCESS_ONCE(p2m_get_hostp2m(d)->lend.ports);
    unsigned int i;

    for ( i = 0; ps && i < MAX_PORTS; i++ )
        if ( ps->owner[i] == owner->domain_id )
            return true;

    return false;
}

static void cf_check complete_free_ports(struct rcu_head *rcu)
{
    xfree(container_of(rcu, struct lend_ports, rcu));
}

/*
 * Domain destruction: Remove @d's ports, or just those of @owner.  Called with
 * no lock held, when their leases have ended.  In the former case @d's vCPUs
 * aren't going to run anymore.
 */
void lend_port_relinquish(struct domain *d, const struct domain *owner)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct lend_port *port;

    while ( (port = remove_port(p2m, 0, owner)) != NULL )
        free_port(d, port);

    if ( !owner )
    {
        struct lend_ports *ps;

        p2m_lock(p2m);
        ps = p2m->lend.ports;
        p2m->lend.ports = NULL;
        p2m_unlock(p2m);

        if ( ps )
            call_rcu(&ps->rcu, complete_free_ports);
    }
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
