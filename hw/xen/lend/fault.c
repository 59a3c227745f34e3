/*
 * Lending QEMU's memory to a Xen guest: pages the guest waits for
 *
 * Making a page present can take as long as it likes: the backing may be on
 * disk, swapped out, or in the hands of another process.  The ioreq loop must
 * not wait for that, and neither must a vCPU wait for the page of another one.
 * Hence threads, one per vCPU.  They are made at the start: when a vCPU has its
 * first fault, there may be no room for one, or it may have to wait.
 *
 *      ioreq loop (BQL)                  a thread
 *      ----------------                  --------
 *      slot READY -> INPROCESS
 *      find the lease
 *      queue the fault     ----------->  ioctl(RESOLVE)
 *      next ioreq                           ...
 *                                        slot INPROCESS -> RESP_READY
 *                                        notify the vCPU
 *
 * When the lease ends, the vCPU gets its answer at once.  The thread cannot be
 * called back.  What it comes back with, at some time, is dropped.  Until then
 * the vCPU needs another thread for its next fault, so there are some to spare.
 * A guest can use these up.  Then a vCPU for which a thread is under way has to
 * wait for that one.  Others do not.
 *
 * faults.lock protects the faults, and the slots of vCPUs that have one.
 * Lock order: BQL, then faults.lock.  Threads take no other lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "exec/target_page.h"
#include "internal.h"
#include "trace.h"

/* Answers, in the slot's data field. */
#define LEND_RETRY  0
#define LEND_FAILED 1

/* Pause between attempts when host or hypervisor lack memory (milliseconds). */
#define BACKOFF_MIN_MS 5
#define BACKOFF_MAX_MS 200

#define PREFAULT_PAGES 512

/* Leases that wait to be prefaulted. */
#define PREFAULTS_MAX 1024

/* Threads beyond one per vCPU, but not more than there are vCPUs. */
#define SPARE_THREADS 16

/* What a vCPU waits for.  faults.lock. */
typedef struct LendFault {
    XenLease *lease;        /* with a reference; NULL: for nothing */
    uint64_t offset;        /* of the page (bytes) */
    bool write;
    bool queued;            /* no thread has taken it yet */
    int64_t since;          /* nanoseconds */
    uint64_t number;        /* of the fault; a late thread knows by it */
    unsigned int threads;   /* under way for this vCPU, late ones included */
    QTAILQ_ENTRY(LendFault) next;
} LendFault;

static struct {
    XenIOState *io;
    QemuMutex lock;
    QemuCond cond;          /* something was queued */
    LendFault *vcpus;       /* one per possible vCPU */
    unsigned int nr;
    /* Protected by lock: */
    QTAILQ_HEAD(, LendFault) queue;
    unsigned int spare;     /* threads left for vCPUs that have one */
    bool stopped;           /* leave the ioreq page alone */
    bool stopping;          /* atomic */
} faults;

/* Complete the slot.  Called with the lock held. */
static void answer(unsigned int vcpu, uint64_t data)
{
    XenIOState *io = faults.io;
    ioreq_t *slot = xen_vcpu_ioreq(io->shared_page, vcpu);

    trace_xen_lend_answer(vcpu, data);
    if (slot->state != STATE_IOREQ_INPROCESS) {
        /* The vCPU does not wait any more: it was reset, say. */
        trace_xen_lend_not_waiting(vcpu, slot->state);
        return;
    }
    slot->data = data;
    xen_wmb(); /* Update the contents /then/ the state. */
    slot->state = STATE_IORESP_READY;
    qemu_xen_evtchn_notify(io->xce_handle, io->ioreq_local_port[vcpu]);
}

/* The guest waits: each reason once, and what to do about it. */
static void warn_no_memory(const XenLease *lease, int err)
{
    if (err == ENOSPC) {
        warn_report_once("xen: no memory for the page tables of '%s'; the"
                         " guest needs a larger shadow_memory (%" PRIu64
                         " KiB for this device)", lease->name,
                         (lease->len / (2 * MiB) + 4) * 4);
    } else {
        warn_report_once("xen: the host has no memory for a page of '%s'; the"
                         " guest waits until there is some (see memory.max of"
                         " QEMU's cgroup)", lease->name);
    }
}

/*
 * Make the page present, whatever it takes.  The answer is LEND_FAILED only if
 * the kernel says so; everything that is odd is retried, because the state it
 * was odd in may be gone.
 */
