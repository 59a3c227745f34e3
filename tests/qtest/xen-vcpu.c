/*
 * The test's side of the stand-in: a guest's vCPUs, and the memory's owner
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/uio.h>
#include <sys/wait.h>
#include "qemu/atomic.h"
#include "xen-vcpu.h"

#define TIMEOUT_S 20

STANDIN_CHECK_SIZE;

struct standin *standin;
QTestState *qts;
const char *standin_accel;

static shared_iopage_t *iopage;
static char *standin_path;
static int fifo = -1;

/* Setting up and tearing down */

/*
 * Where AddressSanitizer is a library, it has to come first.  QEMU has it if
 * this program has.
 */
static char *sanitizer(void)
{
    g_autofree char *maps = NULL;
    g_auto(GStrv) lines = NULL;

    if (g_file_get_contents("/proc/self/maps", &maps, NULL, NULL)) {
        lines = g_strsplit(maps, "\n", -1);
        for (int i = 0; lines[i]; i++) {
            const char *path = strchr(lines[i], '/');

            if (path && strstr(path, "/libasan.so")) {
                return g_strdup(path);
            }
        }
    }
    return NULL;
}

static const char *preload(void)
{
    static char *value;
    g_autofree char *extra = sanitizer();
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *dir = g_path_get_dirname(self);

    g_free(value);
    value = g_strdup_printf("%s%s%s/libxen-standin.so", extra ?: "",
                            extra ? ":" : "", dir);
    return value;
}

void standin_create(void)
{
    int fd;

    g_assert(!standin);
    fd = g_file_open_tmp("xen-standin-XXXXXX", &standin_path, NULL);
    g_assert(fd >= 0);
    g_assert(ftruncate(fd, STANDIN_RAM + STANDIN_RAM_SIZE) == 0);
    standin = mmap(NULL, sizeof(*standin), PROT_READ | PROT_WRITE, MAP_SHARED,
                   fd, 0);
    g_assert(standin != MAP_FAILED);
    iopage = mmap(NULL, STANDIN_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                  STANDIN_IOREQ);
    g_assert(iopage != MAP_FAILED);
    close(fd);

    snprintf(standin->fifo, sizeof(standin->fifo), "%s.fifo", standin_path);
    g_assert(mkfifo(standin->fifo, 0600) == 0);
    fifo = open(standin->fifo, O_RDWR | O_CLOEXEC);
    g_assert(fifo >= 0);
    standin_init(standin);
}

static void standin_destroy(void)
{
    unlink(standin->fifo);
    close(fifo);
    munmap(standin, sizeof(*standin));
    munmap(iopage, STANDIN_PAGE);
    unlink(standin_path);
    g_clear_pointer(&standin_path, g_free);
    standin = NULL;
    standin_accel = NULL;
}

static char *command_line(const char *args)
{
    return g_strdup_printf("-machine pc,dump-guest-core=off -accel xen%s%s"
                           " -xen-domid %d -m 128M -smp 1,maxcpus=%d"
                           " -vga none -nodefaults %s",
                           standin_accel ? "," : "", standin_accel ?: "",
                           STANDIN_DOMID, STANDIN_VCPUS, args);
}

void standin_start(const char *fmt, ...)
{
    g_autofree char *args = NULL, *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    command = command_line(args);

    g_setenv(STANDIN_ENV, standin_path, true);
    g_setenv("LD_PRELOAD", preload(), true);
    qts = qtest_init(command);
    g_unsetenv("LD_PRELOAD");
}

void standin_stop(void)
{
    if (standin->mistakes) {
        g_test_message("%u mistakes, the first: %s", standin->mistakes,
                       standin->mistake);
    }
    qtest_quit(qts);
    qts = NULL;
    g_assert_cmpstr(standin->mistake, ==, "");
    g_assert_cmpint(standin_leases(), ==, 0);
    standin_destroy();
}

char *standin_refused_start(const char *args)
{
    g_autofree char *command = command_line(args);
    g_autofree char *line = g_strdup_printf("%s %s -display none -S",
                                            getenv("QTEST_QEMU_BINARY"),
                                            command);
    g_auto(GStrv) env = g_get_environ();
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", line, NULL };
    char *err = NULL;
    int status;

    env = g_environ_setenv(env, STANDIN_ENV, standin_path, true);
    env = g_environ_setenv(env, "LD_PRELOAD", preload(), true);
    g_assert(g_spawn_sync(NULL, argv, env, 0, NULL, NULL, NULL, &err, &status,
                          NULL));
    g_assert(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_cmpstr(standin->mistake, ==, "");
    standin_destroy();
    return err;
}

/* Looking at the state */

void standin_lock(void)
{
    pthread_mutex_lock(&standin->lock);
}

void standin_unlock(void)
{
    pthread_cond_broadcast(&standin->cond);
    pthread_mutex_unlock(&standin->lock);
}

/* Called with the lock held; returns with it held. */
static void await_locked(const char *what, bool (*condition)(void *),
                         void *opaque)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TIMEOUT_S;
    while (!condition(opaque)) {
        if (pthread_cond_timedwait(&standin->cond, &standin->lock,
                                   &until) == ETIMEDOUT) {
            standin_unlock();
            g_test_message("%s: not within %d s", what, TIMEOUT_S);
            g_assert_not_reached();
        }
    }
}

