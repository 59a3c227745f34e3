/*
 * Lending QEMU's memory to a Xen guest: which memory is leased where
 *
 * The memory core reduces the tree of memory regions to a flat list of
 * sections, and tells what changes.  Every section that is RAM of QEMU's own is
 * leased while it is in that list.  BAR moves, aliases, overlaps, disabled
 * decoding and unplug all come down to sections that go and sections that come.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "system/system.h"
#include "internal.h"
#include "trace.h"

static XenLease *xen_lease_new(MemoryRegion *mr, hwaddr gpa, uint64_t len,
                               const XenLentOptions *options)
{
    XenLease *lease = g_new0(XenLease, 1);

    lease->refs = 1;
    lease->name = g_strdup(memory_region_name(mr));
    lease->mr = mr;
    lease->gpa = gpa;
    lease->len = len;
    lease->options = *options;
    return lease;
}

void xen_lease_unref(XenLease *lease)
{
    if (qatomic_fetch_dec(&lease->refs) == 1) {
        g_free(lease->name);
        g_free(lease);
    }
}

XenLease *xen_lend_find(uint32_t id, hwaddr gpa)
{
    XenLease *lease;

    QLIST_FOREACH(lease, &xen_lend.leases, next) {
        if (lease->id == id) {
            if (gpa < lease->gpa || gpa - lease->gpa >= lease->len) {
                return NULL;
            }
            qatomic_inc(&lease->refs);
            return lease;
        }
    }
    return NULL;
}

/* RAM that Xen does not own.  ROM devices want to see accesses. */
static bool section_is_own_ram(const MemoryRegionSection *section)
{
    MemoryRegion *mr = section->mr;

    return memory_region_is_ram(mr) && !mr->rom_device && mr->ram_block &&
           !(mr->ram_block->flags & RAM_XEN_FOREIGN);
}

/*
 * The part of a section that consists of whole pages.  What is left at the ends
 * stays with ioreqs.  Returns its length in bytes, 0 if there is none.
 */
static uint64_t section_whole_pages(const MemoryRegionSection *section,
                                    hwaddr *gpa, void **host)
{
    hwaddr page = MAX(qemu_target_page_size(), qemu_real_host_page_size());
    hwaddr start = section->offset_within_address_space;
    Int128 end = int128_add(int128_make64(start), section->size);
    hwaddr first = ROUND_UP(start, page);
    uint64_t len;

    if (first < start || int128_ge(int128_make64(first), end)) {
        return 0;
    }
    len = int128_get64(int128_sub(end, int128_make64(first)));

    *gpa = first;
    *host = memory_region_get_ram_ptr(section->mr) +
            section->offset_within_region + (first - start);
    if (!QEMU_PTR_IS_ALIGNED(*host, page)) {
        return 0;
    }
    return QEMU_ALIGN_DOWN(len, page);
}

static void warn_refused(const XenLease *lease, int err)
{
    static uint64_t warned[4];
    unsigned bit = MIN(err, 255);

    /* Sections come and go at the guest's will: each reason once. */
    if (warned[bit / 64] & BIT_ULL(bit % 64)) {
        return;
    }
    warned[bit / 64] |= BIT_ULL(bit % 64);
    warn_report("xen: cannot lend '%s' at 0x%" HWADDR_PRIx ": %s; every access"
                " will be emulated", lease->name, lease->gpa,
                err == ENOSPC ? "the guest has as many leases as Xen allows"
                              : strerror(err));
    if (err == ENOMEM) {
        /* A page table page per 2 MiB, and what is above. */
        uint64_t tables = lease->len / (2 * MiB) + 4;

        error_printf("Have the host free some memory, or give the guest a"
                     " larger shadow_memory, by %" PRIu64 " MiB or more\n",
                     DIV_ROUND_UP(tables * 4 * KiB, MiB));
    }
}

static void note_refusal(const MemoryRegionSection *section, const char *reason)
{
    XenRefusal *refusal = g_new0(XenRefusal, 1);

    refusal->mr = section->mr;
    refusal->name = g_strdup(memory_region_name(section->mr));
    refusal->gpa = section->offset_within_address_space;
    refusal->len = int128_get64(section->size);
    refusal->reason = g_strdup(reason);
    QLIST_INSERT_HEAD(&xen_lend.refusals, refusal, next);
    xen_lend.refused++;
}

