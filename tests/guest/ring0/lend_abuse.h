/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a lender may try with the arguments of HVMOP_lend; the same for a PV lender (dom0) and for one that is a guest itself.
 * Wants lend_op.h, the numbers of errors, and check(got, wanted, name).
 */
static void check(long got, long want, const char *name);

static long lend_listen(unsigned domid, struct lend_listen *l)
{
    return lend_op(domid, LEND_LISTEN, l, sizeof(*l));
}

static long lend_unlisten(unsigned domid, uint32_t id, uint32_t flags)
{
    struct lend_unlisten u = { .id = id, .flags = flags };

    return lend_op(domid, LEND_UNLISTEN, &u, sizeof(u));
}

static long lend_answer(unsigned domid, uint32_t port, unsigned nr, uint64_t answers, uint32_t woken, uint32_t pad)
{
    struct lend_answer a = { .port = port, .nr = nr, .answers = answers, .woken = woken, .pad = pad };

    return lend_op(domid, LEND_ANSWER, &a, sizeof(a));
}

/* A port with FRAME for its page; what comes of it, and it is ended again. */
static long ring(unsigned domid, uint64_t frame)
{
    static uint32_t evtchns[128];
    struct lend_listen l = { .frame = frame, .ports = (uintptr_t)evtchns, .nr = 128 };
    long rc = lend_listen(domid, &l);

    if (!rc)
        lend_unlisten(domid, l.id, UNLISTEN_FORCE);
    return rc;
}

/* Ports and answers; FRAME and GFN as below. */
static void abuse_ports(unsigned domid, uint64_t gfn, uint64_t frame)
{
    static uint32_t evtchns[128];
    static struct lend_answered answers[17];
    struct {
        const char *name;
        long want;
        struct lend_listen l;
    } listens[] = {
        { "a port for no vCPU", -EINVAL, { frame, (uintptr_t)evtchns, 0 } },
        { "a port for 129 vCPUs", -EINVAL, { frame, (uintptr_t)evtchns, 129 } },
        { "a port for 2^32 - 1 vCPUs", -EINVAL, { frame, (uintptr_t)evtchns, ~0U } },
        { "a port with a number of one's own", -EINVAL, { frame, (uintptr_t)evtchns, 128, .id = 1 } },
        { "a port with padding", -EINVAL, { frame, (uintptr_t)evtchns, 128, .pad = 1ULL << 63 } },
        { "a port whose events are told at no address", -EFAULT, { frame, 1UL << 46, 128 } },
        { "a port with a page past all memory", -EPERM, { 1ULL << 40, (uintptr_t)evtchns, 128 } },
        { "a port with page 2^64 - 1", -EPERM, { ~0ULL, (uintptr_t)evtchns, 128 } },
        { "a port with a page of 63 bits", -EPERM, { frame | FRAME_WRITE, (uintptr_t)evtchns, 128 } },
        { "a port with the local APIC for its page", -EPERM, { 0xfee00, (uintptr_t)evtchns, 128 } },
    };
    struct lend_create c = { gfn, 16, 0, 0, LEND_WB };
    struct lend_query q;
    uint32_t ids[5] = {};
    unsigned n;
    long rc;

    for (n = 0; n < sizeof(listens) / sizeof(*listens); n++)
        check(lend_listen(domid, &listens[n].l), listens[n].want, listens[n].name);
    check(lend_unlisten(domid, 0, 0), -ENOENT, "an end of all ports, without one");
    check(lend_unlisten(domid, 1, 2), -EINVAL, "an end of a port with flags that there are not");
    check(lend_answer(domid, 0, 1, (uintptr_t)answers, 0, 0), -ENOENT, "an answer by no port");
    check(lend_answer(domid, ~0U, 1, (uintptr_t)answers, 0, 0), -ENOENT, "an answer by port 2^32 - 1");

    for (n = 0, rc = 0; n < 5 && !rc; n += !rc) {
        struct lend_listen l = { .frame = frame, .ports = (uintptr_t)evtchns, .nr = 128 };

        rc = lend_listen(domid, &l);
        if (!rc) {
            ids[n] = l.id;
            check(l.nr && l.nr < 128 && evtchns[l.nr - 1] && (!n || l.id > ids[n - 1]), 1, "a port with an event for each vCPU");
        }
    }
    check(rc, -ENOSPC, "a port too many");
    check(n, 4, "ports there can be");
    check(lend_answer(domid, ids[0], 0, (uintptr_t)answers, 0, 0), -EINVAL, "no answers");
    check(lend_answer(domid, ids[0], 17, (uintptr_t)answers, 0, 0), -EINVAL, "seventeen answers");
    check(lend_answer(domid, ids[0], ~0U, (uintptr_t)answers, 0, 0), -EINVAL, "2^32 - 1 answers");
    check(lend_answer(domid, ids[0], 1, 1UL << 46, 0, 0), -EFAULT, "answers at no address");
    check(lend_answer(domid, ids[0], 1, (uintptr_t)answers, 1, 0), -EINVAL, "an answer that claims to have woken somebody");
    check(lend_answer(domid, ids[0], 1, (uintptr_t)answers, 0, 1), -EINVAL, "an answer with padding");
    for (n = 0; n < 17; n++)
        answers[n] = (struct lend_answered){ .vcpu = n % 2 ? ~0U - n : n, .token = n % 3 ? ~0ULL : 0, .result = n & 1 };
    check(lend_answer(domid, ids[0], 16, (uintptr_t)answers, 0, 0), 0, "answers to nobody");
    answers[15].result = 2;
    check(lend_answer(domid, ids[0], 16, (uintptr_t)answers, 0, 0), -EINVAL, "one of them with a result that there is not");

    c.port = ids[1];
    check(lend_create(domid, &c), 0, "a lease by a port");
    q = (struct lend_query){ .id = c.id };
    check(lend_op(domid, LEND_QUERY, &q, sizeof(q)), 0, "a query");
    check(q.port, ids[1], "which tells the port");
    check(lend_unlisten(domid, ids[1], 0), -EBUSY, "the end of a port that has a lease");
    check(lend_unlisten(domid, 0, 0), -EBUSY, "the end of all ports");
    check(lend_unlisten(domid, ids[0], 0), -ENOENT, "of which those without leases are gone");
    check(lend_answer(domid, ids[0], 1, (uintptr_t)answers, 0, 0), -ENOENT, "an answer by one of these");
    check(lend_unlisten(domid, ids[1], UNLISTEN_FORCE), 0, "the end of a port that has a lease, by force");
    check(lend_unlisten(domid, ids[1], UNLISTEN_FORCE), -ENOENT, "and again");
    q = (struct lend_query){ .id = c.id };
    check(lend_op(domid, LEND_QUERY, &q, sizeof(q)), 0, "the lease is still there");
    check(lend_destroy(domid, c.id), 0, "and ends");
    c = (struct lend_create){ gfn, 16, 0, 0, LEND_WB, .port = ids[1] };
    check(lend_create(domid, &c), -ENOENT, "a lease by a port that is gone");
}

