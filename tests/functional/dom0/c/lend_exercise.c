// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_exercise DOMID [GFN]: leases, resolves, and every way of losing a page, judged by what Xen has installed; TAP.
 * The domain need not run.
 */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "lendtest.h"

#define N 64            /* pages of most leases */
#define MANY 16384

struct bed {
    int fd, file;
    uint32_t id;
    char *mem;
    size_t len;
};

static const char *scratch = "/lend/lend_exercise.tmp";

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
        b.file = memfd_create("lend_exercise", MFD_CLOEXEC);
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

#define N 64            /* pages of most leases */

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

#define READ_ONLY (~0U) /* all of it stays, but not writable */

/* Pages that a lease of ours has made read-only, by debugfs; -1: there is no such line. */
static long downgraded(uint32_t id)
{
    FILE *stats = fopen("/sys/kernel/debug/xen_lend/stats", "r");
    long found = -1;
    char line[512];
    unsigned lease;
    int pid;

    while (stats && fgets(line, sizeof(line), stats))
        if (sscanf(line, "%*u %u %d", &lease, &pid) == 2 && lease == id && pid == getpid())
            found = strtol(strrchr(line, ' '), NULL, 10);
    if (stats)
        fclose(stats);
    return found;
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
    if (most_left == READ_ONLY)
        ok(before == N && after == N && downgraded(b.id) == N, "%s on %s: %llu pages installed, then %llu, %ld made read-only", how,
           kinds[kind], (unsigned long long)before, (unsigned long long)after, downgraded(b.id));
    else
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
        { "fsync",                  do_fsync,      READ_ONLY, 0,  F },
        { "fork",                   do_fork,       READ_ONLY, 0,  A | P },
        { "soft-dirty clearing",    do_soft_dirty, READ_ONLY, 0,  A | F },
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
    is(resolve(b.fd, b.id, 20, 0, 0), 0, "past the end under policy zero: the call");
    ok(last.result == XEN_LEND_ZEROED && last.err == EFAULT && last.installed == 1, "a zero page came");
    is(resolve(b.fd, b.id, 20, 0, 0), 0, "the same again");
    ok(last.result == XEN_LEND_ZEROED, "also a zero page");
    is_num(installed(b.fd, b.id), 8 + 1, "pages installed");
    is(resolve(b.fd, b.id, 20, XEN_LEND_WRITE, 0), 0, "a write to it: the call");
    ok(last.result == XEN_LEND_FAILED && last.err == EFAULT, "fails, and is not lost");
    is_num(stats(b.fd, b.id).failures, 3, "failures counted");
    sleep(2);
    is_num(installed(b.fd, b.id), 8, "zeros are gone after a second, for the borrower to ask again");
    is(resolve(b.fd, b.id, 20, 0, 0), 0, "and again");
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

/* Where a file of that name is mapped. */
static char *find_mapping(const char *name)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned long start = 0;
    char line[300];

    while (f && fgets(line, sizeof(line), f))
        if (strstr(line, name))
            start = strtoul(line, NULL, 16);
    if (f)
        fclose(f);
    return (char *)start;
}

/* Lines of /proc/self/maps. */
static unsigned mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned n = 0;

    for (int c; f && (c = getc(f)) != EOF;)
        n += c == '\n';
    if (f)
        fclose(f);
    return n;
}

