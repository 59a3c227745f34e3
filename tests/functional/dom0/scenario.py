# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario that the demo tells and the tests in test_lending.py check, point by point: a file of dom0's is lent to a
guest as the BAR of an unmodified ivshmem device, and dom0 takes pages away in every ordinary way.

Each function takes a Guest, checks what it says, and returns figures for the story."""

import os
import re
import shutil
import time

from lendlab import (DATA, Guest, ask, domains, frames, ivshmem, madvise, mapped, meminfo, punch, run, sha256,
                     wait_for, xen_log)

MIB = 1 << 20
PAGE = 4096
DEBIAN_FILE = "/usr/bin/python3.13"


def power_of_two(size):
    return 1 << (size - 1).bit_length()


def read_file(path, offset=0, length=-1):
    with open(path, "rb") as data:
        data.seek(offset)
        return data.read(length)


# ---- 1. the guest reads a file of dom0's ------------------------------------

def lent_copy(name="lent"):
    """A copy of a file that Debian ships, as long as a BAR has to be; (path, length of the file, length of the BAR)."""
    path = f"{DATA}/{name}"
    shutil.copyfile(DEBIAN_FILE, path)
    length = os.path.getsize(path)
    size = power_of_two(length)
    os.truncate(path, size)
    run("sync")
    return path, length, size


def borrower(path, size, name="borrower", **kw):
    return Guest(name, args=ivshmem(path, f"{size // MIB}M"), **kw)


def reads(guest, path, length):
    """The guest's SHA-256 of the lent file is that of the file Debian ships."""
    expected = sha256(read_file(DEBIAN_FILE))
    got = guest.must(f"bar cat 0 {length} | sha256sum", timeout=60).split()[0]
    assert got == expected, f"the guest read {got}, the file is {expected}"
    lease = guest.lease()
    assert lease["faults"] > 0 and lease["installs"] >= length // PAGE, lease
    return {"sha256": got, "lease": lease}


# ---- 2. the guest writes ----------------------------------------------------

def writes(guest, path, length):
    """What the guest writes is in dom0's file at once, and after sync on the disk."""
    places = {0: "written by the guest", 5 * PAGE + 100: "in the middle of a page", length - 30: "near the end"}
    for offset, text in places.items():
        guest.must(f"bar write {offset} '{text}'")
    for offset, text in places.items():
        got = read_file(path, offset, len(text)).decode(errors="replace")
        assert got == text, f"dom0 reads {got!r} at {offset}"
    run("sync")
    inside = sha256(read_file(path))
    outside = ask(disk_sha256="/" + os.path.relpath(path, DATA))
    assert inside == outside, f"the disk has {outside}, dom0 {inside}"
    # write-back made the pages clean; a later write has to fault again, or the next sync would lose it
    guest.must("bar write 8192 'after the sync'")
    run("sync")
    inside = sha256(read_file(path))
    assert read_file(path, 8192, 14) == b"after the sync"
    outside = ask(disk_sha256="/" + os.path.relpath(path, DATA))
    assert inside == outside, f"second sync: the disk has {outside}, dom0 {inside}"
    return {"sha256": outside, "places": len(places) + 1}


# ---- 3. dom0 takes pages away while the guest works --------------------------

class Hammer:
    """Runs `bar hammer` in the guest (see tests/guest/bar.c): every page has a number that only grows; page 0 says which
    number every other page must have reached. Sees to it that the guest goes on, and never sees an old number."""

    def __init__(self, guest, path, seconds=60):
        self.guest, self.path = guest, path
        self.size = os.path.getsize(path)
        self.pages = self.size // PAGE
        self.generation = 0
        self.seconds = seconds

    def put(self, index, word, value):
        at = index * PAGE + word * 8
        self.memory[at:at + 8] = value.to_bytes(8, "little")

    def get(self, index, word):
        at = index * PAGE + word * 8
        return int.from_bytes(self.memory[at:at + 8], "little")

    def write_pages(self):
        """A new number in every page, and then the order that no page may be older."""
        self.generation += 1
        for index in range(1, self.pages):
            self.put(index, 1, index)
            self.put(index, 0, self.generation)
        self.put(0, 1, self.generation)

    def rounds(self):
        return self.get(0, 8)

    def goes_on(self, rounds=2):
        """The guest has been through all pages that often since now."""
        start = self.rounds()
        wait_for("the guest touching all pages", lambda: self.rounds() >= start + rounds, 40)

    def holes(self):
        """Pages may be zero from now on, or (second call) no longer."""
        self.put(0, 2, self.get(0, 2) + 1)

    def __enter__(self):
        self.context = mapped(self.path)
        self.memory = self.context.__enter__()
        self.memory[0:PAGE] = bytes(PAGE)
        self.write_pages()
        self.serial = self.guest.send(f"bar hammer {self.seconds}")
        self.goes_on()
        return self

    def __exit__(self, kind, *rest):
        try:
            if kind is None:
                self.put(0, 3, 1)
                code, text = self.guest.collect(self.serial, timeout=self.seconds + 20)
                assert code == 0, f"the guest saw wrong bytes: {text}"
                self.figures = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", text)}
        finally:
            self.context.__exit__(None, None, None)


