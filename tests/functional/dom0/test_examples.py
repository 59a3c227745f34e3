# SPDX-License-Identifier: GPL-2.0-or-later
"""The sample configurations, given to xl as they are."""

import os

import scenario
from lendlab import LEND, Guest, backing, limit, run, sha256, wait_for

MIB = 1 << 20


class Example(Guest):
    def __init__(self, name):
        super().__init__(name)
        with open(f"{LEND}/examples/{name}.cfg", encoding="utf-8") as config:
            self.config = config.read()


def test_all_are_tried():
    names = {name.removesuffix(".cfg") for name in os.listdir(LEND + "/examples") if name.endswith(".cfg")}
    tried = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert names <= tried, f"no test for {names - tried}"


def shows(name, size, path=None):
    """The guest starts from the file, its BAR is as large as the file says, and has the bytes of dom0's file."""
    with Example(name) as guest:
        assert guest.must("bar size") == str(size)
        leases = scenario.leases_in_xen()
        assert len(leases) == 1, leases
        if path:
            assert guest.must(f"bar cat 0 {size} | sha256sum", timeout=60).split()[0] == sha256(scenario.read_file(path))
        guest.run("bar write 4096 'from the guest'")
        if path:
            assert (scenario.read_file(path, 4096, 14) == b"from the guest") == (name != "readonly")
        else:
            assert guest.must("bar cat 4096 14") == "from the guest"
    scenario.healthy()


@limit(150)
def test_ivshmem():
    shows("ivshmem", 4 * MIB, backing("shared", 4 * MIB))


@limit(150)
def test_readonly():
    shows("readonly", 4 * MIB, backing("shared", 4 * MIB))


@limit(150)
def test_memfd():
    shows("memfd", 16 * MIB)


@limit(150)
def test_pmem():
    pmem(Example("pmem"))


def pmem(example):
    """The guest writes to a file system on the file; also used by differential_pmem.py."""
    path = "/lend/pmem.img"
    run("truncate", "-s", "64M", path)
    run("mkfs.ext4", "-q", "-F", "-b", "4096", path)
    with example as guest:
        wait_for("/dev/pmem0", lambda: guest.run("test -b /dev/pmem0")[0] == 0, 30)
        guest.must("mkdir /mnt; mount -o dax /dev/pmem0 /mnt; echo from the guest >/mnt/file; umount /mnt")
    assert run("debugfs", "-R", "cat /file", path).endswith("from the guest\n")
    scenario.healthy()
