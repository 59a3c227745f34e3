# SPDX-License-Identifier: GPL-2.0-or-later
"""./lend shell: the machine with its console in this terminal. shell.py DIRECTORY shell|guest, in the build root."""

import sys

from machine import Machine, parts_from_environment

if __name__ == "__main__":
    machine = Machine(parts_from_environment(), sys.argv[1], mode=sys.argv[2], interactive=True)
    machine.start()
    try:
        machine.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        machine.kill()