/* By descriptor: nothing need be mapped or stay open, and nothing stays behind, whoever ends the lease. */
static void by_descriptor(void)
{
    struct xen_lend_lease l = { .size = sizeof(l), .flags = XEN_LEND_FD, .len = N * PAGE, .gfn = gfn,
                                .memtype = XEN_LEND_MEMTYPE_WB, .ioserv = ioserv, .offset = N * PAGE };
    int file = memfd_create("by_descriptor", MFD_CLOEXEC), fd = lend_bound(), status;
    unsigned before = mappings();
    char *half;
    pid_t pid;

    if (ftruncate(file, 2 * N * PAGE))
        die("memfd");
    l.fd = dup(file);
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "lease by descriptor");
    close(l.fd);
    is_num(mappings(), before + 1, "the driver has its mapping");
    is(resolve(fd, l.id, 0, XEN_LEND_PREFAULT | XEN_LEND_WRITE, N) ?: (int)last.err, 0, "all of it resolves");
    is_num(installed(fd, l.id), N, "and is installed");
    is(DID(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, N * PAGE)), 0, "a hole before the range");
    is_num(installed(fd, l.id), N, "takes nothing");
    is(DID(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (N + 8) * PAGE, 8 * PAGE)), 0, "a hole in it");
    is_num(installed(fd, l.id), N - 8, "takes that");
    half = mmap(NULL, N * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, N * PAGE);
    *(volatile char *)(half + 8 * PAGE) = 1;
    is(munmap(half, N * PAGE), 0, "a mapping of our own comes and goes");
    is_num(installed(fd, l.id), N - 8, "and takes nothing");
    is(DID(ftruncate(file, (N + 8) * PAGE)), 0, "truncating the file");
    is_num(installed(fd, l.id), 8, "takes what is past its end");
    is(resolve(fd, l.id, 20, 0, 0) ?: (int)last.err, EFAULT, "and there it fails");
    is(unlease(fd, l.id), 0, "unlease");
    is_num(mappings(), before, "the driver's mapping is gone");

    /* Ended by another process. */
    l.fd = file;
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "once more");
    pid = fork();
    if (!pid)
        _exit(unlease(fd, l.id));
    waitpid(pid, &status, 0);
    is(WEXITSTATUS(status), 0, "another process ends it");
    for (int i = 0; i < 100 && mappings() != before; i++)
        usleep(10000);
    is_num(mappings(), before, "the driver's mapping is gone");

    /* The last descriptor is closed while the process goes on. */
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "once more");
    close(fd);
    is_num(mappings(), before, "closing the device takes the mapping along");

    /* The process has unmapped what is not its own. */
    fd = lend_bound();
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "once more");
    is(resolve(fd, l.id, 0, 0, 0) ?: (int)last.err, 0, "a page of it");
    half = find_mapping("by_descriptor");
    is(munmap(half + PAGE, PAGE), 0, "somebody unmaps a page of the driver's mapping");
    is(resolve(fd, l.id, 1, 0, 0) ?: (int)last.err, EFAULT, "that page fails");
    is(resolve(fd, l.id, 2, 0, 0) ?: (int)last.err, 0, "the next one does not");
    half = mmap(half + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    is(unlease(fd, l.id), 0, "unlease");
    is_num(mappings(), before + 1, "leaves what somebody has mapped there");
    munmap(half, PAGE);
    close(fd);
    close(file);
}

/* How often a file of that name is mapped. */
static unsigned mapped(const char *name)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned n = 0;
    char line[300];

    while (f && fgets(line, sizeof(line), f))
        n += strstr(line, name) != NULL;
    if (f)
        fclose(f);
    return n;
}

struct leaser {
    int file;
    volatile unsigned long leases;
    volatile bool stop;
};

/* In a process of its own that shares our address space: leases without end. */
static int lease_on(void *arg)
{
    struct leaser *s = arg;
    int fd = lend_bound();

    for (;;) {
        struct xen_lend_lease l = { .size = sizeof(l), .flags = XEN_LEND_FD, .len = N * PAGE, .gfn = gfn,
                                    .memtype = XEN_LEND_MEMTYPE_WB, .ioserv = ioserv, .fd = s->file };

        s->leases++;
        if (!ioctl(fd, XEN_LEND_IOC_LEASE, &l))
            unlease(fd, l.id);
    }
    return 0;
}

/* Holds the address space most of the time, for some milliseconds each. */
static void *hold_address_space(void *arg)
{
    struct leaser *s = arg;
    size_t len = 16 << 20;
    char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    while (!s->stop) {
        mprotect(mem, len, PROT_READ);
        mprotect(mem, len, PROT_READ | PROT_WRITE);
    }
    munmap(mem, len);
    return NULL;
}

/* A process that is killed while it leases leaves nothing in an address space that others go on using. */
static void killed_while_leasing(void)
{
    static char stack[1 << 16] __attribute__((aligned(16)));
    struct leaser s = { .file = memfd_create("killed", MFD_CLOEXEC) };
    unsigned seed = 1, left = 0;
    pthread_t thread;

    if (ftruncate(s.file, N * PAGE))
        die("memfd");
    pthread_create(&thread, NULL, hold_address_space, &s);
    for (unsigned round = 0; round < 40; round++) {
        unsigned long before = s.leases;
        pid_t pid = clone(lease_on, stack + sizeof(stack), CLONE_VM | SIGCHLD, &s);

        if (pid < 0)
            die("clone");
        while (s.leases == before)
            usleep(1000);
        usleep(rand_r(&seed) % 20000);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    s.stop = true;
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 100 && (left = mapped("memfd:killed")); i++)
        usleep(20000);
    printf("# killed 40 times in %lu leases\n", s.leases);
    is_num(left, 0, "mappings left by processes that were killed while they leased");
    close(s.file);
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
    is(resolve(b.fd, b.id, 0, 0, 0), 0, "and a resolve");
    ok(last.result == XEN_LEND_FAILED && last.err == ESRCH, "says that the lender is no more");
    is(resolve(b.fd, b.id, 0, XEN_LEND_PREFAULT, 2), 0, "so does a prefault");
    ok(last.result == XEN_LEND_FAILED && last.err == ESRCH && !last.installed, "the same");
    is(unlease(b.fd, b.id), 0, "its lease can be ended");
    close(b.fd);
    close(pipes[0]);
}

