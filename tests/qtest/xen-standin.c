/*
 * A stand-in for Xen and the kernel's lend device, preloaded into QEMU
 *
 * Every function here has the name and, as far as QEMU can tell, the behaviour
 * of one in libxen*; those of libc are in xen-standin-lend.c, with the lend
 * device.  It refuses what the real ones refuse;
 * the test checks that nothing was refused that QEMU should have known better
 * than to ask, by looking at "mistakes".
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
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xentoolcore.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>

#include "xen-standin-internal.h"

STANDIN_CHECK_SIZE;

struct standin *standin;
static int standin_fd = -1;
int lend_fd = -1;
static int fifo_fd = -1;
uid_t privileged;        /* who may bind */

/* Anything but NULL is a fine handle. */
#define HANDLE ((void *)&standin)

void lock(void)
{
    pthread_mutex_lock(&standin->lock);
}

void unlock(void)
{
    pthread_cond_broadcast(&standin->cond);
    pthread_mutex_unlock(&standin->lock);
}

__attribute__((constructor))
static void standin_attach(void)
{
    const char *path = getenv(STANDIN_ENV);

    if (!path) {
        return;
    }
    privileged = geteuid();
    if (!strcmp(path, "none")) {
        standin_fd = memfd_create("xen-standin", MFD_CLOEXEC);
        if (ftruncate(standin_fd, STANDIN_RAM + STANDIN_RAM_SIZE) < 0) {
            abort();
        }
    } else {
        standin_fd = open(path, O_RDWR | O_CLOEXEC);
    }
    if (standin_fd < 0) {
        perror(path);
        abort();
    }
    standin = mmap(NULL, sizeof(*standin), PROT_READ | PROT_WRITE, MAP_SHARED,
                   standin_fd, 0);
    if (!strcmp(path, "none")) {
        standin_init(standin);
    }
    if (standin == MAP_FAILED || standin->magic != STANDIN_MAGIC) {
        fprintf(stderr, "%s: not a stand-in\n", path);
        abort();
    }
}

/* QEMU asked for something that makes no sense.  Called with the lock held. */
__attribute__((format(printf, 2, 3)))
int mistake(int err, const char *fmt, ...)
{
    va_list ap;

    if (!standin->mistakes++) {
        va_start(ap, fmt);
        vsnprintf(standin->mistake, sizeof(standin->mistake), fmt, ap);
        va_end(ap);
    }
    return -err;
}

int result(int ret)
{
    if (ret < 0) {
        errno = -ret;
        return -1;
    }
    return ret;
}

/* The guest's memory map */

bool overlap(uint64_t a, uint64_t a_nr, uint64_t b, uint64_t b_nr)
{
    return a < b + b_nr && b < a + a_nr;
}

bool is_populated(uint64_t gfn, uint64_t nr)
{
    for (unsigned i = 0; i < STANDIN_POPULATED; i++) {
        if (overlap(gfn, nr, standin->populated[i].gfn,
                    standin->populated[i].nr)) {
            return true;
        }
    }
    return false;
}

static bool is_leased(uint64_t gfn, uint64_t nr)
{
    for (unsigned i = 0; i < STANDIN_LEASES; i++) {
        struct standin_lease *lease = &standin->leases[i];

        if (lease->used && overlap(gfn, nr, lease->gfn,
                                   lease->len / STANDIN_PAGE)) {
            return true;
        }
    }
    return false;
}

/* What the guest does to the watched frame now has to get somewhere. */
void watch(void)
{
    uint64_t gpa = standin->watched * STANDIN_PAGE;
    bool reached = !gpa || is_leased(standin->watched, 1);

    for (unsigned i = 0; i < STANDIN_RANGES; i++) {
        struct standin_range *range = &standin->ranges[i];

        reached |= range->used && range->mmio && range->start <= gpa &&
                   gpa + STANDIN_PAGE - 1 <= range->end;
    }
    standin->lost += !reached;
}

static int populate(uint64_t gfn, uint64_t nr)
{
    for (unsigned i = 0; i < STANDIN_POPULATED; i++) {
        if (!standin->populated[i].nr) {
            standin->populated[i].gfn = gfn;
            standin->populated[i].nr = nr;
            return 0;
        }
    }
    return -ENOMEM;
}

/* Leases: the kernel's and the hypervisor's part in one */

/* libxenctrl */

xc_interface *xc_interface_open(xentoollog_logger *logger,
                                xentoollog_logger *dombuild_logger,
                                unsigned open_flags)
{
    return HANDLE;
}

