# SPDX-License-Identifier: GPL-2.0-or-later
"""A vCPU touches pages at random while other pages of the same lease are taken away, and while none are."""

import os

import figures
from lendlab import ivshmem, kvm, limit, note
from taking import MIB, PAGE, filled, taking

FAULTS = 512
PART = 16 * MIB                     # where it faults; what is taken away comes after it
TAKEN = 8 * MIB
PAUSE = 5                           # ms between two holes


def race():
    path = filled("/dev/shm/bench", size=2 * PART)
    with figures.guest_with(*ivshmem(path, 2 * PART)) as guest:
        for number in range(1 if figures.quick() else 3):
            for what in "quiet", "revokes elsewhere":
                # all of it is there, and the second half is lent
                with open(path, "r+b") as data:
                    data.truncate(0)
                    data.truncate(2 * PART)
                filled(path, size=2 * PART)
                guest.must(f"bar touch {PART} {TAKEN}", 120)
                if what == "quiet":
                    figures.measure("race", what, FAULTS, "page", guest, f"touch random {PART} {FAULTS}", number=number)
                    continue
                with taking(path, PART, TAKEN, PAGE, PAUSE) as done:
                    found = figures.measure("race", what, FAULTS, "page", guest, f"touch random {PART} {FAULTS}", number=number)
                note(f"{done['holes']} holes, {found['lease'].get('revoked', 'unknown')} pages taken away meanwhile")
                assert done["holes"] > 1, "nothing was taken away"
    os.unlink(path)


@limit(900)
def test_xen():
    race()


@limit(900)
@kvm
def test_kvm():
    race()
