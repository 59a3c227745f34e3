// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_bad DOMID [GFN]: wrong arguments, each with the errno it has to give; TAP.
 */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "lendtest.h"

static void bad_bind(void)
{
    struct {
        struct xen_lend_bind b;
        uint64_t tail[2];
    } arg;
    static const struct {
        const char *name;
        uint32_t size, domid, pad;
        uint64_t tail;
        int err;
    } cases[] = {
        { "bind, size 0",                  0, 1, 0, 0, EINVAL },
        { "bind, size 4",                  4, 1, 0, 0, EINVAL },
        { "bind, one byte short",          sizeof(struct xen_lend_bind) - 1, 1, 0, 0, EINVAL },
        { "bind, longer with a set field", sizeof(struct xen_lend_bind) + 8, 1, 0, 1, E2BIG },
        { "bind, longer than a page",      PAGE + 8, 1, 0, 0, E2BIG },
        { "bind, size 2^32-1",             UINT32_MAX, 1, 0, 0, E2BIG },
        { "bind, padding",                 sizeof(struct xen_lend_bind), 1, 1, 0, EINVAL },
        { "bind, DOMID_SELF",              sizeof(struct xen_lend_bind), 0x7ff0, 0, 0, EINVAL },
        { "bind, domid over 16 bits",      sizeof(struct xen_lend_bind), 0x10001, 0, 0, EINVAL },
        { "bind, no such domain",          sizeof(struct xen_lend_bind), 0x7fe0, 0, 0, ESRCH },
        { "bind, ourselves",               sizeof(struct xen_lend_bind), 0, 0, 0, EPERM },
    };
    int fd = lend_open(), err;
    struct xen_lend_lease l = { .size = sizeof(l) };
    struct xen_lend_unlease u = { .size = sizeof(u) };
    struct xen_lend_resolve r = { .size = sizeof(r) };
    struct xen_lend_stats s = { .size = sizeof(s) };

    is(call(fd, XEN_LEND_IOC_LEASE, &l), ENOTCONN, "lease before bind");
    is(call(fd, XEN_LEND_IOC_UNLEASE, &u), ENOTCONN, "unlease before bind");
    is(call(fd, XEN_LEND_IOC_RESOLVE, &r), ENOTCONN, "resolve before bind");
    is(call(fd, XEN_LEND_IOC_STATS, &s), ENOTCONN, "stats before bind");
    is(call(fd, _IO('L', 0x5f), &s), ENOTTY, "ioctl number below ours");
    is(call(fd, _IO('L', 0x67), &s), ENOTTY, "ioctl number above ours");
    is(call(fd, _IO('P', 0x60), &s), ENOTTY, "ioctl of another type");

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        memset(&arg, 0, sizeof(arg));
        arg.b.size = cases[i].size;
        arg.b.domid = cases[i].domid;
        arg.b.pad = cases[i].pad;
        arg.tail[0] = cases[i].tail;
        if (arg.b.domid == 1)
            arg.b.domid = domid;
        is(call(fd, XEN_LEND_IOC_BIND, &arg), cases[i].err, cases[i].name);
    }
    is(call(fd, XEN_LEND_IOC_BIND, NULL), EFAULT, "bind, null pointer");
    is(call(fd, XEN_LEND_IOC_BIND, (void *)~7UL), EFAULT, "bind, pointer into the kernel");

    if (!fork()) {
        struct xen_lend_bind b = { .size = sizeof(b), .domid = domid };

        if (setuid(65534))
            _exit(99);
        _exit(call(fd, XEN_LEND_IOC_BIND, &b));
    }
    wait(&err);
    is(WEXITSTATUS(err), EPERM, "bind without privilege");

    memset(&arg, 0, sizeof(arg));
    arg.b.size = sizeof(arg.b) + 8;
    arg.b.domid = domid;
    is(call(fd, XEN_LEND_IOC_BIND, &arg), 0, "bind, longer with zeros (a newer program)");
    ok(arg.b.abi == XEN_LEND_ABI_VERSION, "the version is told: %u", arg.b.abi);
    ok(arg.b.features & XEN_LEND_FEAT_READONLY, "features are told: %#llx", (unsigned long long)arg.b.features);
    ok(arg.b.size == sizeof(arg.b) + 8, "the size is left as it was");
    is(call(fd, XEN_LEND_IOC_BIND, &arg), EBUSY, "bind again");

    if (!fork()) {
        if (setuid(65534))
            _exit(99);
        _exit(call(fd, XEN_LEND_IOC_STATS, &(struct xen_lend_stats){ .size = sizeof(s), .next = 1 }));
    }
    wait(&err);
    is(WEXITSTATUS(err), ENOENT, "a bound file needs no privilege (no lease yet)");
    close(fd);
}

