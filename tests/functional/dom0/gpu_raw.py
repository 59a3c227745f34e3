# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that asks a virtio-gpu for what no driver would (tests/gpu/raw.c): blobs past the BAR's end, over each other, mapped
twice, destroyed while mapped. Each case ends with a device that works; Xen's answers are those that KVM's guest gets."""

import os
import signal

import gpu
import scenario
from kvmguest import compare
from lendlab import XEN, case, cases, kvm, limit, note, wait_for

# case: within how many seconds
WORK = {
    "past_end": 120, "wraps": 120, "overlap": 120, "empty": 120, "pages_33": 120, "odd_size": 120, "odd_offset": 120, "twice": 120,
    "destroyed": 120, "context_gone": 120, "reset_mapped": 200, "full": 200, "nobody": 120, "moved": 120, "many": 400,
    "contexts": 900,
}


def works(wanted):
    if set(wanted) - {"tiny", "huge", "regions"}:
        with gpu.GpuGuest(driver=False) as machine:
            for which in wanted:
                if which in WORK:
                    with case(which):
                        judge(machine, which, machine.guest.run(f"/gpu/raw {which}", WORK[which]))
            if "one_lease" in wanted:
                with case("one_lease"):
                    lease = machine.bar()
                    note(f"{lease['faults']} faults, {lease['revokes']} revocations")
                    assert not lease["failed"] and not machine.guest.qmp("query-xen-lend").get("refused"), lease
            if "server_killed" in wanted:
                with case("server_killed"):
                    server_killed(machine)
    for which, size in (("huge", "64G"), ("regions", "64G")):
        if which in wanted:
            with case(which):
                bar_of(which, size)
    if "tiny" in wanted:
        with case("tiny"), gpu.GpuGuest(name="tiny", hostmem="2K", driver=False) as machine:
            judge(machine, "tiny", machine.guest.run("/gpu/raw tiny", 200))
    if XEN:
        scenario.healthy()


def bar_of(which, size):
    """A BAR that large; "regions": in a QEMU that may not have as much address space, so that each blob is a region of its own."""
    machine = gpu.GpuGuest(name=which, hostmem=size, driver=False)
    if which == "regions":
        machine.guest.argv[:0] = ["sh", "-c", f'ulimit -v {48 << 20}; exec "$@"', "sh"]
    with machine:
        assert ("a region for each blob" in machine.guest.dm_log()) == (which == "regions"), machine.guest.dm_log()
        for one in ("past_end", "overlap", "twice", "destroyed", "context_gone", "reset_mapped"):
            code, said = machine.guest.run(f"/gpu/raw {one}", WORK[one])
            assert not code and f"ok {one}" in said, f"{code}: {said[-400:]} {machine.guest.dm_log()[-400:]}"


def judge(machine, which, result):
    code, said = result
    for line in said.strip().splitlines():
        note(line)
    assert machine.guest.alive(), f"QEMU ended: {said} {machine.guest.dm_log()[-600:]}"
    assert not code and f"ok {which}" in said, f"{code}: {said[-400:]} {machine.guest.dm_log()[-400:]}"
    compare(f"raw.{which}", said)


def servers():
    """The render server and its children, one for each context."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if "virgl_render_server" in os.readlink(f"/proc/{pid}/exe"):
                found.append(int(pid))
        except OSError:
            pass
    return found


def server_killed(machine):
    """The guest keeps what it has mapped, gets an answer to whatever it asks, and QEMU goes on."""
    guest = machine.guest
    guest.must("rm -f /tmp/killed; /gpu/raw server_killed >/tmp/raw.log 2>&1 &")
    wait_for("its blob", lambda: "mapped" in guest.must("cat /tmp/raw.log"), 60)
    killed = servers()
    assert len(killed) > 1, killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    guest.must("touch /tmp/killed")
    wait_for("its end", lambda: "killed" in guest.must("cat /tmp/raw.log").splitlines()[-1], 400)
    judge(machine, "server_killed", (0, guest.must("cat /tmp/raw.log")))
    note(f"{len(killed)} processes of the render server killed")


@limit(2400)
@cases(*WORK, "one_lease", "server_killed", "tiny", "huge")
def test_xen(wanted):
    works(wanted)


@kvm
@limit(2400)
@cases(*WORK, "server_killed", "tiny", "huge", "regions")
def test_kvm(wanted):
    works(wanted)