int xc_interface_close(xc_interface *xch)
{
    return 0;
}

int xc_get_hvm_param(xc_interface *handle, uint32_t dom, int param,
                     unsigned long *value)
{
    *value = 0xfeff0;
    return 0;
}

int xc_hvm_param_get(xc_interface *handle, uint32_t dom, uint32_t param,
                     uint64_t *value)
{
    *value = 0xfeff0;
    return 0;
}

int xc_set_hvm_param(xc_interface *handle, uint32_t dom, int param,
                     unsigned long value)
{
    return 0;
}

int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason)
{
    return xendevicemodel_shutdown(NULL, domid, reason);
}

int xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid,
                                     unsigned long nr, unsigned int order,
                                     unsigned int flags, xen_pfn_t *start)
{
    int ret;

    lock();
    if (is_populated(start[0], nr)) {
        /* Xen replaces what is there, which the guest would not like. */
        mistake(0, "populate: 0x%lx", (long)start[0]);
        ret = 0;
    } else if (is_leased(start[0], nr)) {
        ret = mistake(EBUSY, "populate: 0x%lx is leased", (long)start[0]);
    } else {
        ret = populate(start[0], nr);
    }
    unlock();
    return result(ret);
}

/* libxendevicemodel */

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger,
                                           unsigned int open_flags)
{
    return HANDLE;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
    return 0;
}

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *dmod,
                                       domid_t domid, int handle_bufioreq,
                                       ioservid_t *id)
{
    *id = 1;
    return 0;
}

int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *dmod,
                                         domid_t domid, ioservid_t id,
                                         xen_pfn_t *ioreq_gfn,
                                         xen_pfn_t *bufioreq_gfn,
                                         evtchn_port_t *bufioreq_port)
{
    if (bufioreq_port) {
        *bufioreq_port = STANDIN_PORT_BUFIOREQ;
    }
    return 0;
}

int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *dmod,
                                          domid_t domid, ioservid_t id,
                                          int enabled)
{
    lock();
    standin->enabled = enabled;
    unlock();
    return 0;
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *dmod,
                                        domid_t domid, ioservid_t id)
{
    lock();
    for (unsigned i = 0; i < STANDIN_LEASES; i++) {
        if (standin->leases[i].used) {
            mistake(EBUSY, "ioreq server destroyed before lease %u",
                    standin->leases[i].id);
        }
    }
    standin->destroyed = true;
    unlock();
    return 0;
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *dmod,
                                                domid_t domid, ioservid_t id,
                                                int is_mmio, uint64_t start,
                                                uint64_t end)
{
    struct standin_range *range = NULL;
    int ret = 0;

    lock();
    for (unsigned i = 0; i < STANDIN_RANGES; i++) {
        struct standin_range *other = &standin->ranges[i];

        if (!other->used) {
            range = range ?: other;
        } else if (other->mmio == !!is_mmio && start <= other->end &&
                   other->start <= end) {
            ret = -EEXIST;
        }
    }
    if (!ret && !range) {
        ret = -ENOSPC;
    }
    if (!ret) {
        *range = (struct standin_range) { true, is_mmio, start, end };
    }
    unlock();
    return result(ret);
}

int xendevicemodel_unmap_io_range_from_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id, int is_mmio,
    uint64_t start, uint64_t end)
{
    int ret = -ENOENT;

    lock();
    for (unsigned i = 0; i < STANDIN_RANGES; i++) {
        struct standin_range *range = &standin->ranges[i];

        if (range->used && range->mmio == !!is_mmio &&
            range->start == start && range->end == end) {
            range->used = false;
            watch();
            ret = 0;
        }
    }
    unlock();
    return result(ret);
}

int xendevicemodel_map_pcidev_to_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
    uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
    return 0;
}

int xendevicemodel_unmap_pcidev_from_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
    uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
    return 0;
}

int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *dmod,
                                      domid_t domid, uint16_t segment,
                                      uint8_t bus, uint8_t device,
                                      uint8_t intx, unsigned int level)
{
    return 0;
}

int xendevicemodel_set_isa_irq_level(xendevicemodel_handle *dmod,
                                     domid_t domid, uint8_t irq,
                                     unsigned int level)
{
    return 0;
}

int xendevicemodel_set_irq_level(xendevicemodel_handle *dmod, domid_t domid,
                                 unsigned int irq, unsigned int level)
{
    return 0;
}

