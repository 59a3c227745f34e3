# SPDX-License-Identifier: GPL-2.0-or-later
"""Files for the lane bench, and their pages taken away from whoever maps them (c/bench_take.c)."""

import contextlib
import os
import re
import subprocess

import figures
from lendlab import run
from lendvmm import program

MIB = 1 << 20
PAGE = 4096


def filled(path, offset=0, size=None):
    """The file, with all of these pages there, whatever was."""
    block = b"\x5a" * MIB
    with open(path, "r+b" if os.path.exists(path) else "wb") as out:
        out.seek(offset)
        while size > 0:
            size -= out.write(block[:min(size, MIB)])
    return path


def take(case, what, guest, path, offset, length, step, **kw):
    """A figure for holes of step bytes each, one after the other, per hole."""
    with figures.window(case, what, length // step, "hole", guest, **kw) as found:
        said = run(program("bench_take"), path, str(offset), str(length), str(step), timeout=200)
        found["ipis"] = int(re.search(r"ipis=(\d+)", said)[1])


@contextlib.contextmanager
def taking(path, offset, length, step, pause):
    """A hole of step bytes every so many ms while the body runs; what is yielded has their number afterwards."""
    taker = subprocess.Popen([program("bench_take"), path, str(offset), str(length), str(step), str(pause)],
                             stdout=subprocess.PIPE, text=True)
    done = {}
    try:
        yield done
    finally:
        taker.terminate()
        said = taker.communicate(timeout=30)[0]
    assert taker.returncode == 0, f"bench_take ended with {taker.returncode}"
    done["holes"] = int(said.split()[0])
