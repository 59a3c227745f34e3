/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory lending: Frames which stop being the lender's to lend.
 *
 * See "epoch" in private.h.
 */

#include <xen/event.h>
#include <xen/iocap.h>
#include <xen/sched.h>
#include <xen/tasklet.h>

#include "private.h"

/*
 * Take out all that's installed, on behalf of @epoch.  Called with the p2m lock
 * held, and not in an update: By installs, and by lend_purge().  Nothing gets
 * installed until the lease's epoch is the lender's current one.
 *
 * Returns 0, with nothing of a previous epoch installed, or -ERESTART when
 * there's more to do, for anybody to go on with.  The lease stays.
 */
int lend_purge_lease(struct p2m_domain *p2m, struct lease *l,
                     unsigned int epoch)
{
    /* What's been unpopulated already was taken out before that. */
    l->purged = max(l->purged, l->removed);

    while ( l->installed && l->purged < l->built )
    {
        lend_begin_update(p2m, l);
        l->purged += lend_zap_chunk(p2m, l, l->purged, l->built - l->purged);
        lend_end_update(p2m, l);

        if ( l->installed && general_preempt_check() )
            return -ERESTART;
    }

    l->purged = 0;
    l->epoch = epoch;

    return 0;
}

/*
 * Purge @lender's leases which haven't been since its epoch last advanced.
 * Called with no p2m lock held.  Returns the number of them, or -ERESTART if
 * it's to be called again.
 */
int lend_purge(struct domain *lender)
{
    unsigned int epoch = lend_epoch(lender);
    struct domain *b;
    int rc = 0, nr = 0;

    if ( !lender->arch.mem_lender )
        return 0;

    rcu_read_lock(&domlist_read_lock);

    for_each_domain ( b )
    {
        struct p2m_domain *p2m;
        struct lease *l;

        if ( !is_hvm_domain(b) || !lend_active(b) )
            continue;

        p2m = p2m_get_hostp2m(b);
        p2m_lock(p2m);

        list_for_each_entry ( l, &p2m->lend.leases, list )
        {
            if ( l->lender != lender->domain_id || l->epoch == epoch )
                continue;

            rc = lend_purge_lease(p2m, l, epoch);
            if ( rc )
                break;

            nr++;
        }

        p2m_unlock(p2m);

        if ( rc )
            break;
    }

    rcu_read_unlock(&domlist_read_lock);

    return rc ?: nr;
}

/*
 * As iomem_deny_access(), to be followed by lend_purge().  Where there wasn't
 * any access, e.g. in a continuation, there's nothing new to purge.  Called
 * with the permissions locked for writing.
 */
int lend_deny_iomem(struct domain *lender, unsigned long s, unsigned long e)
{
    bool had_access = rangeset_overlaps_range(lender->iomem_caps, s, e);
    int rc = iomem_deny_access(lender, s, e);

    /* Not before, or what I1 still allows could get in after the purge. */
    if ( had_access )
        atomic_inc(&lender->arch.lend_epoch);

    return rc;
}

static void cf_check purge_broken(void *unused);
static DECLARE_TASKLET(broken_tasklet, purge_broken, NULL);

static void cf_check purge_broken(void *unused)
{
    struct domain *d;
    int rc = 0;

    rcu_read_lock(&domlist_read_lock);

    for_each_domain ( d )
    {
        rc = lend_purge(d);
        if ( rc < 0 )
            break;
    }

    rcu_read_unlock(&domlist_read_lock);

    if ( rc < 0 )
        tasklet_schedule(&broken_tasklet);
}

/*
 * A page of @lender's broke.  The lender gets told by other means, but may not
 * be one to act upon that.  Called in softirq context, with the page marked.
 */
void lend_page_broken(struct domain *lender)
{
    if ( !lender->arch.mem_lender )
        return;

    atomic_inc(&lender->arch.lend_epoch);
    tasklet_schedule(&broken_tasklet);
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
