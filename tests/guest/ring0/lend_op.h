/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HVMOP_lend, for callers without a driver in between: a guest, and dom0 through privcmd.  Debian's public/hvm/hvm_op.h does not
 * have it.  See docs/abi.md.
 */
#ifndef LEND_OP_H
#define LEND_OP_H

#include <stdint.h>

#define HVMOP_LEND 26

#define LEND_CREATE  1
#define LEND_DESTROY 2
#define LEND_INSTALL 3
#define LEND_REVOKE  4
#define LEND_QUERY   5
#define LEND_LISTEN   6
#define LEND_UNLISTEN 7
#define LEND_ANSWER   8
enum { LEND_UC = 0, LEND_WC = 1, LEND_WB = 6 };

#define LEND_READONLY 1
#define REVOKE_WRITE  1
#define UNLISTEN_FORCE 1
#define FRAME_WRITE   (1ULL << 63)
#define FRAME_SKIP    (~0ULL)

struct lend_create {
    uint64_t first_gfn, nr;
    uint16_t ioserv, flags;
    uint32_t memtype, id, port;
    uint64_t generation;
};

struct lend_destroy {
    uint32_t id, pad;
};

struct lend_install {
    uint32_t id, nr;
    uint64_t offset, generation, frames;
    uint32_t done, vcpu;
    uint64_t token;
};

struct lend_revoke {
    uint32_t id, flags;
    uint64_t offset, nr, generation;
};

struct lend_query {
    uint32_t id;
    uint16_t lender, ioserv, flags, pad;
    uint32_t memtype;
    uint64_t first_gfn, nr, installed, generation, faults, installs, revokes, flushes, reclaims, downgrades;
    uint32_t port, pad2;
};

struct lend_listen {
    uint64_t frame, ports;
    uint32_t nr, id;
    uint64_t pad;
};

struct lend_slot {
    uint64_t token, offset;
    uint32_t lease, flags;
    uint64_t pad;
};

struct lend_unlisten {
    uint32_t id, flags;
};

struct lend_answered {
    uint32_t vcpu, result;
    uint64_t token;
};

struct lend_answer {
    uint32_t port, nr;
    uint64_t answers;
    uint32_t woken, pad;
};

struct lend_op {
    uint32_t cmd;
    uint16_t domain, pad;
    uint64_t number;
    union {
        struct lend_create create;
        struct lend_destroy destroy;
        struct lend_install install;
        struct lend_revoke revoke;
        struct lend_query query;
        struct lend_listen listen;
        struct lend_unlisten unlisten;
        struct lend_answer answer;
        uint8_t pad[112];
    } u;
};

/* Whoever includes this has it: hvm_op HVMOP_lend; 0 or -errno. */
static long hvmop_lend(struct lend_op *op);

/* The argument is copied back. */
static inline long lend_op(unsigned domid, unsigned cmd, void *arg, unsigned size)
{
    struct lend_op op = { .cmd = cmd, .domain = domid };
    long rc;

    memcpy(&op.u, arg, size);
    rc = hvmop_lend(&op);
    memcpy(arg, &op.u, size);
    return rc;
}

static inline long lend_create(unsigned domid, struct lend_create *c)
{
    return lend_op(domid, LEND_CREATE, c, sizeof(*c));
}

static inline long lend_destroy(unsigned domid, uint32_t id)
{
    struct lend_destroy d = { .id = id };

    return lend_op(domid, LEND_DESTROY, &d, sizeof(d));
}

/* How far the last one got. */
static uint32_t lend_done;

static inline long lend_install(unsigned domid, uint32_t id, uint64_t offset, uint64_t generation, const uint64_t *frames,
                                unsigned nr)
{
    struct lend_install i = { .id = id, .nr = nr, .offset = offset, .generation = generation, .frames = (uintptr_t)frames };
    long rc = lend_op(domid, LEND_INSTALL, &i, sizeof(i));

    lend_done = i.done;
    return rc;
}

static inline long lend_revoke(unsigned domid, uint32_t id, uint64_t offset, uint64_t nr, uint64_t *generation)
{
    struct lend_revoke r = { .id = id, .offset = offset, .nr = nr };
    long rc = lend_op(domid, LEND_REVOKE, &r, sizeof(r));

    if (!rc && generation)
        *generation = r.generation;
    return rc;
}

/* Only the right to write is taken. */
static inline long lend_downgrade(unsigned domid, uint32_t id, uint64_t offset, uint64_t nr, uint64_t *generation)
{
    struct lend_revoke r = { .id = id, .flags = REVOKE_WRITE, .offset = offset, .nr = nr };
    long rc = lend_op(domid, LEND_REVOKE, &r, sizeof(r));

    if (!rc && generation)
        *generation = r.generation;
    return rc;
}

#endif
