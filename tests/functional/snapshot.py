# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that have booted, kept in the cache: the state of the emulator, and the disks as they were at that moment. A run goes on
from there within seconds, and so does each machine that a test wants anew.

A snapshot's name is a hash of the emulator's command line, which has the parts with their keys in it: when anything that was booted
changes, there is another. The newest ones are kept."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time

KEEP = 3


class Qmp:
    """A connection to the emulator's monitor."""

    def __init__(self, path, alive, timeout=120):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        while True:
            try:
                self.sock.connect(path)
                break
            except OSError:
                if not alive():
                    raise RuntimeError("the emulator ended at once") from None
                time.sleep(0.02)
        self.pipe = self.sock.makefile("rw", encoding="utf-8")
        self.pipe.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        self.pipe.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.pipe.flush()
        while True:
            line = self.pipe.readline()
            if not line:
                raise RuntimeError(f"{command}: the emulator ended")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def migration(self, command, path):
        """State to or from a file; done when this returns."""
        self("migrate-set-capabilities", capabilities=[{"capability": "mapped-ram", "state": True}])
        self(command, uri="file:" + path)
        while True:
            status = self("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise RuntimeError(f"{command}: {status}")
            time.sleep(0.05)

    def close(self):
        self.sock.close()


def place_of(machine):
    """Where a snapshot of that machine is, or would be."""
    line = "\0".join(machine.argv).replace(machine.dir, "DIR")
    key = hashlib.sha256(line.encode()).hexdigest()[:16]
    return os.path.join(os.environ["LEND_CACHE"], "snapshots", key)


@contextlib.contextmanager
def locked(place):
    """One at a time makes it, the others wait and find it."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def copy(source, target):
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)


def save(machine, place, disk):
    """The machine has booted on that copy of dom0's disk, and ends here."""
    part = os.path.dirname(disk)
    qmp = Qmp(machine.qmp_path, lambda: machine.process.poll() is None)
    qmp("stop")
    qmp.migration("migrate", part + "/state")
    qmp.close()
    machine.kill()
    copy(machine.scratch, part + "/scratch.img")
    copy(machine.serial, part + "/console.log")
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(machine.dir + "/dom0", part + "/dom0")
    os.rename(part, place)
    forget(os.path.dirname(place))


def forget(where):
    """All but the newest; one in use keeps what it has open."""
    kept = sorted((entry for entry in os.scandir(where) if entry.is_dir() and not entry.name.endswith(".part")),
                  key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in kept[KEEP:]:
        shutil.rmtree(entry.path, ignore_errors=True)


def prepare(machine, place):
    """The files that a machine finds which goes on from there."""
    os.utime(place)
    copy(place + "/scratch.img", machine.scratch)
    copy(place + "/console.log", machine.serial)
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(place + "/dom0", machine.dir + "/dom0", dirs_exist_ok=True)


def load(machine, place):
    qmp = Qmp(machine.qmp_path, lambda: machine.process.poll() is None)
    qmp.migration("migrate-incoming", place + "/state")
    qmp("cont")
    qmp.close()
