/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: Frames of the lender, and the references held on them. */

#include <xen/iocap.h>
#include <xen/sched.h>

#include <xsm/xsm.h>

#include <asm/paging.h>

#include "private.h"

/*
 * Is @mfn not known to the frame table, or there merely for being I/O memory?
 * With any lock held, or none.
 */
bool lend_is_mmio(mfn_t mfn)
{
    return !mfn_valid(mfn) || page_get_owner(mfn_to_page(mfn)) == dom_io;
}

/*
 * As with grants, the borrower needn't have access to I/O memory by itself.
 * It isn't given any it could make use of elsewhere: Like RAM, what's lent is
 * there for as long as the lender has it, and no longer.  Policy may think
 * otherwise.
 */
static bool may_lend_mmio(struct domain *lender, struct domain *borrower,
                          mfn_t mfn)
{
    return !(mfn_x(mfn) >> (paddr_bits - PAGE_SHIFT)) && lend_is_mmio(mfn) &&
           iomem_access_permitted(lender, mfn_x(mfn), mfn_x(mfn)) &&
           !rangeset_contains_singleton(mmio_ro_ranges, mfn_x(mfn)) &&
           !xsm_iomem_mapping(XSM_DM_PRIV, borrower, mfn_x(mfn), mfn_x(mfn),
                              true);
}

/* Xen's own pages, even when shared with the lender, aren't to be lent on. */
static bool may_lend_page(struct page_info *page, bool write)
{
    return !is_special_page(page) && !(page->count_info & PGC_broken) &&
           /*
            * As for grants: The borrower must not get to write to what's a
            * (PV) page table, or a descriptor table, at the same time.
            */
           (!write || get_page_type(page, PGT_writable_page));
}

/*
 * I1: Translate a frame number of the lender, and take the references that an
 * entry is going to hold: A page one, plus a writable type one for a writable
 * entry.  MMIO has none; access to it goes by permissions.
 *
 * Called for the lender, in its install, with no lock held: The lender's p2m
 * lock may be the one acquired here.
 *
 * Sets @slow if the frame had to be populated, or unshared, first.  This can
 * take long, other than a mere look-up.
 *
 * Returns 0, with @mfn set, or -EPERM, with no references taken.
 */
int lend_get_frame(struct domain *lender, struct domain *borrower,
                   unsigned long frame, bool write, mfn_t *mfn, bool *slow)
{
    struct page_info *page;

    if ( paging_mode_translate(lender) )
    {
        p2m_type_t t;

        page = get_page_from_gfn(lender, frame, &t, 0);
        if ( page ? write && p2m_is_shared(t)
                  : p2m_is_pod(t) || p2m_is_paging(t) )
        {
            if ( page )
                put_page(page);

            page = get_page_from_gfn(lender, frame, &t,
                                     P2M_ALLOC | (write ? P2M_UNSHARE : 0));
            *slow = true;
        }

        if ( !page )
        {
            *mfn = get_gfn_query(lender, frame, &t);
            put_gfn(lender, frame);

            return t == p2m_mmio_direct &&
                   may_lend_mmio(lender, borrower, *mfn) ? 0 : -EPERM;
        }

        *mfn = page_to_mfn(page);
        if ( t != p2m_ram_rw && (write || t != p2m_ram_ro) )
            goto refuse;
    }
    else
    {
        *mfn = _mfn(frame);
        if ( lend_is_mmio(*mfn) )
            return may_lend_mmio(lender, borrower, *mfn) ? 0 : -EPERM;

        page = mfn_to_page(*mfn);
        if ( !get_page(page, lender) )
            return -EPERM;
    }

    if ( may_lend_page(page, write) )
        return 0;

 refuse:
    put_page(page);

    return -EPERM;
}

/*
 * R4, or I1 having been in vain: Drop the references to 1 << @order frames,
 * which I1 took for @write.  With any p2m lock held, or none.  By the time of
 * R4, R3 is done: The frames may become others' in here.
 */
void lend_put_frames(mfn_t mfn, unsigned int order, bool write)
{
    unsigned long i;

    for ( i = 0; i < (1UL << order); i++ )
    {
        mfn_t cur = mfn_add(mfn, i);

        /* Ownership is stable: If it isn't MMIO, there's a reference held. */
        if ( lend_is_mmio(cur) )
            continue;

        if ( write )
        {
            /* As for grants: Whatever was written, the lender's log has it. */
            paging_mark_dirty(page_get_owner(mfn_to_page(cur)), cur);
            put_page_and_type(mfn_to_page(cur));
        }
        else
            put_page(mfn_to_page(cur));
    }
}

/*
 * R4 of a downgrade, for 1 << @order frames: Of what I1 took for a writable
 * entry leave what it takes for one that isn't.  With any p2m lock held.
 */
void lend_put_types(mfn_t mfn, unsigned int order)
{
    unsigned long i;

    for ( i = 0; i < (1UL << order); i++ )
    {
        mfn_t cur = mfn_add(mfn, i);

        if ( lend_is_mmio(cur) )
            continue;

        paging_mark_dirty(page_get_owner(mfn_to_page(cur)), cur);
        put_page_type(mfn_to_page(cur));
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
