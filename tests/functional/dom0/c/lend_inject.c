// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_inject DOMID GFN [BAR]: every call with its first allocation failing, then with its second, and so on until all of them have
 * failed once; the same for copies from and to user memory (/proc/thread-self/fail-nth, of a kernel with fault injection).  TAP.
 * What is judged: a call that fails says so with an errno it may give; afterwards nothing is left of it, and the same call works.
 *
 * lend_inject DOMID GFN revoke [BAR]: memory that is lent is taken away by a task none of whose allocations succeeds.
 */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "backing.h"

#define N 16            /* pages of most leases */
#define WHERE "/lend/lend_inject.tmp"

static int nth;
static unsigned long injected;

static void arm(unsigned n)
{
    char text[12];
    int len = snprintf(text, sizeof(text), "%u", n);

    if (pwrite(nth, text, len, 0) != len)
        die("fail-nth");
}

/* Has it failed?  Reading the file and writing to it are copies that may fail themselves. */
static bool disarm(void)
{
    char text[12] = "";
    bool done = pread(nth, text, sizeof(text) - 1, 0) > 0 && text[0] == '0';

    while (pwrite(nth, "0", 1, 0) != 1)
        if (errno != EFAULT)
            die("fail-nth");
    injected += done;
    return done;
}

static unsigned mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned lines = 0;

    for (int c; (c = getc(maps)) != EOF;)
        lines += c == '\n';
    fclose(maps);
    return lines;
}

/* ---- kinds of memory ---- */

struct kind {
    const char *name, *kind;
    const char *ways;           /* by which it is taken away, letters of ways[] */
    void (*absent)(struct bed *b);
    unsigned flags;             /* of the lease */
    bool by_fd, huge, gone;     /* gone: not mapped when the fault comes */
};

static void drop_private(struct bed *b)    { madvise(b->mem, b->len, MADV_DONTNEED); }
static void drop_shared(struct bed *b)     { madvise(b->mem, b->len, MADV_REMOVE); }
static void punch(struct bed *b)
{
    fallocate(b->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, b->len);
}
static void drop_file(struct bed *b)
{
    if (b->mem)
        madvise(b->mem, b->len, MADV_DONTNEED);
    fsync(b->file);
    posix_fadvise(b->file, 0, b->len, POSIX_FADV_DONTNEED);
}
static void swap_out(struct bed *b)
{
    for (size_t at = 0; at < b->len; at += PAGE)
        *(volatile char *)(b->mem + at) = 1;
    madvise(b->mem, b->len, 21 /* MADV_PAGEOUT */);
}
static void map_anew(struct bed *b)
{
    if (mmap(b->mem, b->len, b->prot, b->share | MAP_FIXED, b->file, b->offset) == MAP_FAILED)
        die("mapping again");
}
static void unmap(struct bed *b)           { munmap(b->mem, b->len); }

static struct kind kinds[] = {
    { "private anonymous memory", "anon", "dnuU", drop_private },
    { "shared anonymous memory", "shared", "drnuU", drop_shared },
    { "memfd", "memfd", "drhtnuU", drop_shared },
    { "memfd by descriptor", "memfd", "htU", punch, .by_fd = true },
    { "swapped out memory", "anon", "oU", swap_out },
    { "huge pages", "thp", "dnuU", drop_private, .huge = true },
    { "shared file", "file=" WHERE, "dnouU", drop_file },
    { "file by descriptor", "file=" WHERE, "U", drop_file, .by_fd = true },
    { "private file", "pfile=" WHERE, "dnuU", drop_file },
    { "hole in a file", "file=" WHERE, "dnuU", drop_shared },
    { "dma-buf", "udmabuf", "nuU", map_anew },
    { "dma-buf by descriptor", "udmabuf", "U", NULL, .by_fd = true },
    { "dma-heap", "heap", "nuU", map_anew },
    { "memfd, read-only lease", "memfd", "drhtnuU", drop_shared, XEN_LEND_READONLY },
    { "nothing, and a zero page for it", "memfd", "", unmap, XEN_LEND_POLICY_ZERO, .gone = true },
    { "device memory", NULL, "nuU", map_anew },
};

static struct bed make(const struct kind *k)
{
    struct bed b = { .len = k->huge ? HUGE : N * PAGE, .by_fd = k->by_fd };

