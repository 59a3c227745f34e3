// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drives /dev/xen/lend directly from dom0, as a VMM that is not QEMU would.
 *
 *   lendctl bad DOMID [GFN]      wrong arguments, each with the errno it has to give; TAP
 *   lendctl exercise DOMID [GFN] leases, resolves and every way of losing a page, judged by the counters; TAP
 *   lendctl serve DOMID [GFN]    answers the guest's faults on a lease at GFN; reads commands from stdin ('help' lists them)
 *
 * DOMID is a running HVM domain, GFN (default 0x100000) the first of 64 MiB that nothing is at.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/userfaultfd.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>

#include <xen/lend.h>

#ifndef IOREQ_TYPE_LEND
#define IOREQ_TYPE_LEND 9
#endif

#define DEV  "/dev/xen/lend"
#define PAGE 4096UL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

static unsigned domid;
static uint64_t gfn = 0x100000;
static xendevicemodel_handle *dmod;
static ioservid_t ioserv;

static void die(const char *fmt, ...)
{
    int err = errno;
    va_list ap;

    fprintf(stderr, "lendctl: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, ": %s\n", strerror(err));
    exit(2);
}

/* ---- TAP ---- */

static int tests, failures;

static bool ok(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool ok(bool good, const char *fmt, ...)
{
    va_list ap;

    failures += !good;
    printf("%sok %d - ", good ? "" : "not ", ++tests);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
    return good;
}

/* What a call came to: 0 or an errno, to be compared with what is expected. */
static void is(int got, int want, const char *what)
{
    if (got == want)
        ok(true, "%s: %s", what, want ? strerrorname_np(want) : "works");
    else
        ok(false, "%s: %s instead of %s", what, got ? strerrorname_np(got) : "works",
           want ? strerrorname_np(want) : "working");
}

static void is_num(uint64_t got, uint64_t want, const char *what)
{
    if (got == want)
        ok(true, "%s: %llu", what, (unsigned long long)want);
    else
        ok(false, "%s: %llu instead of %llu", what, (unsigned long long)got, (unsigned long long)want);
}

static int done(void)
{
    printf("1..%d\n", tests);
    if (failures)
        printf("# %d failed\n", failures);
    return failures ? 1 : 0;
}

/* ---- the calls ---- */

static int call(int fd, unsigned long cmd, void *arg)
{
    return ioctl(fd, cmd, arg) < 0 ? errno : 0;
}

static int lend_open(void)
{
    int fd = open(DEV, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        die("%s", DEV);
    return fd;
}

static int lend_bound(void)
{
    struct xen_lend_bind b = { .size = sizeof(b), .domid = domid };
    int fd = lend_open();

    if (ioctl(fd, XEN_LEND_IOC_BIND, &b))
        die("bind to domain %u", domid);
    return fd;
}

static struct xen_lend_lease lease_of(void *addr, size_t len, uint64_t at)
{
    return (struct xen_lend_lease){
        .size = sizeof(struct xen_lend_lease), .addr = (uintptr_t)addr, .len = len, .gfn = at,
        .memtype = XEN_LEND_MEMTYPE_WB, .ioserv = ioserv,
    };
}

static int unlease(int fd, uint32_t id)
{
    struct xen_lend_unlease u = { .size = sizeof(u), .id = id };

    return call(fd, XEN_LEND_IOC_UNLEASE, &u);
}

static struct xen_lend_resolve last;

static int resolve(int fd, uint32_t id, uint64_t page, unsigned flags, unsigned nr)
{
    last = (struct xen_lend_resolve){
        .size = sizeof(last), .id = id, .offset = page * PAGE, .flags = flags, .nr = nr,
    };
    return call(fd, XEN_LEND_IOC_RESOLVE, &last);
}

static struct xen_lend_stats stats(int fd, uint32_t id)
{
    struct xen_lend_stats s = { .size = sizeof(s), .id = id };

    if (ioctl(fd, XEN_LEND_IOC_STATS, &s))
        die("stats of lease %u", id);
    return s;
}

static uint64_t installed(int fd, uint32_t id)
{
    return stats(fd, id).installed;
}

static void make_server(bool enable)
{
    dmod = xendevicemodel_open(NULL, 0);
    if (!dmod)
        die("xendevicemodel_open");
    if (xendevicemodel_create_ioreq_server(dmod, domid, 0, &ioserv))
        die("no ioreq server in domain %u", domid);
    if (enable && xendevicemodel_set_ioreq_server_state(dmod, domid, ioserv, 1))
        die("enabling the ioreq server");
}

static void drop_server(void)
{
    xendevicemodel_destroy_ioreq_server(dmod, domid, ioserv);
    xendevicemodel_close(dmod);
}

/* ---- wrong arguments ---- */

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
    is(call(fd, _IO('L', 0x65), &s), ENOTTY, "ioctl number above ours");
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
        { "lease, one byte short",         L(.size = sizeof(struct xen_lend_lease) - 1), EINVAL },
        { "lease, unknown flag",           L(.flags = 4), EINVAL },
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
        { "resolve, padding",                R(.pad = 1), EINVAL },
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
    s.size = sizeof(s) - 8;
    is(call(fd, XEN_LEND_IOC_STATS, &s), EINVAL, "stats, too short");
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

static int cmd_bad(void)
{
    size_t len = 64 * PAGE;
    char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct xen_lend_lease l;
    int fd;

    make_server(false);
    bad_bind();
    fd = lend_bound();
    bad_lease(fd, mem, len);
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

/* ---- exercise ---- */

#define N 64            /* pages of most leases */

struct bed {
    int fd, file;
    uint32_t id;
    char *mem;
    size_t len;
};

static const char *scratch = "/lend/lendctl.tmp";

enum kind { ANON, ANON_SHARED, MEMFD, FILE_SHARED, FILE_PRIVATE };

static const char *const kinds[] = {
    "private anonymous memory", "shared anonymous memory", "memfd", "shared file", "private file",
};

/* A lease on fresh memory of a kind, filled with page numbers unless empty is asked for. */
static struct bed bed(enum kind kind, unsigned pages, unsigned flags, bool empty)
{
    struct bed b = { .len = pages * PAGE, .file = -1 };
    int share = kind == ANON || kind == FILE_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
    struct xen_lend_lease l;

    if (kind == MEMFD)
        b.file = memfd_create("lendctl", MFD_CLOEXEC);
    else if (kind == FILE_SHARED || kind == FILE_PRIVATE)
        b.file = open(scratch, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    else
        share |= MAP_ANONYMOUS;
    if (!(share & MAP_ANONYMOUS)) {
        if (b.file < 0 || ftruncate(b.file, b.len))
            die("making a %s", kinds[kind]);
        for (unsigned i = 0; i < pages && !empty; i++) {
            uint64_t word = i + 1;

            if (pwrite(b.file, &word, 8, i * PAGE) != 8)
                die("filling a %s", kinds[kind]);
        }
        if (kind == FILE_SHARED || kind == FILE_PRIVATE)
            fsync(b.file);
    }
    b.mem = mmap(NULL, b.len, PROT_READ | PROT_WRITE, share, b.file, 0);
    if (b.mem == MAP_FAILED)
        die("mapping a %s", kinds[kind]);
    for (unsigned i = 0; i < pages && !empty && share & MAP_ANONYMOUS; i++)
        *(uint64_t *)(b.mem + i * PAGE) = i + 1;
    b.fd = lend_bound();
    l = lease_of(b.mem, b.len, gfn);
    l.flags = flags;
    if (ioctl(b.fd, XEN_LEND_IOC_LEASE, &l))
        die("leasing a %s", kinds[kind]);
    b.id = l.id;
    return b;
}

static void unbed(struct bed *b)
{
    close(b->fd);
    munmap(b->mem, b->len);
    if (b->file >= 0)
        close(b->file);
}

static int prefault(struct bed *b, unsigned flags)
{
    int err = resolve(b->fd, b->id, 0, flags | XEN_LEND_PREFAULT, b->len / PAGE);

    return err ?: (int)last.err;
}

static void kinds_of_memory(void)
{
    char what[100];

    for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++) {
        struct bed b = bed(k, N, 0, false);

        snprintf(what, sizeof(what), "%s: read fault", kinds[k]);
        is(resolve(b.fd, b.id, 5, 0, 0), 0, what);
        ok(last.result == XEN_LEND_INSTALLED && last.installed >= 1 && !last.err, "%s: %u pages came with it", kinds[k],
           last.installed);
        ok(installed(b.fd, b.id) >= 1 && installed(b.fd, b.id) <= N, "%s: Xen has %llu", kinds[k],
           (unsigned long long)installed(b.fd, b.id));
        snprintf(what, sizeof(what), "%s: write fault", kinds[k]);
        is(resolve(b.fd, b.id, 9, XEN_LEND_WRITE, 0) ?: (int)last.result, 0, what);
        snprintf(what, sizeof(what), "%s: prefault for writing", kinds[k]);
        is(prefault(&b, XEN_LEND_WRITE), 0, what);
        snprintf(what, sizeof(what), "%s: all of it is there", kinds[k]);
        is_num(installed(b.fd, b.id), N, what);
        ok(*(volatile uint64_t *)(b.mem + 5 * PAGE) == 6, "%s: contents are untouched", kinds[k]);
        is(unlease(b.fd, b.id), 0, "unlease");
        unbed(&b);
    }
}

/* Everything installed; then something happens to pages 8 to 15; then this many are left. */
static void lose(enum kind kind, const char *how, int (*what)(struct bed *), unsigned most_left, int err_after)
{
    struct bed b = bed(kind, N, 0, false);
    uint64_t before, after;
    int rc;

    prefault(&b, XEN_LEND_WRITE);
    before = installed(b.fd, b.id);
    rc = what(&b);
    if (rc) {
        ok(true, "%s on %s # SKIP %s", how, kinds[kind], strerrorname_np(rc));
        unbed(&b);
        return;
    }
    after = installed(b.fd, b.id);
    ok(before == N && after <= most_left, "%s on %s: %llu pages installed, then %llu", how, kinds[kind],
       (unsigned long long)before, (unsigned long long)after);
    rc = resolve(b.fd, b.id, 10, 0, 0) ?: (int)last.err;
    ok(rc == err_after, "%s on %s: the next fault %s (%s)", how, kinds[kind], err_after ? "fails" : "brings it back",
       rc ? strerrorname_np(rc) : "0");
    unbed(&b);
}

#define AT(b) ((b)->mem + 8 * PAGE)
#define LEN   (8 * PAGE)
#define DID(call) ((call) < 0 ? errno : 0)

static int do_munmap(struct bed *b)    { return DID(munmap(AT(b), LEN)); }
static int do_dontneed(struct bed *b)  { return DID(madvise(AT(b), LEN, MADV_DONTNEED)); }
static int do_free(struct bed *b)      { return DID(madvise(AT(b), LEN, MADV_FREE)); }
static int do_remove(struct bed *b)    { return DID(madvise(AT(b), LEN, MADV_REMOVE)); }
static int do_pageout(struct bed *b)   { return DID(madvise(b->mem, b->len, 21 /* MADV_PAGEOUT */)); }
static int do_none(struct bed *b)      { return DID(mprotect(AT(b), LEN, PROT_NONE)); }
static int do_readonly(struct bed *b)  { return DID(mprotect(AT(b), LEN, PROT_READ)); }
static int do_truncate(struct bed *b)  { return DID(ftruncate(b->file, 8 * PAGE)); }
static int do_punch(struct bed *b)
{
    return DID(fallocate(b->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * PAGE, LEN));
}
static int do_mremap(struct bed *b)
{
    return mremap(AT(b), LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, b->mem - 64 * PAGE) == MAP_FAILED ? errno : 0;
}
static int do_over(struct bed *b)
{
    return mmap(AT(b), LEN, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}
static int do_fsync(struct bed *b)     { return DID(fsync(b->file)); }
static int do_fork(struct bed *b)
{
    pid_t pid = fork();

    (void)b;
    if (!pid)
        _exit(0);
    return waitpid(pid, NULL, 0) == pid ? 0 : errno;
}
static int do_soft_dirty(struct bed *b)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY), rc;

    (void)b;
    rc = fd < 0 || write(fd, "4\n", 2) != 2 ? errno : 0;
    close(fd);
    return rc;
}
static int do_compact(struct bed *b)
{
    int fd = open("/proc/sys/vm/compact_memory", O_WRONLY), rc;

    (void)b;
    rc = fd < 0 || write(fd, "1\n", 2) != 2 ? errno : 0;
    close(fd);
    return rc;
}

static void ways_of_losing(void)
{
    static const struct {
        const char *how;
        int (*what)(struct bed *);
        unsigned most_left;
        int err;
        unsigned kinds;
    } ways[] = {
#define A (1 << ANON)
#define S (1 << ANON_SHARED)
#define M (1 << MEMFD)
#define F (1 << FILE_SHARED)
#define P (1 << FILE_PRIVATE)
        { "munmap",                 do_munmap,     N - 8, EFAULT, A | S | M | F | P },
        { "mmap over it",           do_over,       N - 8, 0,      A | S | M | F | P },
        { "mremap",                 do_mremap,     N - 8, EFAULT, A | M | F },
        { "mprotect(PROT_NONE)",    do_none,       N - 8, EFAULT, A | S | M | F | P },
        { "mprotect(PROT_READ)",    do_readonly,   N - 8, 0,      A | S | M | F | P },
        { "MADV_DONTNEED",          do_dontneed,   N - 8, 0,      A | S | M | F | P },
        { "MADV_FREE",              do_free,       N - 8, 0,      A },
        { "MADV_REMOVE",            do_remove,     N - 8, 0,      S | M | F },
        { "MADV_PAGEOUT",           do_pageout,    N - 8, 0,      F },
        { "hole punch",             do_punch,      N - 8, 0,      M | F },
        { "truncate",               do_truncate,   8,     EFAULT, M | F | P },
        { "fsync",                  do_fsync,      0,     0,      F },
        { "fork",                   do_fork,       0,     0,      A | P },
        { "soft-dirty clearing",    do_soft_dirty, 0,     0,      A | F },
        { "compaction",             do_compact,    N,     0,      A | F },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
        for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++)
            if (ways[i].kinds & (1 << k))
                lose(k, ways[i].how, ways[i].what, ways[i].most_left, ways[i].err);
}

static void permissions(void)
{
    struct bed b = bed(MEMFD, N, XEN_LEND_READONLY, false);

    is(resolve(b.fd, b.id, 3, XEN_LEND_WRITE, 0), 0, "write to a read-only lease: the call");
    ok(last.result == XEN_LEND_FAILED && last.err == EACCES, "and its result: failed, EACCES");
    is(resolve(b.fd, b.id, 3, 0, 0) ?: (int)last.err, 0, "read of a read-only lease");
    unbed(&b);

    b = bed(MEMFD, N, XEN_LEND_POLICY_ZERO, false);
    mprotect(b.mem, b.len, PROT_READ);
    is(resolve(b.fd, b.id, 3, XEN_LEND_WRITE, 0), 0, "write to a read-only mapping: the call");
    ok(last.result == XEN_LEND_FAILED && last.err == EACCES, "fails with EACCES, even under policy zero");
    is(resolve(b.fd, b.id, 3, 0, 0) ?: (int)last.err, 0, "a read gets it");
    unbed(&b);
}

/* Number from a line of smaps of the area at addr. */
static long smaps(void *addr, const char *key)
{
    char line[300], start[32];
    FILE *f = fopen("/proc/self/smaps", "r");
    bool in = false;
    long kb = -1;

    snprintf(start, sizeof(start), "%lx-", (unsigned long)addr);
    while (f && fgets(line, sizeof(line), f)) {
        if (!strncmp(line, start, strlen(start)))
            in = true;
        else if (in && !strncmp(line, key, strlen(key))) {
            kb = atol(line + strlen(key) + 1);
            break;
        }
    }
    if (f)
        fclose(f);
    return kb;
}

static void reads_do_not_write(void)
{
    struct bed b = bed(FILE_SHARED, N, 0, false);

    is(prefault(&b, 0), 0, "reading all of a shared file");
    is_num(installed(b.fd, b.id), N, "all of it is installed");
    is_num(smaps(b.mem, "Shared_Dirty:") + smaps(b.mem, "Private_Dirty:"), 0, "KiB made dirty by that");
    unbed(&b);

    b = bed(FILE_PRIVATE, N, 0, false);
    is(prefault(&b, 0), 0, "reading all of a private file");
    is_num(smaps(b.mem, "Anonymous:"), 0, "KiB copied by that");
    unbed(&b);
}

static void zero_policy(void)
{
    struct bed b = bed(MEMFD, N, XEN_LEND_POLICY_ZERO, false);

    prefault(&b, XEN_LEND_WRITE);
    if (ftruncate(b.file, 8 * PAGE))
        die("truncate");
    is(resolve(b.fd, b.id, 20, XEN_LEND_WRITE, 0), 0, "past the end under policy zero: the call");
    ok(last.result == XEN_LEND_ZEROED && last.err == EFAULT && last.installed == 1, "a zero page came");
    is(resolve(b.fd, b.id, 20, XEN_LEND_WRITE, 0), 0, "the same again");
    ok(last.result == XEN_LEND_ZEROED, "also a zero page");
    is_num(installed(b.fd, b.id), 8 + 1, "pages installed");
    is_num(stats(b.fd, b.id).failures, 2, "failures counted");
    if (ftruncate(b.file, N * PAGE))
        die("truncate");
    is(prefault(&b, 0), 0, "the file is long again: prefault");
    is_num(installed(b.fd, b.id), N, "the real pages are there");
    is(resolve(b.fd, b.id, 20, 0, 0), 0, "and the page that was zero resolves");
    ok(last.result == XEN_LEND_INSTALLED, "to a real one");
    if (ftruncate(b.file, 0))
        die("truncate");
    for (unsigned i = 0; i < N; i++)
        resolve(b.fd, b.id, i, 0, 0);
    is_num(installed(b.fd, b.id), N, "zero pages everywhere");
    munmap(b.mem, b.len);
    is_num(installed(b.fd, b.id), 0, "gone with the mapping");
    unbed(&b);
}

static void two_mappings(void)
{
    struct bed b = bed(MEMFD, N, 0, false);
    char *other = mmap(NULL, b.len, PROT_READ | PROT_WRITE, MAP_SHARED, b.file, 0);

    prefault(&b, XEN_LEND_WRITE);
    munmap(other, b.len);
    is_num(installed(b.fd, b.id), N, "unmapping the second mapping takes nothing");
    other = mmap(NULL, b.len, PROT_READ | PROT_WRITE, MAP_SHARED, b.file, 0);
    madvise(other + 8 * PAGE, 8 * PAGE, MADV_REMOVE);
    is_num(installed(b.fd, b.id), N - 8, "a hole made through the second mapping is one");
    munmap(other, b.len);
    unbed(&b);
}

static void processes(void)
{
    struct bed b = bed(MEMFD, N, 0, false);
    int status, pipes[2];
    pid_t pid;

    for (unsigned i = 0; i < N; i++)
        *(volatile char *)(b.mem + i * PAGE);
    pid = fork();
    if (!pid) {
        bool good;

        munmap(b.mem, b.len);
        good = !resolve(b.fd, b.id, 3, XEN_LEND_WRITE, 0) && last.result == XEN_LEND_INSTALLED && last.installed > 1 &&
               !resolve(b.fd, b.id, 40, 0, 0) && last.result == XEN_LEND_INSTALLED;
        _exit(!good);
    }
    waitpid(pid, &status, 0);
    ok(WIFEXITED(status) && !WEXITSTATUS(status), "another process resolves, with neighbours, on our memory");
    ok(installed(b.fd, b.id) > 2, "and Xen has the pages: %llu", (unsigned long long)installed(b.fd, b.id));
    pid = fork();
    if (!pid)
        _exit(0);
    waitpid(pid, &status, 0);
    ok(installed(b.fd, b.id) > 2, "another process ending takes nothing");
    unbed(&b);

    /* The lender dies, the descriptor lives on. */
    b.fd = lend_bound();
    if (pipe(pipes))
        die("pipe");
    pid = fork();
    if (!pid) {
        char *mem = mmap(NULL, N * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        struct xen_lend_lease l = lease_of(mem, N * PAGE, gfn);

        memset(mem, 1, N * PAGE);
        if (call(b.fd, XEN_LEND_IOC_LEASE, &l) || resolve(b.fd, l.id, 0, XEN_LEND_WRITE | XEN_LEND_PREFAULT, N) ||
            write(pipes[1], &l.id, 4) != 4)
            _exit(1);
        pause();
        _exit(0);
    }
    close(pipes[1]);
    if (read(pipes[0], &b.id, 4) != 4)
        die("child");
    is_num(installed(b.fd, b.id), N, "a child's lease is installed");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    is_num(installed(b.fd, b.id), 0, "killed with SIGKILL: nothing is");
    is(resolve(b.fd, b.id, 0, 0, 0), ESRCH, "and a resolve says so");
    is(unlease(b.fd, b.id), 0, "its lease can be ended");
    close(b.fd);
    close(pipes[0]);
}

static int uffd_over(char *mem, size_t len)
{
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register reg = { .range = { (uintptr_t)mem, len }, .mode = UFFDIO_REGISTER_MODE_MISSING };
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
        return -1;
    return fd;
}

struct stuck {
    struct bed *b;
    int err;
};

static void *resolve_stuck(void *arg)
{
    struct stuck *s = arg;
    struct xen_lend_resolve r = { .size = sizeof(r), .id = s->b->id, .offset = 10 * PAGE };

    s->err = call(s->b->fd, XEN_LEND_IOC_RESOLVE, &r);
    return NULL;
}

/* The backing does not answer: others go on, and a kill gets through. */
static void slow_backing(void)
{
    struct bed b = bed(ANON, N, 0, true);
    struct stuck s = { &b, -1 };
    char page[PAGE] = "here";
    struct uffdio_copy copy = { .dst = (uintptr_t)b.mem + 10 * PAGE, .src = (uintptr_t)page, .len = PAGE };
    int uffd, status;
    pthread_t thread;
    pid_t pid;

    *(volatile char *)b.mem = 1;
    uffd = uffd_over(b.mem, b.len);
    if (uffd < 0) {
        ok(true, "a slow backing # SKIP no userfaultfd: %s", strerrorname_np(errno));
        unbed(&b);
        return;
    }
    pthread_create(&thread, NULL, resolve_stuck, &s);
    usleep(200000);
    ok(s.err == -1, "a resolve waits for userfaultfd");
    is(resolve(b.fd, b.id, 0, 0, 0) ?: (int)last.result, 0, "another page resolves meanwhile");
    is(DID(madvise(b.mem, PAGE, MADV_DONTNEED)), 0, "a revoke gets through meanwhile");
    is(DID(ioctl(uffd, UFFDIO_COPY, &copy)), 0, "the page arrives");
    pthread_join(thread, NULL);
    is(s.err, 0, "and the resolve ends");

    close(uffd);
    unbed(&b);

    pid = fork();
    if (!pid) {
        struct bed c = bed(ANON, N, 0, true);

        if (uffd_over(c.mem, c.len) < 0)
            _exit(1);
        alarm(20);
        resolve(c.fd, c.id, 5, 0, 0);
        _exit(0);
    }
    usleep(500000);
    kill(pid, SIGKILL);
    alarm(10);
    waitpid(pid, &status, 0);
    alarm(0);
    ok(WIFSIGNALED(status), "SIGKILL ends a process whose resolve is stuck");
    b = bed(ANON, N, 0, true);
    ok(true, "and its frames are free again");
    unbed(&b);

    /* Ended under the feet of a resolve. */
    b = bed(ANON, N, 0, true);
    uffd = uffd_over(b.mem, b.len);
    s = (struct stuck){ &b, -1 };
    copy = (struct uffdio_copy){ .dst = (uintptr_t)b.mem + 10 * PAGE, .src = (uintptr_t)page, .len = PAGE };
    pthread_create(&thread, NULL, resolve_stuck, &s);
    usleep(200000);
    is(unlease(b.fd, b.id), 0, "unlease while a resolve is stuck");
    if (ioctl(uffd, UFFDIO_COPY, &copy))
        die("UFFDIO_COPY");
    pthread_join(thread, NULL);
    is(s.err, ENOENT, "the resolve ends with");
    close(uffd);
    unbed(&b);
}

struct race {
    struct bed *b;
    volatile bool stop;
    unsigned seed;
    unsigned long rounds, bad;
};

static void *race_resolve(void *arg)
{
    struct race *r = arg;
    unsigned seed = r->seed;

    while (!r->stop) {
        struct xen_lend_resolve a = { .size = sizeof(a), .id = r->b->id, .offset = rand_r(&seed) % N * PAGE,
                                      .flags = rand_r(&seed) % 2 ? XEN_LEND_WRITE : 0 };

        if (ioctl(r->b->fd, XEN_LEND_IOC_RESOLVE, &a) || a.result != XEN_LEND_INSTALLED)
            r->bad++;
        r->rounds++;
    }
    return NULL;
}

static void *race_invalidate(void *arg)
{
    struct race *r = arg;
    unsigned seed = r->seed;

    while (!r->stop) {
        unsigned i = rand_r(&seed) % N, n = 1 + rand_r(&seed) % (N - i);

        switch (rand_r(&seed) % 4) {
        case 0:
            madvise(r->b->mem + i * PAGE, n * PAGE, MADV_DONTNEED);
            break;
        case 1:
            madvise(r->b->mem + i * PAGE, n * PAGE, MADV_REMOVE);
            break;
        case 2:
            mprotect(r->b->mem + i * PAGE, n * PAGE, PROT_READ);
            mprotect(r->b->mem + i * PAGE, n * PAGE, PROT_READ | PROT_WRITE);
            break;
        default:
            *(volatile uint64_t *)(r->b->mem + i * PAGE) = n;
        }
        r->rounds++;
    }
    return NULL;
}

static void races(void)
{
    struct bed b = bed(MEMFD, N, 0, false);
    struct race r[4];
    pthread_t t[4];
    struct xen_lend_stats s;

    for (int i = 0; i < 4; i++) {
        r[i] = (struct race){ .b = &b, .seed = i + 1 };
        pthread_create(&t[i], NULL, i < 3 ? race_resolve : race_invalidate, &r[i]);
    }
    sleep(3);
    for (int i = 0; i < 4; i++)
        r[i].stop = true;
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    s = stats(b.fd, b.id);
    printf("# %lu resolves, %lu invalidating rounds, %llu retries, %llu notifier calls, slowest %llu us\n",
           r[0].rounds + r[1].rounds + r[2].rounds, r[3].rounds, (unsigned long long)s.retries,
           (unsigned long long)s.revokes, (unsigned long long)s.slowest_us);
    /* A write may meet the moment of PROT_READ. */
    ok(s.installs == 0 || s.installs >= s.installed, "counters agree after a race");
    ok(r[0].rounds && r[1].rounds && r[2].rounds && r[3].rounds, "everybody got on");
    is(DID(madvise(b.mem, b.len, MADV_REMOVE)), 0, "all taken away");
    is_num(installed(b.fd, b.id), 0, "nothing is left");
    unbed(&b);
}

static int cmd_exercise(void)
{
    make_server(false);
    kinds_of_memory();
    ways_of_losing();
    permissions();
    reads_do_not_write();
    zero_policy();
    two_mappings();
    processes();
    slow_backing();
    races();
    unlink(scratch);
    drop_server();
    return done();
}

/* ---- serve ---- */

static const char help[] =
    "lease KIND PAGES [ro] [zero] [AROUND]  KIND: anon shared memfd file=PATH pfile=PATH dev=PATH\n"
    "unlease | stats | prefault PAGE N [w] | quit\n"
    "fill PAGE N VALUE     first word of each page becomes VALUE + page\n"
    "read PAGE N           first words\n"
    "munmap|remap|dontneed|remove|pageout|cold|free|ro|rw PAGE N\n"
    "punch PAGE N | truncate PAGES | pfill PAGE N VALUE   on the file (pfill: with pwrite)\n"
    "sync | fork | stall on|off    stall: faults are left unanswered\n";

struct server {
    xenevtchn_handle *xce;
    shared_iopage_t *page;
    unsigned vcpus;
    xenevtchn_port_or_error_t port[64];
    struct bed b;
    bool leased, stall;
    unsigned long faults, failed;
};

static void server_start(struct server *s)
{
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    unsigned int vcpus = 0;
    void *addr = NULL;

    make_server(true);
    s->xce = xenevtchn_open(NULL, 0);
    if (!fmem || !s->xce || xendevicemodel_nr_vcpus(dmod, domid, &vcpus))
        die("looking at domain %u", domid);
    if (!xenforeignmemory_map_resource(fmem, domid, XENMEM_resource_ioreq_server, ioserv,
                                       XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &addr, PROT_READ | PROT_WRITE, 0))
        die("mapping the ioreq page");
    s->page = addr;
    s->vcpus = vcpus > 64 ? 64 : vcpus;
    for (unsigned i = 0; i < s->vcpus; i++) {
        s->port[i] = xenevtchn_bind_interdomain(s->xce, domid, s->page->vcpu_ioreq[i].vp_eport);
        if (s->port[i] < 0)
            die("binding an event channel");
    }
}

static void serve_fault(struct server *s, unsigned vcpu)
{
    ioreq_t *req = &s->page->vcpu_ioreq[vcpu];
    int rc;

    if (req->state != STATE_IOREQ_READY || s->stall)
        return;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);    /* the request before its state */
    req->state = STATE_IOREQ_INPROCESS;
    if (req->type == IOREQ_TYPE_LEND) {
        s->faults++;
        rc = resolve(s->b.fd, (uint32_t)req->data, (req->addr >> 12) - gfn, req->dir ? 0 : XEN_LEND_WRITE, 0);
        req->data = rc || last.result == XEN_LEND_FAILED;
        s->failed += req->data;
    } else if (req->dir && !req->data_is_ptr) {
        req->data = ~0ULL;
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);    /* the answer before its state */
    req->state = STATE_IORESP_READY;
    xenevtchn_notify(s->xce, s->port[vcpu]);
}

static void serve_lease(struct server *s, char **arg, int n)
{
    unsigned pages = n > 2 ? strtoul(arg[2], NULL, 0) : 0;
    struct xen_lend_lease l;
    int share = MAP_SHARED;

    s->b = (struct bed){ .len = pages * PAGE, .file = -1 };
    if (!strcmp(arg[1], "memfd")) {
        s->b.file = memfd_create("lendctl", MFD_CLOEXEC);
        if (ftruncate(s->b.file, s->b.len))
            die("memfd");
    } else if (!strncmp(arg[1], "file=", 5) || !strncmp(arg[1], "dev=", 4)) {
        s->b.file = open(strchr(arg[1], '=') + 1, O_RDWR | O_CLOEXEC);
    } else if (!strncmp(arg[1], "pfile=", 6)) {
        s->b.file = open(arg[1] + 6, O_RDWR | O_CLOEXEC);
        share = MAP_PRIVATE;
    } else {
        share = MAP_ANONYMOUS | (strcmp(arg[1], "anon") ? MAP_SHARED : MAP_PRIVATE);
    }
    s->b.mem = mmap(NULL, s->b.len, PROT_READ | PROT_WRITE, share, s->b.file, 0);
    if (s->b.mem == MAP_FAILED) {
        printf("error %s\n", strerror(errno));
        return;
    }
    s->b.fd = lend_bound();
    l = lease_of(s->b.mem, s->b.len, gfn);
    for (int i = 3; i < n; i++) {
        if (!strcmp(arg[i], "ro"))
            l.flags |= XEN_LEND_READONLY;
        else if (!strcmp(arg[i], "zero"))
            l.flags |= XEN_LEND_POLICY_ZERO;
        else
            l.around = strtoul(arg[i], NULL, 0);
    }
    if (ioctl(s->b.fd, XEN_LEND_IOC_LEASE, &l)) {
        printf("error %s\n", strerror(errno));
        unbed(&s->b);
        return;
    }
    s->b.id = l.id;
    s->leased = true;
    printf("ok lease %u\n", l.id);
}

static const struct {
    const char *name;
    int advice;
} advices[] = {
    { "dontneed", MADV_DONTNEED }, { "remove", MADV_REMOVE }, { "pageout", 21 }, { "cold", 20 }, { "free", MADV_FREE },
};

static int serve_change(struct server *s, char **arg, char *at, size_t len)
{
    for (unsigned i = 0; i < ARRAY_SIZE(advices); i++)
        if (!strcmp(arg[0], advices[i].name))
            return DID(madvise(at, len, advices[i].advice));
    if (!strcmp(arg[0], "munmap"))
        return DID(munmap(at, len));
    if (!strcmp(arg[0], "remap"))
        return mmap(at, len, PROT_READ | PROT_WRITE, MAP_FIXED | (s->b.file < 0 ? MAP_ANONYMOUS | MAP_SHARED : MAP_SHARED),
                    s->b.file, at - s->b.mem) == MAP_FAILED ? errno : 0;
    if (!strcmp(arg[0], "ro") || !strcmp(arg[0], "rw"))
        return DID(mprotect(at, len, PROT_READ | (arg[0][1] == 'w' ? PROT_WRITE : 0)));
    if (!strcmp(arg[0], "punch"))
        return DID(fallocate(s->b.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at - s->b.mem, len));
    return EINVAL;
}

/* One command; false for the last. */
static bool serve_command(struct server *s, char *line)
{
    char *arg[8], *save = NULL;
    unsigned long page, count, value;
    int n = 0, err = 0;

    for (char *w = strtok_r(line, " \n", &save); w && n < 8; w = strtok_r(NULL, " \n", &save))
        arg[n++] = w;
    if (!n)
        return true;
    page = n > 1 ? strtoul(arg[1], NULL, 0) : 0;
    count = n > 2 ? strtoul(arg[2], NULL, 0) : 0;
    value = n > 3 ? strtoul(arg[3], NULL, 0) : 0;
    if (!strcmp(arg[0], "quit"))
        return false;
    if (!strcmp(arg[0], "help")) {
        fputs(help, stdout);
    } else if (!strcmp(arg[0], "lease") && n > 2 && !s->leased) {
        serve_lease(s, arg, n);
        return true;
    } else if (!strcmp(arg[0], "stall") && n > 1) {
        s->stall = !strcmp(arg[1], "on");
        for (unsigned v = 0; v < s->vcpus; v++)
            serve_fault(s, v);
    } else if (!strcmp(arg[0], "sync")) {
        err = DID(s->b.file >= 0 ? fsync(s->b.file) : 0);
    } else if (!strcmp(arg[0], "fork")) {
        err = do_fork(&s->b);
    } else if (!s->leased) {
        err = ENOENT;
    } else if (!strcmp(arg[0], "unlease")) {
        err = unlease(s->b.fd, s->b.id);
        unbed(&s->b);
        s->leased = false;
    } else if (!strcmp(arg[0], "stats")) {
        struct xen_lend_stats t = stats(s->b.fd, s->b.id);

        printf("served %lu failed %lu installed %llu faults %llu resolves %llu retries %llu installs %llu revokes %llu "
               "revoked %llu flushes %llu failures %llu slowest_us %llu\n", s->faults, s->failed,
               (unsigned long long)t.installed, (unsigned long long)t.faults, (unsigned long long)t.resolves,
               (unsigned long long)t.retries, (unsigned long long)t.installs, (unsigned long long)t.revokes,
               (unsigned long long)t.revoked, (unsigned long long)t.flushes, (unsigned long long)t.failures,
               (unsigned long long)t.slowest_us);
    } else if (!strcmp(arg[0], "prefault")) {
        err = resolve(s->b.fd, s->b.id, page, XEN_LEND_PREFAULT | (n > 3 ? XEN_LEND_WRITE : 0), count) ?: (int)last.err;
    } else if (!strcmp(arg[0], "truncate")) {
        err = DID(ftruncate(s->b.file, page * PAGE));
    } else if ((page + count) * PAGE > s->b.len) {
        err = ERANGE;
    } else if (!strcmp(arg[0], "fill") || !strcmp(arg[0], "pfill")) {
        for (unsigned long i = page; i < page + count; i++) {
            uint64_t word = value + i;

            if (arg[0][0] == 'f')
                *(volatile uint64_t *)(s->b.mem + i * PAGE) = word;
            else if (pwrite(s->b.file, &word, 8, i * PAGE) != 8)
                err = errno;
        }
    } else if (!strcmp(arg[0], "read")) {
        for (unsigned long i = page; i < page + count; i++)
            printf("%llx ", (unsigned long long)*(volatile uint64_t *)(s->b.mem + i * PAGE));
        printf("\n");
    } else {
        err = serve_change(s, arg, s->b.mem + page * PAGE, count * PAGE);
    }
    if (err)
        printf("error %s\n", strerror(err));
    else
        printf("ok\n");
    return true;
}

static int cmd_serve(void)
{
    struct server s = {};
    char line[300];
    bool more = true;

    server_start(&s);
    printf("ok ready\n");
    fflush(stdout);
    while (more) {
        struct pollfd p[2] = { { .fd = 0, .events = POLLIN }, { .fd = xenevtchn_fd(s.xce), .events = POLLIN } };

        if (poll(p, 2, -1) < 0)
            die("poll");
        if (p[1].revents) {
            xenevtchn_port_or_error_t port = xenevtchn_pending(s.xce);

            for (unsigned v = 0; v < s.vcpus; v++)
                if (s.port[v] == port) {
                    xenevtchn_unmask(s.xce, port);
                    serve_fault(&s, v);
                }
        }
        if (p[0].revents) {
            more = fgets(line, sizeof(line), stdin) && serve_command(&s, line);
            fflush(stdout);
        }
    }
    if (s.leased)
        unbed(&s.b);
    drop_server();
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } commands[] = { { "bad", cmd_bad }, { "exercise", cmd_exercise }, { "serve", cmd_serve } };

    setvbuf(stdin, NULL, _IONBF, 0);
    for (unsigned i = 0; argc > 2 && i < ARRAY_SIZE(commands); i++)
        if (!strcmp(argv[1], commands[i].name)) {
            domid = strtoul(argv[2], NULL, 0);
            if (argc > 3)
                gfn = strtoull(argv[3], NULL, 0);
            return commands[i].run();
        }
    fprintf(stderr, "usage: lendctl bad|exercise|serve DOMID [GFN]\n");
    return 2;
}
