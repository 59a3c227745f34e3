// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of /dev/xen/lend: what each call answers.
 *
 * Run as root in dom0.  With XEN_LEND_DOMID in the environment, the id of an
 * HVM or PVH domain using HAP, leases are tried as well.  The domain need not
 * run ("xl create -p" will do).  Nothing may be at 64 of its frames, from
 * XEN_LEND_GFN on (default 0x100000).
 */
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <xen/lend.h>

#include "../../kselftest_harness.h"

#define LEND_DEV	"/dev/xen/lend"
#define PAGE		4096UL
#define NR_PAGES	64UL
#define NOBODY		65534
/* Domain ids: no domain has the first; the second stands for the caller. */
#define DOMID_NOT_THERE	0x7fe0
#define DOMID_ITSELF	0x7ff0

/*
 * What <xen/privcmd.h> says; that file needs headers of Xen, which may not be
 * there.
 */
struct dm_op_buf {
	void *ptr;
	size_t size;
};

struct privcmd_dm_op_arg {
	__u16 dom;
	__u16 num;
	const struct dm_op_buf *bufs;
};

#define PRIVCMD_DM_OP	_IOC(_IOC_NONE, 'P', 5, sizeof(struct privcmd_dm_op_arg))

/* Xen's public/hvm/dm_op.h, as much of it as is needed. */
struct dm_op {
	__u32 op;
	__u32 pad;
	union {
		struct {
			__u8 handle_bufioreq;
			__u8 pad[3];
			__u16 id;
		} create;
		struct {
			__u16 id;
			__u16 pad;
		} destroy;
		__u8 room[256];
	};
};

#define DMOP_CREATE_IOREQ_SERVER	1
#define DMOP_DESTROY_IOREQ_SERVER	6

static int do_dm_op(int fd, __u16 domid, struct dm_op *op)
{
	struct dm_op_buf buf = { .ptr = op, .size = sizeof(*op) };
	struct privcmd_dm_op_arg arg = { .dom = domid, .num = 1, .bufs = &buf };

	return ioctl(fd, PRIVCMD_DM_OP, &arg) < 0 ? errno : 0;
}

/* 0, or the errno of the call. */
static int call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? errno : 0;
}

static int bind_to(int fd, __u32 domid)
{
	struct xen_lend_bind b = { .size = sizeof(b), .domid = domid };

	return call(fd, XEN_LEND_IOC_BIND, &b);
}

static int unlease(int fd, __u32 id)
{
	struct xen_lend_unlease u = { .size = sizeof(u), .id = id };

	return call(fd, XEN_LEND_IOC_UNLEASE, &u);
}

static bool become_nobody(void)
{
	return !setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
	       !setresuid(NOBODY, NOBODY, NOBODY);
}

/*
 * Two pages of which the second is not there.  @size bytes at the end of the
 * first: whoever reads or writes past them gets EFAULT.
 */
static void *at_edge(size_t size)
{
	char *mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED || munmap(mem + PAGE, PAGE))
		return NULL;
	return mem + PAGE - size;
}

/* An open file that is not bound; or -1, and the test is to end. */
static int open_lend(struct __test_metadata *_metadata)
{
	int fd = open(LEND_DEV, O_RDWR | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		SKIP(return -1, "no " LEND_DEV ": no Xen, or no driver");
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		SKIP(return -1, LEND_DEV " is for root");
	EXPECT_GE(fd, 0)
		TH_LOG("open: %s", strerror(errno));
	/* Xen has to answer that, before it knows that there is no domain. */
	if (fd >= 0 && bind_to(fd, DOMID_NOT_THERE) == EOPNOTSUPP) {
		close(fd);
		SKIP(return -1, "this Xen does not know about lending");
	}
	return fd;
}

/* One that is bound to the domain of the environment; likewise. */
static int open_bound(struct __test_metadata *_metadata, __u32 *domid)
{
	const char *name = getenv("XEN_LEND_DOMID");
	int fd;

	if (!name)
		SKIP(return -1, "XEN_LEND_DOMID names no domain to lend to");
	*domid = strtoul(name, NULL, 0);
	fd = open_lend(_metadata);
	if (fd >= 0)
		EXPECT_EQ(0, bind_to(fd, *domid));
	return fd;
}

FIXTURE(file)
{
	int fd;
};

FIXTURE_SETUP(file)
{
	self->fd = open_lend(_metadata);
}

FIXTURE_TEARDOWN(file)
{
	close(self->fd);
}

TEST_F(file, mode)
{
	struct stat st;

	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	/* For root alone, unless somebody has said otherwise. */
	EXPECT_EQ(0, st.st_mode & 0007);
}

TEST_F(file, file_operations)
{
	struct epoll_event ev = { .events = EPOLLIN };
	char buf[8] = {};
	int ep;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED, self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE,
				   self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, read(self->fd, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, buf, sizeof(buf)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->fd, buf, sizeof(buf), 0));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, lseek(self->fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fsync(self->fd));
	EXPECT_EQ(EINVAL, errno);

	ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_GE(ep, 0);
	EXPECT_EQ(-1, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &ev));
	EXPECT_EQ(EPERM, errno);
	close(ep);
}

