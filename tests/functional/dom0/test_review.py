# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that hostile readers have found, one test for each; the number is the reader's."""

import contextlib
import os
import re
import time

from lendlab import Guest, backing, domains, drop_caches, ivshmem, limit, note, run, wait_for, xen_log
from lendvmm import GFN, Paused, Ring0, Server, no_kernel_complaints, program, reclaims, tap

GIB = 1 << 18       # pages


@limit(120)
def test_x4_page_tables():
    """X4: the guest touches one page in each 2 MiB of 8 GiB, with room for the page tables of some of them only. What is taken
    away gives its tables back; what is not is taken for others."""
    with Ring0(extra="shadow_memory = 6") as guest, Server(guest.domid) as server:
        server.do(f"lease memfd {8 * GIB} 4096")
        for part in range(8):
            guest.must(f"touch {GFN + part * GIB:#x} {GIB} 512 {part + 1}", timeout=60)
            server.do(f"punch {part * GIB} {GIB}")
        note(f"each GiB punched after use: {server.stats()['installed']} pages installed")
        assert reclaims() == 0, "nothing had to be reclaimed"
        for part in range(8):
            guest.must(f"touch {GFN + part * GIB:#x} {GIB} 512 {part + 1}", timeout=60)
        taken = reclaims()
        note(f"nothing punched: {server.stats()['installed']} of 4096 pages installed, {taken} page tables reclaimed")
        assert taken > 0, "the pool was large enough, so nothing was tried"
        for part in 0, 7:
            assert guest.must(f"touch {GFN + part * GIB:#x} {GIB} 512") == str(512 * (part + 1)), "what was written is there"
        server.do("unlease")
    no_kernel_complaints()


@limit(60)
def test_x5_disabled_server():
    """X5: an ioreq server that is disabled is not gone: the guest waits for it."""
    with Ring0() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64")
        server.do("fill 0 64 0x1000")
        server.do("disable")
        pending = guest.send(f"touch {GFN:#x} 64 64")
        run("sleep", "2")
        assert guest.alive() and b"@lend end" not in guest.peek(), "the access waits"
        server.do("enable")
        assert guest.collect(pending) == (0, f"{0x1000}\n")
    no_kernel_complaints()


@contextlib.contextmanager
def lender_of(guest, **options):
    """A guest that may lend to `guest`."""
    with Ring0("lender", **options) as lender:
        run(program("lend_attack"), str(guest.domid), "0", "target", str(lender.domid))
        yield lender


def longest_revoke(guest, lender, leases, work):
    """How long, in us, the third longest revoke takes in a loop of them (the host may be slow at times), while dom0 does its work
    some times; and how long that takes each time."""
    mhz = float(re.search(r"^cpu_mhz *: ([\d.]+)", run("xl", "info"), re.M)[1])
    pending = lender.send(f"pace {guest.domid} {GFN:#x} {leases} {int(12e6 * mhz)}")
    time.sleep(1)
    before = time.monotonic()
    took = work()
    assert time.monotonic() - before < 10.5, "the guest was done before dom0"
    code, text = lender.collect(pending, 60)
    assert code == 0 and "not ok" not in text, text
    calls, longest = map(int, re.search(r"calls (\d+) longest (\d+)", text).groups())
    note(f"{calls} revokes, the third longest {longest / mhz:.0f} us, dom0's work {took:.0f} us")
    return longest / mhz, took


@limit(60)
def test_x6_populate_on_demand():
    """X6: a guest whose memory is populated on demand borrows nothing, and one that borrows is not made one."""
    with Ring0(extra="maxmem = 32") as guest, Server(guest.domid) as server:
        try:
            server.do("lease memfd 64")
            raise LookupError("a lease to a guest with memory on demand")
        except AssertionError as error:
            assert "not supported" in str(error), error
    with Paused() as guest:
        tap("lend_review", guest.domid, 20, "pod")
    no_kernel_complaints()


