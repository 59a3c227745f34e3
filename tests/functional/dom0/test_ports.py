# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports by hypercalls, without the driver: who waits for what, who is woken, and what comes of odd calls."""

import ctypes
import time

from lendlab import ask, cases, limit, note, try_cases, wait_for, xen_log
from lendvmm import GFN, Ports, Ring0, judge
from test_attack import nothing_left
from test_review import lender_of


def comes_to(guest, vcpu, want, what, seconds=10):
    wait_for(what, lambda: guest.must(f"others seen {vcpu}") == want, seconds)


def left_for_another(guest):
    """A vCPU that waits for a page that does not come, gets INIT, and is started again."""
    guest.must(f"others read 1 {GFN:#x}")
    time.sleep(1)
    assert guest.must("others seen 1") == "nothing"
    guest.must("others rest 1")
    comes_to(guest, 1, "0", "the vCPU to be there again, with the page still not there")


def anew_by_port():
    """Where a port was asked."""
    with nothing_left(), Ring0(vcpus=2) as guest, Ports(guest, "silent") as ports:
        left_for_another(guest)
        # what it has turned away from is in no one's way
        assert ", 1 unanswered" in xen_log("B")
        guest.must(f"others read 1 {GFN + 1:#x}")
        time.sleep(1)
        assert guest.must("others seen 1") == "nothing"
        ports.go_on()
        comes_to(guest, 1, "1005", "the other page")
        ports.go_on()
        ports.end()


def anew_by_server():
    """The same where an ioreq server was asked."""
    with nothing_left(), Ring0(vcpus=2) as guest, Ports(guest, "server") as ports:
        left_for_another(guest)
        ports.go_on()
        ports.end()


def anew_as_servers_go():
    """A vCPU is started again and again, by another one, while a server of the guest's is enabled and disabled, for which Xen
    pauses the guest. Xen once waited there for a lock that it held."""
    lib = ctypes.CDLL("libxendevicemodel.so.1")
    lib.xendevicemodel_open.restype = ctypes.c_void_p
    model, server, rounds = ctypes.c_void_p(lib.xendevicemodel_open(None, 0)), ctypes.c_uint16(), 0
    with nothing_left(), Ring0(vcpus=3) as guest:
        domid = ctypes.c_uint16(guest.domid)
        assert lib.xendevicemodel_create_ioreq_server(model, domid, 0, ctypes.byref(server)) == 0
        guest.must("others start 2 1")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for enabled in 1, 0:
                assert lib.xendevicemodel_set_ioreq_server_state(model, domid, server, enabled) == 0
            rounds += 1
        starts = int(guest.must("others rounds 2"))
        note(f"started {starts} times, meanwhile a server enabled and disabled {rounds} times")
        assert starts > 20 and rounds > 20
        assert lib.xendevicemodel_destroy_ioreq_server(model, domid, server) == 0
    lib.xendevicemodel_close(model)


KINDS = {"by_port": anew_by_port, "by_server": anew_by_server, "as_servers_go": anew_as_servers_go}


@limit(120)
@cases(*KINDS)
def test_begins_anew(wanted):
    try_cases(wanted, KINDS)


@limit(120)
def test_answers():
    """Four vCPUs wait: several answers in one call, right ones and wrong ones, and the end of a port."""
    with nothing_left(), Ring0(vcpus=5) as guest, Ports(guest, "answers", 4) as ports:
        for vcpu in range(1, 5):
            guest.must(f"others read {vcpu} {GFN + vcpu:#x}")
        ports.until("done")
        for vcpu in range(1, 5):
            comes_to(guest, vcpu, f"{0x1004 + vcpu:x}", f"page {vcpu}")
        ports.go_on()
        ports.end()


def fuzz(calls, part=0):
    """Calls by a model that knows what each has to come to, while three vCPUs roam about in the leases."""
    seed = ask(seed=True) + part
    with nothing_left(), Ring0(vcpus=4) as guest:
        for vcpu in range(1, 4):
            guest.must(f"others roam {vcpu} {GFN:#x} 96")
        with Ports(guest, "fuzz", calls, seed) as ports:
            before = [int(guest.must(f"others rounds {vcpu}")) for vcpu in range(1, 4)]
            ports.end()
        for vcpu, rounds in zip(range(1, 4), before):
            now = int(guest.must(f"others rounds {vcpu}"))
            wait_for(f"vCPU {vcpu} to go on", lambda: int(guest.must(f"others rounds {vcpu}")) > now, 10)
            note(f"vCPU {vcpu}: {now - rounds} accesses meanwhile")


@limit(300)
def test_fuzz():
    fuzz(20000)


def large(guest, lender):
    """Steps of the lender: each gives what is installed, and the faults there have been."""
    def step(what, page=0):
        code, text = lender.run(f"large {what} {guest.domid} {GFN:#x} {page}")
        judge(code, text)
        words = next(line for line in text.splitlines() if line.startswith("# installed")).split()
        return int(words[2]), int(words[4])
    return step


@limit(120)
def test_large_downgrade():
    """2 MiB in one piece: made read-only as a whole for one page of it, writable again as a whole or in part, and gone at last."""
    with nothing_left(), Ring0(vcpus=3) as guest, lender_of(guest) as lender:
        step = large(guest, lender)
        total = str(sum(range(0x1000, 0x1200)))
        assert step("make") == (512, 0)
        assert guest.must(f"touch {GFN:#x} 512 1") == total
        assert step("down", 7) == (512, 0), "no page is gone"
        assert guest.must(f"touch {GFN:#x} 512 1") == total
        assert step("over", 0) == (512, 0), "and reading is no fault"
        guest.must(f"touch {GFN + 9:#x} 1 1 {0x1009}")
        assert step("down", 8) == (512, 0), "nor is writing what is writable"

        # A write faults, and goes on once that page is writable; for others it is as it was.
        guest.must(f"others write 1 {GFN + 8:#x} {0x1008}")
        guest.must(f"others write 2 {GFN + 10:#x} {0x100a}")
        time.sleep(0.5)
        assert [guest.must(f"others seen {vcpu}") for vcpu in (1, 2)] == ["nothing", "nothing"], "written to, though read-only"
        present, faults = step("up", 8)
        assert present == 512 and faults > 0
        comes_to(guest, 1, "1008", "the page that is writable")
        time.sleep(0.5)
        assert guest.must("others seen 2") == "nothing", "written to, though read-only"
        assert guest.must(f"touch {GFN:#x} 512 1") == total
        # All of it, in one piece again: the small entries go.
        step("over", 1)
        comes_to(guest, 2, "100a", "the page that is writable")
        present, faults = step("down", 0)
        step("over", 0)
        guest.must(f"touch {GFN:#x} 512 1 {0x77}")
        assert step("take", 5) == (0, faults), "one page takes all along, and there was no fault before"
