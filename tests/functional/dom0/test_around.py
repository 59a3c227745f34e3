# SPDX-License-Identifier: GPL-2.0-or-later
"""Fault-around: what a fault brings besides the page that was touched. The guest is tests/guest/ring0, the VMM lend_serve.

Figures are per page that the guest needs: faults, and pages that Xen newly installed."""

from lendlab import backing, case, cases, limit, note
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
    pair.server.do(f"lease memfd {SUPER}")
    _, ratio = pair.counted("holes in order", SUPER, SUPER, value="7")
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
    faults, ratio = pair.counted("written", SUPER, SUPER, value="7")
    assert ratio <= 1.1, ratio


def one_by_one(pair):
    """A lease that has no fault-around, and any order."""
    pair.server.do(f"lease memfd {SUPER} 4096")
    pair.server.do(f"fill 0 {SUPER} 0x1000")
    faults, ratio = pair.counted("random, around=4K", SUPER, SUPER, "random")
    assert faults == SUPER and ratio == 1.0, (faults, ratio)


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


@limit(300)
@cases(*AROUND)
def test_installs(wanted):
    with Pair() as pair:
        for name in wanted:
            with case(name):
                try:
                    AROUND[name](pair)
                finally:
                    if pair.server.do("leased") == "1":
                        pair.server.do("unlease")
    no_kernel_complaints()


@limit(120)
def test_taken_by_xen():
    """Xen takes page tables back for others, and tells nobody. What was in them comes back with one fault each, not page by page."""
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
        assert faults <= 2 and installs >= SUPER, (faults, installs)
        server.do("unlease")
    no_kernel_complaints()
