# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions on a read-only BAR under KVM, where its host emulates what writes: nothing that Xen carries out fails there, and what a dropped
string store takes there is what it may take under Xen. And the same under Xen: the table there has not been run through yet."""

import os

import instructions
from kvmguest import KvmGuest
from lendlab import Guest, ivshmem, kvm, limit, madvise, note, wait_for
from lendvmm import no_kernel_complaints


@limit(400)
@kvm
def test_readonly():
    path = instructions.new_file("instructions")
    os.chmod(path, 0o444)
    args = ["-object", f"memory-backend-file,id=lm,size=1M,mem-path={path},share=on,readonly=on", "-device", "ivshmem-plain,memdev=lm"]
    with KvmGuest("instr", args) as guest:
        found = instructions.results(guest, "readonly")
        times = {what: instructions.microseconds(guest, what, 256) for what in ("bytes", "movsb", "stosb")}
    with open(path, "rb") as file:
        assert file.read() == instructions.contents(), "the file was written to"
    os.unlink(path)
    expected = instructions.expected("readonly")
    for name, result in found.items():
        if result != expected[name]:
            note(f"{name}: KVM {result}, Xen {expected[name]}")
    note("microseconds for a byte: " + "; ".join(f"{what} {value:.2f}" for what, value in times.items()))
    worse = [name for name, result in found.items() if expected[name].startswith("SIG") and result in ("same", "dropped")]
    assert not worse, f"KVM carries out {worse}"


@limit(420)
def test_s4_instructions():
    """S4: each instruction on memory that is lent, there or not, read-only, or not lent at all: as on RAM, or as the table says. And a string
    instruction into read-only memory takes less for a byte than an emulated store."""
    wrong, found, times = [], {}, {}
    path = instructions.new_file("instructions")

    def take(guest):
        madvise(guest.dm_pid(), path, 21)
        wait_for("the pages to go", lambda: guest.lease()["installed"] == 0 or madvise(guest.dm_pid(), path, 21) < 0, 10)

    with Guest("instr", ivshmem(path, "1M")) as guest:
        guest.must("bar touch 0 1048576")
        found["lent"] = instructions.results(guest, "lent")
        instructions.fill(path)
        before = guest.lease()
        found["absent"] = instructions.results(guest, "absent", take)
        after = guest.lease()
        faults, tried = after["faults"] - before["faults"], [name for name, result in found["absent"].items() if result != "none"]
        assert faults >= len(tried), f"{faults} faults with {len(tried)} instructions"
        note(f"absent: {len(tried)} instructions, {faults} faults")
    instructions.fill(path)
    with Guest("instr", ivshmem(path, "1M") + ["-machine", "xen-lend=off"]) as guest:
        found["off"] = instructions.results(guest, "off")
        times["off, each byte"] = instructions.microseconds(guest, "bytes", 256)
    instructions.fill(path)
    os.chmod(path, 0o444)
    args = ["-object", f"memory-backend-file,id=lm,size=1M,mem-path={path},share=on,readonly=on", "-device", "ivshmem-plain,memdev=lm"]
    with Guest("instr", args) as guest:
        assert guest.lease()["readonly"]
        found["readonly"] = instructions.results(guest, "readonly")
        with open(path, "rb") as file:
            assert file.read() == instructions.contents(), "the file was written to"
        for what, length in (("bytes", 256), ("movsb", 65536), ("stosb", 65536), ("stosq", 65536)):
            times[f"read-only, {what}"] = instructions.microseconds(guest, what, length)
        with open(path, "rb") as file:
            assert file.read() == instructions.contents(), "the file was written to"
    os.unlink(path)
    note(f"{'':18s}" + "".join(f"{kind:10s}" for kind in instructions.KINDS))
    for name in instructions.expected("lent"):
        note(f"{name:18s}" + "".join(f"{found[kind].get(name, '-'):10s}" for kind in instructions.KINDS))
    note("microseconds for a byte: " + "; ".join(f"{what} {value:.2f}" for what, value in times.items()))
    for kind in instructions.KINDS:
        wrong += instructions.differences(kind, found[kind])
    assert not wrong, "; ".join(wrong)
    slow = {what: value for what, value in times.items() if what.startswith("read-only, ") and value > times["off, each byte"] * 1.5}
    assert not slow, (slow, times)
    no_kernel_complaints()
