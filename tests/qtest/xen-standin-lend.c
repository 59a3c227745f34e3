/*
 * A stand-in for Xen and the kernel's lend device: the lend device
 *
 * It is what open(), ioctl(), mmap() and close() find under its name.  See
 * xen-standin.c for the rest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* open() and open64() are two functions here. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xen/hvm/ioreq.h>

#include "xen-standin-internal.h"

static struct standin_lease *lease_by_id(uint32_t id)
{
    for (unsigned i = 0; i < STANDIN_LEASES; i++) {
        if (standin->leases[i].used && standin->leases[i].id == id) {
            return &standin->leases[i];
        }
    }
    return NULL;
}

static int do_bind(struct xen_lend_bind *arg)
{
    if (arg->pad || arg->domid >= DOMID_FIRST_RESERVED) {
        return mistake(EINVAL, "bind: domid %u", arg->domid);
    }
    if (geteuid() != privileged || !arg->domid) {
        return -EPERM;
    }
    if (standin->bound) {
        return mistake(EBUSY, "bind: twice");
    }
    if (arg->domid != STANDIN_DOMID) {
        return -ESRCH;
    }
    if (standin->bind_error) {
        return -standin->bind_error;
    }
    standin->bound = true;
    arg->abi = standin->abi;
    arg->features = standin->features;
    return 0;
}

/* What the driver looks at by itself. */
static int check_lease(const struct xen_lend_lease *arg)
{
    uint64_t nr = arg->len / STANDIN_PAGE;
    bool by_fd = arg->flags & XEN_LEND_FD;

    if (!standin->bound) {
        return mistake(ENOTCONN, "lease: not bound");
    }
    if (!nr || arg->len % STANDIN_PAGE || arg->addr % STANDIN_PAGE ||
        arg->addr + arg->len < arg->addr ||
        arg->addr + arg->len > STANDIN_TASK_SIZE) {
        return mistake(EINVAL, "lease: addr 0x%llx len 0x%llx",
                       arg->addr, arg->len);
    }
    if (arg->flags & ~(XEN_LEND_READONLY | XEN_LEND_POLICY_ZERO |
                       XEN_LEND_FD | XEN_LEND_NO_AHEAD)) {
        return mistake(EINVAL, "lease: flags 0x%x", arg->flags);
    }
    if (arg->pad || arg->offset % STANDIN_PAGE ||
        (by_fd ? arg->addr : arg->fd || arg->offset)) {
        return mistake(EINVAL, "lease: fd %d offset 0x%llx", arg->fd,
                       arg->offset);
    }
    if (arg->memtype != XEN_LEND_MEMTYPE_UC &&
        arg->memtype != XEN_LEND_MEMTYPE_WC &&
        arg->memtype != XEN_LEND_MEMTYPE_WB) {
        return mistake(EINVAL, "lease: memtype %u", arg->memtype);
    }
    if (arg->around && (arg->around & (arg->around - 1) ||
                        arg->around < 4096 || arg->around > 2 << 20)) {
        return mistake(EINVAL, "lease: around 0x%x", arg->around);
    }
    return nr > 1 << 28 ? -EINVAL : 0;
}

