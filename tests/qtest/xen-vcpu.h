/*
 * The test's side of the stand-in: a guest's vCPUs, and the memory's owner
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef XEN_VCPU_H
#define XEN_VCPU_H

#include <xenctrl.h>
#include <xen/hvm/ioreq.h>
#include "libqtest.h"
#include "xen-standin.h"

extern struct standin *standin;
extern QTestState *qts;

/* Properties of the accelerator, "lend=on" say; NULL again for every test. */
extern const char *standin_accel;

/**
 * standin_create: make a new stand-in, to be set up before QEMU starts
 * standin_start: start QEMU with it
 *
 * QEMU gets -machine pc,accel=xen and @args.
 */
void standin_create(void);
void standin_start(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/**
 * standin_stop: end QEMU
 *
 * Fails the test if QEMU made a mistake, or left a lease behind.
 */
void standin_stop(void);

/**
 * standin_refused_start: start QEMU, which is to give up
 *
 * Returns what it wrote to stderr.
 */
char *standin_refused_start(const char *args);

/* The lock of the stand-in, around every look at its state. */
void standin_lock(void);
void standin_unlock(void);

/**
 * standin_await: wait until a condition holds
 *
 * @what: for the message if it does not within 20 s
 */
void standin_await(const char *what, bool (*condition)(void *), void *opaque);

/* How many leases there are. */
int standin_leases(void);

/* The lease that covers @gpa.  Fails the test if there is none. */
struct standin_lease standin_lease_at(uint64_t gpa);
bool standin_has_lease_at(uint64_t gpa);

/* The next @times faults end with @error, or with @result and @err. */
void standin_plan(uint32_t times, int error, uint32_t result, uint32_t err);

/* Resolves of that part of a lease wait until standin_release(). */
void standin_hold(uint32_t lease, uint64_t from, uint64_t to);
void standin_release(void);
void standin_await_held(unsigned int n);

/* The owner's memory changes: take pages out. */
void standin_revoke(uint64_t gpa, uint64_t len);

/* Forget a request that was sent; ring for one that was not. */
void standin_unask(int vcpu);
void standin_spurious(int vcpu);

/* Send a request, without waiting for it; wait for the answer. */
void vcpu_send(int vcpu, const ioreq_t *req);
bool vcpu_answered(int vcpu);
uint64_t vcpu_wait(int vcpu);

/* A whole access, by way of the emulator. */
uint32_t vcpu_in(int vcpu, uint16_t port, int size);
void vcpu_out(int vcpu, uint16_t port, int size, uint32_t value);
uint64_t vcpu_emulated_read(int vcpu, uint64_t gpa, int size);
void vcpu_emulated_write(int vcpu, uint64_t gpa, int size, uint64_t value);

/* Send a LEND fault, whatever the lease says. */
void vcpu_send_fault(int vcpu, uint32_t lease, uint64_t gpa, bool write);

typedef enum {
    TOUCH_DIRECT,       /* no exit at all */
    TOUCH_FAULTED,      /* at least one LEND fault, then direct */
    TOUCH_FAILED,       /* a LEND fault, answered with "failed" */
    TOUCH_EMULATED,     /* not lent: ioreq by the emulator */
} Touch;

/*
 * vcpu_read, vcpu_write: what the guest's MOV does
 *
 * Direct if the page is installed; a LEND fault if it is leased and absent;
 * else an ordinary ioreq.
 */
Touch vcpu_read(int vcpu, uint64_t gpa, uint64_t *value);
Touch vcpu_write(int vcpu, uint64_t gpa, uint64_t value);

/* PCI configuration space, through ports 0xcf8 and 0xcfc. */
uint32_t pci_read(int devfn, int reg);
void pci_write(int devfn, int reg, uint32_t value);
void pci_map_bar(int devfn, int bar, uint64_t gpa);     /* and enable */
void pci_decode(int devfn, bool enable);

#endif
