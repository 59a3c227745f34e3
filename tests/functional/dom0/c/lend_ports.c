// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ports without the driver: hypercalls through privcmd.  TAP, after "ready".
 *
 *   lend_ports DOMID GFN silent            a lease whose faults nobody answers, until stdin has a line; it ends with the next one
 *   lend_ports DOMID GFN server            a lease by an ioreq server, whose faults nobody answers until it ends with a line
 *   lend_ports DOMID GFN answers N         vCPUs 1 to N read pages 1 to N of the lease: answers in several ways
 *   lend_ports DOMID GFN fuzz CALLS SEED   random calls, each with what it has to come to by a model; vCPUs may roam meanwhile
 */
#define _GNU_SOURCE
#include <time.h>

#include "lendtest.h"

#include <xenforeignmemory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>

#include "rawlend.h"

#define RINGS   4
#define FRAMES  8
#define PAGES   16          /* of a lease */
#define LEASES  6
#define VCPUS   8
#define OWN     4           /* ports that a lender can have */
#define SLOTS   128

static char *page_of[RINGS + FRAMES];
static uint64_t frame_of[RINGS + FRAMES];
static unsigned vcpus;

/* These of the kernel's do not move, other than what is merely locked. */
static void make_pages(void)
{
    int fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
    char *mem = mmap(NULL, (RINGS + FRAMES) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (mem == MAP_FAILED)
        die("pages");
    know_frames();
    make_server();
    lease = (struct lend_create){ gfn, PAGES, ioserv, 0, LEND_WB };
    if (lend_create(domid, &lease))
        die("a lease");
    for (unsigned i = 0; i < RINGS + FRAMES; i++) {
        page_of[i] = mem + i * PAGE;
        memset(page_of[i], 0, PAGE);
        *(uint64_t *)page_of[i] = 0x1000 + i;
        frame_of[i] = mfn_of(pread64_of("/proc/self/pagemap", (uintptr_t)page_of[i] / PAGE) & ((1ULL << 55) - 1));
    }
    lend_destroy(domid, lease.id);
}

static volatile struct lend_slot *slot(unsigned ring, unsigned vcpu)
{
    return (struct lend_slot *)page_of[ring] + vcpu;
}

static long do_op(unsigned cmd, uint64_t number, void *arg, unsigned size)
{
    struct lend_op op = { .cmd = cmd, .domain = domid, .number = number };
    long rc;

    memcpy(&op.u, arg, size);
    rc = hvmop_lend(&op);
    memcpy(arg, &op.u, size);
    return rc;
}

static uint64_t borrower_number(void)
{
    struct lend_op op = { .cmd = LEND_QUERY, .domain = domid };

    hvmop_lend(&op);
    return op.number;
}

static uint32_t evtchns[SLOTS];

static long listen_to(unsigned ring, uint32_t *id)
{
    struct lend_listen l = { .frame = frame_of[ring], .ports = (uintptr_t)evtchns, .nr = vcpus };
    long rc = do_op(LEND_LISTEN, 0, &l, sizeof(l));

    *id = l.id;
    return rc;
}

static long unlisten(uint32_t id, uint32_t flags)
{
    struct lend_unlisten u = { .id = id, .flags = flags };

    return do_op(LEND_UNLISTEN, 0, &u, sizeof(u));
}

static long answer(uint32_t port, unsigned nr, struct lend_answered *a, uint32_t *woken)
{
    struct lend_answer arg = { .port = port, .nr = nr, .answers = (uintptr_t)a };
    long rc = do_op(LEND_ANSWER, 0, &arg, sizeof(arg));

    *woken = arg.woken;
    return rc;
}

static void check(long got, long want, const char *name)
{
    ok(got == want, "%s: %ld%s", name, got, got == want ? "" : " is wrong");
}

/* A new fault of the vCPU's, other than `than`; its token. */
static uint64_t await(unsigned vcpu, uint64_t than)
{
    uint64_t token = 0;

    for (int i = 0; i < 1000 && (!token || token == than); i++) {
        usleep(10000);
        token = slot(0, vcpu)->token;
    }
    return token == than ? 0 : token;
}

static void get_ready(uint32_t *port)
{
    make_pages();
    check(listen_to(0, port), 0, "a port");
    lease = (struct lend_create){ gfn, PAGES, 0, 0, LEND_WB, .port = *port };
    check(lend_create(domid, &lease), 0, "a lease by it");
    printf("ready\n");
    fflush(stdout);
}

/* Until there is a line, or nobody is there to write one. */
static void hear(void)
{
    char line[20];

    if (!fgets(line, sizeof(line), stdin))
        exit(1);
}

static int silent(void)
{
    struct lend_answered a = { .vcpu = 1 };
    uint32_t port, woken = 0;
    unsigned i;

    get_ready(&port);
    hear();
    for (i = 0; i < PAGES; i++)
        check(lend_one(i, frame_of[RINGS + i % FRAMES] | FRAME_WRITE), 0, "a page");
    a.token = slot(0, 1)->token;
    check(answer(port, 1, &a, &woken), 0, "an answer to what is in the slot");
    is_num(woken, 1, "wakes who has asked for it");
    hear();
    check(lend_destroy(domid, lease.id), 0, "the lease ends");
    check(unlisten(port, 0), 0, "and the port");
    drop_server();
    return done();
}

/* Xen knows the event channels when the page is there. */
static int server(void)
{
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    shared_iopage_t *ring;
    void *addr = NULL;

    make_pages();
    if (!fmem || !xenforeignmemory_map_resource(fmem, domid, XENMEM_resource_ioreq_server, ioserv,
                                                XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &addr, PROT_READ | PROT_WRITE, 0))
        die("mapping the ioreq page");
    ring = addr;
    check(xendevicemodel_set_ioreq_server_state(dmod, domid, ioserv, 1), 0, "the ioreq server is on");
    lease = (struct lend_create){ gfn, PAGES, ioserv, 0, LEND_WB };
    check(lend_create(domid, &lease), 0, "a lease by it");
    printf("ready\n");
    fflush(stdout);
    hear();
    ok(ring->vcpu_ioreq[1].state == STATE_IOREQ_READY, "the request is where it was");
    check(lend_destroy(domid, lease.id), 0, "the lease ends");
    drop_server();
    return done();
}

static int answers(unsigned n)
{
    struct lend_answered a[16] = {};
    uint64_t first[VCPUS] = {}, again[VCPUS] = {};
    uint32_t port, other, woken;
    struct lend_install i;
    unsigned v, right = 0;

    get_ready(&port);
    check(listen_to(1, &other), 0, "another port");
    for (v = 1; v <= n; v++) {
        first[v] = await(v, 0);
        right += first[v] && slot(0, v)->lease == lease.id && slot(0, v)->offset == v && !slot(0, v)->flags;
    }
    is_num(right, n, "vCPUs that wait, with what for");

    for (v = 0; v < 16; v++)
        a[v] = (struct lend_answered){ .vcpu = 1 + v % n, .token = first[1 + v % n] + 1 };
    check(answer(port, 16, a, &woken), 0, "sixteen answers to what nobody asked");
    is_num(woken, 0, "wake nobody");
    for (v = 0; v < n; v++)
        a[v] = (struct lend_answered){ .vcpu = 1 + v, .token = first[1 + v] };
    check(answer(other, n, a, &woken), 0, "the right answers by the other port");
    is_num(woken, 0, "wake nobody");
    /* All in one call, one of them twice, with those in between that are nobody's. */
    for (v = 0; v < n; v++)
        a[2 * v] = (struct lend_answered){ .vcpu = 1 + v, .token = first[1 + v] },
        a[2 * v + 1] = (struct lend_answered){ .vcpu = v % 2 ? ~0U : 1 + v, .token = v % 3 ? 0 : first[1 + v] };
    check(answer(port, 2 * n, a, &woken), 0, "all answers in one call, others among them");
    is_num(woken, n, "wake each once");
    for (v = 1, right = 0; v <= n; v++) {
        again[v] = await(v, first[v]);
        right += again[v] > first[v];
    }
    is_num(right, n, "who repeat their accesses, and ask with new tokens");
    check(answer(port, 2 * n, a, &woken), 0, "the same answers once more");
    is_num(woken, 0, "are nobody's now");

    for (v = 1, right = 0; v <= n; v++) {
        uint64_t frame = frame_of[RINGS + v % FRAMES];

        i = (struct lend_install){ .id = lease.id, .nr = 1, .offset = v, .generation = lease.generation,
                                   .frames = (uintptr_t)&frame, .vcpu = v, .token = again[v] };
        right += !do_op(LEND_INSTALL, 0, &i, sizeof(i)) && i.done == 1;
        a[v - 1] = (struct lend_answered){ .vcpu = v, .token = again[v] };
    }
    is_num(right, n, "pages installed, with the token");
    check(answer(port, n, a, &woken), 0, "answers after that");
    is_num(woken, 0, "come late");
    printf("done\n");
    fflush(stdout);
    hear();

    check(unlisten(port, 0), -EBUSY, "the port, with the lease there");
    check(unlisten(0, 0), -EBUSY, "all ports");
    check(unlisten(other, 0), -ENOENT, "of which the one without a lease is gone");
    check(lend_destroy(domid, lease.id), 0, "the lease ends");
    check(unlisten(port, 0), 0, "and the port");
    drop_server();
    return done();
}

/* The fuzzer */

static struct { uint32_t id; unsigned ring; bool live; } ports[RINGS * 16];       /* the latest */
static struct { uint32_t id, port; uint64_t generation; bool live; } leases[LEASES];
static uint32_t last_port, last_lease, dead_lease = ~0U;
static unsigned nr_ports, live, wrong;
static uint64_t state, latest[VCPUS], seen[RINGS][VCPUS], number;
static unsigned long counts[LEND_ANSWER + 1], good[LEND_ANSWER + 1], woke, tokens;

static unsigned rnd(unsigned below)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % below;
}

