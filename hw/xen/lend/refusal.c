/*
 * Lending QEMU's memory to a Xen guest: what is not leased
 *
 * Hypervisor or driver may refuse a lease.  The guest's accesses are emulated
 * then, and the user is told.  Many reasons pass: there were too many leases,
 * too little memory, or the guest was about to do something lending does not go
 * with.  So it is tried again when other leases have ended, and by a timer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "internal.h"
#include "trace.h"

/* Between attempts (milliseconds): twice as long each time. */
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 60000

static QEMUTimer *timer;
static unsigned int pause_ms;

static void warn_refused(const XenUnleased *unleased, int err)
{
    uint64_t len = int128_get64(unleased->section.size);
    static uint64_t warned[4];
    unsigned bit = MIN(err, 255);

    /* Sections come and go at the guest's will: each reason once. */
    if (warned[bit / 64] & BIT_ULL(bit % 64)) {
        return;
    }
    warned[bit / 64] |= BIT_ULL(bit % 64);
    warn_report("xen: cannot lend '%s' at 0x%" HWADDR_PRIx ": %s; every access"
                " will be emulated", unleased->name,
                unleased->section.offset_within_address_space,
                err == ENOSPC ? "the guest has as many leases as Xen allows"
                              : strerror(err));
    if (err == ENOMEM) {
        /* A page table page per 2 MiB, and what is above. */
        uint64_t tables = len / (2 * MiB) + 4;

        error_printf("Have the host free some memory, or give the guest a"
                     " larger shadow_memory, by %" PRIu64 " MiB or more\n",
                     DIV_ROUND_UP(tables * 4 * KiB, MiB));
    }
}

/* May it go well another time, with the section as it is? */
static bool may_pass(int err)
{
    switch (err) {
    case EAGAIN:
    case EBUSY:
    case EEXIST:
    case EINTR:
    case ENOMEM:
    case ENOSPC:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

static void refuse(XenUnleased *unleased, const char *reason)
{
    if (!unleased->reason) {
        xen_lend.refused++;
    }
    g_free(unleased->reason);
    unleased->reason = g_strdup(reason);
}

static void drop(XenUnleased *unleased)
{
    QLIST_REMOVE(unleased, next);
    g_free(unleased->name);
    g_free(unleased->reason);
    g_free(unleased);
}

void xen_lend_want(const MemoryRegionSection *section)
{
    const char *name = memory_region_name(section->mr);
    XenUnleased *unleased = g_new0(XenUnleased, 1);
    void *host;
    hwaddr gpa;

    unleased->section = *section;
    unleased->section.fv = NULL;
    unleased->name = g_strdup(name);
    QLIST_INSERT_HEAD(&xen_lend.unleased, unleased, next);

    if (xen_lend.fd < 0) {
        if (xen_lend.mode == ON_OFF_AUTO_AUTO) {
            warn_report_once("xen: cannot lend '%s': %s; every access will be"
                             " emulated", name, xen_lend.why_not);
        }
        refuse(unleased, xen_lend.why_not);
    } else if (!xen_lend_whole_pages(section, &gpa, &host)) {
        trace_xen_lend_no_whole_page(name,
                                     section->offset_within_address_space);
        refuse(unleased, "it contains no whole page");
    } else if (section->readonly &&
               !(xen_lend.features & XEN_LEND_FEAT_READONLY)) {
        warn_report_once("xen: cannot lend '%s': the kernel's driver does not"
                         " lend read-only; every access will be emulated",
                         name);
        refuse(unleased, "the kernel's driver does not lend read-only");
    } else {
        unleased->retry = true;
    }
}

bool xen_lend_unwant(const MemoryRegionSection *section)
{
    XenUnleased *unleased;

    QLIST_FOREACH(unleased, &xen_lend.unleased, next) {
        if (unleased->section.mr == section->mr &&
            unleased->section.offset_within_address_space ==
            section->offset_within_address_space) {
            drop(unleased);
            return true;
        }
    }
    return false;
}

/* Returns -errno. */
static int try_lease(XenUnleased *unleased)
{
    int ret = xen_lend_begin(&unleased->section);

    if (ret < 0) {
        unleased->retry = may_pass(-ret);
        warn_refused(unleased, -ret);
        refuse(unleased, strerror(-ret));
    } else {
        drop(unleased);
    }
    return ret;
}

static void try_on_timer(void *opaque)
{
    pause_ms = MIN(2 * pause_ms, PAUSE_MAX_MS);
    xen_lend_try(true);
}

/* Those that may go well another time; @new: or have not been tried. */
static bool any_to_try(bool new)
{
    XenUnleased *unleased;

    QLIST_FOREACH(unleased, &xen_lend.unleased, next) {
        if (unleased->retry && !(new && unleased->reason)) {
            return true;
        }
    }
    return false;
}

void xen_lend_try(bool again)
{
    XenUnleased *unleased, *next;
    bool full = false;

    if (any_to_try(true)) {
        pause_ms = PAUSE_MIN_MS;
    }
    QLIST_FOREACH_SAFE(unleased, &xen_lend.unleased, next, next) {
        if (unleased->retry && (!unleased->reason || (again && !full))) {
            full |= try_lease(unleased) == -ENOSPC;
        }
    }
    if (any_to_try(false)) {
        if (!timer) {
            timer = timer_new_ms(QEMU_CLOCK_REALTIME, try_on_timer, NULL);
        }
        /* Changes of the address space do not put it off. */
        if (!timer_pending(timer)) {
            timer_mod(timer,
                      qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + pause_ms);
        }
    } else if (timer) {
        timer_del(timer);
    }
}
