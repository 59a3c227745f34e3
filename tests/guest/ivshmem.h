/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BARs of PCI devices, mapped; that of an ivshmem device. */
#ifndef IVSHMEM_H
#define IVSHMEM_H

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCI "/sys/bus/pci/devices"

/* One of the command line's. */
static inline unsigned long number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 0);

    if (*end || end == text)
        errx(2, "'%s' is no number", text);
    return value;
}

static void sysfs(const char *device, const char *name, char *text, int size)
{
    char path[300];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), PCI "/%s/%s", device, name);
    fd = open(path, O_RDONLY);
    n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (n < 0)
        err(2, "%s", path);
    text[n] = 0;
    close(fd);
}

static unsigned long sysfs_number(const char *device, const char *name)
{
    char text[32];

    sysfs(device, name, text, sizeof(text));
    return strtoul(text, NULL, 0);
}

static int enable(const char *device)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof(path), PCI "/%s/enable", device);
    f = fopen(path, "w");
    if (!f)
        return -1;
    fputs("1", f);
    return fclose(f);
}

/* A BAR of the wanted-th such device (from 0 on), mapped; its size, and its physical address. The device is enabled. */
static inline void *bar_map(unsigned long vendor, unsigned long id, int wanted, int which, size_t *size, uint64_t *address)
{
    struct dirent **list;
    struct stat st;
    int count = scandir(PCI, &list, NULL, alphasort), fd, i;

    if (count < 0)
        err(2, PCI);
    for (i = 0; i < count; i++) {
        const char *device = list[i]->d_name;
        char path[300], lines[1000], *line;
        void *bar;

        if (device[0] == '.' || sysfs_number(device, "vendor") != vendor || sysfs_number(device, "device") != id || wanted--)
            continue;
        if (sysfs_number(device, "enable") == 0 && enable(device))
            err(2, "enable");
        /* a line for each BAR: first and last address, and flags */
        sysfs(device, "resource", lines, sizeof(lines));
        line = lines;
        for (int skip = which; skip && line; skip--)
            line = (line = strchr(line, '\n')) ? line + 1 : NULL;
        if (!line || sscanf(line, "%lx", address) != 1)
            errx(2, "no address in '%s'", lines);
        snprintf(path, sizeof(path), PCI "/%s/resource%d_wc", device, which);
        fd = open(path, O_RDWR);
        if (fd < 0) {
            snprintf(path, sizeof(path), PCI "/%s/resource%d", device, which);
            fd = open(path, O_RDWR);
        }
        if (fd < 0 || fstat(fd, &st))
            err(2, "%s", path);
        *size = st.st_size;
        bar = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (bar == MAP_FAILED)
            err(2, "mmap");
        return bar;
    }
    errx(2, "no such device");
}

/* The shared one of an ivshmem device, which is the third. */
static inline void *ivshmem_map(int wanted, size_t *size, uint64_t *address)
{
    return bar_map(0x1af4, 0x1110, wanted, 2, size, address);
}

#endif
