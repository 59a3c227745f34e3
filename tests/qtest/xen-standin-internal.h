/*
 * A stand-in for Xen and the kernel's lend device: what its two parts share
 *
 * Nothing of it is seen outside of the library: QEMU has functions of these
 * names, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_XEN_STANDIN_INTERNAL_H
#define TESTS_XEN_STANDIN_INTERNAL_H

#include "xen-standin.h"

#pragma GCC visibility push(hidden)

extern struct standin *standin; /* shared with the test, NULL without one */
extern int lend_fd;             /* QEMU's, of the lend device; or -1 */
extern uid_t privileged;        /* who may bind */

void lock(void);
void unlock(void);

/*
 * QEMU asked for something that makes no sense: noted, and -@err.  Called with
 * the lock held.
 */
__attribute__((format(printf, 2, 3)))
int mistake(int err, const char *fmt, ...);
/* As from a library: -1 and errno where @ret is a negative errno. */
int result(int ret);

bool overlap(uint64_t a, uint64_t a_nr, uint64_t b, uint64_t b_nr);
bool is_populated(uint64_t gfn, uint64_t nr);
/* Count it if the guest reaches nothing at the watched frame now. */
void watch(void);

/* What open() does; with the lend device under its name. */
int open_any(const char *path, int flags, mode_t mode);

#pragma GCC visibility pop

/* Of libc, which does not declare them. */
int __open_2(const char *path, int flags);

#endif
