/*
 * Lending QEMU's memory to a Xen guest: QEMU's own accesses
 *
 * What is behind a lent page may be gone: the file was truncated, the disk has
 * an error, the device was unplugged.  When the guest accesses the page, it
 * gets the machine check of broken memory.  QEMU accesses it, too: for the
 * monitor, and when the guest has a device read from or write to it.  The
 * kernel answers with SIGBUS, which would be the end of the guest.
 *
 * Copies, which is what address_space_read() and address_space_write() do, are
 * made with a way back, and fail.
 *
 * A device that has mapped the memory reads and writes by itself, at any time.
 * What it hands to the kernel (for a disk, say) fails there.  For what it does
 * with its own instructions there is no failure to report, so a page of zeros
 * takes the place of what is gone.  It is read-only: the guest reads zeros, and
 * its writes fail as before.  If QEMU has to write, the page becomes writable,
 * and the memory is damaged: what is written never gets to the backing, so
 * whoever flushes that must fail (xen_lend_is_damaged()).  The user is told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <ucontext.h>
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/xen/lend-region.h"
#include "migration/blocker.h"
#include "internal.h"
#include "trace.h"

typedef struct Guard {
    sigjmp_buf env;
    uintptr_t host;
    size_t len;
} Guard;

/* The copy that the thread is about to make. */
static __thread Guard *volatile guard;

/*
 * Memory under guard.  The list only grows, so that the signal handler can walk
 * it; elements of memory that is no more have no length, and are used again.
 */
typedef struct Guarded {
    uintptr_t host;
    size_t len;             /* atomic, written after the others; 0: unused */
    size_t page_size;
    unsigned long *pages;   /* a bit for each that was replaced; page_lock */
    bool ram_device;        /* registers, say: zeros would make no sense */
    bool unsaved;           /* BQL: the guest has whole pages of it */
    bool damaged;           /* atomic */
    char name[64];
    unsigned int replaced;  /* atomic: pages */
    unsigned int reported;  /* BQL */
    bool told;              /* BQL: of the damage */
    struct Guarded *next;
} Guarded;

static Guarded *guarded;    /* atomic */
static Error *migration_blocker;
static QemuSpin page_lock;  /* taken by signal handlers, too */
static EventNotifier replaced;
static struct sigaction old_action[NSIG];

static Guarded *find_guarded(uintptr_t addr)
{
    Guarded *g;

    for (g = qatomic_load_acquire(&guarded); g; g = g->next) {
        /* Pairs with the release in xen_lend_guard(). */
        size_t len = qatomic_load_acquire(&g->len);

        if (addr - g->host < len) {
            return g;
        }
    }
    return NULL;
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* QEMU is about to end by the signal.  For a signal handler. */
static void say_not_replaced(void)
{
    static const char text[] = "xen: what is behind lent memory is gone, a"
        " device accessed it, and zeros cannot be mapped in its place\n";
    ssize_t done = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)done;
}

/*
 * Map zeros over the page.  Of a mapping of huge pages (hugetlbfs, device DAX)
 * only whole ones can be replaced, and they come and go as a whole.
 * Called with page_lock held.
 */
