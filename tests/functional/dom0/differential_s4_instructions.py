# SPDX-License-Identifier: GPL-2.0-or-later
"""S4 of the reviews: each instruction on memory that is lent, absent, read-only, or not lent at all, and the same under KVM. What
comes of each is what the table in docs/instructions.md says. And string stores that are dropped take no longer than under KVM."""

import os

import instructions
from kvmguest import KvmGuest
from lendlab import XEN, Guest, Skip, ask, case, cases, ivshmem, kvm, limit, madvise, mapping_of, note, wait_for
from lendvmm import no_kernel_complaints

STRINGS = "movsb", "stosb", "stosq"


def guest_with(*args):
    return (Guest if XEN else KvmGuest)("instr", args)


def resident(pid, path):
    """kB of the file in the process's page tables: what is not there is not in KVM's either."""
    start, _ = mapping_of(pid, path)
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            if line.startswith(f"{start:x}-"):
                break
        return next(int(line.split()[1]) for line in smaps if line.startswith("Rss:"))


def lent(path, kind):
    with guest_with(*ivshmem(path, "1M")) as guest:
        guest.must("bar touch 0 1048576")
        return instructions.results(guest, kind)


def absent(path, kind):
    # MADV_PAGEOUT leaves alone what another processor has read in but not yet listed; QEMU inherits this
    os.sched_setaffinity(0, {0})
    with guest_with(*ivshmem(path, "1M")) as guest:
        pid = guest.dm_pid()

        def left():
            return guest.lease()["installed"] if XEN else resident(pid, path)

        def take():
            wait_for("the pages to go", lambda: madvise(pid, path, 21) >= 0 and left() == 0, 10)

        guest.must("bar touch 0 1048576")
        assert left() > 0, "nothing to take away"
        return instructions.results(guest, kind, take)


def off(path, kind):
    with guest_with(*ivshmem(path, "1M"), "-machine", "xen-lend=off") as guest:
        return instructions.results(guest, kind)


def readonly(path, kind):
    """And how long a dropped byte takes. KVM's guest exits for each element, which in the emulated machine takes long."""
    os.chmod(path, 0o444)
    with guest_with("-object", f"memory-backend-file,id=lm,size=1M,mem-path={path},share=on,readonly=on",
                    "-device", "ivshmem-plain,memdev=lm") as guest:
        assert not XEN or guest.lease()["readonly"]
        found = instructions.results(guest, kind)
        times = {what: instructions.microseconds(guest, what, 65536 if XEN and what in STRINGS else 256)
                 for what in ("bytes", *STRINGS)}
    with open(path, "rb") as file:
        assert file.read() == instructions.contents(), "the file was written to"
    note("us for a dropped byte: " + ", ".join(f"{what} {value:.2f}" for what, value in times.items()))
    ask(keep={f"S4 {'Xen' if XEN else 'KVM'}": times})
    return found


KINDS = {"lent": lent, "absent": absent, "off": off, "readonly": readonly}


def try_all(wanted):
    for name in wanted:
        if name == "speed":
            continue
        kind = name if XEN else "kvm_" + name
        with case(name):
            path = instructions.new_file("instructions")
            found = KINDS[name](path, kind)
            os.unlink(path)
            for result in sorted(set(found.values())):
                those = [which for which in found if found[which] == result]
                note(f"{result}: {len(those)}" + (f" ({' '.join(those)})" if result != "same" else ""))
            wrong = instructions.differences(kind, found)
            assert not wrong, "; ".join(wrong)
            if XEN:
                no_kernel_complaints()


@limit(900)
@cases("lent", "absent", "off", "readonly", "speed")
def test_xen(wanted):
    try_all(wanted)
    if "speed" in wanted:
        with case("speed"):
            times = ask(kept="S4 Xen")
            if not times:
                raise Skip("the case readonly has not told how long it takes")
            slow = [what for what in STRINGS if times[what] > times["bytes"] / 4]
            assert not slow, f"{slow}: not much faster than stores of a byte each"


@limit(900)
@cases("lent", "absent", "readonly", "speed")
@kvm
def test_kvm(wanted):
    try_all(wanted)
    if "speed" in wanted:
        with case("speed"):
            kvms, xens = ask(kept="S4 KVM"), ask(kept="S4 Xen")
            if not kvms or not xens:
                raise Skip("one of the cases readonly has not told how long it takes")
            note("time for a dropped byte, Xen's by KVM's: " + ", ".join(f"{what} {xens[what] / kvms[what]:.2f}" for what in kvms))
            slow = [what for what in STRINGS if xens[what] > kvms[what]]
            assert not slow, f"{slow}: slower than under KVM"
