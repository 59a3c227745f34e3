/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory lending: A domain (lender) lets an HVM one (borrower) access frames
 * which remain its own, and which it may take back at any time.
 *
 * See docs/designs/memory-lending.md for the concepts, public/hvm/hvm_op.h for
 * the interface, and arch/x86/mm/lend/private.h for locking and ordering.
 */
#ifndef X86_LEND_H
#define X86_LEND_H

#include <xen/mm-frame.h>
#include <xen/types.h>

#include <asm/p2m.h>

#include <public/hvm/dm_op.h>
#include <public/hvm/hvm_op.h>
#include <public/hvm/ioreq.h>

/* What there's to be done about a nested page fault, in no lock's scope. */
struct lend_fault {
    enum {
        LEND_retry,   /* Somebody else was faster: Run the guest again. */
        LEND_emulate, /* Not the lender's call: Have the access emulated. */
        LEND_send,    /* Ask the lender: lend_send_fault(). */
    } action;
    uint32_t port;        /* If not 0: where to, rather than to a server. */
    unsigned int ends;    /* See lend_port_send(). */
    uint64_t offset;      /* Of the page within the lease, in pages. */
    ioservid_t ioserv;
    uint64_t serial;
    ioreq_t req;
};

#ifdef CONFIG_MEM_LEND

/* What callers need to know is above the definitions, in mm/lend/. */

/* op.c: HVMOP_lend. */
int lend_op(XEN_GUEST_HANDLE_PARAM(xen_hvm_lend_op_t) arg);

/* end.c: Domain destruction. */
int lend_relinquish(struct domain *d);

/* purge.c: Some of what @lender may have lent isn't its to lend anymore. */
void lend_page_broken(struct domain *lender);
int lend_deny_iomem(struct domain *lender, unsigned long s, unsigned long e);
int lend_purge(struct domain *lender);

/* fault.c: The three steps of a fault, and EPT memory types. */
bool lend_check_fault(struct p2m_domain *p2m, paddr_t gpa, p2m_type_t t,
                      struct npfec npfec, struct lend_fault *lf);
void lend_send_fault(struct lend_fault *lf);
bool lend_interrupted(struct vcpu *v);
void lend_complete_fault(struct vcpu *v);
void lend_cancel(struct vcpu *v);
int lend_get_emt(const struct domain *d, gfn_t gfn, mfn_t mfn, bool *ipat);

/* wait.c: Answers by the lender's kernel. */
void lend_port_wait(struct vcpu *v);

/* emulate.c: Accesses which the instruction emulator makes. */
int lend_emulate(ioreq_t *p);
bool lend_emulate_failed(void);
int lend_fetch(paddr_t gpa, unsigned int bytes, void *buf);
bool lend_is_rom(const struct domain *d, paddr_t gpa);

/* lease.c: Are there leases, at all or of some GFNs? */
bool lend_in_use(struct domain *d);
bool lend_overlaps(const struct p2m_domain *p2m, gfn_t gfn, unsigned long nr);

/* frame.c: Is it I/O memory? */
bool lend_is_mmio(mfn_t mfn);

static inline void lend_init(struct p2m_domain *p2m)
{
    INIT_LIST_HEAD(&p2m->lend.leases);
}

static inline bool lend_active(const struct domain *d)
{
    return p2m_get_hostp2m(d) && p2m_get_hostp2m(d)->lend.nr;
}

/*
 * Is mm/lend/ writing entries?  Then the flush for those overwritten is its
 * own to do, by p2m_tlb_flush_sync(), once for all of them and before it drops
 * what the old entries depended upon.  Called with the p2m locked.
 */
static inline bool lend_is_updating(const struct p2m_domain *p2m)
{
    return p2m->lend.updating;
}

/* May p2m_set_entry() be used on these GFNs?  Called with the p2m locked. */
static inline bool lend_may_set_entry(const struct p2m_domain *p2m, gfn_t gfn,
                                      unsigned int order)
{
    return likely(!p2m->lend.nr) || p2m->lend.updating ||
           !lend_overlaps(p2m, gfn, 1UL << order);
}

/*
 * NPT flags for an entry of lent type.
 *
 * There's no equivalent of EPT's ignore-PAT, hence for RAM the guest gets what
 * it asks for, as with grants.  For MMIO the guest's PAT and the host's MTRRs
 * (UC for BARs) combine, so that write-combining is available, unless the
 * lender wants to rule that out.
 */
static inline unsigned long lend_pt_flags(const struct p2m_domain *p2m,
                                          mfn_t mfn)
{
    return p2m->lend.memtype == XEN_DMOP_MEM_CACHEATTR_UC &&
           lend_is_mmio(mfn) ? _PAGE_UC : 0;
}

#else /* !CONFIG_MEM_LEND */

static inline int lend_relinquish(struct domain *d) { return 0; }
static inline void lend_page_broken(struct domain *lender) {}
static inline bool lend_in_use(struct domain *d) { return false; }

static inline bool lend_check_fault(struct p2m_domain *p2m, paddr_t gpa,
                                    p2m_type_t t, struct npfec npfec,
                                    struct lend_fault *lf)
{
    return false;
}

static inline void lend_send_fault(struct lend_fault *lf) {}
static inline void lend_complete_fault(struct vcpu *v) {}
static inline void lend_cancel(struct vcpu *v) {}

static inline void lend_init(struct p2m_domain *p2m) {}
static inline bool lend_active(const struct domain *d) { return false; }
static inline bool lend_is_updating(const struct p2m_domain *p2m)
{
    return false;
}

static inline int lend_emulate(ioreq_t *p)
{
    ASSERT_UNREACHABLE();
    return X86EMUL_UNHANDLEABLE;
}

static inline bool lend_emulate_failed(void)
{
    ASSERT_UNREACHABLE();
    return true;
}

static inline int lend_fetch(paddr_t gpa, unsigned int bytes, void *buf)
{
    ASSERT_UNREACHABLE();
    return X86EMUL_UNHANDLEABLE;
}

static inline bool lend_is_rom(const struct domain *d, paddr_t gpa)
{
    ASSERT_UNREACHABLE();
    return false;
}

static inline int lend_get_emt(const struct domain *d, gfn_t gfn, mfn_t mfn,
                               bool *ipat)
{
    ASSERT_UNREACHABLE();
    return X86_MT_UC;
}

static inline bool lend_may_set_entry(const struct p2m_domain *p2m, gfn_t gfn,
                                      unsigned int order)
{
    return true;
}

static inline unsigned long lend_pt_flags(const struct p2m_domain *p2m,
                                          mfn_t mfn)
{
    return 0;
}

#endif /* CONFIG_MEM_LEND */

#endif /* X86_LEND_H */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
