# SPDX-License-Identifier: GPL-2.0-or-later
"""Video memory for real: a buffer of dom0's bochs driver (TTM) is lent. Filling the card's memory throws the buffer out of it, to
system memory, showing it brings it back, and the guest reads and writes it all the while."""

import glob
import re
import time

from lendlab import Skip, cases, limit, note, run, wait_for
from lendvmm import GFN, Bench

PAGES = 1024                        # 4 MiB: so many fit into the card's memory less one or two


def card():
    """(device file, first address, last address, MiB) of the card whose driver is bochs."""
    run("modprobe", "bochs", check=False)
    found = wait_for("the card", lambda: glob.glob("/sys/bus/pci/drivers/bochs*/0*/drm/card*"), 10)
    if not found:
        raise Skip("the machine has no card for the bochs driver")
    with open(found[0].split("/drm/")[0] + "/resource") as bars:
        first, last, _flags = (int(word, 16) for word in bars.readline().split())
    path = "/dev/dri/" + found[0].rsplit("/", 1)[1]
    return path, first, last, (last + 1 - first) >> 20


class Card:
    def __init__(self, bench, how):
        self.bench = bench
        self.path, self.first, self.last, self.size = card()
        bench.server.do(f"lease drm={self.path} {PAGES} wc {how}")
        self.moves = {"in": 0, "out": 0}

    def inside(self):
        """Whether the buffer is in video memory: all of it is, or none."""
        pages = int(self.bench.server.do(f"where {self.first} {self.last + 1}"))
        assert pages in (0, PAGES), f"{pages} of {PAGES} pages are in video memory"
        return pages == PAGES

    def show(self, number):
        self.bench.server.do(f"show {number}")

    def bring_in(self):
        self.show(0)
        self.moves["in"] += 1

    def push_out(self):
        """Show others until there is no room for ours."""
        for number in range(1, self.size // 4 + 1):
            self.show(number)
        self.moves["out"] += 1


def steps(bench, card):
    """Slowly, with a look at every page after each move."""
    server = bench.server
    server.do(f"fill 0 {PAGES} 0x1000")
    bench.same("in system memory", PAGES)
    assert not card.inside(), "a new buffer was expected in system memory"
    for number in range(2):
        bench.write(0, PAGES, 0x100000 * (number + 1))
        revoked = server.stats()["revoked"]
        card.bring_in()
        assert server.stats()["revoked"] > revoked, "it moved, and nobody was told"
        bench.same("moved into video memory", PAGES)
        assert card.inside(), "it was shown and is not in video memory"
        bench.write(0, PAGES, 0x110000 * (number + 1))
        assert card.inside()
        revoked = server.stats()["revoked"]
        card.push_out()
        assert server.stats()["revoked"] > revoked, "it moved, and nobody was told"
        seen = bench.same("moved out of video memory", PAGES)
        assert seen[5] == 0x110000 * (number + 1) + 5, f"{seen[5]:#x}"
        assert not card.inside(), "video memory is full and the buffer still there"


def under_load(bench, card, seconds=12):
    """The guest goes round, page after page, and looks for what it wrote in the round before; the buffer moves meanwhile."""
    bench.server.do(f"fill 0 {PAGES} 0")
    serial = bench.guest.send(f"gmem {GFN:#x} rounds 0 {PAGES} {seconds}")
    wait_for("the guest", lambda: bench.server.words(5, 1)[0] >> 32 >= 2, 30)
    end = time.monotonic() + seconds - 3
    while time.monotonic() < end:
        card.bring_in()
        card.push_out()
    code, text = bench.guest.collect(serial, 60)
    assert code == 0, text
    return int(re.search(r"rounds=(\d+)", text)[1])


def lend(bench, how, check):
    lent = Card(bench, how)
    check(bench, lent)
    rounds = under_load(bench, lent)
    bench.same("in the end", PAGES)
    stats = bench.server.stats()
    note(f"{lent.size} MiB of video memory: in {lent.moves['in']} times, out {lent.moves['out']} times; "
         f"the guest went round {rounds} times; {stats['faults']} faults, {stats['installs']} pages installed, "
         f"{stats['revoked']} revoked by {stats['revokes']} notifier calls, {stats['retries']} retries")
    assert lent.moves["out"] >= 2, lent.moves


@limit(240)
@cases("by_address", "by_fd")
def test_eviction(wanted):
    with Bench() as bench:
        if "by_address" in wanted:
            bench.case("by_address", lend, "", steps)
        if "by_fd" in wanted:
            bench.case("by_fd", lend, "fd", lambda *_: None)
