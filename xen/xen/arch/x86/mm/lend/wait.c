/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: A vCPU waits for what it has asked a port for. */

#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/ioreq.h>
#include <xen/sched.h>
#include <xen/softirq.h>

#include <asm/hvm/ioreq.h>

#include "port.h"

/* End the wait.  Called with its lock held. */
static void end_wait(struct domain *d, struct lend_ports *ps,
                     struct lend_wait *w, bool failed)
{
    struct vcpu *v = d->vcpu[w - ps->wait];

    ACCESS_ONCE(w->state) = failed ? WAIT_failed : WAIT_retry;

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
void lend_end_waits(struct domain *d, struct lend_ports *ps, uint32_t lease,
                    uint32_t port)
{
    unsigned int i;

    /* For those who have looked, but not sent.  See lend_port_send(). */
    ACCESS_ONCE(ps->ends)++;

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
        lend_end_waits(p2m->domain, p2m->lend.ports, l->id, 0);
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

    /* With a lease by a port they're there for as long as the vCPU runs. */
    ASSERT(ps);

    spin_lock(&w->lock);

    port = lend_find_port(ps, lf->port);

    if ( ACCESS_ONCE(ps->ends) != lf->ends )
        rc = IOREQ_STATUS_HANDLED;
    /* What broke isn't to be written to.  Nor would anybody read it. */
    else if ( !port || (port->page->count_info & PGC_broken) )
        rc = IOREQ_STATUS_UNHANDLED;
    else if ( !same_fault(w, lf) )
    {
        volatile xen_hvm_lend_slot_t *slot = port->slots;

        ACCESS_ONCE(w->state) = WAIT_sent;
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
 * @v, which is the current vCPU or paused, is given another context.  As for
 * an interrupt it turns away from its fault, and from the emulator's as well.
 * Called with no p2m lock held, in the scope of an RCU lock, or where softirqs
 * aren't processed.
 */
void lend_port_cancel(struct vcpu *v)
{
    struct lend_ports *ps =
        ACCESS_ONCE(p2m_get_hostp2m(v->domain)->lend.ports);

    if ( likely(!ps) || !ps->wait[v->vcpu_id].awaited )
        return;

    ps->wait[v->vcpu_id].awaited = false;

    if ( test_and_clear_bit(_VPF_blocked_in_xen, &v->pause_flags) )
        vcpu_wake(v);
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

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
