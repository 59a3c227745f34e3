// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_serve DOMID [GFN]: a VMM without devices.  Answers the faults of a running guest on a lease at GFN, and reads commands
 * from stdin (help lists them).
 */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "backing.h"

/* These want what xenctrl.h defines. */
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>

#ifndef IOREQ_TYPE_LEND
#define IOREQ_TYPE_LEND 9
#endif

#define DID(call) ((call) < 0 ? errno : 0)

static int do_fork(void)
{
    pid_t pid = fork();

    if (!pid)
        _exit(0);
    return waitpid(pid, NULL, 0) == pid ? 0 : errno;
}

static const char help[] =
    "lease KIND PAGES [ro] [zero] [noahead] [uc|wc] [fd] [child] [listen] [AROUND]\n"
    "    KIND: anon shared memfd hugetlb thp sealed udmabuf heap uffd file=PATH pfile=PATH rofile=PATH dev=PATH drm=PATH\n"
    "    fd: lease the file, and have it mapped nowhere; child: another process maps it and leases; listen: the kernel answers\n"
    "unlease | stats | info | resolve PAGE [w] | prefault PAGE N [w] | quit\n"
    "fill PAGE N VALUE     first word of each page becomes VALUE + page\n"
    "same PAGE N VALUE     first word of each page becomes VALUE\n"
    "read PAGE N           first words\n"
    "cached PAGE N         how many are in memory, mapped or not\n"
    "ADVICE|munmap|over|remap|ro|rw|none|msync PAGE N | exchange PAGE N   (with the N pages that follow, by mremap)\n"
    "punch|zero|collapse|insert PAGE N | truncate PAGES | pfill|pread PAGE N [VALUE]   on the file (of a udmabuf: behind it)\n"
    "sync | fork | cow PAGE N VALUE | softdirty | split PAGE N | move PAGE N NODE | spin PAGE N SECONDS\n"
    "stall on|off | waiting    stall: faults are left unanswered; how many vCPUs wait for an answer\n"
    "disable | enable      the ioreq server\n"
    "drop | vanish         the ioreq server is gone, its requests given up before, or left as they are\n"
    "end exit|kill         the child\n"
    "show N               the Nth buffer of a DRM card, 0 is the one that is lent; made if there is none\n"
    "find PATH PAGES VALUE how many pages of a BAR begin with VALUE or one of the numbers after it, as many as pages are lent\n"
    "freeze | thaw         /lend, and the child is stuck in a write to it\n";

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

    make_server();
    s->xce = xenevtchn_open(NULL, 0);
    if (!fmem || !s->xce || xendevicemodel_nr_vcpus(dmod, domid, &vcpus))
        die("looking at domain %u", domid);
    if (!xenforeignmemory_map_resource(fmem, domid, XENMEM_resource_ioreq_server, ioserv,
                                       XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &addr, PROT_READ | PROT_WRITE, 0))
        die("mapping the ioreq page");
    s->page = addr;
    /* Xen fills in the event channels on this occasion: the page has to be there. */
    if (xendevicemodel_set_ioreq_server_state(dmod, domid, ioserv, 1))
        die("enabling the ioreq server");
    s->vcpus = vcpus > 64 ? 64 : vcpus;
    for (unsigned i = 0; i < s->vcpus; i++) {
        s->port[i] = xenevtchn_bind_interdomain(s->xce, domid, s->page->vcpu_ioreq[i].vp_eport);
        if (s->port[i] < 0)
            die("binding an event channel");
    }
}