TEST_F(file, unknown_calls)
{
	char buf[256] = {};

	EXPECT_EQ(ENOTTY, call(self->fd, _IO('L', 0x5f), buf));
	EXPECT_EQ(ENOTTY, call(self->fd, _IO('L', 0x67), buf));
	EXPECT_EQ(ENOTTY, call(self->fd, _IO('L', 0xff), buf));
	EXPECT_EQ(ENOTTY, call(self->fd, _IO('P', 0x60), buf));
}

TEST_F(file, info)
{
	struct xen_lend_info i = { .size = sizeof(i), .domid = 7 };

	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_INFO, &i));
	EXPECT_EQ(sizeof(i), i.size);
	EXPECT_EQ(XEN_LEND_ABI_VERSION, i.abi);
	EXPECT_NE(0, i.features & XEN_LEND_FEAT_INFO);
	EXPECT_EQ(XEN_LEND_UNBOUND, i.domid);

	i = (struct xen_lend_info){ .size = sizeof(i), .pad = 1 };
	EXPECT_EQ(EINVAL, call(self->fd, XEN_LEND_IOC_INFO, &i));
	EXPECT_EQ(EFAULT, call(self->fd, XEN_LEND_IOC_INFO, NULL));
}

TEST_F(file, info_needs_no_privilege)
{
	struct xen_lend_info i = { .size = sizeof(i) };

	ASSERT_TRUE(become_nobody());
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_INFO, &i));
	EXPECT_EQ(XEN_LEND_UNBOUND, i.domid);
}