static void forget_refusal(const MemoryRegionSection *section)
{
    XenRefusal *refusal;

    QLIST_FOREACH(refusal, &xen_lend.refusals, next) {
        if (refusal->mr == section->mr &&
            refusal->gpa == section->offset_within_address_space) {
            QLIST_REMOVE(refusal, next);
            g_free(refusal->name);
            g_free(refusal->reason);
            g_free(refusal);
            return;
        }
    }
}

static void lend_region_add(MemoryListener *listener,
                            MemoryRegionSection *section)
{
    MemoryRegion *mr = section->mr;
    XenLentOptions options;
    XenLease *lease;
    uint64_t len;
    hwaddr gpa;
    void *host;
    int ret;

    if (!section_is_own_ram(section)) {
        return;
    }
    len = section_whole_pages(section, &gpa, &host);
    xen_lend_guard(mr->ram_block, len);
    if (xen_lend.fd < 0) {
        if (xen_lend.mode == ON_OFF_AUTO_AUTO) {
            warn_report_once("xen: cannot lend '%s': %s; every access will be"
                             " emulated", memory_region_name(mr),
                             xen_lend.why_not);
        }
        note_refusal(section, xen_lend.why_not);
        return;
    }
    if (!len) {
        trace_xen_lend_no_whole_page(memory_region_name(mr),
                                     section->offset_within_address_space);
        note_refusal(section, "it contains no whole page");
        return;
    }

    options = xen_lent_options(mr, xen_lend.failure);
    options.readonly |= section->readonly;

    lease = xen_lease_new(mr, gpa, len, &options);
    if (options.readonly && !(xen_lend.features & XEN_LEND_FEAT_READONLY)) {
        ret = -EOPNOTSUPP;
    } else {
        ret = xen_lend_lease(lease, host);
    }
    if (ret < 0) {
        note_refusal(section, strerror(-ret));
        warn_refused(lease, -ret);
        xen_lease_unref(lease);
        return;
    }

    QLIST_INSERT_HEAD(&xen_lend.leases, lease, next);
    if (options.prefault) {
        xen_lend_prefault(lease, options.prefault);
    }
}

static void lend_region_del(MemoryListener *listener,
                            MemoryRegionSection *section)
{
    hwaddr start = section->offset_within_address_space;
    XenLease *lease;

    if (!section_is_own_ram(section)) {
        return;
    }
    forget_refusal(section);

    /* A section has one lease or none, and no two sections overlap. */
    QLIST_FOREACH(lease, &xen_lend.leases, next) {
        if (lease->mr == section->mr && lease->gpa >= start &&
            int128_lt(int128_make64(lease->gpa - start), section->size)) {
            break;
        }
    }
    if (!lease) {
        return;
    }

    /*
     * From here on new faults find nothing, and those under way learn from the
     * kernel that the lease has ended.  Their vCPUs retry.
     */
    QLIST_REMOVE(lease, next);
    qatomic_set(&lease->ended, true);
    xen_lend_unlease(lease);
    xen_lease_unref(lease);
}

/*
 * Run after the listener of the ioreq server when regions come and before it
 * when they go: while there is a lease, the range belongs to the server.  Equal
 * priorities do that in order of registration.
 */
static const MemoryListener lend_listener = {
    .name = "xen-lend",
    .region_add = lend_region_add,
    .region_del = lend_region_del,
    .priority = MEMORY_LISTENER_PRIORITY_ACCEL,
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
    xen_lend.listener = lend_listener;
    memory_listener_register(&xen_lend.listener, &address_space_memory);
    xen_lend.blocks.ram_block_removed = lend_block_removed;
    ram_block_notifier_add(&xen_lend.blocks);
    xen_lend.exit.notify = lend_exit;
    qemu_add_exit_notifier(&xen_lend.exit);
}

void xen_lend_start(XenIOState *state, unsigned int max_cpus)
{
    xen_lend.ioserv = state->ioservid;
    xen_lend_faults_start(state, max_cpus);
    xen_lend_listen();
}
