# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest writes to a lent ext4 file, dom0 calls fsync and only then acknowledges. The power goes at any moment: everything that
was acknowledged is on the disk. Write-back has to take the guest's write permission for that, each time."""

import contextlib
import os
import random
import struct
import time

from lendlab import ask, backing, limit, note, tell
from lendvmm import GFN, Bench

PAGES = 33                          # the first one is for orders
CUTS = 12


class Orders:
    """The guest follows; see tests/guest/gmem.c."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR)
        self.number = 0

    def give(self):
        self.number += 1
        os.pwrite(self.file, struct.pack("<Q", self.number), 0)

    def wait(self):
        """Until the guest has written; then to the disk with it. The number is as good as acknowledged on return."""
        end = time.monotonic() + 20
        while struct.unpack("<Q", os.pread(self.file, 8, 8))[0] != self.number:
            assert time.monotonic() < end, f"the guest does not follow order {self.number}"
        os.fsync(self.file)
        return self.number


@contextlib.contextmanager
def followed(seconds):
    path = backing("powercut.bin", PAGES * 4096)
    with open(path, "r+b") as data:
        for page in range(PAGES):
            data.seek(page * 4096)
            data.write(bytes(16))
    with Bench() as bench:
        bench.start()
        bench.server.do(f"lease file={path} {PAGES}")
        serial = bench.guest.send(f"gmem {GFN:#x} follow 0 {PAGES} {seconds}")
        orders = Orders(path)
        yield orders
        os.pwrite(orders.file, struct.pack("<Q", (1 << 64) - 1), 0)
        bench.guest.collect(serial, seconds + 20)
        stats = bench.server.stats()
        note(f"{orders.number} rounds of {PAGES} pages; {stats['faults']} faults, {stats['revokes']} notifier calls")


@limit(200)
def test_copies():
    """The machine stands still, its disk is copied and looked at, and it goes on: a dozen power cuts for the price of one."""
    seen = []
    with followed(100) as orders:
        for _ in range(CUTS):
            for _ in range(random.randrange(1, 8)):
                orders.give()
                acknowledged = orders.wait()
            orders.give()           # and one that nobody has been told of
            time.sleep(random.uniform(0, 0.02))
            words = ask(power_cut="/powercut.bin")[1:]
            assert all(acknowledged <= word <= acknowledged + 1 for word in words), (acknowledged, words)
            seen.append((acknowledged, min(words), max(words)))
            orders.wait()
    note(f"{CUTS} cuts; acknowledged, least and greatest on the disk: " + " ".join("/".join(map(str, cut)) for cut in seen))


@limit(200)
def test_killed():
    """The emulated machine gets SIGKILL, some seconds from now; the host judges by what it has been told until then."""
    with followed(100) as orders:
        tell(doom="/powercut.bin", within=[1, 6])
        while True:
            orders.give()
            tell(ack=orders.wait())
