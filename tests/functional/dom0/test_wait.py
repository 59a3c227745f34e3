# SPDX-License-Identifier: GPL-2.0-or-later
"""A vCPU that waits for a page takes interrupts: what it runs besides goes on, and nobody has to wait for it."""

import contextlib
import time

from fusefile import FuseFile
from lendlab import Guest, cases, ivshmem, limit, note, pattern, try_cases, wait_for
from lendvmm import no_kernel_complaints

SIZE = 1 << 20
# seconds; Linux complains of a processor that does not take part in RCU after 21
STALL, SHORT = 25, 8


@contextlib.contextmanager
def waiting(vcpus=1, deaf=False, after=lambda guest: None, cmdline="", args=()):
    """A guest whose last vCPU waits for a page that does not come before the body has ended; then the page is right. Deaf: the guest
    takes no commands in the end."""
    data = pattern(SIZE, seed="wait")
    with FuseFile(data) as fuse, Guest("wait", [*ivshmem(fuse.path, SIZE), *args], vcpus=vcpus, cmdline=cmdline) as guest:
        guest.must("bar size")
        fuse.hold()
        guest.must(f"(taskset {1 << (vcpus - 1)} bar read 8192 >/tmp/got 2>&1; echo done >/tmp/done) >/dev/null 2>&1 </dev/null &")
        wait_for("a vCPU to wait", lambda: guest.lease()["waiting"] == 1, 20)
        yield guest
        assert deaf or guest.run("test -e /tmp/done")[0], "the page was there all the time"
        fuse.release()
        guest.must("for i in $(seq 100); do test -e /tmp/done && break; sleep 0.1; done; test -e /tmp/done", 30)
        got = int(guest.must("cat /tmp/got"), 16).to_bytes(8, "little")
        assert got == data[8192:8200], f"{got} instead of {data[8192:8200]}"
        log = guest.must("dmesg")
        for bad in ("detected stall", "self-detected", "soft lockup", "blocked for more than"):
            assert bad not in log, log[log.index(bad) - 300:][:600]
        after(guest)
    no_kernel_complaints()


def one_processor(seconds=SHORT, timer="xen", cmdline=""):
    """The only vCPU waits: the console, timers and other programs go on all the same, and it is one fault for all that."""
    with waiting(cmdline=cmdline) as guest:
        used = guest.must("cat /sys/devices/system/clockevents/clockevent0/current_device")
        assert used.startswith(timer), f"the timer is {used}"
        end, commands = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            guest.must("sleep 0.2; cat /proc/uptime", 10)
            commands += 1
        ticks = guest.must("a=$(cut -d. -f1 /proc/uptime); sleep 3; b=$(cut -d. -f1 /proc/uptime); echo $((b - a))", 20)
        lease = guest.lease()
        assert lease["faults"] == 1 and lease["waiting"] == 1, lease
        assert 2 <= int(ticks) <= 6, f"3 s are {ticks} s"
        note(f"{commands} commands while its only vCPU waits")


def apic_timer():
    """The same with a timer that Xen emulates in place of its own kind."""
    one_processor(SHORT, "lapic", "xen_no_vector_callback")


def two_processors(seconds=STALL):
    """What the other one wants of both is done: caches dropped on each, a program run on the one that waits."""
    with waiting(2) as guest:
        end, rounds = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            guest.must("echo 3 >/proc/sys/vm/drop_caches", 15)
            guest.must("taskset 2 true", 15)
            rounds += 1
        note(f"{rounds} times something for both processors to do")


def paused():
    """With interrupts coming while it waits, is paused, and goes on."""
    from test_toolstack import nmi, pause, vcpu_set
    with waiting(2) as guest:
        for _ in range(3):
            pause(guest)
            guest.must("echo 3 >/proc/sys/vm/drop_caches", 15)
        vcpu_set(guest)
        nmi(guest)
        guest.must("taskset 2 true", 15)


QEMUS_OWN = ["-machine", "xen-lend-kernel-faults=off"]


def device():
    """What runs meanwhile on the only vCPU uses an emulated device."""
    with waiting() as guest:
        guest.must("(sleep 2; touch /tmp/stop) & exits /tmp/stop >/tmp/exits; test $(cat /tmp/exits) -gt 0", 30)
        lease = guest.lease()
        assert lease["waiting"] == 1 and lease["faults"] == 1, lease


def another_page():
    """What runs meanwhile wants another page of the same, which does not come either; then both do."""
    with waiting() as guest:
        guest.must("(bar read 65536 >/tmp/other 2>&1; echo done >/tmp/both) >/dev/null 2>&1 </dev/null &")
        time.sleep(2)
        for _ in range(5):
            guest.must("sleep 0.2", 10)
        assert guest.run("test -e /tmp/both")[0], "the other page was there all the time"


def one_processor_by_qemu():
    """As one_processor, when QEMU answers faults."""
    with waiting(args=QEMUS_OWN) as guest:
        end, commands = time.monotonic() + SHORT, 0
        while time.monotonic() < end:
            guest.must("sleep 0.2; cat /proc/uptime", 10)
            commands += 1
        lease = guest.lease()
        assert lease["faults"] == 1 and lease["waiting"] == 1, lease
        note(f"{commands} commands while its only vCPU waits")


def device_by_qemu():
    """When QEMU answers faults, it has one place for what a vCPU asks of it: who asks for something else meanwhile waits for the
    page to come. Nothing is lost."""
    def goes_on(guest):
        guest.must("touch /tmp/stop; for i in $(seq 50); do test -e /tmp/asked && break; sleep 0.1; done; test -e /tmp/asked", 30)
        assert int(guest.must("cat /tmp/exits")) > 0

    with waiting(deaf=True, after=goes_on, args=QEMUS_OWN) as guest:
        guest.must("(exits /tmp/stop >/tmp/exits; echo done >/tmp/asked) >/dev/null 2>&1 </dev/null &")
        time.sleep(3)
        lease = guest.lease()
        assert lease["waiting"] == 1 and lease["faults"] == 1, lease


def destroyed():
    """As it waits, with timers ticking."""
    data = pattern(SIZE, seed="destroyed")
    with FuseFile(data) as fuse:
        with Guest("wait", ivshmem(fuse.path, SIZE)) as guest:
            fuse.hold()
            guest.must("(bar read 8192 >/tmp/got 2>&1; echo done >/tmp/done) >/dev/null 2>&1 </dev/null &")
            wait_for("a vCPU to wait", lambda: guest.lease()["waiting"] == 1, 20)
            guest.must("sleep 1", 10)
            guest.destroy()
        fuse.release()
    no_kernel_complaints()


KINDS = {"one_processor": one_processor, "apic_timer": apic_timer, "two_processors": two_processors, "paused": paused,
         "device": device, "another_page": another_page, "one_processor_by_qemu": one_processor_by_qemu,
         "device_by_qemu": device_by_qemu, "destroyed": destroyed}


@limit(600)
@cases(*KINDS)
def test_wait(wanted):
    try_cases(wanted, KINDS)
