# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane torture: 100,000 revocations."""

import torture
from lendlab import limit


@limit(5400)
def test_stale_access():
    assert torture.stale_access(100000, 5200)["revocations"] >= 100000
