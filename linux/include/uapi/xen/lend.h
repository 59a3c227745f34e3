/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/xen/lend: lend pageable memory of this domain to a Xen guest.
 *
 * The words (lease, install, revoke, absent, resolve; lender, borrower), the
 * life cycle and the errors are explained in
 * Documentation/userspace-api/xen-lend.rst.
 *
 * One open file serves one borrower.  XEN_LEND_IOC_BIND names the borrower
 * and needs CAP_SYS_ADMIN; every other call works on a bound file without
 * privilege, from any process holding the descriptor.  XEN_LEND_IOC_INFO also
 * works on one that is not bound.
 *
 * Every structure begins with its own size in bytes, set by the caller.  The
 * kernel accepts smaller (older) and larger (newer) structures as
 * copy_struct_from_user() does: what it does not know has to be zero, else
 * the call fails with E2BIG.  Unknown flag bits and non-zero padding fail with
 * EINVAL.  Lengths and offsets are bytes and multiples of the page size
 * unless said otherwise; gfns count 4 KiB pages.
 */
#ifndef _UAPI_XEN_LEND_H
#define _UAPI_XEN_LEND_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Version of this interface; grows when something that exists changes its
 * meaning.  What gets added is told by features.
 */
#define XEN_LEND_ABI_VERSION	1

/* What kernel and hypervisor together offer (features of BIND and INFO). */
#define XEN_LEND_FEAT_READONLY	(1ULL << 0)	/* XEN_LEND_READONLY */
#define XEN_LEND_FEAT_PFNMAP	(1ULL << 1)	/* VM_PFNMAP and VM_IO backing */
#define XEN_LEND_FEAT_HUGE	(1ULL << 2)	/* 2 MiB installs where possible */
#define XEN_LEND_FEAT_FD	(1ULL << 3)	/* XEN_LEND_FD */
#define XEN_LEND_FEAT_INFO	(1ULL << 4)	/* XEN_LEND_IOC_INFO */
#define XEN_LEND_FEAT_STREAM	(1ULL << 5)	/* stream, XEN_LEND_NO_AHEAD */
#define XEN_LEND_FEAT_LISTEN	(1ULL << 6)	/* XEN_LEND_IOC_LISTEN */

/**
 * struct xen_lend_bind - tie an open file to one borrower
 * @size:	sizeof(struct xen_lend_bind)
 * @domid:	the borrower, an HVM or PVH domain using HAP
 * @abi:	out: XEN_LEND_ABI_VERSION of the running kernel
 * @pad:	0
 * @features:	out: XEN_LEND_FEAT_*
 *
 * Errors: EPERM (no CAP_SYS_ADMIN, or Xen refuses this domain), EBUSY (file
 * already bound), ESRCH (no such domain), EOPNOTSUPP (the hypervisor does not
 * know about lending), EINVAL (domid out of range, padding).
 */
struct xen_lend_bind {
	__u32 size;
	__u32 domid;
	__u32 abi;
	__u32 pad;
	__u64 features;
};

/**
 * struct xen_lend_info - ask an open file what it can do and whom it serves
 * @size:	sizeof(struct xen_lend_info)
 * @abi:	out: XEN_LEND_ABI_VERSION of the running kernel
 * @features:	out: XEN_LEND_FEAT_*
 * @domid:	out: the borrower, or XEN_LEND_UNBOUND
 * @pad:	0
 *
 * For a process that was handed the descriptor, and for one that wants to know
 * before it binds: needs neither privilege nor a bound file.
 */
struct xen_lend_info {
	__u32 size;
	__u32 abi;
	__u64 features;
	__u32 domid;
	__u32 pad;
};

#define XEN_LEND_UNBOUND	(~0U)

/* xen_lend_lease.flags */
#define XEN_LEND_READONLY	(1U << 0)	/* borrower never gets to write */
/*
 * A page that is not there reads as zeros, for a second at a time; without this
 * the access faults.  A write always does.
 */
#define XEN_LEND_POLICY_ZERO	(1U << 1)
/* The backing is a range of a file, not of the caller's address space. */
#define XEN_LEND_FD		(1U << 2)
/*
 * A borrower that writes to holes of a tmpfs or a memfd, one after the other,
 * gets no memory ahead.  Without this it is up to 2 MiB, as with a huge page.
 */
#define XEN_LEND_NO_AHEAD	(1U << 3)
/* The kernel answers the faults, see XEN_LEND_IOC_LISTEN.  @ioserv is 0. */
#define XEN_LEND_KERNEL		(1U << 4)

