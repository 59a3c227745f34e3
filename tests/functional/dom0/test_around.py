# SPDX-License-Identifier: GPL-2.0-or-later
"""Fault-around: what a fault brings besides the page that was touched. The guest is tests/guest/ring0, the VMM lend_serve.

Figures are per page that the guest needs: faults, and pages that Xen newly installed."""

import os
import re

from lendlab import backing, case, cases, drop_caches, limit, note, run
from lendvmm import GFN, Ring0, Server, no_kernel_complaints, reclaims

SUPER = 512                         # pages of 2 MiB


class Pair:
    """A guest and its VMM."""

    def __init__(self):
        self.guest = Ring0().start()
        self.server = Server(self.guest.domid)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.close()
        self.guest.close()

    def touch(self, pages, how="1", value="", first=0):
        return int(self.guest.must(f"touch {GFN + first:#x} {pages} {how} {value}", timeout=60))

    def dirty(self, path):
        """KiB of the lender's mapping of that file that are dirty."""
        with open(f"/proc/{self.server.process.pid}/smaps") as smaps:
            mapping = smaps.read().split(path + "\n")[1]
        return sum(int(size) for size in re.findall(r"^(?:Shared|Private)_Dirty: +(\d+) kB", mapping, re.M)[:2])

    def counted(self, what, needed, *args, **kw):
        """Faults and installs of a touch(), per page that is needed."""
        before = self.server.stats()
        self.touch(*args, **kw)
        after = self.server.stats()
        faults, installs = (after[name] - before[name] for name in ("faults", "installs"))
        note(f"{what}: {faults} faults and {installs} pages installed for {needed} needed")
        return faults, installs / needed


def in_order(pair):
    """What is present comes with the page that is touched, and once."""
    pair.server.do(f"lease memfd {4 * SUPER}")
    pair.server.do(f"fill 0 {4 * SUPER} 0x1000")
    faults, ratio = pair.counted("in order", 4 * SUPER, 4 * SUPER)
    assert ratio <= 1.1 and faults <= 4 * SUPER // 64, (faults, ratio)


def backwards(pair):
    pair.server.do(f"lease memfd {4 * SUPER}")
    pair.server.do(f"fill 0 {4 * SUPER} 0x1000")
    faults, ratio = pair.counted("backwards", 4 * SUPER, 4 * SUPER, "-1")
    assert ratio <= 1.1 and faults <= 4 * SUPER // 64, (faults, ratio)