def taken(guest, path, way, times=3):
    """dom0 takes the pages away by `way`(guest, hammer) while the guest reads and writes all of them."""
    before = guest.lease()
    with Hammer(guest, path) as hammer:
        detail = ""
        for _ in range(times):
            detail = way(guest, hammer) or detail
            hammer.goes_on(1)
            hammer.write_pages()
            hammer.goes_on(1)
    after = guest.lease()
    revoked = after["revoked"] - before["revoked"]
    assert revoked > 0, f"no page was revoked: {before} {after}"
    return dict(hammer.figures, revoked=revoked, faults=after["faults"] - before["faults"], detail=detail)


def write_back(guest, hammer):
    """sync: pages become clean, the guest's write permission goes"""
    run("sync")


def page_cache_drop(guest, hammer):
    """MADV_PAGEOUT on QEMU's mapping: the page cache loses clean pages and writes dirty ones"""
    run("sync")
    madvise(guest.dm_pid(), hammer.path, 21)
    return "paged out"


def hole_punch(guest, hammer):
    """fallocate(PUNCH_HOLE), then new data through another mapping"""
    hammer.holes()
    punch(hammer.path, PAGE, hammer.size - PAGE)
    hammer.goes_on(1)
    hammer.write_pages()
    hammer.holes()
    hammer.goes_on(2)


def swap_out(guest, hammer):
    """MADV_PAGEOUT on shared memory: pages go to swap on zram"""
    before = meminfo("SwapFree")
    madvise(guest.dm_pid(), hammer.path, 21)
    pages = sum(1 for frame in frames(guest.dm_pid(), hammer.path) if not frame)
    return f"{pages} pages out at once, swap used {(meminfo('SwapTotal') - before) // 1024} MiB before"


def migration(guest, hammer):
    """compaction: the kernel copies pages to other frames"""
    before = frames(guest.dm_pid(), hammer.path)
    moved = 0
    for _ in range(5):
        with open("/proc/sys/vm/compact_memory", "w") as compact:
            compact.write("1")
        after = frames(guest.dm_pid(), hammer.path)
        moved = sum(1 for old, new in zip(before, after) if old and new and old != new)
        if moved:
            break
    return f"{moved} pages have another frame"


# ---- 4. steady state ----------------------------------------------------------

def steady(guest):
    """A second pass over all pages costs no fault and no exit to QEMU."""
    guest.must("bar pass 1", timeout=60)
    before = guest.lease()
    passes = [int(line.split()[1]) for line in guest.must("bar pass 2", timeout=60).splitlines()]
    after = guest.lease()
    for figure in ("faults", "installs", "answered"):
        assert after[figure] == before[figure], f"{figure} grew from {before[figure]} to {after[figure]}"
    return {"faults": after["faults"] - before["faults"], "us": passes}


# ---- 5. violent ends ------------------------------------------------------------

def leases_in_xen():
    """The leases that Xen's debug key lists."""
    text = xen_log("B")
    assert "end of borrowed memory" in text, text[-500:]
    return re.findall(r"lease \d+: .*", text)


def killed_while_waiting(guest, path):
    """A page is out and QEMU stopped, so that the guest waits; then SIGKILL for QEMU, and the guest is destroyed."""
    pid = guest.dm_pid()
    punch(path, 0, os.path.getsize(path))
    os.kill(pid, 19)
    guest.send("bar touch 0 4096")
    time.sleep(1)
    os.kill(pid, 9)
    time.sleep(1)
    guest.destroy()
    return healthy()


def destroyed_while_waiting(guest, path):
    """As above, but the guest is destroyed while QEMU is stopped, not dead."""
    pid = guest.dm_pid()
    punch(path, 0, os.path.getsize(path))
    os.kill(pid, 19)
    guest.send("bar touch 0 4096")
    time.sleep(1)
    run("xl", "destroy", guest.name, check=False, timeout=60)
    return healthy()


def healthy():
    """No domain but dom0, no lease in Xen, no complaint of Xen's or Linux's."""
    wait_for("end of all guests", lambda: not domains(), 20)
    left = leases_in_xen()
    assert not left, f"leases left: {left}"
    for line in (xen_log() + run("dmesg")).splitlines():
        assert not re.search(r"Assertion|Xen BUG|WARNING: CPU|BUG:|Oops|soft lockup|hung task|Unable to handle", line), line
    return {"domains": 0, "leases": 0}