TEST_F(file, not_bound)
{
	struct xen_lend_lease l = { .size = sizeof(l) };
	struct xen_lend_unlease u = { .size = sizeof(u) };
	struct xen_lend_resolve r = { .size = sizeof(r) };
	struct xen_lend_stats s = { .size = sizeof(s) };

	EXPECT_EQ(ENOTCONN, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	EXPECT_EQ(ENOTCONN, call(self->fd, XEN_LEND_IOC_UNLEASE, &u));
	EXPECT_EQ(ENOTCONN, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
	EXPECT_EQ(ENOTCONN, call(self->fd, XEN_LEND_IOC_STATS, &s));
	/* The argument is not looked at. */
	EXPECT_EQ(ENOTCONN, call(self->fd, XEN_LEND_IOC_LEASE, NULL));
}

TEST_F(file, bind_wrong)
{
	struct xen_lend_bind b = { .size = sizeof(b), .pad = 1 };

	EXPECT_EQ(EINVAL, call(self->fd, XEN_LEND_IOC_BIND, &b));
	EXPECT_EQ(EFAULT, call(self->fd, XEN_LEND_IOC_BIND, NULL));
	EXPECT_EQ(EINVAL, bind_to(self->fd, DOMID_ITSELF));
	EXPECT_EQ(EINVAL, bind_to(self->fd, 0xffff));
	EXPECT_EQ(EINVAL, bind_to(self->fd, 0x10000));
	EXPECT_EQ(EINVAL, bind_to(self->fd, UINT_MAX));
	EXPECT_EQ(ESRCH, bind_to(self->fd, DOMID_NOT_THERE));
	/* Nobody lends to himself. */
	EXPECT_EQ(EPERM, bind_to(self->fd, 0));

	/* None of them has bound it. */
	EXPECT_EQ(ENOTCONN, unlease(self->fd, 1));
}

TEST_F(file, bind_needs_privilege)
{
	ASSERT_TRUE(become_nobody());
	EXPECT_EQ(EPERM, bind_to(self->fd, DOMID_NOT_THERE));
	EXPECT_EQ(EPERM, bind_to(self->fd, 0));
	/* Before anything else. */
	EXPECT_EQ(EPERM, call(self->fd, XEN_LEND_IOC_BIND, NULL));
}

/*
 * The sizes that structures may have.  @good is what a call says that is right
 * in this respect.
 */
FIXTURE(size)
{
	int fd;
};

FIXTURE_VARIANT(size)
{
	unsigned long cmd;
	/* In version 1, and now. */
	__u32 min, now;
	int good;
	bool bound;
};

FIXTURE_VARIANT_ADD(size, bind)
{
	.cmd = XEN_LEND_IOC_BIND,
	.min = sizeof(struct xen_lend_bind),
	.now = sizeof(struct xen_lend_bind),
	/* Domain 0, ourselves. */
	.good = EPERM,
};

FIXTURE_VARIANT_ADD(size, info)
{
	.cmd = XEN_LEND_IOC_INFO,
	.min = sizeof(struct xen_lend_info),
	.now = sizeof(struct xen_lend_info),
};

FIXTURE_VARIANT_ADD(size, lease)
{
	.cmd = XEN_LEND_IOC_LEASE,
	.min = offsetof(struct xen_lend_lease, fd),
	.now = sizeof(struct xen_lend_lease),
	/*
	 * No length.  EINVAL is also what a wrong size gives, so that a size
	 * that is too small is looked for in test lease.smaller.
	 */
	.good = EINVAL,
	.bound = true,
};

FIXTURE_VARIANT_ADD(size, unlease)
{
	.cmd = XEN_LEND_IOC_UNLEASE,
	.min = sizeof(struct xen_lend_unlease),
	.now = sizeof(struct xen_lend_unlease),
	.good = ENOENT,
	.bound = true,
};

FIXTURE_VARIANT_ADD(size, resolve)
{
	.cmd = XEN_LEND_IOC_RESOLVE,
	.min = sizeof(struct xen_lend_resolve),
	.now = sizeof(struct xen_lend_resolve),
	.good = ENOENT,
	.bound = true,
};

FIXTURE_VARIANT_ADD(size, stats)
{
	.cmd = XEN_LEND_IOC_STATS,
	.min = offsetof(struct xen_lend_stats, waiting),
	.now = sizeof(struct xen_lend_stats),
	.good = ENOENT,
	.bound = true,
};

FIXTURE_SETUP(size)
{
	__u32 domid;

	self->fd = variant->bound ? open_bound(_metadata, &domid) :
				    open_lend(_metadata);
}

FIXTURE_TEARDOWN(size)
{
	close(self->fd);
}

TEST_F(size, sizes)
{
	__u32 now = variant->now;
	struct {
		__u32 size;
		__u8 rest[2 * PAGE];
	} *arg = calloc(1, sizeof(*arg));
	__u8 *tail = (__u8 *)arg + now;
	__u32 size;
	char *edge;

	ASSERT_NE(NULL, arg);
	/* As long as it is. */
	arg->size = now;
	EXPECT_EQ(variant->good, call(self->fd, variant->cmd, arg));

	/* Shorter than it ever was. */
	for (size = 0; size < variant->min; size++) {
		memset(arg, 0, now);
		arg->size = size;
		EXPECT_EQ(EINVAL, call(self->fd, variant->cmd, arg))
			TH_LOG("size %u", size);
	}

	/* Of a newer program that does not use what is new, up to a page. */
	for (size = now + 1; size <= PAGE; size++) {
		memset(arg, 0, now);
		arg->size = size;
		EXPECT_EQ(variant->good, call(self->fd, variant->cmd, arg))
			TH_LOG("size %u", size);
		if (variant->good)
			continue;
		/* Told as it was, and what is not known is let be. */
		EXPECT_EQ(size, arg->size);
		EXPECT_EQ(0, tail[0]);
	}

	/* Which does use it: first and last byte. */
	memset(arg, 0, now);
	arg->size = now + 8;
	tail[0] = 1;
	EXPECT_EQ(E2BIG, call(self->fd, variant->cmd, arg));
	tail[0] = 0;
	tail[7] = 0x80;
	EXPECT_EQ(E2BIG, call(self->fd, variant->cmd, arg));
	/* Past the end: none of the caller's. */
	tail[7] = 0;
	tail[8] = 1;
	EXPECT_EQ(variant->good, call(self->fd, variant->cmd, arg));
	tail[8] = 0;

	/* Longer than a page, zeros or not. */
	memset(arg, 0, now);
	arg->size = PAGE + 1;
	EXPECT_EQ(E2BIG, call(self->fd, variant->cmd, arg));
	arg->size = UINT_MAX;
	EXPECT_EQ(E2BIG, call(self->fd, variant->cmd, arg));

	/* What is read is as long as it says, and no longer. */
	edge = at_edge(now);
	ASSERT_NE(NULL, edge);
	*(__u32 *)edge = now;
	EXPECT_EQ(variant->good, call(self->fd, variant->cmd, edge));
	*(__u32 *)edge = now + 8;
	EXPECT_EQ(EFAULT, call(self->fd, variant->cmd, edge));
	free(arg);
}

/* A file that is bound, and the ioreq server that leases want. */

FIXTURE(lease)
{
	int fd;
	int privcmd;
	__u32 domid;
	__u16 server;
	__u64 gfn;
	char *mem;
};

FIXTURE_SETUP(lease)
{
	const char *gfn = getenv("XEN_LEND_GFN");
	struct dm_op op = { .op = DMOP_CREATE_IOREQ_SERVER };

	self->gfn = gfn ? strtoull(gfn, NULL, 0) : 0x100000;
	self->fd = open_bound(_metadata, &self->domid);
	if (self->fd < 0)
		return;
	self->privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	ASSERT_GE(self->privcmd, 0)
		TH_LOG("/dev/xen/privcmd: %s", strerror(errno));
	self->mem = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	/* Last: without teardown, nothing else would stay behind. */
	ASSERT_EQ(0, do_dm_op(self->privcmd, self->domid, &op));
	self->server = op.create.id;
}

FIXTURE_TEARDOWN(lease)
{
	struct dm_op op = { .op = DMOP_DESTROY_IOREQ_SERVER };

	/* First the leases, then the server. */
	close(self->fd);
	op.destroy.id = self->server;
	EXPECT_EQ(0, do_dm_op(self->privcmd, self->domid, &op));
	close(self->privcmd);
}

/* A lease that is right. */
#define LEASE() ((struct xen_lend_lease){				\
	.size = sizeof(struct xen_lend_lease),				\
	.addr = (uintptr_t)self->mem,					\
	.len = NR_PAGES * PAGE,						\
	.gfn = self->gfn,						\
	.memtype = XEN_LEND_MEMTYPE_WB,					\
	.ioserv = self->server,						\
})

