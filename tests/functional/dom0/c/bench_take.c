// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_take FILE OFFSET LENGTH STEP [MS]: holes in the file, of STEP bytes each, one after the other, so that a process that maps
 * it loses its pages. What is counted lies between marks (tests/guest/mark.h). Prints "COUNT ipis=N": holes, and interrupts between
 * processors meanwhile, whatever sent them: Xen's counter, or without Xen, the kernel's.
 *
 * With MS: a hole every MS milliseconds, without marks, until all are made or SIGTERM comes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "bench_take: %s: %s\n", what, strerror(errno));
    exit(2);
}

#include "perfc.h"
#include "../../../guest/mark.h"

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
    (void)sig;
    stopped = 1;
}

/* Of all processors: those to reschedule, to call a function, and to flush (if the kernel tells these apart). */
static uint64_t ipis_of_linux(void)
{
    FILE *f = fopen("/proc/interrupts", "r");
    char line[4096], *at, *end;
    uint64_t sum = 0;

    if (!f)
        die("/proc/interrupts");
    while (fgets(line, sizeof(line), f)) {
        at = line + strspn(line, " ");
        if (strncmp(at, "RES:", 4) && strncmp(at, "CAL:", 4) && strncmp(at, "TLB:", 4))
            continue;
        for (at += 4;; at = end) {
            uint64_t n = strtoull(at, &end, 10);

            if (end == at)
                break;
            sum += n;
        }
    }
    fclose(f);
    return sum;
}

static uint64_t ipis(xc_interface *xch)
{
    return xch ? perf_counter(xch, "#IPIs") : ipis_of_linux();
}

int main(int argc, char **argv)
{
    xc_interface *xch = access("/proc/xen/capabilities", F_OK) ? NULL : xc_interface_open(NULL, NULL, 0);
    unsigned long count = 0, numbers[4] = { 0 };
    struct sigaction action = { .sa_handler = stop };
    uint64_t before;
    int fd;

    for (int i = 2; i < argc && i < 6; i++)
        numbers[i - 2] = strtoul(argv[i], NULL, 0);
    fd = argc == 5 || argc == 6 ? open(argv[1], O_RDWR) : -1;
    if (fd < 0 || !numbers[2])
        die("usage: bench_take FILE OFFSET LENGTH STEP [MS]");
    sigaction(SIGTERM, &action, NULL);
    before = ipis(xch);
    if (argc == 5)
        MARK_BEGIN();
    for (unsigned long at = 0; at < numbers[1] && !stopped; at += numbers[2], count++) {
        struct timespec pause = { numbers[3] / 1000, numbers[3] % 1000 * 1000000 };

        if (fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, numbers[0] + at, numbers[2]))
            die("fallocate");
        if (argc == 6)
            nanosleep(&pause, NULL);
    }
    if (argc == 5)
        MARK_END();
    printf("%lu ipis=%lu\n", count, (unsigned long)(ipis(xch) - before));
    return 0;
}
