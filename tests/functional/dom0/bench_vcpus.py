# SPDX-License-Identifier: GPL-2.0-or-later
"""1 to 4 vCPUs that fault at once, each in a part of its own; and how long another device's register takes to read meanwhile."""

import os

import figures
from lendlab import ask, ivshmem, kvm, limit, note, wait_for
from taking import MIB, filled

FAULTS = 256                        # of each
PART = 4 * MIB                      # for each
NUMBERS = 1, 2, 4


def delay(guest, what, command, number):
    """A figure of the time that a read of the configuration space takes while the command runs."""
    guest.must("rm -f /tmp/stop /tmp/times; (exits /tmp/stop times >/tmp/times) >/dev/null 2>&1 </dev/null &")
    guest.must(command, 120)
    guest.must("touch /tmp/stop")
    count, mean, most = map(int, wait_for("the times", lambda: guest.run("cat /tmp/times")[1].split(), 20))
    ask(figure={"case": "vcpus", "what": what, "on": figures.ON, "run": number, "units": count, "unit": "read",
                "seconds": count * mean / 1e9})
    note(f"{what}: {count} reads, {mean / 1e6:.2f} ms each, at most {most / 1e6:.1f} ms")


def vcpus():
    runs = 1 if figures.quick() else 3
    paths = [filled(f"/dev/shm/bench{i}", size=4 * PART) for i in range(len(NUMBERS) * runs + runs)]
    devices = [arg for i, path in enumerate(paths) for arg in ivshmem(path, 4 * PART, f"lm{i}")]
    with figures.guest_with(*devices, vcpus=4) as guest:
        for number in range(runs):
            for i, count in enumerate(NUMBERS):
                device = number * len(NUMBERS) + i
                figures.measure("vcpus", f"{count} vCPU{'s' * (count > 1)}", FAULTS * count, "page", guest,
                                f"-d {device} threads {count} random {PART * count} {FAULTS}", lease=f"lm{device}", number=number)
            delay(guest, "another device, quiet", "sleep 2", number)
            delay(guest, "another device, a vCPU faults",
                  f"bench -d {len(NUMBERS) * runs + number} touch random {4 * PART} {FAULTS * 2}", number)
    for path in paths:
        os.unlink(path)


@limit(900)
def test_xen():
    vcpus()


@limit(900)
@kvm
def test_kvm():
    vcpus()