/* What comes of one that is right but for one field. */
#define WITH(field, value) ({						\
	struct xen_lend_lease _l = LEASE();			\
	_l.field = (value);						\
	call(self->fd, XEN_LEND_IOC_LEASE, &_l);			\
})

TEST_F(lease, bound)
{
	struct xen_lend_info i = { .size = sizeof(i) };
	struct xen_lend_bind b = { .size = sizeof(b), .domid = self->domid };
	int other;

	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_INFO, &i));
	EXPECT_EQ(self->domid, i.domid);

	/* Once and for all: not to the same domain, and not to another one. */
	EXPECT_EQ(EBUSY, bind_to(self->fd, self->domid));
	EXPECT_EQ(EBUSY, bind_to(self->fd, DOMID_NOT_THERE));

	other = open(LEND_DEV, O_RDWR | O_CLOEXEC);
	ASSERT_GE(other, 0);
	EXPECT_EQ(0, call(other, XEN_LEND_IOC_BIND, &b));
	EXPECT_EQ(XEN_LEND_ABI_VERSION, b.abi);
	EXPECT_EQ(i.features, b.features);
	close(other);
}

TEST_F(lease, bound_needs_no_privilege)
{
	struct xen_lend_stats s = { .size = sizeof(s), .next = 1 };
	struct xen_lend_lease l = LEASE();
	struct xen_lend_resolve r = { .size = sizeof(r) };

	ASSERT_TRUE(become_nobody());
	EXPECT_EQ(ENOENT, call(self->fd, XEN_LEND_IOC_STATS, &s));
	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	r.id = l.id;
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
	EXPECT_EQ(XEN_LEND_INSTALLED, r.result);
	EXPECT_EQ(0, unlease(self->fd, l.id));
}

