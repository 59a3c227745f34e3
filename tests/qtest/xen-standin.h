/*
 * A stand-in for Xen and the kernel's lend device: what QEMU and the test share
 *
 * tests/qtest/xen-standin.c is preloaded into QEMU, where it takes the place
 * of libxenctrl and its siblings and of /dev/xen/lend.  What these would keep
 * in the hypervisor is kept in one file, mapped by both QEMU and the test; the
 * test plays the guest's vCPUs and the owner of the memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef XEN_STANDIN_H
#define XEN_STANDIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "standard-headers/xen/lend.h"

/* Path of the file; "none" for a guest that does nothing by itself. */
#define STANDIN_ENV         "XEN_STANDIN"
#define STANDIN_MAGIC       0x4c454e44u
#define STANDIN_DOMID       7

#define STANDIN_PAGE        4096u
#define STANDIN_VCPUS       128             /* slots in an ioreq page */
#define STANDIN_PORTS       256
#define STANDIN_RANGES      256             /* as in Xen */
#define STANDIN_LEASES      64              /* as in Xen */
#define STANDIN_POPULATED   64
#define STANDIN_LEASE_PAGES (64u * 1024)    /* longest lease we can follow */
#define STANDIN_ALL         UINT32_MAX      /* leases */
#define STANDIN_GFN_BITS    36              /* of a guest with 48 bits */
#define STANDIN_TASK_SIZE   0x7ffffffff000ull

/* Where in the file things are. */
#define STANDIN_BUFIOREQ    (4u << 20)      /* frame 0 of the resource */
#define STANDIN_IOREQ       (STANDIN_BUFIOREQ + STANDIN_PAGE)
#define STANDIN_RAM         (8u << 20)      /* the guest's memory, by gfn */
#define STANDIN_RAM_SIZE    (1ull << 33)

struct standin_range {
    bool used, mmio;
    uint64_t start, end;        /* both included */
};

struct standin_lease {
    bool used;
    uint32_t id, flags, memtype, ioserv, around;
    uint64_t gfn, len, addr;
    uint32_t generation;
    struct xen_lend_stats stats;
    uint8_t installed[STANDIN_LEASE_PAGES / 8];
};

/* What the kernel's answer to a RESOLVE is to be; see standin_plan(). */
struct standin_plan {
    int32_t error;              /* errno of the call */
    uint32_t times;             /* so many calls, then as usual */
    uint32_t result, err;       /* if no error */
};

struct standin {
    uint32_t magic;
    pthread_mutex_t lock;
    pthread_cond_t cond;        /* anything below changed */
    pthread_cond_t released;    /* what is held back changed */

    /* What the test wants to have. */
    bool no_device;             /* /dev/xen/lend does not exist */
    bool no_driver_access;      /* opening it fails with EACCES */
    int32_t bind_error;
    uint32_t abi;
    uint64_t features;
    int32_t lease_error;        /* of all leases from now on */
    int32_t unlease_error;      /* and of their ends, which do not happen */
    struct standin_plan plan;
    bool fail_ended;            /* one under way when its lease ends: failed */
    uint64_t watched;           /* a guest frame; see "lost" */
    uint64_t mmap_unit;         /* of what can be mapped over, or 0 */
    uint32_t hold_lease;        /* resolves on it, or STANDIN_ALL, wait ... */
    uint64_t hold_from, hold_to;/* ... if in this range of offsets */

    /* What happened. */
    bool restricted;            /* by -xen-domid-restrict */
    bool opened_restricted;     /* the device was opened after that */
    bool bound, enabled, destroyed;
    uint32_t shutdowns;         /* asked for by the device model */
    uint32_t held;              /* resolves waiting now */
    uint32_t prefaulted;        /* pages */
    uint32_t stream;            /* of the last resolve */
    uint32_t leased, unleased;
    uint32_t lost;              /* times when nobody answered for "watched" */
    uint32_t mistakes;          /* things real Xen or Linux would refuse */
    char mistake[256];          /* the first of them */

    /* State of the hypervisor. */
    struct standin_range ranges[STANDIN_RANGES];
    struct { uint64_t gfn, nr; } populated[STANDIN_POPULATED];
    struct standin_lease leases[STANDIN_LEASES];
    uint32_t next_id;

    /* Event channels: remote port i is local port i. */
    bool bound_port[STANDIN_PORTS];
    bool pending[STANDIN_PORTS], masked[STANDIN_PORTS];
    uint32_t notified[STANDIN_PORTS];
    char fifo[108];             /* ports that fired, to QEMU */
};

#define STANDIN_PORT_BUFIOREQ 99
#define STANDIN_PORT_VCPU(n)  (100 + (n))

/* A guest as libxl leaves it, and a machine with all parts. */
static inline void standin_init(struct standin *s)
{
    pthread_mutexattr_t mutexattr;
    pthread_condattr_t condattr;

    pthread_mutexattr_init(&mutexattr);
    pthread_mutexattr_setpshared(&mutexattr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &mutexattr);
    pthread_condattr_init(&condattr);
    pthread_condattr_setpshared(&condattr, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&s->cond, &condattr);
    pthread_cond_init(&s->released, &condattr);

    s->magic = STANDIN_MAGIC;
    s->abi = XEN_LEND_ABI_VERSION;
    s->features = XEN_LEND_FEAT_READONLY | XEN_LEND_FEAT_PFNMAP |
                  XEN_LEND_FEAT_FD | XEN_LEND_FEAT_INFO |
                  XEN_LEND_FEAT_HUGE | XEN_LEND_FEAT_STREAM;
    /* 128 MiB and the special pages. */
    s->populated[0].nr = 128 * 256;
    s->populated[1].gfn = 0xfeff0;
    s->populated[1].nr = 16;
}

#define STANDIN_CHECK_SIZE \
    _Static_assert(sizeof(struct standin) <= STANDIN_BUFIOREQ, "layout")

#endif
