/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: Finding leases, and creating them. */

#include <xen/event.h>
#include <xen/ioreq.h>
#include <xen/sched.h>
#include <xen/trace.h>
#include <xen/xvmalloc.h>

#include <asm/altp2m.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/nestedhvm.h>

#include "private.h"

/* How many leases a borrower can have. */
#define MAX_LEASES 64

static struct lease *find_lease(struct p2m_domain *p2m, uint32_t id)
{
    struct lease *l;

    ASSERT(p2m_locked_by_me(p2m));

    list_for_each_entry ( l, &p2m->lend.leases, list )
        if ( l->id == id )
            return l;

    return NULL;
}

/*
 * The lease covering @gfn, in whichever state it is, or NULL.  Called with the
 * p2m lock held, and valid for as long as it is.
 */
struct lease *lend_find_by_gfn(const struct p2m_domain *p2m, gfn_t gfn)
{
    struct lease *l;

    list_for_each_entry ( l, &p2m->lend.leases, list )
        if ( gfn_x(gfn) - gfn_x(l->first) < l->nr )
            return l;

    return NULL;
}

/*
 * Lease @id if it's the calling domain's, else NULL, with @rc being -ENOENT or
 * -EPERM.  Called with the p2m lock held, and valid for as long as it is.
 */
struct lease *lend_get_own(struct p2m_domain *p2m, uint32_t id, int *rc)
{
    struct lease *l = find_lease(p2m, id);

    *rc = !l ? -ENOENT : l->lender != current->domain->domain_id ? -EPERM : 0;

    return *rc ? NULL : l;
}

/* Is any of @nr GFNs lent?  Called with the p2m lock held. */
bool lend_overlaps(const struct p2m_domain *p2m, gfn_t gfn, unsigned long nr)
{
    const struct lease *l;

    list_for_each_entry ( l, &p2m->lend.leases, list )
        if ( gfn_x(gfn) < gfn_x(l->first) + l->nr &&
             gfn_x(l->first) < gfn_x(gfn) + nr )
            return true;

    return false;
}

/*
 * The largest order which an entry at @gfn, with @nr pages to go, can have.
 * The same for building a lease and for unpopulating it.
 */
unsigned int lend_entry_order(unsigned long gfn, unsigned long nr)
{
    /* Such that splitting one never takes more than a table at a time. */
    if ( hap_has_1gb && hap_has_2mb &&
         !(gfn & ((1UL << PAGE_ORDER_1G) - 1)) &&
         nr >> PAGE_ORDER_1G )
        return PAGE_ORDER_1G;

    if ( hap_has_2mb && !(gfn & ((1UL << PAGE_ORDER_2M) - 1)) &&
         nr >> PAGE_ORDER_2M )
        return PAGE_ORDER_2M;

    return PAGE_ORDER_4K;
}

/*
 * Put absent entries in place.  Returns -ERESTART when there's more to do, and
 * on any other error leaves it to the caller to end the lease.
 */
static int build_lease(struct p2m_domain *p2m, struct lease *l)
{
    unsigned int count = 0;

    while ( l->built < l->nr )
    {
        unsigned long gfn = gfn_x(l->first) + l->built;
        unsigned int order = lend_entry_order(gfn, l->nr - l->built);
        unsigned int cur_order;
        p2m_type_t t;
        p2m_access_t a;
        int rc;

        p2m->get_entry(p2m, _gfn(gfn), &t, &a, 0, &cur_order, NULL);
        if ( t != p2m_mmio_dm && t != p2m_invalid )
            return -EEXIST;

        /* Where there's a table already, other entries in it may be in use. */
        while ( order > cur_order )
            order -= PAGE_ORDER_2M;

        lend_begin_update(p2m, l);
        rc = lend_set_entry(p2m, l, gfn, INVALID_MFN, order, p2m_lent_absent);
        lend_end_update(p2m, l);

        if ( rc )
            return rc;

        if ( order == PAGE_ORDER_4K )
            lend_update_table(l, gfn, 0);

        l->built += 1UL << order;

        if ( !(++count & 0x3f) && l->built < l->nr &&
             hypercall_preempt_check() )
            return -ERESTART;
    }

    l->state = LEASE_live;

    return 0;
}

/* Is there anything about the borrower that lending doesn't work with? */
static const char *unsupported(const struct domain *d)
{
    if ( !hap_enabled(d) )
        return "shadow paging";

    if ( nestedhvm_enabled(d) )
        return "nested HVM";

    if ( altp2m_active(d) )
        return "altp2m";

    if ( p2m_is_global_logdirty(d) )
        return "log-dirty mode";

    if ( is_iommu_enabled(d) )
        return "an IOMMU context";

    if ( p2m_pod_active(d) )
        return "populate-on-demand";

    return NULL;
}

/*
 * Are there leases to @d?  For whoever enables what lending doesn't work with:
 * Enable it, check, and undo if so.  Other than lend_active(), acquires the
 * p2m lock, for the answer not to miss leases about to be created by someone
 * who didn't see it enabled.
 */