TEST_F(lease, wrong_arguments)
{
	struct xen_lend_lease l;

	EXPECT_EQ(EINVAL, WITH(flags, 1U << 5));
	EXPECT_EQ(EINVAL, WITH(flags, 1U << 31));
	EXPECT_EQ(EINVAL, WITH(pad, 1));
	EXPECT_EQ(EINVAL, WITH(memtype, 2));
	EXPECT_EQ(EINVAL, WITH(memtype, 4));
	EXPECT_EQ(EINVAL, WITH(memtype, UINT_MAX));
	EXPECT_EQ(EINVAL, WITH(ioserv, 0x10000));
	EXPECT_EQ(ENOENT, WITH(ioserv, 0xffff));
	EXPECT_EQ(EINVAL, WITH(around, PAGE / 2));
	EXPECT_EQ(EINVAL, WITH(around, 3 * PAGE));
	EXPECT_EQ(EINVAL, WITH(around, 4U << 20));

	/* Not aligned, or nothing. */
	EXPECT_EQ(EINVAL, WITH(addr, (uintptr_t)self->mem + 1));
	EXPECT_EQ(EINVAL, WITH(addr, (uintptr_t)self->mem + 2048));
	EXPECT_EQ(EINVAL, WITH(len, 0));
	EXPECT_EQ(EINVAL, WITH(len, PAGE - 1));
	EXPECT_EQ(EINVAL, WITH(len, PAGE + 1));

	/* Too much, in memory and in the guest. */
	EXPECT_EQ(EINVAL, WITH(len, (1ULL << 40) + PAGE));
	EXPECT_EQ(EINVAL, WITH(len, 1ULL << 63));
	EXPECT_EQ(EINVAL, WITH(len, -PAGE));
	EXPECT_EQ(EINVAL, WITH(addr, -PAGE));
	EXPECT_EQ(EINVAL, WITH(addr, 1ULL << 63));
	EXPECT_EQ(EINVAL, WITH(gfn, -1ULL));
	EXPECT_EQ(EINVAL, WITH(gfn, 1ULL << 52));
	EXPECT_EQ(EINVAL, WITH(gfn, (1ULL << 52) - 1));

	/* What belongs to a file, without XEN_LEND_FD; and the other way. */
	EXPECT_EQ(EINVAL, WITH(fd, self->fd));
	EXPECT_EQ(EINVAL, WITH(offset, PAGE));
	EXPECT_EQ(EINVAL, WITH(flags, XEN_LEND_FD));

	/* Nothing of all this has left anything. */
	l = LEASE();
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	EXPECT_NE(0, l.id);
	EXPECT_EQ(0, unlease(self->fd, l.id));
}

