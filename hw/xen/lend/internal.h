/*
 * Lending QEMU's memory to a Xen guest: shared by the parts
 *
 *   device.c    the kernel's lend device
 *   listener.c  which memory is leased where
 *   lease.c     the life of a lease
 *   refusal.c   what is not leased
 *   fault.c     pages the guest waits for
 *   access.c    QEMU's own accesses
 *   query.c     what to show
 *   region.c    the MemoryRegion type
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_LEND_INTERNAL_H
#define HW_XEN_LEND_INTERNAL_H

#include "qemu/queue.h"
#include "exec/memory.h"
#include "exec/ramlist.h"
#include "hw/xen/lend.h"
#include "hw/xen/lend-region.h"
#include "standard-headers/xen/lend.h"

/*
 * One lease.
 *
 * All but the marked fields are constant.  The list of leases belongs to the
 * BQL, and holds one reference; every fault under way holds another.
 */
typedef struct XenLease {
    uint32_t id;            /* as known to kernel and hypervisor */
    XenLentOptions options;
    hwaddr gpa;             /* in the guest (bytes) */
    uint64_t len;           /* bytes */
    char *name;             /* of the memory region */
    MemoryRegion *mr;       /* for comparison only */
    bool going;             /* BQL: ends with the next commit */

    uint32_t refs;          /* atomic */
    bool ended;             /* atomic: unleased, new faults are of no use */
    uint32_t waiting;       /* atomic: vCPUs waiting for a page */
    unsigned long answered; /* atomic: faults answered */
    unsigned long failed;   /* atomic: of these, with "failed" */
    unsigned long slowest_us; /* atomic: from taking a fault to answering it */

    QLIST_ENTRY(XenLease) next;
} XenLease;

typedef QLIST_HEAD(, XenLease) XenLeases;

/*
 * A section of the guest's address space that is RAM of QEMU's own and not
 * leased: refused, or not tried yet.  BQL.
 */
typedef struct XenUnleased {
    MemoryRegionSection section;    /* there until xen_lend_unwant() */
    char *name;             /* of the memory region */
    char *reason;           /* why it was refused; NULL: not tried yet */
    bool retry;             /* trying (again) may help */

    QLIST_ENTRY(XenUnleased) next;
} XenUnleased;

/* The lending of this process.  There is one guest, so there is one of it. */
typedef struct XenLend {
    OnOffAuto mode;
    XenLendFailure failure; /* of regions that do not say */
    bool ahead;             /* the kernel may allocate ahead of writes */
    bool kernel_faults;     /* the kernel may answer faults */
    bool kernel_faults_asked; /* the user said so: tell if it does not */
    bool listens;           /* and does, for all leases */
    int fd;                 /* bound to the guest, or -1 */
    uint32_t abi;           /* of the kernel */
    uint64_t features;      /* XEN_LEND_FEAT_* */
    char *why_not;          /* why fd is -1 */
    uint32_t ioserv;

    XenLeases leases;                   /* BQL */
    XenLeases kept;                     /* BQL: Xen did not end them */
    QLIST_HEAD(, XenUnleased) unleased; /* BQL: sections left to ioreqs */
    bool ended_early;                   /* BQL: a lease, before the commit */
    uint64_t refused;                   /* BQL: sections there ever were */
    uint64_t stale;                     /* BQL: faults nobody waits for */

    MemoryListener listener, early;
    RAMBlockNotifier blocks;
    Notifier exit;
} XenLend;

extern XenLend xen_lend;

/**
 * xen_lend_open: open the kernel's lend device and bind it to xen_domid
 *
 * @errp: set if the mode is "on" and lending is not possible; says which part
 *     is missing
 *
 * Context: once, before privileges are dropped, BQL held.
 * Return: false with @errp set if QEMU must not start.
 */
bool xen_lend_open(Error **errp);

/**
 * xen_lend_listen_in_kernel: have the kernel answer faults, if it can
 *
 * @max_cpus: vCPUs the guest may have
 *
 * Context: once, after xen_lend_open() and before any lease, BQL held.
 */
void xen_lend_listen_in_kernel(unsigned int max_cpus);

/**
 * xen_lend_lease: ask kernel and hypervisor for a lease
 *
 * @lease: all but @id filled in; @id is set on success
 * @host: start of the backing, page aligned
 *
 * Return: 0 or -errno, see standard-headers/xen/lend.h.
 */
int xen_lend_lease(XenLease *lease, void *host);

/**
 * xen_lend_unlease: end a lease
 *
 * On return the guest reaches nothing of it any more.
 *
 * Return: false if Xen, having a bug, still has it.  The guest's accesses go on
 *     to be faults then.
 */
bool xen_lend_unlease(XenLease *lease);

