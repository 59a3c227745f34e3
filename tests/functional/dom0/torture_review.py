# SPDX-License-Identifier: GPL-2.0-or-later
"""Of what hostile readers have found, what depends on how fast the machine is: on one that is shared, these fail at times."""

from lendlab import limit, run
from lendvmm import GFN, Ring0, program
from test_review import lender_of, longest_revoke


@limit(90)
def test_x6_p2m_lock():
    """X6: a revoke does not wait while somebody reads the dirty bitmap of 512 MiB."""
    with Ring0() as guest, lender_of(guest) as lender:
        longest, took = longest_revoke(guest, lender, 1,
                                       lambda: float(run(program("lend_review"), str(guest.domid), hex(GFN), "dirty", "3")))
        assert longest < took / 8, f"a revoke took {longest:.0f} us"


@limit(60)
def test_x8_install_goes_on():
    """X8: an install of frames that have to be populated first is done in parts."""
    with Ring0() as guest, lender_of(guest, extra="maxmem = 32") as lender:
        lender.tap(f"batch {guest.domid} {GFN:#x} 0x1200")
        # one of the eleven that are there in the end
        assert guest.must(f"state read {GFN + 7:#x} 1").strip() == "77"
