# SPDX-License-Identifier: GPL-2.0-or-later
"""What each instruction does on a BAR: the guest's program `insn` compares it with the same on RAM."""

import os
import struct

from lendlab import DATA

SLOT, SIZE = 8192, 1 << 20
KINDS = "lent", "absent", "readonly", "off"

# One line for those that end alike: instructions, then what comes of them in each kind of region. "-": not tried, since it reads what
# it has written. A signal: Xen's emulator does not know the instruction with memory that is a device's, and the process gets it.
TABLE = """
load8 load16 load32 load64 load_odd load_cross bt bsf movaps_load movups_load_cross paddd          same same same same
avx_load fld80 fild ldmxcsr fxrstor cmpxchg_not cmpxchg16b_not pop                                 same same same same
movsb_from movsq_from movsb_from_back lodsb scasb cmpsb                                            same same same same
store8 store16 store32 store64 store_odd store_cross add not shl bts                               same same dropped same
lock_add lock_add_cross lock_bts lock_xadd xchg cmpxchg cmpxchg8b cmpxchg16b                       same same dropped same
movaps_store movups_store movups_store_cross movhps_store movnti movntdq maskmovdqu                same same dropped same
avx_store avx_store_cross fstp80 fstp80_cross fst64 fnstcw stmxcsr fxsave fxsave_cross             same same dropped same
movsb movsb_cross movsb_back movsq movsq_cross movsq_back movsb_within                             same same dropped same
stosb stosb_cross stosq stosq_back push pop_there pushf call enter                                 same same dropped same
movsb_overlap push_pop call_ret enter_leave                                                        same same - same
exec                                                                                               same same same SIGSEGV
fldenv                                                                                             same same same SIGSEGV
fnstenv fnsave                                                                                     same same SIGSEGV SIGSEGV
xrstor                                                                                             same same same SIGILL
xsave                                                                                              same same SIGILL SIGILL
"""


def expected(kind):
    """{instruction: result}"""
    found = {}
    for line in TABLE.split("\n"):
        words = line.split()
        found.update(dict.fromkeys(words[:-4], words[-4:][KINDS.index(kind)]) if words else {})
    return found


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


def names(kind):
    return [name for name, result in expected(kind).items() if result != "-"]


def results(guest, kind, before=None):
    """{instruction: result}; before(guest) is done before each, if given."""
    every = names(kind)
    told = set(word.split()[0] for word in guest.must("insn list").splitlines())
    assert told == set(expected(kind)), f"not in both tables: {told ^ set(expected(kind))}"
    found = {}
    # a console line has at most 4096 bytes, half of which are plenty
    step = 1 if before else 30
    for start in range(0, len(every), step):
        if before:
            before(guest)
        text = guest.must(f"insn run {start} {' '.join(every[start:start + step])}", timeout=120)
        found.update(line.split() for line in text.splitlines())
    return found


def differences(kind, found):
    """Those that are not as in the table; an instruction that the processor does not have counts for nothing."""
    return [f"{kind}: {name} {found.get(name)}, not {result}" for name, result in expected(kind).items()
            if result != "-" and found.get(name) not in (result, "none")]


def microseconds(guest, what, length):
    """Of one string instruction (or, "bytes", as many stores), for each byte."""
    return int(guest.must(f"insn time {what} {length}", timeout=120)) / length