/**
 * xen_lend_resolve: make pages present
 *
 * Sleeps for as long as the backing takes, which may be forever.
 *
 * @lease: the lease
 * @offset: of the page (bytes)
 * @nr: pages to prefault, or 0 for one that the guest waits for
 * @write: the guest wants to write
 * @vcpu: that waits; the kernel brings more if its faults follow each other
 * @out: the kernel's answer, valid if 0 is returned
 *
 * Context: any thread, BQL not held.
 * Return: 0 or -errno.
 */
int xen_lend_resolve(XenLease *lease, uint64_t offset, uint32_t nr, bool write,
                     unsigned int vcpu, struct xen_lend_resolve *out);

/**
 * xen_lend_stats: read the counters of a lease
 *
 * Return: 0 or -errno.
 */
int xen_lend_stats(const XenLease *lease, struct xen_lend_stats *out);

/**
 * xen_lend_find: the lease a fault is about
 *
 * Context: BQL held.
 * Return: the lease, with a reference taken, or NULL if there is none with
 *     that id at that address.
 */
XenLease *xen_lend_find(uint32_t id, hwaddr gpa);

/**
 * xen_lend_is_kept: whether a fault is about a lease that Xen did not end
 *
 * Context: BQL held.
 */
bool xen_lend_is_kept(uint32_t id, hwaddr gpa);

/**
 * xen_lease_unref: drop a reference
 *
 * Context: any thread.
 */
void xen_lease_unref(XenLease *lease);

/**
 * xen_lend_is_own_ram: whether a section is RAM that Xen does not own
 */
bool xen_lend_is_own_ram(const MemoryRegionSection *section);

/**
 * xen_lend_whole_pages: the part of a section that consists of whole pages
 *
 * What is left at the ends stays with ioreqs.
 *
 * @gpa: set to where it is in the guest (bytes)
 * @host: set to where it is in QEMU
 *
 * Return: its length in bytes, 0 if there is none.
 */
uint64_t xen_lend_whole_pages(const MemoryRegionSection *section,
                              hwaddr *gpa, void **host);

/**
 * xen_lend_begin: lease a section, which has whole pages
 *
 * Context: BQL held.
 * Return: 0 or -errno.
 */
int xen_lend_begin(const MemoryRegionSection *section);

/**
 * xen_lend_end: end a lease, which is freed when nobody uses it any more
 *
 * On return the guest reaches nothing of it any more, and vCPUs that waited for
 * one of its pages go on.
 *
 * Context: BQL held.
 */
void xen_lend_end(XenLease *lease);

/**
 * xen_lend_want: take note of a section that is to be leased
 * xen_lend_unwant: it is gone
 *
 * Context: BQL held.
 * Return (xen_lend_unwant): false if it is not among those without a lease.
 */
void xen_lend_want(const MemoryRegionSection *section);
bool xen_lend_unwant(const MemoryRegionSection *section);

/**
 * xen_lend_try: lease the sections taken note of
 *
 * @again: those that were refused, too, if that may pass
 *
 * Context: BQL held.
 */
void xen_lend_try(bool again);

/**
 * xen_lend_listen: lease what is in the guest's address space, and follow it
 *
 * Context: BQL held.
 */
void xen_lend_listen(void);

/**
 * xen_lend_faults_start: get ready for faults
 * xen_lend_faults_stop: answer no more faults
 *
 * After xen_lend_faults_stop() the ioreq page and the event channels are not
 * touched any more, although threads may still sit in the kernel.
 *
 * Context: BQL held.
 */
void xen_lend_faults_start(XenIOState *state, unsigned int max_cpus);
void xen_lend_faults_stop(void);

/**
 * xen_lend_give_up: have vCPUs that wait for a page of a lease try again
 *
 * @lease: one that has ended
 *
 * Context: BQL held.
 */
void xen_lend_give_up(XenLease *lease);

/**
 * xen_lend_prefault: make the first bytes of a lease present, in the background
 *
 * @lease: the lease
 * @len: bytes; more than the lease is long is all of it
 *
 * Context: BQL held.
 */
void xen_lend_prefault(XenLease *lease, uint64_t len);

/**
 * xen_lend_guard: have QEMU survive its own accesses to memory that is gone
 *
 * See access.c.
 *
 * @block: memory of QEMU's own that the guest has
 * @unsaved: there are whole pages, so the guest is not to be saved or migrated
 *
 * Context: BQL held.
 */
void xen_lend_guard(RAMBlock *block, bool unsaved);

/**
 * xen_lend_unguard: the memory is no more
 *
 * @host: where it was
 * @len: how long it was at most (bytes)
 *
 * Context: BQL held.
 */
void xen_lend_unguard(void *host, size_t len);

#endif
