/*
 * Memory regions that are lent to a Xen guest: the QOM type
 *
 * Nothing in here depends on Xen, so that devices can use the type under any
 * accelerator.  The listener looks at the options when it leases.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "exec/ram_addr.h"
#include "exec/ramblock.h"
#include "hw/xen/lend-region.h"

static bool options_valid(uint64_t size, const XenLentOptions *options,
                          Error **errp)
{
    if (!size || !QEMU_IS_ALIGNED(size, qemu_real_host_page_size())) {
        error_setg(errp, "size 0x%" PRIx64 " of lent memory is not a multiple"
                   " of the page size", size);
        return false;
    }
    if (options->around && (!is_power_of_2(options->around) ||
                            options->around < 4 * KiB ||
                            options->around > 2 * MiB)) {
        error_setg(errp, "granularity 0x%" PRIx32 " of lent memory is not a"
                   " power of two from 4 KiB to 2 MiB", options->around);
        return false;
    }
    if ((unsigned)options->policy >= XEN_LEND_FAILURE__MAX ||
        (unsigned)options->cache >= XEN_LEND_CACHE__MAX) {
        error_setg(errp, "failure policy %d or cache type %d of lent memory "
                   "does not exist", options->policy, options->cache);
        return false;
    }
    return true;
}

static void region_destructor(MemoryRegion *mr)
{
    qemu_ram_free(mr->ram_block);
}

/* Everything but the RAMBlock. */
static MemoryRegion *region_init(XenLentMemoryRegion *lmr, Object *owner,
                                 const char *name, uint64_t size,
                                 const XenLentOptions *options)
{
    MemoryRegion *mr;

    memory_region_init_subclass(lmr, sizeof(*lmr),
                                TYPE_XEN_LENT_MEMORY_REGION,
                                owner, name, size);
    lmr->options = *options;

    mr = MEMORY_REGION(lmr);
    mr->ram = true;
    mr->terminates = true;
    mr->readonly = options->readonly;
    mr->destructor = region_destructor;
    return mr;
}

/* Without RAMBlock the region is of no use: let it vanish again. */
static bool region_done(MemoryRegion *mr)
{
    if (!mr->ram_block) {
        mr->size = int128_zero();
        object_unparent(OBJECT(mr));
        return false;
    }
    return true;
}

bool xen_lent_memory_region_init_ptr(XenLentMemoryRegion *lmr, Object *owner,
                                     const char *name, uint64_t size,
                                     void *ptr, const XenLentOptions *options,
                                     Error **errp)
{
    const XenLentOptions defaults = XEN_LENT_OPTIONS_DEFAULT;
    MemoryRegion *mr;

    options = options ?: &defaults;
    if (!options_valid(size, options, errp)) {
        return false;
    }
    if (!ptr || !QEMU_PTR_IS_ALIGNED(ptr, qemu_real_host_page_size())) {
        error_setg(errp, "lent memory '%s' is not page aligned", name);
        return false;
    }

    mr = region_init(lmr, owner, name, size, options);
    mr->ram_block = qemu_ram_alloc_from_ptr(size, ptr, mr, errp);
    return region_done(mr);
}

bool xen_lent_memory_region_init_fd(XenLentMemoryRegion *lmr, Object *owner,
                                    const char *name, uint64_t size,
                                    int fd, uint64_t offset,
                                    const XenLentOptions *options,
                                    Error **errp)
{
#ifdef CONFIG_POSIX
    const XenLentOptions defaults = XEN_LENT_OPTIONS_DEFAULT;
    uint32_t flags = RAM_SHARED;
    MemoryRegion *mr;

    options = options ?: &defaults;
    if (!options_valid(size, options, errp)) {
        close(fd);
        return false;
    }
    if (!QEMU_IS_ALIGNED(offset, qemu_real_host_page_size())) {
        error_setg(errp, "offset 0x%" PRIx64 " of lent memory in its file is"
                   " not a multiple of the page size", offset);
        close(fd);
        return false;
    }
    if (options->readonly) {
        flags |= RAM_READONLY | RAM_READONLY_FD;
    }

    mr = region_init(lmr, owner, name, size, options);
    mr->ram_block = qemu_ram_alloc_from_fd(size, size, NULL, mr, flags, fd,
                                           offset, false, errp);
    if (!mr->ram_block) {
        close(fd);
    }
    return region_done(mr);
#else
    close(fd);
    error_setg(errp, "lending part of a file needs a POSIX host");
    return false;
#endif
}

XenLentOptions xen_lent_options(MemoryRegion *mr, XenLendFailure policy)
{
    Object *lent = object_dynamic_cast(OBJECT(mr),
                                       TYPE_XEN_LENT_MEMORY_REGION);
    XenLentOptions options = XEN_LENT_OPTIONS_DEFAULT;

    if (lent) {
        options = XEN_LENT_MEMORY_REGION(lent)->options;
    } else {
        options.policy = policy;
    }
    options.readonly |= memory_region_is_rom(mr);
    return options;
}

static const TypeInfo xen_lent_memory_region_info = {
    .name = TYPE_XEN_LENT_MEMORY_REGION,
    .parent = TYPE_MEMORY_REGION,
    .instance_size = sizeof(XenLentMemoryRegion),
};

static void xen_lent_memory_region_register(void)
{
    type_register_static(&xen_lent_memory_region_info);
}

type_init(xen_lent_memory_region_register)
