# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose working set is twice what the host has for it; the rest is in swap, which is compressed memory (zram)."""

import contextlib
import os
import random

import figures
from lendlab import ivshmem, kvm, limit, note, run, zram_swap

MIB = 1 << 20
SIZE = 32 * MIB
LIMIT = 16 * MIB
PAGES = 1024


@contextlib.contextmanager
def limited():
    """A memory control group for this process and QEMU."""
    group = "/run/bench-cgroup"
    os.makedirs(group, exist_ok=True)
    run("mount", "-t", "cgroup2", "none", group)
    with open(group + "/cgroup.subtree_control", "w", encoding="ascii") as control:
        control.write("+memory")
    own = group + "/bench"
    os.makedirs(own, exist_ok=True)
    with open(own + "/memory.max", "w", encoding="ascii") as most:
        most.write(str(LIMIT))

    def move(pid, where=own):
        with open(where + "/cgroup.procs", "w", encoding="ascii") as procs:
            procs.write(str(pid))

    try:
        yield move, own
    finally:
        for pid in open(own + "/cgroup.procs", encoding="ascii").read().split():
            move(pid, group)
        run("umount", group)


def fill(path, move):
    """By a process in the group, which is whom the pages are charged to. Half of each page is random."""
    child = os.fork()
    if child == 0:
        try:
            move(os.getpid())
            with open(path, "r+b" if os.path.exists(path) else "wb") as out:
                for _ in range(SIZE // 4096):
                    out.write(random.randbytes(2048) + bytes(2048))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "the file could not be filled"


def swapped(own):
    with open(own + "/memory.swap.current", encoding="ascii") as now:
        return int(now.read())


def pressure():
    zram_swap()
    path = "/dev/shm/bench"
    with limited() as (move, own):
        fill(path, move)
        assert swapped(own) > SIZE - LIMIT - MIB, f"{swapped(own)} bytes are swapped out"
        with figures.guest_with(*ivshmem(path, SIZE)) as guest:
            move(guest.dm_pid())
            for number in range(1 if figures.quick() else 3):
                for what, write in ("read", ""), ("written", " write"):
                    fill(path, move)        # half of it is swapped out again
                    figures.measure("pressure", f"half of 32 MiB swapped, random, {what}", PAGES, "page", guest,
                                    f"touch random {SIZE} {PAGES}{write}", number=number, timeout=200)
            note(f"{swapped(own) >> 20} MiB are swapped out")
    os.unlink(path)


@limit(900)
def test_xen():
    pressure()


@limit(900)
@kvm
def test_kvm():
    pressure()
