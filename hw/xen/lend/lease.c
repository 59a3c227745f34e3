/*
 * Lending QEMU's memory to a Xen guest: the life of a lease
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "internal.h"
#include "trace.h"

bool xen_lend_is_own_ram(const MemoryRegionSection *section)
{
    MemoryRegion *mr = section->mr;

    /* ROM devices want to see accesses. */
    return memory_region_is_ram(mr) && !mr->rom_device && mr->ram_block &&
           !(mr->ram_block->flags & RAM_XEN_FOREIGN);
}

uint64_t xen_lend_whole_pages(const MemoryRegionSection *section,
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

static XenLease *lease_new(MemoryRegion *mr, hwaddr gpa, uint64_t len,
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

static XenLease *find(XenLeases *leases, uint32_t id, hwaddr gpa)
{
    XenLease *lease;

    QLIST_FOREACH(lease, leases, next) {
        if (lease->id == id) {
            return gpa >= lease->gpa && gpa - lease->gpa < lease->len ? lease
                                                                      : NULL;
        }
    }
    return NULL;
}

XenLease *xen_lend_find(uint32_t id, hwaddr gpa)
{
    XenLease *lease = find(&xen_lend.leases, id, gpa);

    if (lease) {
        qatomic_inc(&lease->refs);
    }
    return lease;
}

bool xen_lend_is_kept(uint32_t id, hwaddr gpa)
{
    return find(&xen_lend.kept, id, gpa);
}

int xen_lend_begin(const MemoryRegionSection *section)
{
    XenLentOptions options = xen_lent_options(section->mr, xen_lend.failure);
    XenLease *lease;
    uint64_t len;
    hwaddr gpa;
    void *host;
    int ret;

    options.readonly |= section->readonly;
    len = xen_lend_whole_pages(section, &gpa, &host);
    lease = lease_new(section->mr, gpa, len, &options);
    ret = xen_lend_lease(lease, host);
    if (ret < 0) {
        xen_lease_unref(lease);
        return ret;
    }

    QLIST_INSERT_HEAD(&xen_lend.leases, lease, next);
    /* The section may be any part of the region. */
    if (options.prefault > section->offset_within_region) {
        xen_lend_prefault(lease, options.prefault -
                                 section->offset_within_region);
    }
    return 0;
}

void xen_lend_end(XenLease *lease)
{
    bool ended;

    /*
     * From here on new faults find nothing.  Those under way are of no use, and
     * how they end says nothing: their vCPUs look again at what is there.
     */
    QLIST_REMOVE(lease, next);
    qatomic_set(&lease->ended, true);
    ended = xen_lend_unlease(lease);
    xen_lend_give_up(lease);
    if (ended) {
        xen_lease_unref(lease);
    } else {
        /* The driver tries again; its number does not come again. */
        QLIST_INSERT_HEAD(&xen_lend.kept, lease, next);
    }
}