static uint64_t strange(void)
{
    static const uint64_t values[] = { 0, 1, 2, 127, 128, 129, 1U << 31, UINT32_MAX, 1ULL << 32, 1ULL << 63, -1ULL };

    return values[rnd(ARRAY_SIZE(values))];
}

static uint64_t maybe(uint64_t value)
{
    return rnd(16) ? value : strange();
}

static void judge(unsigned cmd, long got, long want, long or)
{
    counts[cmd]++;
    good[cmd] += !got;
    if (got == want || got == or)
        return;
    if (wrong++ < 20)
        printf("# call %lu, of kind %u: %ld instead of %ld\n", counts[0], cmd, got, want);
}

static int port_index(uint32_t id)
{
    for (unsigned i = 0; i < nr_ports; i++)
        if (ports[i].id == id)
            return ports[i].live ? (int)i : -1;
    return -1;
}

static bool used(uint32_t port)
{
    for (unsigned i = 0; i < LEASES; i++)
        if (leases[i].live && leases[i].port == port)
            return true;
    return false;
}

/* Mostly one that is there. */
static uint32_t some_port(void)
{
    if (live && rnd(4))
        for (unsigned i = rnd(nr_ports); ; i = (i + 1) % nr_ports)
            if (ports[i].live)
                return ports[i].id;
    return nr_ports && rnd(8) ? ports[rnd(nr_ports)].id : rnd(4) ? (uint32_t)strange() : last_port + 1;
}