bool lend_in_use(struct domain *d)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    bool ret;

    p2m_lock(p2m);
    ret = p2m->lend.nr;
    p2m_unlock(p2m);

    return ret;
}

static struct lease *alloc_lease(const struct xen_hvm_lend_create *op,
                                 uint64_t serial)
{
    unsigned long end = (op->first_gfn + op->nr) & ~(TABLE_PAGES - 1);
    struct lease *l = xzalloc(struct lease);

    if ( !l )
        return NULL;

    l->lender = current->domain->domain_id;
    l->ioserv = op->ioserv;
    l->serial = serial;
    l->port = op->port;
    l->memtype = op->memtype;
    l->readonly = op->flags & XEN_HVM_LEND_readonly;
    l->state = LEASE_building;
    l->first = _gfn(op->first_gfn);
    l->nr = op->nr;
    l->generation = 1;
    l->epoch = lend_epoch(current->domain);

    l->first_table = ROUNDUP(op->first_gfn, TABLE_PAGES);
    if ( hap_has_2mb && l->first_table < end )
    {
        l->max_tables = (end - l->first_table) >> PAGE_ORDER_2M;
        l->tables = xvzalloc_array(uint16_t, l->max_tables);
        if ( !l->tables )
        {
            xfree(l);
            return NULL;
        }
    }

    return l;
}

static int add_lease(struct domain *d, struct lease *l)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    const char *why = unsupported(d);

    if ( why )
    {
        gprintk(XENLOG_WARNING, "cannot lend memory to %pd, which uses %s\n",
                d, why);
        return -EOPNOTSUPP;
    }

    if ( p2m->lend.nr >= MAX_LEASES || p2m->lend.last_id == UINT32_MAX )
        return -ENOSPC;

    if ( l->port && !lend_owns_port(p2m, l->port, current->domain) )
        return -ENOENT;

    if ( lend_overlaps(p2m, l->first, l->nr) )
        return -EEXIST;

    if ( !p2m->lend.zapped &&
         !(p2m->lend.zapped = alloc_xenheap_page()) )
        return -ENOMEM;

    l->id = ++p2m->lend.last_id;

    list_add_tail_rcu(&l->list, &p2m->lend.leases);
    p2m->lend.nr++;
    current->domain->arch.mem_lender = true;

    return 0;
}

/*
 * XEN_HVM_LEND_create, on borrower @d.  Called with no lock held, for a caller
 * who may lend to @d.
 *
 * Returns 0 with a live lease, all of it absent; -ERESTART if it's to be called
 * again with the updated @op, which has the id by then; or an error as per
 * public/hvm/hvm_op.h, with nothing left of the lease.
 */
int lend_create(struct domain *d, struct xen_hvm_lend_create *op)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct lease *l, *new = NULL;
    int rc;

    if ( op->generation || (op->port && op->ioserv) ||
         (op->flags & ~XEN_HVM_LEND_readonly) ||
         !op->nr || op->nr > XEN_HVM_LEND_MAX_PAGES ||
         op->first_gfn >> (domain_max_paddr_bits(d) - PAGE_SHIFT) ||
         (op->first_gfn + op->nr - 1) >>
         (domain_max_paddr_bits(d) - PAGE_SHIFT) )
        return -EINVAL;

    switch ( op->memtype )
    {
    case XEN_DMOP_MEM_CACHEATTR_UC:
    case XEN_DMOP_MEM_CACHEATTR_WC:
    case XEN_DMOP_MEM_CACHEATTR_WB:
        break;

    default:
        return -EINVAL;
    }

    /* What's begun needs to come to an end, in whichever state it is then. */
    if ( !op->id )
    {
        uint64_t serial = op->port ? 0 : ioreq_server_serial(d, op->ioserv,
                                                             current->domain);

        if ( !serial && !op->port )
            return -ENOENT;

        new = alloc_lease(op, serial);
        if ( !new )
            return -ENOMEM;
    }

    p2m_lock(p2m);

    /* Pairs with domain_kill() setting it ahead of lend_relinquish(). */
    rc = -ESRCH;
    if ( d->is_dying )
        goto out;

    if ( op->id )
    {
        /* A continuation, or somebody pretending to be one. */
        l = lend_get_own(p2m, op->id, &rc);
        if ( !l )
            goto out;

        rc = -EINVAL;
        if ( !(l->state == LEASE_building || l->error) ||
             gfn_x(l->first) != op->first_gfn || l->nr != op->nr )
            goto out;
    }
    else
    {
        rc = add_lease(d, new);
        if ( rc )
            goto out;

        l = new;
        new = NULL;
    }

    rc = l->error ?: build_lease(p2m, l);

    op->id = l->id;
    if ( !rc )
    {
        op->generation = l->generation;
        TRACE_TIME(TRC_MEM_LEND_CREATE, d->domain_id, l->id, l->lender, l->nr);
    }
    else if ( rc != -ERESTART )
    {
        l->error = rc;
        if ( lend_end_lease(p2m, l) )
            rc = -ERESTART;
    }

 out:
    p2m_unlock(p2m);

    if ( new )
    {
        xvfree(new->tables);
        xfree(new);
    }

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
