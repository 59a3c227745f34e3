# SPDX-License-Identifier: GPL-2.0-or-later
"""In dom0: the example that the package xen-lend installs, given to xl with our kernel and initrd;
the guest reads and writes dom0's file."""

import os
import subprocess
import sys

from lendlab import Guest, run, sha256, wait_for

EXAMPLE = "/usr/share/doc/xen-lend/examples/ivshmem.cfg"
FILE = "/lend/shared"
SIZE = 4 << 20
KERNEL = "/media/trial/guest"


class Example(Guest):
    """What docs/install.md says, and the guest on the processor that dom0 does not use (docs/testing.md)."""

    def create(self, timeout):
        argv = ["xl", "create", EXAMPLE, f'kernel="{KERNEL}/vmlinuz"', f'ramdisk="{KERNEL}/initrd.gz"', 'cpus="1"']
        print("+", *argv)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        print(done.stdout + done.stderr)
        assert done.returncode == 0, f"xl create ended with {done.returncode}: {self.dm_log()[-500:]}"


def main():
    os.makedirs("/lend", exist_ok=True)
    with open(FILE, "wb") as out:
        out.write(os.urandom(SIZE))
    with open(FILE, "rb") as data:
        want = sha256(data.read())
    with Example("ivshmem") as guest:
        got = guest.must(f"bar cat 0 {SIZE} | sha256sum", timeout=180).split()[0]
        print(f"dom0's file  {want}\nguest's BAR  {got}")
        assert got == want, "the guest reads something else"
        guest.must("bar write 4096 'from the guest'")
        with open(FILE, "rb") as data:
            data.seek(4096)
            assert data.read(14) == b"from the guest", "what the guest wrote is not in the file"
        table = run("xen-lend").splitlines()
        print(*table, sep="\n")
        assert len(table) == 2 and table[1].split()[5] == "100%", "not all of it is lent"
        print(run("xl", "qemu-monitor-command", "ivshmem", "info xen-lend"))
    wait_for("the end of the lease", lambda: run("xen-lend").strip() == "nothing is lent")


if __name__ == "__main__":
    sys.exit(main())