static bool is_open(pid_t pid)
{
    char line[300], end[32];
    FILE *f = fopen("/sys/kernel/debug/xen_lend/leases", "r");
    bool found = false;

    snprintf(end, sizeof(end), "[%d]\n", pid);
    while (f && fgets(line, sizeof(line), f))
        found |= strstr(line, "opened by") && strstr(line, end);
    if (f)
        fclose(f);
    return found;
}

/* A file that is lent and knows of the lease: io_uring's, with the device registered. Both have to go with the process. */
static void cycle(void)
{
    int status, tries = 0;
    pid_t pid = fork();

    if (!pid) {
        struct io_uring_params params = { };
        int ring = syscall(SYS_io_uring_setup, 4, &params), fd = lend_bound();
        struct xen_lend_lease l = lease_of(NULL, PAGE, gfn);

        if (ring < 0)
            _exit(2);
        l.flags = XEN_LEND_FD;
        l.fd = ring;
        _exit(!!syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1) || ioctl(fd, XEN_LEND_IOC_LEASE, &l));
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        ok(true, "a cycle by way of io_uring # SKIP this kernel has none");
        return;
    }
    ok(WIFEXITED(status) && !WEXITSTATUS(status), "io_uring's own memory is lent, and the device registered there");
    while (is_open(pid) && tries++ < 50)
        usleep(100000);
    ok(!is_open(pid), "the device is closed after the process' end");
}

/* Whether the mapping of a file has a flag in smaps. */
static bool has_flag(const char *name, const char *flag)
{
    char line[300];
    FILE *f = fopen("/proc/self/smaps", "r");
    bool in = false, found = false;

    while (f && fgets(line, sizeof(line), f)) {
        if (strchr(line, '-') && strstr(line, " r"))
            in = strstr(line, name);
        found |= in && !strncmp(line, "VmFlags:", 8) && strstr(line, flag);
    }
    if (f)
        fclose(f);
    return found;
}

static void not_forked(void)
{
    int file = memfd_create("not_forked", MFD_CLOEXEC), fd = lend_bound();
    struct xen_lend_lease l = lease_of(NULL, N * PAGE, gfn);

    l.flags = XEN_LEND_FD;
    l.fd = file;
    if (ftruncate(file, N * PAGE))
        die("truncate");
    is(call(fd, XEN_LEND_IOC_LEASE, &l), 0, "a lease on a file");
    ok(has_flag("not_forked", " dc"), "a fork does not copy the driver's mapping");
    ok(has_flag("not_forked", " dd"), "nor does a core dump");
    close(fd);
    close(file);
}

