/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: A debug key. */

#include <xen/init.h>
#include <xen/keyhandler.h>
#include <xen/sched.h>
#include <xen/softirq.h>

#include "private.h"

static void cf_check dump_leases(unsigned char key)
{
    static const char *const state[] = { " building", "", " dying" };
    struct domain *d;

    printk("'%c' pressed -> dumping borrowed memory\n", key);

    rcu_read_lock(&domlist_read_lock);

    for_each_domain ( d )
    {
        struct p2m_domain *p2m = p2m_get_hostp2m(d);
        uint32_t id = 0;

        if ( p2m )
            lend_dump_ports(d);

        if ( !lend_active(d) )
            continue;

        printk("%pd: %u leases\n", d, p2m->lend.nr);

        /* Printing takes long: One at a time, with no lock held. */
        for ( ; ; )
        {
            const struct lease *cur;
            struct lease l = {};

            p2m_lock(p2m);

            list_for_each_entry ( cur, &p2m->lend.leases, list )
                if ( cur->id > id )
                {
                    l = *cur;
                    break;
                }

            p2m_unlock(p2m);

            if ( !l.id )
                break;

            printk(" lease %u: gfns %#lx-%#lx %s%s of d%u via %s %u: "
                   "%"PRIu64" of %lu pages installed, faults %"PRIu64
                   " installs %"PRIu64" revokes %"PRIu64" flushes %"PRIu64
                   " downgrades %"PRIu64" reclaims %"PRIu64
                   " generation %"PRIu64"\n",
                   l.id, gfn_x(l.first), gfn_x(l.first) + l.nr - 1,
                   l.readonly ? "ro" : "rw", state[l.state], l.lender,
                   l.port ? "port" : "server", l.port ?: l.ioserv,
                   l.installed, l.nr, l.faults, l.installs, l.revokes,
                   l.flushes, l.downgrades, l.reclaims, l.generation);
            id = l.id;

            process_pending_softirqs();
        }
    }

    rcu_read_unlock(&domlist_read_lock);

    printk("end of borrowed memory\n");
}

static int __init cf_check lend_keyhandler_init(void)
{
    register_keyhandler('B', dump_leases, "dump borrowed memory", 1);

    return 0;
}
__initcall(lend_keyhandler_init);

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
