# SPDX-License-Identifier: GPL-2.0-or-later
"""Accesses to memory that the guest has not touched before: one figure for each kind of memory and way of going through it."""

import os

import figures
from lendlab import DATA, cases, drop_caches, ivshmem, kvm, limit, try_cases
from taking import MIB, PAGE, filled
from test_backing import bar_of_shared_memory

SIZE = 64 * MIB
WAYS = {"order": SIZE // PAGE, "back": SIZE // PAGE, "stride": 1024, "random": 1024}


def new_file(where, size):
    """Its pages are in memory, and on the disk."""
    path = filled(where + "/bench", size=size)
    with open(path, "rb") as data:
        os.fsync(data.fileno())
    return path


def touched(what, path, ways, size=SIZE, write=False, on=figures.ON):
    """A guest for each way, as only the first touch counts. QEMU maps the file and does not touch it."""
    for way, count in ways.items():
        with figures.guest_with(*ivshmem(path, size), on=on) as guest:
            figures.measure("touch", f"{what}, {way}", count, "page", guest,
                            f"touch {way} {size} {count}" + (" write" if write else ""), timeout=300, on=on)


def memfd():
    path = new_file("/dev/shm", SIZE)
    touched("memory file", path, WAYS)
    os.unlink(path)


def warm():
    path = new_file(DATA, SIZE)
    touched("page cache, warm", path, {"order": WAYS["order"], "random": WAYS["random"]})
    os.unlink(path)


def cold():
    path = new_file(DATA, SIZE)
    for way, count in {"order": SIZE // PAGE, "random": 512}.items():
        os.sync()
        drop_caches()
        touched("page cache, cold", path, {way: count}, SIZE)
    os.unlink(path)


def vram():
    """16 MiB of a device of the machine's, which have no page structures."""
    touched("video memory", bar_of_shared_memory(), {"order": 4096}, 16 * MIB)


def holes():
    """What the file does not have yet: in a row, and one page in 16."""
    for way, count in {"order": 4096, "stride": 1024}.items():
        path = "/dev/shm/bench"
        with open(path, "wb") as out:
            out.truncate(SIZE)
        touched("holes", path, {way: count}, SIZE, write=True)
        os.unlink(path)


MEMORY = {"memfd": memfd, "warm": warm, "cold": cold, "vram": vram, "holes": holes}


@limit(1200)
@cases(*MEMORY)
def test_xen(wanted):
    try_cases(wanted, MEMORY)


@limit(1200)
@cases(*MEMORY)
@kvm
def test_kvm(wanted):
    try_cases(wanted, MEMORY)
