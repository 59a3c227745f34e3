// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For core dumps.
 *
 *   crash frames GFN N   N frames of the guest's grant table at GFN, where nothing is
 *   crash behind GFN     another vCPU reads the first word of the page; does not wait for it
 *   crash now            the guest says that it has crashed, and is no more
 */
#include "ring0.h"

static void look(unsigned long gfn)
{
    (void)*(volatile uint64_t *)AT(gfn);
    for (;;)
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0, 0, 0);
}

int crash(int argc, char **argv)
{
    static char stack[PAGE] __attribute__((aligned(16)));
    long rc = 0;

    if (argc > 3 && !strcmp(argv[1], "frames")) {
        for (unsigned long i = 0; i < number(argv[3]) && !rc; i++)
            rc = place(XENMAPSPACE_grant_table, i + 1, number(argv[2]) + i);
        print("%ld\n", rc);
        return rc != 0;
    }
    if (argc > 2 && !strcmp(argv[1], "behind")) {
        run_vcpu(1, look, number(argv[2]), stack + sizeof(stack) - 8);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "now")) {
        struct sched_shutdown reason = { .reason = SHUTDOWN_crash };

        hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (unsigned long)&reason, 0, 0, 0);
    }
    return 2;
}