TEST_F(lease, overlaps)
{
	struct xen_lend_lease l = LEASE(), m;

	/* Guest RAM. */
	EXPECT_EQ(EEXIST, WITH(gfn, 0x100));

	l.gfn += 2;
	l.len = 4 * PAGE;
	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));

	/* The same, all around, the last, the first, one within. */
	m = l;
	EXPECT_EQ(EEXIST, call(self->fd, XEN_LEND_IOC_LEASE, &m));
	m = LEASE();
	EXPECT_EQ(EEXIST, call(self->fd, XEN_LEND_IOC_LEASE, &m));
	m = l;
	m.gfn += 3;
	EXPECT_EQ(EEXIST, call(self->fd, XEN_LEND_IOC_LEASE, &m));
	m = l;
	m.gfn -= 1;
	m.len = 2 * PAGE;
	EXPECT_EQ(EEXIST, call(self->fd, XEN_LEND_IOC_LEASE, &m));
	m.gfn = l.gfn + 1;
	m.len = PAGE;
	EXPECT_EQ(EEXIST, call(self->fd, XEN_LEND_IOC_LEASE, &m));

	/* Beside it, and of the same memory: why not. */
	m = l;
	m.gfn += 4;
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &m));
	EXPECT_NE(l.id, m.id);
	EXPECT_EQ(0, unlease(self->fd, l.id));
	EXPECT_EQ(ENOENT, unlease(self->fd, l.id));
	EXPECT_EQ(0, unlease(self->fd, m.id));
	EXPECT_EQ(ENOENT, unlease(self->fd, 0));
	EXPECT_EQ(ENOENT, unlease(self->fd, UINT_MAX));
}

/* As a program of version 1 has it. */
TEST_F(lease, smaller)
{
	struct xen_lend_lease l = LEASE(), *edge;
	size_t v1 = offsetof(struct xen_lend_lease, fd);

	l.size = v1 - 1;
	EXPECT_EQ(EINVAL, call(self->fd, XEN_LEND_IOC_LEASE, &l));

	/* What lies behind is not looked at. */
	l.size = v1;
	l.pad = 1;
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	EXPECT_EQ(0, unlease(self->fd, l.id));

	/* In between: the bytes that are missing are zero. */
	l.pad = 0;
	l.size = offsetof(struct xen_lend_lease, offset);
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	EXPECT_EQ(0, unlease(self->fd, l.id));

	/* Nor is anything written there. */
	edge = at_edge(v1);
	ASSERT_NE(NULL, edge);
	l.size = v1;
	memcpy(edge, &l, v1);
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, edge));
	EXPECT_EQ(v1, edge->size);
	EXPECT_EQ(0, unlease(self->fd, edge->id));
}

/* An id that cannot be told is of no use: no lease then. */
TEST_F(lease, answer_cannot_be_written)
{
	struct xen_lend_lease *l = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct xen_lend_stats s = { .size = sizeof(s), .next = 1 };

	ASSERT_NE(MAP_FAILED, l);
	*l = LEASE();
	ASSERT_EQ(0, mprotect(l, PAGE, PROT_READ));
	EXPECT_EQ(EFAULT, call(self->fd, XEN_LEND_IOC_LEASE, l));
	EXPECT_EQ(ENOENT, call(self->fd, XEN_LEND_IOC_STATS, &s));
}

TEST_F(lease, resolve)
{
	struct xen_lend_lease l = LEASE();
	struct xen_lend_resolve r;

	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));

#define RESOLVE(...) ({							\
	r = (struct xen_lend_resolve){ .size = sizeof(r), .id = l.id,	\
				       __VA_ARGS__ };			\
	call(self->fd, XEN_LEND_IOC_RESOLVE, &r);			\
})
	EXPECT_EQ(EINVAL, RESOLVE(.flags = 1U << 2));
	EXPECT_EQ(EINVAL, RESOLVE(.flags = 1U << 31));
	EXPECT_EQ(EINVAL, RESOLVE(.offset = NR_PAGES * PAGE));
	EXPECT_EQ(EINVAL, RESOLVE(.offset = -1ULL));
	EXPECT_EQ(EINVAL, RESOLVE(.nr = 1));
	EXPECT_EQ(EINVAL, RESOLVE(.flags = XEN_LEND_PREFAULT));
	EXPECT_EQ(EINVAL, RESOLVE(.flags = XEN_LEND_PREFAULT,
				  .nr = NR_PAGES + 1));
	EXPECT_EQ(EINVAL, RESOLVE(.flags = XEN_LEND_PREFAULT, .nr = 2,
				  .offset = (NR_PAGES - 1) * PAGE));
	r = (struct xen_lend_resolve){ .size = sizeof(r), .id = l.id + 1 };
	EXPECT_EQ(ENOENT, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));

	/* The last byte, all of it, and what was not there before. */
	EXPECT_EQ(0, RESOLVE(.offset = NR_PAGES * PAGE - 1,
			     .flags = XEN_LEND_WRITE));
	EXPECT_EQ(XEN_LEND_INSTALLED, r.result);
	EXPECT_EQ(0, r.err);
	EXPECT_GE(r.installed, 1);
	EXPECT_EQ(0, RESOLVE(.flags = XEN_LEND_PREFAULT | XEN_LEND_WRITE,
			     .nr = NR_PAGES));
	EXPECT_EQ(XEN_LEND_INSTALLED, r.result);
	EXPECT_EQ(NR_PAGES, r.nr);

	/* A page that is not there. */
	ASSERT_EQ(0, munmap(self->mem, PAGE));
	EXPECT_EQ(0, RESOLVE(.offset = 0));
	EXPECT_EQ(XEN_LEND_FAILED, r.result);
	EXPECT_EQ(EFAULT, r.err);
