# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane ept, on a processor that logs page modifications (PML) as well."""

import ept
import scenario
import test_attack
import torture
from lendlab import cases, limit

MACHINE = "bochs:corei7_skylake_x:1"


def test_machine():
    ept.vmx("Page Modification Logging")


@limit(240)
def test_lender_dom0():
    """Log-dirty mode among others, which would use PML: refused while anything is lent."""
    test_attack.test_lender_dom0()


@limit(200)
def test_stale_access():
    assert torture.stale_access(10 ** 9, 20, vcpus=3, rounds=0.1)["revocations"] > 100


CORE = {
    "reads": ept.reads,
    "writes": ept.writes,
    "steady": ept.steady,
    "write_back": ept.by(scenario.write_back),
}


@limit(1200)
@cases(*CORE)
def test_core(wanted):
    ept.core(wanted, CORE)
