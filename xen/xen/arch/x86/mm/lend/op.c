/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: HVMOP_lend. */

#include <xen/guest_access.h>
#include <xen/rcupdate.h>
#include <xen/sched.h>
#include <xen/trace.h>

#include <xsm/xsm.h>

#include "private.h"

static DEFINE_RCU_READ_LOCK(lease_read_lock);

static int lend_revoke(struct domain *d, struct xen_hvm_lend_revoke *op)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    bool downgrade = op->flags & XEN_HVM_LEND_revoke_write;
    struct lease *l;
    unsigned long first, end;
    int rc;

    if ( op->flags & ~XEN_HVM_LEND_revoke_write )
        return -EINVAL;

    p2m_lock(p2m);

    l = lend_get_own(p2m, op->id, &rc);
    if ( !l )
        goto out;

    rc = -EINVAL;
    if ( op->offset >= l->nr || !op->nr || op->nr > l->nr - op->offset )
        goto out;

    /* R1.  Pairs with I2: The lock makes this atomic with R2 to R4. */
    op->generation = ++l->generation;

    /*
     * Someone else may be busy ending the lease.  The caller nevertheless has
     * to find its frames unused upon return.
     */
    first = max_t(unsigned long, op->offset, l->removed);
    end = min_t(unsigned long, op->offset + op->nr, l->built);

    rc = 0;
    if ( first < end && !(downgrade && l->readonly) )
    {
        unsigned long done;

        lend_begin_update(p2m, l);
        done = downgrade ? lend_downgrade_chunk(p2m, l, first, end - first)
                         : lend_zap_chunk(p2m, l, first, end - first);
        lend_end_update(p2m, l);

        TRACE_TIME(TRC_MEM_LEND_REVOKE, d->domain_id, l->id, first, done,
                   downgrade);

        first += done;
        if ( first < end )
        {
            op->nr -= first - op->offset;
            op->offset = first;
            rc = -ERESTART;
        }
    }

 out:
    p2m_unlock(p2m);

    return rc;
}

static int lend_query(struct domain *d, struct xen_hvm_lend_query *op)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    const struct lease *l;
    int rc = -ENOENT;

    if ( op->pad )
        return -EINVAL;

    p2m_lock(p2m);

    /* New leases are added at the end, so ids are ascending. */
    list_for_each_entry ( l, &p2m->lend.leases, list )
    {
        if ( l->id < op->id )
            continue;

        *op = (struct xen_hvm_lend_query){
            .id = l->id,
            .lender = l->lender,
            .ioserv = l->ioserv,
            .flags = (l->readonly ? XEN_HVM_LEND_readonly : 0) |
                     (l->state == LEASE_dying ? XEN_HVM_LEND_dying : 0),
            .memtype = l->memtype,
            .port = l->port,
            .first_gfn = gfn_x(l->first),
            .nr = l->nr,
            .installed = l->installed,
            .generation = l->generation,
            .faults = l->faults,
            .installs = l->installs,
            .revokes = l->revokes,
            .flushes = l->flushes,
            .reclaims = l->reclaims,
            .downgrades = l->downgrades,
        };
        rc = 0;
        break;
    }

    p2m_unlock(p2m);

    return rc;
}

static bool takes_back(const struct xen_hvm_lend_op *op)
{
    return current->domain->arch.mem_lender &&
           (op->cmd == XEN_HVM_LEND_revoke ||
            op->cmd == XEN_HVM_LEND_destroy ||
            op->cmd == XEN_HVM_LEND_unlisten ||
            op->cmd == XEN_HVM_LEND_answer);
}

/*
 * Policy decides who may lend.  It doesn't have a say in taking memory back,
 * or in finishing what was begun: The policy may have changed, while the
 * lender has to be able to reuse its memory.  That it's the caller's lease is
 * checked in any case.  Domains which don't lend to @d don't get as far as the
 * lock.
 */