/**
 * struct xen_lend_lease - lease a range of an address space or of a file
 * @size:	sizeof(struct xen_lend_lease)
 * @flags:	XEN_LEND_READONLY, XEN_LEND_POLICY_*, XEN_LEND_FD,
 *		XEN_LEND_NO_AHEAD, XEN_LEND_KERNEL
 * @addr:	start of the backing in the caller's address space (bytes);
 *		0 with XEN_LEND_FD
 * @len:	length (bytes); the range need not be mapped yet, nor stay mapped
 * @gfn:	first guest frame; the frames must be unpopulated
 * @memtype:	XEN_LEND_MEMTYPE_*
 * @ioserv:	the caller's ioreq server, told of faults on this lease; 0 with
 *		XEN_LEND_KERNEL
 * @around:	bytes mapped around a fault at most, a power of two, 4 KiB to
 *		2 MiB; 0: the driver's default (2 MiB)
 * @id:		out: the lease, never 0, unique in the borrower
 * @fd:		with XEN_LEND_FD: a file that can be mapped shared (a memfd, a
 *		file, a dma-buf, a DRM device); else 0
 * @pad:	0
 * @offset:	with XEN_LEND_FD: start of the backing in that file, as for
 *		mmap() (bytes); else 0
 *
 * With XEN_LEND_FD the caller need not have the file mapped and may close the
 * descriptor.  The driver maps it for as long as the lease lasts, in the
 * address space of the caller, at a place the caller should not care about.
 * Without XEN_LEND_READONLY the file must be open for writing.  As with any
 * lease, nothing can be resolved any more once the process that leased is gone.
 *
 * Errors: ENOTCONN (not bound), EINVAL, EEXIST (a frame is populated or
 * leased), ENOSPC (quota), ENOMEM (the borrower's paging pool, or dom0's own
 * memory), ESRCH, EPERM, ENOENT (no such ioreq server; with
 * XEN_LEND_KERNEL: there was no XEN_LEND_IOC_LISTEN), EOPNOTSUPP (the
 * borrower uses something lending does not support; the Xen console says
 * what).  Besides, with XEN_LEND_FD, what mmap() may say: EBADF, EACCES (not
 * open for that), EPERM (sealed), ENODEV (cannot be mapped), EOVERFLOW.
 */
struct xen_lend_lease {
	__u32 size;
	__u32 flags;
	__u64 addr;
	__u64 len;
	__u64 gfn;
	__u32 memtype;
	__u32 ioserv;
	__u32 around;
	__u32 id;
	__s32 fd;
	__u32 pad;
	__u64 offset;
};

/* xen_lend_lease.memtype: the values of XEN_DMOP_MEM_CACHEATTR_* */
#define XEN_LEND_MEMTYPE_UC	0
#define XEN_LEND_MEMTYPE_WC	1
#define XEN_LEND_MEMTYPE_WB	6

/**
 * struct xen_lend_unlease - end a lease
 * @size:	sizeof(struct xen_lend_unlease)
 * @id:		the lease
 *
 * On return nothing of the lease is mapped in the borrower and its frames are
 * unpopulated again.  Resolves under way on other threads end with ENOENT.
 * Errors: ENOTCONN, ENOENT, EIO (Xen, having a bug, does not let go of the lease:
 * the kernel asks again from time to time, its log says more).
 */
struct xen_lend_unlease {
	__u32 size;
	__u32 id;
};

/* xen_lend_resolve.flags */
#define XEN_LEND_WRITE		(1U << 0)	/* the borrower wants to write */
#define XEN_LEND_PREFAULT	(1U << 1)	/* @nr pages, nobody waits */

/* xen_lend_resolve.result */
#define XEN_LEND_INSTALLED	0	/* answer the ioreq with RETRY */
#define XEN_LEND_ZEROED		1	/* reads as zeros (policy): RETRY */
#define XEN_LEND_FAILED		2	/* answer the ioreq with FAILED */

/**
 * struct xen_lend_resolve - make a page (and some around it) present
 * @size:	sizeof(struct xen_lend_resolve)
 * @id:		the lease
 * @offset:	byte offset in the lease; rounded down to a page
 * @nr:		with XEN_LEND_PREFAULT: pages from @offset; else 0.  out: how many
 *		of them were dealt with, at least one; fewer if a signal came, or
 *		if memory ran out: call again for the rest
 * @flags:	XEN_LEND_WRITE, XEN_LEND_PREFAULT
 * @result:	out: XEN_LEND_INSTALLED, XEN_LEND_ZEROED or XEN_LEND_FAILED
 * @installed:	out: pages installed by this call that were not before
 * @err:	out: positive errno behind ZEROED or FAILED (EFAULT: not mapped,
 *		past the end of the file, or not to be read from disk; EACCES;
 *		EHWPOISON; EPERM: not the lender's to lend; ESRCH: the process that
 *		leased is gone, and its address space with it; EIO: Xen, having a
 *		bug, would not take pages of the lease back), else 0
 * @stream:	who waits for the page, the number of a vCPU for example: faults
 *		of one that follow each other bring more and more of what is
 *		around (XEN_LEND_FEAT_STREAM; 0 without)
 *
 * Sleeps for as long as the backing needs (disk, FUSE, swap).  A signal may
 * end it with EINTR: call again.  Any number of threads may resolve on one
 * lease.
 *
 * A write to a page that is not there is FAILED under either policy, and to a
 * read-only lease or a mapping that is read-only now with EACCES.  A prefault
 * leaves out the pages that are not there, and is FAILED with the first reason if
 * there were any.
 *
 * Errors: ENOTCONN, ENOENT (also for a moment while the LEASE that makes the
 * lease has not returned: answer the ioreq with RETRY), EINVAL (offset past the
 * end), EINTR, ENOMEM (for the backing, or in the kernel: call again later),
 * ENOSPC (the borrower's paging pool has no room for page tables: likewise),
 * ESRCH (the borrower is gone).
 */