static unsigned waiting(const struct server *s)
{
    unsigned n = 0;

    for (unsigned v = 0; v < s->vcpus; v++)
        n += s->page->vcpu_ioreq[v].state == STATE_IOREQ_READY;
    return n;
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
        stream = vcpu;
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

/* As a device model that is dying leaves them: requests without an answer, and then no server. */
static int drop(struct server *s)
{
    for (unsigned v = 0; v < s->vcpus; v++) {
        s->page->vcpu_ioreq[v].state = STATE_IOREQ_NONE;
        xenevtchn_notify(s->xce, s->port[v]);
    }
    usleep(200000);
    return DID(xendevicemodel_destroy_ioreq_server(dmod, domid, ioserv));
}

static void serve_options(struct server *s, struct xen_lend_lease *l, char **arg, int n, bool *child)
{
    for (int i = 3; i < n; i++) {
        if (!strcmp(arg[i], "ro"))
            l->flags |= XEN_LEND_READONLY;
        else if (!strcmp(arg[i], "zero"))
            l->flags |= XEN_LEND_POLICY_ZERO;
        else if (!strcmp(arg[i], "noahead"))
            l->flags |= XEN_LEND_NO_AHEAD;
        else if (!strcmp(arg[i], "fd"))
            s->b.by_fd = true;
        else if (!strcmp(arg[i], "child"))
            *child = true;
        else if (!strcmp(arg[i], "listen"))
            s->b.listen = s->vcpus;
        else if (!strcmp(arg[i], "uc"))
            l->memtype = XEN_LEND_MEMTYPE_UC;
        else if (!strcmp(arg[i], "wc"))
            l->memtype = XEN_LEND_MEMTYPE_WC;
        else
            l->around = strtoul(arg[i], NULL, 0);
    }
}

/* From now on the kernel has the faults, on threads of this process. */
static int bed_listen(struct bed *b, struct xen_lend_lease *l)
{
    struct xen_lend_listen arg = { .size = sizeof(arg), .vcpus = b->listen };

    l->flags |= XEN_LEND_KERNEL;
    l->ioserv = 0;
    return call(b->fd, XEN_LEND_IOC_LISTEN, &arg);
}

/* Map or not, and lease; 0 or an errno. */
static int bed_lease(struct bed *b, const char *kind, struct xen_lend_lease *l)
{
    int err;

    if (b->by_fd) {
        l->flags |= XEN_LEND_FD;
        l->fd = reopened(b->file);
        l->offset = b->offset;
    } else {
        err = bed_map(b, kind);
        if (err)
            return err;
        l->addr = (uintptr_t)b->mem;
    }
    err = b->listen ? bed_listen(b, l) : 0;
    err = err ?: DID(ioctl(b->fd, XEN_LEND_IOC_LEASE, l));
    b->id = l->id;
    if (b->by_fd)
        close(l->fd);
    return err;
}

/* A process that is here while the file system is frozen cannot die. */
static int cold_file = -1;

static void go_and_write(int sig)
{
    (void)sig;
    if (write(cold_file, "x", 1) != 1)
        _exit(1);
}

/* The same in another process, that lives until it is told or killed. */
static int bed_lease_child(struct bed *b, const char *kind, struct xen_lend_lease *l)
{
    int told[2], answer[2] = {};

    if (pipe(told))
        return errno;
    b->child = fork();
    if (!b->child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer[0] = bed_lease(b, kind, l);
        answer[1] = l->id;
        signal(SIGUSR1, _exit);
        cold_file = open("/lend/lend_serve.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        signal(SIGUSR2, go_and_write);
        if (write(told[1], answer, sizeof(answer)) == sizeof(answer))
            for (;;)
                pause();
        _exit(1);
    }
    if (read(told[0], answer, sizeof(answer)) != sizeof(answer))
        answer[0] = ECHILD;
    b->id = answer[1];
    close(told[0]);
    close(told[1]);
    return answer[0];
}

static void serve_lease(struct server *s, char **arg, int n)
{
    struct xen_lend_lease l = lease_of(NULL, 0, gfn);
    bool child = false;
    int err;

    s->b = (struct bed){ .len = strtoul(arg[2], NULL, 0) * PAGE };
    l.len = s->b.len;
    serve_options(s, &l, arg, n, &child);
    err = bed_open(&s->b, arg[1]);
    if (err) {
        printf("error opening: %s\n", strerror(err));
        return;
    }
    s->b.fd = lend_bound();
    if (child)
        err = bed_lease_child(&s->b, arg[1], &l);
    else
        err = bed_lease(&s->b, arg[1], &l);
    if (err) {
        printf("error leasing: %s\n", strerror(err));
        bed_close(&s->b);
        return;
    }
    s->leased = true;
    printf("ok lease %u\n", s->b.id);
}

static const struct {
    const char *name;
    int advice;
} advices[] = {
    { "normal", MADV_NORMAL }, { "random", MADV_RANDOM }, { "sequential", MADV_SEQUENTIAL }, { "willneed", MADV_WILLNEED },
    { "dontneed", MADV_DONTNEED }, { "free", MADV_FREE }, { "remove", MADV_REMOVE }, { "dontfork", MADV_DONTFORK },
    { "dofork", MADV_DOFORK }, { "mergeable", MADV_MERGEABLE }, { "unmergeable", MADV_UNMERGEABLE },
    { "hugepage", MADV_HUGEPAGE }, { "nohugepage", MADV_NOHUGEPAGE }, { "dontdump", MADV_DONTDUMP },
    { "dodump", MADV_DODUMP }, { "wipeonfork", MADV_WIPEONFORK }, { "keeponfork", MADV_KEEPONFORK }, { "cold", 20 },
    { "pageout", 21 }, { "populate_read", 22 }, { "populate_write", 23 }, { "dontneed_locked", 24 }, { "collapse_huge", 25 },
    { "soft_offline", 101 },
};

/* The pages change places with those that follow. */
static int exchange(char *at, size_t len)
{
    char *room = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int how = MREMAP_MAYMOVE | MREMAP_FIXED;

    if (mremap(at, len, len, how, room) == MAP_FAILED || mremap(at + len, len, len, how, at) == MAP_FAILED ||
        mremap(room, len, len, how, at + len) == MAP_FAILED)
        return errno;
    return 0;
}

static int split(char *at, size_t len)
{
    char text[100];
    int fd = open("/sys/kernel/debug/split_huge_pages", O_WRONLY);
    int n = snprintf(text, sizeof(text), "%d,%#lx,%#lx", getpid(), (unsigned long)at, (unsigned long)at + len);
    int err = fd < 0 || write(fd, text, n) != n ? errno : 0;

    close(fd);
    return err;
}

/* A child shares the pages; ours get new contents; the child must still see the old ones. */
static int copy_on_write(char *at, unsigned long n, uint64_t value)
{
    uint64_t old[64];
    int go[2], status;
    pid_t pid;

    if (n > 64 || pipe(go))
        return EINVAL;
    for (unsigned long i = 0; i < n; i++)
        old[i] = *(uint64_t *)(at + i * PAGE);
    pid = fork();
    if (!pid) {
        char c;

        close(go[1]);
        c = read(go[0], &c, 1);
        for (unsigned long i = 0; i < n; i++)
            if (*(volatile uint64_t *)(at + i * PAGE) != old[i])
                _exit(1);
        _exit(0);
    }
    for (unsigned long i = 0; i < n; i++)
        *(volatile uint64_t *)(at + i * PAGE) = value + i;
    close(go[0]);
    close(go[1]);
    return waitpid(pid, &status, 0) == pid && !status ? 0 : EIO;
}

static int soft_dirty(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY);
    int err = fd < 0 || write(fd, "4\n", 2) != 2 ? errno : 0;

    close(fd);
    return err;
}

static void only_return(int sig)
{
    (void)sig;
}

/* A page goes bad.  We have it mapped and did not ask for the signal that goes with that. */
static int poison(char *at, size_t len)
{
    int err;

    signal(SIGBUS, only_return);
    err = DID(madvise(at, len, MADV_HWPOISON));
    signal(SIGBUS, SIG_DFL);
    return err;
}

/* Pages to another node; how many are there then. */
static int move_pages_to(char *at, unsigned long n, int node)
{
    void *pages[64];
    int nodes[64], status[64], there = 0;

    if (n > 64)
        return ERANGE;
    for (unsigned long i = 0; i < n; i++) {
        pages[i] = at + i * PAGE;
        nodes[i] = node;
    }
    if (syscall(SYS_move_pages, 0, n, pages, nodes, status, 2 /* MPOL_MF_MOVE */) < 0)
        return errno;
    for (unsigned long i = 0; i < n; i++)
        there += status[i] == node;
    printf("%d\n", there);
    return 0;
}

/* Use the pages for some seconds, so that the kernel has a reason to look at what we use. */
static int spin(char *at, size_t len, unsigned seconds)
{
    time_t end = time(NULL) + seconds;

    while (time(NULL) < end)
        for (size_t i = 0; i < len; i += PAGE)
            (void)*(volatile char *)(at + i);
    return 0;
}

static int change_file(struct server *s, const char *what, off_t at, size_t len)
{
    static const struct {
        const char *name;
        int mode;
    } modes[] = {
        { "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE }, { "zero", FALLOC_FL_ZERO_RANGE },
        { "collapse", FALLOC_FL_COLLAPSE_RANGE }, { "insert", FALLOC_FL_INSERT_RANGE },
    };
    int file = s->b.behind >= 0 ? s->b.behind : s->b.file;

    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++)
        if (!strcmp(what, modes[i].name))
            return DID(fallocate(file, modes[i].mode, at, len));
    return -1;
}

static int serve_change(struct server *s, char **arg, unsigned long page, unsigned long n, uint64_t value)
{
    char *at = s->b.mem + page * PAGE;
    size_t len = n * PAGE;
    int err = change_file(s, arg[0], page * PAGE, len);

    if (err >= 0)
        return err;
    if (!s->b.mem)
        return EINVAL;
    for (unsigned i = 0; i < ARRAY_SIZE(advices); i++)
        if (!strcmp(arg[0], advices[i].name))
            return DID(madvise(at, len, advices[i].advice));
    if (!strcmp(arg[0], "munmap"))
        return DID(munmap(at, len));
    if (!strcmp(arg[0], "over"))
        return DID(mmap(at, len, s->b.prot, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    if (!strcmp(arg[0], "remap"))
        return mmap(at, len, s->b.prot, MAP_FIXED | s->b.share, s->b.file, page * PAGE) == MAP_FAILED ? errno : 0;
    if (!strcmp(arg[0], "ro"))
        return DID(mprotect(at, len, PROT_READ));
    if (!strcmp(arg[0], "rw"))
        return DID(mprotect(at, len, PROT_READ | PROT_WRITE));
    if (!strcmp(arg[0], "none"))
        return DID(mprotect(at, len, PROT_NONE));
    if (!strcmp(arg[0], "msync"))
        return DID(msync(at, len, MS_SYNC));
    if (!strcmp(arg[0], "exchange"))
        return exchange(at, len);
    if (!strcmp(arg[0], "split"))
        return split(at, len);
    if (!strcmp(arg[0], "cow"))
        return copy_on_write(at, n, value);
    if (!strcmp(arg[0], "hwpoison"))
        return poison(at, len);
    if (!strcmp(arg[0], "move"))
        return move_pages_to(at, n, value);
    if (!strcmp(arg[0], "spin"))
        return spin(at, len, value);
    return EINVAL;
}

static int serve_words(struct server *s, const char *what, unsigned long page, unsigned long n, uint64_t value)
{
    char *mem = bed_at(&s->b);

    if (mem == MAP_FAILED)
        return errno;
    for (unsigned long i = page; i < page + n; i++) {
        volatile uint64_t *word = (volatile uint64_t *)(mem + i * PAGE);

        if (what[0] == 'r')
            printf("%llx ", (unsigned long long)*word);
        else
            *word = value + (what[0] == 's' ? 0 : i);
    }
    if (what[0] == 'r')
        printf("\n");
    bed_done(&s->b, mem);
    return 0;
}

static int serve_pwords(struct server *s, const char *what, unsigned long page, unsigned long n, uint64_t value)
{
    int file = s->b.behind >= 0 ? s->b.behind : s->b.file;
    uint64_t word;

    if (what[1] == 'f')
        return file_fill(file, page, n, value);
    for (unsigned long i = page; i < page + n; i++)
        if (pread(file, &word, 8, i * PAGE) == 8)
            printf("%llx ", (unsigned long long)word);
    printf("\n");
    return 0;
}

/* The process that leased goes. */
static int end_child(struct server *s, const char *how)
{
    int status;

    if (!s->b.child)
        return ECHILD;
    kill(s->b.child, how[0] == 'k' ? SIGKILL : SIGUSR1);
    waitpid(s->b.child, &status, 0);
    s->b.child = 0;
    return 0;
}

/* The child hangs in a write until the file system thaws. */
static int freeze(struct server *s, bool on)
{
    int fs = open("/lend", O_RDONLY | O_CLOEXEC), err;

    err = DID(ioctl(fs, on ? FIFREEZE : FITHAW, 0));
    close(fs);
    if (on && !err) {
        kill(s->b.child, SIGUSR2);
        usleep(300000);
    }
    return err;
}

static int serve_cached(struct server *s, unsigned long page, unsigned long n)
{
    unsigned char *in = calloc(1, n);
    unsigned long count = 0;
    int err = DID(mincore(s->b.mem + page * PAGE, n * PAGE, in));

    for (unsigned long i = 0; i < n; i++)
        count += in[i] & 1;
    printf("%lu\n", count);
    free(in);
    return err;
}

static int serve_info(struct server *s)
{
    struct xen_lend_info i = { .size = sizeof(i) };
    int err = call(s->b.fd, XEN_LEND_IOC_INFO, &i);

    printf("abi %u features %llu domid %u\n", i.abi, (unsigned long long)i.features, i.domid);
    return err;
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
    } else if (!strcmp(arg[0], "waiting")) {
        printf("%u\n", waiting(s));
    } else if (!strcmp(arg[0], "drop")) {
        err = drop(s);
    } else if (!strcmp(arg[0], "disable") || !strcmp(arg[0], "enable")) {
        err = DID(xendevicemodel_set_ioreq_server_state(dmod, domid, ioserv, arg[0][0] == 'e'));
    } else if (!strcmp(arg[0], "vanish")) {
        err = DID(xendevicemodel_destroy_ioreq_server(dmod, domid, ioserv));
    } else if (!strcmp(arg[0], "sync")) {
        err = DID(s->b.file >= 0 ? fsync(s->b.file) : 0);
    } else if (!strcmp(arg[0], "fork")) {
        err = do_fork();
    } else if (!strcmp(arg[0], "softdirty")) {
        err = soft_dirty();
    } else if (!strcmp(arg[0], "end") && n > 1) {
        err = end_child(s, arg[1]);
    } else if (!strcmp(arg[0], "freeze") || !strcmp(arg[0], "thaw")) {
        err = freeze(s, arg[0][0] == 'f');
    } else if (!strcmp(arg[0], "leased")) {
        printf("%d\n", s->leased);
    } else if (!s->leased) {
        err = ENOENT;
    } else if (!strcmp(arg[0], "unlease")) {
        if (s->b.child)
            end_child(s, "kill");
        err = unlease(s->b.fd, s->b.id);
        bed_close(&s->b);
        s->leased = false;
    } else if (!strcmp(arg[0], "info")) {
        err = serve_info(s);
    } else if (!strcmp(arg[0], "stats")) {
        struct xen_lend_stats t = stats(s->b.fd, s->b.id);

        printf("served %lu failed %lu installed %llu faults %llu resolves %llu retries %llu installs %llu revokes %llu "
               "revoked %llu flushes %llu failures %llu slowest_us %llu answered %llu\n", s->faults, s->failed,
               (unsigned long long)t.installed, (unsigned long long)t.faults, (unsigned long long)t.resolves,
               (unsigned long long)t.retries, (unsigned long long)t.installs, (unsigned long long)t.revokes,
               (unsigned long long)t.revoked, (unsigned long long)t.flushes, (unsigned long long)t.failures,
               (unsigned long long)t.slowest_us, (unsigned long long)t.answered);
    } else if (!strcmp(arg[0], "show") && s->b.drm.n) {
        while (!err && page >= s->b.drm.n)
            err = drm_more(&s->b.drm);
        err = err ?: drm_show(&s->b.drm, page);
    } else if (!strcmp(arg[0], "find") && n > 3) {
        int found = drm_find_words(arg[1], count, value, s->b.len / PAGE);

        printf("%d\n", found);
        err = found < 0 ? errno : 0;
    } else if (!strcmp(arg[0], "resolve") && n > 1) {
        err = resolve(s->b.fd, s->b.id, page, n > 2 ? XEN_LEND_WRITE : 0, 0) ?: (int)last.err;
    } else if (!strcmp(arg[0], "prefault")) {
        err = resolve(s->b.fd, s->b.id, page, XEN_LEND_PREFAULT | (n > 3 ? XEN_LEND_WRITE : 0), count) ?: (int)last.err;
    } else if (!strcmp(arg[0], "truncate")) {
        err = DID(ftruncate(s->b.file, page * PAGE));
    } else if ((page + count) * PAGE > s->b.len) {
        err = ERANGE;
    } else if (!strcmp(arg[0], "cached") && s->b.mem) {
        err = serve_cached(s, page, count);
    } else if (!strcmp(arg[0], "fill") || !strcmp(arg[0], "same") || !strcmp(arg[0], "read")) {
        err = serve_words(s, arg[0], page, count, value);
    } else if (!strcmp(arg[0], "pfill") || !strcmp(arg[0], "pread")) {
        err = serve_pwords(s, arg[0], page, count, value);
    } else {
        err = serve_change(s, arg, page, count, value);
    }
    if (err)
        printf("error %s\n", strerror(err));
    else
        printf("ok\n");
    return true;
}

int main(int argc, char **argv)
{
    struct server s = {};
    char line[300];
    bool more = true;

    arguments(argc, argv);
    setvbuf(stdin, NULL, _IONBF, 0);
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
        bed_close(&s.b);
    drop_server();
    return 0;
}
