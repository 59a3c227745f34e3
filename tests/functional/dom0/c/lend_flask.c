// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the lane flask wants asked of Xen without the driver: which calls get as far as the policy, by their errno. TAP.
 *
 *   lend_flask DOMID GFN number             prints the borrower's number
 *   lend_flask DOMID GFN allowed NUMBER     the policy allows it
 *   lend_flask DOMID GFN asked NUMBER       it does not, and these calls ask it; prints how many they are
 *   lend_flask DOMID GFN silent NUMBER      these do not
 *   lend_flask DOMID GFN lender NUMBER ID   nor does who takes lease ID back, which is dom0's
 */
#define _GNU_SOURCE
#include "lendtest.h"
#include "rawlend.h"

static uint64_t number;

/* The call, with a lease of 16 pages, or of that id; 0 or an errno. */
static int ask(unsigned dom, unsigned cmd, uint64_t borrower, uint32_t id)
{
    static uint64_t frame = FRAME_SKIP;
    struct lend_op op = { .cmd = cmd, .domain = dom, .number = borrower };

    switch (cmd) {
    case LEND_CREATE:
        op.u.create = (struct lend_create){ gfn, 16, 0, 0, LEND_WB, id };
        break;
    case LEND_INSTALL:
        op.u.install = (struct lend_install){ .id = id, .nr = 1, .frames = (uintptr_t)&frame };
        break;
    case LEND_REVOKE:
        op.u.revoke = (struct lend_revoke){ .id = id, .nr = 1 };
        break;
    default:
        op.u.destroy.id = id;
    }
    return -hvmop_lend(&op);
}

static const struct {
    const char *name;
    unsigned cmd;
} calls[] = {
    { "create", LEND_CREATE }, { "destroy", LEND_DESTROY }, { "install", LEND_INSTALL }, { "revoke", LEND_REVOKE },
    { "query", LEND_QUERY }, { "number 0", 0 }, { "number 6", 6 }, { "number 2^32 - 1", UINT32_MAX },
};

static bool takes_back(unsigned cmd)
{
    return cmd == LEND_DESTROY || cmd == LEND_REVOKE;
}

static bool is_known(unsigned cmd)
{
    return cmd >= LEND_CREATE && cmd <= LEND_QUERY;
}

static void allowed(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++)
        if (!is_known(calls[i].cmd))
            is(ask(domid, calls[i].cmd, number, 0), EOPNOTSUPP, calls[i].name);
        else if (calls[i].cmd != LEND_CREATE)
            is(ask(domid, calls[i].cmd, number, 1), ENOENT, calls[i].name);
}

/* Known or not. Who takes back and does not say whose domain it is may be anybody. */
static void asked(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        is(ask(domid, calls[i].cmd, 0, 1), EACCES, calls[i].name);
        n++;
        if (takes_back(calls[i].cmd))
            continue;
        is(ask(domid, calls[i].cmd, number, 1), EACCES, calls[i].name);
        n++;
    }
    printf("# %u asked\n", n);
}

/* A domain that is no borrower, as what comes after one with its id may be. */
static unsigned pv_domain(void)
{
    struct xen_domctl_createdomain config = {
        .max_vcpus = 1, .max_evtchn_port = -1, .max_grant_frames = 4, .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    char label[] = "system_u:system_r:domU_t";
    uint32_t id = 0;

    xch = xc_interface_open(NULL, NULL, 0);
    if (!xch || xc_flask_context_to_sid(xch, label, strlen(label), &config.ssidref) || xc_domain_create(xch, &id, &config))
        die("a PV domain");
    return id;
}

static void silent(void)
{
    unsigned pv = pv_domain();
    char what[100];

    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        snprintf(what, sizeof(what), "%s, for a borrower that is gone", calls[i].name);
        is(ask(domid, calls[i].cmd, number + 1000, 1), ESRCH, what);
        snprintf(what, sizeof(what), "%s, and its id is a PV domain's", calls[i].name);
        is(ask(pv, calls[i].cmd, number, 1), ESRCH, what);
        snprintf(what, sizeof(what), "%s, for a PV domain", calls[i].name);
        is(ask(pv, calls[i].cmd, 0, 1), EINVAL, what);
        if (takes_back(calls[i].cmd)) {
            snprintf(what, sizeof(what), "%s, when all leases are gone", calls[i].name);
            is(ask(domid, calls[i].cmd, number, 1), ENOENT, what);
        }
    }
    xc_domain_destroy(xch, pv);
}

/* A lender's last calls; and nothing else that has the look of one. */
static void lender(uint32_t id)
{
    is(ask(domid, LEND_INSTALL, number, id), EACCES, "install");
    is(ask(domid, LEND_QUERY, number, id), EACCES, "query");
    is(ask(domid, LEND_CREATE, number, 0), EACCES, "another lease");
    is(ask(domid, 6, number, id), EACCES, "number 6");
    is(ask(domid, LEND_CREATE, number, id), EINVAL, "to go on with a create that is complete");
    is(ask(domid, LEND_CREATE, number, id + 1000), ENOENT, "to go on with one that was never begun");
    is(ask(domid, LEND_REVOKE, number, id + 1000), ENOENT, "revoke, from no lease");
    is(ask(domid, LEND_REVOKE, number + 1000, id), ESRCH, "revoke, from a borrower that is gone");
    is(ask(domid, LEND_REVOKE, number, id), 0, "revoke");
    is(ask(domid, LEND_DESTROY, number, id + 1000), ENOENT, "destroy no lease");
    is(ask(domid, LEND_DESTROY, 0, id), 0, "destroy");
    is(ask(domid, LEND_DESTROY, number, id), ENOENT, "destroy again");
    is(ask(domid, LEND_DESTROY, 0, id), EACCES, "and again, whoever it is that asks");
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    if (argc == 4 && !strcmp(argv[3], "number")) {
        struct lend_op op = { .cmd = LEND_QUERY, .domain = domid };

        hvmop_lend(&op);
        printf("%llu\n", (unsigned long long)op.number);
        return !op.number;
    }
    if (argc < 5)
        return 2;
    number = strtoull(argv[4], NULL, 0);
    if (!strcmp(argv[3], "allowed"))
        allowed();
    else if (!strcmp(argv[3], "asked"))
        asked();
    else if (!strcmp(argv[3], "silent"))
        silent();
    else if (!strcmp(argv[3], "lender") && argc > 5)
        lender(strtoul(argv[5], NULL, 0));
    else
        return 2;
    return done();
}