    if (strstr(k->kind, WHERE)) {
        int fd = open(WHERE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0 || ftruncate(fd, b.len) || file_fill(fd, 0, N, 1))
            die(WHERE);
        close(fd);
    }
    if (bed_open(&b, k->kind) || (!k->by_fd && bed_map(&b, k->kind)))
        die("making %s", k->name);
    b.fd = lend_bound();
    return b;
}

static int lease(struct bed *b, const struct kind *k)
{
    struct xen_lend_lease l = lease_of(b->mem, b->len, gfn);
    int err;

    l.flags = k->flags;
    if (k->by_fd) {
        l.flags |= XEN_LEND_FD;
        l.addr = 0;
        l.fd = b->file;
    }
    l.id = 0;
    err = call(b->fd, XEN_LEND_IOC_LEASE, &l);
    b->id = l.id;
    return err;
}

static void must_lease(struct bed *b, const struct kind *k)
{
    errno = lease(b, k);
    if (errno)
        die("leasing %s", k->name);
}

/* ---- the calls ---- */

/* What came of a round of failures. */
struct outcome {
    unsigned failures;          /* allocations and copies that were made to fail */
    unsigned errors;            /* of them: the call failed */
    unsigned failed;            /* a resolve came to nothing, for the borrower to know */
    unsigned odd, stuck, left;  /* wrong errno; did not work afterwards; something stayed */
    int last_odd;
};

static void told(const struct outcome *o, const char *what, const char *name)
{
    ok(!o->odd && !o->stuck && !o->left && o->failures,
       "%s, %s: %u failures, %u errors, %u told to the borrower%s%s%s%s", what, name, o->failures, o->errors, o->failed,
       o->odd ? "; errno not in the interface: " : "", o->odd ? strerrorname_np(o->last_odd) : "",
       o->stuck ? "; does not work afterwards" : "", o->left ? "; something is left" : "");
}

static void count(struct outcome *o, int err)
{
    o->errors += err != 0;
    if (err && err != ENOMEM && err != EFAULT) {
        o->odd++;
        o->last_odd = err;
    }
}

static void inject_lease(const struct kind *k)
{
    struct bed b = make(k);
    struct outcome o = {};
    unsigned before = mappings();

    for (unsigned n = 1;; n++) {
        int err;
        bool done;

        arm(n);
        err = lease(&b, k);
        done = disarm();
        if (!done) {
            o.stuck += err != 0;
            unlease(b.fd, b.id);
            break;
        }
        o.failures++;
        count(&o, err);
        if (err) {
            o.left += mappings() != before;
            o.stuck += lease(&b, k) != 0;
        }
        o.stuck += unlease(b.fd, b.id) != 0;
        o.left += mappings() != before;
    }
    told(&o, "LEASE", k->name);
    bed_close(&b);
}

/* A resolve of page 5; what it failed with, or EFAULT for what the borrower would be told. */
static int one_resolve(struct bed *b, const struct kind *k, unsigned flags, struct outcome *o)
{
    int err = resolve(b->fd, b->id, flags & XEN_LEND_PREFAULT ? 0 : 5, flags, flags & XEN_LEND_PREFAULT ? N : 0);

    if (err)
        return err;
    if (last.result == (k->gone ? XEN_LEND_ZEROED : XEN_LEND_INSTALLED))
        return 0;
    /* Want of memory is nothing the borrower should hear of, unless the file system made an I/O error of it. */
    if (last.err != EFAULT && !(flags & XEN_LEND_PREFAULT && last.err == ENOMEM)) {
        o->odd++;
        o->last_odd = last.err;
    }
    o->failed++;
    return EFAULT;
}

static void inject_resolve(const struct kind *k, unsigned flags, const char *what)
{
    struct bed b = make(k);
    struct outcome o = {}, sink = {};

    must_lease(&b, k);
    for (unsigned n = 1;; n++) {
        int err;
        bool done;

        if (k->absent)
            k->absent(&b);
        arm(n);
        err = one_resolve(&b, k, flags, &o);
        done = disarm();
        if (!done) {
            o.stuck += err != 0;
            break;
        }
        o.failures++;
        count(&o, err);
        if (err)
            o.stuck += one_resolve(&b, k, flags, &sink) != 0;
        o.stuck += !installed(b.fd, b.id);
    }
    told(&o, what, k->name);
    o.stuck = unlease(b.fd, b.id);
    bed_close(&b);
}

