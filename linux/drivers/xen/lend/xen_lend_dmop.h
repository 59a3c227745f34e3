/* SPDX-License-Identifier: MIT */
/*
 * The lending part of Xen's public/hvm/dm_op.h.  In the kernel tree
 * xen/interface/hvm/dm_op.h has it; kernels that do not, get it from here.
 * docs/abi.md explains the calls and their errors.
 */
#ifndef _XEN_LEND_DMOP_H
#define _XEN_LEND_DMOP_H

#include <linux/types.h>
#include <xen/interface/xen.h>
#include <xen/interface/hvm/dm_op.h>

#ifndef XEN_DMOP_lend_create

#define XEN_DMOP_lend_create	21
struct xen_dm_op_lend_create {
	aligned_u64 first_gfn;	/* IN  */
	aligned_u64 nr;		/* IN  pages, 1 .. 2^28 */
	uint16_t ioserv;	/* IN  ioreq server that gets the faults */
	uint16_t flags;		/* IN  XEN_DMOP_LEND_READONLY */
	uint32_t memtype;	/* IN  XEN_DMOP_MEM_CACHEATTR_{UC,WC,WB} */
	uint32_t id;		/* IN 0, OUT lease id */
	uint32_t pad;		/* IN 0 */
	aligned_u64 generation;	/* IN 0, OUT */
};

#define XEN_DMOP_LEND_READONLY	(1U << 0)

#define XEN_DMOP_lend_destroy	22
struct xen_dm_op_lend_destroy {
	uint32_t id;		/* IN  */
	uint32_t pad;		/* IN 0 */
};

#define XEN_DMOP_lend_install	23
struct xen_dm_op_lend_install {	/* buf[1]: uint64_t frame[nr] */
	uint32_t id;		/* IN  */
	uint32_t nr;		/* IN  pages, 1 .. 512 */
	aligned_u64 offset;	/* IN  first page within the lease */
	aligned_u64 generation;	/* IN  what create or the last revoke returned */
	uint32_t done;		/* IN 0, OUT pages dealt with, also on failure */
	uint32_t pad;		/* IN 0 */
};

/* A frame is the lender's own: an mfn if the lender is PV, else its gfn. */
#define XEN_LEND_FRAME_WRITE	(1ULL << 63)	/* the borrower may write */
#define XEN_LEND_FRAME_SKIP	(~0ULL)		/* leave this page as it is */

#define XEN_DMOP_lend_revoke	24
struct xen_dm_op_lend_revoke {
	uint32_t id;		/* IN  */
	uint32_t pad;		/* IN 0 */
	aligned_u64 offset;	/* IN  first page; advanced by continuations */
	aligned_u64 nr;		/* IN  pages; counted down by continuations */
	aligned_u64 generation;	/* OUT, to be given to later installs */
};

#define XEN_DMOP_lend_query	25
struct xen_dm_op_lend_query {
	uint32_t id;		/* IN lowest id wanted, OUT id found */
	uint16_t lender;	/* IN 0, OUT domid; likewise below */
	uint16_t ioserv;
	uint16_t flags;		/* bit 0 read-only, bit 15 being destroyed */
	uint16_t pad;		/* IN 0 */
	uint32_t memtype;
	aligned_u64 first_gfn;
	aligned_u64 nr;
	aligned_u64 installed;	/* pages present now */
	aligned_u64 generation;
	aligned_u64 faults;	/* this and the next three: since create */
	aligned_u64 installs;	/* pages */
	aligned_u64 revokes;	/* pages */
	aligned_u64 flushes;
};

#endif /* XEN_DMOP_lend_create */

#endif /* _XEN_LEND_DMOP_H */