static void bad_lease(int fd, char *mem, size_t len)
{
#define L(...) { .size = sizeof(struct xen_lend_lease), .addr = (uintptr_t)mem, .len = len, .gfn = gfn, \
                 .memtype = XEN_LEND_MEMTYPE_WB, .ioserv = ioserv, __VA_ARGS__ }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    const struct {
        const char *name;
        struct xen_lend_lease l;
        int err;
    } cases[] = {
        { "lease, size 0",                 L(.size = 0), EINVAL },
        { "lease, shorter than version 1", L(.size = offsetof(struct xen_lend_lease, fd) - 1), EINVAL },
        { "lease, unknown flag",           L(.flags = 32), EINVAL },
        { "lease, all flags",              L(.flags = ~0U), EINVAL },
        { "lease, address not aligned",    L(.addr = (uintptr_t)mem + 1), EINVAL },
        { "lease, address in the kernel",  L(.addr = 0xffff800000000000), EINVAL },
        { "lease, past the user's part",   L(.addr = 0x7ffffffff000), EINVAL },
        { "lease, address wraps",          L(.addr = -PAGE, .len = 2 * PAGE), EINVAL },
        { "lease, not canonical",          L(.addr = 1ULL << 62), EINVAL },
        { "lease, length 0",               L(.len = 0), EINVAL },
        { "lease, length 1",               L(.len = 1), EINVAL },
        { "lease, length not aligned",     L(.len = PAGE + 8), EINVAL },
        { "lease, 2^40 bytes and a page",  L(.len = (1ULL << 40) + PAGE), EINVAL },
        { "lease, length 2^63",            L(.len = 1ULL << 63), EINVAL },
        { "lease, length -4096",           L(.len = -PAGE), EINVAL },
        { "lease, gfn wraps",              L(.gfn = -1ULL), EINVAL },
        { "lease, gfn of 53 bits",         L(.gfn = 1ULL << 52), EINVAL },
        { "lease, past the guest's width", L(.gfn = 1ULL << 41), EINVAL },
        { "lease, memory type 2",          L(.memtype = 2), EINVAL },
        { "lease, memory type 4 (WT)",     L(.memtype = 4), EINVAL },
        { "lease, memory type -1",         L(.memtype = -1), EINVAL },
        { "lease, no such ioreq server",   L(.ioserv = ioserv + 1), ENOENT },
        { "lease, ioreq server 65535",     L(.ioserv = 65535), ENOENT },
        { "lease, ioreq server 65536",     L(.ioserv = 65536), EINVAL },
        { "lease, around 1",               L(.around = 1), EINVAL },
        { "lease, around 2048",            L(.around = 2048), EINVAL },
        { "lease, around 12288",           L(.around = 12288), EINVAL },
        { "lease, around 4 MiB",           L(.around = 4 << 20), EINVAL },
        { "lease, around 2^31",            L(.around = 1U << 31), EINVAL },
        { "lease, guest RAM in the way",   L(.gfn = 0x100), EEXIST },
        { "lease, RAM in the first page",  L(.gfn = 0), EEXIST },
    };
#pragma GCC diagnostic pop
#undef L
    struct xen_lend_lease l, m;
    struct xen_lend_lease *half;
    char *edge;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        l = cases[i].l;
        is(call(fd, XEN_LEND_IOC_LEASE, &l), cases[i].err, cases[i].name);
    }
    is(call(fd, XEN_LEND_IOC_LEASE, NULL), EFAULT, "lease, null pointer");

    /* A structure that ends at an unmapped page, one that reaches into it, and one that cannot be written back to. */
    edge = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + PAGE, PAGE);
    half = (void *)(edge + PAGE - 16);
    half->size = sizeof(*half);
    is(call(fd, XEN_LEND_IOC_LEASE, half), EFAULT, "lease, structure half unmapped");
    half = (void *)(edge + PAGE - sizeof(*half));
    *half = lease_of(mem, len, gfn);
    mprotect(edge, PAGE, PROT_READ);
    is(call(fd, XEN_LEND_IOC_LEASE, half), EFAULT, "lease, structure read-only");
    munmap(edge, PAGE);

    l = lease_of(mem, len, gfn);
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "lease, everything right (and the last one left nothing)");
    ok(l.id != 0, "its id is not 0");
    m = lease_of(mem, len, gfn);
    is(call(fd, XEN_LEND_IOC_LEASE, &m), EEXIST, "the same frames again");
    m = lease_of(mem, PAGE, gfn + len / PAGE - 1);
    is(call(fd, XEN_LEND_IOC_LEASE, &m), EEXIST, "the last frame again");
    m = lease_of(mem, 2 * PAGE, gfn - 1);
    is(call(fd, XEN_LEND_IOC_LEASE, &m), EEXIST, "the frame before and the first again");
    m = lease_of(mem, len, gfn + len / PAGE);
    is(call(fd, XEN_LEND_IOC_LEASE, &m), 0, "the same memory at the frames that follow");
    is(unlease(fd, m.id), 0, "and away with it");
    is(unlease(fd, m.id), ENOENT, "unlease twice");
    is(unlease(fd, 0), ENOENT, "unlease 0");
    is(unlease(fd, -1), ENOENT, "unlease 2^32-1");
    is(unlease(fd, l.id), 0, "unlease");
}