@limit(60)
def test_x6_end_of_a_lease():
    """X6: the end of a lease takes no longer where the guest has left a page table in each 2 MiB around."""
    def end(gfn):
        return float(run(program("lend_review"), str(guest.domid), hex(gfn), "end", "20"))

    with Ring0(extra="shadow_memory = 8") as guest:
        guest.must(f"borrow scatter {GFN:#x}")
        among, alone = end(GFN + GIB // 2), end(GFN + 3 * GIB // 2)
        note(f"{among:.0f} us among 512 page tables, {alone:.0f} us without")
        assert among < 10 * alone + 2000
    no_kernel_complaints()


@limit(60)
def test_x9_iomem_permission():
    """X9: MMIO is lent for as long as the lender has the permission."""
    with Paused() as guest:
        tap("lend_review", guest.domid, 20, "iomem")
    no_kernel_complaints()


@limit(90)
def test_x9_permission_at_any_time():
    """X9: a guest lends MMIO all the time, and loses the permission at whatever point of that: nothing of it stays."""
    rounds = 100
    with Ring0() as guest, lender_of(guest) as lender:
        run(program("lend_review"), str(guest.domid), "0", "mmio", str(lender.domid))
        mhz = float(re.search(r"^cpu_mhz *: ([\d.]+)", run("xl", "info"), re.M)[1])
        pending = lender.send(f"again {guest.domid} {GFN:#x} 0xfd000 {int(20e6 * mhz)}")
        time.sleep(1)
        stayed, there = map(int, run(program("lend_review"), str(guest.domid), "0", "race",
                                     str(lender.domid), str(rounds)).split(" of "))
        code, text = lender.collect(pending, 60)
        assert code == 0 and "not ok" not in text, text
        note(f"lent in {there} of {rounds} rounds; the lender's calls: " + re.search(r"lent \d+ refused \d+", text)[0])
        assert there > rounds / 2, "hardly anything was lent"
        assert stayed == 0, f"MMIO stayed with the borrower in {stayed} rounds"
    no_kernel_complaints()


@limit(60)
def test_x11_ends_only_its_own():
    """X11: who lends to one guest gets nowhere with another one."""
    with Ring0() as guest, Ring0("other") as other, lender_of(guest) as lender:
        lender.tap(f"ends {guest.domid} {GFN:#x} {other.domid}")


@limit(60)
def test_x12_interrupt_on_lost_stack():
    """X12: an interrupt that arrives while the stack is gone comes after the machine check."""
    with Ring0() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64")
        server.do("truncate 32")
        guest.tap(f"state interrupt {GFN + 40:#x}")
    no_kernel_complaints()


@limit(60)
def test_x12_exception_on_lost_stack():
    """X12: an exception whose stack is gone is a machine check, not a double fault."""
    with Ring0() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64")
        server.do("truncate 32")
        guest.tap(f"state exception {GFN + 40:#x}")
    no_kernel_complaints()


@limit(90)
def test_x16_debug_key():
    """X16: the debug key prints each lease, with the lock free in between (a note says how long revokes took meanwhile)."""
    with Ring0() as guest, lender_of(guest) as lender:
        def keys():
            before = time.monotonic()
            for _ in range(5):
                run("xl", "debug-keys", "B")
            return (time.monotonic() - before) / 5 * 1e6

        longest_revoke(guest, lender, 60, keys)
        text = xen_log("B")
        assert "60 leases" in text and \
            len(set(re.findall(rf"lease (\d+): gfns .* of d{lender.domid} via", text))) == 60, text[-500:]


@limit(60)
def test_x18_write_access():
    """X18: a page of 2 MiB becomes writable without a flush, and the others stay."""
    with Paused() as guest:
        tap("lend_review", guest.domid, 20, "write")
    no_kernel_complaints()


def test_succor():
    """Of the patches, 5: the machine checks' kind is in the guest's CPU policy, where the toolstack sees it."""
    with Paused() as guest:
        text = run("xen-cpuid", "-p", str(guest.domid))
        leaf = re.search(r"^ *80000007:[0-9a-f]* -> [0-9a-f]+:([0-9a-f]+):", text, re.M)
        assert leaf and int(leaf[1], 16) & 2, text[-2000:]


@limit(60)
def test_x17_another_server():
    """X17: a server that got the number of one that is gone does not get its faults."""
    with Ring0() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64")
        server.do("fill 0 64 0x1000")
        server.do("vanish")
        with Server(guest.domid, GFN + 512) as other:
            other.do("lease memfd 64")
            guest.must(f"touch {GFN + 512:#x} 64 64")
            served = other.stats()["served"]
            guest.send(f"touch {GFN:#x} 64 64")
            wait_for("the guest's end by a machine check", lambda: b"exception 18" in guest.peek() or not guest.alive(), 20)
            assert other.stats()["served"] == served == 1, "the other server got a fault"


@limit(60)
def test_l1_domain_id_again():
    """L1: a descriptor of a guest that is gone, and a new guest with its id."""
    tap("lend_reborn", 0, 50)
    no_kernel_complaints()


@limit(240)
def test_qemu():
    """X5, S2, S3, Q3 with QEMU: stopped, the backing gone, saved."""
    size = 2 << 20
    path = backing("review", size)
    image = "/lend/review.save"
    with Guest("review", [*ivshmem(path, size), "-device", "edu,dma_mask=0xffffffffffffffff"]) as guest:
        guest.must("bar pass 1", timeout=60)
        bar = guest.lease()["gfn"] << 12
        # X5
        with open(path, "r+b") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        run("sync")
        drop_caches(3)
        guest.qmp("stop")
        pending = guest.send("bar read 0")
        run("sleep", "2")
        guest.qmp("cont")
        code, text = guest.collect(pending)
        assert code == 0, (code, text)
        # S3
        done = run("sh", "-c", f"xl save {guest.name} {image} 2>&1; echo code=$?", timeout=120)
        note(done.splitlines()[-1])
        assert "code=0" not in done and guest.name in domains(), done[-500:]
        assert not os.path.exists(image) or os.unlink(image) is None
        assert guest.must("echo $((6 * 7))", timeout=60) == "42", "the guest goes on"
        # S2
        os.truncate(path, 4096)
        guest.must(f"edu to {bar:#x} 64; edu from {bar:#x} 64")
        guest.must(f"edu to {bar + (1 << 20):#x} 64; edu from {bar + (1 << 20):#x} 64")
        assert "Cannot access memory" in guest.hmp(f"xp /1gx {bar + (1 << 20):#x}")
        assert "0x" in guest.hmp(f"xp /1gx {bar:#x}")
        assert guest.must("echo $((6 * 7))") == "42", "QEMU and the guest live"
        assert guest.qmp("query-xen-lend")["refusals"] == []
    os.unlink(path)
    no_kernel_complaints()
