/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions without effect that the emulator's plugin takes for marks (tests/bench/count.c). */
#ifndef MARK_H
#define MARK_H

#define MARK(kind, number) asm volatile("nopl 0x4c4d0000 + " #kind " * 256 + " #number "(%%rax,%%rax,1)" ::: "memory")

#define MARK_BEGIN()      MARK(1, 0)
#define MARK_END()        MARK(2, 0)
#define MARK_BEGIN_PATH() MARK(3, 0)

#endif
