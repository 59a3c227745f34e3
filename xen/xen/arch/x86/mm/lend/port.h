/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory lending: Ports, and those who wait for them.
 *
 * A port has a page of the lender's, with a slot per vCPU of the borrower, and
 * an event channel per vCPU.  A fault is put into the slot, along with a token
 * which isn't used again; the answer is a hypercall that names the token.  An
 * ioreq slot isn't involved, hence a vCPU which turns away from its fault, to
 * take an interrupt, has the ioreq slot for whatever the handler needs it for.
 *
 * The page is only ever written to.  What's in there is the lender's problem.
 *
 * Locking
 *
 * The borrower's p2m lock protects the list of ports.  A vCPU that has a fault
 * doesn't hold it; it has the lock of its own wait instead.  Whoever takes a
 * port off the list, or ends a lease, then goes through all waits, with their
 * locks: Either the wait is seen there, or the vCPU sees what has changed.  A
 * wait's lock nests inside of the p2m lock, and event channel and scheduler
 * locks inside of it.
 */

#ifndef X86_MM_LEND_PORT_H
#define X86_MM_LEND_PORT_H

#include "private.h"

/*
 * How many ports a borrower can have, and how many of these one lender's can
 * be: It's not for one to keep others out, nor to use up the borrower's event
 * channels.
 */
#define MAX_PORTS     8
#define MAX_OWN_PORTS 4

struct lend_port {
    uint32_t id;
    domid_t owner;
    struct page_info *page;
    void *slots;
    evtchn_port_t evtchn[]; /* by vCPU */
};

/* What a vCPU waits for, or has turned away from. */
struct lend_wait {
    spinlock_t lock;
    enum {
        WAIT_none,
        WAIT_sent,
        WAIT_retry,     /* answered so ... */
        WAIT_failed,    /* ... or so */
    } state;
    uint64_t token;     /* the latest */
    uint32_t port;
    uint32_t lease;
    unsigned long pfn;
    bool write;
    bool awaited;       /* the vCPU's own: it's not past it yet */
};

/* Of a borrower.  There from the first port on until the domain dies. */
struct lend_ports {
    struct rcu_head rcu;
    struct lend_port *port[MAX_PORTS];
    domid_t owner[MAX_PORTS]; /* for lend_has_port() */
    uint32_t last_id;
    unsigned int ends;  /* of leases and ports */
    unsigned int nr;    /* of waits */
    struct lend_wait wait[];
};

/* port.c: By id.  Called with the p2m lock, or that of a wait, held. */
struct lend_port *lend_find_port(const struct lend_ports *ps, uint32_t id);

/* wait.c: End all waits for a lease, or for a port. */
void lend_end_waits(struct domain *d, struct lend_ports *ps, uint32_t lease,
                    uint32_t port);

#endif /* X86_MM_LEND_PORT_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