/* What the hypervisor looks at. */
static int create_lease(struct xen_lend_lease *arg)
{
    uint64_t nr = arg->len / STANDIN_PAGE;
    struct standin_lease *lease = NULL;

    if (arg->gfn >> STANDIN_GFN_BITS || (arg->gfn + nr) >> STANDIN_GFN_BITS) {
        return -EINVAL;
    }
    if (standin->destroyed || arg->ioserv != 1) {
        return mistake(arg->ioserv >> 16 ? EINVAL : ENOENT,
                       "lease: ioreq server %u", arg->ioserv);
    }
    if (standin->lease_error) {
        return -standin->lease_error;
    }
    if (is_populated(arg->gfn, nr)) {
        return -EEXIST;
    }
    for (unsigned i = 0; i < STANDIN_LEASES; i++) {
        struct standin_lease *other = &standin->leases[i];

        if (!other->used) {
            lease = lease ?: other;
        } else if (overlap(arg->gfn, nr, other->gfn, other->len / 4096)) {
            return mistake(EEXIST, "lease: gfn 0x%llx overlaps lease %u",
                           arg->gfn, other->id);
        }
    }
    if (!lease) {
        return -ENOSPC;
    }

    memset(lease, 0, sizeof(*lease));
    lease->used = true;
    lease->id = ++standin->next_id;
    lease->flags = arg->flags;
    lease->memtype = arg->memtype;
    lease->ioserv = arg->ioserv;
    lease->around = arg->around;
    lease->gfn = arg->gfn;
    lease->len = arg->len;
    lease->addr = arg->addr;
    arg->id = lease->id;
    standin->leased++;
    return 0;
}

/* A file is mapped by the driver; what can be wrong with it, mmap() says. */
static int do_lease(struct xen_lend_lease *arg)
{
    bool by_fd = arg->flags & XEN_LEND_FD;
    int prot = arg->flags & XEN_LEND_READONLY ? PROT_READ
                                              : PROT_READ | PROT_WRITE;
    void *map = NULL;
    int ret = check_lease(arg);

    if (ret) {
        return ret;
    }
    if (by_fd) {
        /* The system call, which has offsets beyond those of the C library. */
        map = (void *)syscall(SYS_mmap, NULL, arg->len, prot, MAP_SHARED,
                              arg->fd, arg->offset);
        if (map == MAP_FAILED) {
            return -errno;
        }
        arg->addr = (uintptr_t)map;
    }
    ret = create_lease(arg);
    if (ret && by_fd) {
        munmap(map, arg->len);
    }
    return ret;
}

static int do_info(struct xen_lend_info *arg)
{
    if (arg->pad) {
        return -EINVAL;
    }
    arg->abi = standin->abi;
    arg->features = standin->features;
    arg->domid = standin->bound ? STANDIN_DOMID : XEN_LEND_UNBOUND;
    return 0;
}

static int do_unlease(struct xen_lend_unlease *arg)
{
    struct standin_lease *lease = lease_by_id(arg->id);

    if (!standin->bound) {
        return mistake(ENOTCONN, "unlease: not bound");
    }
    if (!lease) {
        return mistake(ENOENT, "unlease: %u", arg->id);
    }
    if (standin->unlease_error) {
        return -standin->unlease_error;
    }
    if (lease->flags & XEN_LEND_FD) {
        munmap((void *)(uintptr_t)lease->addr, lease->len);
    }
    lease->used = false;
    standin->unleased++;
    watch();
    return 0;
}

static bool held(const struct xen_lend_resolve *arg)
{
    return (standin->hold_lease == arg->id ||
            standin->hold_lease == STANDIN_ALL) &&
           arg->offset >= standin->hold_from && arg->offset < standin->hold_to;
}

