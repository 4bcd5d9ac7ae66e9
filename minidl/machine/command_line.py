"""The command line: ``minidl doctor``, or ``python -m minidl doctor`` where the command is not on the path."""

import argparse
import os
import sys

from minidl import __version__
from minidl.machine import doctor
from minidl.machine.terminal import any_console


def main(given: list[str] | None = None) -> int:
    """Carry out the command line, or ``given`` in its place, and return the exit status."""
    parser = argparse.ArgumentParser(prog="minidl", description="A tiny deep-learning engine on NumPy.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("doctor", help="say what is installed here, how fast it is, and what would make it faster")
    parser.parse_args(given)
    any_console()
    try:
        return doctor.main()
    except BrokenPipeError:  # who reads has enough, as in "minidl doctor | head -1"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
