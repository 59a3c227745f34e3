/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: The end of a lease, for whatever reason. */

#include <xen/event.h>
#include <xen/ioreq.h>
#include <xen/sched.h>
#include <xen/trace.h>
#include <xen/xvmalloc.h>

#include <asm/hvm/hvm.h>

#include "private.h"

static void cf_check complete_free_lease(struct rcu_head *rcu)
{
    xfree(container_of(rcu, struct lease, rcu));
}

static void free_lease(struct p2m_domain *p2m, struct lease *l)
{
    ASSERT(!l->installed);

    TRACE_TIME(TRC_MEM_LEND_DESTROY, p2m->domain->domain_id, l->id);

    list_del_rcu(&l->list);
    xvfree(l->tables);
    call_rcu(&l->rcu, complete_free_lease);

    if ( !--p2m->lend.nr )
    {
        free_xenheap_page(p2m->lend.zapped);
        p2m->lend.zapped = NULL;
    }
}

/*
 * Leases needn't begin or end where page tables do.  Return to the paging pool
 * the table for @order around @gfn, if nothing is left there.  What tables are
 * underneath isn't the lease's, and would take long to go through.
 */
static void free_table(struct p2m_domain *p2m, unsigned long gfn,
                       unsigned int order)
{
    unsigned long end, cur;

    gfn &= ~((1UL << order) - 1);
    end = gfn + (1UL << order);

    for ( cur = gfn; cur < end; )
    {
        p2m_type_t t;
        p2m_access_t a;
        unsigned int cur_order;

        p2m->get_entry(p2m, _gfn(cur), &t, &a, 0, &cur_order, NULL);
        if ( (t != p2m_mmio_dm && t != p2m_invalid) || cur_order >= order ||
             cur_order + PAGETABLE_ORDER < order )
            return;

        cur = (cur | ((1UL << cur_order) - 1)) + 1;
    }

    if ( p2m_set_entry(p2m, _gfn(gfn), INVALID_MFN, order, p2m_invalid,
                       p2m->default_access) )
        ASSERT_UNREACHABLE();
}

static void free_tables(struct p2m_domain *p2m, struct lease *l)
{
    unsigned long first = gfn_x(l->first), last = first + l->nr - 1;

    if ( p2m->domain->is_dying )
        return;

    lend_begin_update(p2m, l);

    if ( hap_has_2mb )
    {
        free_table(p2m, first, PAGE_ORDER_2M);
        free_table(p2m, last, PAGE_ORDER_2M);
    }

    if ( hap_has_1gb && hap_has_2mb )
    {
        free_table(p2m, first, PAGE_ORDER_1G);
        free_table(p2m, last, PAGE_ORDER_1G);
    }

    lend_end_update(p2m, l);
}

/*
 * End a lease: Everything is revoked, then the (absent) entries get removed,
 * by and large in units as large as they were created.  Called with the p2m
 * lock held, and not in an update.
 *
 * Returns 0, with the lease gone; or -ERESTART when there's more to do.  The
 * lease serves no purpose anymore at that point, and anybody may go on.
 */
int lend_end_lease(struct p2m_domain *p2m, struct lease *l)
{
    if ( l->state != LEASE_dying )
    {
        l->state = LEASE_dying;
        lend_port_end_lease(p2m, l);
    }

    while ( l->revoked < l->built )
    {
        lend_begin_update(p2m, l);
        l->revoked += lend_zap_chunk(p2m, l, l->revoked,
                                     l->built - l->revoked);
        lend_end_update(p2m, l);

        if ( hypercall_preempt_check() )
            return -ERESTART;
    }

    while ( l->removed < l->built )
    {
        unsigned long gfn = gfn_x(l->first) + l->removed;
        unsigned int order = lend_entry_order(gfn, l->built - l->removed);
        int rc;

        lend_begin_update(p2m, l);
        rc = p2m_set_entry(p2m, _gfn(gfn), INVALID_MFN, order, p2m_invalid,
                           p2m->default_access);
        lend_end_update(p2m, l);

        /* The entry, or a table in its place, exists.  Nothing's allocated. */
        if ( unlikely(rc) )
        {
            ASSERT_UNREACHABLE();
            domain_crash(p2m->domain, "%pd: cannot unlease gfn %#lx: %d\n",
                         p2m->domain, gfn, rc);
        }

        l->removed += 1UL << order;

        if ( l->removed < l->built &&
             !((l->removed >> order) & 0x3f) && hypercall_preempt_check() )
            return -ERESTART;
    }

    free_tables(p2m, l);
    free_lease(p2m, l);

    return 0;
}

/*
 * XEN_HVM_LEND_destroy, on borrower @d.  Called with no lock held, for a caller
 * who has lent to @d, whatever policy says by now.
 *
 * Returns 0, with the lease gone and its frames unused; -ERESTART if it's to
 * be called again; or an error as per public/hvm/hvm_op.h, having done nothing.
 */
int lend_destroy(struct domain *d,
                 const struct xen_hvm_lend_destroy *op)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct lease *l;
    int rc;

    if ( op->pad )
        return -EINVAL;

    p2m_lock(p2m);

    l = lend_get_own(p2m, op->id, &rc);
    if ( l )
        rc = lend_end_lease(p2m, l);

    p2m_unlock(p2m);

    return rc;
}

/* End @b's leases, or just the ones where @lender lends. */
static int end_leases(struct domain *b, const struct domain *lender)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(b);
    struct lease *l, *next;
    int rc = 0;

    p2m_lock(p2m);

    list_for_each_entry_safe ( l, next, &p2m->lend.leases, list )
    {
        if ( lender && l->lender != lender->domain_id )
            continue;

        rc = lend_end_lease(p2m, l);
        if ( !rc && hypercall_preempt_check() )
            rc = -ERESTART;
        if ( rc )
            break;
    }

    p2m_unlock(p2m);

    return rc;
}

/*
 * Domain destruction: End all leases @d takes part in, on either side, and
 * answer the faults that wait for it.  Called with no lock held, and @d dying,
 * so that no lease is begun anymore.  Returns 0, or -ERESTART if it's to be
 * called again.
 */
int lend_relinquish(struct domain *d)
{
    struct domain *b;
    int rc;

    ASSERT(d->is_dying);

    /* The lock, even without leases: There may be one about to be created. */
    rc = is_hvm_domain(d) && p2m_get_hostp2m(d) ? end_leases(d, NULL) : 0;
    if ( rc )
        return rc;
    if ( is_hvm_domain(d) && p2m_get_hostp2m(d) )
        lend_port_relinquish(d, NULL);

    if ( !d->arch.mem_lender )
        return 0;

    /*
     * None of d's vCPUs are in a hypercall anymore, hence there's nobody to
     * create another lease.
     */
    rcu_read_lock(&domlist_read_lock);

    for_each_domain ( b )
    {
        if ( !is_hvm_domain(b) )
            continue;

        rc = lend_active(b) ? end_leases(b, d) : 0;
        if ( !rc )
            rc = ioreq_abort_lends(b, d);
        if ( rc )
            break;
        /* Others' p2m locks aren't to be waited for. */
        if ( p2m_get_hostp2m(b) && lend_has_port(b, d) )
        {
            lend_port_relinquish(b, d);
            if ( hypercall_preempt_check() )
            {
                rc = -ERESTART;
                break;
            }
        }
    }

    rcu_read_unlock(&domlist_read_lock);

    return rc;
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
