/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: Ports come and go.  See port.h. */

#include <xen/domain_page.h>
#include <xen/err.h>
#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/xmalloc.h>

#include "port.h"

struct lend_port *lend_find_port(const struct lend_ports *ps, uint32_t id)
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
    const struct lend_port *port = lend_find_port(p2m->lend.ports, id);

    ASSERT(p2m_locked_by_me(p2m));

    return port && port->owner == owner->domain_id;
}

/* Called with no lock held, when no vCPU can get at the port anymore. */
static void free_port(struct domain *d, struct lend_port *port)
{
    unsigned int i;

    for ( i = 0; i < d->max_vcpus; i++ )
        if ( port->evtchn[i] )
            free_xen_event_channel(d, port->evtchn[i]);

    if ( port->slots )
        unmap_domain_page_global(port->slots);
    if ( port->page )
        lend_put_frames(page_to_mfn(port->page), PAGE_ORDER_4K, true);
    xfree(port);
}

/* The page has to be one that the caller could lend, writable. */
static int map_page(struct domain *d, uint64_t frame, struct lend_port *port)
{
    mfn_t mfn;
    bool slow = false;
    int rc = lend_get_frame(current->domain, d, frame, true, &mfn, &slow);

    if ( rc )
        return rc;
    if ( lend_is_mmio(mfn) )
        return -EPERM;

    port->page = mfn_to_page(mfn);
    port->slots = map_domain_page_global(mfn);
    if ( !port->slots )
        return -ENOMEM;

    clear_page(port->slots);

    return 0;
}

static struct lend_port *alloc_port(struct domain *d, uint64_t frame)
{
    domid_t owner = current->domain->domain_id;
    struct lend_port *port = xzalloc_flex_struct(struct lend_port, evtchn,
                                                 d->max_vcpus);
    unsigned int i;
    int rc;

    if ( !port )
        return ERR_PTR(-ENOMEM);

    port->owner = owner;

    rc = map_page(d, frame, port);

    for ( i = 0; !rc && i < d->max_vcpus; i++ )
    {
        int evtchn = alloc_unbound_xen_event_channel(d, i, owner, NULL);

        if ( evtchn < 0 )
            rc = evtchn;
        else
            port->evtchn[i] = evtchn;
    }

