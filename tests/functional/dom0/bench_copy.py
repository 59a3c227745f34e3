# SPDX-License-Identifier: GPL-2.0-or-later
"""A BAR of 1 MiB, written word by word: lent, and emulated as without lending."""

import os

import figures
from lendlab import ivshmem, kvm, limit
from taking import MIB, filled

PART = 8 << 10                      # of it that is written when it is emulated


def copy(on=figures.ON, part=MIB, runs=3):
    path = filled("/dev/shm/bench", size=MIB)
    with figures.guest_with(*ivshmem(path, MIB), on=on) as guest:
        if on != "ioreq":
            guest.must(f"bench copy {MIB}")         # what is not there yet has other figures
        for number in range(runs):
            figures.measure("copy", "1 MiB", part >> 10, "KiB", guest, f"copy {part}", on=on, number=number, timeout=200)
    os.unlink(path)


@limit(500)
def test_xen():
    copy()


@limit(500)
def test_emulated():
    copy("ioreq", PART, 1)


@limit(500)
@kvm
def test_kvm():
    copy()
