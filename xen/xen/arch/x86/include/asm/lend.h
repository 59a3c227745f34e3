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
    ioservid_t ioserv;
    uint64_t serial;
    ioreq_t req;
};

#ifdef CONFIG_MEM_LEND

/*
 * HVMOP_lend.  -ERESTART means the (updated) argument is to be passed again.
 */
int lend_op(XEN_GUEST_HANDLE_PARAM(xen_hvm_lend_op_t) arg);

/*
 * Domain destruction: End all leases @d takes part in, on either side.  To be
 * called repeatedly for as long as it returns -ERESTART.
 */
int lend_relinquish(struct domain *d);

/*
 * Some of what @lender may have lent isn't its own to lend anymore.  The
 * latter is to be followed by lend_purge(), to be called repeatedly for as
 * long as it returns -ERESTART: It takes out what the lender's leases have
 * installed.
 */
void lend_page_broken(struct domain *lender);
int lend_deny_iomem(struct domain *lender, unsigned long s, unsigned long e);
int lend_purge(struct domain *lender);

/*
 * The three steps of a fault on the current vCPU: Find out what it is about,
 * with the p2m lock held; ask the lender, with no lock held; and, when the
 * lender has answered, act upon that, prior to the guest running again.
 */
bool lend_check_fault(struct p2m_domain *p2m, paddr_t gpa, p2m_type_t t,
                      struct npfec npfec, struct lend_fault *lf);
void lend_send_fault(struct lend_fault *lf);
void lend_complete_fault(struct vcpu *v);

/*
 * Access lent memory on behalf of the instruction emulator, as per @p.  For
 * reads, fills p->data.
 *
 * X86EMUL_OKAY:         done
 * X86EMUL_RETRY:        the lender was asked, to be issued again once it has
 *                       answered (vio->lend_emul is set), or else to be
 *                       started over
 * X86EMUL_UNHANDLEABLE: the device model is to handle it, as it would MMIO
 */
int lend_emulate(ioreq_t *p);

/* Did the lender answer that there's nothing to access?  Tells the guest. */
bool lend_emulate_failed(void);

/*
 * Instruction bytes, not crossing a page boundary.  X86EMUL_RETRY: The guest
 * is to run the instruction again, which has it fault the page in.
 */
int lend_fetch(paddr_t gpa, unsigned int bytes, void *buf);

/* Is it the device model who decides what writing to there means? */
bool lend_is_rom(const struct domain *d, paddr_t gpa);

/* EPT memory type for an entry of lent type.  Called with the p2m locked. */
int lend_get_emt(const struct domain *d, gfn_t gfn, mfn_t mfn, bool *ipat);

/*
 * Are there leases to @d?  For whoever enables what lending doesn't work with:
 * Enable it, check, and undo if so.  Other than lend_active(), acquires the
 * p2m lock, for the answer not to miss leases about to be created by someone
 * who didn't see it enabled.
 */
bool lend_in_use(struct domain *d);

bool lend_overlaps(const struct p2m_domain *p2m, gfn_t gfn, unsigned long nr);
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