int xendevicemodel_set_pci_link_route(xendevicemodel_handle *dmod,
                                      domid_t domid, uint8_t link, uint8_t irq)
{
    return 0;
}

int xendevicemodel_inject_msi(xendevicemodel_handle *dmod, domid_t domid,
                              uint64_t msi_addr, uint32_t msi_data)
{
    return 0;
}

int xendevicemodel_track_dirty_vram(xendevicemodel_handle *dmod, domid_t domid,
                                    uint64_t first_pfn, uint32_t nr,
                                    unsigned long *dirty_bitmap)
{
    memset(dirty_bitmap, 0, (nr + 63) / 64 * 8);
    return 0;
}

int xendevicemodel_modified_memory(xendevicemodel_handle *dmod, domid_t domid,
                                   uint64_t first_pfn, uint32_t nr)
{
    return 0;
}

int xendevicemodel_set_mem_type(xendevicemodel_handle *dmod, domid_t domid,
                                hvmmem_type_t mem_type, uint64_t first_pfn,
                                uint32_t nr)
{
    return 0;
}

int xendevicemodel_relocate_memory(xendevicemodel_handle *dmod, domid_t domid,
                                   uint32_t size, uint64_t src_gfn,
                                   uint64_t dst_gfn)
{
    int ret = -ENOENT;

    lock();
    for (unsigned i = 0; i < STANDIN_POPULATED; i++) {
        if (standin->populated[i].nr == size &&
            standin->populated[i].gfn == src_gfn) {
            if (is_leased(dst_gfn, size)) {
                ret = mistake(EBUSY, "relocate: 0x%lx is leased",
                              (long)dst_gfn);
                break;
            }
            standin->populated[i].gfn = dst_gfn;
            ret = 0;
        }
    }
    unlock();
    return result(ret);
}

int xendevicemodel_pin_memory_cacheattr(xendevicemodel_handle *dmod,
                                        domid_t domid, uint64_t start,
                                        uint64_t end, uint32_t type)
{
    return 0;
}

int xendevicemodel_shutdown(xendevicemodel_handle *dmod, domid_t domid,
                            unsigned int reason)
{
    lock();
    standin->shutdowns++;
    unlock();
    return 0;
}

/* libxenforeignmemory: the guest's memory is part of the file */

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned open_flags)
{
    return HANDLE;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    return 0;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom,
                            void *addr, int prot, int flags, size_t pages,
                            const xen_pfn_t arr[], int err[])
{
    char *base = mmap(addr, pages * STANDIN_PAGE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    bool failed = false;

    if (base == MAP_FAILED) {
        return NULL;
    }
    lock();
    for (size_t i = 0; i < pages; i++) {
        bool ok = arr[i] < STANDIN_RAM_SIZE / STANDIN_PAGE &&
            is_populated(arr[i], 1) &&
            mmap(base + i * STANDIN_PAGE, STANDIN_PAGE, prot,
                 MAP_SHARED | MAP_FIXED, standin_fd,
                 STANDIN_RAM + arr[i] * STANDIN_PAGE) != MAP_FAILED;

        if (err) {
            err[i] = ok ? 0 : -EINVAL;
        } else if (!ok) {
            failed = true;
        }
    }
    unlock();
    if (failed) {
        munmap(base, pages * STANDIN_PAGE);
        errno = EINVAL;
        return NULL;
    }
    return base;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom,
                           int prot, size_t pages, const xen_pfn_t arr[],
                           int err[])
{
    return xenforeignmemory_map2(fmem, dom, NULL, prot, 0, pages, arr, err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr,
                           size_t pages)
{
    return munmap(addr, pages * STANDIN_PAGE);
}

struct xenforeignmemory_resource_handle {
    void *addr;
    size_t len;
};

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
    unsigned int id, unsigned long frame, unsigned long nr_frames,
    void **paddr, int prot, int flags)
{
    struct xenforeignmemory_resource_handle *res = malloc(sizeof(*res));
    struct shared_iopage *page;

    res->len = nr_frames * STANDIN_PAGE;
    res->addr = mmap(NULL, res->len, prot, MAP_SHARED, standin_fd,
                     STANDIN_BUFIOREQ + frame * STANDIN_PAGE);
    *paddr = res->addr;
    page = (void *)((char *)res->addr + (1 - frame) * STANDIN_PAGE);
    for (int i = 0; i < STANDIN_VCPUS; i++) {
        page->vcpu_ioreq[i].vp_eport = STANDIN_PORT_VCPU(i);
    }
    return res;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    /* Whoever touches the ioreq page from now on is meant to notice. */
    int ret = munmap(fres->addr, fres->len);

    free(fres);
    return ret;
}

/* libxenevtchn */

static void fire(int port)
{
    standin->pending[port] = false;
    standin->masked[port] = true;
    if (write(fifo_fd, &port, sizeof(port)) != sizeof(port)) {
        mistake(EIO, "event channel fifo: %s", strerror(errno));
    }
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger,
                                 unsigned int flags)
{
    fifo_fd = standin->fifo[0]
        ? open_any(standin->fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0)
        : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fifo_fd < 0 ? NULL : HANDLE;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    lock();
    close(fifo_fd);
    fifo_fd = -1;
    unlock();
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    return fifo_fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce,
                                                     uint32_t domid,
                                                     evtchn_port_t remote)
{
    if (remote >= STANDIN_PORTS) {
        return result(-EINVAL);
    }
    lock();
    standin->bound_port[remote] = true;
    unlock();
    return remote;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    return 0;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    int ret = 0;

    lock();
    if (fifo_fd < 0) {
        ret = mistake(EBADF, "notify: port %u after close", port);
    } else if (port >= STANDIN_PORTS || !standin->bound_port[port]) {
        ret = mistake(ENOTCONN, "notify: port %u", port);
    } else {
        standin->notified[port]++;
    }
    unlock();
    return result(ret);
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    lock();
    standin->masked[port] = false;
    if (standin->pending[port]) {
        fire(port);
    }
    unlock();
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    int port;

    if (read(fifo_fd, &port, sizeof(port)) != sizeof(port)) {
        return -1;
    }
    return port;
}

/* libxengnttab, libxentoolcore: not used by these tests */

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger,
                                 unsigned open_flags)
{
    return HANDLE;
}