static void inject_unlease(const struct kind *k)
{
    struct outcome o = {};
    struct bed b = make(k);
    unsigned before = mappings();

    for (unsigned n = 1;; n++) {
        int err;
        bool done;

        must_lease(&b, k);
        resolve(b.fd, b.id, 0, XEN_LEND_PREFAULT, N);
        arm(n);
        err = unlease(b.fd, b.id);
        done = disarm();
        o.failures += done;
        count(&o, err);
        if (err)
            o.stuck += unlease(b.fd, b.id) != 0;
        o.left += mappings() != before;
        if (!done)
            break;
    }
    told(&o, "UNLEASE", k->name);
    bed_close(&b);
}

/* The last close of a file with a lease: cannot say that anything failed. */
static void inject_close(const struct kind *k)
{
    struct outcome o = {};
    struct bed b = make(k);
    unsigned before = mappings();

    for (unsigned n = 1;; n++) {
        bool done;

        must_lease(&b, k);
        resolve(b.fd, b.id, 0, XEN_LEND_PREFAULT, N);
        arm(n);
        close(b.fd);
        done = disarm();
        o.failures += done;
        b.fd = lend_bound();
        o.left += mappings() != before;
        if (!done)
            break;
    }
    /* A close need not allocate at all. */
    o.failures += !o.failures;
    told(&o, "close", k->name);
    bed_close(&b);
}

static void inject_open(void)
{
    struct xen_lend_bind bind = { .size = sizeof(bind), .domid = domid };
    struct outcome o = {}, o2 = {};

    for (unsigned n = 1;; n++) {
        bool done;
        int fd;

        arm(n);
        fd = open(DEV, O_RDWR | O_CLOEXEC);
        done = disarm();
        o.failures += done;
        count(&o, fd < 0 ? errno : 0);
        if (fd >= 0)
            close(fd);
        if (!done)
            break;
    }
    told(&o, "open", DEV);
    for (unsigned n = 1;; n++) {
        int fd = lend_open(), err;
        bool done;

        arm(n);
        err = call(fd, XEN_LEND_IOC_BIND, &bind);
        done = disarm();
        o2.failures += done;
        count(&o2, err);
        if (err)
            o2.stuck += call(fd, XEN_LEND_IOC_BIND, &bind) != 0;
        close(fd);
        if (!done)
            break;
    }
    told(&o2, "BIND", DEV);
}

/* Another process resolves on our memory: other ways in, GUP's slow one and mmap_lock. */
static void inject_resolve_elsewhere(const struct kind *k)
{
    struct outcome o = {}, sink = {};
    struct bed b = make(k);
    int status;
    pid_t pid;

    must_lease(&b, k);
    pid = fork();
    if (!pid) {
        nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
        for (unsigned n = 1;; n++) {
            bool done;
            int err;

            punch(&b);
            arm(n);
            err = one_resolve(&b, k, XEN_LEND_WRITE, &o);
            done = disarm();
            o.failures += done;
            count(&o, err);
            if (err)
                o.stuck += one_resolve(&b, k, XEN_LEND_WRITE, &sink) != 0;
            if (!done)
                break;
        }
        _exit(o.odd || o.stuck || !o.failures ? 1 : 0);
    }
    waitpid(pid, &status, 0);
    ok(!status, "RESOLVE by another process, %s: %#x", k->name, status);
    bed_close(&b);
}

static void inject(void)
{
    nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
    if (nth < 0)
        die("/proc/thread-self/fail-nth");
    inject_open();
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct kind *k = &kinds[i];

        if (!k->kind)
            continue;
        inject_lease(k);
        inject_resolve(k, 0, "RESOLVE to read");
        if (!(k->flags & XEN_LEND_READONLY) && !k->gone)
            inject_resolve(k, XEN_LEND_WRITE, "RESOLVE to write");
        if (!k->gone)
            inject_resolve(k, XEN_LEND_PREFAULT, "RESOLVE ahead");
        inject_unlease(k);
        inject_close(k);
    }
    inject_resolve_elsewhere(&kinds[2]);
    printf("# %lu failures of allocations and copies\n", injected);
    ok(injected > 100, "%lu in all", injected);
    unlink(WHERE);
}

