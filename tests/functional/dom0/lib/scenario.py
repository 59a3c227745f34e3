# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario that the demo tells and the tests in test_lending.py check, point by point: a file of dom0's is lent to a
guest as the BAR of an unmodified ivshmem device, and dom0 takes pages away in every ordinary way.

Each function takes a Guest, checks what it says, and returns figures for the story."""

import errno
import os
import re
import shutil
import time

from lendlab import (DATA, Guest, ask, domains, frames, ivshmem, knob, madvise, mapped, punch, run, sha256,
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

    def __init__(self, guest, path, pages, device=0, seconds=60):
        self.guest, self.path, self.device = guest, path, device
        self.pages = pages
        self.generation = 0
        self.seconds = seconds

    # by read and write, not by a mapping that stays: a page with two mappings cannot be paged out

    def put(self, index, word, value):
        os.pwrite(self.fd, value.to_bytes(8, "little"), index * PAGE + word * 8)

    def get(self, index, word):
        return int.from_bytes(os.pread(self.fd, 8, index * PAGE + word * 8), "little")

    def write_pages(self):
        """A new number in every page, through another mapping, and then the order that no page may be older."""
        self.generation += 1
        with mapped(self.path) as memory:
            words = memoryview(memory).cast("Q")
            for index in range(1, self.pages):
                words[index * PAGE // 8 + 1] = index
                words[index * PAGE // 8] = self.generation
            words.release()
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
        self.fd = os.open(self.path, os.O_RDWR)
        os.pwrite(self.fd, bytes(PAGE), 0)
        self.write_pages()
        self.serial = self.guest.send(f"bar -d {self.device} hammer {self.seconds} {self.pages}")
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
            os.close(self.fd)


def taken(guest, path, way, times=2, pages=96, device=0):
    """dom0 takes the pages away by `way`(guest, hammer) while the guest reads and writes them."""
    name = "shm" if device else "lm"
    before = guest.lease(name)
    with Hammer(guest, path, pages, device) as hammer:
        detail = ""
        for _ in range(times):
            detail = way(guest, hammer) or detail
            hammer.goes_on(1)
            hammer.write_pages()
            hammer.goes_on(1)
    after = guest.lease(name)
    revoked = after["revoked"] - before["revoked"]
    if way is write_back:
        # It takes the right to write, not the page.
        assert after["flushes"] > before["flushes"] and after["faults"] > before["faults"], f"nothing became read-only: {before} {after}"
    else:
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
    punch(hammer.path, PAGE, (hammer.pages - 1) * PAGE)
    hammer.goes_on(1)
    hammer.write_pages()
    hammer.holes()
    hammer.goes_on(2)


def swap_out(guest, hammer):
    """MADV_PAGEOUT on shared memory: pages go to swap on zram"""
    def swapped():
        with open("/proc/vmstat") as stat:
            return next(int(line.split()[1]) for line in stat if line.startswith("pswpout "))

    before = swapped()
    madvise(guest.dm_pid(), hammer.path, 21)
    written = swapped() - before
    assert written, "nothing was swapped out"
    return f"{written} pages written to swap"


def migration(guest, hammer):
    """the kernel copies pages to other frames and frees the old ones: compaction, and soft-offlining of 16 of them"""
    pid = guest.dm_pid()
    before = frames(pid, hammer.path)[:hammer.pages]
    knob("/proc/sys/vm/compact_memory", 1)
    middle = frames(pid, hammer.path)[:hammer.pages]
    for frame in [frame for frame in middle if frame][:16]:
        try:
            knob("/sys/devices/system/memory/soft_offline_page", frame * PAGE)
        except OSError as error:
            # a page that somebody else holds just now (a write-back, a fault in progress) stays where it is
            if error.errno != errno.EBUSY:
                raise
    after = frames(pid, hammer.path)[:hammer.pages]
    moved = [sum(1 for old, new in zip(*pair) if old and new != old) for pair in ((before, middle), (middle, after))]
    assert moved[1], "soft-offlining moved nothing"
    return f"compaction moved {moved[0]}, soft-offlining {moved[1]} pages"


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
    """As above, but the guest is destroyed while QEMU is stopped, not dead. A stopped QEMU holds mappings of the guest's RAM and
    so the dead domain, as it would without lending; but no lease of it is left."""
    pid = guest.dm_pid()
    punch(path, 0, os.path.getsize(path))
    os.kill(pid, 19)
    guest.send("bar touch 0 4096")
    time.sleep(1)
    run("xl", "destroy", guest.name, check=False, timeout=60)
    wait_for("end of all leases", lambda: not leases_in_xen(), 20, pause=1)
    assert os.path.exists(f"/proc/{pid}"), "QEMU is gone already"
    os.kill(pid, 9)
    return healthy()


def healthy():
    """No domain but dom0, no lease in Xen, no complaint of Xen's or Linux's."""
    wait_for("end of all guests", lambda: not domains(), 20)
    left = leases_in_xen()
    assert not left, f"leases left: {left}"
    for line in (xen_log() + run("dmesg")).splitlines():
        assert not re.search(r"Assertion|Xen BUG|WARNING: CPU|BUG:|Oops|soft lockup|hung task|Unable to handle", line), line
    return {"domains": 0, "leases": 0}
