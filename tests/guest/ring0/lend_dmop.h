/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dm_ops of lending, for callers without a driver in between: a guest, and dom0 through privcmd.  Debian's public/hvm/dm_op.h
 * does not have them.  See docs/abi.md.
 */
#ifndef LEND_DMOP_H
#define LEND_DMOP_H

#include <stdint.h>

enum { LEND_CREATE = 21, LEND_DESTROY, LEND_INSTALL, LEND_REVOKE, LEND_QUERY };
enum { LEND_UC = 0, LEND_WC = 1, LEND_WB = 6 };

#define LEND_READONLY 1
#define FRAME_WRITE   (1ULL << 63)
#define FRAME_SKIP    (~0ULL)

struct lend_create {
    uint64_t first_gfn, nr;
    uint16_t ioserv, flags;
    uint32_t memtype, id, pad;
    uint64_t generation;
};

struct lend_destroy {
    uint32_t id, pad;
};

struct lend_install {
    uint32_t id, nr;
    uint64_t offset, generation;
    uint32_t done, pad;
};

struct lend_revoke {
    uint32_t id, pad;
    uint64_t offset, nr, generation;
};

struct lend_query {
    uint32_t id;
    uint16_t lender, ioserv, flags, pad;
    uint32_t memtype;
    uint64_t first_gfn, nr, installed, generation, faults, installs, revokes, flushes;
};

/* Whoever includes this has it: a dm_op with its argument (copied back) and, for an install, a second buffer; 0 or -errno. */
static long dm_op(unsigned domid, unsigned op, void *arg, unsigned size, const void *buf, unsigned long len);

static inline long lend_create(unsigned domid, struct lend_create *c)
{
    return dm_op(domid, LEND_CREATE, c, sizeof(*c), 0, 0);
}

static inline long lend_destroy(unsigned domid, uint32_t id)
{
    struct lend_destroy d = { .id = id };

    return dm_op(domid, LEND_DESTROY, &d, sizeof(d), 0, 0);
}

/* How far the last one got. */
static uint32_t lend_done;

static inline long lend_install(unsigned domid, uint32_t id, uint64_t offset, uint64_t generation, const uint64_t *frames,
                                unsigned nr)
{
    struct lend_install i = { .id = id, .nr = nr, .offset = offset, .generation = generation };
    long rc = dm_op(domid, LEND_INSTALL, &i, sizeof(i), frames, nr * sizeof(*frames));

    lend_done = i.done;
    return rc;
}

static inline long lend_revoke(unsigned domid, uint32_t id, uint64_t offset, uint64_t nr, uint64_t *generation)
{
    struct lend_revoke r = { .id = id, .offset = offset, .nr = nr };
    long rc = dm_op(domid, LEND_REVOKE, &r, sizeof(r), 0, 0);

    if (!rc && generation)
        *generation = r.generation;
    return rc;
}

#endif
