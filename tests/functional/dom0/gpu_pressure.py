# SPDX-License-Identifier: GPL-2.0-or-later
"""Four processes of a guest make, write, check and free blobs at random, while dom0 swaps their memory out again and again."""

import contextlib
import ctypes
import os
import time

import gpu
import scenario
from gpu_raw import servers
from lendlab import LIBC, limit, note, run, wait_for, zram_swap

SECONDS = 120
PAGEOUT = 21


def page_out(pid):
    """Of all files in memory that the process has mapped; how many bytes were looked at."""
    ranges = []
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            if "/memfd:" in line:
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                ranges += [start, end - start]
    done, fd = 0, os.pidfd_open(pid)
    try:
        for i in range(0, len(ranges), 1024):
            some = ranges[i:i + 1024]
            vec = (ctypes.c_ulong * len(some))(*some)
            done += max(LIBC.syscall(440, fd, vec, ctypes.c_ulong(len(some) // 2), ctypes.c_int(PAGEOUT), ctypes.c_uint(0)), 0)
    finally:
        os.close(fd)
    return done


def swapped():
    """KiB that are on the swap device."""
    with open("/proc/swaps") as swaps:
        return sum(int(line.split()[3]) for line in swaps.readlines()[1:])


def mappings(machine):
    with open(f"/proc/{machine.guest.dm_pid()}/maps") as maps:
        return len(maps.readlines())


@limit(1500)
def test_xen():
    gpu.mount()
    zram_swap()
    with gpu.no_udmabuf(), gpu.GpuGuest(name="churn") as machine:
        machine.must("/tmp/vk churn 2 1", 200)
        before, maps_before = machine.bar(), mappings(machine)
        for i in range(4):
            machine.guest.must(f"(chroot /r /usr/bin/env -i {gpu.IN_GUEST} /tmp/vk churn {SECONDS} {i + 7} >/tmp/churn.{i} 2>&1; "
                               f"echo end $? >>/tmp/churn.{i}) >/dev/null 2>&1 &")
        asked, most, end = 0, 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            for pid in (machine.guest.dm_pid(), *servers()):
                with contextlib.suppress(OSError):
                    asked += page_out(pid)
            most = max(most, swapped())
            time.sleep(2)
        wait_for("the programs' end", lambda: machine.guest.must("grep -l '^end' /tmp/churn.* | wc -l") == "4", 300)
        said = machine.guest.must("cat /tmp/churn.*")
        for line in said.splitlines():
            note(line)
        after = machine.bar()
        note(f"{asked >> 20} MiB asked to go, at most {most} KiB swapped at once; {after['faults'] - before['faults']} faults, "
             f"{after['revokes'] - before['revokes']} revocations; QEMU had {maps_before} mappings and has {mappings(machine)}")
        assert said.count(" 0 wrong") == 4 and said.count("end 0") == 4, said
        assert most > 1024, f"only {most} KiB were swapped out"
        assert not after["failed"], after
        assert mappings(machine) < maps_before + 50, run("sed", "s/.* //", f"/proc/{machine.guest.dm_pid()}/maps")[-2000:]
    scenario.healthy()
