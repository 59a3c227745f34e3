# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds of backing and of failure, seen by a guest that touches the frames itself. QEMU has no part in it: lend_serve is the VMM."""

import glob
import time

from lendlab import Guest, Skip, limit, note
from lendvmm import GFN, Server, no_kernel_complaints

PAGES = 1024                        # two superpages


def gmem(guest, what, page, count, *value, prefix=""):
    return guest.run(f"{prefix}gmem {GFN:#x} {what} {page} {count} " + " ".join(map(str, value)))


def words(guest, page, count):
    code, text = gmem(guest, "read", page, count)
    assert code == 0, text
    return [int(word, 16) for word in text.split()]


def bar_of_shared_memory():
    """A PCI BAR that behaves like video memory: that of an ivshmem device of the emulated machine."""
    for path in glob.glob("/sys/bus/pci/devices/*"):
        with open(path + "/vendor") as vendor, open(path + "/device") as device:
            if (vendor.read().strip(), device.read().strip()) == ("0x1af4", "0x1110"):
                with open(path + "/enable", "w") as enable:
                    enable.write("1")
                return path + "/resource2"
    raise Skip("the machine has no ivshmem device")


@limit(240)
def test_backing_device_memory():
    """A PFN map without struct pages, in superpages; revoking part of one takes all of it, and all but the part comes back."""
    bar = bar_of_shared_memory()
    with Guest() as guest, Server(guest.domid) as server:
        server.do(f"lease dev={bar} {PAGES} wc")
        server.do(f"fill 0 {PAGES} 0x1000")
        assert words(guest, 0, PAGES) == [0x1000 + i for i in range(PAGES)]
        stats = server.stats()
        note(f"{stats['installed']} pages by {stats['faults']} faults")
        assert stats["installed"] == PAGES and stats["faults"] == 2, stats

        code, text = gmem(guest, "write", 0, PAGES, "0x50000")
        assert code == 0, text
        assert server.do(f"read 0 {PAGES}").split() == [f"{0x50000 + i:x}" for i in range(PAGES)]
        assert server.stats()["faults"] == 2, "writable from the first fault on"

        server.do("munmap 8 16")
        installed = server.stats()["installed"]
        assert installed == PAGES - 512, f"{installed} pages left of {PAGES} after 16 were unmapped"
        assert words(guest, 100, 1) == [0x50000 + 100]
        stats = server.stats()
        note(f"after unmapping 16 pages: {installed} left, then {stats['installed']} with {stats['faults'] - 2} more faults")
        assert stats["installed"] > installed, stats
        server.do("remap 8 16")
        server.do("fill 8 16 0x70000")
        assert words(guest, 8, 16) == [0x70000 + i for i in range(8, 24)]
        assert words(guest, 0, 8) == [0x50000 + i for i in range(8)]
        server.do("unlease")
    no_kernel_complaints()


@limit(240)
def test_backing_failures():
    """What cannot be had: a fault for the one access, zeros if asked for; the guest lives on either way."""
    with Guest() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64 zero")
        server.do("fill 0 64 0x1000")
        assert words(guest, 0, 64) == [0x1000 + i for i in range(64)]
        server.do("truncate 32")
        assert words(guest, 0, 32) == [0x1000 + i for i in range(32)]
        assert words(guest, 32, 32) == [0] * 32, "past the end reads as zeros"
        code, text = gmem(guest, "write", 32, 32, "0x9000")
        assert code == 0, text
        assert words(guest, 32, 32) == [0x9000 + i for i in range(32, 64)], "and keeps what is written"
        server.do("truncate 64")
        server.do("fill 32 32 0x3000")
        server.do("prefault 0 64")
        assert words(guest, 32, 32) == [0x3000 + i for i in range(32, 64)], "until the file is long again"
        server.do("unlease")

        server.do("lease memfd 64")
        server.do("fill 0 64 0x1000")
        server.do("truncate 32")
        assert words(guest, 0, 32) == [0x1000 + i for i in range(32)]
        code, text = gmem(guest, "read", 40, 1)
        note(f"policy fault: the access past the end ends with {code} {text.strip()}")
        assert code != 0, text
        assert server.stats()["failed"] >= 1, server.stats()
        assert guest.must("echo $((6 * 7))") == "42", "the guest lives on"
        assert words(guest, 0, 32) == [0x1000 + i for i in range(32)]
        server.do("unlease")
    no_kernel_complaints()


@limit(240)
def test_backing_that_stalls():
    """A vCPU waits for a page that does not come. Dom0 and the lender go on, revokes too; then the page comes, with what is in it
    by then. (That other vCPUs go on is not tried here: with a guest of two vCPUs the emulated machine's clock jumps.)"""
    with Guest() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64")
        server.do("fill 0 64 0x1000")
        assert words(guest, 0, 1) == [0x1000]
        server.do("punch 32 32")
        server.do("stall on")
        waiting = guest.send(f"gmem {GFN:#x} read 40 1; gmem {GFN:#x} read 0 1")
        time.sleep(3)
        assert server.stats()["faults"] >= 2, server.stats()
        begin = time.monotonic()
        server.do("remove 0 64")
        took = time.monotonic() - begin
        assert server.stats()["installed"] == 0, server.stats()
        note(f"a revoke while the vCPU waits: {took * 1000:.0f} ms")
        server.do("fill 0 64 0x2000")
        server.do("stall off")
        code, text = guest.collect(waiting)
        assert (code, text.split()) == (0, ["2028", "2000"]), (code, text)
        server.do("unlease")
    no_kernel_complaints()