static bool is_ending(const struct domain *d, const struct xen_hvm_lend_op *op)
{
    const struct domain *currd = current->domain;
    const struct lease *l;
    bool ret = false;

    if ( currd->arch.mem_lender &&
         (op->cmd == XEN_HVM_LEND_unlisten || op->cmd == XEN_HVM_LEND_answer) )
    {
        rcu_read_lock(&lease_read_lock);
        ret = lend_has_port(d, currd);
        rcu_read_unlock(&lease_read_lock);

        return ret;
    }

    if ( !currd->arch.mem_lender ||
         (!takes_back(op) &&
          (op->cmd != XEN_HVM_LEND_create || !op->u.create.id)) )
        return false;

    rcu_read_lock(&lease_read_lock);

    list_for_each_entry_rcu ( l, &p2m_get_hostp2m(d)->lend.leases, list )
        if ( l->lender == currd->domain_id )
        {
            ret = true;
            break;
        }

    rcu_read_unlock(&lease_read_lock);

    return ret;
}

/*
 * The number of the borrower, which other than its ID isn't used again.  It
 * gets one when first asked.
 */
static uint64_t get_number(struct domain *d)
{
    static DEFINE_SPINLOCK(lock);
    static uint64_t last;
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    uint64_t number;

    spin_lock(&lock);

    if ( !p2m->lend.number )
        p2m->lend.number = ++last;
    number = p2m->lend.number;

    spin_unlock(&lock);

    return number;
}

/*
 * HVMOP_lend.  Called with no lock held.  Checks who may do what; the argument
 * is checked by who acts upon it.  Returns -ERESTART if it's to be called again
 * with the same argument, which has been updated; for errors see
 * public/hvm/hvm_op.h.
 */
int lend_op(XEN_GUEST_HANDLE_PARAM(xen_hvm_lend_op_t) arg)
{
    struct xen_hvm_lend_op op;
    uint64_t number;
    struct domain *d;
    int rc;

    if ( copy_from_guest(&op, arg, 1) )
        return -EFAULT;

    if ( op.pad )
        return -EINVAL;

    rc = rcu_lock_remote_domain_by_id(op.domain, &d);
    if ( rc )
        return rc;

    /*
     * First of all: The ID may have come to be that of a domain which the
     * caller has nothing to do with, and may not so much as ask about.
     */
    number = is_hvm_domain(d) ? get_number(d) : 0;
    rc = -ESRCH;
    if ( op.number && op.number != number )
        goto out;

    rc = -EINVAL;
    if ( !is_hvm_domain(d) )
        goto out;

    if ( !is_ending(d, &op) )
    {
        /* All of the caller's leases are gone already, by whatever means. */
        rc = -ENOENT;
        if ( op.number && takes_back(&op) )
            goto out;

        rc = xsm_mem_lend(XSM_DM_PRIV, d);
        if ( rc )
            goto out;
    }
    op.number = number;

    switch ( op.cmd )
    {
    case XEN_HVM_LEND_create:
        rc = lend_create(d, &op.u.create);
        break;

    case XEN_HVM_LEND_destroy:
        rc = lend_destroy(d, &op.u.destroy);
        break;

    case XEN_HVM_LEND_install:
        rc = lend_install(d, &op.u.install);
        break;

    case XEN_HVM_LEND_revoke:
        rc = lend_revoke(d, &op.u.revoke);
        break;

    case XEN_HVM_LEND_query:
        rc = lend_query(d, &op.u.query);
        break;

    case XEN_HVM_LEND_listen:
        rc = lend_listen(d, &op.u.listen);
        break;

    case XEN_HVM_LEND_unlisten:
        rc = lend_unlisten(d, &op.u.unlisten);
        break;

    case XEN_HVM_LEND_answer:
        rc = lend_answer(d, &op.u.answer);
        break;

    default:
        rc = -EOPNOTSUPP;
        break;
    }

    /*
     * How far an install got needs reporting in particular when it failed.  A
     * query tells the borrower's number even if there are no leases.
     */
    if ( (!rc || rc == -ERESTART || op.cmd == XEN_HVM_LEND_install ||
          op.cmd == XEN_HVM_LEND_query) &&
         __copy_to_guest(arg, &op, 1) )
        rc = -EFAULT;

 out:
    rcu_unlock_domain(d);

    return rc;
}

#ifdef CONFIG_COMPAT
#include <compat/hvm/hvm_op.h>

/* There's nothing to translate. */
CHECK_hvm_lend_create;
CHECK_hvm_lend_destroy;
CHECK_hvm_lend_install;
CHECK_hvm_lend_revoke;
CHECK_hvm_lend_query;
CHECK_hvm_lend_listen;
CHECK_hvm_lend_slot;
CHECK_hvm_lend_unlisten;
CHECK_hvm_lend_answered;
CHECK_hvm_lend_answer;
#endif

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