static bool put_zeros(Guarded *g, uintptr_t addr, int prot)
{
    const size_t units[] = { g->page_size, 2 * MiB, 1 * GiB };
    int i;

    for (i = 0; i < ARRAY_SIZE(units); i++) {
        uintptr_t start = addr & ~(units[i] - 1);
        unsigned long nr = units[i] / g->page_size;

        if (units[i] < g->page_size || start < g->host ||
            start - g->host + units[i] > g->len) {
            continue;
        }
        if (mmap((void *)start, units[i], prot,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            (void *)start) {
            bitmap_set(g->pages, (start - g->host) / g->page_size, nr);
            qatomic_add(&g->replaced, nr);
            return true;
        }
        if (errno != EINVAL) {
            break;
        }
    }
    return false;
}

/* Whether the access works now.  Linux before 5.14 cannot tell: no. */
static bool is_accessible(const Guarded *g, uintptr_t addr, bool write)
{
    return !madvise((void *)(addr & ~(g->page_size - 1)), g->page_size,
                    write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

/*
 * Make the page accessible, with zeros.  Called with page_lock held, and only
 * with calls that a signal handler may make.
 */
static bool replace_page_locked(Guarded *g, uintptr_t addr, bool refused,
                                bool write)
{
    unsigned long nr = (addr - g->host) / g->page_size;
    void *page = (void *)(addr & ~(g->page_size - 1));
    int prot = PROT_READ | (write ? PROT_WRITE : 0);

    /* Another thread was faster.  Zeros need not be waited for. */
    if (test_bit(nr, g->pages) && is_accessible(g, addr, write)) {
        return true;
    }
    if (refused) {
        /* Nobody is to write to memory that is read-only for other reasons. */
        if (!write || !test_bit(nr, g->pages) ||
            mprotect(page, g->page_size, prot) < 0) {
            return false;
        }
    } else {
        if (!put_zeros(g, addr, prot)) {
            say_not_replaced();
            return false;
        }
    }
    if (write) {
        qatomic_set(&g->damaged, true);
    }
    event_notifier_set(&replaced);
    return true;
}

/* Without knowing better: a load may become a store, and not the other way. */
static bool is_write(const void *context)
{
#if defined(__x86_64__) || defined(__i386__)
    const ucontext_t *uc = context;

    return uc->uc_mcontext.gregs[REG_ERR] & 2;
#else
    return true;
#endif
}

/* @refused: it is there, but not to be accessed in that way */
static bool replace_page(uintptr_t addr, bool refused, bool write)
{
    Guarded *g = find_guarded(addr);
    int saved_errno = errno;
    bool done;

    if (!g || g->ram_device) {
        return false;
    }
    /*
     * Is the page to be had again?  Not under the lock: it takes as long as the
     * backing takes to fail.
     */
    if (is_accessible(g, addr, write)) {
        errno = saved_errno;
        return true;
    }
    qemu_spin_lock(&page_lock);
    /* Unless the memory went meanwhile. */
    done = g->pages && replace_page_locked(g, addr, refused, write);
    qemu_spin_unlock(&page_lock);
    errno = saved_errno;
    return done;
}

/* An access to memory that broke.  QEMU's handler for that asserts KVM. */
static bool is_broken_memory(const siginfo_t *info)
{
#ifdef BUS_MCEERR_AR
    return info->si_signo == SIGBUS && info->si_code == BUS_MCEERR_AR;
#else
    return false;
#endif
}

/* The access that failed is in what the thread is copying. */
static bool is_copying(const siginfo_t *info)
{
    uintptr_t addr = (uintptr_t)info->si_addr;
    Guard *g = guard;

    /* The kernel names the page, which may begin before what is copied. */
    if (g && is_broken_memory(info)) {
        uintptr_t size = (uintptr_t)1 << info->si_addr_lsb;

        addr &= ~(size - 1);
        return addr < g->host + g->len && g->host < addr + size;
    }
    return g && addr - g->host < g->len;
}

static void handle_fault(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *old = &old_action[sig];

#ifdef BUS_MCEERR_AO
    /* No access: memory that broke.  Linux unmaps it from the guest, too. */
    if (sig == SIGBUS && info->si_code == BUS_MCEERR_AO) {
        return;
    }
#endif
    if (info->si_code > 0) {
        if (is_copying(info)) {
            siglongjmp(guard->env, 1);
        }
        if ((sig == SIGBUS || info->si_code == SEGV_ACCERR) &&
            replace_page((uintptr_t)info->si_addr, sig != SIGBUS,
                         is_write(context))) {
            return;
        }
    }

    /* Not ours: as if this handler did not exist.  But KVM's is for KVM. */
    if (is_broken_memory(info)) {
        signal(sig, SIG_DFL);
    } else if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(sig, info, context);
    } else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(sig);
    } else {
        signal(sig, SIG_DFL);
        if (info->si_code <= 0) {
            raise(sig);
        }
        /* Else the access is made again, and ends the process. */
    }
}

static void report_replaced(EventNotifier *notifier)
{
    Guarded *g;

    event_notifier_test_and_clear(notifier);
    for (g = guarded; g; g = g->next) {
        unsigned int n = qatomic_read(&g->replaced);

        /* Twice as many each time: the guest can have it done page by page. */
        if (n && n >= 2 * g->reported) {
            error_report("xen: what is behind pages of '%s' was gone when a"
                         " device accessed them; zeros have taken the place of"
                         " %u so far, until its memory backend is made again"
                         " (object_del, object_add)", g->name, n);
            g->reported = n;
        }
        if (qatomic_read(&g->damaged) && !g->told) {
            g->told = true;
            error_report("xen: a device has written to what was gone of '%s';"
                         " this is lost, and flushing the memory fails from now"
                         " on", g->name);
        }
    }
}

static void install_handlers(void)
{
    /* Without SA_NODEFER, siglongjmp() would have to restore the mask. */
    struct sigaction action = {
        .sa_sigaction = handle_fault,
        .sa_flags = SA_SIGINFO | SA_NODEFER,
    };

    if (event_notifier_init(&replaced, false) < 0) {
        error_report("xen: no event notifier; QEMU ends when it accesses lent"
                     " memory that is gone");
        return;
    }
    event_notifier_set_handler(&replaced, report_replaced);
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &old_action[SIGBUS]);
    sigaction(SIGSEGV, &action, &old_action[SIGSEGV]);
}

/*
 * QEMU's main loop blocks the signal, which makes it a deadly one, and so do
 * threads that were made before the command line was read.
 */