/* FRAME is the lender's own and writable; GFN the first of 128 frames of the borrower that nothing is at, RAM one that is RAM. */
static void abuse(unsigned domid, unsigned ioserv, uint64_t gfn, uint64_t ram, uint64_t frame)
{
    struct {
        const char *name;
        long want;
        struct lend_create c;
    } creates[] = {
        { "a lease of nothing", -EINVAL, { gfn, 0, ioserv, 0, LEND_WB } },
        { "a lease of 2^28 + 1 pages", -EINVAL, { gfn, (1 << 28) + 1, ioserv, 0, LEND_WB } },
        { "a lease of 2^64 - 1 pages", -EINVAL, { gfn, ~0ULL, ioserv, 0, LEND_WB } },
        { "a lease from frame 2^64 - 1 on", -EINVAL, { ~0ULL, 2, ioserv, 0, LEND_WB } },
        { "a lease of 2^28 pages that ends past 2^64", -EINVAL, { -(1ULL << 20), 1 << 28, ioserv, 0, LEND_WB } },
        { "a lease past the guest's address width", -EINVAL, { 1ULL << 40, 1, ioserv, 0, LEND_WB } },
        { "a lease over guest RAM", -EEXIST, { ram, 1, ioserv, 0, LEND_WB } },
        { "a lease that ends in guest RAM", -EEXIST, { ram & ~511ULL, 512, ioserv, 0, LEND_WB } },
        { "somebody else's ioreq server", -ENOENT, { gfn, 16, ioserv ^ 1, 0, LEND_WB } },
        { "an ioreq server with number 65535", -ENOENT, { gfn, 16, 65535, 0, LEND_WB } },
        { "flags nobody knows", -EINVAL, { gfn, 16, ioserv, 0x8002, LEND_WB } },
        { "a memory type nobody knows", -EINVAL, { gfn, 16, ioserv, 0, 77 } },
        { "a port and a server", -EINVAL, { gfn, 16, 1, 0, LEND_WB, .port = 1 } },
        { "a port that is not there", -ENOENT, { gfn, 16, 0, 0, LEND_WB, .port = 0x7fffffff } },
        { "a generation of one's own", -EINVAL, { gfn, 16, ioserv, 0, LEND_WB, .generation = 5 } },
        { "the continuation of a call nobody made", -ENOENT, { gfn, 16, ioserv, 0, LEND_WB, .id = 0x7fffffff } },
    };
    struct lend_create c = { gfn, 16, ioserv, 0, LEND_WB }, d;
    struct lend_install i;
    struct lend_op o;
    static uint64_t many[513];
    uint64_t frames[16], generation, old;
    struct lend_query q;
    struct lend_revoke r;
    uint32_t ids[70];
    unsigned n;
    long rc;

    for (n = 0; n < sizeof(creates) / sizeof(*creates); n++)
        check(lend_create(domid, &creates[n].c), creates[n].want, creates[n].name);

    check(lend_create(domid, &c), 0, "a lease as it should be");
    d = (struct lend_create){ gfn + 15, 2, ioserv, 0, LEND_WB };
    check(lend_create(domid, &d), -EEXIST, "a lease that overlaps its end");
    d = (struct lend_create){ gfn, 16, ioserv, 0, LEND_WB };
    check(lend_create(domid, &d), -EEXIST, "the same lease again");
    d = (struct lend_create){ gfn, 16, ioserv, 0, LEND_WB, .id = c.id };
    check(lend_create(domid, &d), -EINVAL, "the continuation of a lease that is complete");

    generation = c.generation;
    for (n = 0; n < 16; n++)
        frames[n] = frame;
    check(lend_install(domid, c.id, 0, generation, frames, 0), -EINVAL, "an install of nothing");
    check(lend_install(domid, c.id, 0, generation, many, 513), -EINVAL, "an install of 513 pages");
    check(lend_install(domid, c.id, 0, generation, frames, 0xffffffff), -EINVAL, "2^32 - 1 pages in a short buffer");
    check(lend_install(domid, c.id, 0, generation, (void *)(1UL << 46), 1), -EFAULT, "an install with frames at no address");
    i = (struct lend_install){ .id = c.id, .nr = 1, .generation = generation, .frames = (uintptr_t)frames, .done = 1 };
    check(lend_op(domid, LEND_INSTALL, &i, sizeof(i)), -EINVAL, "an install that claims to be done");
    o = (struct lend_op){ .cmd = LEND_QUERY, .domain = domid, .pad = 1 };
    check(hvmop_lend(&o), -EINVAL, "a call with padding");
    o = (struct lend_op){ .cmd = 0, .domain = domid };
    check(hvmop_lend(&o), -EOPNOTSUPP, "a call with number 0");
    o.cmd = ~0U;
    check(hvmop_lend(&o), -EOPNOTSUPP, "a call with number 2^32 - 1");
    check(lend_install(domid, c.id, 16, generation, frames, 1), -EINVAL, "an install past the end");
    check(lend_install(domid, c.id, 15, generation, frames, 2), -EINVAL, "an install across the end");
    check(lend_install(domid, c.id, ~0ULL, generation, frames, 2), -EINVAL, "an install from page 2^64 - 1 on");
    check(lend_install(domid, c.id, 0, 0, frames, 1), -EAGAIN, "an install of generation 0");
    check(lend_install(domid, c.id, 0, generation + 1, frames, 1), -EAGAIN, "an install of a generation to come");
    check(lend_install(domid, c.id + 1, 0, generation, frames, 1), -ENOENT, "an install into no lease");
    frames[1] = 1ULL << 62;
    check(lend_install(domid, c.id, 0, generation, frames, 3), -EPERM, "a frame number of 63 bits");
    check(lend_done, 1, "of which the page before it was installed");
    frames[1] = 1ULL << 40;
    check(lend_install(domid, c.id, 0, generation, frames, 3), -EPERM, "a frame past all memory");
    frames[0] = frames[1] = frames[2] = frame | FRAME_WRITE;
    check(lend_install(domid, c.id, 0, generation, frames, 3), 0, "the same frame three times, writable");

    check(lend_revoke(domid, c.id, 0, 0, 0), -EINVAL, "a revoke of nothing");
    check(lend_revoke(domid, c.id, 16, 1, 0), -EINVAL, "a revoke past the end");
    check(lend_revoke(domid, c.id, 1, ~0ULL, 0), -EINVAL, "a revoke of 2^64 - 1 pages");
    check(lend_revoke(domid, c.id + 1, 0, 1, 0), -ENOENT, "a revoke in no lease");
    r = (struct lend_revoke){ .id = c.id, .nr = 1, .flags = 2 };
    check(lend_op(domid, LEND_REVOKE, &r, sizeof(r)), -EINVAL, "a revoke with flags that there are not");
    r.flags = ~0U;
    check(lend_op(domid, LEND_REVOKE, &r, sizeof(r)), -EINVAL, "a revoke with all flags");
    check(lend_downgrade(domid, c.id, 0, 0, 0), -EINVAL, "a downgrade of nothing");
    check(lend_downgrade(domid, c.id, 16, 1, 0), -EINVAL, "a downgrade past the end");
    check(lend_downgrade(domid, c.id, 15, 2, 0), -EINVAL, "a downgrade across the end");
    check(lend_downgrade(domid, c.id, 1, ~0ULL, 0), -EINVAL, "a downgrade of 2^64 - 1 pages");
    check(lend_downgrade(domid, c.id + 1, 0, 1, 0), -ENOENT, "a downgrade in no lease");
    check(lend_downgrade(domid, c.id, 8, 1, &generation), 0, "a downgrade of a page that is absent");
    check(lend_install(domid, c.id, 0, c.generation, frames, 1), -EAGAIN, "an install with what was looked up before it");
    check(lend_downgrade(domid, c.id, 0, 16, &generation), 0, "a downgrade of all");
    q = (struct lend_query){ .id = c.id };
    check(lend_op(domid, LEND_QUERY, &q, sizeof(q)), 0, "a query after it");
    check(q.downgrades, 3, "which is of the three that were writable,");
    check(q.installed, 3, "leaves them there");
    check(lend_downgrade(domid, c.id, 0, 16, &generation), 0, "a downgrade of what is read-only");
    check(lend_op(domid, LEND_QUERY, &q, sizeof(q)), 0, "a query after that");
    check(q.downgrades, 3, "which is no downgrade");
    check(lend_install(domid, c.id, 0, generation, frames, 3), 0, "the three are writable again");
    old = generation;
    check(lend_revoke(domid, c.id, 8, 1, &generation), 0, "a revoke of a page that is absent");
    check(lend_install(domid, c.id, 0, old, frames, 1), -EAGAIN, "an install with what was looked up before it");
    q = (struct lend_query){ .id = c.id, .pad = 1 };
    check(lend_op(domid, LEND_QUERY, &q, sizeof(q)), -EINVAL, "a query with padding");
    q = (struct lend_query){ .id = c.id + 1 };
    check(lend_op(domid, LEND_QUERY, &q, sizeof(q)), -ENOENT, "a query past the last lease");
    check(lend_destroy(domid, 0), -ENOENT, "an end of lease 0");
    check(lend_destroy(domid, c.id), 0, "the end of the lease, with pages in it");
    check(lend_destroy(domid, c.id), -ENOENT, "and again");
    check(lend_install(domid, c.id, 0, generation, frames, 1), -ENOENT, "an install after the end");
    check(lend_revoke(domid, c.id, 0, 1, 0), -ENOENT, "a revoke after the end");
    check(lend_downgrade(domid, c.id, 0, 1, 0), -ENOENT, "a downgrade after the end");

    c = (struct lend_create){ gfn, 16, ioserv, LEND_READONLY, LEND_WB };
    check(lend_create(domid, &c), 0, "a read-only lease");
    check(lend_install(domid, c.id, 0, c.generation, frames, 1), -EACCES, "a writable page in it");
    check(lend_downgrade(domid, c.id, 0, 16, &generation), 0, "a downgrade of it");
    lend_destroy(domid, c.id);

    for (n = 0, rc = 0; n < 70 && !rc; n += !rc) {
        d = (struct lend_create){ gfn + n, 1, ioserv, 0, LEND_WB };
        rc = lend_create(domid, &d);
        if (!rc)
            ids[n] = d.id;
    }
    check(rc, -ENOSPC, "a lease too many");
    while (n--)
        lend_destroy(domid, ids[n]);

    abuse_ports(domid, gfn, frame);
}
