# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario of scenario.py, point by point, each in a guest of its own."""

import os

import scenario
from lendlab import backing, limit, zram_swap


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


def taken(way, where="/lend"):
    path = backing("lent", 2 << 20, where)
    try:
        with scenario.borrower(path, 2 << 20) as guest:
            figures = scenario.taken(guest, path, way)
        scenario.healthy()
        return figures
    finally:
        os.unlink(path)


@limit(300)
def test_taken_by_write_back():
    taken(scenario.write_back)


@limit(300)
def test_taken_by_page_cache_drop():
    taken(scenario.page_cache_drop)


@limit(300)
def test_taken_by_hole_punch():
    figures = taken(scenario.hole_punch)
    assert figures["zero"] > 0, f"the guest never saw the hole: {figures}"


@limit(300)
def test_taken_by_swap():
    zram_swap()
    taken(scenario.swap_out, "/dev/shm")


@limit(300)
def test_taken_by_migration():
    taken(scenario.migration, "/dev/shm")


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
