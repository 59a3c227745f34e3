// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_fuzz DOMID [GFN [CALLS [SEED]]]: calls with arguments half sensible, half not, mixed with changes to the memory that is
 * lent; several threads, several files, and the files change hands.  TAP.  What is judged: no call gives an errno that the
 * interface does not name for it, nothing hangs, and in the end all frames are free.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "lendtest.h"

#define FILES   4
#define THREADS 3
#define MEM     (8UL << 20)

static int files[FILES], memfd;
static char *mem;
static unsigned long calls = 20000;
static unsigned long counts[8], good[8], odd;

struct thread {
    unsigned seed;
    unsigned long n;
};

static unsigned rnd(struct thread *t, unsigned below)
{
    t->seed = t->seed * 1664525 + 1013904223;
    return (t->seed >> 8) % below;
}

static uint64_t strange(struct thread *t)
{
    static const uint64_t values[] = {
        0, 1, 7, 8, 4095, 4096, 4097, 1 << 21, 1U << 31, UINT32_MAX, 1ULL << 32, 1ULL << 40, 1ULL << 52, 1ULL << 63,
        -1ULL, -4096ULL, 0x7ffffffff000, 0xffff800000000000, 0xffffffff81000000,
    };

    return values[rnd(t, ARRAY_SIZE(values))] + (rnd(t, 4) ? 0 : rnd(t, 3) - 1);
}

/* Mostly the sensible value. */
static uint64_t maybe(struct thread *t, uint64_t value)
{
    return rnd(t, 12) ? value : strange(t);
}

static bool expected(unsigned nr, int err)
{
    static const int any[] = { 0, EINVAL, E2BIG, EFAULT, ENOTCONN };
    static const int of[7][12] = {
        { EPERM, EBUSY, ESRCH, EOPNOTSUPP },
        { EEXIST, ENOSPC, ENOMEM, ESRCH, EPERM, ENOENT, EOPNOTSUPP, EBADF, EACCES, ENODEV, EOVERFLOW },
        { ENOENT },
        { ENOENT, EINTR, ENOMEM, ENOSPC, ESRCH },
        { ENOENT },
        { 0 },
        { EBUSY, EINTR, ENOMEM, ENOSPC, EPERM, ESRCH, EAGAIN, EOPNOTSUPP },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(any); i++)
        if (any[i] == err)
            return true;
    for (unsigned i = 0; i < 12 && of[nr][i]; i++)
        if (of[nr][i] == err)
            return true;
    return false;
}

static void one_call(struct thread *t)
{
    union {
        struct xen_lend_bind b;
        struct xen_lend_lease l;
        struct xen_lend_unlease u;
        struct xen_lend_resolve r;
        struct xen_lend_stats s;
        struct xen_lend_info i;
        struct xen_lend_listen n;
        char room[256];
    } a = {};
    static const unsigned long cmds[] = {
        XEN_LEND_IOC_BIND, XEN_LEND_IOC_LEASE, XEN_LEND_IOC_UNLEASE, XEN_LEND_IOC_RESOLVE, XEN_LEND_IOC_STATS,
        XEN_LEND_IOC_INFO, XEN_LEND_IOC_LISTEN,
    };
    static const unsigned char often[] = { 0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5, 6 };
    unsigned nr = often[rnd(t, ARRAY_SIZE(often))];
    uint64_t page = rnd(t, MEM / PAGE);
    static _Atomic uint32_t ids[FILES];
    unsigned which = rnd(t, FILES);
    uint32_t id = ids[which];
    int fd = files[which], err;

    switch (nr) {
    case 0:
        a.b.domid = maybe(t, domid);
        a.b.pad = maybe(t, 0);
        break;
    case 1:
        a.l = lease_of(mem, 0, 0);
        a.l.addr = maybe(t, (uintptr_t)mem + page * PAGE);
        a.l.len = maybe(t, (1 + rnd(t, MEM / PAGE - page)) * PAGE);
        a.l.gfn = maybe(t, gfn + rnd(t, 4096));
        a.l.flags = maybe(t, rnd(t, 4) | (rnd(t, 2) ? XEN_LEND_NO_AHEAD : 0));
        a.l.memtype = maybe(t, XEN_LEND_MEMTYPE_WB);
        a.l.ioserv = maybe(t, ioserv);
        a.l.around = maybe(t, 0x1000U << rnd(t, 10));
        if (rnd(t, 3) == 0) {
            a.l.flags |= XEN_LEND_FD;
            a.l.offset = a.l.addr - (uintptr_t)mem;
            a.l.addr = maybe(t, 0);
            a.l.fd = maybe(t, memfd);
        }
        if (rnd(t, 3) == 0) {
            a.l.flags |= XEN_LEND_KERNEL;
            a.l.ioserv = maybe(t, 0);
        }
        a.l.pad = maybe(t, 0);
        break;
    case 2:
        a.u.id = maybe(t, id);
        break;
    case 3:
        a.r.id = maybe(t, id);
        a.r.offset = maybe(t, rnd(t, MEM / PAGE) * PAGE);
        a.r.flags = maybe(t, rnd(t, 4));
        a.r.nr = maybe(t, a.r.flags & XEN_LEND_PREFAULT ? 1 + rnd(t, 64) : 0);
        a.r.stream = maybe(t, rnd(t, 8));
        break;
    case 4:
        a.s.id = maybe(t, id);
        a.s.next = maybe(t, rnd(t, 2));
        break;
    case 5:
        a.i.pad = maybe(t, 0);
        break;
    default:
        a.n.vcpus = maybe(t, 1 + rnd(t, 4));
    }
    a.b.size = maybe(t, _IOC_SIZE(cmds[nr]));
    err = ioctl(fd, cmds[nr], rnd(t, 50) ? (void *)&a : (void *)strange(t)) < 0 ? errno : 0;
    if (nr == 1 && !err)
        ids[which] = a.l.id;
    __atomic_add_fetch(&counts[nr], 1, __ATOMIC_RELAXED);
    if (!err)
        __atomic_add_fetch(&good[nr], 1, __ATOMIC_RELAXED);
    if (!expected(nr, err) && err != EBADF) {
        __atomic_add_fetch(&odd, 1, __ATOMIC_RELAXED);
        printf("# call %u gave %s\n", nr, strerrorname_np(err));
    }
}

