# SPDX-License-Identifier: GPL-2.0-or-later
"""A vCPU that waits for a page takes interrupts: what it runs besides goes on, and nobody has to wait for it."""

import contextlib
import time

from fusefile import FuseFile
from lendlab import Guest, cases, ivshmem, limit, note, pattern, try_cases, wait_for
from lendvmm import no_kernel_complaints

# dom0 reads a part of the file where nobody has been, and the next 4 MiB with it, as QEMU asks for huge pages
PART, PARTS = 8 << 20, 8
# seconds; Linux complains of a processor that does not take part in RCU after 21
STALL, SHORT = 25, 8


@contextlib.contextmanager
def slow_guest(vcpus=1, cmdline="", args=()):
    """A guest with the BAR of a file whose pages come when the test says so: (guest, file, what is in the file)."""
    data = b"".join(pattern(1 << 16, seed=f"wait {i}").ljust(PART, b"\0") for i in range(PARTS))
    with FuseFile(data) as fuse, Guest("wait", [*ivshmem(fuse.path, PART * PARTS), *args], vcpus=vcpus, cmdline=cmdline) as guest:
        guest.must("bar size")
        yield guest, fuse, data
    no_kernel_complaints()


@contextlib.contextmanager
def waiting(slow, part=0, deaf=False, after=lambda guest: None):
    """The guest's last vCPU waits for a page that does not come before the body has ended; then the page is right. Deaf: the guest
    takes no commands in the end. Each time
    with another part."""
    guest, fuse, data = slow
    fuse.hold()
    last = len(guest.must("echo /sys/devices/system/cpu/cpu[0-9]*").split()) - 1
    guest.must(f"rm -f /tmp/done; (taskset {1 << last} bar read {part * PART + 8192} >/tmp/got 2>&1; echo done >/tmp/done) "
               ">/dev/null 2>&1 </dev/null &")
    wait_for("a vCPU to wait", lambda: guest.lease()["waiting"] == 1, 20)
    yield guest
    assert deaf or guest.run("test -e /tmp/done")[0], "the page was there all the time"
    fuse.release()
    guest.must("for i in $(seq 100); do test -e /tmp/done && break; sleep 0.1; done; test -e /tmp/done", 30)
    got = int(guest.must("cat /tmp/got"), 16).to_bytes(8, "little")
    right = data[part * PART + 8192:][:8]
    assert got == right, f"{got} instead of {right}"
    log = guest.must("dmesg")
    for bad in ("detected stall", "self-detected", "soft lockup", "blocked for more than"):
        assert bad not in log, log[log.index(bad) - 300:][:600]
    after(guest)


def no_more_faults(guest, before):
    lease = guest.lease()
    assert lease["faults"] == before + 1 and lease["waiting"] == 1, lease


def programs(slow, seconds=SHORT):
    """The only vCPU waits: the console, timers and other programs go on all the same, and it is one fault for all that."""
    faults = slow[0].lease()["faults"]
    with waiting(slow) as guest:
        end, commands = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            guest.must("sleep 0.2; cat /proc/uptime", 10)
            commands += 1
        ticks = guest.must("a=$(cut -d. -f1 /proc/uptime); sleep 3; b=$(cut -d. -f1 /proc/uptime); echo $((b - a))", 20)
        no_more_faults(guest, faults)
        assert 2 <= int(ticks) <= 6, f"3 s are {ticks} s"
        note(f"{commands} commands while its only vCPU waits")


def device(slow):
    """What runs meanwhile on the only vCPU uses an emulated device."""
    faults = slow[0].lease()["faults"]
    with waiting(slow, 1) as guest:
        guest.must("rm -f /tmp/stop; (sleep 5; touch /tmp/stop) & exits /tmp/stop >/tmp/exits; test $(cat /tmp/exits) -gt 0", 30)
        no_more_faults(guest, faults)


def another_page(slow):
    """What runs meanwhile wants another page of the same, which does not come either; then both do."""
    with waiting(slow, 2) as guest:
        guest.must(f"(bar read {3 * PART} >/tmp/other 2>&1; echo done >/tmp/both) >/dev/null 2>&1 </dev/null &")
        time.sleep(2)
        for _ in range(5):
            guest.must("sleep 0.2", 10)
        assert guest.run("test -e /tmp/both")[0], "the other page was there all the time"


def destroyed(slow):
    """As it waits, with timers ticking."""
    guest, fuse, _ = slow
    fuse.hold()
    guest.must(f"(bar read {4 * PART} >/tmp/got 2>&1; echo done >/tmp/done) >/dev/null 2>&1 </dev/null &")
    wait_for("a vCPU to wait", lambda: guest.lease()["waiting"] == 1, 20)
    guest.must("sleep 1", 10)
    guest.destroy()
    fuse.release()


def one_processor(seconds=SHORT):
    """One guest for all that its only vCPU may do meanwhile, and then for its end."""
    with slow_guest() as slow:
        assert slow[0].must("cat /sys/devices/system/clockevents/clockevent0/current_device").startswith("xen")
        programs(slow, seconds)
        device(slow)
        another_page(slow)
        destroyed(slow)


def apic_timer():
    """Programs and timers, with a timer that Xen emulates in place of its own kind."""
    with slow_guest(cmdline="xen_no_vector_callback") as slow:
        assert slow[0].must("cat /sys/devices/system/clockevents/clockevent0/current_device").startswith("lapic")
        programs(slow)


def both_asked(slow, seconds):
    """What the other one wants of both is done: caches dropped on each, a program run on the one that waits."""
    with waiting(slow) as guest:
        end, rounds = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            guest.must("echo 3 >/proc/sys/vm/drop_caches", 15)
            guest.must("taskset 2 true", 15)
            rounds += 1
        note(f"{rounds} times something for both processors to do")


def paused(slow):
    """With interrupts coming while it waits, is paused, and goes on."""
    from test_toolstack import nmi, pause, vcpu_set
    with waiting(slow, 1) as guest:
        for _ in range(3):
            pause(guest)
            guest.must("echo 3 >/proc/sys/vm/drop_caches", 15)
        vcpu_set(guest)
        nmi(guest)
        guest.must("taskset 2 true", 15)


def two_processors(seconds=STALL):
    with slow_guest(2) as slow:
        both_asked(slow, seconds)
        paused(slow)


def device_by_qemu(slow):
    """When QEMU answers faults, it has one place for what a vCPU asks of it: who asks for something else meanwhile waits for the
    page to come. Nothing is lost."""
    faults = slow[0].lease()["faults"]

    def goes_on(guest):
        guest.must("touch /tmp/stop; for i in $(seq 50); do test -e /tmp/asked && break; sleep 0.1; done; test -e /tmp/asked", 30)
        assert int(guest.must("cat /tmp/exits")) > 0

    with waiting(slow, 1, deaf=True, after=goes_on) as guest:
        guest.must("(exits /tmp/stop >/tmp/exits; echo done >/tmp/asked) >/dev/null 2>&1 </dev/null &")
        time.sleep(3)
        no_more_faults(guest, faults)


def by_qemu():
    """Programs and timers, and an emulated device, when QEMU answers faults."""
    with slow_guest(args=["-machine", "xen-lend-kernel-faults=off"]) as slow:
        programs(slow)
        device_by_qemu(slow)


KINDS = {"one_processor": one_processor, "apic_timer": apic_timer, "two_processors": two_processors, "by_qemu": by_qemu}


@limit(600)
@cases(*KINDS)
def test_wait(wanted):
    try_cases(wanted, KINDS)
