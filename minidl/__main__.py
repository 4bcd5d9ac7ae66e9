"""``python -m minidl``: see `minidl.machine.command_line`."""

import sys

from minidl.machine.command_line import main

if __name__ == "__main__":
    sys.exit(main())
