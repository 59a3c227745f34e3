// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Has QEMU's edu device (with dma_mask=0xffffffffffffffff) do DMA:
 *
 *   edu from ADDRESS N    N bytes from that guest physical address into the device, at most 4096
 *   edu to ADDRESS N      and from the device to there
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PCI "/sys/bus/pci/devices"

static int file_of(const char *device, const char *name, int flags)
{
    char path[300];

    snprintf(path, sizeof(path), PCI "/%s/%s", device, name);
    return open(path, flags);
}

static volatile uint8_t *registers(void)
{
    DIR *dir = opendir(PCI);
    struct dirent *e;

    while (dir && (e = readdir(dir))) {
        uint32_t id = 0;
        uint16_t command;
        int config = e->d_name[0] == '.' ? -1 : file_of(e->d_name, "config", O_RDWR), bar;
        void *mem;

        if (config < 0 || pread(config, &id, 4, 0) != 4 || id != 0x11e81234)
            continue;
        command = 6;            /* memory, bus master */
        if (pwrite(config, &command, 2, 4) != 2)
            break;
        bar = file_of(e->d_name, "resource0", O_RDWR);
        mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bar, 0);
        if (mem != MAP_FAILED)
            return mem;
    }
    fprintf(stderr, "edu: no such device, or it does not open\n");
    exit(2);
}

int main(int argc, char **argv)
{
    volatile uint8_t *edu;
    uint64_t address;
    int to;

    if (argc < 4) {
        fprintf(stderr, "usage: edu from|to ADDRESS N\n");
        return 2;
    }
    edu = registers();
    to = !strcmp(argv[1], "to");
    address = strtoull(argv[2], NULL, 0);
    *(volatile uint64_t *)(edu + 0x80) = to ? 0x40000 : address;
    *(volatile uint64_t *)(edu + 0x88) = to ? address : 0x40000;
    *(volatile uint64_t *)(edu + 0x90) = strtoull(argv[3], NULL, 0);
    *(volatile uint64_t *)(edu + 0x98) = to ? 3 : 1;
    for (int i = 0; i < 100; i++) {
        if (!(*(volatile uint64_t *)(edu + 0x98) & 1)) {
            printf("done\n");
            return 0;
        }
        usleep(50000);
    }
    printf("not done\n");
    return 1;
}
