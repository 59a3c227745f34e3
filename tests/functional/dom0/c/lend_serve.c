// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_serve DOMID [GFN]: a VMM without devices.  Answers the faults of a running guest on a lease at GFN, and reads commands
 * from stdin (help lists them).
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/wait.h>

#include "lendtest.h"

/* These want what xenctrl.h defines. */
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>

#ifndef IOREQ_TYPE_LEND
#define IOREQ_TYPE_LEND 9
#endif

struct bed {
    int fd, file;
    uint32_t id;
    char *mem;
    size_t len;
};

static void unbed(struct bed *b)
{
    close(b->fd);
    munmap(b->mem, b->len);
    if (b->file >= 0)
        close(b->file);
}

static int do_fork(void)
{
    pid_t pid = fork();

    if (!pid)
        _exit(0);
    return waitpid(pid, NULL, 0) == pid ? 0 : errno;
}

#define DID(call) ((call) < 0 ? errno : 0)

static const char help[] =
    "lease KIND PAGES [ro] [zero] [uc|wc] [AROUND]  KIND: anon shared memfd file=PATH pfile=PATH dev=PATH\n"
    "unlease | stats | prefault PAGE N [w] | quit\n"
    "fill PAGE N VALUE     first word of each page becomes VALUE + page\n"
    "same PAGE N VALUE     first word of each page becomes VALUE\n"
    "read PAGE N           first words\n"
    "munmap|remap|dontneed|remove|pageout|cold|free|mergeable|ro|rw PAGE N\n"
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
        s->b.file = memfd_create("lend_serve", MFD_CLOEXEC);
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
        else if (!strcmp(arg[i], "uc"))
            l.memtype = XEN_LEND_MEMTYPE_UC;
        else if (!strcmp(arg[i], "wc"))
            l.memtype = XEN_LEND_MEMTYPE_WC;
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
    { "mergeable", MADV_MERGEABLE },
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
        err = do_fork();
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
    } else if (!strcmp(arg[0], "fill") || !strcmp(arg[0], "pfill") || !strcmp(arg[0], "same")) {
        for (unsigned long i = page; i < page + count; i++) {
            uint64_t word = value + (arg[0][0] == 's' ? 0 : i);

            if (arg[0][0] != 'p')
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
        unbed(&s.b);
    drop_server();
    return 0;
}
