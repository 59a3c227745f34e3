# SPDX-License-Identifier: GPL-2.0-or-later
"""The lend driver without QEMU's help: lendctl makes the calls, a guest lends its frames to it."""

import os
import re
import subprocess

from lendlab import Guest, LEND, Skip, limit, note, run

GFN = 0x100000


class Borrower(Guest):
    """A PVH guest: no device model, so nobody but lendctl answers its faults."""

    def __init__(self, name="borrower", **kw):
        super().__init__(name, **kw)
        drop = ("vga", "usb", "serial", "nographic", "device_model")
        self.config = "\n".join(line for line in self.config.replace('"hvm"', '"pvh"').splitlines()
                                if not line.startswith(drop))


class Paused(Borrower):
    """One that never runs: enough where only the calls are tried."""

    def start(self, timeout=60):
        path = f"/tmp/{self.name}.cfg"
        with open(path, "w") as out:
            out.write(self.config)
        run("xl", "create", "-p", path, timeout=timeout)
        self.domid = int(run("xl", "domid", self.name))
        return self


def lendctl():
    for path in (LEND + "/tests/bin/lendctl", LEND + "/tests/lendctl"):
        if os.path.exists(path):
            return path
    raise Skip("lendctl is not in the payload")


def tap(command, domid, timeout):
    """Run one of lendctl's TAP commands; every 'not ok' counts."""
    done = subprocess.run([lendctl(), command, str(domid)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout)
    lines = done.stdout.splitlines()
    print(done.stdout)
    bad = [line for line in lines if line.startswith("not ok")]
    good = [line for line in lines if line.startswith("ok")]
    skipped = [line for line in good if "# SKIP" in line]
    for line in lines:
        if line.startswith("# "):
            note(line[2:])
    note(f"lendctl {command}: {len(good) - len(skipped)} right, {len(bad)} wrong, {len(skipped)} skipped")
    for line in bad[:20]:
        note(line)
    assert done.returncode == 0 and not bad and re.search(r"^1\.\.\d+$", done.stdout, re.M), \
        f"ended with {done.returncode}: {(bad or lines)[-1:]}"


def no_kernel_complaints():
    log = run("dmesg")
    bad = [line for line in log.splitlines() if re.search(r"BUG: |WARNING: CPU|Oops|xen_lend: dom|blocked for more", line)]
    assert not bad, bad[:5]


def test_driver_bad_arguments():
    with Paused() as guest:
        tap("bad", guest.domid, 60)
    no_kernel_complaints()


@limit(180)
def test_driver_exercise():
    with Paused() as guest:
        tap("exercise", guest.domid, 120)
    no_kernel_complaints()
