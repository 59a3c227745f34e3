# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds of backing and of failure, seen by a guest that touches the frames itself.
QEMU has no part in it: lend_serve is the VMM."""

import contextlib
import glob
import os
import time

from fusefile import FuseFile
from lendlab import DATA, Skip, backing, cases, drop_caches, limit, note, pattern, pvh
from lendvmm import GFN, Bench, Server

PAGES = 64
SUPER = 512                         # pages of a superpage


def count(first, pages=PAGES):
    return [first + i for i in range(pages)]


def scratch(name, pages=PAGES):
    return backing(name, pages * 4096)


def works(bench, lease, pages=PAGES):
    """Both sides see what either writes, and what is there costs no fault; the figures."""
    server = bench.server
    server.do(f"lease {lease}")
    server.do(f"fill 0 {pages} 0x1000")
    assert bench.read(0, pages) == count(0x1000, pages), "the lender's words"
    bench.write(0, pages, 0x5000000)
    assert server.words(0, pages) == count(0x5000000, pages), "the guest's words"
    faults = server.stats()["faults"]
    bench.same("again", pages)
    stats = server.stats()
    assert stats["faults"] == faults, f"{stats['faults'] - faults} faults in a second pass"
    assert stats["installed"] == pages and not stats["failures"], stats
    note(f"{stats['faults']} faults, {stats['installs']} pages installed")
    return stats


def in_superpages(bench, pages=2 * SUPER):
    """Two faults were enough; a revoke of 16 pages takes all 512 that one mapping has, and they come back."""
    stats = bench.server.stats()
    assert stats["faults"] == pages // SUPER, stats
    bench.server.do("ro 8 16")
    left = bench.server.stats()["installed"]
    assert left == pages - SUPER, f"{left} pages left of {pages} after 16 were changed"
    bench.server.do("rw 8 16")
    bench.same("after a revoke of 16 pages", pages)


def only_read(bench, lease, first=0x1000):
    """The guest reads; a write is an error of this one access."""
    bench.server.do(f"lease {lease}")
    assert bench.read(0, PAGES) == count(first)
    bench.fails("write", 5, 1, 7)
    assert bench.read(0, PAGES) == count(first)


# ---- page cache -----------------------------------------------------------------

def ext4_shared(bench):
    path = scratch("kind.bin")
    works(bench, f"file={path} {PAGES}")
    bench.server.do("sync")
    with open(path, "rb") as data:
        data.seek(7 * 4096)
        assert data.read(3) == bytes([7, 0, 0]), "what the guest wrote is in the file"
    bench.write(7, 1, 0x6000000)
    bench.same("written again after fsync")


def ext4_private(bench):
    path = scratch("kind.bin")
    before = open(path, "rb").read()
    works(bench, f"pfile={path} {PAGES}")
    bench.server.do("sync")
    assert open(path, "rb").read() == before, "a private mapping's writes went to the file"


def memfd(bench):
    works(bench, f"memfd {PAGES}")


def readonly_file(bench):
    path = scratch("kind.bin")
    with open(path, "r+b") as data:
        for page in range(PAGES):
            data.seek(page * 4096)
            data.write((0x1000 + page).to_bytes(8, "little"))
    only_read(bench, f"rofile={path} {PAGES}")


def sealed_memfd(bench):
    only_read(bench, f"sealed {PAGES}")


def readonly_lease(bench):
    """Writes to a read-only lease are for the device model: they come as ordinary requests, and lend_serve drops them."""
    bench.server.do(f"lease memfd {PAGES} ro")
    bench.server.do(f"fill 0 {PAGES} 0x1000")
    assert bench.read(0, PAGES) == count(0x1000)
    bench.gmem("write", 5, 1, 7)
    assert bench.read(0, PAGES) == count(0x1000) == bench.server.words(0, PAGES)


def holes(bench):
    """Reading a hole of an ext4 file allocates nothing; writing does, and the rest of the page is zeros."""
    path = DATA + "/holes.bin"
    with open(path, "wb") as data:
        data.truncate(PAGES * 4096)
    bench.server.do(f"lease file={path} {PAGES}")
    assert bench.read(0, PAGES) == [0] * PAGES
    bench.server.do("sync")
    assert os.stat(path).st_blocks == 0, "reading allocated blocks"
    bench.write(8, 4, 0x7000)
    bench.server.do("sync")
    assert os.stat(path).st_blocks == 4 * 8, f"{os.stat(path).st_blocks} blocks for 4 pages"
    with open(path, "rb") as data:
        data.seek(8 * 4096)
        assert data.read(4096) == (0x7008).to_bytes(8, "little") + bytes(4088)
    bench.same("in the end")


def past_end_of_file(bench):
    """A lease longer than its file: an error behind the end, until the file has grown."""
    path = scratch("short.bin", 16)
    bench.server.do(f"lease file={path} {PAGES}")
    bench.server.do("fill 0 16 0x1000")
    assert bench.read(0, 16) == count(0x1000, 16)
    bench.fails("read", 16)
    bench.fails("write", 40, 1, 7)
    bench.server.do("truncate 32")
    bench.server.do("fill 16 16 0x1000")
    assert bench.read(0, 32) == count(0x1000, 32)
    bench.fails("read", 32)


def truncated_while_leased(bench):
    server = bench.server
    server.do("lease memfd 64")
    server.do("fill 0 64 0x1000")
    assert bench.read(0, 64) == count(0x1000)
    server.do("truncate 32")
    assert bench.read(0, 32) == count(0x1000, 32)
    bench.fails("read", 40)
    assert server.stats()["failures"] >= 1, server.stats()
    assert bench.read(0, 32) == count(0x1000, 32)


def truncated_under_policy_zero(bench):
    server = bench.server
    server.do("lease memfd 64 zero")
    server.do("fill 0 64 0x1000")
    assert bench.read(0, 64) == count(0x1000)
    server.do("truncate 32")
    assert bench.read(0, 64) == count(0x1000, 32) + [0] * 32, "past the end reads as zeros"
    bench.fails("write", 32, 1, 0x9000)
    assert bench.read(32, 1) == [0], "what could not be kept was not taken"
    server.do("truncate 64")
    server.do("fill 32 32 0x3000")
    server.do("prefault 0 64")
    assert bench.read(32, 32) == count(0x3020, 32), "until the file is long again"
    # nobody tells that it is: after a second the guest sees
    server.do("truncate 32")
    assert bench.read(40, 1) == [0]
    server.do("truncate 64")
    server.do("fill 32 32 0x5000")
    time.sleep(2)
    assert bench.read(32, 32) == count(0x5020, 32), "the guest gets to see a file that grew"
    bench.write(40, 1, 0x7000)
    assert server.words(40, 1) == [0x7028], "and its writes get there"


def stuck(bench):
    """The second processor waits for page 5. Interrupts go to the first one, that of the console we talk to it by above all."""
    bench.guest.must("for irq in /proc/irq/*/smp_affinity; do echo 1 >$irq; done 2>/dev/null; true")
    bench.guest.must(f"rm -f /tmp/got; (gmem -c 1 {GFN:#x} read 5 1 >/tmp/got; echo done >>/tmp/got) & sleep 1")
    begin = time.monotonic()
    for _ in range(5):
        assert bench.guest.must("echo $((6 * 7))") == "42"
    assert "done" not in bench.guest.must("cat /tmp/got")
    note(f"five commands in {time.monotonic() - begin:.1f} s while a vCPU waits")


def unstuck(bench):
    bench.guest.must("for i in 1 2 3 4 5 6 7 8 9 10; do grep -q done /tmp/got && break; sleep 1; done")
    assert bench.guest.must("cat /tmp/got").split() == ["1005", "done"], bench.guest.must("cat /tmp/got")


def fuse_that_stalls(bench):
    """The daemon does not answer: one vCPU waits, the other runs; then the page comes; what the guest writes reaches the daemon."""
    data = bytearray(pattern(PAGES * 4096))
    for page in range(PAGES):
        data[page * 4096:page * 4096 + 8] = (0x1000 + page).to_bytes(8, "little")
    with FuseFile(data) as fuse:
        bench.server.do(f"lease file={fuse.path} {PAGES}")
        fuse.hold()
        stuck(bench)
        fuse.release()
        unstuck(bench)
        assert bench.read(0, PAGES) == count(0x1000)
        bench.write(9, 1, 0x8000)
        bench.server.do("sync")
        assert fuse.data[9 * 4096:9 * 4096 + 2] == b"\x09\x80", fuse.data[9 * 4096:9 * 4096 + 8]
        note(f"the daemon saw {fuse.reads} reads and {fuse.writes} writes")
        bench.server.do("unlease")


def stall_in_the_vmm(bench):
    """The same with a VMM that does not answer."""
    server = bench.server
    server.do(f"lease memfd {PAGES}")
    server.do(f"fill 0 {PAGES} 0x1000")
    server.do("stall on")
    stuck(bench)
    server.do("stall off")
    unstuck(bench)


# ---- anonymous memory, large pages -------------------------------------------------

def anonymous(bench):
    works(bench, f"anon {PAGES}")


def shared_anonymous(bench):
    works(bench, f"shared {PAGES}")


def transparent_huge_pages(bench):
    if not os.path.exists("/sys/kernel/mm/transparent_hugepage"):
        raise Skip("a PV dom0 has no huge pages")
    works(bench, f"thp {2 * SUPER}", 2 * SUPER)
    in_superpages(bench)


@contextlib.contextmanager
def huge_page_pool(pages):
    pool = "/proc/sys/vm/nr_hugepages"
    if not os.path.exists(pool):
        raise Skip("a PV dom0 has no huge pages")
    with open(pool, "w") as number:
        number.write(str(pages))
    try:
        with open(pool) as number:
            if int(number.read()) != pages:
                raise Skip(f"dom0 has no {pages} huge pages to reserve")
        yield
    finally:
        with open(pool, "w") as number:
            number.write("0")


def hugetlb(bench):
    with huge_page_pool(2):
        works(bench, f"hugetlb {2 * SUPER}", 2 * SUPER)
        stats = bench.server.stats()
        assert stats["faults"] == 2, stats
        bench.server.do(f"punch 0 {SUPER}")
        assert bench.server.stats()["installed"] == SUPER, bench.server.stats()
        assert bench.read(0, 2 * SUPER) == [0] * SUPER + count(0x5000000 + SUPER, SUPER)
        bench.server.do("unlease")


def userfaultfd(bench):
    """Every page comes from another thread of the lender, the first one after half a second."""
    bench.server.do(f"lease uffd {PAGES}")
    begin = time.monotonic()
    assert bench.read(0, PAGES) == count(0x1000)
    assert time.monotonic() - begin > 0.5
    bench.write(0, PAGES, 0x5000000)
    bench.same("after the guest wrote")
    note(f"{bench.server.stats()['faults']} faults")


# ---- buffers and devices -------------------------------------------------------------

def udmabuf(bench):
    """A dma-buf made of a memfd's pages; the lender's own mapping of it is the oracle, the memfd the second opinion."""
    works(bench, f"udmabuf {PAGES}")
    assert bench.server.do(f"pread 0 {PAGES}").split() == [f"{word:x}" for word in count(0x5000000)], "what the memfd has"


def hole_behind_udmabuf(bench):
    """Seed 004's case: a hole in the memfd does not reach the udmabuf, which keeps its pages.
    The guest sees what the mapping shows."""
    works(bench, f"udmabuf {PAGES}")
    bench.server.do("punch 8 16")
    bench.server.do("pfill 8 16 0x7000")
    assert bench.server.do("pread 8 2").split() == ["7008", "7009"]
    seen = bench.same("after the hole")
    assert seen[8] == 0x5000008, "udmabuf has changed its ways: it follows its memfd"
    bench.write(8, 2, 0x9000)
    assert bench.server.do("pread 8 2").split() == ["7008", "7009"], "and writes go to its own pages, too"


def hole_in_memfd(bench):
    """And the memfd itself, which has a second mapping that fills the hole."""
    works(bench, f"memfd {PAGES}")
    bench.server.do("punch 8 16")
    assert bench.read(8, 16) == [0] * 16
    bench.server.do("pfill 8 16 0x7000")
    bench.same("after the hole got filled")
    assert bench.read(8, 1) == [0x7008]


def dma_heap(bench):
    if not os.path.exists("/dev/dma_heap/system"):
        raise Skip("no /dev/dma_heap/system")
    works(bench, f"heap {PAGES}")


def bar_of_shared_memory():
    """A PCI BAR that behaves like video memory: that of an ivshmem device of the emulated machine."""
    for path in glob.glob("/sys/bus/pci/devices/*"):
        with open(path + "/vendor") as vendor, open(path + "/device") as device:
            if (vendor.read().strip(), device.read().strip()) == ("0x1af4", "0x1110"):
                with open(path + "/enable", "w") as enable:
                    enable.write("1")
                return path + "/resource2"
    raise Skip("the machine has no ivshmem device")


def device_memory(bench):
    """A PFN map without struct pages, in superpages; revoking part of one takes all of it, and all but the part comes back."""
    pages = 2 * SUPER
    stats = works(bench, f"dev={bar_of_shared_memory()} {pages} wc", pages)
    assert stats["faults"] == 2, "writable from the first fault on"
    bench.server.do("munmap 8 16")
    installed = bench.server.stats()["installed"]
    assert installed == pages - SUPER, f"{installed} pages left of {pages} after 16 were unmapped"
    assert bench.read(100, 1) == [0x5000000 + 100]
    bench.server.do("remap 8 16")
    bench.server.do("fill 8 16 0x70000")
    bench.same("after 16 pages were mapped anew", pages)


# ---- one file, several ways ------------------------------------------------------------

def two_leases(bench, first, second):
    """The same memory at two places in the guest."""
    path = scratch("twice.bin")
    with Server(bench.guest.domid, GFN + 4096) as other:
        bench.server.do(f"lease file={path} {PAGES} {first}")
        other.do(f"lease file={path} {PAGES} {second}")
        bench.server.do(f"fill 0 {PAGES} 0x1000")
        assert bench.read(0, PAGES) == bench.read(0, PAGES, other.gfn) == count(0x1000)
        bench.write(0, 8, 0x20000)
        bench.write(8, 8, 0x30000, gfn=other.gfn)
        assert bench.same("here") == bench.same("there", server=other, gfn=other.gfn)
        other.do("punch 4 8")
        assert bench.read(0, PAGES) == bench.read(0, PAGES, other.gfn) == count(0x20000, 4) + [0] * 8 + \
            count(0x3000c, 4) + count(0x1010, PAGES - 16)
        bench.write(4, 8, 0x40000)
        bench.server.do("sync")
        bench.write(4, 8, 0x50000, gfn=other.gfn)
        assert bench.same("here, after fsync") == bench.same("there, after fsync", server=other, gfn=other.gfn)
        other.do("unlease")
        bench.same("one lease ended")


def leased_twice(bench):
    """By two processes that have it mapped."""
    two_leases(bench, "", "")


def leased_by_fd_and_address(bench):
    two_leases(bench, "fd", "")


# ---- leases on a descriptor --------------------------------------------------------------

def by_fd(bench, lease):
    """Nothing is mapped by the lender, and the descriptor it leased is closed;
    all is as with a mapping, and nothing stays behind."""
    def mappings():
        with open(f"/proc/{bench.server.process.pid}/maps") as maps:
            return sum(1 for line in maps)

    before = mappings()
    for again in (True, False):
        works(bench, f"{lease} {PAGES} fd")
        if again:
            bench.server.do("unlease")
            assert mappings() == before, f"{mappings()} mappings, {before} before the lease"


def fd_of_memfd(bench):
    by_fd(bench, "memfd")
    bench.server.do("punch 8 16")
    assert bench.read(8, 16) == [0] * 16
    bench.server.do("truncate 32")
    bench.fails("read", 40)
    bench.server.do("truncate 64")
    bench.server.do(f"fill 0 {PAGES} 0x3000")
    bench.same("long again")


def fd_of_file(bench):
    path = scratch("byfd.bin")
    by_fd(bench, f"file={path}")
    bench.server.do("sync")
    drop_caches(3)
    bench.same("after fsync and dropped caches")
    bench.write(3, 4, 0x60000)
    bench.server.do("sync")
    bench.same("written again")
    with open(path, "rb") as data:
        data.seek(3 * 4096)
        assert data.read(3) == b"\x03\x00\x06"


def fd_of_readonly_file(bench):
    path = scratch("byfd.bin")
    try:
        bench.server.do(f"lease rofile={path} {PAGES} fd")
    except AssertionError as refused:
        assert "Permission denied" in str(refused), refused
    else:
        raise AssertionError("a file open for reading was leased for writing")
    bench.server.do(f"lease rofile={path} {PAGES} fd ro")
    bench.same("read-only")


def fd_of_dma_buf(bench):
    by_fd(bench, "udmabuf")


def fd_of_hugetlb(bench):
    with huge_page_pool(1):
        works(bench, f"hugetlb {SUPER} fd", SUPER)
        assert bench.server.stats()["faults"] == 1, bench.server.stats()
        bench.server.do("unlease")


FILES = {
    "ext4_shared": ext4_shared, "ext4_private": ext4_private, "memfd": memfd, "readonly_file": readonly_file,
    "sealed_memfd": sealed_memfd, "readonly_lease": readonly_lease, "holes": holes, "past_end_of_file": past_end_of_file,
    "truncated_while_leased": truncated_while_leased, "truncated_under_policy_zero": truncated_under_policy_zero,
}

STALLS = {"fuse_daemon": fuse_that_stalls, "vmm": stall_in_the_vmm}

MEMORY = {
    "anonymous": anonymous, "shared_anonymous": shared_anonymous, "userfaultfd": userfaultfd, "udmabuf": udmabuf,
    "hole_behind_udmabuf": hole_behind_udmabuf, "hole_in_memfd": hole_in_memfd, "dma_heap": dma_heap,
    "device_memory": device_memory, "leased_twice": leased_twice,
}

DESCRIPTORS = {
    "memfd": fd_of_memfd, "file": fd_of_file, "readonly_file": fd_of_readonly_file, "dma_buf": fd_of_dma_buf,
    "and_by_address": leased_by_fd_and_address,
}


# What only a PVH dom0 has, huge pages, and what is another code path there: frame numbers are not those of the machine.
ON_PVH = {
    "transparent_huge_pages": transparent_huge_pages, "hugetlb": hugetlb, "hugetlb_by_fd": fd_of_hugetlb,
    "memfd": memfd, "anonymous": anonymous, "ext4_shared": ext4_shared, "dma_buf_by_fd": fd_of_dma_buf,
    "device_memory": device_memory,
}


def each(table, wanted, **guest):
    with Bench(**guest) as bench:
        for name in wanted:
            bench.case(name, table[name])


@limit(300)
@cases(*FILES)
def test_file(wanted):
    each(FILES, wanted)


@limit(300)
@cases(*MEMORY)
def test_memory(wanted):
    each(MEMORY, wanted)


@limit(300)
@cases(*DESCRIPTORS)
def test_by_fd(wanted):
    each(DESCRIPTORS, wanted)


@limit(240)
@cases(*STALLS)
def test_that_stalls(wanted):
    # the vCPU that waits does nothing else: what the guest needs stays off it
    each(STALLS, wanted, vcpus=2, cmdline="isolcpus=1 irqaffinity=0")


@pvh
@limit(300)
@cases(*ON_PVH)
def test_on_pvh(wanted):
    each(ON_PVH, wanted)
