# SPDX-License-Identifier: GPL-2.0-or-later
"""When all is there: passes over 64 MiB of lent memory."""

import os

import figures
from lendlab import ivshmem, kvm, limit
from taking import MIB, PAGE, filled

SIZE = 64 * MIB
PASSES = 4


def steady():
    path = filled("/dev/shm/bench", size=SIZE)
    with figures.guest_with(*ivshmem(path, SIZE)) as guest:
        guest.must(f"bench touch order {SIZE}", 300)
        for number in range(3):
            figures.measure("steady", "a pass over 64 MiB", PASSES * SIZE // PAGE, "page", guest, f"pass {SIZE} {PASSES}",
                            number=number, timeout=300)
    os.unlink(path)


@limit(900)
def test_xen():
    steady()


@limit(900)
@kvm
def test_kvm():
    steady()
