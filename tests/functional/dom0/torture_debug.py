# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane torture on the debug kernel: a million random calls, every allocation failing once, and pages taken away with none."""

import re
import subprocess
import time

from lendlab import ask, debug, limit, note, xen_log
from lendvmm import GFN, Paused, judge, no_kernel_complaints, program, swap, tap
from test_backing import bar_of_shared_memory
from test_invalidation import knob

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
            command = f"echo $$ >{TRACE}/set_event_pid; exec {program('lend_inject')} {guest.domid} {GFN:#x} revoke {bar_of_shared_memory()}"
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