/* ---- taking away, with no memory to be had ---- */

static int make_it_fail;

static void starve(bool on)
{
    if (pwrite(make_it_fail, on ? "1" : "0", 1, 0) != 1)
        die("make-it-fail");
}

static int by_dontneed(struct bed *b)  { return madvise(b->mem, b->len, MADV_DONTNEED) ? errno : 0; }
static int by_remove(struct bed *b)    { return madvise(b->mem, b->len, MADV_REMOVE) ? errno : 0; }
static int by_punch(struct bed *b)     { punch(b); return 0; }
static int by_truncate(struct bed *b)  { return ftruncate(b->file, 0) ? errno : 0; }
static int by_protect(struct bed *b)   { return mprotect(b->mem, b->len, PROT_NONE) ? errno : 0; }
static int by_pageout(struct bed *b)   { return madvise(b->mem, b->len, 21) ? errno : 0; }
static int by_munmap(struct bed *b)    { return munmap(b->mem, b->len) ? errno : 0; }
static int by_unlease(struct bed *b)   { return unlease(b->fd, b->id); }

static void take_away(void)
{
    /* None that has the file system write: that wants memory, and has its own ways with failures. */
    static const struct {
        char letter;
        const char *how;
        int (*what)(struct bed *b);
    } ways[] = {
        { 'd', "MADV_DONTNEED", by_dontneed }, { 'r', "MADV_REMOVE", by_remove }, { 'h', "hole punch", by_punch },
        { 't', "truncate", by_truncate }, { 'n', "mprotect", by_protect }, { 'o', "MADV_PAGEOUT", by_pageout },
        { 'u', "munmap", by_munmap }, { 'U', "UNLEASE", by_unlease },
    };
    unsigned long away = 0, times = 0, refused = 0;
    int fd;

    make_it_fail = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
    if (make_it_fail < 0)
        die("/proc/self/make-it-fail");
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(kinds); j++) {
            const struct kind *k = &kinds[j];
            uint64_t before, after;
            struct bed b;
            bool stays;
            int err;

            if (!k->kind || !strchr(k->ways, ways[i].letter))
                continue;
            b = make(k);
            must_lease(&b, k);
            resolve(b.fd, b.id, 0, XEN_LEND_PREFAULT | (k->flags & XEN_LEND_READONLY ? 0 : XEN_LEND_WRITE), b.len / PAGE);
            before = installed(b.fd, b.id);
            starve(true);
            err = ways[i].what(&b);
            starve(false);
            if (ways[i].what == by_unlease) {
                ok(!err, "%s, %s: %llu pages", ways[i].how, k->name, (unsigned long long)before);
            } else {
                after = installed(b.fd, b.id);
                away += before - after;
                times++;
                /* What wants memory for something else, a place in the swap cache, say, has to leave a page alone without it. */
                refused += err == ENOMEM;
                stays = err == ENOMEM || ways[i].what == by_pageout;
                ok(before && (stays || (!err && !after)), "%s, %s: %llu pages, then %llu (%s)", ways[i].how, k->name,
                   (unsigned long long)before, (unsigned long long)after, err ? strerrorname_np(err) : "0");
            }
            bed_close(&b);
        }
    printf("# %lu pages taken away in %lu calls without memory; %lu calls wanted some themselves\n", away, times, refused);
    ok(away > 200 && refused < times / 2, "%lu pages in %lu calls, %lu refused", away, times, refused);

    /* And are they made to fail at all? */
    starve(true);
    fd = open(DEV, O_RDWR | O_CLOEXEC);
    starve(false);
    ok(fd < 0 && errno == ENOMEM, "the same task cannot open a file");
    unlink(WHERE);
}

int main(int argc, char **argv)
{
    bool revoking = argc > 3 && !strcmp(argv[3], "revoke");
    static char dev[200];

    arguments(argc, argv);
    if (argc > 3 + revoking) {
        snprintf(dev, sizeof(dev), "dev=%s", argv[3 + revoking]);
        kinds[ARRAY_SIZE(kinds) - 1].kind = dev;
    }
    make_server();
    if (revoking)
        take_away();
    else
        inject();
    drop_server();
    return done();
}