def holes(pair):
    """Nothing is present: each page is new, and those before it are there already."""
    pair.server.do(f"lease memfd {SUPER} noahead")
    _, ratio = pair.counted("holes in order", SUPER // 2, SUPER // 2, value="7")
    assert ratio <= 1.1, ratio


def one_page(pair):
    """A page that goes comes back alone."""
    pair.server.do(f"lease memfd {SUPER}")
    pair.server.do(f"fill 0 {SUPER} 0x1000")
    pair.touch(SUPER)
    before = pair.server.stats()
    for page in range(100, 120):
        pair.server.do(f"punch {page} 1")
        assert pair.touch(1, first=page) == 0
    after = pair.server.stats()
    installs = after["installs"] - before["installs"]
    note(f"20 pages, one at a time: {after['faults'] - before['faults']} faults and {installs} pages installed")
    assert installs == 20, installs


def read_then_written(pair):
    """Clean pages are read-only at first. A write makes those around it writable that Linux lets be written to."""
    path = backing("around.bin", SUPER * 4096)
    pair.server.do(f"lease file={path} {SUPER}")
    faults, ratio = pair.counted("read", SUPER, SUPER)
    assert ratio <= 1.1, ratio
    faults, ratio = pair.counted("written", SUPER // 4, SUPER // 4, value="7")
    assert ratio <= 1.1, ratio


def one_by_one(pair):
    """A lease that has no fault-around, and any order."""
    pages = SUPER // 4
    pair.server.do(f"lease memfd {pages} 4096")
    pair.server.do(f"fill 0 {pages} 0x1000")
    faults, ratio = pair.counted("random, around=4K", pages, pages, "random")
    assert faults == pages and ratio == 1.0, (faults, ratio)


def served_twice(pair):
    """The same page is asked for again, as when two vCPUs wait for it: nothing more is installed."""
    pair.server.do(f"lease memfd {SUPER}")
    pair.server.do(f"fill 0 {SUPER} 0x1000")
    pair.touch(SUPER)
    before = pair.server.stats()
    for page in range(8):
        pair.server.do(f"resolve {page}")
    after = pair.server.stats()
    assert after["resolves"] == before["resolves"] + 8 and after["installs"] == before["installs"], (before, after)


AROUND = {
    "in_order": in_order, "backwards": backwards, "holes": holes, "one_page": one_page, "read_then_written": read_then_written,
    "one_by_one": one_by_one, "served_twice": served_twice,
}


def each(table, wanted):
    with Pair() as pair:
        for name in wanted:
            with case(name):
                try:
                    table[name](pair)
                finally:
                    if pair.server.do("leased") == "1":
                        pair.server.do("unlease")
    no_kernel_complaints()


@limit(300)
@cases(*AROUND)
def test_installs(wanted):
    each(AROUND, wanted)


# ---- the window learns ---------------------------------------------------------------

def random(pair):
    """Any order, in more memory than a window could guess: after some faults each brings the page that is wanted, and no other."""
    pages = 64 * SUPER
    pair.server.do(f"lease memfd {pages}")
    pair.server.do(f"fill 0 {pages} 0x1000")
    before = pair.server.stats()
    for page in RANDOM:
        pair.touch(1, first=page)
    after = pair.server.stats()
    installs = after["installs"] - before["installs"]
    note(f"{len(RANDOM)} pages somewhere in 128 MiB: {after['faults'] - before['faults']} faults, {installs} pages installed")
    assert installs <= len(RANDOM) + 16, installs


def two_streams(pair):
    """One vCPU goes through two places at the same time."""
    pair.server.do(f"lease memfd {4 * SUPER}")
    pair.server.do(f"fill 0 {4 * SUPER} 0x1000")
    before = pair.server.stats()
    for page in range(0, SUPER, 8):
        pair.touch(8, first=page)
        pair.touch(8, first=2 * SUPER + page)
    after = pair.server.stats()
    faults, installs = (after[name] - before[name] for name in ("faults", "installs"))
    note(f"two times 512 pages: {faults} faults, {installs} pages installed")
    assert faults <= 40 and installs <= 1.1 * 2 * SUPER, (faults, installs)


def strides(pair):
    """One page in so many, both ways: no other one is brought; nor is one allocated that is not written to."""
    for step in 12, 16, -16, 100:
        pair.server.do(f"lease memfd {8 * SUPER}")
        pair.server.do(f"fill 0 {8 * SUPER} 0x1000")
        needed = -(-8 * SUPER // abs(step))
        faults, ratio = pair.counted(f"one page in {step}", needed, 8 * SUPER, str(step))
        assert ratio <= 1.3 and faults <= needed // 3, (step, faults, ratio)
        pair.server.do("unlease")
    pair.server.do(f"lease memfd {8 * SUPER}")
    faults, ratio = pair.counted("holes, one in 16", 256, 8 * SUPER, "16", value="7")
    cached = int(pair.server.do(f"cached 0 {8 * SUPER}"))
    assert faults <= 256 // 3 and cached <= 1.3 * 256, (faults, cached)


def page_cache(pair):
    """What is in the page cache, but in no page table of dom0's, comes along without being asked for page by page."""
    path = backing("around.bin", 2 * SUPER * 4096)
    pair.server.do(f"lease file={path} {2 * SUPER}")
    faults, ratio = pair.counted("page cache, in order", 2 * SUPER, 2 * SUPER)
    assert ratio <= 1.1 and faults <= 16, (faults, ratio)


def no_io(pair):
    """What would have to be read from the disk does not come along, nor is anything else read ahead than by Linux itself."""
    path = backing("around.bin", SUPER * 4096)
    pair.server.do(f"lease file={path} {SUPER}")
    pair.server.do(f"random 0 {SUPER}")
    drop_caches(3)
    before = pair.server.stats()
    pair.touch(32)
    after = pair.server.stats()
    cached = pair.server.do(f"cached 0 {SUPER}")
    note(f"32 pages read from the disk: {after['faults'] - before['faults']} faults, {cached} pages in the page cache")
    assert int(cached) == 32 and after["faults"] - before["faults"] == 32, cached


def written_ahead(pair):
    """Holes of a memfd that are written to in order: memory comes ahead, up to 2 MiB."""
    pair.server.do(f"lease memfd {8 * SUPER}")
    faults, ratio = pair.counted("holes in order", 4 * SUPER, 4 * SUPER, value="7")
    stats = pair.server.stats()
    assert faults <= 20 and stats["installed"] <= 5 * SUPER, (faults, stats)
    assert int(pair.server.do(f"cached 0 {8 * SUPER}")) == stats["installed"]
    assert pair.touch(4 * SUPER + 64) == 7 * 4 * SUPER, "what was not written to is zero"


def not_ahead(pair):
    """The same if the lender does not want that; and holes that are read."""
    pair.server.do(f"lease memfd {2 * SUPER} noahead")
    faults, ratio = pair.counted("holes, noahead", 128, 128, value="7")
    assert faults == 128 and ratio == 1.0 and int(pair.server.do(f"cached 0 {2 * SUPER}")) == 128, (faults, ratio)
    pair.server.do("unlease")
    pair.server.do(f"lease memfd {2 * SUPER}")
    faults, ratio = pair.counted("holes that are read", 64, 64)
    assert faults == 64 and int(pair.server.do(f"cached 0 {2 * SUPER}")) == 64, (faults, ratio)


def no_room(pair):
    """Nor does it where a file is larger than what is left of its file system: the last pages are for those who ask for them."""
    where = "/run/around"
    os.makedirs(where, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", where)
    try:
        with open(f"{where}/sparse", "wb") as sparse:
            sparse.truncate(SUPER * 4096)
        pair.server.do(f"lease file={where}/sparse {SUPER}")
        pair.touch(200, value="7")
        assert int(pair.server.do(f"cached 0 {SUPER}")) == 200
        pair.touch(50, value="7", first=400)
        assert int(pair.server.do(f"cached 0 {SUPER}")) == 250
        pair.server.do("unlease")
    finally:
        run("umount", "-l", where)


def clean_neighbours(pair):
    """A stream of reads leaves what is around it clean."""
    path = backing("around.bin", SUPER * 4096)
    pair.server.do(f"lease file={path} {SUPER}")
    pair.touch(SUPER)
    assert pair.dirty(path) == 0, "KiB made dirty"
    pair.touch(64, value="7")
    dirty = pair.dirty(path)
    note(f"64 of 512 pages written to: {dirty} KiB dirty")
    assert dirty <= 64 * 4, dirty


# some pages of 128 MiB, no two of them near each other
RANDOM = [page * 7919 % (64 * SUPER) for page in range(1, 41)]

LEARNS = {
    "random": random, "two_streams": two_streams, "strides": strides, "page_cache": page_cache, "no_io": no_io,
    "written_ahead": written_ahead, "not_ahead": not_ahead, "no_room": no_room, "clean_neighbours": clean_neighbours,
}


@limit(300)
@cases(*LEARNS)
def test_learns(wanted):
    each(LEARNS, wanted)


@limit(120)
def test_taken_by_xen():
    """Xen takes page tables back for others, and tells nobody. What was in them comes back by a few faults, not page by page."""
    gib = 1 << 18
    with Ring0(extra="shadow_memory = 2") as guest, Server(guest.domid) as server:
        server.do(f"lease memfd {2 * gib}")
        server.do(f"fill 0 {SUPER} 0x1000")
        assert guest.must(f"touch {GFN:#x} {SUPER} 1") == str(sum(range(0x1000, 0x1000 + SUPER)))
        for part in range(2):
            guest.must(f"touch {GFN + part * gib + SUPER:#x} {gib - SUPER} 512 1", timeout=60)
        taken = reclaims()
        assert taken > 0, "the pool was large enough, so nothing was tried"
        before = server.stats()
        assert guest.must(f"touch {GFN:#x} {SUPER} 1") == str(sum(range(0x1000, 0x1000 + SUPER)))
        after = server.stats()
        faults, installs = (after[name] - before[name] for name in ("faults", "installs"))
        note(f"{taken} page tables reclaimed; 512 pages again: {faults} faults, {installs} pages installed")
        assert faults <= 12 and installs >= SUPER, (faults, installs)
        server.do("unlease")
    no_kernel_complaints()
