# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane ept, on a processor with EPT whose superpages are not executable (XSA-304)."""

import ept
import scenario
import test_attack
import test_backing
import torture
from lendlab import case, cases, limit
from lendvmm import GFN, Bench, Ring0, Server

MACHINE = "bochs:corei7_haswell_4770:1"


def test_machine():
    assert "Page Modification Logging" not in ept.vmx("Disabling executable EPT superpages")


@limit(120)
def test_bystander():
    test_attack.test_bystander()


@limit(240)
def test_borrower():
    test_attack.test_borrower()


@limit(240)
def test_lender_dom0():
    test_attack.test_lender_dom0()


@limit(240)
def test_lender_guest():
    test_attack.test_lender_guest()


@limit(120)
def test_code_in_superpage():
    with test_attack.superpage() as guest:
        assert ept.entries(guest.domid, GFN, 512) == {GFN: (9, "rw", "WB!")}
        guest.tap(f"state code {GFN + 7:#x}")
        seen = ept.entries(guest.domid, GFN, 512)
        assert len(seen) == 512 and seen[GFN + 7] == seen[GFN + 511] == (0, "rwx", "WB!"), seen


MEMORY_TYPES = {
    "ram": (ept.ram, "", "rwx"),
    "ram_readonly": (ept.ram, "ro", "r x"),
    "device": (ept.device_memory, "", "WC"),
    "device_wc": (ept.device_memory, "wc", "WC"),
    "device_uc": (ept.device_memory, "uc", "UC!"),
    "recomputed": (ept.recomputed,),
    "gigabytes": (ept.gigabytes,),
}


@limit(400)
@cases(*MEMORY_TYPES)
def test_memory_type(wanted):
    for name in wanted:
        with case(name):
            function, *args = MEMORY_TYPES[name]
            function(*args)


@limit(120)
def test_machine_check():
    """Recoverable, action required: one code for data, another for instructions."""
    with test_attack.nothing_left(), Ring0() as guest, Server(guest.domid) as server:
        server.do("lease memfd 16")
        server.do("fill 0 16 0x1000")
        server.do("truncate 8")
        guest.tap(f"state gone {GFN + 9:#x} 0x134")
        guest.tap(f"state fetch {GFN + 10:#x} 0x150")
        assert guest.must(f"state read {GFN + 7:#x} 1") == "1007"


@limit(200)
def test_stale_access():
    assert torture.stale_access(10 ** 9, 30, vcpus=2, rounds=0.1)["revocations"] > 100


CORE = {
    "reads": ept.reads,
    "writes": ept.writes,
    "steady": ept.steady,
    "write_back": ept.by(scenario.write_back),
    "page_cache_drop": ept.by(scenario.page_cache_drop),
    "hole_punch": ept.by(scenario.hole_punch),
}


@limit(1200)
@cases(*CORE)
def test_core(wanted):
    ept.core(wanted, CORE)


LINUX = {
    "memfd": test_backing.memfd,
    "machine_check": test_backing.truncated_while_leased,
    "readonly_lease": test_backing.readonly_lease,
    "file_by_descriptor": test_backing.fd_of_file,
}


@limit(1200)
@cases(*LINUX)
def test_linux(wanted):
    """A guest that gets a machine check on one of two vCPUs, and goes on; and what else a Linux guest does."""
    with Bench(vcpus=2) as bench:
        for name in wanted:
            bench.case(name, LINUX[name])
