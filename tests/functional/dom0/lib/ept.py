# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the lane ept share: the demo's core on one guest, and a look into Xen's EPT tables."""

import glob
import re

import scenario
from lendlab import backing, case, run, sha256, xen_log
from lendvmm import GFN, Ring0, Server, no_kernel_complaints, program

SUPER = 512                         # pages of a superpage
MIB = 1 << 20


def vmx(*features):
    """What Xen said of the processor. To be asked before any test that clears Xen's log."""
    text = xen_log()
    for feature in ("HVM: VMX enabled", "Extended Page Tables (EPT)", *features):
        assert feature in text, f"Xen does not say '{feature}'"
    return text


# ---- the demo's core -----------------------------------------------------------

def core(wanted, steps):
    """Case by case, as the demo tells them, on one guest: it takes long to start here."""
    path = backing("lent", 2 * MIB)
    with scenario.borrower(path, 2 * MIB) as guest:
        for name in [name for name in steps if name in wanted]:
            with case(name):
                steps[name](guest, path)
    scenario.healthy()


def reads(guest, path):
    seen = guest.must(f"bar cat 0 {2 * MIB} | sha256sum", timeout=120).split()[0]
    assert seen == sha256(scenario.read_file(path)), seen


def writes(guest, path):
    scenario.writes(guest, path, 2 * MIB)


def steady(guest, _path):
    scenario.steady(guest)


def by(way):
    return lambda guest, path: scenario.taken(guest, path, way, times=1, pages=32)


# ---- tables --------------------------------------------------------------------

def entries(domid, first, count):
    """{gfn: (order, rights, memory type)} of Xen's EPT table; '!' after the type: the guest's PAT is ignored."""
    text = xen_log("D")
    assert f"domain{domid} EPT" in text, text[-500:]
    text = text.split(f"domain{domid} EPT p2m table:")[1].split("EPT p2m table:")[0]
    found = {}
    for gfn, order, rights, kind in re.findall(r"gfn: +([0-9a-f]+) order: +(\d+) mfn: +[0-9a-f]+ (...) (...)", text):
        if first <= int(gfn, 16) < first + count:
            found[int(gfn, 16)] = int(order), rights.strip(), kind.strip()
    return found


def video_memory():
    """The BAR with the memory of the emulated card."""
    for path in glob.glob("/sys/bus/pci/devices/*"):
        with open(path + "/vendor") as vendor, open(path + "/device") as device:
            if (vendor.read().strip(), device.read().strip()) == ("0x1234", "0x1111"):
                break
    else:
        raise AssertionError("there is no card of Bochs'")
    run(program("vbe"))
    with open(path + "/enable", "w") as enable:
        enable.write("1")
    return path + "/resource0"


def device_memory(options, kind):
    """A lease on a BAR: superpages, of the memory type that the lease says; a revoke of part of one takes all of it."""
    pages = 2 * SUPER
    with Ring0() as guest, Server(guest.domid) as server:
        server.do(f"lease dev={video_memory()} {pages} {options}")
        server.do(f"fill 0 {pages} 0x1000")
        for page in 0, SUPER + 1, 8:
            assert guest.must(f"state read {GFN + page:#x} 1") == f"{0x1000 + page:x}"
        seen = entries(guest.domid, GFN, pages)
        assert sorted(seen) == [GFN, GFN + SUPER], seen
        for order, rights, memory in seen.values():
            assert (order, rights[:2], memory) == (9, "rw", kind), seen
        server.do("munmap 8 16")
        assert server.stats()["installed"] == pages - SUPER, server.stats()
        seen = entries(guest.domid, GFN, pages)
        assert seen[GFN + SUPER][1][:2] == "rw" and seen[GFN][:2] == (9, ""), seen
        assert guest.must(f"state read {GFN + 7:#x} 1") == "1007"
        server.do("remap 8 16")
        server.do("fill 8 16 0x70000")
        assert guest.must(f"state read {GFN + 9:#x} 1") == "70009"
    no_kernel_complaints()


def recomputed():
    """A guest that has access to some device changes its MTRRs, and Xen finds all memory types anew, at the next access."""
    pages = 2 * SUPER
    with Ring0(extra='ioports = [ "2f8" ]') as guest, Server(guest.domid) as server, Server(guest.domid, GFN + pages) as other:
        server.do(f"lease dev={video_memory()} {pages} wc")
        server.do(f"fill 0 {pages} 0x1000")
        other.do("lease memfd 16")
        other.do("fill 0 16 0x9000")
        places = GFN, GFN + SUPER, GFN + pages + 3
        words = [guest.must(f"state read {gfn:#x} 1") for gfn in places]
        before = entries(guest.domid, GFN, pages + 16)
        assert before[places[1]] == (9, before[GFN][1], "WC") and before[places[2]] == (0, "rwx", "WB!"), before
        guest.must(f"state mtrr {GFN:#x}")
        assert any("?" in kind for _, _, kind in entries(guest.domid, GFN, pages + 16).values()), "nothing is to be found anew"
        assert [guest.must(f"state read {gfn:#x} 1") for gfn in places] == words
        assert entries(guest.domid, GFN, pages + 16) == before
        guest.must(f"state mtrr {GFN:#x}")
        server.do("munmap 8 16")
        server.do("remap 8 16")
        other.do("ro 3 1")
        other.do("rw 3 1")
        assert [guest.must(f"state read {gfn:#x} 1") for gfn in places] == words
    no_kernel_complaints()


def gigabytes():
    """A lease of 2 GiB is two entries; one page of it, two tables. Revoked and ended as a whole."""
    pages = 2 << 18
    with Ring0() as guest, Server(guest.domid) as server:
        server.do(f"lease memfd {pages}")
        assert entries(guest.domid, GFN, pages) == {GFN: (18, "", "UC"), GFN + (1 << 18): (18, "", "UC")}
        server.do("fill 300000 1 0x5")
        assert guest.must(f"state read {GFN + 300000:#x} 1") == f"{300005:x}"
        seen = entries(guest.domid, GFN, pages)
        assert seen[GFN] == (18, "", "UC") and seen[GFN + 300000] == (0, "rwx", "WB!"), seen[GFN]
        assert len(seen) == 1 + 511 + 512, len(seen)
        server.do(f"punch 0 {pages}")
        assert server.stats()["installed"] == 0, server.stats()
        assert guest.must(f"state read {GFN + 300000:#x} 1") == "0"
        server.do("unlease")
        assert not entries(guest.domid, GFN, pages)
    no_kernel_complaints()


def ram(options, rights):
    """Dom0's RAM: write-back, whatever the guest's PAT says."""
    with Ring0() as guest, Server(guest.domid) as server:
        server.do(f"lease memfd 16 {options}")
        server.do("fill 0 16 0x1000")
        assert guest.must(f"state read {GFN:#x} 2").split() == ["1000", "1001"]
        if "w" in rights:
            guest.tap(f"state code {GFN + 1:#x}")
        seen = entries(guest.domid, GFN, 16)
        assert seen[GFN + 1] == (0, rights, "WB!"), seen
        assert len(seen) == 16, seen
    no_kernel_complaints()