#undef RESOLVE
	EXPECT_EQ(0, unlease(self->fd, l.id));
}

TEST_F(lease, readonly)
{
	struct xen_lend_lease l = LEASE();
	struct xen_lend_resolve r = { .size = sizeof(r) };

	l.flags = XEN_LEND_READONLY;
	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	r.id = l.id;
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
	EXPECT_EQ(XEN_LEND_INSTALLED, r.result);
	r = (struct xen_lend_resolve){ .size = sizeof(r), .id = l.id,
				       .flags = XEN_LEND_WRITE };
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
	EXPECT_EQ(XEN_LEND_FAILED, r.result);
	EXPECT_EQ(EACCES, r.err);
}

TEST_F(lease, zeros)
{
	struct xen_lend_lease l = LEASE();
	struct xen_lend_resolve r = { .size = sizeof(r) };

	l.flags = XEN_LEND_POLICY_ZERO;
	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	ASSERT_EQ(0, munmap(self->mem, NR_PAGES * PAGE));
	r.id = l.id;
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
	EXPECT_EQ(XEN_LEND_ZEROED, r.result);
	EXPECT_EQ(EFAULT, r.err);
	r = (struct xen_lend_resolve){ .size = sizeof(r), .id = l.id,
				       .flags = XEN_LEND_WRITE };
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
	EXPECT_EQ(XEN_LEND_FAILED, r.result);
	EXPECT_EQ(EFAULT, r.err);
}

TEST_F(lease, file)
{
	int memfd = memfd_create("xen_lend_test", MFD_CLOEXEC);
	int readable = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct xen_lend_lease l;
	struct xen_lend_resolve r = { .size = sizeof(r) };

	ASSERT_GE(memfd, 0);
	ASSERT_GE(readable, 0);
	ASSERT_EQ(0, ftruncate(memfd, NR_PAGES * PAGE));
	l = LEASE();
	l.flags = XEN_LEND_FD;
	l.addr = 0;

#define FILE_WITH(field, value) ({					\
	struct xen_lend_lease _f = l;					\
	_f.field = (value);						\
	call(self->fd, XEN_LEND_IOC_LEASE, &_f);			\
})
	l.fd = memfd;
	EXPECT_EQ(EBADF, FILE_WITH(fd, -1));
	EXPECT_EQ(ENODEV, FILE_WITH(fd, self->fd));
	EXPECT_EQ(EACCES, FILE_WITH(fd, readable));
	EXPECT_EQ(EINVAL, FILE_WITH(addr, (uintptr_t)self->mem));
	EXPECT_EQ(EINVAL, FILE_WITH(offset, 8));
	EXPECT_EQ(EINVAL, FILE_WITH(pad, 1));
	EXPECT_EQ(EOVERFLOW, FILE_WITH(offset, 1ULL << 63));
#undef FILE_WITH

	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	/* The lease has no need of the descriptor. */
	close(memfd);
	r.id = l.id;
	EXPECT_EQ(0, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
	EXPECT_EQ(XEN_LEND_INSTALLED, r.result);
	EXPECT_EQ(0, unlease(self->fd, l.id));
}

