/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: Making pages of a lease present. */

#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/sched.h>
#include <xen/trace.h>
#include <xen/xmalloc.h>

#include <asm/hvm/hvm.h>

#include "private.h"

/*
 * Turn the superpage covering @gfn, which has @mfn there, as type @t, into a
 * table of 4K entries.  These map what it did, and take over its references.
 * Called in an update.  Returns 0, or -ENOMEM with the superpage as it was.
 */
int lend_split_entry(struct p2m_domain *p2m, struct lease *l,
                     unsigned long gfn, mfn_t mfn, p2m_type_t t)
{
    int rc = lend_set_entry(p2m, l, gfn, mfn, PAGE_ORDER_4K, t);

    if ( !rc )
        lend_update_table(l, gfn, TABLE_PAGES);

    return rc;
}

/*
 * Allow writing to what's mapped read-only by an entry of this @order.  The
 * frames stay, hence there's nothing to flush: A vCPU which has the old entry
 * in its TLB at worst faults once more, see lend_check_fault().  The new entry
 * has references of its own, so that the old one's aren't needed anymore.
 */
static int upgrade_entry(struct p2m_domain *p2m, unsigned long gfn, mfn_t mfn,
                         unsigned int order)
{
    bool need_flush = p2m->need_flush;
    int rc = p2m_set_entry(p2m, _gfn(gfn), mfn, order, p2m_lent_rw,
                           p2m_access_rwx);

    p2m->need_flush = need_flush;
    if ( !rc )
        lend_put_frames(mfn, order, false);

    return rc;
}

/*
 * Leave alone the entry which is there, @omfn of type @t, if it maps @mfn, and
 * writable if @write.  It has references of its own; the new ones get dropped.
 * Whether it's left.
 */
static bool keep_entry(mfn_t mfn, unsigned int order, bool write, mfn_t omfn,
                       p2m_type_t t)
{
    if ( !mfn_eq(mfn, omfn) ||
         (t != p2m_lent_rw && (write || t != p2m_lent_ro)) )
        return false;

    lend_put_frames(mfn, order, write);

    return true;
}

/*
 * I3 for a single page.  Consumes the references to @mfn when it succeeds.
 * -ENOMEM: An absent superpage would have needed splitting, and there's no
 * table to reclaim.
 */
static int install_page(struct p2m_domain *p2m, struct lease *l,
                        unsigned long gfn, mfn_t mfn, bool write)
{
    p2m_type_t t, nt = write ? p2m_lent_rw : p2m_lent_ro;
    p2m_access_t a;
    unsigned int order;
    mfn_t omfn = p2m->get_entry(p2m, _gfn(gfn), &t, &a, 0, &order, NULL);
    int rc = 0;

    ASSERT(p2m_is_lent(t));

    if ( keep_entry(mfn, PAGE_ORDER_4K, write, omfn, t) )
        return 0;

    if ( t != p2m_lent_absent && order != PAGE_ORDER_4K )
    {
        /* For the other pages to stay; but they'd also fault in again. */
        if ( !lend_split_entry(p2m, l, gfn, omfn, t) )
            order = PAGE_ORDER_4K;
        else
        {
            omfn = p2m->get_entry(p2m, _gfn(gfn), &t, &a, 0, &order, NULL);
            if ( t != p2m_lent_absent )
                lend_zap_entry(p2m, l, gfn);
            t = p2m_lent_absent;
        }
    }

    if ( t == p2m_lent_ro && mfn_eq(mfn, omfn) )
    {
        rc = upgrade_entry(p2m, gfn, mfn, PAGE_ORDER_4K);
        if ( !rc )
            l->installs++;

        return rc;
    }

    /* In one go, EPT code would split all of an absent 1G entry to 4K. */
    if ( order > PAGE_ORDER_2M )
        rc = lend_set_entry(p2m, l, gfn & ~(TABLE_PAGES - 1), INVALID_MFN,
                            PAGE_ORDER_2M, p2m_lent_absent);

    if ( !rc )
        rc = lend_set_entry(p2m, l, gfn, mfn, PAGE_ORDER_4K, nt);

    if ( rc )
        return rc;

    if ( t != p2m_lent_absent )
        lend_add_zapped(p2m, l, omfn, PAGE_ORDER_4K, t);
    else
        lend_update_table(l, gfn, 1);

    l->installs++;
    l->installed++;

    return 0;
}

