/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory lending: Accesses which the instruction emulator makes. */

#include <xen/domain_page.h>
#include <xen/ioreq.h>
#include <xen/sched.h>

#include <asm/hvm/emulate.h>
#include <asm/hvm/ioreq.h>

#include "private.h"

/*
 * Is it the device model who decides what writing to @gpa means?  Acquires the
 * p2m lock.
 */
bool lend_is_rom(const struct domain *d, paddr_t gpa)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    const struct lease *l;
    bool rom;

    p2m_lock(p2m);

    l = lend_find_by_gfn(p2m, gaddr_to_gfn(gpa));
    rom = l && l->readonly;

    p2m_unlock(p2m);

    return rom;
}

/*
 * Access lent memory on behalf of the instruction emulator, as per @p.  For
 * reads, fills p->data.  Called on the current vCPU, with no lock held.
 *
 * X86EMUL_OKAY:         done
 * X86EMUL_RETRY:        the lender was asked, to be issued again once it has
 *                       answered (vio->lend_emul is set), or else to be
 *                       started over
 * X86EMUL_UNHANDLEABLE: the device model is to handle it, as it would MMIO
 *
 * The copying is done with the p2m lock held.  A revoke can't get to R4 while
 * it's ongoing, which makes this as good as an access the vCPU did by itself.
 */
int lend_emulate(ioreq_t *p)
{
    struct vcpu_io *vio = &current->io;
    struct p2m_domain *p2m = p2m_get_hostp2m(current->domain);
    bool write = p->dir == IOREQ_WRITE;
    unsigned int off = p->addr & ~PAGE_MASK;
    struct lend_fault lf;
    p2m_type_t t;
    p2m_access_t a;
    mfn_t mfn;
    int rc = X86EMUL_UNHANDLEABLE;

    if ( p->count != 1 || off + p->size > PAGE_SIZE )
        return rc;

    p2m_lock(p2m);

    lf.action = LEND_emulate;
    mfn = p2m->get_entry(p2m, gaddr_to_gfn(p->addr), &t, &a, 0, NULL, NULL);
    if ( p2m_is_lent(t) )
        lend_check_fault(p2m, p->addr, t,
                         (struct npfec){ .read_access = !write,
                                         .write_access = write }, &lf);

    /* MMIO takes the device model's mapping, with the right attributes. */
    if ( lf.action == LEND_retry && !lend_is_mmio(mfn) )
    {
        void *va = map_domain_page(mfn);

        if ( write )
            memcpy(va + off, &p->data, p->size);
        else
            memcpy(&p->data, va + off, p->size);

        unmap_domain_page(va);
        rc = X86EMUL_OKAY;
    }

    p2m_unlock(p2m);

    if ( lf.action != LEND_send )
        return rc;

    /* Half an instruction may be done, and isn't to be done again. */
    if ( unlikely(!vcpu_start_shutdown_deferral(current)) )
    {
        vio->suspended = true;
        return X86EMUL_RETRY;
    }

    lend_note_fault(vio, &lf);

    switch ( lend_ask(&lf) )
    {
    case IOREQ_STATUS_UNHANDLED:
        lend_fail_access(vio);
        break;

    case IOREQ_STATUS_RETRY:
        vio->lend_emul = true;
        break;
    }

    if ( !vio->lend_emul )
        vcpu_end_shutdown_deferral(current);

    return X86EMUL_RETRY;
}

/*
 * Instruction bytes, not crossing a page boundary.  Called on the current vCPU,
 * with no lock held.
 *
 * X86EMUL_OKAY:         done
 * X86EMUL_RETRY:        the guest is to run the instruction again, which has
 *                       it fault the page in
 * X86EMUL_UNHANDLEABLE: there are none, it's I/O memory, or a lease which is
 *                       coming or going
 */
int lend_fetch(paddr_t gpa, unsigned int bytes, void *buf)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(current->domain);
    unsigned int off = gpa & ~PAGE_MASK;
    p2m_type_t t;
    p2m_access_t a;
    mfn_t mfn;
    int rc = X86EMUL_UNHANDLEABLE;

    ASSERT(off + bytes <= PAGE_SIZE);

    p2m_lock(p2m);

    mfn = p2m->get_entry(p2m, gaddr_to_gfn(gpa), &t, &a, 0, NULL, NULL);
    if ( t == p2m_lent_absent )
    {
        const struct lease *l = lend_find_by_gfn(p2m, gaddr_to_gfn(gpa));

        /* There's nobody to wait for while one is coming or going. */
        if ( l && l->state == LEASE_live )
            rc = X86EMUL_RETRY;
    }
    else if ( p2m_is_lent(t) && !lend_is_mmio(mfn) )
    {
        const void *va = map_domain_page(mfn);

        memcpy(buf, va + off, bytes);
        unmap_domain_page(va);
        rc = X86EMUL_OKAY;
    }

    p2m_unlock(p2m);

    return rc;
}

/*
 * Did the lender answer that there's nothing to access?  Tells the guest then.
 * Called on the current vCPU, with no lock held, when lend_emulate()'s request
 * has been answered.
 */
bool lend_emulate_failed(void)
{
    const struct vcpu_io *vio = &current->io;

    if ( vio->lend_answer != IOREQ_LEND_FAILED )
        return false;

    lend_fail_access(vio);

    return true;
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