static void change(struct thread *t)
{
    size_t at = rnd(t, MEM / PAGE) * PAGE, len = (1 + rnd(t, 64)) * PAGE;

    if (at + len > MEM)
        len = MEM - at;
    switch (rnd(t, 8)) {
    case 4:
        fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len);
        break;
    case 5:
        ftruncate(memfd, rnd(t, 2) ? MEM : at) ? errno = 0 : 0;
        break;
    case 0:
        madvise(mem + at, len, MADV_DONTNEED);
        break;
    case 1:
        madvise(mem + at, len, MADV_REMOVE);
        break;
    case 2:
        mprotect(mem + at, len, rnd(t, 3) ? PROT_READ | PROT_WRITE : PROT_READ);
        break;
    case 3:
        munmap(mem + at, len);
        break;
    default:
        mmap(mem + at, len, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_ANONYMOUS | (rnd(t, 2) ? MAP_SHARED : MAP_PRIVATE), -1, 0);
    }
}

static void *fuzz(void *arg)
{
    struct thread *t = arg;

    for (; t->n; t->n--) {
        unsigned what = rnd(t, 100);

        if (what < 90) {
            one_call(t);
        } else if (what < 99) {
            change(t);
        } else {
            /* Closing ends leases under the feet of the other threads. */
            int fd = lend_bound();

            dup3(fd, files[rnd(t, FILES)], O_CLOEXEC);
            close(fd);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "bind", "lease", "unlease", "resolve", "stats", "info", "listen" };
    struct thread t[THREADS];
    pthread_t threads[THREADS];
    struct xen_lend_lease l;
    struct xen_lend_stats s;
    unsigned seed;
    int fd;

    arguments(argc, argv);
    if (argc > 3)
        calls = strtoul(argv[3], NULL, 0);
    seed = argc > 4 ? strtoul(argv[4], NULL, 0) : (unsigned)getpid() * 2654435761U;
    printf("# %lu calls, seed %u\n", calls, seed);
    make_server();
    mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memfd = memfd_create("lend_fuzz", MFD_CLOEXEC);
    if (memfd < 0 || ftruncate(memfd, MEM))
        die("memfd");
    for (unsigned i = 0; i < FILES; i++)
        files[i] = lend_bound();
    for (unsigned i = 0; i < THREADS; i++) {
        t[i] = (struct thread){ .seed = seed + i * 7919, .n = calls / THREADS };
        pthread_create(&threads[i], NULL, fuzz, &t[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        printf("# %s: %lu calls, %lu went through\n", names[i], counts[i], good[i]);
    ok(!odd, "%lu calls gave an errno they should not give", odd);
    for (unsigned i = 0; i < FILES; i++)
        close(files[i]);
    fd = lend_bound();
    munmap(mem, MEM);
    mem = mmap(NULL, MEM * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    l = lease_of(mem, MEM * 4, gfn);
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "afterwards all frames are free");
    is(resolve(fd, l.id, 0, XEN_LEND_PREFAULT | XEN_LEND_WRITE, MEM * 4 / PAGE) ?: (int)last.err, 0, "and can be filled");
    s = stats(fd, l.id);
    /* Linux may have taken some back by now, as compaction does. */
    ok(s.installs >= MEM * 4 / PAGE && s.installed + s.revoked == s.installs, "with %llu pages, %llu of them gone again",
       (unsigned long long)s.installs, (unsigned long long)s.revoked);
    close(fd);
    drop_server();
    return done();
}