/* A writable entry of a page that is clean: a hole of a memfd that was read. Asked for by the lender, or by another process. */
static void clean_neighbours(void)
{
    struct bed b = bed(MEMFD, N, 0, true);
    int status;
    pid_t pid;

    for (unsigned i = 0; i < N; i++)
        *(volatile char *)(b.mem + i * PAGE);
    is(resolve(b.fd, b.id, 5, 0, 0) ?: (int)last.err, 0, "a read among clean pages");
    ok(last.installed > 1, "neighbours come along: %u", last.installed);
    is_num(smaps(b.mem, "Shared_Dirty:") + smaps(b.mem, "Private_Dirty:"), 0, "KiB made dirty by that");
    unbed(&b);

    b = bed(MEMFD, N, 0, true);
    for (unsigned i = 0; i < N; i++)
        *(volatile char *)(b.mem + i * PAGE);
    pid = fork();
    if (!pid)
        _exit(resolve(b.fd, b.id, 5, 0, 0) || last.err || last.installed < 2);
    waitpid(pid, &status, 0);
    is(WEXITSTATUS(status), 0, "the same, asked for by another process, with neighbours");
    is_num(smaps(b.mem, "Shared_Dirty:") + smaps(b.mem, "Private_Dirty:"), 0, "KiB made dirty by that");
    unbed(&b);
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

static void *prefault_stuck(void *arg)
{
    struct stuck *s = arg;
    struct xen_lend_resolve r = { .size = sizeof(r), .id = s->b->id, .nr = N, .flags = XEN_LEND_PREFAULT };

    s->err = call(s->b->fd, XEN_LEND_IOC_RESOLVE, &r) ?: (int)r.err;
    return NULL;
}

/* A prefault that waits for a page holds on to no other: Linux can move one that is there, which takes that nobody has it. */
static void waiting_holds_nothing(void)
{
    struct bed b = bed(ANON, N, 0, true);
    struct stuck s = { &b, -1 };
    char page[PAGE] = "here";
    struct uffdio_copy copy = { .src = (uintptr_t)page, .len = PAGE };
    pthread_t thread;
    int uffd;

    for (unsigned i = 0; i < N; i++)
        if (i != 10)
            *(volatile uint64_t *)(b.mem + i * PAGE) = i + 1;
    copy.dst = (uintptr_t)b.mem + 10 * PAGE;
    uffd = uffd_over(b.mem, b.len);
    if (uffd < 0) {
        ok(true, "a prefault that waits # SKIP no userfaultfd: %s", strerrorname_np(errno));
        unbed(&b);
        return;
    }
    pthread_create(&thread, NULL, prefault_stuck, &s);
    usleep(300000);
    ok(s.err == -1, "a prefault waits for userfaultfd");
    is(DID(madvise(b.mem + 3 * PAGE, PAGE, 101 /* MADV_SOFT_OFFLINE */)), 0, "a page before it is moved meanwhile");
    ok(*(volatile uint64_t *)(b.mem + 3 * PAGE) == 4, "with its contents");
    is(DID(ioctl(uffd, UFFDIO_COPY, &copy)), 0, "the page arrives");
    pthread_join(thread, NULL);
    is(s.err, 0, "and the prefault ends");
    is_num(installed(b.fd, b.id), N, "with all pages");
    close(uffd);
    unbed(&b);
}

/* In the middle of what is asked for ahead is a page that Xen does not let be lent: the registers of the I/O APIC. */
static void refused_in_the_middle(void)
{
    struct bed b = bed(ANON, N, 0, false);
    int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || mmap(b.mem + 8 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0xfec00000) == MAP_FAILED) {
        ok(true, "a page Xen refuses # SKIP /dev/mem: %s", strerrorname_np(errno));
    } else {
        is(resolve(b.fd, b.id, 0, XEN_LEND_PREFAULT, N), 0, "prefault with a page that Xen refuses: the call");
        ok(last.result == XEN_LEND_FAILED && last.err == EPERM, "failed, EPERM (%u, %u)", last.result, last.err);
        is_num(installed(b.fd, b.id), N - 1, "all others are there");
        is(resolve(b.fd, b.id, 8, 0, 0) ?: (int)last.err, EPERM, "a fault on it");
        is(resolve(b.fd, b.id, 7, 0, 0) ?: (int)last.err, 0, "and one beside it");
    }
    close(fd);
    unbed(&b);
}

static volatile sig_atomic_t rang;

static void ring(int sig)
{
    (void)sig;
    rang = 1;
}

/* A signal ends a long prefault of memory that is there, and waits for nothing; what was done until then counts. */
static void signal_ends_prefault(void)
{
    struct bed b = bed(MEMFD, MANY, 0, true);
    struct itimerval soon = { .it_value.tv_usec = 3000 };
    struct sigaction act = { .sa_handler = ring }, old;
    int err;

    memset(b.mem, 1, b.len);
    sigaction(SIGALRM, &act, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    err = resolve(b.fd, b.id, 0, XEN_LEND_PREFAULT | XEN_LEND_WRITE, MANY);
    ok(rang, "a signal came");
    ok(err == EINTR || (!err && last.nr < MANY), "and ended a prefault of many pages: %s, after %u",
       err ? strerrorname_np(err) : "no error", err ? 0 : last.nr);
    ok(err || installed(b.fd, b.id) == last.nr, "%u are there", last.nr);
    sigaction(SIGALRM, &old, NULL);
    is(resolve(b.fd, b.id, 0, XEN_LEND_PREFAULT | XEN_LEND_WRITE, MANY) ?: (int)last.err, 0, "another call");
    is_num(installed(b.fd, b.id), MANY, "brings the rest");
    unbed(&b);
}

/* A prefault for reading takes what reading gives: the page of zeros, in memory that nobody has written to. */
static void untouched(void)
{
    struct bed b = bed(ANON, N, 0, true);

    is(prefault(&b, 0), 0, "reading all of untouched memory");
    is_num(installed(b.fd, b.id), N, "all of it is installed");
    is_num(stats(b.fd, b.id).retries, 0, "retries for that");
    unbed(&b);
}

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

int main(int argc, char **argv)
{
    arguments(argc, argv);
    make_server();
    kinds_of_memory();
    ways_of_losing();
    permissions();
    reads_do_not_write();
    zero_policy();
    two_mappings();
    by_descriptor();
    killed_while_leasing();
    processes();
    cycle();
    not_forked();
    clean_neighbours();
    slow_backing();
    waiting_holds_nothing();
    refused_in_the_middle();
    signal_ends_prefault();
    untouched();
    races();
    unlink(scratch);
    drop_server();
    return done();
}