static void unblock_sigbus(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/*
 * Copy from or to host memory that may turn out not to be there.  Not inlined:
 * in a coroutine, the address of a thread's variable must not be kept.
 */
static bool __attribute__((noinline))
guarded_copy(void *to, const void *from, size_t len, void *host)
{
    Guard g = { .host = (uintptr_t)host, .len = len };
    static __thread bool unblocked;

    if (!unblocked) {
        unblocked = true;
        unblock_sigbus();
    }
    if (sigsetjmp(g.env, 0)) {
        guard = NULL;
        /* Another handler may have stood in for ours, without SA_NODEFER. */
        unblock_sigbus();
        return false;
    }
    guard = &g;
    barrier();
    /* Aligned accesses of these sizes are to be made at once. */
    switch (len) {
    case 1:
    case 2:
    case 4:
    case 8:
        stn_he_p(to, len, ldn_he_p(from, len));
        break;
    default:
        memmove(to, from, len);
    }
    barrier();
    guard = NULL;
    return true;
}

MemTxResult xen_lent_read(RAMBlock *block, void *buf, void *host, size_t len)
{
    if (guarded_copy(buf, host, len, host)) {
        return MEMTX_OK;
    }
    /* As from a bus with nothing on it, for callers who do not look. */
    memset(buf, 0xff, len);
    trace_xen_lend_access_failed(block->idstr, (uint8_t *)host - block->host,
                                 len, false);
    return MEMTX_ERROR;
}

MemTxResult xen_lent_write(RAMBlock *block, void *host, const void *buf,
                           size_t len)
{
    if (guarded_copy(host, buf, len, host)) {
        return MEMTX_OK;
    }
    trace_xen_lend_access_failed(block->idstr, (uint8_t *)host - block->host,
                                 len, true);
    return MEMTX_ERROR;
}

/* Neither does a migration take this memory along, nor does it track writes. */
static void block_migration(void)
{
    Error *err = NULL;

    if (migration_blocker) {
        return;
    }
    error_setg(&migration_blocker, "the guest has memory of its device model,"
               " to which it writes without QEMU's knowledge");
    /*
     * Not refused by -only-migratable: the guest has run with such memory
     * before there was lending.  While a migration is under way it is; the next
     * region tries again.
     */
    if (migrate_add_blocker_internal(&migration_blocker, &err) < 0) {
        warn_report_err(err);
    }
}

/* The one for just this memory, which the caller keeps from going. */
static Guarded *find_block(const void *host, size_t len)
{
    Guarded *g;

    for (g = guarded; g; g = g->next) {
        if (g->len == len && g->host == (uintptr_t)host) {
            break;
        }
    }
    return g;
}

/* BQL: any that keeps the guest from being saved and migrated. */
static Guarded *find_unsaved(void)
{
    Guarded *g;

    for (g = guarded; g; g = g->next) {
        if (g->len && g->unsaved) {
            break;
        }
    }
    return g;
}

void xen_lend_guard(RAMBlock *block, bool unsaved)
{
    static bool installed;
    Guarded *g;

    if (unsaved) {
        block_migration();
    }
    if (block->mr->xen_lent) {
        g = find_block(block->host, block->max_length);
        if (g) {
            g->unsaved |= unsaved;
        }
        return;
    }
    if (!installed) {
        installed = true;
        install_handlers();
    }
    /* For the thread that is here, the main one above all. */
    unblock_sigbus();

    for (g = guarded; g && g->len; g = g->next) {
        ;
    }
    if (!g) {
        g = g_new0(Guarded, 1);
        g->next = guarded;
        qatomic_store_release(&guarded, g);
    }
    g->host = (uintptr_t)block->host;
    g->page_size = block->page_size;
    g->pages = bitmap_new(DIV_ROUND_UP(block->max_length, block->page_size));
    g->ram_device = memory_region_is_ram_device(block->mr);
    g->unsaved = unsaved;
    g->damaged = false;
    g->told = false;
    qatomic_set(&g->replaced, 0);
    g->reported = 0;
    g_strlcpy(g->name, *block->idstr ? block->idstr :
              memory_region_name(block->mr), sizeof(g->name));
    /* Pairs with the acquire in find_guarded(). */
    qatomic_store_release(&g->len, block->max_length);
    block->mr->xen_lent = true;
}

void xen_lend_unguard(void *host, size_t len)
{
    Guarded *g = find_block(host, len);

    if (!g) {
        return;
    }
    qatomic_set(&g->len, 0);
    /* A signal handler of another thread may be about to use it. */
    qemu_spin_lock(&page_lock);
    g_free(g->pages);
    g->pages = NULL;
    qemu_spin_unlock(&page_lock);
    if (!find_unsaved()) {
        migrate_del_blocker(&migration_blocker);
    }
}

bool xen_lend_is_damaged(const MemoryRegion *mr)
{
    Guarded *g = NULL;

    if (mr->xen_lent) {
        g = find_block(mr->ram_block->host, mr->ram_block->max_length);
    }
    return g && qatomic_read(&g->damaged);
}

bool xen_lend_can_save(Error **errp)
{
    Guarded *g = find_unsaved();

    if (g) {
        error_setg(errp, "the guest has memory of its device model, which is"
                   " not saved with it: '%s' (without the device and its memory"
                   " backend it can be saved)", g->name);
    }
    return !g;
}
