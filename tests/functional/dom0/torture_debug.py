# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane torture on the debug kernels: a million random calls, every allocation failing once, pages taken away with none, and a
Xen that refuses. The second kernel, without KASAN, runs the driver's tests in a PV dom0."""

import errno
import re
import subprocess
import time

from lendlab import ask, debug, debug_pv, knob, limit, note, run, wait_for, xen_log
from lendvmm import GFN, Paused, Server, judge, no_kernel_complaints, program, swap, tap
from test_backing import bar_of_shared_memory

DEBUG = "/sys/kernel/debug"
TRACE = "/sys/kernel/tracing"


def quiet():
    """Failures that are asked for may hit anything, and are not told one by one."""
    for kind in ("failslab", "fail_page_alloc", "fail_usercopy"):
        knob(f"{DEBUG}/{kind}/verbose", 0)
    for name in ("failslab/ignore-gfp-wait", "fail_page_alloc/ignore-gfp-wait", "fail_page_alloc/ignore-gfp-highmem"):
        knob(f"{DEBUG}/{name}", "N")
    knob(f"{DEBUG}/fail_page_alloc/min-order", 0)


def leaks():
    """What kmemleak has found: first the traces with a function of ours in them, then the number of all others. It reports what
    it has found twice, and is five seconds old."""
    time.sleep(6)
    for _ in range(2):
        knob(f"{DEBUG}/kmemleak", "scan")
    with open(f"{DEBUG}/kmemleak") as found:
        traces = re.split(r"(?m)^(?=unreferenced object)", found.read())[1:]
    ours = [trace for trace in traces if re.search(r"\blend_", trace)]
    return ours, len(traces) - len(ours)


def clean():
    """No complaint, no leak, no lease; and those who would complain are still awake."""
    no_kernel_complaints()
    ours, others = leaks()
    assert not ours, f"{len(ours)} leaks, the first: {ours[0]}"
    if others:
        with open(f"{DEBUG}/kmemleak") as found:
            print(found.read()[:4000])
        note(f"kmemleak suspects {others} objects that are not the driver's")
    with open("/proc/lockdep_stats") as stats:
        assert re.search(r"debug_locks: +1\b", stats.read()), "lockdep has turned itself off"
    assert "lease" not in xen_log("B")
    with open(f"{DEBUG}/xen_lend/leases") as leases:
        text = leases.read()
    assert not text, text
    no_kernel_complaints()


def fuzz(calls):
    seed = ask(seed=True)
    begin = time.monotonic()
    with Paused() as guest:
        tap("lend_fuzz", guest.domid, 10000, calls, seed)
    note(f"seed {seed}, {calls / (time.monotonic() - begin):.0f} calls a second")
    no_kernel_complaints()


@limit(10800)
def test_fuzz():
    """On the stock kernel, which is ten times as quick."""
    fuzz(1000000)


@debug
@limit(3600)
def test_fuzz_checked():
    quiet()
    fuzz(100000)
    clean()


@debug
@limit(3600)
def test_inject():
    quiet()
    with swap(), Paused() as guest:
        tap("lend_inject", guest.domid, 3000, bar_of_shared_memory())
    clean()


# ---- a Xen that refuses -----------------------------------------------------------

def refuse(*functions):
    """These calls of the driver's to Xen end with EPERM from now on, without getting there."""
    attributes = f"{DEBUG}/fail_function"
    knob(f"{attributes}/inject", "\n")
    for name, value in (("verbose", 0), ("times", -1), ("interval", 1), ("probability", 100 if functions else 0)):
        knob(f"{attributes}/{name}", value)
    for function in functions:
        knob(f"{attributes}/inject", function)
        knob(f"{attributes}/{function}/retval", (1 << 64) - errno.EPERM)


def fails(server, command, why):
    try:
        server.do(command)
    except AssertionError as error:
        assert why in str(error), error
    else:
        raise AssertionError(f"{command} works")


def told(*texts):
    """The kernel has said so, which is no complaint then; and complained of nothing else."""
    said = run("dmesg")
    for text in texts:
        assert text in said, f"not in dmesg: {text}"
    others = re.findall(r"(?m)^.*(?:BUG: |Oops|blocked for more|(?:leak detector|ODEBUG) disabled|"
                        r"WARNING: (?!CPU.* at drivers/xen/lend/lease\.c)).*$", said)
    assert not others, others[:5]
    run("dmesg", "-C")


def leases():
    return xen_log("B").count(" pages installed")


def destroy_refused(server, domid):
    """UNLEASE says so, people are told, nothing is installed; and the lease goes as soon as Xen lets it."""
    server.do("lease memfd 64")
    server.do("prefault 0 64 w")
    refuse("lend_xen_destroy")
    fails(server, "unlease", "Input/output error")
    told("Xen does not end it (-1)", f"xl destroy {domid}")
    assert " 0 of 64 pages installed" in xen_log("B")
    fails(server, "lease memfd 64", "File exists")
    refuse()
    wait_for("the end of the lease", lambda: not leases())
    wait_for("the word of it", lambda: "ended at last" in run("dmesg"))
    told("ended at last")
    server.do("lease memfd 64")
    server.do("unlease")


