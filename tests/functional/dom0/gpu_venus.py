# SPDX-License-Identifier: GPL-2.0-or-later
"""Vulkan by Venus in a guest under Xen, in memory that is lent, and in the same guest under KVM: the same words have to come out,
and those that lavapipe gives in dom0 itself."""

import re

import gpu
import scenario
from kvmguest import compare
from lendlab import XEN, case, cases, kvm, limit, note

# case: what it runs, whether dom0 can say what is to come out, and within how many seconds
WORK = {
    "compute": (f"compute {4 << 20}", True, 200),
    "triangle": ("draw triangle 256 256 /tmp/triangle.ppm", True, 200),
    "scene": ("draw scene 256 256 /tmp/scene.ppm", True, 200),
    "cases": ("cases", True, 1500),
    "blobs": (f"blobs 100 {33 * 4096} 3", False, 900),
    "blobs_1000": ("blobs 1000 65536", False, 1500),
}


def works(wanted):
    with gpu.GpuGuest() as machine:
        if "name" in wanted:
            with case("name"):
                name = machine.must("/tmp/vk name", 200)
                note(name.splitlines()[0])
                assert name.startswith("device Virtio-GPU Venus (llvmpipe") and "\ndriver venus" in name, name
        for which in wanted:
            if which in WORK:
                with case(which):
                    work(machine, which)
        if "one_lease" in wanted:
            with case("one_lease"):
                one_lease(machine)
    if XEN:
        scenario.healthy()


def work(machine, which):
    command, known, seconds = WORK[which]
    said = machine.must(f"/tmp/vk {command}", seconds)
    note(said.splitlines()[-1])
    said = re.sub(r", \d+ us each", "", said)
    if known:
        own = gpu.in_dom0(f"{gpu.PLACE}/vk {command}", seconds).strip()
        assert said == own, f"dom0: {own}, the guest: {said}"
    compare(f"gpu.{which}", said)


def one_lease(machine):
    """However many blobs there are, the BAR is one lease, and what was mapped in it has been taken out again."""
    before = machine.bar()
    machine.must(f"/tmp/vk blobs 80 {33 * 4096}", 200)
    after = machine.bar()
    note(f"{after['faults'] - before['faults']} faults, {after['revokes'] - before['revokes']} revocations for 80 blobs")
    assert after["revokes"] > before["revokes"] and after["faults"] > before["faults"], (before, after)
    assert not after["failed"], after
    refused = machine.guest.qmp("query-xen-lend").get("refused")
    assert not refused, refused


@limit(5400)
@cases("name", *WORK, "one_lease")
def test_xen(wanted):
    works(wanted)


@kvm
@limit(5400)
@cases("name", *WORK)
def test_kvm(wanted):
    works(wanted)
