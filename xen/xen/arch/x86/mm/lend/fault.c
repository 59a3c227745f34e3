/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: The borrower touches what is not there, or not writable. */

#include <xen/ioreq.h>
#include <xen/sched.h>
#include <xen/trace.h>

#include <asm/event.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/ioreq.h>
#include <asm/hvm/vpt.h>
#include <asm/mce.h>

#include "private.h"

/*
 * Superpages aren't executable on processors with the bug of XSA-304.  Split
 * the one that has code; all frames keep the references they have.  Without
 * memory for the table the vCPU has to try again, as when an install lacks it.
 */
static void shatter(struct p2m_domain *p2m, struct lease *l, gfn_t gfn)
{
    p2m_type_t t;
    p2m_access_t a;
    unsigned int order;
    mfn_t mfn = p2m->get_entry(p2m, gfn, &t, &a, 0, &order, NULL);
    int rc;

    if ( order == PAGE_ORDER_4K )
        return;

    lend_begin_update(p2m, l);
    rc = lend_split_entry(p2m, l, gfn_x(gfn), mfn, t);
    lend_end_update(p2m, l);

    if ( rc )
        gprintk(XENLOG_WARNING, "cannot split superpage %"PRI_gfn": %d\n",
                gfn_x(gfn), rc);
}

/*
 * What a fault is about, the first step of three.  Called for the current vCPU
 * by hvm_hap_nested_page_fault(), and by the emulator, for an entry of lent
 * type, with the p2m lock held, which keeps the lease from going away.
 *
 * Sets lf->action, and the rest of @lf if that's LEND_send: lend_send_fault()
 * comes next, with the lock dropped.  Always returns true, for there to be a
 * !CONFIG_MEM_LEND stub which doesn't.
 */
bool lend_check_fault(struct p2m_domain *p2m, paddr_t gpa, p2m_type_t t,
                      struct npfec npfec, struct lend_fault *lf)
{
    struct lease *l = lend_find_by_gfn(p2m, gaddr_to_gfn(gpa));

    ASSERT(p2m_locked_by_me(p2m));

    lf->action = LEND_retry;

    if ( !l )
    {
        ASSERT_UNREACHABLE();
        return true;
    }

    if ( t == p2m_lent_rw || (t == p2m_lent_ro && !npfec.write_access) )
    {
        if ( npfec.insn_fetch && npfec.present )
            shatter(p2m, l, gaddr_to_gfn(gpa));
        return true;
    }

    /*
     * Like for ROMs, it's the device model who decides what writing to what's
     * read-only means.  While coming or going, a lease is no different from
     * the MMIO there was, or will be, in its place.
     */
    if ( l->state != LEASE_live || (l->readonly && npfec.write_access) )
    {
        lf->action = LEND_emulate;
        return true;
    }

    lf->action = LEND_send;
    lf->port = l->port;
    lf->ends = lend_port_ends(p2m);
    lf->offset = gfn_x(gaddr_to_gfn(gpa)) - gfn_x(l->first);
    lf->ioserv = l->ioserv;
    lf->serial = l->serial;
    lf->req = (ioreq_t){
        .type = IOREQ_TYPE_LEND,
        .addr = gpa,
        .dir = npfec.write_access ? IOREQ_WRITE : IOREQ_READ,
        .size = 8,
        .count = 1,
        .data = l->id | (npfec.insn_fetch ? IOREQ_LEND_FETCH : 0),
    };

    /* With each request that's sent.  An interrupt may have come between. */
    if ( !(lf->port ? lend_port_waits(p2m, lf)
                    : ioreq_lend_waits(lf->ioserv)) )
    {
        l->faults++;

        TRACE_TIME(TRC_MEM_LEND_FAULT, p2m->domain->domain_id, l->id,
                   lf->offset, npfec.write_access);
    }

    return true;
}

/*
 * The page can't be had: Let the guest see what lost memory looks like.  Called
 * on the current vCPU with no lock held, after lend_note_fault().
 */