static void fuzz_listen(void)
{
    static const uint64_t bad[] = { 1ULL << 40, 0xfee00, -1ULL, 1ULL << 63 };
    bool frame = rnd(10), there = rnd(10);
    unsigned page = rnd(RINGS);
    struct lend_listen l = {
        .frame = frame ? frame_of[page] : bad[rnd(ARRAY_SIZE(bad))],
        .ports = there ? (uintptr_t)evtchns : 1UL << 46,
        .nr = maybe(vcpus), .id = maybe(0), .pad = maybe(0),
    };
    long want = l.id || l.pad || l.nr < vcpus || l.nr > SLOTS ? -EINVAL : live == OWN ? -ENOSPC : !frame ? -EPERM :
                !there ? -EFAULT : 0;
    long rc = do_op(LEND_LISTEN, rnd(2) ? number : 0, &l, sizeof(l));
    unsigned i;

    judge(LEND_LISTEN, rc, want, want);
    if (rc)
        return;
    wrong += l.id <= last_port || l.nr != vcpus || !evtchns[0] || !evtchns[vcpus - 1];
    last_port = l.id;
    if (nr_ports < ARRAY_SIZE(ports)) {
        i = nr_ports++;
    } else {
        do
            i = rnd(nr_ports);
        while (ports[i].live);
    }
    ports[i].id = l.id;
    ports[i].ring = page;
    ports[i].live = true;
    live++;
}

static void fuzz_unlisten(void)
{
    struct lend_unlisten u = { .id = rnd(64) ? some_port() : 0, .flags = maybe(rnd(16) == 0) };
    bool with = rnd(2), some = live;
    int at = port_index(u.id);
    long want, rc;

    if (with && !live) {
        want = -ENOENT;             /* before anything else is looked at */
    } else if (u.flags > UNLISTEN_FORCE) {
        want = -EINVAL;
    } else if (u.id) {
        want = at < 0 ? -ENOENT : !u.flags && used(u.id) ? -EBUSY : 0;
        if (!want) {
            ports[at].live = false;
            live--;
        }
    } else {
        for (unsigned i = 0; i < nr_ports; i++)
            if (ports[i].live && (u.flags || !used(ports[i].id))) {
                ports[i].live = false;
                live--;
            }
        want = live ? -EBUSY : some ? 0 : -ENOENT;
    }
    rc = do_op(LEND_UNLISTEN, with ? number : 0, &u, sizeof(u));
    judge(LEND_UNLISTEN, rc, want, want);
}