void standin_await(const char *what, bool (*condition)(void *), void *opaque)
{
    standin_lock();
    await_locked(what, condition, opaque);
    standin_unlock();
}

int standin_leases(void)
{
    int n = 0;

    standin_lock();
    for (int i = 0; i < STANDIN_LEASES; i++) {
        n += standin->leases[i].used;
    }
    standin_unlock();
    return n;
}

static struct standin_lease *find_lease(uint64_t gpa)
{
    uint64_t gfn = gpa / STANDIN_PAGE;

    for (int i = 0; i < STANDIN_LEASES; i++) {
        struct standin_lease *lease = &standin->leases[i];

        if (lease->used && gfn >= lease->gfn &&
            gfn < lease->gfn + lease->len / STANDIN_PAGE) {
            return lease;
        }
    }
    return NULL;
}

bool standin_has_lease_at(uint64_t gpa)
{
    bool ret;

    standin_lock();
    ret = find_lease(gpa);
    standin_unlock();
    return ret;
}

struct standin_lease standin_lease_at(uint64_t gpa)
{
    struct standin_lease *lease, copy;

    standin_lock();
    lease = find_lease(gpa);
    copy = lease ? *lease : (struct standin_lease) { };
    standin_unlock();
    g_assert(lease);
    return copy;
}

/* Making things happen */

void standin_plan(uint32_t times, int error, uint32_t res, uint32_t err)
{
    standin_lock();
    standin->plan = (struct standin_plan) {
        .error = error, .times = times, .result = res, .err = err,
    };
    standin_unlock();
}

void standin_hold(uint32_t lease, uint64_t from, uint64_t to)
{
    standin_lock();
    standin->hold_lease = lease;
    standin->hold_from = from;
    standin->hold_to = to;
    pthread_cond_broadcast(&standin->released);
    standin_unlock();
}

void standin_release(void)
{
    standin_hold(0, 0, 0);
}

static bool is_held(void *opaque)
{
    return standin->held == *(unsigned *)opaque;
}

void standin_await_held(unsigned int n)
{
    standin_await("resolves to be held", is_held, &n);
}

void standin_revoke(uint64_t gpa, uint64_t len)
{
    standin_lock();
    for (uint64_t end = gpa + len; gpa < end; gpa += STANDIN_PAGE) {
        struct standin_lease *lease = find_lease(gpa);

        if (lease) {
            uint64_t page = gpa / STANDIN_PAGE - lease->gfn;

            lease->installed[page / 8] &= ~(1 << page % 8);
            lease->stats.revoked++;
        }
    }
    standin_unlock();
}

/* vCPUs */

static void raise_port(int port)
{
    standin_lock();
    standin->pending[port] = true;
    if (!standin->masked[port]) {
        standin->pending[port] = false;
        standin->masked[port] = true;
        g_assert(write(fifo, &port, sizeof(port)) == sizeof(port));
    }
    standin_unlock();
}

void vcpu_send(int vcpu, const ioreq_t *req)
{
    ioreq_t *slot = &iopage->vcpu_ioreq[vcpu];
    uint32_t port = slot->vp_eport;

    g_assert_cmpint(slot->state, ==, STATE_IOREQ_NONE);
    *slot = *req;
    slot->vp_eport = port;
    smp_wmb(); /* As Xen: the state is the last to be written. */
    slot->state = STATE_IOREQ_READY;
    raise_port(STANDIN_PORT_VCPU(vcpu));
}

void standin_unask(int vcpu)
{
    iopage->vcpu_ioreq[vcpu].state = STATE_IOREQ_NONE;
}

void standin_spurious(int vcpu)
{
    raise_port(STANDIN_PORT_VCPU(vcpu));
}

bool vcpu_answered(int vcpu)
{
    return iopage->vcpu_ioreq[vcpu].state == STATE_IORESP_READY;
}

static bool answered(void *opaque)
{
    int vcpu = *(int *)opaque;

    /* Xen looks when it is notified, not before. */
    return standin->notified[STANDIN_PORT_VCPU(vcpu)] && vcpu_answered(vcpu);
}

uint64_t vcpu_wait(int vcpu)
{
    ioreq_t *slot = &iopage->vcpu_ioreq[vcpu];
    uint64_t data;

    standin_lock();
    await_locked("an answer", answered, &vcpu);
    /* One notification for one answer, or somebody answers twice. */
    g_assert_cmpint(standin->notified[STANDIN_PORT_VCPU(vcpu)], ==, 1);
    standin->notified[STANDIN_PORT_VCPU(vcpu)] = 0;
    data = slot->data;
    slot->state = STATE_IOREQ_NONE;
    standin_unlock();
    return data;
}

