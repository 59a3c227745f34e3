# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions on a read-only BAR under KVM, where its host emulates what writes: nothing that Xen carries out fails there, and what a dropped
string store takes there is what it may take under Xen. The same under Xen is the test review.s4_instructions."""

import os

import instructions
from kvmguest import KvmGuest
from lendlab import kvm, limit, note


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