    if ( rc )
    {
        free_port(d, port);
        return ERR_PTR(rc);
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

/* Where there's room for another one of @owner's.  Or -ENOSPC. */
static int find_place(const struct lend_ports *ps, domid_t owner)
{
    unsigned int i, own = 0;
    int place = -ENOSPC;

    for ( i = 0; i < MAX_PORTS; i++ )
    {
        if ( !ps->port[i] )
            place = i;
        else if ( ps->port[i]->owner == owner )
            own++;
    }

    return own < MAX_OWN_PORTS && ps->last_id != UINT32_MAX ? place : -ENOSPC;
}

/* Ahead of the work, which is a bit of work with many vCPUs: Is there room? */
static int check_place(struct p2m_domain *p2m)
{
    int place = 0;

    p2m_lock(p2m);
    if ( p2m->lend.ports )
        place = find_place(p2m->lend.ports, current->domain->domain_id);
    p2m_unlock(p2m);

    return place < 0 ? place : 0;
}

static int add_port(struct p2m_domain *p2m, struct lend_port *port,
                    struct lend_ports **ps)
{
    struct lend_ports *all;
    int place;

    /* Pairs with domain_kill() setting it ahead of lend_relinquish(). */
    if ( p2m->domain->is_dying )
        return -ESRCH;

    if ( !p2m->lend.ports )
    {
        smp_wmb(); /* initialized /then/ there for lend_has_port() */
        ACCESS_ONCE(p2m->lend.ports) = *ps;
        *ps = NULL;
    }

    all = p2m->lend.ports;
    place = find_place(all, port->owner);
    if ( place < 0 )
        return place;

    port->id = ++all->last_id;
    smp_wmb(); /* for lend_find_port() */
    ACCESS_ONCE(all->port[place]) = port;
    ACCESS_ONCE(all->owner[place]) = port->owner;
    current->domain->arch.mem_lender = true;

    return 0;
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
    unsigned int i;
    int rc;

    BUILD_BUG_ON(sizeof(xen_hvm_lend_slot_t) * HVM_MAX_VCPUS > PAGE_SIZE);

    if ( op->id || op->pad || op->nr < d->max_vcpus || op->nr > HVM_MAX_VCPUS )
        return -EINVAL;

    rc = check_place(p2m);
    if ( rc )
        return rc;

    /* A vCPU which comes later would have no event channel. */
    for ( i = 0; i < d->max_vcpus; i++ )
        if ( !d->vcpu[i] )
            return -EAGAIN;

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

/* Is there a lease whose faults go there?  Not those that are ending. */
static bool in_use(const struct p2m_domain *p2m, uint32_t id)
{
    const struct lease *l;

    list_for_each_entry ( l, &p2m->lend.leases, list )
        if ( l->port == id && l->state != LEASE_dying )
            return true;

    return false;
}

/*
 * Take a port of @owner's (if that isn't NULL) off the list: @id, or any if
 * that's 0.  Leases of it keep it there, unless @force.  When there's none to
 * take, returns NULL, and the reason by @rc.
 */
static struct lend_port *remove_port(struct p2m_domain *p2m, uint32_t id,
                                     const struct domain *owner, bool force,
                                     int *rc)
{
    struct lend_ports *ps;
    struct lend_port *removed = NULL;
    unsigned int i;

    *rc = -ENOENT;

    p2m_lock(p2m);

    ps = p2m->lend.ports;
    for ( i = 0; ps && !removed && i < MAX_PORTS; i++ )
    {
        struct lend_port *port = ps->port[i];

        if ( !port || (id && port->id != id) ||
             (owner && port->owner != owner->domain_id) )
            continue;

        if ( !force && in_use(p2m, port->id) )
        {
            *rc = -EBUSY;
            continue;
        }

        removed = port;
        ACCESS_ONCE(ps->port[i]) = NULL;
        ACCESS_ONCE(ps->owner[i]) = DOMID_INVALID;
        lend_end_waits(p2m->domain, ps, 0, port->id);
    }

    p2m_unlock(p2m);

    return removed;
}

/*
 * XEN_HVM_LEND_unlisten, on borrower @d.  Called with no lock held.  Returns 0,
 * -ERESTART if it's to be called again, or an error as per public/hvm/hvm_op.h.
 */
int lend_unlisten(struct domain *d, const struct xen_hvm_lend_unlisten *op)
{
    const struct domain *currd = current->domain;
    bool force = op->flags & XEN_HVM_LEND_unlisten_force, any = false;

    if ( op->flags & ~XEN_HVM_LEND_unlisten_force )
        return -EINVAL;

    for ( ; ; )
    {
        int rc;
        struct lend_port *port = remove_port(p2m_get_hostp2m(d), op->id,
                                             currd, force, &rc);

        if ( !port )
            return any && rc == -ENOENT ? 0 : rc;

        free_port(d, port);

        if ( op->id )
            return 0;

        any = true;
        /* The last one is the last to be known about. */
        if ( hypercall_preempt_check() && lend_has_port(d, currd) )
            return -ERESTART;
    }
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
        if ( ACCESS_ONCE(ps->owner[i]) == owner->domain_id )
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
    int rc;

    while ( (port = remove_port(p2m, 0, owner, true, &rc)) != NULL )
        free_port(d, port);

    if ( !owner )
    {
        struct lend_ports *ps;

        p2m_lock(p2m);
        ps = p2m->lend.ports;
        ACCESS_ONCE(p2m->lend.ports) = NULL;
        p2m_unlock(p2m);

        if ( ps )
            call_rcu(&ps->rcu, complete_free_ports);
    }
}

/* For the debug key.  Called with no lock held, in the scope of an RCU one. */
void lend_dump_ports(struct domain *d)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    unsigned int i;

    for ( i = 0; ACCESS_ONCE(p2m->lend.ports) && i < MAX_PORTS; i++ )
    {
        const struct lend_ports *ps;
        const struct lend_port *port;
        unsigned int j, waiting = 0;
        uint32_t id = 0;
        domid_t owner = DOMID_INVALID;
        mfn_t mfn = INVALID_MFN;

        /* Printing takes long: with no lock held. */
        p2m_lock(p2m);

        ps = p2m->lend.ports;
        port = ps ? ps->port[i] : NULL;
        if ( port )
        {
            id = port->id;
            owner = port->owner;
            mfn = page_to_mfn(port->page);
            for ( j = 0; j < ps->nr; j++ )
                waiting += ACCESS_ONCE(ps->wait[j].state) == WAIT_sent &&
                           ps->wait[j].port == id;
        }

        p2m_unlock(p2m);

        if ( id )
            printk("%pd: port %u of d%u, page %"PRI_mfn", %u unanswered\n",
                   d, id, owner, mfn_x(mfn), waiting);

        process_pending_softirqs();
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
