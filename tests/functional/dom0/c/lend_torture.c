// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_torture DOMID GFN PAGES REVOCATIONS SECONDS SEED: lends PAGES pages to a guest whose vCPUs hammer them (tests/guest/ring0,
 * hammer), and keeps moving them.
 *
 * The pages are mapped from a pool with more of them.  To move one: take its mapping away (which the driver has to turn into a
 * revoke), copy it to a free page of the pool, fill the old one with a poison, map the new one.  A vCPU that still reaches
 * the old frame reads poison, or writes into it, which is seen when that frame's turn comes again.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <time.h>

#include "lendtest.h"

#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>

#ifndef IOREQ_TYPE_LEND
#define IOREQ_TYPE_LEND 9
#endif

#define TAG    0x1e4d000000000000UL
#define POISON 0xdeaddeaddeaddeadUL
#define WORDS  (PAGE / 8)

static unsigned pages, pool_pages;
static int pool_fd, lend;
static uint32_t id;
static uint64_t *pool;
static char *mem;               /* what is lent */
static shared_iopage_t *iopage;

/* Page N of what is lent is page at[N] of the pool; free_at[] are the others. */
static unsigned *at, *free_at, free_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t settled = PTHREAD_COND_INITIALIZER;
static bool *moving, *present;
static uint64_t moves, faults, again, failed, stale, stale_pages;

static uint64_t rnd(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 16;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fill(unsigned page, uint64_t value)
{
    for (unsigned i = 0; i < WORDS; i++)
        pool[page * WORDS + i] = value;
}

/* A page that is being moved has no mapping: its fault has to wait, or to be resolved once more if that began before. */
static bool resolve_fault(unsigned page, bool write)
{
    for (;;) {
        struct xen_lend_resolve r = {
            .size = sizeof(r), .id = id, .offset = page * PAGE, .flags = write ? XEN_LEND_WRITE : 0,
        };
        uint64_t before;
        int err;

        pthread_mutex_lock(&lock);
        while (moving[page])
            pthread_cond_wait(&settled, &lock);
        before = moves;
        pthread_mutex_unlock(&lock);

        err = call(lend, XEN_LEND_IOC_RESOLVE, &r);

        pthread_mutex_lock(&lock);
        if (!err && r.result != XEN_LEND_FAILED) {
            present[page] = true;
            faults++;
            pthread_mutex_unlock(&lock);
            return true;
        }
        again += before != moves;
        failed += before == moves;
        pthread_mutex_unlock(&lock);
        if (before == moves)
            return false;
    }
}

static void *serve(void *arg)
{
    ioreq_t *req = &iopage->vcpu_ioreq[(uintptr_t)arg];
    xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
    xenevtchn_port_or_error_t port = xce ? xenevtchn_bind_interdomain(xce, domid, req->vp_eport) : -1;

    if (port < 0)
        die("binding an event channel");
    for (;;) {
        xenevtchn_port_or_error_t got = xenevtchn_pending(xce);

        if (got != port)
            continue;
        xenevtchn_unmask(xce, port);
        if (req->state != STATE_IOREQ_READY)
            continue;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);    /* the request before its state */
        req->state = STATE_IOREQ_INPROCESS;
        if (req->type == IOREQ_TYPE_LEND)
            req->data = !resolve_fault((req->addr >> 12) - gfn, !req->dir);
        __atomic_thread_fence(__ATOMIC_RELEASE);    /* the answer before its state */
        req->state = STATE_IORESP_READY;
        xenevtchn_notify(xce, port);
    }
    return NULL;
}

/*
 * A page nobody ought to have written to, that is.  The guest writes to few words of a page: if all have changed it was not the
 * guest, or not with what it runs here.
 */
static void check_poison(unsigned page)
{
    const uint64_t *word = pool + page * WORDS;
    unsigned bad = 0, at = 0;

    for (unsigned i = 0; i < WORDS; i++)
        if (word[i] != POISON && !bad++)
            at = i;
    if (bad && stale_pages++ < 8)
        fprintf(stderr, "move %llu, page %u of the pool: %u words, word %u is %#llx, word 0 %#llx\n",
                (unsigned long long)moves / 2, page, bad, at, (unsigned long long)word[at], (unsigned long long)word[0]);
    stale += bad;
}

