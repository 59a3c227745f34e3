# SPDX-License-Identifier: GPL-2.0-or-later
"""A device that maps pieces of memory in its BAR and takes them away again, as a GPU does with buffers: map, write, read, unmap."""

import figures
from lendlab import kvm, limit

KIB = 1 << 10
MIB = 1 << 20
ROUNDS = {64 * KIB: 32, MIB: 8, 8 * MIB: 1, 64 * MIB: 1}        # by size
STEP = {64 * MIB: 64 * KIB}                                     # of the largest, a page in 16


def device(number, size):
    return ["-device", f"xen-lend-testdev,kind=plain-fd,control=on,id=piece{number},bar-size={64 * MIB},size={size}"]


def pieces():
    """The first time, a page is in no page table of QEMU's."""
    devices = [arg for number, size in enumerate(ROUNDS) for arg in device(number, size)]
    with figures.guest_with(*devices) as guest:
        for number, (size, rounds) in enumerate(ROUNDS.items()):
            step = STEP.get(size, 4096)
            what = f"{size // KIB} KiB" if size < MIB else f"{size // MIB} MiB"
            for which, times in ("first", 1), ("again", rounds):
                with figures.window("pieces", f"{what}, {which}", times * size // step, "page", guest, None):
                    guest.must(f"pieces {number} {size} {step} {times}", 300)


@limit(800)
def test_xen():
    pieces()


@limit(800)
@kvm
def test_kvm():
    pieces()