static void info(int fd, unsigned who, const char *what)
{
    struct xen_lend_info i = { .size = sizeof(i) };

    is(call(fd, XEN_LEND_IOC_INFO, &i), 0, what);
    ok(i.abi == XEN_LEND_ABI_VERSION && i.features & XEN_LEND_FEAT_FD && i.domid == who,
       "says version %u, features %#llx, domain %u", i.abi, (unsigned long long)i.features, i.domid);
    i = (struct xen_lend_info){ .size = sizeof(i), .pad = 1 };
    is(call(fd, XEN_LEND_IOC_INFO, &i), EINVAL, "info, padding");
    i = (struct xen_lend_info){ .size = sizeof(i) - 1 };
    is(call(fd, XEN_LEND_IOC_INFO, &i), EINVAL, "info, too short");
}

/* A lease of a file by a newer program, or a bad one. */
static void bad_fd(int fd, char *mem)
{
    int file = memfd_create("lend_bad", MFD_CLOEXEC | MFD_ALLOW_SEALING), readable, directory, sealed, pipes[2];
    struct xen_lend_lease l;

    if (file < 0 || ftruncate(file, 64 * PAGE) || pipe(pipes))
        die("files");
    readable = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    directory = open("/", O_RDONLY | O_CLOEXEC);
    sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(sealed, 64 * PAGE) || fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE))
        die("seals");
#define L(...) { .size = sizeof(struct xen_lend_lease), .flags = XEN_LEND_FD, .fd = file, .len = 64 * PAGE, .gfn = gfn, \
                 .memtype = XEN_LEND_MEMTYPE_WB, .ioserv = ioserv, __VA_ARGS__ }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    const struct {
        const char *name;
        struct xen_lend_lease l;
        int err;
    } cases[] = {
        { "lease by fd, no such descriptor",     L(.fd = 999), EBADF },
        { "lease by fd, -1",                     L(.fd = -1), EBADF },
        { "lease by fd, the device itself",      L(.fd = fd), ENODEV },
        { "lease by fd, a pipe",                 L(.fd = pipes[0]), EACCES },
        { "lease by fd, a directory",            L(.fd = directory, .flags = XEN_LEND_FD | XEN_LEND_READONLY), ENODEV },
        { "lease by fd, not open for writing",   L(.fd = readable), EACCES },
        { "lease by fd, sealed",                 L(.fd = sealed), EPERM },
        { "lease by fd, with an address",        L(.addr = (uintptr_t)mem), EINVAL },
        { "lease by fd, padding",                L(.pad = 1), EINVAL },
        { "lease by fd, offset not aligned",     L(.offset = 8), EINVAL },
        { "lease by fd, offset 2^63",            L(.offset = 1ULL << 63), EOVERFLOW },
        { "lease by fd, as long as can be",      L(.len = 1ULL << 47), EINVAL },
        { "a descriptor without the flag",       L(.flags = 0, .addr = (uintptr_t)mem), EINVAL },
        { "an offset without the flag",          L(.flags = 0, .addr = (uintptr_t)mem, .fd = 0, .offset = PAGE), EINVAL },
        { "lease by fd, RAM in the way",         L(.gfn = 0x100), EEXIST },
        { "lease by fd, read-only, read-only",   L(.fd = readable, .len = PAGE, .flags = XEN_LEND_FD | XEN_LEND_READONLY), 0 },
        { "lease by fd, sealed, read-only",      L(.fd = sealed, .flags = XEN_LEND_FD | XEN_LEND_READONLY), 0 },
        { "lease by fd, a range of it",          L(.len = 32 * PAGE, .offset = 32 * PAGE), 0 },
        { "lease by fd, past its end",           L(.offset = 64 * PAGE), 0 },
    };
