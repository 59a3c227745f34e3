/*
 * Lending QEMU's memory to a Xen guest: where memory devices go
 *
 * Xen's machines have RAM and, above it, the BARs that hvmloader puts there.
 * It counts upwards from the end of RAM, tells the guest where it stopped, and
 * does not know of anything else.  A balloon driver that looks for room looks
 * from below, too.  So memory devices (virtio-pmem-pci) get the upper three
 * quarters of what the guest can address, far from both:
 *
 *   0        RAM end      base = top / 4                             top
 *   |---RAM---|--BARs--> ....... |==pm0==|==pm1==| ..... |HyperTransport|
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "hw/boards.h"
#include "hw/xen/lend.h"

/* Xen's page tables for a guest have four levels, whatever the host can do. */
#define GUEST_PHYS_BITS_MAX 48

/* A lease is no longer than this, and Linux has no use for more. */
#define WINDOW_MAX (1 * TiB)

/*
 * AMD: not memory, on processors with 40 bits of physical address; see
 * hw/i386/pc.c.
 */
#define HYPERTRANSPORT 0xfd00000000ULL

void xen_lend_init_window(MachineState *ms, unsigned int phys_bits)
{
    uint64_t top = 1ULL << MIN(phys_bits, GUEST_PHYS_BITS_MAX);
    uint64_t base = MAX(top / 4, ROUND_UP(2 * ms->ram_size, 1 * GiB));
    uint64_t size;

    if (base < HYPERTRANSPORT) {
        top = MIN(top, HYPERTRANSPORT);
    }
    if (base >= top) {
        return;     /* memory devices are refused, and QEMU says so */
    }
    size = MIN(top - base, WINDOW_MAX);
    machine_memory_devices_init(ms, base, size);
    /* Without "maxmem", which the toolstack does not know of, all of it. */
    if (ms->maxram_size <= ms->ram_size) {
        ms->maxram_size = ms->ram_size + size;
    }
}
