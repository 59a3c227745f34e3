# SPDX-License-Identifier: GPL-2.0-or-later
"""One fault alone, and its path: who executes how many instructions, one after the other."""

import os

import figures
from lendlab import ivshmem, kvm, limit, note
from taking import MIB, filled

WHO = "guest kernel", "guest", "Xen", "kernel", "user"


def story(path):
    """Steps of the path as "WHO@CPU instructions", those of the same one on the same processor together."""
    steps = []
    for cpu, who, instructions in path:
        if steps and steps[-1][:2] == [cpu, who]:
            steps[-1][2] += instructions
        else:
            steps.append([cpu, who, instructions])
    return [f"{WHO[who]}@{cpu} {instructions}" for cpu, who, instructions in steps]


def one(on=figures.ON):
    """The first is for the program's own sake: what is called for the first time is looked up and paged in."""
    path = filled("/dev/shm/bench", size=4 * MIB)
    with figures.guest_with(*ivshmem(path, 4 * MIB), on=on) as guest:
        guest.must("bench one 1000")
        for number, page in enumerate((100, 300, 500)):
            found = figures.measure("one", "one fault", 1, "fault", guest, f"one {page}", number=number)
        steps = story(found["path"])
        note(f"{len(steps)} steps: " + ", ".join(steps[:60]))
    os.unlink(path)


@limit(200)
def test_xen():
    one()


@limit(200)
@kvm
def test_kvm():
    one()