static uint64_t exchange(int vcpu, int type, uint64_t addr, int size,
                         bool write, uint64_t value)
{
    ioreq_t req = {
        .type = type,
        .addr = addr,
        .data = value,
        .count = 1,
        .size = size,
        .dir = write ? IOREQ_WRITE : IOREQ_READ,
    };

    vcpu_send(vcpu, &req);
    return vcpu_wait(vcpu);
}

uint32_t vcpu_in(int vcpu, uint16_t port, int size)
{
    return exchange(vcpu, IOREQ_TYPE_PIO, port, size, false, 0);
}

void vcpu_out(int vcpu, uint16_t port, int size, uint32_t value)
{
    exchange(vcpu, IOREQ_TYPE_PIO, port, size, true, value);
}

uint64_t vcpu_emulated_read(int vcpu, uint64_t gpa, int size)
{
    return exchange(vcpu, IOREQ_TYPE_COPY, gpa, size, false, 0);
}

void vcpu_emulated_write(int vcpu, uint64_t gpa, int size, uint64_t value)
{
    exchange(vcpu, IOREQ_TYPE_COPY, gpa, size, true, value);
}

void vcpu_send_fault(int vcpu, uint32_t lease, uint64_t gpa, bool write)
{
    ioreq_t req = {
        .type = 9,
        .addr = gpa,
        .data = lease,
        .count = 1,
        .size = 8,
        .dir = write ? IOREQ_WRITE : IOREQ_READ,
    };

    vcpu_send(vcpu, &req);
}

static Touch touch(int vcpu, uint64_t gpa, uint64_t *value, bool write)
{
    struct iovec local = { .iov_base = value, .iov_len = sizeof(*value) };
    struct standin_lease *lease;
    Touch ret = TOUCH_DIRECT;

    for (;;) {
        struct iovec remote = { .iov_len = sizeof(*value) };
        uint64_t page;
        uint32_t id;
        ssize_t done;
        bool ro;

        standin_lock();
        lease = find_lease(gpa);
        if (!lease) {
            standin_unlock();
            *value = exchange(vcpu, IOREQ_TYPE_COPY, gpa, sizeof(*value), write,
                            *value);
            return TOUCH_EMULATED;
        }
        page = gpa / STANDIN_PAGE - lease->gfn;
        id = lease->id;
        ro = lease->flags & XEN_LEND_READONLY;
        if (write && ro) {
            standin_unlock();
            exchange(vcpu, IOREQ_TYPE_COPY, gpa, sizeof(*value), true, *value);
            return TOUCH_EMULATED;
        }
        if (lease->installed[page / 8] & 1 << page % 8) {
            remote.iov_base = (void *)(uintptr_t)
                (lease->addr + gpa - lease->gfn * STANDIN_PAGE);
            done = write
                ? process_vm_writev(qtest_pid(qts), &local, 1, &remote, 1, 0)
                : process_vm_readv(qtest_pid(qts), &local, 1, &remote, 1, 0);
            standin_unlock();
            g_assert_cmpint(done, ==, sizeof(*value));
            return ret;
        }
        lease->stats.faults++;
        standin_unlock();

        vcpu_send_fault(vcpu, id, gpa, write);
        if (vcpu_wait(vcpu) == 1) {
            return TOUCH_FAILED;
        }
        ret = TOUCH_FAULTED;
    }
}

Touch vcpu_read(int vcpu, uint64_t gpa, uint64_t *value)
{
    *value = 0;
    return touch(vcpu, gpa, value, false);
}

Touch vcpu_write(int vcpu, uint64_t gpa, uint64_t value)
{
    return touch(vcpu, gpa, &value, true);
}

/* PCI */

static void pci_select(int devfn, int reg)
{
    vcpu_out(0, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & ~3));
}

uint32_t pci_read(int devfn, int reg)
{
    pci_select(devfn, reg);
    return vcpu_in(0, 0xcfc, 4);
}

void pci_write(int devfn, int reg, uint32_t value)
{
    pci_select(devfn, reg);
    vcpu_out(0, 0xcfc, 4, value);
}

void pci_decode(int devfn, bool enable)
{
    uint32_t command = pci_read(devfn, 4) & 0xffff;

    pci_write(devfn, 4, enable ? command | 2 : command & ~2);
}

void pci_map_bar(int devfn, int bar, uint64_t gpa)
{
    int reg = 0x10 + 4 * bar;
    bool wide = (pci_read(devfn, reg) & 6) == 4;

    pci_write(devfn, reg, gpa);
    if (wide) {
        pci_write(devfn, reg + 4, gpa >> 32);
    }
    pci_decode(devfn, true);
}
