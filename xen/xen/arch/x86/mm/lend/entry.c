/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory lending: The borrower's p2m entries, and taking them out.
 *
 * Other than where it says so, functions which change entries are called in an
 * update, i.e. between lend_begin_update() and lend_end_update(), with the p2m
 * lock held for all of that.
 */

#include <xen/sched.h>

#include "private.h"

/*
 * Begin an update of entries of @l.  Called with the p2m lock held, which is
 * to stay that way until lend_end_update().  There's no update of another
 * lease at the same time.
 */
void lend_begin_update(struct p2m_domain *p2m, const struct lease *l)
{
    ASSERT(p2m_locked_by_me(p2m));
    ASSERT(!p2m->lend.updating);
    ASSERT(!p2m->lend.nr_zapped);

    /* Flush what others may have left, for it not to be counted as ours. */
    p2m_tlb_flush_sync(p2m);

    p2m->lend.memtype = l->memtype;
    p2m->lend.updating = true;
}

/* R3 and R4 for everything zapped so far. */
static void flush_zapped(struct p2m_domain *p2m, struct lease *l)
{
    if ( !p2m->lend.nr_zapped )
        return;

    p2m_tlb_flush_sync(p2m);
    l->flushes++;

    while ( p2m->lend.nr_zapped )
    {
        uint64_t z = p2m->lend.zapped[--p2m->lend.nr_zapped];
        mfn_t mfn = _mfn(z & ZAPPED_MFN);
        unsigned int order = (z & ~(ZAPPED_WRITE | ZAPPED_KEEP)) >>
                             ZAPPED_ORDER;

        if ( z & ZAPPED_KEEP )
            lend_put_types(mfn, order);
        else
            lend_put_frames(mfn, order, z & ZAPPED_WRITE);
    }
}

/*
 * R3 and R4 for everything zapped in the update: No vCPU can access any of it
 * past this.
 */
void lend_end_update(struct p2m_domain *p2m, struct lease *l)
{
    flush_zapped(p2m, l);

    p2m->lend.updating = false;
}

/*
 * The first page to be installed in a 2M range brings about a table of 4K
 * entries.  With all pages absent again it is of no use, but still takes
 * memory from the borrower's paging pool.  Hence there's a record of the
 * tables which could be returned, by making the 2M absent as a whole.  NULL:
 * There are, or may be, others' entries in the same table.
 */
static uint16_t *get_table(struct lease *l, unsigned long gfn)
{
    unsigned long i = (gfn - l->first_table) >> PAGE_ORDER_2M;

    return i < l->max_tables ? &l->tables[i] : NULL;
}

/*
 * Take note that there's a table of 4K entries for @gfn, with @nr more pages
 * installed than before.  For every such change, so that the count is right.
 */
void lend_update_table(struct lease *l, unsigned long gfn, int nr)
{
    uint16_t *table = get_table(l, gfn);

    if ( !table )
        return;

    /* Nobody but us is to split, or to remove, lent entries. */
    if ( nr < 0 && !(*table & TABLE_COUNT) )
    {
        ASSERT_UNREACHABLE();
        return;
    }

    if ( !(*table & TABLE_EXISTS) )
        l->nr_tables++;
    else if ( !(*table & TABLE_COUNT) )
        l->nr_empty--;

    *table = TABLE_EXISTS | ((*table & TABLE_COUNT) + nr);

    if ( !(*table & TABLE_COUNT) )
        l->nr_empty++;
}

/*
 * Take note that there's no table (anymore) for @gfn.  What was installed
 * there has been counted off before.
 */
void lend_forget_table(struct lease *l, unsigned long gfn)
{
    uint16_t *table = get_table(l, gfn);

    if ( !table || !(*table & TABLE_EXISTS) )
        return;

    ASSERT(!(*table & TABLE_COUNT));

    *table = 0;
    l->nr_tables--;
    l->nr_empty--;
}

static void add_zapped(struct p2m_domain *p2m, struct lease *l, mfn_t mfn,
                       unsigned int order, uint64_t flags)
{
    /* Not as soon as it's full: This may be the last, or a table go as well. */
    if ( p2m->lend.nr_zapped == ZAPPED_MAX )
        flush_zapped(p2m, l);

    p2m->lend.zapped[p2m->lend.nr_zapped++] =
        mfn_x(mfn) | ((uint64_t)order << ZAPPED_ORDER) | flags;
}

/*
 * Schedule for R3 and R4 the frames of an entry, of type @t, which isn't there
 * anymore.  When there's no room for more, these are done right here.
 */
void lend_add_zapped(struct p2m_domain *p2m, struct lease *l, mfn_t mfn,
                     unsigned int order, p2m_type_t t)
{
    l->installed -= 1UL << order;

    add_zapped(p2m, l, mfn, order, t == p2m_lent_rw ? ZAPPED_WRITE : 0);
}

/*
 * R2: Make absent whatever entry covers @gfn, all of it.  This allocates
 * nothing and doesn't fail; should it do so nevertheless, the borrower gets
 * crashed.  Returns the number of pages, from @gfn, that are absent now.
 */