/* Could these 2M be mapped by a single entry? */
static bool is_superpage(unsigned long gfn, unsigned long nr,
                         const uint64_t *frames)
{
    unsigned int i;

    if ( nr != 1UL << PAGE_ORDER_2M || !hap_has_2mb ||
         ((gfn | frames[0]) & (nr - 1)) ||
         frames[0] == XEN_HVM_LEND_frame_skip )
        return false;

    /* The write flag needs to match, too.  Nor is RAM mixed with MMIO. */
    for ( i = 1; i < nr; i++ )
        if ( frames[i] != frames[0] + i ||
             lend_is_mmio(_mfn(frames[i] & ~XEN_HVM_LEND_frame_write)) !=
             lend_is_mmio(_mfn(frames[0] & ~XEN_HVM_LEND_frame_write)) )
            return false;

    return true;
}

/*
 * I3 for 2M.  All entries there were go first, for their references to get
 * dropped.  Having had entries there's a table to put the new one in.
 * Consumes the references to the frames when it succeeds, which it can fail to
 * do only for want of that table.
 */
static int install_superpage(struct p2m_domain *p2m, struct lease *l,
                             unsigned long gfn, mfn_t mfn, bool write)
{
    p2m_type_t t, nt = write ? p2m_lent_rw : p2m_lent_ro;
    p2m_access_t a;
    unsigned int order;
    mfn_t omfn = p2m->get_entry(p2m, _gfn(gfn), &t, &a, 0, &order, NULL);
    unsigned long done = 0;
    int rc;

    if ( order == PAGE_ORDER_2M &&
         keep_entry(mfn, PAGE_ORDER_2M, write, omfn, t) )
        return 0;

    if ( order == PAGE_ORDER_2M && t == p2m_lent_ro && mfn_eq(mfn, omfn) )
    {
        rc = upgrade_entry(p2m, gfn, mfn, PAGE_ORDER_2M);
        if ( !rc )
            l->installs += 1UL << PAGE_ORDER_2M;

        return rc;
    }

    while ( done < 1UL << PAGE_ORDER_2M )
        done += lend_zap_entry(p2m, l, gfn + done);

    rc = lend_set_entry(p2m, l, gfn, mfn, PAGE_ORDER_2M, nt);
    if ( rc )
        return rc;

    lend_forget_table(l, gfn);

    l->installs += 1UL << PAGE_ORDER_2M;
    l->installed += 1UL << PAGE_ORDER_2M;

    return 0;
}

/* I2 and I3.  Frames used up are marked as such, for I1 not to be undone. */
static int install_frames(struct p2m_domain *p2m, struct lease *l,
                          struct xen_hvm_lend_install *op, uint64_t *frames,
                          unsigned int nr, unsigned int epoch)
{
    unsigned int i, start = op->done;
    unsigned long gfn = gfn_x(l->first) + op->offset + start;
    int rc = 0;

    ASSERT(p2m_locked_by_me(p2m));

    if ( l->state != LEASE_live )
        return -ENOENT;

    if ( op->offset >= l->nr || op->nr > l->nr - op->offset )
        return -EINVAL;

    if ( op->generation != l->generation )
        return -EAGAIN;

    /*
     * Some of the frames may be what the epoch advanced for: Start over with
     * I1.  When it does so later than here, the purge waits for the lock.
     */
    if ( epoch != lend_epoch(current->domain) )
        return -ERESTART;

    if ( l->epoch != epoch )
    {
        rc = lend_purge_lease(p2m, l, epoch);
        if ( rc )
            return rc;
    }

    lend_begin_update(p2m, l);

    if ( is_superpage(gfn, nr, frames) &&
         !(l->readonly && (frames[0] & XEN_HVM_LEND_frame_write)) )
    {
        bool write = frames[0] & XEN_HVM_LEND_frame_write;
        mfn_t mfn = _mfn(frames[0] & ~XEN_HVM_LEND_frame_write);

        rc = install_superpage(p2m, l, gfn, mfn, write);
        if ( !rc )
        {
            for ( i = 0; i < nr; i++ )
                frames[i] = XEN_HVM_LEND_frame_skip;
            op->done = start + nr;
        }
        goto out;
    }

    for ( i = 0; i < nr; i++ )
    {
        bool write = frames[i] & XEN_HVM_LEND_frame_write;

        if ( frames[i] != XEN_HVM_LEND_frame_skip )
        {
            rc = write && l->readonly
                 ? -EACCES
                 : install_page(p2m, l, gfn + i,
                                _mfn(frames[i] & ~XEN_HVM_LEND_frame_write),
                                write);
            if ( rc )
                break;

            frames[i] = XEN_HVM_LEND_frame_skip;
        }

        op->done = start + i + 1;
    }

 out:
    lend_end_update(p2m, l);

    TRACE_TIME(TRC_MEM_LEND_INSTALL, p2m->domain->domain_id, l->id, op->offset,
               op->done);

    return rc;
}