void lend_fail_access(const struct vcpu_io *vio)
{
    vmce_inject_lost_page(vio->lend_gpa, vio->lend_fetch);
}

/*
 * Remember what's being asked for.  Called on the current vCPU, with no lock
 * held, ahead of the request.
 */
void lend_note_fault(struct vcpu_io *vio, const struct lend_fault *lf)
{
    vio->lend_gpa = lf->req.addr;
    vio->lend_fetch = lf->req.data & IOREQ_LEND_FETCH;
    /* Should the server vanish, it's for the next attempt to find out. */
    vio->lend_answer = IOREQ_LEND_RETRY;
}

/* By the lease's port, or else its server.  For the current vCPU. */
int lend_ask(struct lend_fault *lf)
{
    return lf->port ? lend_port_send(lf)
                    : ioreq_send_lend(lf->ioserv, lf->serial, &lf->req);
}

/*
 * Ask the lender, the second step of three.  Called on the current vCPU, with
 * no lock held, when lend_check_fault() said LEND_send.
 *
 * The vCPU is going to block until there's an answer, or an interrupt to take:
 * Others wait for a vCPU which doesn't handle their IPIs.  Either way the guest
 * then repeats the access; after an interrupt it's the same answer it waits
 * for.  Without a server to ask there's no blocking; the guest gets told.
 */
void lend_send_fault(struct lend_fault *lf)
{
    struct vcpu_io *vio = &current->io;

    lend_note_fault(vio, lf);

    switch ( lend_ask(lf) )
    {
    case IOREQ_STATUS_UNHANDLED:
        lend_fail_access(vio);
        break;

    case IOREQ_STATUS_RETRY:
        ASSERT(vio->completion == VIO_no_completion);
        vio->completion = VIO_lend_completion;
        vio->lend_event = hvm_event_pending(current);
        break;
    }
}

/*
 * Is there an interrupt for the current vCPU to take rather than wait for the
 * answer?  Not when it was delivering an event that it faulted: That event
 * comes first, and its delivery is going to fault again.  Called with no lock
 * held.
 */
bool lend_interrupted(struct vcpu *v)
{
    ASSERT(v == current);

    if ( v->io.lend_event )
        return false;

    /* It's past lend_send_fault() that the exit path has injected it. */
    if ( hvm_event_pending(v) )
        return true;

    /* Timers only become interrupts here, and on the way to the guest. */
    pt_update_irq(v);

    return hvm_local_events_need_delivery(v);
}

/*
 * Act upon the answer, the third step of three.  Called on @v, which is the
 * current vCPU, with no lock held and prior to the guest running again.
 */
void lend_complete_fault(struct vcpu *v)
{
    const struct vcpu_io *vio = &v->io;

    ASSERT(v == current);

    if ( vio->lend_answer == IOREQ_LEND_FAILED )
        lend_fail_access(vio);
}

/*
 * @v, which is the current vCPU or paused, is given another context, by INIT
 * or otherwise, which isn't to wait for what the last one wanted.  Called with
 * no p2m lock held.
 */
void lend_cancel(struct vcpu *v)
{
    lend_port_cancel(v);
    ioreq_leave_lends(v);

    if ( v->io.lend_blocked )
    {
        v->io.lend_blocked = false;
        vcpu_unblock(v);
    }
}

/*
 * EPT memory type, and whether to ignore the guest's PAT, for an entry of lent
 * type.  Called with the p2m lock held.
 */
int lend_get_emt(const struct domain *d, gfn_t gfn, mfn_t mfn, bool *ipat)
{
    const struct lease *l = lend_find_by_gfn(p2m_get_hostp2m(d), gfn);

    /* RAM is WB no matter what the guest's MTRRs say about the range. */
    *ipat = true;
    if ( !lend_is_mmio(mfn) )
        return X86_MT_WB;

    if ( !l || l->memtype == XEN_DMOP_MEM_CACHEATTR_UC )
        return X86_MT_UC;

    /* WC, unless the guest's PAT asks for UC. */
    *ipat = false;

    return X86_MT_WC;
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