#pragma GCC diagnostic pop
#undef L

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        l = cases[i].l;
        if (is(call(fd, XEN_LEND_IOC_LEASE, &l), cases[i].err, cases[i].name) && !cases[i].err)
            is(unlease(fd, l.id), 0, "and away with it");
    }
    l = lease_of(mem, PAGE, gfn);
    l.size = offsetof(struct xen_lend_lease, fd);
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "lease, as long as in version 1");
    unlease(fd, l.id);
    close(readable);
    close(directory);
    close(sealed);
    close(pipes[0]);
    close(pipes[1]);
    close(file);
}

static void bad_quota(int fd, char *mem)
{
    uint32_t ids[80];
    int n, err = 0;

    for (n = 0; n < 80; n++) {
        struct xen_lend_lease l = lease_of(mem, PAGE, gfn + n);

        err = call(fd, XEN_LEND_IOC_LEASE, &l);
        if (err)
            break;
        ids[n] = l.id;
    }
    ok(err == ENOSPC && n <= 64, "at most 64 leases (%d and then %s)", n, err ? strerrorname_np(err) : "no end");
    while (n--)
        unlease(fd, ids[n]);
}

static void bad_resolve(int fd, uint32_t id, unsigned pages)
{
#define R(...) { .size = sizeof(struct xen_lend_resolve), .id = id, __VA_ARGS__ }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    const struct {
        const char *name;
        struct xen_lend_resolve r;
        int err;
    } cases[] = {
        { "resolve, size 8",                 R(.size = 8), EINVAL },
        { "resolve, no such lease",          R(.id = id + 1), ENOENT },
        { "resolve, lease 0",                R(.id = 0), ENOENT },
        { "resolve, unknown flag",           R(.flags = 4), EINVAL },
        { "resolve, just past the end",      R(.offset = pages * PAGE), EINVAL },
        { "resolve, offset 2^63",            R(.offset = 1ULL << 63), EINVAL },
        { "resolve, offset -1",              R(.offset = -1ULL), EINVAL },
        { "resolve, count without prefault", R(.nr = 1), EINVAL },
        { "prefault, no count",              R(.flags = XEN_LEND_PREFAULT), EINVAL },
        { "prefault, one too many",          R(.flags = XEN_LEND_PREFAULT, .nr = pages + 1), EINVAL },
        { "prefault, one too many at the end", R(.flags = XEN_LEND_PREFAULT, .nr = 2, .offset = (pages - 1) * PAGE), EINVAL },
        { "prefault, 2^32-1 pages",          R(.flags = XEN_LEND_PREFAULT, .nr = UINT32_MAX), EINVAL },
        { "resolve, the last byte",          R(.offset = pages * PAGE - 1), 0 },
        { "prefault, all of it",             R(.flags = XEN_LEND_PREFAULT, .nr = pages), 0 },
    };
#pragma GCC diagnostic pop
#undef R

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct xen_lend_resolve r = cases[i].r;

        is(call(fd, XEN_LEND_IOC_RESOLVE, &r), cases[i].err, cases[i].name);
    }
    is(call(fd, XEN_LEND_IOC_RESOLVE, NULL), EFAULT, "resolve, null pointer");
}

static void bad_stats(int fd, uint32_t id)
{
    struct xen_lend_stats s = { .size = sizeof(s), .id = id };

    is(call(fd, XEN_LEND_IOC_STATS, &s), 0, "stats");
    ok(s.id == id && s.gfn == gfn, "of the right lease");
    s.size = offsetof(struct xen_lend_stats, waiting) - 8;
    is(call(fd, XEN_LEND_IOC_STATS, &s), EINVAL, "stats, too short");
    s = (struct xen_lend_stats){ .size = offsetof(struct xen_lend_stats, waiting), .id = id };
    is(call(fd, XEN_LEND_IOC_STATS, &s), 0, "stats, of an older program");
    s = (struct xen_lend_stats){ .size = sizeof(s), .id = id + 1 };
    is(call(fd, XEN_LEND_IOC_STATS, &s), ENOENT, "stats, no such lease");
    s = (struct xen_lend_stats){ .size = sizeof(s), .next = 2 };
    is(call(fd, XEN_LEND_IOC_STATS, &s), EINVAL, "stats, next neither 0 nor 1");
    s = (struct xen_lend_stats){ .size = sizeof(s), .next = 1 };
    is(call(fd, XEN_LEND_IOC_STATS, &s), 0, "stats, the first one");
    ok(s.id == id, "is ours");
    s = (struct xen_lend_stats){ .size = sizeof(s), .next = 1, .id = id + 1 };
    is(call(fd, XEN_LEND_IOC_STATS, &s), ENOENT, "stats, the one after the last");
    s = (struct xen_lend_stats){ .size = sizeof(s), .next = 1, .id = UINT32_MAX };
    is(call(fd, XEN_LEND_IOC_STATS, &s), ENOENT, "stats, from 2^32-1 on");
}