static int do_resolve(struct xen_lend_resolve *arg)
{
    struct standin_lease *lease = lease_by_id(arg->id);
    uint64_t first, nr, page;

    if (!standin->bound) {
        return mistake(ENOTCONN, "resolve: not bound");
    }
    if (!lease) {
        return -ENOENT;
    }
    if (arg->flags & ~(XEN_LEND_WRITE | XEN_LEND_PREFAULT) ||
        (arg->stream && !(standin->features & XEN_LEND_FEAT_STREAM)) ||
        !(arg->flags & XEN_LEND_PREFAULT) != !arg->nr ||
        arg->offset >= lease->len ||
        arg->nr > (lease->len - arg->offset) / STANDIN_PAGE) {
        return mistake(EINVAL, "resolve: offset 0x%llx nr %u flags 0x%x",
                       arg->offset, arg->nr, arg->flags);
    }
    lease->stats.resolves++;
    standin->stream = arg->stream;

    if (held(arg)) {
        standin->held++;
        pthread_cond_broadcast(&standin->cond);
        do {
            pthread_cond_wait(&standin->released, &standin->lock);
        } while (held(arg));
        standin->held--;
        lease = lease_by_id(arg->id);
        if (!lease && standin->fail_ended) {
            arg->result = XEN_LEND_FAILED;
            arg->err = EFAULT;
            return 0;
        }
        if (!lease) {
            return -ENOENT;
        }
    }

    if (!(arg->flags & XEN_LEND_PREFAULT) && standin->plan.times) {
        standin->plan.times--;
        if (standin->plan.error) {
            return -standin->plan.error;
        }
        arg->result = standin->plan.result;
        arg->err = standin->plan.err;
        if (arg->result != XEN_LEND_INSTALLED) {
            lease->stats.failures++;
        }
        if (arg->result == XEN_LEND_FAILED) {
            return 0;
        }
    }
    if (arg->flags & XEN_LEND_WRITE && lease->flags & XEN_LEND_READONLY) {
        arg->result = XEN_LEND_FAILED;
        arg->err = EACCES;
        return 0;
    }

    first = arg->offset / STANDIN_PAGE;
    nr = arg->flags & XEN_LEND_PREFAULT ? arg->nr : 1;
    for (page = first; page < first + nr; page++) {
        if (page < STANDIN_LEASE_PAGES) {
            lease->installed[page / 8] |= 1 << page % 8;
        }
        arg->installed++;
        lease->stats.installs++;
    }
    if (arg->flags & XEN_LEND_PREFAULT) {
        standin->prefaulted += nr;
    }
    return 0;
}

static int do_stats(struct xen_lend_stats *arg)
{
    struct standin_lease *lease = lease_by_id(arg->id);
    uint32_t size = arg->size;

    if (!standin->bound) {
        return mistake(ENOTCONN, "stats: not bound");
    }
    if (arg->next > 1) {
        return mistake(EINVAL, "stats: next %u", arg->next);
    }
    if (arg->next) {
        for (unsigned i = 0; i < STANDIN_LEASES; i++) {
            struct standin_lease *other = &standin->leases[i];

            if (other->used && other->id >= arg->id &&
                (!lease || other->id < lease->id)) {
                lease = other;
            }
        }
    }
    if (!lease) {
        return -ENOENT;
    }
    *arg = lease->stats;
    arg->size = size;
    arg->id = lease->id;
    arg->flags = lease->flags;
    arg->gfn = lease->gfn;
    arg->len = lease->len;
    for (unsigned i = 0; i < sizeof(lease->installed); i++) {
        arg->installed += __builtin_popcount(lease->installed[i]);
    }
    return 0;
}

/* As of a Xen that is too old: there is no kernel here to answer faults. */
static int do_listen(struct xen_lend_listen *arg)
{
    if (!standin->bound) {
        return mistake(ENOTCONN, "listen: not bound");
    }
    if (!arg->vcpus || arg->vcpus > STANDIN_VCPUS) {
        return mistake(EINVAL, "listen: %u vCPUs", arg->vcpus);
    }
    return -EOPNOTSUPP;
}

/* Copy from or to memory that may not be there. */
static int copy(void *ours, uintptr_t theirs, size_t len, bool back)
{
    struct iovec local = { ours, len };
    struct iovec remote = { (void *)theirs, len };

    return syscall(back ? SYS_process_vm_writev : SYS_process_vm_readv,
                   getpid(), &local, 1ul, &remote, 1ul, 0ul) == len
        ? 0 : -EFAULT;
}