static void move(unsigned first, unsigned count, uint64_t *seed)
{
    pthread_mutex_lock(&lock);
    moves++;
    for (unsigned page = first; page < first + count; page++)
        moving[page] = true;
    pthread_mutex_unlock(&lock);

    if (mmap(mem + first * PAGE, count * PAGE, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        die("taking pages away");
    for (unsigned page = first; page < first + count; page++) {
        unsigned pick = rnd(seed) % free_count, old = at[page], new = free_at[pick];

        check_poison(new);
        memcpy(pool + new * WORDS, pool + old * WORDS, PAGE);
        fill(old, POISON);
        at[page] = new;
        free_at[pick] = old;
        if (mmap(mem + page * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, pool_fd, new * PAGE) == MAP_FAILED)
            die("putting a page back");
    }

    pthread_mutex_lock(&lock);
    moves++;
    for (unsigned page = first; page < first + count; page++)
        moving[page] = present[page] = false;
    pthread_cond_broadcast(&settled);
    pthread_mutex_unlock(&lock);
}

static void set_up(void)
{
    struct xen_lend_lease l;

    pool_fd = memfd_create("lend_torture", MFD_CLOEXEC);
    if (pool_fd < 0 || ftruncate(pool_fd, pool_pages * PAGE))
        die("the pool");
    pool = mmap(NULL, pool_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, pool_fd, 0);
    mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, pool_fd, 0);
    at = calloc(pages, sizeof(*at));
    free_at = calloc(pool_pages, sizeof(*free_at));
    moving = calloc(pages, sizeof(*moving));
    present = calloc(pages, sizeof(*present));
    for (unsigned i = 0; i < pool_pages; i++)
        if (i < pages) {
            fill(i, 0);
            pool[i * WORDS] = i ? TAG + i : 0;
            at[i] = i;
        } else {
            fill(i, POISON);
            free_at[free_count++] = i;
        }
    lend = lend_bound();
    l = lease_of(mem, pages * PAGE, gfn);
    l.around = PAGE;
    if (ioctl(lend, XEN_LEND_IOC_LEASE, &l))
        die("leasing");
    id = l.id;
}

int main(int argc, char **argv)
{
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    uint64_t wanted, seed, revokes = 0;
    struct xen_lend_stats s;
    unsigned int vcpus = 0;
    void *addr = NULL;
    double begin, told, seconds;

    if (argc < 7) {
        fprintf(stderr, "usage: lend_torture DOMID GFN PAGES REVOCATIONS SECONDS SEED\n");
        return 2;
    }
    arguments(argc, argv);
    pages = strtoul(argv[3], NULL, 0);
    pool_pages = pages + pages / 2 + 8;
    wanted = strtoull(argv[4], NULL, 0);
    seconds = strtod(argv[5], NULL);
    seed = strtoull(argv[6], NULL, 0) * 2 + 1;
    make_server();
    if (!fmem || xendevicemodel_nr_vcpus(dmod, domid, &vcpus) ||
        !xenforeignmemory_map_resource(fmem, domid, XENMEM_resource_ioreq_server, ioserv,
                                       XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &addr, PROT_READ | PROT_WRITE, 0))
        die("the ioreq page");
    iopage = addr;
    if (xendevicemodel_set_ioreq_server_state(dmod, domid, ioserv, 1))
        die("enabling the ioreq server");
    set_up();
    for (uintptr_t v = 0; v < vcpus; v++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, serve, (void *)v))
            die("a thread");
    }
    printf("ready\n");
    fflush(stdout);

    begin = told = now();
    while (revokes < wanted && now() - begin < seconds && !failed) {
        for (unsigned turn = 0; turn < 64; turn++) {
            unsigned page = 1 + rnd(&seed) % (pages - 1), count = rnd(&seed) % 4 ? 1 : 1 + rnd(&seed) % 8;

            for (unsigned tries = 0; tries < pages && !present[page]; tries++)
                page = 1 + page % (pages - 1);
            if (!present[page]) {
                sched_yield();
                continue;
            }
            move(page, count < pages - page ? count : pages - page, &seed);
        }
        revokes = stats(lend, id).flushes;      /* calls that found something to take away */
        if (now() >= told + 30) {
            told = now();
            printf("%llu of %llu revocations after %.0f s\n",
                   (unsigned long long)revokes, (unsigned long long)wanted, told - begin);
            fflush(stdout);
        }
    }
    seconds = now() - begin;
    *(volatile uint64_t *)mem = 1;      /* page 0 stays where it is */
    s = stats(lend, id);
    printf("revocations=%llu revoked_pages=%llu faults=%llu installs=%llu retries=%llu again=%llu failed=%llu stale_words=%llu "
           "seconds=%.1f\n", (unsigned long long)s.flushes, (unsigned long long)s.revoked, (unsigned long long)faults,
           (unsigned long long)s.installs, (unsigned long long)s.retries, (unsigned long long)again, (unsigned long long)failed,
           (unsigned long long)stale, seconds);
    fflush(stdout);

    /* The guest finishes its round, and looks at all pages once more, with nobody moving them.  The last word is on stdin. */
    while (getchar() != EOF)
        ;
    for (unsigned i = 0; i < free_count; i++)
        check_poison(free_at[i]);
    printf("stale_words=%llu\n", (unsigned long long)stale);
    return stale || failed;
}
