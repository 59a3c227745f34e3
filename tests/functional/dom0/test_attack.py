# SPDX-License-Identifier: GPL-2.0-or-later
"""What a borrower, a lender and a bystander may try: each is refused with the right error, or does no harm. docs/attacks.md has
the table. The guests are ring 0 and nothing else (tests/guest/ring0)."""

import contextlib
import re

from lendlab import Guest, domains, limit, note, run, wait_for, xen_log
from lendvmm import GFN, Ports, Ring0, Server, no_kernel_complaints, program, tap

COMPLAINT = re.compile(r"ASSERT|Assertion|BUG|WARN|FATAL|[Cc]annot revoke|[Cc]annot unlease|Xen call trace|"
                       r"Error pfn|page_alloc|zombie")


def free_pages():
    return int(re.search(r"^free_memory *: (\d+)", run("xl", "info"), re.M)[1])


@contextlib.contextmanager
def nothing_left():
    """Xen has not complained, no lease and no domain is left, and no memory went away."""
    run("xl", "dmesg", "-c")
    before = free_pages()
    yield
    bad = [line for line in run("xl", "dmesg", "-c").splitlines() if COMPLAINT.search(line)]
    assert not bad, bad[:5]
    wait_for("the end of all guests", lambda: not domains(), 20)
    text = xen_log("B")
    assert "lease" not in text and "end of borrowed memory" in text, text
    text = xen_log("q")
    assert "zombie" not in text and "Domain 0" in text.replace("domain 0", "Domain 0"), text[-300:]
    wait_for(f"all memory free again ({before} MiB)", lambda: free_pages() >= before, 10)
    no_kernel_complaints()


@limit(120)
def test_borrower():
    """Lent frames given to everything in Xen that takes a frame or an address, and used in odd ways by the CPU."""
    with nothing_left(), Ring0() as guest, Server(guest.domid) as server, Server(guest.domid, GFN + 512) as second:
        server.do("lease memfd 512 4096")
        server.do("fill 0 512 0x1000")
        second.do("lease memfd 16 4096")
        second.do("fill 0 16 0x1200")
        lines = guest.tap(f"borrow {GFN:#x}")
        # once more across the border of two leases, all absent
        for number in (line.split()[1] for line in lines if "across" in line):
            for lender in server, second:
                lender.do("ro 0 16" if lender is second else "ro 496 16")
                lender.do("rw 0 16" if lender is second else "rw 496 16")
            guest.tap(f"borrow {GFN:#x} {int(number) - 1} 511")

        guest.must(f"state prepare {GFN + 300:#x}")
        for step in "ro", "rw":         # revokes, and keeps the contents
            server.do(f"{step} 300 16")
        guest.tap(f"state use {GFN + 300:#x}")
        server.do("truncate 500")
        guest.tap(f"state gone {GFN + 505:#x}")
        second.do("unlease")
        second.do("lease memfd 16 ro")
        guest.tap(f"state ro {GFN + 512:#x}")
        assert second.do("read 0 16").split() == ["0"] * 16, "written to"


@limit(120)
def test_lender_dom0():
    """dm_ops that the driver would not make, frames that are not to be lent, and the toolstack's calls on lent frames."""
    with nothing_left(), Ring0() as guest, Ring0("other") as other:
        tap("lend_attack", guest.domid, 60)
        # a fault that nobody is there for
        tap("lend_attack", guest.domid, 10, "orphan")
        guest.tap(f"state gone {GFN + 3:#x}")
        run(program("lend_attack"), str(guest.domid), hex(GFN), "sweep")
        assert other.domid


@limit(120)
def test_lender_guest():
    """A guest as lender of another one, as a driver domain would be: its own frames are named by gfn."""
    with nothing_left(), Ring0() as guest, Ring0("other") as other, Ring0("lender") as lender, \
            Server(guest.domid, GFN + 1024) as server, Server(lender.domid) as above, contextlib.ExitStack() as later:
        server.do("lease memfd 16")
        server.do("fill 0 16 0x4000")
        above.do("lease memfd 16")
        above.do("fill 0 16 0x5000")
        later.enter_context(Ports(guest, "silent", gfn=GFN + 2048))
        for granting in guest, other:
            granting.must(f"borrow grant {lender.domid}")
        run(program("lend_attack"), str(guest.domid), "0", "target", str(lender.domid))
        run(program("lend_attack"), str(lender.domid), "0xdf0", "rom")
        lender.tap(f"lend {guest.domid} {GFN:#x} {other.domid} {GFN:#x} 1")
        assert guest.must(f"state read {GFN + 1:#x} 1") == "1234"
        leases = re.findall(r"of d(\d+) via", xen_log("B"))
        assert sorted(map(int, leases)) == [0, 0, 0, lender.domid], leases
        lender.destroy()
        leases = re.findall(r"of d(\d+) via", xen_log("B"))
        assert leases == ["0", "0"], f"the leases of a lender that is gone: {leases}"
        assert guest.must(f"state read {GFN + 1:#x} 1") == "ffffffffffffffff"
        assert guest.must(f"state read {GFN + 1024:#x} 1") == "4000"


@limit(120)
def test_bystander():
    """A guest without any right."""
    with nothing_left(), Ring0() as guest, Ring0("other") as other, Server(guest.domid) as server:
        server.do("lease memfd 16")
        server.do("fill 0 16 0x1000")
        guest.must(f"state read {GFN:#x} 4")
        other.tap(f"bystand {guest.domid} {GFN:#x}")
        assert guest.must(f"state read {GFN:#x} 2").split() == ["1000", "1001"]
        note(f"the bystander is d{other.domid}")


@contextlib.contextmanager
def superpage():
    """A borrower that has 2 MiB from a lender that is a guest:
    its memory comes in pieces of that size, as that of dom0 does not."""
    with nothing_left(), Ring0() as guest, Ring0("lender") as lender:
        run(program("lend_attack"), str(guest.domid), "0", "target", str(lender.domid))
        lender.tap(f"super {guest.domid} {GFN:#x}")
        yield guest


@limit(120)
def test_code_in_superpage():
    """Where superpages are not executable (Intel, XSA-304), Xen splits the one that code is in."""
    with superpage() as guest:
        assert set(guest.must(f"state read {GFN:#x} 512").split()) == {"0"}
        guest.tap(f"state code {GFN + 7:#x}")
        assert guest.must(f"state read {GFN + 6:#x} 3").split()[::2] == ["0", "0"]
        assert "512 of 512 pages installed" in xen_log("B")


@limit(240)
def test_borrower_dma():
    """An emulated device is told to do DMA with lent frames."""
    with nothing_left(), Guest(args=["-device", "edu,dma_mask=0xffffffffffffffff"]) as guest, Server(guest.domid) as server:
        server.do("lease memfd 16")
        server.do("fill 0 16 0x1000")
        whole = [f"{0x1000 + i:x}" for i in range(16)]
        guest.must("edu from 0x100000 4096")
        for page in 0, 8:               # absent
            guest.must(f"edu to {(GFN + page) << 12:#x} 4096")
            guest.must(f"edu from {(GFN + page) << 12:#x} 4096")
        assert server.do("read 0 16").split() == whole, "written to"
        assert guest.must(f"gmem {GFN:#x} read 0 16").split() == whole
        for page in 0, 8:               # present
            guest.must(f"edu to {(GFN + page) << 12:#x} 4096")
            guest.must(f"edu from {(GFN + page) << 12:#x} 4096")
        assert guest.must(f"gmem {GFN:#x} read 0 16").split() == whole