static uint64_t resolve(unsigned int vcpu, XenLease *lease, uint64_t offset,
                        bool write)
{
    struct xen_lend_resolve out;
    int backoff_ms = BACKOFF_MIN_MS;

    while (!qatomic_read(&lease->ended) && !qatomic_read(&faults.stopping)) {
        int ret = xen_lend_resolve(lease, offset, 0, write, vcpu, &out);

        trace_xen_lend_resolve(vcpu, lease->id, offset, write, ret,
                               out.result, out.installed, out.err);
        switch (ret) {
        case 0:
            /* A lease that has ended says nothing about the memory. */
            if (out.result == XEN_LEND_FAILED &&
                !qatomic_read(&lease->ended)) {
                qatomic_inc(&lease->failed);
                return LEND_FAILED;
            }
            return LEND_RETRY;

        case -EINTR:
            /* All signals are blocked here, so this process is dying. */
            continue;

        case -EAGAIN:
            /* Not from today's driver, which pauses by itself. */
            g_usleep(BACKOFF_MIN_MS * 1000);
            continue;

        case -ENOMEM:
        case -ENOSPC:
            warn_no_memory(lease, -ret);
            g_usleep(backoff_ms * 1000);
            backoff_ms = MIN(2 * backoff_ms, BACKOFF_MAX_MS);
            continue;

        case -ENOENT:
        case -ESRCH:
            /* Unleased meanwhile, or there is no guest to wait for it. */
            return LEND_RETRY;

        default:
            if (!qatomic_read(&lease->ended)) {
                warn_report_once("xen: cannot make a page of '%s' present: %s",
                                 lease->name, strerror(-ret));
                qatomic_inc(&lease->failed);
                return LEND_FAILED;
            }
        }
    }
    return LEND_RETRY;
}

static void note_slowest(XenLease *lease, unsigned long us)
{
    unsigned long old = qatomic_read(&lease->slowest_us), now;

    for (; us > old; old = now) {
        now = qatomic_cmpxchg(&lease->slowest_us, old, us);
        if (now == old) {
            break;
        }
    }
}

/* The vCPU waits no longer.  Called with the lock held. */
static void finish(LendFault *fault, uint64_t data)
{
    XenLease *lease = fault->lease;

    if (fault->queued) {
        fault->queued = false;
        QTAILQ_REMOVE(&faults.queue, fault, next);
    }
    qatomic_inc(&lease->answered);
    note_slowest(lease, (get_clock() - fault->since) / SCALE_US);
    qatomic_dec(&lease->waiting);
    xen_lease_unref(lease);

    /*
     * Before the answer: with it, the vCPU can have its next fault, which the
     * ioreq loop then wants to give to us.
     */
    fault->lease = NULL;
    fault->number++;
    if (!faults.stopped) {
        answer(fault - faults.vcpus, data);
    }
}

/*
 * One that this thread may take.  There is a thread for each vCPU; a second one
 * for the same vCPU has to be a spare one.  Called with the lock held.
 */
static LendFault *next_fault(void)
{
    LendFault *fault;

    QTAILQ_FOREACH(fault, &faults.queue, next) {
        if (!fault->threads || faults.spare) {
            return fault;
        }
    }
    return NULL;
}

/* Called with the lock held; it is released meanwhile. */
static void serve(LendFault *fault)
{
    XenLease *lease = fault->lease;
    uint64_t number = fault->number, offset = fault->offset, data;
    bool write = fault->write;

    fault->queued = false;
    QTAILQ_REMOVE(&faults.queue, fault, next);
    qatomic_inc(&lease->refs);
    faults.spare -= fault->threads++ ? 1 : 0;
    qemu_mutex_unlock(&faults.lock);

    data = resolve(fault - faults.vcpus, lease, offset, write);

    qemu_mutex_lock(&faults.lock);
    faults.spare += --fault->threads ? 1 : 0;
    if (fault->lease && fault->number == number) {
        finish(fault, data);
    } else {
        trace_xen_lend_too_late(fault - faults.vcpus, lease->id, data);
    }
    xen_lease_unref(lease);
}

static void *fault_thread(void *opaque)
{
    qemu_mutex_lock(&faults.lock);
    for (;;) {
        LendFault *fault = next_fault();

        if (fault) {
            serve(fault);
        } else {
            qemu_cond_wait(&faults.cond, &faults.lock);
        }
    }
    return NULL;
}

void xen_lend_give_up(XenLease *lease)
{
    unsigned int i;

    QEMU_LOCK_GUARD(&faults.lock);
    for (i = 0; i < faults.nr; i++) {
        if (faults.vcpus[i].lease == lease) {
            finish(&faults.vcpus[i], LEND_RETRY);
        }
    }
}