/* Mostly the latest there was by this port. */
static uint64_t some_token(uint32_t port, unsigned vcpu)
{
    int at = rnd(8) ? port_index(port) : -1;

    return vcpu < vcpus && rnd(8) ? slot(at < 0 ? rnd(RINGS) : ports[at].ring, vcpu)->token : strange();
}

static void fuzz_answer(void)
{
    struct lend_answered a[18];
    bool there = rnd(16), with = rnd(2);
    struct lend_answer arg = {
        .port = some_port(), .nr = rnd(8) ? 1 + rnd(4) : rnd(18), .answers = there ? (uintptr_t)a : 1UL << 46,
        .woken = maybe(0), .pad = maybe(0),
    };
    bool result = true;
    unsigned possible = 0;
    long want, rc;

    for (unsigned i = 0; i < 18; i++) {
        a[i].vcpu = rnd(16) ? rnd(vcpus) : strange();
        a[i].token = some_token(arg.port, a[i].vcpu);
        a[i].result = rnd(32) ? rnd(4) == 0 : strange();
        if (i < arg.nr) {
            result = result && a[i].result <= 1;
            possible += a[i].vcpu < vcpus && a[i].token;
        }
    }
    want = with && !live ? -ENOENT : !arg.nr || arg.nr > 16 || arg.woken || arg.pad ? -EINVAL : !there ? -EFAULT :
           !result ? -EINVAL : port_index(arg.port) < 0 ? -ENOENT : 0;
    rc = do_op(LEND_ANSWER, with ? number : 0, &arg, sizeof(arg));
    judge(LEND_ANSWER, rc, want, want);
    if (!rc) {
        wrong += arg.woken > possible;
        woke += arg.woken;
    }
}

static void fuzz_create(void)
{
    unsigned at = rnd(LEASES);
    uint32_t port = rnd(8) ? some_port() : 0;
    struct lend_create c = { gfn + at * PAGES, PAGES, port ? rnd(32) == 0 : ioserv, 0, LEND_WB, .port = port };
    long want = port && c.ioserv ? -EINVAL : port && port_index(port) < 0 ? -ENOENT : leases[at].live ? -EEXIST : 0;
    long rc = do_op(LEND_CREATE, rnd(2) ? number : 0, &c, sizeof(c));

    /* Which it is of two reasons does not matter. */
    judge(LEND_CREATE, rc, want, leases[at].live ? -EEXIST : want);
    if (rc)
        return;
    wrong += c.id <= last_lease;
    last_lease = c.id;
    leases[at].id = c.id;
    leases[at].port = port;
    leases[at].generation = c.generation;
    leases[at].live = true;
}

static uint32_t some_lease(unsigned at)
{
    return leases[at].live ? leases[at].id : dead_lease;
}

static void fuzz_destroy(void)
{
    unsigned at = rnd(LEASES);
    struct lend_destroy d = { .id = some_lease(at) };

    judge(LEND_DESTROY, do_op(LEND_DESTROY, 0, &d, sizeof(d)), leases[at].live ? 0 : -ENOENT, 1);
    dead_lease = d.id;
    leases[at].live = false;
}

static void fuzz_install(void)
{
    unsigned at = rnd(LEASES);
    uint64_t frames[4], right = leases[at].generation;
    struct lend_install i = {
        .id = some_lease(at), .nr = 1 + rnd(3), .offset = rnd(PAGES), .generation = rnd(8) ? right : right - 1,
        .frames = (uintptr_t)frames, .vcpu = maybe(rnd(vcpus)),
    };
    long want;

    i.token = rnd(4) ? some_token(leases[at].port, i.vcpu) : 0;
    for (unsigned n = 0; n < 4; n++)
        frames[n] = rnd(16) ? frame_of[RINGS + rnd(FRAMES)] | (rnd(2) ? FRAME_WRITE : 0) : FRAME_SKIP;
    want = i.vcpu && !i.token ? -EINVAL : !leases[at].live ? -ENOENT : i.offset + i.nr > PAGES ? -EINVAL :
           i.generation != right ? -EAGAIN : 0;
    judge(LEND_INSTALL, do_op(LEND_INSTALL, 0, &i, sizeof(i)), want, want);
}