/*
 * XEN_HVM_LEND_install, on borrower @d: I1 to I4.  Called with no lock held,
 * for a caller who may lend to @d.
 *
 * Advances op->done past every frame dealt with, also if there's an error.
 * References are held for what's installed then, and for nothing else.
 *
 * Returns 0 when done, -ERESTART if it's to be called again with the updated
 * @op, or an error as per public/hvm/hvm_op.h.  -EAGAIN: A revoke was faster,
 * for the caller to look up the frames anew.
 */
int lend_install(struct domain *d, struct xen_hvm_lend_install *op)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct domain *currd = current->domain;
    uint64_t *frames;
    struct lease *l;
    unsigned int i, nr, todo, epoch;
    bool preempted = false;
    int rc, frame_rc = 0;

    if ( !op->nr || op->nr > XEN_HVM_LEND_MAX_INSTALL || op->done >= op->nr ||
         (op->vcpu && !op->token) )
        return -EINVAL;

    /* A continuation has some behind it. */
    todo = op->nr - op->done;
    frames = xmalloc_array(uint64_t, todo);
    if ( !frames )
        return -ENOMEM;

    rc = -EFAULT;
    if ( copy_from_guest_offset(frames,
                                guest_handle_from_ptr(op->frames, uint64_t),
                                op->done, todo) )
        goto out;

    /*
     * I1, with no lock held.  What's in frames[] are MFNs from here on.  The
     * epoch comes first, whereas who advances it does so last: Barrier paired
     * with lend_deny_iomem()'s and lend_page_broken()'s atomic_inc().
     */
    epoch = lend_epoch(currd);
    smp_rmb();

    for ( nr = 0; nr < todo && !preempted; nr++ )
    {
        bool write = frames[nr] & XEN_HVM_LEND_frame_write, slow = false;
        mfn_t mfn;

        if ( frames[nr] == XEN_HVM_LEND_frame_skip )
            continue;

        frame_rc = lend_get_frame(currd, d,
                                  frames[nr] & ~XEN_HVM_LEND_frame_write,
                                  write, &mfn, &slow);
        if ( frame_rc )
            break;

        frames[nr] = mfn_x(mfn) | (write ? XEN_HVM_LEND_frame_write : 0);

        /* Install what there is, and leave the rest for later. */
        preempted = slow && hypercall_preempt_check();
    }

    p2m_lock(p2m);

    l = lend_get_own(p2m, op->id, &rc);
    if ( l )
        rc = d->is_dying ? -ESRCH
                         : install_frames(p2m, l, op, frames, nr, epoch);

    /* All of it is there: Nobody needs to wait for the caller to return. */
    if ( !rc && !frame_rc && op->token && op->done == op->nr )
        lend_port_installed(p2m, l, op->vcpu, op->token);

    p2m_unlock(p2m);

    for ( i = 0; i < nr; i++ )
        if ( frames[i] != XEN_HVM_LEND_frame_skip )
            lend_put_frames(_mfn(frames[i] & ~XEN_HVM_LEND_frame_write),
                            PAGE_ORDER_4K,
                            frames[i] & XEN_HVM_LEND_frame_write);

    if ( !rc )
        rc = frame_rc ?: op->done < op->nr ? -ERESTART : 0;

 out:
    xfree(frames);

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
