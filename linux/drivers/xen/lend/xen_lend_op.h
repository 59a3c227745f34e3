/* SPDX-License-Identifier: MIT */
/*
 * The lending part of Xen's public/hvm/hvm_op.h.  In the kernel tree
 * xen/interface/hvm/hvm_op.h has it; kernels that do not, get it from here.
 * Xen's header explains the calls and their errors.
 */
#ifndef _XEN_LEND_OP_H
#define _XEN_LEND_OP_H

#include <linux/types.h>
#include <xen/interface/xen.h>
#include <xen/interface/hvm/hvm_op.h>

#ifndef HVMOP_lend

#define HVMOP_lend	26

#define XEN_HVM_LEND_create	1
struct xen_hvm_lend_create {
	u64 first_gfn;	/* IN  */
	u64 nr;		/* IN  pages, 1 .. 2^28 */
	u16 ioserv;	/* IN  ioreq server that gets the faults */
	u16 flags;		/* IN  XEN_HVM_LEND_readonly */
	u32 memtype;	/* IN  XEN_DMOP_MEM_CACHEATTR_{UC,WC,WB} */
	u32 id;		/* IN 0, OUT lease id */
	u32 pad;		/* IN 0 */
	u64 generation;	/* IN 0, OUT */
};

#define XEN_HVM_LEND_readonly	(1U << 0)

#define XEN_HVM_LEND_destroy	2
struct xen_hvm_lend_destroy {
	u32 id;		/* IN  */
	u32 pad;		/* IN 0 */
};

#define XEN_HVM_LEND_install	3
struct xen_hvm_lend_install {
	u32 id;		/* IN  */
	u32 nr;		/* IN  pages, 1 .. 512 */
	u64 offset;	/* IN  first page within the lease */
	u64 generation;	/* IN  what create or the last revoke returned */
	u64 frames;	/* IN  address of u64 frame[nr] */
	u32 done;		/* IN 0, OUT pages dealt with, also on failure */
	u32 pad;		/* IN 0 */
};

/* A frame is the lender's own: an mfn if the lender is PV, else its gfn. */
#define XEN_HVM_LEND_frame_write	(1ULL << 63)	/* the borrower may write */
#define XEN_HVM_LEND_frame_skip	(~0ULL)		/* leave this page as it is */

#define XEN_HVM_LEND_revoke	4
struct xen_hvm_lend_revoke {
	u32 id;		/* IN  */
	u32 pad;		/* IN 0 */
	u64 offset;	/* IN  first page; advanced by continuations */
	u64 nr;		/* IN  pages; counted down by continuations */
	u64 generation;	/* OUT, to be given to later installs */
};

#define XEN_HVM_LEND_query	5
struct xen_hvm_lend_query {
	u32 id;		/* IN lowest id wanted, OUT id found */
	u16 lender;	/* IN 0, OUT domid; likewise below */
	u16 ioserv;
	u16 flags;		/* bit 0 read-only, bit 15 being destroyed */
	u16 pad;		/* IN 0 */
	u32 memtype;
	u64 first_gfn;
	u64 nr;
	u64 installed;	/* pages present now */
	u64 generation;
	u64 faults;	/* this and what follows: since create */
	u64 installs;	/* pages */
	u64 revokes;	/* pages */
	u64 flushes;
	u64 reclaims;	/* page tables */
};

struct xen_hvm_lend_op {
	u32 cmd;	/* XEN_HVM_LEND_{create,destroy,install,revoke,query} */
	u16 domain;	/* the borrower */
	u16 pad;	/* 0 */
	u64 number;	/* IN 0 or the borrower's, OUT the borrower's */
	union {
		struct xen_hvm_lend_create create;
		struct xen_hvm_lend_destroy destroy;
		struct xen_hvm_lend_install install;
		struct xen_hvm_lend_revoke revoke;
		struct xen_hvm_lend_query query;
		u8 pad[112];
	} u;
};

#endif /* HVMOP_lend */

#endif /* _XEN_LEND_OP_H */
