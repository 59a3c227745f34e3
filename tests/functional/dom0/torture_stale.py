# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane torture: 100,000 revocations; and a million, in four parts that can be run one by one."""

import torture
from lendlab import case, cases, limit


@limit(5400)
def test_stale_access():
    assert torture.stale_access(100000, 5200)["revocations"] >= 100000


@limit(54000)
@cases("1", "2", "3", "4")
def test_million(wanted):
    """Each part on a guest of its own, by a seed of its own."""
    for part in wanted:
        with case(part):
            assert torture.stale_access(250000, 13000, part=int(part))["revocations"] >= 250000