int xengnttab_close(xengnttab_handle *xgt)
{
    return 0;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
    return 0;
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
                         xengnttab_grant_copy_segment_t *segs)
{
    return result(-ENOSYS);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count,
                                      uint32_t domid, uint32_t *refs, int prot)
{
    errno = ENOSYS;
    return NULL;
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
    return result(-ENOSYS);
}

int xentoolcore_restrict_all(domid_t domid)
{
    lock();
    standin->restricted = true;
    unlock();
    return 0;
}

/* libxenstore: a store with nothing in it */

struct xs_handle *xs_open(unsigned long flags)
{
    return HANDLE;
}

struct xs_handle *xs_daemon_open(void)
{
    return HANDLE;
}

void xs_close(struct xs_handle *xsh)
{
}

void xs_daemon_close(struct xs_handle *xsh)
{
}

int xs_fileno(struct xs_handle *xsh)
{
    static int fd = -1;

    if (fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return fd;
}

char **xs_check_watch(struct xs_handle *xsh)
{
    errno = EAGAIN;
    return NULL;
}

void *xs_read(struct xs_handle *xsh, xs_transaction_t t, const char *path,
              unsigned int *len)
{
    errno = ENOENT;
    return NULL;
}

bool xs_write(struct xs_handle *xsh, xs_transaction_t t, const char *path,
              const void *data, unsigned int len)
{
    return true;
}

bool xs_mkdir(struct xs_handle *xsh, xs_transaction_t t, const char *path)
{
    return true;
}

bool xs_rm(struct xs_handle *xsh, xs_transaction_t t, const char *path)
{
    return true;
}

char **xs_directory(struct xs_handle *xsh, xs_transaction_t t,
                    const char *path, unsigned int *num)
{
    errno = ENOENT;
    return NULL;
}

bool xs_watch(struct xs_handle *xsh, const char *path, const char *token)
{
    return true;
}

bool xs_unwatch(struct xs_handle *xsh, const char *path, const char *token)
{
    return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *xsh)
{
    return 1;
}

bool xs_transaction_end(struct xs_handle *xsh, xs_transaction_t t, bool abort)
{
    return true;
}

bool xs_set_permissions(struct xs_handle *xsh, xs_transaction_t t,
                        const char *path, struct xs_permissions *perms,
                        unsigned int num_perms)
{
    return true;
}

char *xs_get_domain_path(struct xs_handle *xsh, unsigned int domid)
{
    char *path = NULL;

    return asprintf(&path, "/local/domain/%u", domid) < 0 ? NULL : path;
}
