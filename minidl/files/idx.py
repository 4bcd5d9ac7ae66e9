"""IDX, the file format of MNIST: a few bytes that give the type and the shape, then the numbers.

Many data sets imitate MNIST, even the names of its four files, and load in the same way. A file may be damaged, gzipped
or malicious, so its header is checked against its length before any memory is requested.
"""

import math
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from minidl.backend import Array
from minidl.checks import flag
from minidl.datasets import Dataset
from minidl.preparation.standardization import standardize

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The type byte of an IDX file, and the NumPy type it stands for. All numbers are big-endian."""

MNIST_SHA256 = {
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Checksums of MNIST's four files, unpacked."""

IDX_NAME = re.compile(
    r"(?:(?P<set>[^.].*)-)?(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.](?:idx\d?(?:[-.]\w+)?|ubyte)(?:\.gz)?",
    re.IGNORECASE,
)
"""The name of one of the four files of a data set, as MNIST, its copies and EMNIST spell it."""

DEFLATE_MOST = 1032
"""Deflate, the method of gzip, cannot shrink a file by more than this factor."""

PIECE = 1 << 20
"""Bytes that are read at a time."""


WORDS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
"""The first two words of the names that the four files have in MNIST."""


def load_idx(
    folder: str | Path,
    dtype: str = "float32",
    sha256: Mapping[str, str] | None = None,
    *,
    name: str = "",
    first_label: int = 0,
    transpose: bool = False,
) -> tuple[Dataset, Dataset]:
    """Load a data set laid out like MNIST (Fashion-MNIST, KMNIST, EMNIST, your own), standardised.

    EMNIST's images lie on their side, and its letters are numbered from 1, so its letters load with
    ``load_idx(folder, name="emnist-letters", first_label=1, transpose=True)``.

    Args:
        folder: holds four files, of images and labels for training and for testing. Their names are
            ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
            ``t10k-labels-idx1-ubyte``. Variants are allowed: a dot before ``idx``, as in ``train-images.idx3-ubyte``;
            ``test`` instead of ``t10k``; a name in front, as in ``emnist-letters-train-images-idx3-ubyte``; and ``.gz``
            at the end.
        dtype: of the samples, ``"float32"`` or ``"float64"``.
        sha256: checksums to verify, of the unpacked files, by the first two words of their names in MNIST.
        name: which set to load from a folder that holds several.
        first_label: the lowest label in the files, which becomes 0.
        transpose: exchange rows and columns of each image.

    Returns:
        The training set and the test set, with one row for each image; see `minidl.standardize`.

    Raises:
        FileNotFoundError: one of the four files is missing.
        ValueError: a file is not what its name says, or fails its checksum; the numbers of images and labels differ,
            or are 0; test images have another size than training images; the folder has several sets, and ``name``
            does not choose one; or a label is below ``first_label``.
    """
    check_options(first_label, transpose)
    checksums = sha256 or {}
    if unknown := set(checksums) - set(WORDS):
        raise ValueError(f"sha256: expected keys among {', '.join(WORDS)}, got {', '.join(map(str, unknown))}")

    def read(path: Path, what: str) -> Array:
        array = read_idx(path, checksums.get(what))
        if what.endswith("labels"):
            return from_zero(array, first_label)
        if transpose and array.ndim != 3:
            raise ValueError(f"transpose: expected images of rows and columns, got shape {array.shape} in {path}")
        return array.swapaxes(1, 2) if transpose else array

    train, test = read_sets(Path(folder), read, name)
    return standardize(train, test, dtype)


def check_options(first_label: int, transpose: bool) -> None:
    """Raise a TypeError unless ``first_label`` is a whole number, and ``transpose`` True or False."""
    if not isinstance(first_label, Integral) or isinstance(first_label, bool):
        raise TypeError(f"first_label: expected a whole number, got {first_label!r}")
    flag("transpose", transpose)


def from_zero(labels: Array, first_label: int) -> Array:
    """Return labels of which ``first_label`` has become 0, if they are whole numbers."""
    return labels.astype(np.int64) - int(first_label) if labels.dtype.kind in "iu" else labels


def read_sets(folder: Path, read: Callable[[Path, str], Array], name: str = "") -> tuple[Dataset, Dataset]:
    """Return the two sets of a folder laid out like MNIST, images as rows, not standardised.

    Args:
        folder: holds the four files that `load_idx` lists.
        read: returns the array in a file, given its path and the first two words of its name in MNIST.
        name: as for `load_idx`.

    Raises:
        FileNotFoundError, ValueError: as in `load_idx`.
    """
    files = find_files(folder, name)
    sets: list[Dataset] = []
    shape: tuple[int, ...] = ()
    for part in ("train", "t10k"):
        images, labels = (read(files[what], what) for what in (f"{part}-images", f"{part}-labels"))
        if images.ndim < 2 or labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{folder}: expected {part} images of at least 2 dimensions and integer labels of 1, "
                f"got shapes {images.shape} and {labels.shape} {labels.dtype}"
            )
        if labels.size and labels.min() < 0:
            raise ValueError(f"{folder}: expected {part} labels from 0, got {labels.min()}; see first_label")
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


def find_files(folder: Path, name: str = "") -> dict[str, Path]:
    """Return the four files of a data set by the first two words that their names have in MNIST.

    If a folder has the same file twice, a hyphen is preferred to a dot, and an unpacked file to a gzipped one.

    Raises:
        FileNotFoundError, ValueError: as in `load_idx`.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: there is no folder {folder}")
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (".idx" in path.name, path.name)):
        match = IDX_NAME.fullmatch(path.name)
        if match and path.is_file():
            part = "train" if match["part"].lower() == "train" else "t10k"
            found.setdefault(match["set"] or "", {}).setdefault(f"{part}-{match['kind'].lower()}", path)
    if not name and "" not in found and len(found) > 1:
        raise ValueError(f"name: expected one of the sets in {folder}, {', '.join(sorted(found))}; got none")
    chosen = found.get(name, {}) if name or "" in found or not found else next(iter(found.values()))
    prefix = f"{name}-" if name else ""
    for what in WORDS:
        if what not in chosen:
            expected = f"{prefix}{what}-idx{3 if what.endswith('images') else 1}-ubyte"
            raise FileNotFoundError(f"folder: expected {expected} or {expected}.gz in {folder}{_listed(folder)}")
    return chosen


def _listed(folder: Path) -> str:
    """Return a list of the files in a folder, for the end of an error message."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f", got {', '.join(names[:8])}{more}" if names else ", which is empty"


def read_idx(path: str | Path, sha256: str | None = None) -> Array:
    """Read an array from an IDX file, gzipped or not.

    The file begins with two zero bytes, a byte for the type, a byte for the number of dimensions, and the length of
    each dimension as a big-endian 32-bit integer; then come the numbers, the last dimension running fastest.

    Args:
        path: the file. Its first bytes, not its name, show whether it is gzipped.
        sha256: the checksum of the unpacked file as 64 hexadecimal digits, or None to trust it.

    Returns:
        The array, in the byte order of this machine. It is read-only if it needed no conversion.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an IDX file, is shorter or longer than it says, or fails its checksum.
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
    """Return header, shape and data. Take no more memory than the data need, whatever the header promises."""
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
