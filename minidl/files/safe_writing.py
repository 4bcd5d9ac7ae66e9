"""Writing safely: at every moment, whatever happens, a file is the old one or the complete new one.

The new file is written beside the old one under a *partial* name, and replaces it in a single step when it is complete.
No two writers choose the same partial name: neither two threads of a process, nor processes with the same number in two
containers that share a folder.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STALE = 3600.0
"""Seconds after which a partial file that nobody has written to is taken for that of a process that was killed."""


def write_safely(path: Path, data: bytes, verify: Callable[[Path], object]) -> None:
    """Write ``data`` to ``path``.

    The new file is forced to the disk, and read again with ``verify``, before it replaces the old one.

    Raises:
        OSError: it cannot be written; the old file is unchanged.
    """
    path = Path(os.path.realpath(path))  # what a link leads to, and not the link
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected the name of a file, this is a folder")
    with partial_beside(path) as partial:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        verify(partial)
        partial.replace(path)
    sync_folder(path.parent)


@contextmanager
def partial_beside(path: Path) -> Iterator[Path]:
    """Yield a new and empty file in the folder of ``path``; in the end, remove it if it still has its name."""
    partial = path.with_name(f"{_start(path)}{os.urandom(8).hex()}.partial")
    partial.touch(exist_ok=False)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove stale partial files beside ``path``, left by processes that were killed.

    Their age is measured by a new file, since the clock of a file server may differ from that of this machine.
    """
    path = Path(os.path.realpath(path))
    ours = re.compile(re.escape(_start(path)) + r"[0-9a-f]{16}\.partial")
    with suppress(OSError), partial_beside(path) as newest:  # tidying up is no reason to fail
        for file in path.parent.iterdir():
            if ours.fullmatch(file.name) and newest.stat().st_mtime - file.stat().st_mtime > STALE:
                file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, so that they survive a power cut, if the file system can do that.

    Some cannot, such as those of network shares, and a user may lack the permission. The file itself is complete, so
    this is no reason to fail.
    """
    if hasattr(os, "O_DIRECTORY"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _start(path: Path) -> str:
    """Return what partial names begin with; of a long name only a part, since a file system allows about 255 bytes."""
    return f".{path.name[:40]}."