/* Of a memfd with nothing in it, page after page is written to. */
TEST_F(lease, stream)
{
	struct xen_lend_info i = { .size = sizeof(i) };
	__u32 flags[] = { XEN_LEND_NO_AHEAD, 0 };
	int memfd, ahead;

	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_INFO, &i));
	ASSERT_NE(0, i.features & XEN_LEND_FEAT_STREAM);

	for (ahead = 0; ahead <= 1; ahead++) {
		struct xen_lend_lease l = LEASE();
		struct xen_lend_stats s = { .size = sizeof(s) };
		struct stat st;
		__u32 page;

		memfd = memfd_create("xen_lend_test", MFD_CLOEXEC);
		ASSERT_GE(memfd, 0);
		ASSERT_EQ(0, ftruncate(memfd, NR_PAGES * PAGE));
		l.flags = XEN_LEND_FD | flags[ahead];
		l.addr = 0;
		l.fd = memfd;
		ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
		for (page = 0; page < 3; page++) {
			struct xen_lend_resolve r = {
				.size = sizeof(r),
				.id = l.id,
				.offset = page * PAGE,
				.flags = XEN_LEND_WRITE,
				.stream = 5,
			};

			ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
			EXPECT_EQ(XEN_LEND_INSTALLED, r.result);
		}
		s.id = l.id;
		ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_STATS, &s));
		ASSERT_EQ(0, fstat(memfd, &st));
		if (ahead) {
			EXPECT_GT(s.installed, 3);
			EXPECT_GT(st.st_blocks * 512, 3 * PAGE);
		} else {
			EXPECT_EQ(3, s.installed);
			EXPECT_EQ(st.st_blocks * 512, 3 * PAGE);
		}
		EXPECT_EQ(0, unlease(self->fd, l.id));
		close(memfd);
	}
}

TEST_F(lease, stats)
{
	struct xen_lend_lease l = LEASE();
	struct xen_lend_resolve r = { .size = sizeof(r),
				      .flags = XEN_LEND_PREFAULT,
				      .nr = NR_PAGES };
	struct xen_lend_stats s = { .size = sizeof(s), .next = 2 };

	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_LEASE, &l));
	EXPECT_EQ(EINVAL, call(self->fd, XEN_LEND_IOC_STATS, &s));

	r.id = l.id;
	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_RESOLVE, &r));
	s = (struct xen_lend_stats){ .size = sizeof(s), .next = 1 };
	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_STATS, &s));
	EXPECT_EQ(l.id, s.id);
	EXPECT_EQ(self->gfn, s.gfn);
	EXPECT_EQ(NR_PAGES * PAGE, s.len);
	EXPECT_EQ(0, s.flags);
	EXPECT_EQ(NR_PAGES, s.installed);
	EXPECT_EQ(1, s.resolves);

	/* When this returns, nothing of the page is the guest's any more. */
	ASSERT_EQ(0, munmap(self->mem, PAGE));
	s = (struct xen_lend_stats){ .size = sizeof(s), .id = l.id };
	ASSERT_EQ(0, call(self->fd, XEN_LEND_IOC_STATS, &s));
	EXPECT_LE(s.installed, NR_PAGES - 1);
	EXPECT_GE(s.revoked, 1);

	/* After the last one there is none. */
	s = (struct xen_lend_stats){ .size = sizeof(s), .id = l.id + 1,
				     .next = 1 };
	EXPECT_EQ(ENOENT, call(self->fd, XEN_LEND_IOC_STATS, &s));
	s = (struct xen_lend_stats){ .size = sizeof(s), .id = l.id + 1 };
	EXPECT_EQ(ENOENT, call(self->fd, XEN_LEND_IOC_STATS, &s));
}

/* The last descriptor takes the leases along, in whatever process it is. */
TEST_F(lease, close_ends_leases)
{
	struct xen_lend_lease l = LEASE();
	int fd = open(LEND_DEV, O_RDWR | O_CLOEXEC), copy;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, bind_to(fd, self->domid));
	ASSERT_EQ(0, call(fd, XEN_LEND_IOC_LEASE, &l));
	copy = dup(fd);
	ASSERT_GE(copy, 0);
	close(fd);
	EXPECT_EQ(EEXIST, WITH(len, PAGE));
	close(copy);
	EXPECT_EQ(0, WITH(len, PAGE));
}

TEST_HARNESS_MAIN
