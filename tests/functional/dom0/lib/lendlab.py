# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests in dom0 use, all in one place: what they say (report.py), the host (host.py), guests (guest.py).

Also what the agent's child process runs of one test: main("MODULE.TEST"). A test is a function test_* in a module test_*.py
(or LANE_*.py), it fails by an exception and is skipped by Skip. `LIMIT` seconds of a test come from the decorator `limit`."""

import importlib
import sys

import guest
from guest import Guest, clean, ivshmem, pmem, save_ready
from host import (DATA, LEND, LIBC, PATIENCE, QEMU, XEN, backing, domains, drop_caches, fallocate, frames, knob, madvise, mapped,
                  mapping_of, pattern, punch, run, sha256, wait_for, xen_log, zram_swap)
from report import Skip, ask, case, cases, debug, debug_pv, kvm, limit, note, progress, pvh, tell, timed, try_cases, why

__all__ = [name for name in dir() if not name.startswith("_")]


def load(name):
    """The test module.function, or module.function:case,case as a function without arguments."""
    name, _, wanted = name.partition(":")
    module, function = name.split(".")
    function = getattr(importlib.import_module(module), function)
    return (lambda: function(wanted.split(","))) if wanted else function


def main(name):
    if name == "--clean":
        return clean()
    if name == "--ready":
        return save_ready()
    # the lane functional has them; what boots is for test_boot to see, and for all whose guests are not of a common kind
    guest.resuming = name.startswith("test_")
    try:
        load(name)()
    except Skip as skip:
        tell(result="skip", reason=str(skip))
    except BaseException as error:
        tell(result="fail", reason=why(error))
    else:
        tell(result="pass", reason="")


if __name__ == "__main__":
    main(sys.argv[1])
