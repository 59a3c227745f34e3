# SPDX-License-Identifier: GPL-2.0-or-later
"""A short one; the lane torture has the long one."""

import torture
from lendlab import limit


@limit(150)
def test_stale_access():
    assert torture.stale_access(10 ** 9, 30)["revocations"] > 100
