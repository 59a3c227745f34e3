# SPDX-License-Identifier: GPL-2.0-or-later
"""Video memory for real: a buffer of dom0's bochs driver (TTM) is lent. Filling the card's memory throws the buffer out of it, to
system memory, showing it brings it back, and the guest reads and writes it all the while."""

import glob
import re
import time

from lendlab import cases, limit, note, run, wait_for
from lendvmm import GFN, Bench

PAGES = 1024                        # 4 MiB: so many fit into the card's memory less one or two


def card():
    """(device file, file of the BAR with its memory, MiB) of the card whose driver is bochs."""
    run("modprobe", "bochs", check=False)
    found = wait_for("the card", lambda: glob.glob("/sys/bus/pci/drivers/bochs*/0*/drm/card*"), 10)
    device = found[0].split("/drm/")[0]
    with open(device + "/resource") as bars:
        first, last, _flags = (int(word, 16) for word in bars.readline().split())
    return "/dev/dri/" + found[0].rsplit("/", 1)[1], device + "/resource0", (last + 1 - first) >> 20


class Card:
    def __init__(self, bench, how):
        self.bench = bench
        self.path, self.bar, self.size = card()
        bench.server.do(f"lease drm={self.path} {PAGES} wc {how}")
        self.moves = {"in": 0, "out": 0}
        self.stamp = 0

    def inside(self):
        """The guest writes numbers that were nowhere before: is it the card's memory where they turn up?"""
        self.stamp += 0x10000000
        self.bench.write(0, PAGES, self.stamp)
        pages = int(self.bench.server.do(f"find {self.bar} {self.size * 256} {self.stamp}"))
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
    bench.same("a new buffer", PAGES)
    assert not card.inside(), "a new buffer was expected in system memory"
    for _ in range(2):
        for move, there in ((card.bring_in, True), (card.push_out, False)):
            revoked = server.stats()["revoked"]
            move()
            assert server.stats()["revoked"] > revoked, "it moved, and nobody was told"
            seen = bench.same(f"after {move.__name__}", PAGES)
            assert seen == [card.stamp + i for i in range(PAGES)], f"{seen[0]:#x} is not what the guest wrote"
            assert card.inside() == there, f"after {move.__name__} it is in the wrong place"


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


def lend(bench, how):
    lent = Card(bench, how)
    steps(bench, lent)
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
        for name in wanted:
            bench.case(name, lend, "fd" if name == "by_fd" else "")