/* As the kernel's copy_struct_from_user(); version 1 had @min bytes. */
static int copy_struct(void *arg, uintptr_t from, size_t min, size_t known)
{
    char tail[STANDIN_PAGE] = { };
    uint32_t size;

    if (copy(&size, from, sizeof(size), false)) {
        return -EFAULT;
    }
    if (size < min) {
        return mistake(EINVAL, "ioctl: size %u instead of %zu", size, known);
    }
    if (size > STANDIN_PAGE) {
        return mistake(E2BIG, "ioctl: size %u instead of %zu", size, known);
    }
    memset(arg, 0, known);
    if (copy(arg, from, MIN(size, known), false) ||
        (size > known && copy(tail, from + known, size - known, false))) {
        return -EFAULT;
    }
    for (size_t i = 0; known + i < size; i++) {
        if (tail[i]) {
            return mistake(E2BIG, "ioctl: more than we know");
        }
    }
    return 0;
}

static int lend_ioctl(unsigned long request, void *user)
{
    static const struct {
        unsigned long request;
        size_t min, size;
        int (*call)(void *arg);
    } calls[] = {
#define CALL(nr, type, min, call) \
        { nr, min, sizeof(struct type), (int (*)(void *))call }
        CALL(XEN_LEND_IOC_BIND, xen_lend_bind, 24, do_bind),
        CALL(XEN_LEND_IOC_LEASE, xen_lend_lease, 48, do_lease),
        CALL(XEN_LEND_IOC_UNLEASE, xen_lend_unlease, 8, do_unlease),
        CALL(XEN_LEND_IOC_RESOLVE, xen_lend_resolve, 40, do_resolve),
        CALL(XEN_LEND_IOC_STATS, xen_lend_stats, 112, do_stats),
        CALL(XEN_LEND_IOC_INFO, xen_lend_info, 24, do_info),
        CALL(XEN_LEND_IOC_LISTEN, xen_lend_listen, 8, do_listen),
    };
    union {
        struct xen_lend_lease lease;
        struct xen_lend_stats largest;
    } arg;
    int ret = -ENOTTY;

    lock();
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (calls[i].request != request) {
            continue;
        }
        ret = copy_struct(&arg, (uintptr_t)user, calls[i].min, calls[i].size);
        if (!ret) {
            ret = calls[i].call(&arg);
        }
        if (!ret && request != XEN_LEND_IOC_UNLEASE &&
            copy(&arg, (uintptr_t)user, MIN(arg.largest.size, calls[i].size),
                 true)) {
            ret = -EFAULT;
            if (request == XEN_LEND_IOC_LEASE) {
                lease_by_id(arg.lease.id)->used = false;
            }
        }
    }
    unlock();
    return result(ret);
}

/* libc */

static int lend_open(void)
{
    int ret;

    lock();
    if (standin->no_device) {
        ret = -ENOENT;
    } else if (standin->no_driver_access) {
        ret = -EACCES;
    } else {
        ret = lend_fd = eventfd(0, EFD_CLOEXEC);
        standin->opened_restricted = standin->restricted;
    }
    unlock();
    return result(ret);
}

int open_any(const char *path, int flags, mode_t mode)
{
    if (standin && !strcmp(path, "/dev/xen/lend")) {
        return lend_open();
    }
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list ap;

    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
    }
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
    __attribute__((alias("open")));

int __open_2(const char *path, int flags)
{
    return open_any(path, flags, 0);
}

int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));

int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (standin && fd >= 0 && fd == lend_fd) {
        return lend_ioctl(request, arg);
    }
    return syscall(SYS_ioctl, fd, request, arg);
}

/* Of some files, only whole units can be mapped over. */
void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    if (standin && standin != MAP_FAILED && standin->mmap_unit &&
        (flags & MAP_FIXED) && (flags & MAP_ANONYMOUS) &&
        ((uintptr_t)addr | len) % standin->mmap_unit) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
             off64_t offset) __attribute__((alias("mmap")));

int close(int fd)
{
    if (standin && fd >= 0 && fd == lend_fd) {
        lock();
        for (unsigned i = 0; i < STANDIN_LEASES; i++) {
            standin->leases[i].used = false;
        }
        standin->bound = false;
        lend_fd = -1;
        unlock();
    }
    return syscall(SYS_close, fd);
}
