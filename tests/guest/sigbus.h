/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs that touch lent memory have in common: an access that gets SIGBUS ends them with 7. */
#ifndef SIGBUS_H
#define SIGBUS_H

#include <signal.h>
#include <unistd.h>

#define PAGE 4096UL

static void bus(int sig)
{
    static const char text[] = "SIGBUS\n";

    (void)sig;
    _exit(write(1, text, sizeof(text) - 1) < 0 ? 8 : 7);
}

#endif
