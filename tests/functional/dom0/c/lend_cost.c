// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lend_cost DOMID GFN: what it costs Xen to revoke pages of 2 MiB, while the guest runs:
 * a line "HOW PAGES flushes=N ipis=N us=N" each.
 *
 * The frames are dom0's own, installed read-only and never touched by the guest; any will do, and 512 in a row for a superpage.
 * Interrupts between processors are counted by Xen (CONFIG_PERF_COUNTERS): all of them, whatever sends them. us is a median.
 */
#define _GNU_SOURCE
#include <time.h>

#include "lendtest.h"
#include "perfc.h"
#include "rawlend.h"

#define SUPER  512
#define ROUNDS 16

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static uint64_t ipis(void)
{
    return perf_counter(xch, "#IPIs");
}

/* 512 frames of dom0's: aligned and in a row, or each from another place. */
static void find_frames(uint64_t frames[SUPER], bool row)
{
    unsigned n = 0;

    for (uint64_t mfn = SUPER; mfn + SUPER < max_mfn; mfn += row ? SUPER : 3) {
        if (!row) {
            if (m2p[mfn] < max_mfn && !lend_one(0, mfn))
                frames[n++] = mfn;
        } else if (m2p[mfn] < max_mfn) {
            for (n = 0; n < SUPER; n++)
                frames[n] = mfn + n;
            if (lend_install(domid, lease.id, 0, lease.generation, frames, SUPER))
                n = 0;
        }
        if (n == SUPER)
            break;
    }
    lend_revoke(domid, lease.id, 0, SUPER, &lease.generation);
    if (n < SUPER)
        die("no frames to lend");
}

static uint64_t flushes(void)
{
    struct lend_query q = { .id = lease.id };

    if (lend_op(domid, LEND_QUERY, &q, sizeof(q)))
        die("query");
    return q.flushes;
}

static int less(const void *a, const void *b)
{
    double x = *(double *)a - *(double *)b;

    return x < 0 ? -1 : x > 0;
}

/* Install COUNT pages (if there are FRAMES for them), then revoke them with calls of STEP pages each. */
static void cost(const char *how, const uint64_t *frames, unsigned count, unsigned step)
{
    unsigned times = count / step > 8 ? ROUNDS / 8 : ROUNDS;
    uint64_t rounds = 0, sent = 0;
    double us[ROUNDS], t;

    for (unsigned i = 0; i < times; i++) {
        uint64_t before, ipi;

        if (frames && lend_install(domid, lease.id, 0, lease.generation, frames, count))
            die("install");
        before = flushes();
        ipi = ipis();
        t = now();
        for (unsigned page = 0; page < count; page += step)
            if (lend_revoke(domid, lease.id, page, step, &lease.generation))
                die("revoke");
        us[i] = now() - t;
        sent += ipis() - ipi;
        rounds += flushes() - before;
    }
    qsort(us, times, sizeof(*us), less);
    printf("%s %u flushes=%.2f ipis=%.2f us=%.1f\n", how, count, (double)rounds / times, (double)sent / times,
           us[times / 2]);
}

int main(int argc, char **argv)
{
    static uint64_t scattered[SUPER], row[SUPER];

    arguments(argc, argv);
    gfn = (gfn + SUPER - 1) & ~(SUPER - 1UL);
    know_frames();
    make_server();
    lease = (struct lend_create){ gfn, 4 * SUPER, ioserv, 0, LEND_WB };
    if (lend_create(domid, &lease))
        die("a lease");
    find_frames(scattered, false);
    find_frames(row, true);
    cost("absent", NULL, SUPER, SUPER);
    for (unsigned n = 1; n <= SUPER; n *= 8)
        cost("pages", scattered, n, n);
    cost("superpage", row, SUPER, SUPER);
    cost("one-by-one", scattered, SUPER, 1);
    lend_destroy(domid, lease.id);
    drop_server();
    return 0;
}