def revoke_refused(server):
    """Then all of the lease goes."""
    server.do("lease memfd 64")
    server.do("prefault 0 64 w")
    refuse("lend_xen_revoke")
    server.do("dontneed 8 8")
    refuse()
    assert not leases()
    fails(server, "prefault 0 64", "No such")
    server.do("unlease")


def both_refused(server, domid):
    """Nothing more is installed, people are told, and what was installed is not forgotten."""
    server.do("lease memfd 64")
    server.do("prefault 0 64 w")
    refuse("lend_xen_revoke", "lend_xen_destroy")
    server.do("dontneed 0 64")
    told("does not take memory back", f"Destroy the guest: xl destroy {domid}")
    assert server.stats()["installed"] == 64
    # a guest that waits for a page of it is told so
    fails(server, "prefault 0 64", "Input/output error")
    refuse()
    server.do("dontneed 0 64")
    assert server.stats()["installed"] == 0
    server.do("unlease")
    assert not leases()


def refused():
    run("dmesg", "-C")
    try:
        with Paused() as guest:
            with Server(guest.domid) as server:
                destroy_refused(server, guest.domid)
                revoke_refused(server)
                both_refused(server, guest.domid)
                # ended by who closes the file last, and by the end of the guest
                server.do("lease memfd 64")
                server.do("prefault 0 64 w")
                refuse("lend_xen_destroy")
            told("Xen does not end it (-1)")
            assert leases()
        assert not leases()
        time.sleep(3)
        assert "ended at last" not in run("dmesg")
        refuse()
        wait_for("the driver to know", lambda: "ended at last" in run("dmesg"))
    finally:
        refuse()
    told("ended at last")
    clean()


@debug
@limit(600)
def test_refused():
    refused()


# ---- a PV dom0 ----------------------------------------------------------------

@debug_pv
@limit(3600)
def test_driver_in_pv():
    quiet()
    with Paused() as guest:
        tap("lend_bad", guest.domid, 600)
        tap("lend_exercise", guest.domid, 1200)
    fuzz(20000)
    clean()


@debug_pv
@limit(600)
def test_refused_in_pv():
    refused()


def starved(on):
    """Whether tasks that say so (make-it-fail) get no memory at all."""
    for kind in ("failslab", "fail_page_alloc"):
        knob(f"{DEBUG}/{kind}/task-filter", "Y")
        knob(f"{DEBUG}/{kind}/times", -1)
        knob(f"{DEBUG}/{kind}/probability", 100 if on else 0)


ALLOCATIONS = "kmalloc", "kmem_cache_alloc", "mm_page_alloc"


def trace(on):
    """Allocations, and when the notifier begins and ends."""
    knob(f"{TRACE}/tracing_on", 0)
    for event in ("lend/in", "lend/out", *(f"kmem/{event}" for event in ALLOCATIONS)):
        if not on:
            knob(f"{TRACE}/events/{event}/enable", 0)
    if not on:
        knob(f"{TRACE}/kprobe_events", "")
        knob(f"{TRACE}/set_event_pid", "")
        return
    knob(f"{TRACE}/buffer_size_kb", 65536)
    knob(f"{TRACE}/trace", "")
    knob(f"{TRACE}/kprobe_events", "p:lend/in lend_invalidate\nr:lend/out lend_invalidate\n")
    for event in ("lend/in", "lend/out", *(f"kmem/{event}" for event in ALLOCATIONS)):
        knob(f"{TRACE}/events/{event}/enable", 1)
    knob(f"{TRACE}/tracing_on", 1)


def allocations():
    """(notifier calls, allocations in them, allocations outside of them). What an interrupt allocates meanwhile does not count."""
    calls, inside, outside, within = 0, [], 0, set()
    with open(f"{TRACE}/trace", errors="replace") as lines:
        for line in lines:
            found = re.match(r"\s*.+-(\d+)\s+\[\d+\]\s+(\S+)\s+[\d.]+: (\w+): ", line)
            if not found:
                assert "LOST" not in line, "the trace has gaps"
                continue
            pid, flags, event = found.groups()
            if event == "in":
                within.add(pid)
            elif event == "out":
                within.discard(pid)
                calls += 1
            elif flags[2] not in "hHsZz":
                if pid in within:
                    inside.append(line.strip())
                else:
                    outside += 1
    return calls, inside, outside


@debug
@limit(1800)
def test_revoke_allocates_nothing():
    """The revoking task gets no memory, and all pages go all the same; and the trace has no allocation in the notifier."""
    quiet()
    with swap(), Paused() as guest:
        starved(True)
        trace(True)
        try:
            command = f"echo $$ >{TRACE}/set_event_pid; exec {program('lend_inject')} " \
                f"{guest.domid} {GFN:#x} revoke {bar_of_shared_memory()}"
            done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=1500)
            knob(f"{TRACE}/tracing_on", 0)
            calls, inside, outside = allocations()
        finally:
            starved(False)
            trace(False)
        judge(done.returncode, done.stdout)
    note(f"{calls} notifier calls traced; {len(inside)} allocations in them, {outside} outside")
    assert not inside, inside[:5]
    assert calls > 40 and outside > calls, "the trace has seen nothing"
    clean()
