# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages are taken away from a guest whose vCPUs all run and use other pages: 4 KiB, 2 MiB as small pages and as a large one, and as
much in large ones as dom0 has memory for."""

import contextlib
import os

import figures
from lendlab import case, cases, ivshmem, kvm, limit, note, pvh, run
from taking import MIB, PAGE, filled, take

SMALL = 64 * MIB
LARGE = 2 * MIB
HOLES = 16


@contextlib.contextmanager
def huge(size):
    """A directory whose files have large pages."""
    where = "/run/bench-huge"
    os.makedirs(where, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"huge=always,size={size}", "bench", where)
    try:
        yield where
    finally:
        run("umount", where)


def available():
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def largest():
    """MiB, a power of two; some is left for others."""
    size = 1024
    while size * MIB + 200 * MIB > available():
        size //= 2
    return size


@contextlib.contextmanager
def busy(guest, vcpus):
    """Each vCPU reads and writes a word of the last page of the first BAR."""
    guest.must("rm -f /tmp/stop")
    for vcpu in range(vcpus):
        guest.must(f"(taskset {1 << vcpu:x} bar count {SMALL - 8 * (vcpu + 1)} /tmp/stop) >/dev/null 2>&1 </dev/null &")
    yield
    guest.must("touch /tmp/stop")


def small(vcpus):
    path = filled("/dev/shm/bench", size=SMALL)
    with figures.guest_with(*ivshmem(path, SMALL), vcpus=vcpus) as guest:
        guest.must(f"bar touch 0 {LARGE * (HOLES + 1)}", 200)
        with busy(guest, vcpus):
            take("revoke", f"4 KiB, {of(vcpus)}", guest, path, 0, 64 * PAGE, PAGE)
            take("revoke", f"2 MiB in pages of 4 KiB, {of(vcpus)}", guest, path, LARGE, LARGE * HOLES, LARGE)
    os.unlink(path)


def large(vcpus):
    busy_with = filled("/dev/shm/bench", size=SMALL)
    with huge("1100M") as where:
        path = where + "/bench"
        with open(path, "wb") as out:
            out.truncate(1024 * MIB)
        with figures.guest_with(*ivshmem(busy_with, SMALL), *ivshmem(path, 1024 * MIB, "big"), vcpus=vcpus) as guest:
            with busy(guest, vcpus):
                for mib, count in (2, HOLES), (64 if figures.quick() else largest(), 1):
                    guest.must(f"bar -d 1 touch 0 {mib * count * MIB} {LARGE}", 300)
                    size = f"{mib} MiB" if mib < 1024 else "1 GiB"
                    take("revoke", f"{size}, {of(vcpus)}", guest, path, 0, mib * count * MIB, mib * MIB, lease="big")
                if mib < 1024:
                    note(f"not 1 GiB, but {size}")
    os.unlink(busy_with)


def of(vcpus):
    return f"{vcpus} vCPU{'s' * (vcpus > 1)}"


def try_all(wanted, *sizes):
    for name in wanted:
        with case(name):
            for size in sizes:
                size(int(name))


@limit(800)
@cases("1", "4")
def test_xen(wanted):
    try_all(wanted, small)


@limit(800)
@cases("1", "4")
@pvh
def test_pvh(wanted):
    """A PV dom0 has no large pages."""
    try_all(wanted, large)


@limit(900)
@cases("1", "4")
@kvm
def test_kvm(wanted):
    try_all(wanted, small, large)
