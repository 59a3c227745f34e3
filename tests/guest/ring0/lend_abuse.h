/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a lender may try with the arguments of HVMOP_lend; the same for a PV lender (dom0) and for one that is a guest itself.
 * Wants lend_op.h, the numbers of errors, and check(got, wanted, name).
 */
static void check(long got, long want, const char *name);

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
}
