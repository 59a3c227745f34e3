# SPDX-License-Identifier: GPL-2.0-or-later
"""Stale accesses: the vCPUs of a guest hammer lent pages (tests/guest/ring0, hammer) while lend_torture moves them about, and
fills the frames they leave with a poison."""

import re
import subprocess

from lendlab import ask, note, progress, xen_log
from lendvmm import GFN, Ring0, no_kernel_complaints, program


def figures(text):
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", text)}


def stale_access(revocations, seconds, pages=128, vcpus=4, rounds=1, part=0):
    """Until so many revocations, or so many seconds; the figures. The guest has to go round so often for each revocation.
    A part of a longer one has a seed of its own."""
    seed = ask(seed=True) + part
    note(f"seed {seed} (LEND_SEED={seed - part} repeats it, but for the timing), {vcpus} vCPUs, {pages} pages")
    with Ring0(vcpus=vcpus) as guest:
        mover = subprocess.Popen([program("lend_torture"), str(guest.domid), hex(GFN), str(pages), str(revocations), str(seconds),
                                  str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            assert mover.stdout.readline() == "ready\n", f"lend_torture ended with {mover.wait(5)}"
            hammering = guest.send(f"hammer {GFN:#x} {pages} {vcpus} {seed}")
            text = ""
            while "revocations=" not in text:
                line = mover.stdout.readline()
                assert line, f"lend_torture ended with {mover.wait(5)}: {text}"
                if " of " in line:
                    progress(line.strip())
                else:
                    text += line
            code, seen = guest.collect(hammering, 60)
            mover.stdin.close()
            text += mover.stdout.read()
            for line in text.splitlines():
                note(f"lender: {line}")
            note(f"guest: {seen.strip()}")
            assert mover.wait(30) == 0, text
        finally:
            mover.kill()
        assert code == 0, seen
        assert vcpus < 2 or figures(seen)["rounds"] > rounds * figures(text)["revocations"]
    assert "lease" not in xen_log("B")
    no_kernel_complaints()
    return figures(text)
