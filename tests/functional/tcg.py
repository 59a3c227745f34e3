# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest of the functional lane without Xen: same kernel, same initrd, same device lines, under TCG next to the emulated
machine. A test in dom0 asks for it and compares what the guest says with what it says under Xen."""

import hashlib
import os
import re
import select
import subprocess
import tempfile
import time

from machine import end_with_parent


def until(process, pending, pattern, end):
    """(before, match, rest) of the console, in which the pattern turns up before the time is over."""
    while True:
        found = re.search(pattern, pending)
        if found:
            return pending[:found.start()], found, pending[found.end():]
        if not select.select([process.stdout], [], [], max(0, end - time.time()))[0]:
            raise RuntimeError(f"the guest under TCG said nothing in time; last: {pending[-300:]!r}")
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            raise RuntimeError(f"the guest under TCG is gone; last: {pending[-300:]!r}")
        pending += data


def run(question, timeout=180):
    """question: args (of QEMU; {dir} is where the files are), files ({name: [seed, size]}, made like lendlab's pattern()),
    commands. The answer: output and exit code of each command, and the files' SHA-256 afterwards."""
    qemu, guest = os.environ["QEMU_DIR"], os.environ["GUEST_DIR"]
    end = time.time() + timeout
    with tempfile.TemporaryDirectory() as where:
        for name, (seed, size) in question["files"].items():
            with open(os.path.join(where, name), "wb") as out:
                out.write(hashlib.shake_128(f"lend {seed}".encode()).digest(size))
        argv = [qemu + "/qemu-system-x86_64", "-L", qemu + "/share", "-accel", "tcg", "-M", "pc", "-m", "192", "-nodefaults",
                "-display", "none", "-no-reboot", "-kernel", guest + "/vmlinuz", "-initrd", guest + "/initrd.gz",
                "-append", "console=ttyS0 loglevel=4 panic=1 mitigations=off", "-serial", "stdio",
                *(arg.format(dir=where) for arg in question["args"])]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=end_with_parent)
        try:
            _, _, pending = until(process, b"", rb"@lend ready\r?\n", end)
            outputs = []
            for number, command in enumerate(question["commands"]):
                process.stdin.write(f"{number} {command}\n".encode())
                process.stdin.flush()
                _, _, pending = until(process, pending, rb"@lend begin %d\r?\n" % number, end)
                text, code, pending = until(process, pending, rb"@lend end %d (\d+)\r?\n" % number, end)
                outputs.append([int(code[1]), text.decode(errors="replace").replace("\r\n", "\n")])
        finally:
            process.kill()
            process.wait()
        files = {}
        for name in question["files"]:
            with open(os.path.join(where, name), "rb") as data:
                files[name] = hashlib.sha256(data.read()).hexdigest()
    return {"outputs": outputs, "files": files}
