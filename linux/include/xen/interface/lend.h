/* SPDX-License-Identifier: MIT */
/*
 * The lending part of Xen's public/hvm/hvm_op.h, which explains the calls and
 * their errors.
 */
#ifndef __XEN_PUBLIC_LEND_H__
#define __XEN_PUBLIC_LEND_H__

#include <linux/types.h>

/*
 * Memory lending: the caller gives the domain access to pages of its own, which
 * it may take back at any time.  All values fit their natural alignment, so
 * the structures are the same for 32 and 64 bits.
 */
#define HVMOP_lend	26

#define XEN_HVM_LEND_create	1
struct xen_hvm_lend_create {
	uint64_t first_gfn;	/* IN  */
	uint64_t nr;		/* IN  pages, 1 .. 2^28 */
	uint16_t ioserv;	/* IN  ioreq server that gets the faults */
	uint16_t flags;		/* IN  XEN_HVM_LEND_readonly */
	uint32_t memtype;	/* IN  XEN_DMOP_MEM_CACHEATTR_{UC,WC,WB} */
	uint32_t id;		/* IN 0, OUT lease id */
	uint32_t port;		/* IN 0, or in place of ioserv */
	uint64_t generation;	/* IN 0, OUT */
};

#define XEN_HVM_LEND_readonly	(1U << 0)

#define XEN_HVM_LEND_destroy	2
struct xen_hvm_lend_destroy {
	uint32_t id;		/* IN  */
	uint32_t pad;		/* IN 0 */
};

#define XEN_HVM_LEND_install	3
struct xen_hvm_lend_install {
	uint32_t id;		/* IN  */
	uint32_t nr;		/* IN  pages, 1 .. 512 */
	uint64_t offset;	/* IN  first page within the lease */
	uint64_t generation;	/* IN  what create or the last revoke returned */
	uint64_t frames;	/* IN  address of uint64_t frame[nr] */
	uint32_t done;		/* IN 0, OUT pages dealt with, also on failure */
	uint32_t vcpu;		/* IN 0, or whom to wake */
	uint64_t token;		/* IN likewise, from its slot */
};

/* A frame is the lender's own: an mfn if the lender is PV, else its gfn. */
#define XEN_HVM_LEND_frame_write	(1ULL << 63)	/* the borrower may write */
#define XEN_HVM_LEND_frame_skip	(~0ULL)		/* leave this page as it is */

#define XEN_HVM_LEND_revoke	4
struct xen_hvm_lend_revoke {
	uint32_t id;		/* IN  */
	uint32_t flags;		/* IN  XEN_HVM_LEND_revoke_write */
	uint64_t offset;	/* IN  first page; advanced by continuations */
	uint64_t nr;		/* IN  pages; counted down by continuations */
	uint64_t generation;	/* OUT, to be given to later installs */
};

/* Only the right to write is taken: the pages stay, read-only. */
#define XEN_HVM_LEND_revoke_write	(1U << 0)

#define XEN_HVM_LEND_query	5
struct xen_hvm_lend_query {
	uint32_t id;		/* IN lowest id wanted, OUT id found */
	uint16_t lender;	/* IN 0, OUT domid; likewise below */
	uint16_t ioserv;
	uint16_t flags;		/* bit 0 read-only, bit 15 being destroyed */
	uint16_t pad;		/* IN 0 */
	uint32_t memtype;
	uint64_t first_gfn;
	uint64_t nr;
	uint64_t installed;	/* pages present now */
	uint64_t generation;
	uint64_t faults;	/* this and what follows: since create */
	uint64_t installs;	/* pages */
	uint64_t revokes;	/* pages */
	uint64_t flushes;
	uint64_t reclaims;	/* page tables */
	uint64_t downgrades;	/* pages */
	uint32_t port;		/* 0: by ioserv */
	uint32_t pad2;
};

#define XEN_HVM_LEND_listen	6
struct xen_hvm_lend_listen {
	uint64_t frame;		/* IN  the page for the slots */
	uint64_t ports;		/* IN  address of uint32_t port[nr], set */
	uint32_t nr;		/* IN  vCPUs, OUT how many there can be */
	uint32_t id;		/* IN 0, OUT */
	uint64_t pad;		/* IN 0 */
};

/* One per vCPU.  While it is written to, token is 0. */
struct xen_hvm_lend_slot {
	uint64_t token;		/* never the same again */
	uint64_t offset;	/* page within the lease */
	uint32_t lease;
	uint32_t flags;		/* XEN_HVM_LEND_slot_* */
	uint64_t pad;
};

#define XEN_HVM_LEND_slot_write	(1U << 0)
#define XEN_HVM_LEND_slot_fetch	(1U << 1)

#define XEN_HVM_LEND_unlisten	7
struct xen_hvm_lend_unlisten {
	uint32_t id;		/* IN  0: all of the caller's */
	uint32_t flags;		/* IN  */
};

/* Although there are leases: faults there fail from now on. */
#define XEN_HVM_LEND_unlisten_force	(1U << 0)

#define XEN_HVM_LEND_answer	8
struct xen_hvm_lend_answered {
	uint32_t vcpu;		/* IN  */
	uint32_t result;	/* IN  XEN_HVM_LEND_answer_* */
	uint64_t token;		/* IN  from the slot */
};

#define XEN_HVM_LEND_answer_retry	0
#define XEN_HVM_LEND_answer_failed	1

struct xen_hvm_lend_answer {
	uint32_t port;		/* IN  */
	uint32_t nr;		/* IN  1 .. 16 */
	uint64_t answers;	/* IN  address of xen_hvm_lend_answered[nr] */
	uint32_t woken;		/* IN 0, OUT how many were waited for */
	uint32_t pad;		/* IN 0 */
};

struct xen_hvm_lend_op {
	uint32_t cmd;	/* XEN_HVM_LEND_* */
	uint16_t domain;	/* the borrower */
	uint16_t pad;	/* 0 */
	uint64_t number;	/* IN 0 or the borrower's, OUT the borrower's */
	union {
		struct xen_hvm_lend_create create;
		struct xen_hvm_lend_destroy destroy;
		struct xen_hvm_lend_install install;
		struct xen_hvm_lend_revoke revoke;
		struct xen_hvm_lend_query query;
		struct xen_hvm_lend_listen listen;
		struct xen_hvm_lend_unlisten unlisten;
		struct xen_hvm_lend_answer answer;
		uint8_t pad[112];
	} u;
};

#endif /* __XEN_PUBLIC_LEND_H__ */
