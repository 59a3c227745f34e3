/*
 * Memory regions that are lent to a Xen guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_LEND_REGION_H
#define HW_XEN_LEND_REGION_H

#include "exec/memory.h"
#include "qapi/qapi-types-xen-lend.h"

/*
 * A XenLentMemoryRegion is RAM of QEMU's own, with a say in how it is lent
 * when QEMU is the device model of a Xen guest.  Under other accelerators it is
 * an ordinary RAM region.
 *
 * Most devices need none of this: under Xen, every RAM region backed by memory
 * of QEMU's own is lent, with the defaults of XEN_LENT_OPTIONS_DEFAULT.  Use
 * the type when a default does not fit.
 */
#define TYPE_XEN_LENT_MEMORY_REGION "xen-lent-memory-region"
OBJECT_DECLARE_SIMPLE_TYPE(XenLentMemoryRegion, XEN_LENT_MEMORY_REGION)

/**
 * XenLentOptions: how a region is lent
 *
 * @readonly: the guest may only read.  Writes reach the region's owner as
 *     they do with any read-only RAM region: they are ignored.
 * @policy: what the guest meets when a page cannot be had
 * @cache: memory type of the guest's mapping
 * @prefault: bytes from the start of the region to make present as soon as it
 *     is mapped; 0 for none, UINT64_MAX for all.  A hint.
 * @around: bytes to map around a fault, a power of two from 4 KiB to 2 MiB;
 *     0 for the driver's default.  A hint.
 */
typedef struct XenLentOptions {
    bool readonly;
    XenLendFailure policy;
    XenLendCache cache;
    uint64_t prefault;
    uint32_t around;
} XenLentOptions;

/* How RAM regions are lent that do not say. */
#define XEN_LENT_OPTIONS_DEFAULT ((XenLentOptions) { \
    .policy = XEN_LEND_FAILURE_FAULT,                \
    .cache = XEN_LEND_CACHE_WB,                      \
})

struct XenLentMemoryRegion {
    MemoryRegion parent_obj;

    XenLentOptions options;
};

/**
 * xen_lent_memory_region_init_ptr: lend memory at a host address
 *
 * Like memory_region_init_ram_ptr(): the caller owns the memory and keeps it
 * mapped for as long as the region lives.  What is mapped there may change at
 * any time: pages may be discarded, swapped, migrated, mapped over with
 * mmap(MAP_FIXED), or have nothing behind them.  No such change needs a call
 * to QEMU; the guest sees the new state with its next access.
 *
 * QEMU accesses the memory, too, on behalf of other devices.  Where nothing is
 * mapped at all, or nothing that may be read, only address_space_read() and
 * address_space_write() can deal with that.
 *
 * @lmr: the region to be initialized
 * @owner: the object that tracks the region's reference count
 * @name: name of the RAMBlock, unique within the device
 * @size: size of the region in bytes, a multiple of the page size
 * @ptr: start of the memory, page aligned
 * @options: how to lend it; NULL for the defaults
 * @errp: set if the options make no sense
 *
 * Context: BQL held.
 * Return: true on success, else false with @errp set and nothing to clean up.
 */
bool xen_lent_memory_region_init_ptr(XenLentMemoryRegion *lmr, Object *owner,
                                     const char *name, uint64_t size,
                                     void *ptr, const XenLentOptions *options,
                                     Error **errp);

/**
 * xen_lent_memory_region_init_fd: lend part of a file
 *
 * Like memory_region_init_ram_from_fd() with RAM_SHARED: QEMU maps the range
 * and owns the descriptor from here on, also if this fails half way.
 *
 * @lmr: the region to be initialized
 * @owner: the object that tracks the region's reference count
 * @name: name of the RAMBlock, unique within the device
 * @size: size of the region in bytes, a multiple of the page size
 * @fd: memfd, file or dma-buf
 * @offset: where in the file to start (bytes), page aligned
 * @options: how to lend it; NULL for the defaults.  With @readonly the
 *     descriptor need not be writable.
 * @errp: set if the options make no sense or the file cannot be mapped
 *
 * Context: BQL held.
 * Return: true on success, else false with @errp set and @fd closed.
 */
bool xen_lent_memory_region_init_fd(XenLentMemoryRegion *lmr, Object *owner,
                                    const char *name, uint64_t size,
                                    int fd, uint64_t offset,
                                    const XenLentOptions *options,
                                    Error **errp);

/**
 * xen_lent_options: how a RAM region is to be lent
 *
 * @mr: any RAM region
 * @policy: of regions that do not say
 *
 * Context: any.
 * Return: the options it was created with, or the defaults; @readonly is
 * also set if the region is a ROM.
 */
XenLentOptions xen_lent_options(MemoryRegion *mr, XenLendFailure policy);

/**
 * xen_lent_read: copy from memory of QEMU's own that a Xen guest has
 * xen_lent_write: copy to it
 *
 * Sleep for as long as it takes to get at the pages.
 *
 * @block: of a region that is marked as xen_lent
 * @buf: QEMU's buffer
 * @host: in the block
 * @len: bytes, all of them in the block
 *
 * Context: any thread.
 * Return: MEMTX_OK, or MEMTX_ERROR if part of it is not there.  Then a buffer
 *     that was to be read into is all ones; how much was written is open.
 */
MemTxResult xen_lent_read(RAMBlock *block, void *buf, void *host, size_t len);
MemTxResult xen_lent_write(RAMBlock *block, void *host, const void *buf,
                           size_t len);

/**
 * xen_lend_is_damaged: whether writes of a device to the memory were lost
 *
 * They were if the backing was gone when a device made them.  A flush of the
 * memory must not succeed any more.
 *
 * @mr: any memory region
 *
 * Context: any thread; the caller keeps the region from going.
 */
bool xen_lend_is_damaged(const MemoryRegion *mr);

/**
 * xen_lend_can_save: whether nothing is lost when the guest is saved
 *
 * Neither Xen's toolstack nor QEMU saves memory that is not the guest's.
 *
 * @errp: set if the guest has memory of QEMU's own, mapped at the moment or not
 *
 * Context: BQL held.
 */
bool xen_lend_can_save(Error **errp);

#endif