/* The kernel answers faults, where it can. */
static void bad_listen(char *mem)
{
    static const struct {
        const char *name;
        struct xen_lend_listen l;
        int err;
    } cases[] = {
        { "listen, size 4",              { 4, 128 }, EINVAL },
        { "listen, size 2^32-1",         { UINT32_MAX, 128 }, E2BIG },
        { "listen, no vCPUs",            { sizeof(struct xen_lend_listen), 0 }, EINVAL },
        { "listen, too many vCPUs",      { sizeof(struct xen_lend_listen), 129 }, EINVAL },
        { "listen, 2^32-1 vCPUs",        { sizeof(struct xen_lend_listen), UINT32_MAX }, EINVAL },
        { "listen, everything right",    { sizeof(struct xen_lend_listen), 128 }, 0 },
        { "listen, twice",               { sizeof(struct xen_lend_listen), 128 }, EBUSY },
    };
    struct xen_lend_info i = { .size = sizeof(i) };
    struct xen_lend_lease l;
    int fd = lend_open();

    if (call(fd, XEN_LEND_IOC_INFO, &i) || !(i.features & XEN_LEND_FEAT_LISTEN)) {
        close(fd);
        return;
    }
    is(call(fd, XEN_LEND_IOC_LISTEN, (void *)&cases[5].l), ENOTCONN, "listen before bind");
    close(fd);
    fd = lend_bound();
    l = lease_of(mem, PAGE, gfn);
    l.flags |= XEN_LEND_KERNEL;
    l.ioserv = 0;
    is(call(fd, XEN_LEND_IOC_LEASE, &l), ENOENT, "lease for the kernel to answer, without listen");
    is(call(fd, XEN_LEND_IOC_LISTEN, NULL), EFAULT, "listen, null pointer");
    for (unsigned n = 0; n < ARRAY_SIZE(cases); n++) {
        struct xen_lend_listen a = cases[n].l;

        is(call(fd, XEN_LEND_IOC_LISTEN, &a), cases[n].err, cases[n].name);
    }
    l.ioserv = ioserv ? ioserv : 1;
    is(call(fd, XEN_LEND_IOC_LEASE, &l), EINVAL, "lease for the kernel to answer, and a server");
    l.ioserv = 0;
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "lease for the kernel to answer");
    is(unlease(fd, l.id), 0, "and away with it");
    l.id = 0;
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "and again");
    close(fd);
    fd = lend_bound();
    l = lease_of(mem, PAGE, gfn);
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "closing the file has freed the frames, listening or not");
    close(fd);
    for (unsigned n = 0; n < 20; n++) {
        struct xen_lend_listen a = cases[5].l;

        fd = lend_bound();
        if (call(fd, XEN_LEND_IOC_LISTEN, &a))
            ok(0, "listening the %uth time: %s", n, strerror(errno));
        close(fd);
    }
    ok(1, "and its port, 20 times");
}

int main(int argc, char **argv)
{
    size_t len = 64 * PAGE;
    char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct xen_lend_lease l;
    int fd;

    arguments(argc, argv);
    make_server();
    fd = lend_open();
    info(fd, XEN_LEND_UNBOUND, "info, before bind");
    close(fd);
    bad_bind();
    bad_listen(mem);
    fd = lend_bound();
    info(fd, domid, "info");
    bad_lease(fd, mem, len);
    bad_fd(fd, mem);
    bad_quota(fd, mem);
    l = lease_of(mem, len, gfn);
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "a lease to ask wrong things of");
    bad_resolve(fd, l.id, 64);
    bad_stats(fd, l.id);
    close(fd);
    fd = lend_bound();
    l = lease_of(mem, len, gfn);
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "closing the file has freed the frames");
    close(fd);
    drop_server();
    return done();
}
