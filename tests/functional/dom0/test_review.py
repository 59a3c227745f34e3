# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that hostile readers have found, one test for each; the number is the reader's."""

import os

from lendlab import Guest, backing, domains, ivshmem, limit, note, run, wait_for
from lendvmm import GFN, Ring0, Server, no_kernel_complaints, reclaims, tap

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
        with open("/proc/sys/vm/drop_caches", "w") as drop:
            drop.write("3")
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
