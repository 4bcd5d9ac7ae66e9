"""IDX, the file format of MNIST: a few bytes that give the type and the shape, then the numbers.

Many data sets imitate MNIST down to the names of its four files, and load the same way. A file may be damaged, gzipped
or hostile, so its header is checked against its length before any memory is asked for.
"""

import math
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from minidl.backend import Array
from minidl.datasets import Dataset, standardize

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The type byte of an IDX file, and the NumPy type it stands for. All numbers are big-endian."""

DEFLATE_MOST = 1032
"""Deflate, the method of gzip, cannot shrink a file by more than this factor."""

PIECE = 1 << 20
"""Bytes that are read at a time."""


def load_idx(
    folder: str | Path, dtype: str = "float32", sha256: Mapping[str, str] | None = None
) -> tuple[Dataset, Dataset]:
    """Load a data set laid out like MNIST (Fashion-MNIST, KMNIST, your own), standardised.

    Args:
        folder: holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
            ``t10k-labels-idx1-ubyte``, each as it is or with ``.gz`` at the end.
        dtype: of the samples, ``"float32"`` or ``"float64"``.
        sha256: checksums to verify, of the unpacked files, by the first two words of their names.

    Returns:
        The training set and the test set, images flattened to a row each; see `standardize`.

    Raises:
        FileNotFoundError: one of the four files is missing.
        ValueError: a file is not what its name says, or fails its checksum; there are more images than labels, or
            fewer; there are none; or test images have another size than training images.
    """
    checksums = sha256 or {}
    train, test = read_sets(Path(folder), lambda path, name: read_idx(path, checksums.get(name)))
    return standardize(train, test, dtype)


def read_sets(folder: Path, read: Callable[[Path, str], Array]) -> tuple[Dataset, Dataset]:
    """Return the two sets of a folder laid out like MNIST, images as rows, as they are.

    Args:
        folder: holds the four files that `load_idx` lists.
        read: returns the array in a file, given its path and the first two words of its name.

    Raises:
        FileNotFoundError, ValueError: as in `load_idx`.
    """
    sets: list[Dataset] = []
    shape: tuple[int, ...] = ()
    for part in ("train", "t10k"):
        images = read(_find(folder, f"{part}-images-idx3-ubyte"), f"{part}-images")
        labels = read(_find(folder, f"{part}-labels-idx1-ubyte"), f"{part}-labels")
        if images.ndim < 2 or labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{folder}: expected {part} images of at least 2 dimensions and integer labels of 1, "
                f"got shapes {images.shape} and {labels.shape} {labels.dtype}"
            )
        if labels.size and labels.min() < 0:
            raise ValueError(f"{folder}: expected {part} labels from 0, got {labels.min()}")
        if sets and images.shape[1:] != shape:
            raise ValueError(f"{folder}: expected {part} images of {shape} as for training, got {images.shape[1:]}")
        shape = images.shape[1:]
        if len(images) != len(labels) or not len(images):
            raise ValueError(
                f"{folder}: expected a label for every {part} image, and at least one; "
                f"got {len(images)} images and {len(labels)} labels"
            )
        sets.append(Dataset(images.reshape(len(images), -1), labels.astype(np.int64)))
    train, test = sets
    return train, test


def read_idx(path: str | Path, sha256: str | None = None) -> Array:
    """Read an array from an IDX file, gzipped or not.

    The file begins with two zero bytes, a byte for the type, a byte for the number of dimensions, and the length of
    each dimension as a big-endian 32-bit integer; then come the numbers, the last dimension running fastest.

    Args:
        path: the file. Whether it is gzipped is seen from its first bytes, not from its name.
        sha256: the checksum of the unpacked file as 64 hexadecimal digits, or None to trust it.

    Returns:
        The array, in the byte order of this machine. It is read-only where it needed no conversion.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no IDX file, is shorter or longer than it says, or fails its checksum.
    """
    import gzip  # here, because importing minidl should cost little
    import hashlib

    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            if zipped:
                with gzip.open(raw) as file:
                    header, shape, data = _read_parts(path, cast(BinaryIO, file), size * DEFLATE_MOST)
            else:
                header, shape, data = _read_parts(path, raw, size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}") from error
    if sha256 is not None:
        digest = hashlib.sha256(header)
        digest.update(data)
        if digest.hexdigest() != sha256.lower():
            raise ValueError(f"{path}: damaged: expected SHA-256 {sha256}, got {digest.hexdigest()}")
    try:
        array = np.frombuffer(data, IDX_TYPES[header[2]]).reshape(shape)
    except ValueError as error:
        raise ValueError(f"{path}: shape {shape} is not possible: {error}") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_parts(path: Path, file: BinaryIO, most: int) -> tuple[bytes, tuple[int, ...], memoryview]:
    """Return header, shape and data. Take no more memory than there are data, whatever the header promises."""
    header, shape = read_header(path, file)
    expected = math.prod(shape) * np.dtype(IDX_TYPES[header[2]]).itemsize
    data, left = bytearray(), min(expected, most) + 1
    while left > 0 and (piece := file.read(min(left, PIECE))):  # asked for as a whole, it would be taken as a whole
        data += piece
        left -= len(piece)
    if len(data) != expected:
        got = "more" if len(data) > expected else f"{len(data):,}"
        raise ValueError(f"{path}: expected {expected:,} bytes of data for shape {shape}, got {got}")
    return header, shape, memoryview(data).toreadonly()


def read_header(path: Path, file: BinaryIO) -> tuple[bytes, tuple[int, ...]]:
    """Return the header of an IDX file, whose third byte is the type, and the shape that it gives."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or not 1 <= magic[3] <= 32:
        raise ValueError(f"{path}: not an IDX file: it starts with the bytes {magic.hex(' ') or '(none)'}")
    lengths = file.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise ValueError(f"{path}: truncated in its header")
    return magic + lengths, struct.unpack(f">{magic[3]}I", lengths)


def _find(folder: Path, name: str) -> Path:
    """Return the path of the file called ``name`` or ``name.gz``."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"folder: expected {name} or {name}.gz in {folder}")
