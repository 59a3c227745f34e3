# SPDX-License-Identifier: GPL-2.0-or-later
"""The lend driver's calls, tried from dom0 on the frames of a guest that never runs."""

import base64
import os
import re
import subprocess

from lendlab import LEND, ask, limit, run
from lendvmm import GFN, Bench, Paused, judge, no_kernel_complaints, tap

KSELFTESTS = 27                     # how many there are at least in linux/tools/testing/selftests/drivers/xen-lend


def test_driver_bad_arguments():
    with Paused() as guest:
        tap("lend_bad", guest.domid, 60)
    no_kernel_complaints()


@limit(180)
def test_driver_exercise():
    with Paused() as guest:
        tap("lend_exercise", guest.domid, 120)
    no_kernel_complaints()


@limit(300)
def test_kselftest():
    """The test that goes into Linux' tree: all of it passes, and nothing is skipped."""
    test = "/run/xen_lend_test"
    with open(test, "wb") as out:
        out.write(base64.b64decode(ask(kselftest=True)))
    os.chmod(test, 0o755)
    with Paused() as guest:
        done = subprocess.run([test], env={**os.environ, "XEN_LEND_DOMID": str(guest.domid), "XEN_LEND_GFN": hex(GFN)},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    results = judge(done.returncode, done.stdout.replace("\n# ", "\n#"))
    plan = int(re.search(r"^1\.\.(\d+)$", done.stdout, re.M)[1])
    assert plan >= KSELFTESTS and len(results) == plan, f"{len(results)} results of {plan}"
    assert not [line for line in results if "# SKIP" in line], "nothing is skipped with a guest at hand"
    no_kernel_complaints()


@limit(180)
def test_driver_fuzz():
    with Paused() as guest:
        tap("lend_fuzz", guest.domid, 150)
    no_kernel_complaints()


@limit(120)
def test_command_line_tool():
    """xen-lend lists what is lent, and counts."""
    tool = LEND + "/bin/xen-lend"
    assert run(tool).strip() == "nothing is lent"
    with Bench() as bench:
        bench.start()
        bench.server.do("lease memfd 64 fd zero")
        bench.server.do("fill 0 64 1")
        bench.read(0, 64)
        heads, row = run(tool).splitlines()
        row = dict(zip(heads.split(), row.split()))
        stats = bench.server.stats()
        assert (row["DOM"], row["GFN"], row["SIZE"], row["THERE"]) == (str(bench.guest.domid), hex(GFN), "256K", "100%"), row
        assert row["TYPE"] == "WB,zero,fd" and int(row["FAULTS"]) == stats["faults"], (row, stats)
        assert "nothing" in run(tool, "-d", "12345")
        assert f"  installs   {stats['installs']}" in run(tool, "-v").splitlines()
        assert "FAULTS/s" in run(tool, "-w", "0.2", "-n", "2")
        bench.server.do("unlease")
