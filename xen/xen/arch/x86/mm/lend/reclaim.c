/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory lending: Page tables for new entries, out of the borrower's other
 * ones.
 *
 * An install must not fail for want of a page table as long as there are
 * leases to take one from: The guest would wait for the page forever, as
 * without anybody using what's installed elsewhere nothing of it gets revoked
 * either.
 */

#include <xen/sched.h>

#include <asm/hvm/hvm.h>

#include "private.h"

/* More than a page needs: Others may be quicker to take what was freed. */
#define MAX_RECLAIM 4

/*
 * Return a table of @l's to the paging pool, other than the one for @keep.  To
 * the lender what was installed there still is; the guest faults again.
 */
static bool reclaim_from(struct p2m_domain *p2m, struct lease *l, bool empty,
                         unsigned long keep)
{
    unsigned long i;

    /* What isn't complete isn't to be touched. */
    if ( l->state != LEASE_live || !(empty ? l->nr_empty : l->nr_tables) )
        return false;

    /* The hand goes round, i.e. by and large the oldest table is next. */
    for ( i = 0; i < l->max_tables; i++ )
    {
        unsigned long gfn = l->first_table + (l->hand << PAGE_ORDER_2M);
        uint16_t table = l->tables[l->hand];

        if ( ++l->hand == l->max_tables )
            l->hand = 0;

        if ( !(table & TABLE_EXISTS) || (empty && (table & TABLE_COUNT)) ||
             gfn == (keep & ~(TABLE_PAGES - 1)) )
            continue;

        if ( !lend_zap_table(p2m, l, gfn) )
            return false;

        l->reclaims++;

        return true;
    }

    return false;
}

/*
 * The same for a table of 2M entries.  For when there's none of the others
 * left, other than the one for @keep.  What is mapped may be too much to be
 * taken out in one go; a later call then continues.
 */
static bool reclaim_1g_from(struct p2m_domain *p2m, struct lease *l,
                            unsigned long keep)
{
    const unsigned long pages = 1UL << PAGE_ORDER_1G;
    unsigned long first = ROUNDUP(gfn_x(l->first), pages);
    unsigned long end = (gfn_x(l->first) + l->nr) & ~(pages - 1);
    unsigned long i, nr = first < end ? (end - first) >> PAGE_ORDER_1G : 0;

    if ( l->state != LEASE_live || !hap_has_1gb || !hap_has_2mb )
        return false;

    for ( i = 0; i < nr; i++ )
    {
        unsigned long gfn = first + (l->hand_1g % nr << PAGE_ORDER_1G);
        p2m_type_t t;
        p2m_access_t a;
        unsigned int order;

        p2m->get_entry(p2m, _gfn(gfn), &t, &a, 0, &order, NULL);
        if ( order < PAGE_ORDER_1G && gfn != (keep & ~(pages - 1)) )
        {
            unsigned long at = gfn - gfn_x(l->first);

            if ( lend_zap_chunk(p2m, l, at, pages) < pages ||
                 p2m_set_entry(p2m, _gfn(gfn), INVALID_MFN, PAGE_ORDER_1G,
                               p2m_lent_absent, p2m_access_rwx) )
                return false;

            l->reclaims++;
        }

        l->hand_1g = (l->hand_1g + 1) % nr;

        if ( order < PAGE_ORDER_1G && gfn != (keep & ~(pages - 1)) )
            return true;
    }

    return false;
}

/*
 * Get memory for a page table to map @keep, in lease @l.  What's useless goes
 * first, then what's @l's own.  Whether there is some now.
 */
static bool reclaim_table(struct p2m_domain *p2m, struct lease *l,
                          unsigned long keep)
{
    struct lease *other;

    /* The pool is being torn down: What's freed can't be had again. */
    if ( p2m->domain->is_dying )
        return false;

    list_for_each_entry ( other, &p2m->lend.leases, list )
        if ( reclaim_from(p2m, other, true, keep) )
            return true;

    if ( reclaim_from(p2m, l, false, keep) )
        return true;

    list_for_each_entry ( other, &p2m->lend.leases, list )
        if ( reclaim_from(p2m, other, false, keep) )
            return true;

    list_for_each_entry ( other, &p2m->lend.leases, list )
        if ( reclaim_1g_from(p2m, other, keep) )
            return true;

    return false;
}

/*
 * Write an entry, of @l, which may need a page table.  Called in an update.
 * When there's no memory for the table, others of the borrower's leases get
 * freed: What they map will fault in again.
 *
 * Returns 0 or an error.  -ENOMEM: That was in vain, and what's mapped is as it
 * was.  There's no use in trying again unless the paging pool grows.
 */
int lend_set_entry(struct p2m_domain *p2m, struct lease *l, unsigned long gfn,
                   mfn_t mfn, unsigned int order, p2m_type_t t)
{
    unsigned int tries = MAX_RECLAIM;
    int rc;

    do {
        rc = p2m_set_entry(p2m, _gfn(gfn), mfn, order, t, p2m_access_rwx);
    } while ( rc == -ENOMEM && tries-- && reclaim_table(p2m, l, gfn) );

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