unsigned long lend_zap_entry(struct p2m_domain *p2m, struct lease *l,
                             unsigned long gfn)
{
    p2m_type_t t;
    p2m_access_t a;
    unsigned int order;
    mfn_t mfn = p2m->get_entry(p2m, _gfn(gfn), &t, &a, 0, &order, NULL);
    unsigned long mask = (1UL << order) - 1;

    if ( unlikely(!p2m_is_lent(t)) )
    {
        ASSERT_UNREACHABLE();
        domain_crash(p2m->domain, "%pd: gfn %#lx isn't lent\n", p2m->domain,
                     gfn);
    }
    else if ( t != p2m_lent_absent )
    {
        /* Same order as the entry has, i.e. there's no need for a table. */
        int rc = p2m_set_entry(p2m, _gfn(gfn & ~mask), INVALID_MFN, order,
                               p2m_lent_absent, p2m_access_rwx);

        if ( unlikely(rc) )
        {
            /* Better than to have the frame accessed past the revoke. */
            ASSERT_UNREACHABLE();
            domain_crash(p2m->domain, "%pd: cannot revoke gfn %#lx: %d\n",
                         p2m->domain, gfn, rc);
        }
        else
        {
            l->revokes += mask + 1;
            if ( order == PAGE_ORDER_4K )
                lend_update_table(l, gfn, -1);
            lend_add_zapped(p2m, l, _mfn(mfn_x(mfn) & ~mask), order, t);
        }
    }

    return mask + 1 - (gfn & mask);
}

/*
 * R2 for the 2M at @gfn, of which get_table() has a record.  The page table
 * goes back to the paging pool.  Nothing's allocated: The entry is in the
 * table's place.  Returns whether it went.
 */
bool lend_zap_table(struct p2m_domain *p2m, struct lease *l,
                    unsigned long gfn)
{
    const uint16_t *table = get_table(l, gfn);
    unsigned long cur;

    for ( cur = gfn; cur < gfn + TABLE_PAGES && (*table & TABLE_COUNT); cur++ )
        lend_zap_entry(p2m, l, cur);

    if ( (*table & TABLE_COUNT) ||
         p2m_set_entry(p2m, _gfn(gfn), INVALID_MFN, PAGE_ORDER_2M,
                       p2m_lent_absent, p2m_access_rwx) )
    {
        /* It stays, which is no more than a waste. */
        ASSERT_UNREACHABLE();
        return false;
    }

    lend_forget_table(l, gfn);

    return true;
}

/*
 * R2 for @nr pages from @first within the lease on, or as much of the front as
 * is reasonable to do in one go.  Like lend_zap_entry(), doesn't fail.  Returns
 * the number of pages, at least one and at most @nr, that are absent now; for
 * the others the caller is to call again, having ended the update.
 */
unsigned long lend_zap_chunk(struct p2m_domain *p2m, struct lease *l,
                             unsigned long first, unsigned long nr)
{
    uint64_t limit = l->revokes + ZAPPED_PAGES;
    unsigned long done = 0;
    unsigned int entries;

    for ( entries = 0; done < nr && entries < ZAPPED_MAX &&
                       l->revokes < limit; entries++ )
    {
        unsigned long gfn = gfn_x(l->first) + first + done;
        const uint16_t *table = get_table(l, gfn);

        if ( table && (*table & TABLE_EXISTS) &&
             !(gfn & (TABLE_PAGES - 1)) && nr - done >= TABLE_PAGES )
        {
            /* Going through a table takes time, and freeing one a flush. */
            entries += *table & TABLE_COUNT ? TABLE_PAGES - 1
                                            : TABLE_PAGES / 16;
            lend_zap_table(p2m, l, gfn);
            done += TABLE_PAGES;
        }
        else
            done += lend_zap_entry(p2m, l, gfn);
    }

    return min(done, nr);
}

/*
 * R2 of a downgrade: Make read-only whatever entry covers @gfn, all of it, if
 * it is writable.  Allocates nothing and doesn't fail, as lend_zap_entry().
 * Returns the number of pages, from @gfn, that aren't writable now.
 */
static unsigned long downgrade_entry(struct p2m_domain *p2m, struct lease *l,
                                     unsigned long gfn)
{
    p2m_type_t t;
    p2m_access_t a;
    unsigned int order;
    mfn_t mfn = p2m->get_entry(p2m, _gfn(gfn), &t, &a, 0, &order, NULL);
    unsigned long mask = (1UL << order) - 1;

    if ( unlikely(!p2m_is_lent(t)) )
    {
        ASSERT_UNREACHABLE();
        domain_crash(p2m->domain, "%pd: gfn %#lx isn't lent\n", p2m->domain,
                     gfn);
    }
    else if ( t == p2m_lent_rw )
    {
        int rc;

        mfn = _mfn(mfn_x(mfn) & ~mask);

        /* Same order as the entry has, i.e. there's no need for a table. */
        rc = p2m_set_entry(p2m, _gfn(gfn & ~mask), mfn, order, p2m_lent_ro,
                           p2m_access_rwx);

        if ( unlikely(rc) )
        {
            /* Better than to have the frame written past the downgrade. */
            ASSERT_UNREACHABLE();
            domain_crash(p2m->domain, "%pd: cannot downgrade gfn %#lx: %d\n",
                         p2m->domain, gfn, rc);
        }
        else
        {
            l->downgrades += mask + 1;
            add_zapped(p2m, l, mfn, order, ZAPPED_KEEP);
        }
    }

    return mask + 1 - (gfn & mask);
}

/*
 * As lend_zap_chunk(), but for a downgrade: What's returned is the number of
 * pages that aren't writable now.
 */
unsigned long lend_downgrade_chunk(struct p2m_domain *p2m, struct lease *l,
                                   unsigned long first, unsigned long nr)
{
    uint64_t limit = l->downgrades + ZAPPED_PAGES;
    unsigned long done = 0;
    unsigned int entries;

    for ( entries = 0; done < nr && entries < ZAPPED_MAX &&
                       l->downgrades < limit; entries++ )
    {
        unsigned long gfn = gfn_x(l->first) + first + done;
        const uint16_t *table = get_table(l, gfn);

        /* No need to look at what has nothing in it. */
        if ( table && *table == TABLE_EXISTS )
            done += TABLE_PAGES - (gfn & (TABLE_PAGES - 1));
        else
            done += downgrade_entry(p2m, l, gfn);
    }

    return min(done, nr);
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
