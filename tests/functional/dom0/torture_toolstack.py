# SPDX-License-Identifier: GPL-2.0-or-later
"""Core dumps of guests with a device model. libxenguest tries each of the 983,040 pages below 3.75 GiB, whatever the guest's size:
some 5 min in the emulated machine, with a lease and without. test_toolstack.py has a guest with which it ends early."""

import contextlib
import os
import time

from coredump import Core
from lendlab import Guest, backing, case, cases, ivshmem, limit, note, run, wait_for
from lendvmm import no_kernel_complaints
from test_qemu import frozen
from test_toolstack import CORES, SIZE, domid, in_order, works

DUMP_SECONDS = 1500     # on a busy machine


@contextlib.contextmanager
def cores():
    """They go to memory, as a file system is frozen meanwhile."""
    os.makedirs(CORES, exist_ok=True)
    run("mount", "-t", "tmpfs", "cores", CORES)
    try:
        yield
    finally:
        run("umount", CORES)


def borrower(path, **kw):
    return Guest("torture", ivshmem(path, SIZE), vcpus=2, cmdline="isolcpus=1 irqaffinity=0 xen_legacy_crash", memory=128, **kw)


@contextlib.contextmanager
def stuck():
    """The file system is frozen for minutes; the kernel need not complain that somebody waits for it."""
    path = "/proc/sys/kernel/hung_task_timeout_secs"
    with open(path) as file:
        usual = file.read()
    try:
        with open(path, "w") as file:
            file.write("0")
        with frozen():
            yield
    finally:
        with open(path, "w") as file:
            file.write(usual)


@contextlib.contextmanager
def maybe_waiting(guest, name):
    """The second vCPU waits for a page, if that is the case's name."""
    if name != "waiting":
        yield
        return
    run("sync")         # clean pages: a write has to ask
    with stuck():
        guest.must("(taskset 2 bar write 65536 waited && echo done >/tmp/wrote) >/dev/null 2>&1 </dev/null &")
        wait_for("a vCPU to wait", lambda: guest.lease()["waiting"] == 1, 60)
        yield


def no_lent_page(path, bar):
    """The core has the guest's memory, and nothing of what it borrows."""
    core = Core(path)
    lent = [gfn for gfn in core.pages if bar <= gfn < bar + SIZE // 4096]
    assert not lent, f"{len(lent)} lent pages are in the core, the first at {lent[0]:#x}"
    assert len(core.pages) > 25000, f"{len(core.pages)} pages in the core of a guest with 32,768"
    note(f"the core has {len(core.pages)} pages, none of them lent")


@limit(4000)
@cases("lease", "waiting")
def test_dump_core(wanted):
    """xl dump-core of a guest that runs: with a lease, and while a vCPU waits for a page."""
    path = backing("torture", SIZE)
    with cores(), borrower(path) as guest:
        for number, name in enumerate(wanted):
            with case(name):
                in_order(guest, number)
                with maybe_waiting(guest, name):
                    before = time.monotonic()
                    works("dump-core", guest.name, CORES + "/dumped", timeout=DUMP_SECONDS)
                    note(f"{time.monotonic() - before:.0f} s")
                    assert name != "waiting" or guest.lease()["waiting"] == 1
                no_lent_page(CORES + "/dumped", guest.lease()["gfn"])
                os.unlink(CORES + "/dumped")
                if name == "waiting":
                    wait_for("the write", lambda: guest.run("cat /tmp/wrote")[1].strip() == "done", 60)
                    assert guest.must("bar cat 65536 6") == "waited"
                in_order(guest, number + 100)
    os.unlink(path)
    no_kernel_complaints()


@limit(4000)
@cases("lease", "waiting")
def test_crash(wanted):
    """on_crash = "coredump-restart": there is a core, and the next life of the guest has its memory again."""
    path = backing("torture", SIZE)
    guest = borrower(path)
    guest.config = guest.config.replace('on_crash = "destroy"', 'on_crash = "coredump-restart"')
    with cores(), guest:
        for number, name in enumerate(wanted):
            with case(name):
                in_order(guest, number)
                first, bar = guest.domid, guest.lease()["gfn"]
                with maybe_waiting(guest, name):
                    before = time.monotonic()
                    guest.send("echo c >/proc/sysrq-trigger")
                    wait_for("the next life of the guest", lambda: domid(guest) not in (None, first), DUMP_SECONDS, pause=2)
                    note(f"{time.monotonic() - before:.0f} s")
                guest.adopt()
                no_lent_page(f"{CORES}/{guest.name}", bar)
                os.unlink(f"{CORES}/{guest.name}")
                in_order(guest, number + 100)
    os.unlink(path)
    no_kernel_complaints()
