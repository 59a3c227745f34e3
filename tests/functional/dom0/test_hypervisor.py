# SPDX-License-Identifier: GPL-2.0-or-later
"""What Xen does, and how much of it: seen by its own counters and trace records. The guests are tests/guest/ring0."""

import contextlib
import ctypes
import glob
import os
import signal
import struct
import subprocess
import time

from lendlab import limit, note, run, wait_for
from lendvmm import GFN, Ring0, Server, no_kernel_complaints, program

FAR = 0x4000000                     # 256 GiB
TAG = 0x1e4d000000000000            # of a page that hammer expects
TRACES = {0x10f020: "create", 0x10f021: "destroy", 0x10f022: "install", 0x10f023: "revoke", 0x10f024: "fault"}


def costs(text):
    """{(how, pages): {figure: value}} of what lend_cost prints."""
    return {(how, int(pages)): {name: float(value) for name, value in (item.split("=") for item in items)}
            for how, pages, *items in map(str.split, text.splitlines())}


@limit(300)
def test_revoke_cost():
    """Flush rounds, and interrupts between processors, for the pages of 2 MiB; the guest's vCPUs run all the time."""
    for vcpus in 1, 2, 4:
        with Ring0(vcpus=vcpus) as guest, Server(guest.domid) as server:
            server.do("lease memfd 16")
            server.do(f"fill 1 15 {TAG:#x}")
            hammering = guest.send(f"hammer {GFN:#x} 16 {vcpus} 1")
            table = costs(run(program("lend_cost"), str(guest.domid), hex(GFN + 512), timeout=100))
            server.do("same 0 1 1")
            code, seen = guest.collect(hammering)
            assert code == 0, seen
        unit = table["pages", 1]["us"]
        for (how, pages), cost in table.items():
            note(f"{vcpus} vCPUs, {pages:3} pages, {how}: {cost['flushes']:.0f} flush rounds, {cost['ipis']:.1f} interrupts, "
                 f"{cost['us'] / unit:.1f} times the time for one page")
            want = {"absent": 0, "one-by-one": pages}.get(how, 1)
            assert cost["flushes"] == want, f"{how}, {pages} pages: {cost['flushes']} flush rounds, not {want}"
    no_kernel_complaints()


@contextlib.contextmanager
def traced(records):
    """What Xen's tracing says of lending meanwhile: a list of (event, fields)."""
    path = "/tmp/lend.trace"
    tracer = subprocess.Popen(["xentrace", "-D", "-e", "0x10f000", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("xentrace", lambda: os.path.exists(path), 10)
        time.sleep(0.5)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
    with open(path, "rb") as trace:
        data = trace.read()
    os.unlink(path)
    at, found = 0, []
    while at + 12 <= len(data):
        head, tsc = struct.unpack_from("<IQ", data, at)
        at += 4 + (8 if head >> 31 else 0)
        fields = struct.unpack_from(f"<{head >> 28 & 7}I", data, at)
        at += 4 * len(fields)
        if head & 0xfffffff in TRACES:
            found.append((tsc, TRACES[head & 0xfffffff], fields))
    records += [record for _, *record in sorted(found)]         # each processor has its own buffer


def test_trace_records():
    """The life of a lease as xentrace has it."""
    records = []
    with Ring0() as guest, traced(records):
        with Server(guest.domid) as server:
            server.do("lease memfd 64 4096")
            server.do("fill 0 64 1")
            assert guest.must(f"state read {GFN + 5:#x} 1") == "6"
            server.do("ro 5 1")
            server.do("unlease")
        domid = guest.domid
    lease = records[0][1][1]
    assert records == [["create", (domid, lease, 0, 64)], ["fault", (domid, lease, 5, 0)], ["install", (domid, lease, 5, 1)],
                       ["revoke", (domid, lease, 5, 1, 0)], ["revoke", (domid, lease, 0, 64, 0)],
                       ["destroy", (domid, lease)]], records


def test_answer_of_a_server_that_is_gone():
    """A fault whose server goes without an answer is not taken for one that was answered like the last one, "failed"."""
    with Ring0() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64")
        server.do("truncate 32")
        guest.tap(f"state gone {GFN + 40:#x}")
        server.do("stall on")
        waiting = guest.send(f"state read {GFN + 1:#x} 1")
        time.sleep(1)
        server.do("unlease")
        server.do("drop")
        code, text = guest.collect(waiting)
        assert (code, text.strip()) == (0, "ffffffffffffffff"), (code, text)
    no_kernel_complaints()


def test_server_goes_while_a_vcpu_waits():
    """The vCPU goes on, to find that there is nobody to ask: memory gone for good."""
    with Ring0() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64")
        server.do("stall on")
        waiting = guest.send(f"state gone {GFN + 1:#x}")
        time.sleep(1)
        server.do("vanish")
        code, text = guest.collect(waiting)
        assert code == 0 and "not ok" not in text, (code, text)
    no_kernel_complaints()


def test_mem_lend():
    """tools/tests/mem-lend of the series for Xen."""
    text = run(program("test-mem-lend"))
    assert "Created d" in text and "Skip" not in text and "Fail" not in text, text
    no_kernel_complaints()


def nr_gpfns(domid):
    """What Xen's tools take for the end of the guest's memory."""
    tools = ctypes.CDLL(glob.glob("/usr/lib/x86_64-linux-gnu/libxenctrl.so.4*")[0], use_errno=True)
    tools.xc_interface_open.restype = ctypes.c_void_p
    handle, found = ctypes.c_void_p(tools.xc_interface_open(None, None, 0)), ctypes.c_ulong()
    assert handle and not tools.xc_domain_nr_gpfns(handle, domid, ctypes.byref(found)), os.strerror(ctypes.get_errno())
    tools.xc_interface_close(handle)
    return found.value


@limit(60)
def test_maximum_gpfn():
    """The tools go through all of a guest's memory for a core dump, and to save it.
    What it borrows far above does not make that longer."""
    with Ring0() as guest:
        before = nr_gpfns(guest.domid)
        with Server(guest.domid, FAR) as server:
            server.do("lease memfd 64")
            server.do("prefault 0 64")
            assert server.stats()["installed"] == 64
            assert nr_gpfns(guest.domid) == before
            server.do("unlease")
        assert nr_gpfns(guest.domid) == before
        note(f"{before} pages")
    no_kernel_complaints()
