"""Writing safely: at every moment, whatever happens, a file is the old one or the whole new one."""

import os
from collections.abc import Callable
from pathlib import Path


def write_safely(path: Path, data: bytes, verify: Callable[[Path], object]) -> None:
    """Write ``data`` to ``path``.

    The new file is written beside the old one, forced to the disk, read again with ``verify``, and takes the place of
    the old one in a single step.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    path = Path(os.path.realpath(path))  # what a link leads to, and not the link
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # a second process writes beside, not into it
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        verify(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the new name, too, is to survive a power cut
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
