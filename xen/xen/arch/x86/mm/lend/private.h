/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory lending: Frames of one domain (lender), mapped by another (borrower)
 * for as long as the lender pleases.
 *
 * The order of things
 *
 *   revoke                             install
 *     R1 advance the generation          I1 take a reference to each frame
 *     R2 make the entries absent         I2 check the generation
 *     R3 flush the TLBs                  I3 replace the entries
 *     R4 drop the frames' references     I4 as R3, R4, for frames replaced
 *
 * The lender looks up frames, then installs them.  If it finds itself having
 * to give up one in between, it revokes; as this advances the generation the
 * install, in I2, finds the frames to be out of date, and leaves no trace.
 * Only after R4 may the lender use the frame for something else, and by then
 * R3 has made sure no vCPU can access it anymore.
 *
 * A revoke must not fail, as there's nothing the lender could do about it.
 * Hence it never splits an entry (which may require memory), but takes out the
 * larger one as a whole; what was taken out needlessly will fault in again.
 *
 * A downgrade is a revoke of the right to write: In R2 entries become
 * read-only, also as a whole, and in R4 the type references go, while those to
 * the pages stay.  Past it nobody writes to the frames, and whoever reads them
 * goes on doing so without noticing.
 *
 * How long a revoke takes
 *
 * It's done in chunks of at most ZAPPED_MAX entries, or some ZAPPED_PAGES pages
 * in superpages, with one flush each, and the hypercall is preemptible in
 * between.  Other than for that it waits for the borrower's p2m lock, and for
 * its paging lock when writing an entry (NPT) or freeing a table.  What's done
 * with these held is bounded, too:
 *
 *   installs, ends of leases   a chunk likewise, or a multiple of one
 *   ends of ports and leases   what's done for each vCPU: it's woken
 *   answers                    XEN_HVM_LEND_MAX_ANSWERS vCPUs, likewise
 *   reading the dirty bitmap   see paging_log_dirty_range()
 *   changes of type or access  256 entries, or until preempted
 *   emulation, faults          a few look-ups
 *   changes of paging pools    until preempted
 *
 * Populate-on-demand isn't: It may look through all of the guest's memory for
 * pages to reclaim.  Hence it can't be combined with leases.
 *
 * Locking
 *
 * Leases, and all p2m entries of lent types, are protected by the borrower's
 * p2m lock.  The lender's isn't acquired with it held, as the lender may in
 * turn be a borrower: I1 comes first.  R4 takes locks that nest inside any p2m
 * lock: the lender's paging lock, when it is in log-dirty mode, and what
 * put_page() takes.
 *
 * The lender is identified by its domain ID.  This can't come to mean another
 * domain as long as the lease exists, see lend_relinquish().
 *
 * is_ending(), in op.c, looks at the list of leases with no lock held: Leases
 * are freed by way of RCU.
 *
 * Frames that stop being the lender's to lend
 *
 * There's no reverse mapping to tell where a frame is installed.  When I/O
 * memory is taken from the lender, or some of its memory breaks, its "epoch"
 * advances, which is what makes all of its leases be purged: everything
 * installed is taken out.  What's fine still will fault in again; for the
 * rest, I1 says no.  Installs into a lease which is yet to be purged do that
 * first.  What I1 said before the epoch advanced may not be true anymore,
 * whether or not there was a purge since: The install starts over, see
 * install_frames() in install.c.
 */

#ifndef X86_MM_LEND_PRIVATE_H
#define X86_MM_LEND_PRIVATE_H

#include <xen/list.h>
#include <xen/rcupdate.h>
#include <xen/sched.h>
#include <xen/types.h>

#include <asm/lend.h>
#include <asm/p2m.h>

#include "../mm-locks.h"

struct lease {
    struct list_head list;
    struct rcu_head rcu;
    uint32_t id;
    domid_t lender;
    ioservid_t ioserv;
    uint64_t serial;        /* The server's, see ioreq_server_serial(). */
    uint32_t port;          /* Instead of a server, see port.c. */
    uint32_t memtype;
    bool readonly;
    int error;              /* What kept a dying one from being created. */
    enum {
        LEASE_building, /* lend_create() hasn't gotten to the end yet. */
        LEASE_live,
        LEASE_dying,    /* Entries are going away, by means of a cursor. */
    } state;
    gfn_t first;
    unsigned long nr;
    unsigned long built;    /* Pages with p2m entries, from @first. */
    unsigned long revoked;  /* Dying: Pages known to be absent, likewise. */
    unsigned long removed;  /* Dying: Pages unpopulated, likewise. */
    unsigned int epoch;     /* The lender's, as of the latest purge. */
    unsigned long purged;   /* While that's another: Pages known absent. */
    uint16_t *tables;       /* One for each 2M in whole, see get_table(). */
    unsigned long first_table; /* The gfn where these begin. */
    unsigned long max_tables;
    unsigned long nr_tables;
    unsigned long nr_empty; /* Of these, with nothing installed. */
    unsigned long hand;     /* Index of the next candidate for reclaim ... */
    unsigned long hand_1g;  /* ... and likewise of the 1G in whole. */
    uint64_t generation;
    uint64_t installed;
    uint64_t faults, installs, revokes, flushes, reclaims, downgrades;
};

