# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario of scenario.py, point by point, each in a guest of its own."""

import os

import scenario
from lendlab import Guest, backing, case, cases, ivshmem, limit, zram_swap


def test_device():
    assert os.path.exists("/dev/xen/lend"), "no /dev/xen/lend"
    assert scenario.leases_in_xen() == []


@limit(240)
def test_guest_reads_file():
    path, length, size = scenario.lent_copy()
    with scenario.borrower(path, size) as guest:
        scenario.reads(guest, path, length)
    scenario.healthy()


@limit(240)
def test_guest_writes_file():
    path, length, size = scenario.lent_copy()
    with scenario.borrower(path, size) as guest:
        scenario.writes(guest, path, length)
    scenario.healthy()


WAYS = {"by_write_back": scenario.write_back, "by_page_cache_drop": scenario.page_cache_drop, "by_hole_punch": scenario.hole_punch,
        "by_swap": scenario.swap_out, "by_migration": scenario.migration}
OF_SHARED_MEMORY = "by_swap", "by_migration"


@limit(400)
@cases(*WAYS)
def test_taken(wanted):
    """By every way that dom0 has. One guest with a device on a file and one on shared memory."""
    size = 2 << 20
    file, memory = backing("lent", size), backing("lent", size, "/dev/shm")
    zram_swap()
    try:
        with Guest("borrower", [*ivshmem(file, size), *ivshmem(memory, size, "shm")]) as guest:
            for way in wanted:
                with case(way):
                    shared = way in OF_SHARED_MEMORY
                    figures = scenario.taken(guest, memory if shared else file, WAYS[way], device=int(shared))
                    if way == "by_hole_punch":
                        assert figures["zero"] > 0, f"the guest never saw the hole: {figures}"
        scenario.healthy()
    finally:
        os.unlink(file)
        os.unlink(memory)


@limit(240)
def test_steady_state_is_free():
    path = backing("lent", 4 << 20)
    with scenario.borrower(path, 4 << 20) as guest:
        scenario.steady(guest)
    scenario.healthy()


@limit(300)
def test_qemu_killed_while_fault_pending():
    path, length, size = scenario.lent_copy()
    with scenario.borrower(path, size) as guest:
        scenario.killed_while_waiting(guest, path)
    path, length, size = scenario.lent_copy()
    with scenario.borrower(path, size, name="next") as guest:
        scenario.reads(guest, path, length)


@limit(300)
def test_guest_destroyed_while_fault_pending():
    path = backing("lent", 2 << 20)
    with scenario.borrower(path, 2 << 20) as guest:
        scenario.destroyed_while_waiting(guest, path)
    with scenario.borrower(path, 2 << 20, name="next") as guest:
        guest.must("bar pass 1")
    scenario.healthy()
