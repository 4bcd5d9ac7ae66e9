"""Where the output goes: a terminal, a notebook, a file, or nowhere."""

import sys
from io import TextIOWrapper
from typing import Any, TextIO


def in_notebook() -> bool:
    """Return whether this is a Jupyter kernel, whose output is shown in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def usable(stream: TextIO | Any | None) -> bool:
    """Return whether ``stream`` can be written to: a program without a console has None, or a closed one."""
    return stream is not None and not getattr(stream, "closed", False)


def any_console() -> None:
    """Let what a console cannot show become a question mark: not every one has an arrow or a Greek letter.

    On Windows, output that goes to a file or through a pipe has an old code page with 256 letters.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def tell(message: str) -> None:
    """Write a line to the standard error, where there is one."""
    if usable(sys.stderr):
        print(message, file=sys.stderr)
