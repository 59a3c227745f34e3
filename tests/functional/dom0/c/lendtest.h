/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs here share: TAP lines, the calls of /dev/xen/lend, an ioreq server.
 *
 * Each drives the device directly from dom0, as a VMM that is not QEMU would.  Arguments: DOMID [GFN].  DOMID is an HVM or PVH
 * domain, GFN (default 0x100000) the first of 64 MiB of its frames that nothing is at.
 */
#ifndef LENDTEST_H
#define LENDTEST_H

/* The file that includes this defines _GNU_SOURCE. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xendevicemodel.h>

#include <xen/lend.h>

#define DEV  "/dev/xen/lend"
#define PAGE 4096UL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

static unsigned domid;
static uint64_t gfn = 0x100000;
static xendevicemodel_handle *dmod;
static ioservid_t ioserv;

static inline void die(const char *fmt, ...)
{
    int err = errno;
    va_list ap;

    fprintf(stderr, "lendtest: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, ": %s\n", strerror(err));
    exit(2);
}

/* TAP */

static int tests, failures;

__attribute__((format(printf, 2, 3)))
static inline bool ok(bool good, const char *fmt, ...)
{
    va_list ap;

    failures += !good;
    printf("%sok %d - ", good ? "" : "not ", ++tests);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
    return good;
}

/* What a call came to: 0 or an errno, to be compared with what is expected. */
static inline bool is(int got, int want, const char *what)
{
    if (got == want)
        return ok(true, "%s: %s", what, want ? strerrorname_np(want) : "works");
    return ok(false, "%s: %s instead of %s", what, got ? strerrorname_np(got) : "works",
           want ? strerrorname_np(want) : "working");
}

static inline void is_num(uint64_t got, uint64_t want, const char *what)
{
    if (got == want)
        ok(true, "%s: %llu", what, (unsigned long long)want);
    else
        ok(false, "%s: %llu instead of %llu", what, (unsigned long long)got, (unsigned long long)want);
}

static inline int done(void)
{
    printf("1..%d\n", tests);
    if (failures)
        printf("# %d failed\n", failures);
    return failures ? 1 : 0;
}

/* The calls */

static inline int call(int fd, unsigned long cmd, void *arg)
{
    return ioctl(fd, cmd, arg) < 0 ? errno : 0;
}

static inline int lend_open(void)
{
    int fd = open(DEV, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        die("%s", DEV);
    return fd;
}

static inline int lend_bound(void)
{
    struct xen_lend_bind b = { .size = sizeof(b), .domid = domid };
    int fd = lend_open();

    if (ioctl(fd, XEN_LEND_IOC_BIND, &b))
        die("bind to domain %u", domid);
    return fd;
}

static inline struct xen_lend_lease lease_of(void *addr, size_t len, uint64_t at)
{
    return (struct xen_lend_lease){
        .size = sizeof(struct xen_lend_lease), .addr = (uintptr_t)addr, .len = len, .gfn = at,
        .memtype = XEN_LEND_MEMTYPE_WB, .ioserv = ioserv,
    };
}

static inline int unlease(int fd, uint32_t id)
{
    struct xen_lend_unlease u = { .size = sizeof(u), .id = id };

    return call(fd, XEN_LEND_IOC_UNLEASE, &u);
}

static struct xen_lend_resolve last;
static uint32_t stream;             /* whose faults are resolved */

static inline int resolve(int fd, uint32_t id, uint64_t page, unsigned flags, unsigned nr)
{
    last = (struct xen_lend_resolve){
        .size = sizeof(last), .id = id, .offset = page * PAGE, .flags = flags, .nr = nr,
        .stream = stream,
    };
    return call(fd, XEN_LEND_IOC_RESOLVE, &last);
}

static inline struct xen_lend_stats stats(int fd, uint32_t id)
{
    struct xen_lend_stats s = { .size = sizeof(s), .id = id };

    if (ioctl(fd, XEN_LEND_IOC_STATS, &s))
        die("stats of lease %u", id);
    return s;
}

static inline uint64_t installed(int fd, uint32_t id)
{
    return stats(fd, id).installed;
}

static inline void make_server(void)
{
    dmod = xendevicemodel_open(NULL, 0);
    if (!dmod)
        die("xendevicemodel_open");
    if (xendevicemodel_create_ioreq_server(dmod, domid, 0, &ioserv))
        die("no ioreq server in domain %u", domid);
}

static inline void drop_server(void)
{
    xendevicemodel_destroy_ioreq_server(dmod, domid, ioserv);
    xendevicemodel_close(dmod);
}

static inline void arguments(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s DOMID [GFN]\n", argv[0]);
        exit(2);
    }
    domid = strtoul(argv[1], NULL, 0);
    if (argc > 2)
        gfn = strtoull(argv[2], NULL, 0);
}

#endif