struct xen_lend_resolve {
	__u32 size;
	__u32 id;
	__u64 offset;
	__u32 nr;
	__u32 flags;
	__u32 result;
	__u32 installed;
	__u32 err;
	__u32 stream;
};

/**
 * struct xen_lend_stats - read counters of a lease
 * @size:	sizeof(struct xen_lend_stats)
 * @id:		in: a lease, or 0 with @next; out: the lease described
 * @next:	in: 1 to ask for the lowest id >= @id on this file
 * @flags:	out: as leased
 * @gfn:	out: as leased
 * @len:	out: as leased (bytes)
 * @installed:	out: pages installed now, as Xen counts them
 * @faults:	out: LEND faults Xen sent for it
 * @resolves:	out: resolve calls
 * @retries:	out: resolves that raced with a revoke and started again
 * @installs:	out: pages installed since the lease began
 * @revokes:	out: notifier calls that hit the lease
 * @revoked:	out: pages revoked since the lease began
 * @flushes:	out: TLB flush rounds Xen needed for it
 * @failures:	out: resolves that ended ZEROED or FAILED
 * @slowest_us:	out: longest resolve (microseconds)
 * @waiting:	out: faults that the kernel has not answered yet
 * @answered:	out: faults that the kernel has answered
 * @failed:	out: of these, with FAILED
 * @slowest_answer_us:	out: longest time until one was answered
 *
 * Errors: ENOTCONN, ENOENT.
 */
struct xen_lend_stats {
	__u32 size;
	__u32 id;
	__u32 next;
	__u32 flags;
	__u64 gfn;
	__u64 len;
	__u64 installed;
	__u64 faults;
	__u64 resolves;
	__u64 retries;
	__u64 installs;
	__u64 revokes;
	__u64 revoked;
	__u64 flushes;
	__u64 failures;
	__u64 slowest_us;
	__u64 waiting;
	__u64 answered;
	__u64 failed;
	__u64 slowest_answer_us;
};

/**
 * struct xen_lend_listen - have the kernel answer faults by itself
 * @size:	sizeof(struct xen_lend_listen)
 * @vcpus:	how many vCPUs the borrower may have, or more (up to 128)
 *
 * From then on leases can be made with XEN_LEND_KERNEL.  What a resolve would
 * do is done for each of their faults by a thread of the caller's process, one
 * per vCPU, whose memory and time count as the process's.  The descriptor
 * should end with the process.  If another one has it, the kernel answers on
 * threads of its own, five seconds later.
 *
 * Where an access is not to be repeated (XEN_LEND_FAILED) the borrower is told.
 * For want of memory a vCPU waits until there is some.
 *
 * Errors: ENOTCONN, EBUSY (called before), EINVAL, ENOMEM, EPERM, ESRCH, EAGAIN
 * (the borrower does not have all its vCPUs yet), ENOSPC (four files listen to
 * this borrower already, or no event channels), EOPNOTSUPP (the hypervisor
 * cannot), EINTR.
 */
struct xen_lend_listen {
	__u32 size;
	__u32 vcpus;
};

#define XEN_LEND_IOC_BIND	_IOWR('L', 0x60, struct xen_lend_bind)
#define XEN_LEND_IOC_LEASE	_IOWR('L', 0x61, struct xen_lend_lease)
#define XEN_LEND_IOC_UNLEASE	_IOW('L', 0x62, struct xen_lend_unlease)
#define XEN_LEND_IOC_RESOLVE	_IOWR('L', 0x63, struct xen_lend_resolve)
#define XEN_LEND_IOC_STATS	_IOWR('L', 0x64, struct xen_lend_stats)
#define XEN_LEND_IOC_INFO	_IOWR('L', 0x65, struct xen_lend_info)
#define XEN_LEND_IOC_LISTEN	_IOW('L', 0x66, struct xen_lend_listen)

#endif /* _UAPI_XEN_LEND_H */
