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
	u64 first_gfn;	/* IN  */
	u64 nr;		/* IN  pages, 1 .. 2^28 */
	u16 ioserv;	/* IN  ioreq server that gets the faults */
	u16 flags;		/* IN  XEN_DMOP_LEND_readonly */
	u32 memtype;	/* IN  XEN_DMOP_MEM_CACHEATTR_{UC,WC,WB} */
	u32 id;		/* IN 0, OUT lease id */
	u32 pad;		/* IN 0 */
	u64 generation;	/* IN 0, OUT */
};

#define XEN_DMOP_LEND_readonly	(1U << 0)

#define XEN_DMOP_lend_destroy	22
struct xen_dm_op_lend_destroy {
	u32 id;		/* IN  */
	u32 pad;		/* IN 0 */
};

#define XEN_DMOP_lend_install	23
struct xen_dm_op_lend_install {	/* buf[1]: uint64_t frame[nr] */
	u32 id;		/* IN  */
	u32 nr;		/* IN  pages, 1 .. 512 */
	u64 offset;	/* IN  first page within the lease */
	u64 generation;	/* IN  what create or the last revoke returned */
	u32 done;		/* IN 0, OUT pages dealt with, also on failure */
	u32 pad;		/* IN 0 */
};

/* A frame is the lender's own: an mfn if the lender is PV, else its gfn. */
#define XEN_DMOP_LEND_frame_write	(1ULL << 63)	/* the borrower may write */
#define XEN_DMOP_LEND_frame_skip	(~0ULL)		/* leave this page as it is */

#define XEN_DMOP_lend_revoke	24
struct xen_dm_op_lend_revoke {
	u32 id;		/* IN  */
	u32 pad;		/* IN 0 */
	u64 offset;	/* IN  first page; advanced by continuations */
	u64 nr;		/* IN  pages; counted down by continuations */
	u64 generation;	/* OUT, to be given to later installs */
};

#define XEN_DMOP_lend_query	25
struct xen_dm_op_lend_query {
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
	u64 faults;	/* this and the next three: since create */
	u64 installs;	/* pages */
	u64 revokes;	/* pages */
	u64 flushes;
};

#endif /* XEN_DMOP_lend_create */

#endif /* _XEN_LEND_DMOP_H */
