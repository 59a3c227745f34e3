# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane ept, on a processor that logs page modifications (PML) as well."""

import ept
import scenario
import test_attack
import torture
from lendlab import cases, limit

MACHINE = "bochs:corei7_skylake_x:2"


def test_machine():
    ept.vmx("Page Modification Logging")


@limit(240)
def test_borrower():
    test_attack.test_borrower()


@limit(240)
def test_lender_dom0():
    test_attack.test_lender_dom0()


@limit(200)
def test_stale_access():
    """Both processors are dom0's and the guest's: with a flush of the other one, and with one when a vCPU comes back."""
    assert torture.stale_access(10 ** 9, 20, vcpus=3, rounds=0.1)["revocations"] > 100


CORE = {
    "reads": None, "writes": None, "steady": None,
    "write_back": ept.by(scenario.write_back),
}


@limit(1200)
@cases(*CORE)
def test_core(wanted):
    ept.core(wanted, {name: way for name, way in CORE.items() if way})
