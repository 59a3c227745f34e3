/*
 * Lending QEMU's memory to a Xen guest: which memory is leased where
 *
 * The memory core reduces the tree of memory regions to a flat list of
 * sections, and tells what changes.  Every section that is RAM of QEMU's own is
 * leased while it is in that list.  BAR moves, aliases, overlaps, disabled
 * decoding and unplug all come down to sections that go and sections that come.
 *
 * The guest's vCPUs run meanwhile.  When part of a section gets another one on
 * top, the whole section goes, and what is left of it comes: what was not
 * touched must work all the time.  So leases end, and begin, when the whole
 * change is known:
 *
 *      sections go      the ioreq server loses their ranges; leases stay
 *      sections come    the ioreq server gets their ranges
 *      commit           leases end, others begin
 *
 * An access before the commit reaches the lease that was there.  One after its
 * end and before there is another becomes a request to the ioreq server, and
 * waits for the BQL: it finds everything as it is to be.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "exec/ramblock.h"
#include "system/system.h"
#include "internal.h"

static void lend_region_add(MemoryListener *listener,
                            MemoryRegionSection *section)
{
    hwaddr gpa;
    void *host;

    if (xen_lend_is_own_ram(section)) {
        xen_lend_guard(section->mr->ram_block,
                       xen_lend_whole_pages(section, &gpa, &host));
        xen_lend_want(section);
    }
}

static void lend_region_del(MemoryListener *listener,
                            MemoryRegionSection *section)
{
    hwaddr start = section->offset_within_address_space;
    XenLease *lease;

    if (!xen_lend_is_own_ram(section) || xen_lend_unwant(section)) {
        return;
    }
    /* A section has one lease or none, and no two sections overlap. */
    QLIST_FOREACH(lease, &xen_lend.leases, next) {
        if (lease->mr == section->mr && lease->gpa >= start &&
            int128_lt(int128_make64(lease->gpa - start), section->size)) {
            lease->going = true;
            return;
        }
    }
}

/* End the leases that are going and touch [start, end).  Was there any? */
static bool end_going(Int128 start, Int128 end)
{
    XenLease *lease, *next;
    bool any = false;

    QLIST_FOREACH_SAFE(lease, &xen_lend.leases, next, next) {
        Int128 gpa = int128_make64(lease->gpa);

        if (lease->going && int128_lt(gpa, end) &&
            int128_gt(int128_add(gpa, int128_make64(lease->len)), start)) {
            xen_lend_end(lease);
            any = true;
        }
    }
    return any;
}

static void lend_commit(MemoryListener *listener)
{
    xen_lend_try(end_going(int128_zero(), int128_2_64()) ||
                 xen_lend.ended_early);
    xen_lend.ended_early = false;
}

/* QEMU marks what it writes; what the guest writes is not known. */
static void lend_log_sync(MemoryListener *listener,
                          MemoryRegionSection *section)
{
    if (xen_lend_is_own_ram(section)) {
        memory_region_set_dirty(section->mr, section->offset_within_region,
                                int128_get64(section->size));
    }
}

/* After the listener of the ioreq server, which was registered earlier. */
static const MemoryListener lend_listener = {
    .name = "xen-lend",
    .region_add = lend_region_add,
    .region_del = lend_region_del,
    .commit = lend_commit,
    .log_sync = lend_log_sync,
    .priority = MEMORY_LISTENER_PRIORITY_ACCEL,
};

/*
 * Before the listener of the ioreq server, which may have Xen move memory of
 * the guest's (the frame buffer) to where the section is.  Xen refuses while
 * there is a lease.
 */
static void early_region_add(MemoryListener *listener,
                             MemoryRegionSection *section)
{
    Int128 start = int128_make64(section->offset_within_address_space);

    if (memory_region_is_ram(section->mr) && !xen_lend_is_own_ram(section) &&
        end_going(start, int128_add(start, section->size))) {
        xen_lend.ended_early = true;
    }
}

static const MemoryListener early_listener = {
    .name = "xen-lend-early",
    .region_add = early_region_add,
    .priority = MEMORY_LISTENER_PRIORITY_MIN,
};

/*
 * The last code to run that knows about leases.  Runs before the ioreq server
 * is destroyed, as notifiers run in reverse order.
 */
static void lend_exit(Notifier *notifier, void *data)
{
    /* exit() has other callers than the main loop. */
    bool locked = bql_locked();

    if (!locked) {
        bql_lock();
    }
    xen_lend_faults_stop();
    memory_listener_unregister(&xen_lend.listener);
    memory_listener_unregister(&xen_lend.early);
    ram_block_notifier_remove(&xen_lend.blocks);
    if (!locked) {
        bql_unlock();
    }
}

static void lend_block_removed(RAMBlockNotifier *n, void *host, size_t size,
                               size_t max_size)
{
    xen_lend_unguard(host, max_size);
}

void xen_lend_listen(void)
{
    xen_lend.early = early_listener;
    memory_listener_register(&xen_lend.early, &address_space_memory);
    xen_lend.listener = lend_listener;
    memory_listener_register(&xen_lend.listener, &address_space_memory);
    xen_lend.blocks.ram_block_removed = lend_block_removed;
    ram_block_notifier_add(&xen_lend.blocks);
    xen_lend.exit.notify = lend_exit;
    qemu_add_exit_notifier(&xen_lend.exit);
}

bool xen_lend_start(XenIOState *state, unsigned int max_cpus, Error **errp)
{
    if (!xen_lend_open(errp)) {
        return false;
    }
    xen_lend.ioserv = state->ioservid;
    xen_lend_listen_in_kernel(max_cpus);
    xen_lend_faults_start(state, max_cpus);
    xen_lend_listen();
    return true;
}
