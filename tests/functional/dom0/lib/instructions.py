# SPDX-License-Identifier: GPL-2.0-or-later
"""What each instruction does on a BAR: the guest's program `insn` compares it with the same on RAM. What is expected is the table
in docs/instructions.md, nothing else."""

import os
import re
import struct

from lendlab import DATA, LEND

SLOT, SIZE = 8192, 1 << 20
KINDS = "lent", "absent", "readonly", "off", "kvm_lent", "kvm_absent", "kvm_readonly"    # the columns


def read_table():
    """{instruction: {kind: result}}"""
    found = {}
    with open(f"{LEND}/tests/instructions.md", encoding="utf-8") as page:
        for line in page:
            if not line.startswith("| `"):
                continue
            names, *results = [cell.strip() for cell in line.strip().strip("|").split("|")]
            assert len(results) == len(KINDS), line
            for name in re.findall(r"`(\w+)`", names):
                assert name not in found, f"{name} is in the table twice"
                found[name] = dict(zip(KINDS, results))
    return found


TABLE = read_table()


def contents():
    """What the program takes for the memory's contents, see words() there."""
    data = bytearray()
    for offset in range(0, SIZE, SLOT):
        slot = bytearray(struct.pack(f"<{SLOT // 8}Q", *(((offset + i) * 0x9e3779b97f4a7c15 + 0x123456789abcdef) & (1 << 64) - 1
                                                        for i in range(0, SLOT, 8))))
        slot[512:518] = bytes([0xb8, 0x34, 0x12, 0, 0, 0xc3])
        slot[1024:1056] = bytes(32)
        slot[1024:1026] = b"\x7f\x02"
        slot[1048:1050] = b"\x80\x3f"
        slot[1536:1600] = bytes(64)
        slot[1536] = 3
        data += slot
    return bytes(data)


def fill(path):
    with open(path, "r+b" if os.path.exists(path) else "wb") as out:
        out.write(contents())
        out.flush()
        os.fsync(out.fileno())


def new_file(name):
    path = os.path.join(DATA, name)
    fill(path)
    return path


def unchanged(path):
    with open(path, "rb") as file:
        return file.read() == contents()


def results(guest, kind, before=None):
    """{instruction: result}; before() is called before each, if given."""
    told = set(word.split()[0] for word in guest.must("insn list").splitlines())
    assert told == set(TABLE), f"not in both, program and table: {told ^ set(TABLE)}"
    every = [name for name in TABLE if TABLE[name][kind] != "-"]
    found = {}
    # a console line has at most 4096 bytes, half of which are plenty
    step = 1 if before else 30
    for start in range(0, len(every), step):
        if before:
            before()
        text = guest.must(f"insn run {start} {' '.join(every[start:start + step])}", timeout=120)
        found.update(line.split() for line in text.splitlines())
    assert list(found) == every, f"no word on {set(every) ^ set(found)}"
    return found


def differences(kind, found):
    """What is not as in the table."""
    return [f"{name} {result}, not {TABLE[name][kind]}" for name, result in found.items() if result != TABLE[name][kind]]


def microseconds(guest, what, length):
    """Of one string instruction (or, "bytes", as many stores), for each byte."""
    return int(guest.must(f"insn time {what} {length}", timeout=120)) / length