void xen_lend_fault(XenIOState *state, unsigned int vcpu, const ioreq_t *req)
{
    uint32_t id = req->data;
    bool write = req->dir == IOREQ_WRITE;
    LendFault *fault;
    XenLease *lease;

    assert(state == faults.io && vcpu < faults.nr);
    fault = &faults.vcpus[vcpu];
    lease = xen_lend_find(id, req->addr);
    trace_xen_lend_fault(vcpu, id, req->addr, write, !!(req->data >> 32));

    QEMU_LOCK_GUARD(&faults.lock);

    if (fault->lease) {
        /* Asked again without an answer: the one to come is for both. */
        trace_xen_lend_asked_again(vcpu);
        if (lease) {
            xen_lease_unref(lease);
        }
        return;
    }

    if (!lease) {
        /*
         * The lease ended or moved while the request was on its way.  If Xen
         * did not end it, the vCPU would ask again for ever.
         */
        xen_lend.stale++;
        if (!faults.stopped) {
            answer(vcpu, xen_lend_is_kept(id, req->addr) ? LEND_FAILED
                                                         : LEND_RETRY);
        }
        return;
    }

    qatomic_inc(&lease->waiting);
    fault->lease = lease;
    fault->offset = QEMU_ALIGN_DOWN(req->addr - lease->gpa,
                                    qemu_target_page_size());
    fault->write = write;
    fault->since = get_clock();
    fault->queued = true;
    QTAILQ_INSERT_TAIL(&faults.queue, fault, next);
    qemu_cond_signal(&faults.cond);
}

typedef struct LendPrefault {
    XenLease *lease;        /* with a reference */
    uint64_t len;
} LendPrefault;

/*
 * One thread for all leases, in order: a guest that maps and unmaps a region
 * whose backing hangs gets no more of them.
 */
static GAsyncQueue *prefaults;

static void prefault(const LendPrefault *prefault)
{
    XenLease *lease = prefault->lease;
    unsigned page_bits = qemu_target_page_bits();
    struct xen_lend_resolve out;
    uint64_t offset = 0;

    while (offset < prefault->len && !qatomic_read(&lease->ended) &&
           !qatomic_read(&faults.stopping)) {
        uint32_t nr = MIN((prefault->len - offset) >> page_bits,
                          PREFAULT_PAGES);

        /* It is a hint: the guest will ask for what is missing. */
        if (xen_lend_resolve(lease, offset, nr, false, 0, &out) < 0 ||
            !out.nr) {
            break;
        }
        offset += (uint64_t)out.nr << page_bits;
    }
    trace_xen_lend_prefaulted(lease->id, offset);
}

static void *prefault_thread(void *opaque)
{
    for (;;) {
        g_autofree LendPrefault *next = g_async_queue_pop(prefaults);

        prefault(next);
        xen_lease_unref(next->lease);
    }
    return NULL;
}

void xen_lend_prefault(XenLease *lease, uint64_t len)
{
    LendPrefault *next;

    /* It is a hint; those before it wait for their backing. */
    if (!prefaults || g_async_queue_length(prefaults) >= PREFAULTS_MAX) {
        return;
    }
    next = g_new(LendPrefault, 1);
    qatomic_inc(&lease->refs);
    next->lease = lease;
    next->len = ROUND_UP(MIN(len, lease->len), qemu_target_page_size());
    g_async_queue_push(prefaults, next);
}

static void thread_start(unsigned int nr)
{
    g_autofree char *name = g_strdup_printf("xen-lend/%u", nr);
    QemuThread thread;

    qemu_thread_create(&thread, name, fault_thread, NULL, QEMU_THREAD_DETACHED);
}

void xen_lend_faults_start(XenIOState *state, unsigned int max_cpus)
{
    QemuThread thread;
    unsigned int i;

    faults.io = state;
    faults.nr = max_cpus;
    faults.spare = MIN(max_cpus, SPARE_THREADS);
    faults.vcpus = g_new0(LendFault, max_cpus);
    QTAILQ_INIT(&faults.queue);
    qemu_mutex_init(&faults.lock);
    qemu_cond_init(&faults.cond);
    if (xen_lend.fd >= 0) {
        /* When the kernel answers, there is nothing for them to do. */
        unsigned int nr = xen_lend.listens ? 0 : max_cpus + faults.spare;

        for (i = 0; i < nr; i++) {
            thread_start(i);
        }
        /* Now: a thread that is not to be had later would be QEMU's end. */
        prefaults = g_async_queue_new();
        qemu_thread_create(&thread, "xen-lend/pre", prefault_thread, NULL,
                           QEMU_THREAD_DETACHED);
    }
}

void xen_lend_faults_stop(void)
{
    qatomic_set(&faults.stopping, true);
    /* Waits for an answer being given, not for a page. */
    WITH_QEMU_LOCK_GUARD(&faults.lock) {
        faults.stopped = true;
    }
}