static void fuzz_revoke(void)
{
    unsigned at = rnd(LEASES);
    struct lend_revoke r = { .id = some_lease(at), .flags = rnd(2), .offset = rnd(PAGES), .nr = 1 };
    long rc = do_op(LEND_REVOKE, 0, &r, sizeof(r));

    judge(LEND_REVOKE, rc, leases[at].live ? 0 : -ENOENT, 1);
    if (!rc)
        leases[at].generation = r.generation;
}

static void fuzz_query(void)
{
    unsigned at = rnd(LEASES);
    struct lend_query q = { .id = leases[at].id };

    if (!leases[at].live)
        return;
    judge(LEND_QUERY, do_op(LEND_QUERY, 0, &q, sizeof(q)), 0, 0);
    wrong += q.id != leases[at].id || q.port != leases[at].port || q.generation != leases[at].generation ||
             q.installed > PAGES;
}

/* A token is as it was, none, or newer than all there have been. */
static void look_at_slots(void)
{
    for (unsigned v = 0; v < vcpus; v++) {
        uint64_t newest = latest[v];

        for (unsigned r = 0; r < RINGS; r++) {
            uint64_t token = slot(r, v)->token;

            if (!token || token == seen[r][v])
                continue;
            if (token <= latest[v] || slot(r, v)->offset >= PAGES || slot(r, v)->lease > last_lease) {
                if (wrong++ < 20)
                    printf("# ring %u, vCPU %u: token %llu after %llu, page %llu of lease %u\n", r, v, (unsigned long long)token,
                           (unsigned long long)latest[v], (unsigned long long)slot(r, v)->offset, slot(r, v)->lease);
            }
            seen[r][v] = token;
            tokens++;
            if (token > newest)
                newest = token;
        }
        latest[v] = newest;
    }
}

static int fuzz(unsigned long calls, uint64_t seed)
{
    static const struct { void (*fn)(void); unsigned char often; } kinds[] = {
        { fuzz_listen, 7 }, { fuzz_unlisten, 5 }, { fuzz_answer, 30 }, { fuzz_install, 26 }, { fuzz_create, 10 },
        { fuzz_destroy, 2 }, { fuzz_revoke, 14 }, { fuzz_query, 6 },
    };
    static const char *const names[] = { "", "create", "destroy", "install", "revoke", "query", "listen", "unlisten", "answer" };
    uint32_t id;

    make_pages();
    state = seed;
    number = borrower_number();
    printf("ready\n# %lu calls, seed %llu, %u vCPUs\n", calls, (unsigned long long)seed, vcpus);
    fflush(stdout);
    for (counts[0] = 0; counts[0] < calls; counts[0]++) {
        unsigned what = rnd(100), i = 0;

        while (what >= kinds[i].often)
            what -= kinds[i++].often;
        kinds[i].fn();
        if (!(counts[0] & 63))
            look_at_slots();
        if (counts[0] && !(counts[0] % 100000)) {
            printf("# %lu of %lu calls\n", counts[0], calls);
            fflush(stdout);
        }
    }
    for (unsigned i = 1; i < ARRAY_SIZE(names); i++)
        printf("# %s: %lu calls, %lu went through\n", names[i], counts[i], good[i]);
    printf("# %lu vCPUs woken by an answer, %lu tokens seen\n", woke, tokens);
    ok(!wrong, "%u calls came to something else than they should", wrong);
    for (unsigned i = 0; i < LEASES; i++)
        if (leases[i].live && lend_destroy(domid, leases[i].id))
            wrong++;
    ok(!wrong, "all leases end");
    check(unlisten(0, 0), live ? 0 : -ENOENT, "all ports end");
    check(unlisten(0, 0), -ENOENT, "and are gone");
    for (live = 0; live < OWN; live++)
        if (listen_to(live, &id))
            break;
    is_num(live, OWN, "ports after that");
    check(listen_to(0, &id), -ENOSPC, "and one more");
    check(unlisten(0, 0), 0, "all of them end");
    drop_server();
    return done();
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    if (argc < 4)
        return 2;
    dmod = xendevicemodel_open(NULL, 0);
    if (xendevicemodel_nr_vcpus(dmod, domid, &vcpus) || vcpus > VCPUS)
        die("vCPUs of domain %u", domid);
    xendevicemodel_close(dmod);
    if (!strcmp(argv[3], "silent"))
        return silent();
    if (!strcmp(argv[3], "server"))
        return server();
    if (!strcmp(argv[3], "answers") && argc > 4 && strtoul(argv[4], NULL, 0) < vcpus)
        return answers(strtoul(argv[4], NULL, 0));
    if (!strcmp(argv[3], "fuzz") && argc > 5)
        return fuzz(strtoul(argv[4], NULL, 0), strtoull(argv[5], NULL, 0));
    return 2;
}
