# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of the lane bench: what happened in the emulated machine between two marks in a guest's program. The host's plugin counts
(tests/bench/count.c), the host keeps what is told here, tests/bench/report.py makes the table."""

import contextlib
import os

from kvmguest import KvmGuest
from lendlab import XEN, Guest, ask, note

GUEST_KERNEL, GUEST_USER, XEN_ITSELF, KERNEL, USER = range(5)
PVH = XEN and os.path.exists("/sys/hypervisor/guest_type") and open("/sys/hypervisor/guest_type").read().strip() == "PVH"
ON = "xen" if XEN else "kvm"


def quick():
    """./lend bench --quick"""
    return ask(quick=True)


def guest_with(*args, on=ON, **more):
    """The same guest and device line on either side; for "ioreq", with nothing lent."""
    if on == "ioreq":
        args = *args, "-machine", "xen-lend=off"
    return (PatientGuest if XEN else PinnedKvmGuest)("bench", args, **more)


BOOT = 400          # seconds: an emulator that counts is slow, more so with several vCPUs


class PatientGuest(Guest):
    def start(self, timeout=BOOT):
        return super().start(timeout)


class PinnedKvmGuest(KvmGuest):
    """Its processors are where those of a guest under Xen are: not on the first, which is for the rest of QEMU."""

    def start(self, timeout=BOOT):
        os.sched_setaffinity(0, {0})
        super().start(timeout)
        others = sorted(set(range(os.cpu_count())) - {0})
        for vcpu in self.qmp("query-cpus-fast"):
            os.sched_setaffinity(vcpu["thread-id"], {others[vcpu["cpu-index"] % len(others)]})
        return self


def between(begin, end):
    """Of two marks: [[instructions of each kind] per processor], and the changes likewise."""
    pairs = list(zip(begin["cpus"], end["cpus"]))
    return ([[after - before for before, after in zip(b["instructions"], e["instructions"])] for b, e in pairs],
            [[[after - before for before, after in zip(*rows)] for rows in zip(b["changes"], e["changes"])] for b, e in pairs])


def counts_of(begin, end):
    """Sums over the processors. Exits are of the guest's user space, whose accesses are the matter; its kernel has others, such as
    those of the timer, as many as the time allows. With a PVH dom0, which is a guest of Xen's, its processor tells it from the others."""
    instructions, changes = between(begin, end)
    total = dict.fromkeys(("guest", "xen", "kernel", "user", "exits", "other_exits", "hypercalls", "upcalls", "syscalls"), 0)
    for cpu, (ran, gave_way) in enumerate(zip(instructions, changes)):
        in_guest = ran[GUEST_KERNEL] + ran[GUEST_USER]
        by_kernel, by_user = (sum(gave_way[who][to] for to in (XEN_ITSELF, KERNEL, USER)) for who in (GUEST_KERNEL, GUEST_USER))
        total["xen"] += ran[XEN_ITSELF]
        total["kernel"] += ran[KERNEL]
        total["user"] += ran[USER]
        if PVH and cpu == 0:
            total["kernel"] += ran[GUEST_KERNEL]
            total["user"] += ran[GUEST_USER]
            total["hypercalls"] += by_kernel
            total["upcalls"] += sum(gave_way[XEN_ITSELF][:2])
            total["syscalls"] += gave_way[GUEST_USER][GUEST_KERNEL]
        else:
            total["guest"] += in_guest
            total["exits"] += by_user
            total["other_exits"] += by_kernel
            total["hypercalls"] += gave_way[KERNEL][XEN_ITSELF]
            total["upcalls"] += gave_way[XEN_ITSELF][KERNEL]
            total["syscalls"] += gave_way[USER][XEN_ITSELF] + gave_way[USER][KERNEL]
    return total


LEASE = "faults", "installs", "revokes", "revoked", "flushes", "retries"


def lease_of(guest, name):
    """The lease's counters, as QEMU has them from the driver."""
    if not XEN or name is None:
        return {}
    return {key: value for key, value in guest.lease(name).items() if key in LEASE}


@contextlib.contextmanager
def window(case, what, units, unit, guest, lease="lm", on=ON, number=0):
    """A figure of what is between the first begin and the last end that are marked in the body. The body may put counts of its own
    into what it gets."""
    before = lease_of(guest, lease if on == ON else None)
    ask(marks=True)
    found = {}
    yield found
    marks = ask(marks=True)
    begins = [mark for mark in marks if mark["kind"] != 2]
    ends = [mark for mark in marks if mark["kind"] == 2]
    assert begins and ends, f"marks of {case}: {[mark['kind'] for mark in marks]}"
    begin, end = begins[0], ends[-1]
    after = lease_of(guest, lease if on == ON else None)
    found.update({"case": case, "what": what, "on": on, "run": number, "units": units, "unit": unit,
                  "seconds": (end["ns"] - begin["ns"]) / 1e9, "counts": {**counts_of(begin, end), **found},
                  "lease": {key: after[key] - before[key] for key in after}})
    if "path" in end:
        found["path"] = end["path"]
    ask(figure=found)
    counts = found["counts"]
    note(f"{what}: {units} {unit}s, {found['seconds']:.3f} s; of each, instructions of " +
         ", ".join(f"{who} {counts[who] / units:,.0f}" for who in ("guest", "xen", "kernel", "user")) +
         f"; exits {counts['exits'] / units:.3f}, hypercalls {counts['hypercalls'] / units:.3f}" +
         "".join(f", {key} {value}" for key, value in found["lease"].items() if value))


def measure(case, what, units, unit, guest, command, lease="lm", on=ON, number=0, timeout=120):
    """One figure: `bench COMMAND` in the guest, which has the marks."""
    with window(case, what, units, unit, guest, lease, on, number) as found:
        guest.must(f"bench {command}", timeout)
    return found