#define TABLE_PAGES  (1UL << PAGE_ORDER_2M)

/* Elements of tables[]: Is there one, and how many pages does it map? */
#define TABLE_EXISTS 0x8000
#define TABLE_COUNT  0x7fff

/* Frames awaiting R3 and R4, in p2m->lend.zapped[]. */
#define ZAPPED_MAX   (PAGE_SIZE / sizeof(uint64_t))
/* Of superpages not so many, for the time that R4 takes: 64M. */
#define ZAPPED_PAGES (1UL << 14)
#define ZAPPED_WRITE (1ULL << 63)
#define ZAPPED_KEEP  (1ULL << 62) /* Mapped still, but not writable anymore. */
#define ZAPPED_ORDER 56
#define ZAPPED_MFN   ((1ULL << ZAPPED_ORDER) - 1)

static inline unsigned int lend_epoch(const struct domain *lender)
{
    return atomic_read(&lender->arch.lend_epoch);
}

/* What callers need to know is above the definitions. */

/* frame.c: The lender's frames. */
int lend_get_frame(struct domain *lender, struct domain *borrower,
                   unsigned long frame, bool write, mfn_t *mfn, bool *slow);
void lend_put_frames(mfn_t mfn, unsigned int order, bool write);
void lend_put_types(mfn_t mfn, unsigned int order);

/* entry.c: Updates of entries, ... */
void lend_begin_update(struct p2m_domain *p2m, const struct lease *l);
void lend_end_update(struct p2m_domain *p2m, struct lease *l);
/* ... taking out what's there, ... */
unsigned long lend_zap_entry(struct p2m_domain *p2m, struct lease *l,
                             unsigned long gfn);
unsigned long lend_zap_chunk(struct p2m_domain *p2m, struct lease *l,
                             unsigned long first, unsigned long nr);
bool lend_zap_table(struct p2m_domain *p2m, struct lease *l,
                    unsigned long gfn);
unsigned long lend_downgrade_chunk(struct p2m_domain *p2m, struct lease *l,
                                   unsigned long first, unsigned long nr);
void lend_add_zapped(struct p2m_domain *p2m, struct lease *l, mfn_t mfn,
                     unsigned int order, p2m_type_t t);
/* ... and keeping count of page tables. */
void lend_update_table(struct lease *l, unsigned long gfn, int nr);
void lend_forget_table(struct lease *l, unsigned long gfn);

/* reclaim.c: Entries, with page tables out of other leases. */
int lend_set_entry(struct p2m_domain *p2m, struct lease *l, unsigned long gfn,
                   mfn_t mfn, unsigned int order, p2m_type_t t);

/* install.c: Splitting superpages. */
int lend_split_entry(struct p2m_domain *p2m, struct lease *l,
                     unsigned long gfn, mfn_t mfn, p2m_type_t t);

/* lease.c: Finding leases, and the size of their entries. */
struct lease *lend_find_by_gfn(const struct p2m_domain *p2m, gfn_t gfn);
struct lease *lend_get_own(struct p2m_domain *p2m, uint32_t id, int *rc);
unsigned int lend_entry_order(unsigned long gfn, unsigned long nr);

/* end.c: Ending a lease. */
int lend_end_lease(struct p2m_domain *p2m, struct lease *l);

/* purge.c: Taking out what may not be the lender's to lend anymore. */
int lend_purge_lease(struct p2m_domain *p2m, struct lease *l,
                     unsigned int epoch);

/* fault.c: What the emulator's accesses have in common with faults. */
void lend_note_fault(struct vcpu_io *vio, const struct lend_fault *lf);
int lend_ask(struct lend_fault *lf);
void lend_fail_access(const struct vcpu_io *vio);

/* port.c: Where faults go which the lender's kernel answers by itself. */
bool lend_owns_port(struct p2m_domain *p2m, uint32_t id,
                    const struct domain *owner);
bool lend_has_port(const struct domain *d, const struct domain *owner);
void lend_port_relinquish(struct domain *d, const struct domain *owner);
void lend_dump_ports(struct domain *d);

/* wait.c: Those who wait for the answers. */
unsigned int lend_port_ends(const struct p2m_domain *p2m);
bool lend_port_waits(const struct p2m_domain *p2m, const struct lend_fault *lf);
int lend_port_send(const struct lend_fault *lf);
void lend_port_installed(struct p2m_domain *p2m, const struct lease *l,
                         uint32_t vcpu, uint64_t token);
void lend_port_end_lease(struct p2m_domain *p2m, const struct lease *l);
void lend_port_cancel(struct vcpu *v);

/* lease.c, end.c, install.c, port.c, wait.c: HVMOP_lend. */
int lend_create(struct domain *d, struct xen_hvm_lend_create *op);
int lend_destroy(struct domain *d, const struct xen_hvm_lend_destroy *op);
int lend_install(struct domain *d, struct xen_hvm_lend_install *op);
int lend_listen(struct domain *d, struct xen_hvm_lend_listen *op);
int lend_unlisten(struct domain *d, const struct xen_hvm_lend_unlisten *op);
int lend_answer(struct domain *d, struct xen_hvm_lend_answer *op);

#endif /* X86_MM_LEND_PRIVATE_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
