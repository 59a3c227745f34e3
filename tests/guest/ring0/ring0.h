/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that is nothing but ring 0: no drivers, no interrupts, all memory below 8 GiB mapped as it is.  It takes commands from
 * Xen's console in the way of images/guest/init.
 */
#ifndef RING0_H
#define RING0_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __XEN_TOOLS__ 1
#define __XEN_INTERFACE_VERSION__ 0x00041300
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>

#define PAGE 4096UL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))
#define AT(gfn) ((void *)((gfn) << 12))

/* Where Xen's own pages go, in the guest's RAM or above it. */
#define SHARED_GFN 0xe00UL      /* RAM: this page is given up */
#define GRANT_GFN  0xfd000UL    /* nothing there */
#define FREE_GFN   0xfd100UL    /* likewise */
#define ROM_GFN    0xdf0UL      /* RAM that may be made read-only */
#define SPARE_GFN  0x800UL      /* RAM nobody uses, 0x800 to 0xdff */

/* start.S */
extern char pml4[], idt[], hypercall_page[], stubs[], start_vcpu[], end[];
extern uint64_t gdt[5], breakpoints;
extern struct descriptor { uint16_t limit; uint64_t base; } __attribute__((packed)) gdtr, idtr;
long attempt(long (*fn)(unsigned long), unsigned long arg);

/* main.c */
long hypercall(unsigned nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e);
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *memset(void *to, int byte, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int strcmp(const char *a, const char *b);
void set_gate(void *table, unsigned vector, unsigned long handler);
void run_vcpu(unsigned vcpu, void (*fn)(unsigned long), unsigned long arg, void *stack);
long place(unsigned space, unsigned long index, unsigned long gfn);
void set_grant(unsigned ref, domid_t to, unsigned long gfn, unsigned flags);
uint64_t number(const char *text);
domid_t own_domid(void);

static inline uint64_t cycles(void)
{
    uint32_t low, high;

    asm volatile("rdtsc" : "=a" (low), "=d" (high));
    return low | (uint64_t)high << 32;
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;

    asm volatile("rdmsr" : "=a" (low), "=d" (high) : "c" (msr));
    return low | (uint64_t)high << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    asm volatile("wrmsr" :: "c" (msr), "a" ((uint32_t)value), "d" ((uint32_t)(value >> 32)) : "memory");
}

/* Commands; what they return is the exit code. */
int borrow(int argc, char **argv);
int state(int argc, char **argv);
int lend(int argc, char **argv);
int bystand(int argc, char **argv);
int super(int argc, char **argv);
int ends(int argc, char **argv);
int pace(int argc, char **argv);
int batch(int argc, char **argv);
int again(int argc, char **argv);
int hammer(int argc, char **argv);
int touch(int argc, char **argv);
int crash(int argc, char **argv);
int others(int argc, char **argv);
int large(int argc, char **argv);

#endif
