"""Archives: arrays and a text in a zip file, with a checksum of everything.

A file may come from anywhere, and may be damaged in transfer. So its contents are checked before they are used. Reading
takes time and memory in proportion to the length of the file, whatever the file claims: about five times the size of
its numbers, and at most fifty times that of its text, since three characters are enough to ask for an object.
Python's own ``pickle`` would run any program that someone has put into a file, and is not used.
"""

import json
from collections.abc import Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array
from minidl.files.safe_writing import write_safely

Arrays: TypeAlias = dict[str, Array]
Metadata: TypeAlias = dict[str, Any]

VERSION = 1
"""Of the format. A file of a later one is refused by name."""

DAMAGED = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError, EOFError)
"""What Python raises when the contents of a file are not what they should be; readers make a ValueError of it."""


def write_archive(path: Path, metadata: Metadata, arrays: Arrays) -> None:
    """Write ``metadata`` and ``arrays`` to ``path``; an older file is replaced once the new one has been verified.

    Raises:
        OSError: the file cannot be written.
    """
    from zipfile import ZIP_STORED, ZipFile, ZipInfo  # here, because importing minidl should cost little

    shapes = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    text = to_json({"version": VERSION, "arrays": shapes} | metadata)
    members = {"metadata.json": text.encode()} | {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    members["sha256"] = digest_of(members).encode()
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(ZipInfo(name), data)  # with no date: equal models give equal files
    write_safely(path, buffer.getvalue(), read_archive)


def read_archive(path: Path) -> tuple[Metadata, Arrays]:
    """Return metadata and arrays of a file that `write_archive` has written.

    Raises:
        OSError: it cannot be read.
        ValueError: it is another kind of file, damaged, or of a later version.
    """
    from zipfile import ZIP_STORED, BadZipFile, ZipFile

    data = path.read_bytes()
    try:
        with ZipFile(BytesIO(data)) as archive:
            infos = archive.infolist()
            stored = all(info.compress_type == ZIP_STORED and info.compress_size == info.file_size for info in infos)
            if not stored or sum(info.file_size for info in infos) > len(data):
                raise ValueError("expected members as they are, not compressed")
            members = {info.filename: archive.read(info) for info in infos}
        if len(members) != len(infos):
            raise ValueError("two members have the same name")
        found = members.pop("sha256").decode()
        metadata = metadata_of(members["metadata.json"])
        if found != digest_of(members):
            raise ValueError("the checksum does not fit the contents")
        arrays = {
            name: _from_npy(members[f"{name}.npy"], *description) for name, description in metadata["arrays"].items()
        }
    except (BadZipFile, *DAMAGED) as error:
        raise ValueError(f"{path}: no file of minidl, or damaged: {said(error)}") from error
    return metadata, arrays


def to_json(metadata: Metadata) -> str:
    """Return ``metadata`` as text; NumPy's scalars, which a loop of your own may leave in it, become plain numbers.

    Raises:
        TypeError, ValueError: it contains something that JSON cannot represent.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"a file holds numbers, strings, lists and dictionaries of them, got {value!r:.200}")

    return json.dumps(metadata, allow_nan=False, default=plain)


def metadata_of(text: str | bytes) -> Metadata:
    """Return a file's description of itself, if it is of this version or an earlier one."""
    metadata: Metadata = json.loads(text)
    if type(metadata["version"]) is not int or metadata["version"] > VERSION:
        raise ValueError(f"expected version {VERSION} or earlier, got {metadata['version']!r:.40}; use a newer minidl")
    return metadata


def _npy(array: Array) -> bytes:
    """Return an array in the format of NumPy's ``.npy`` files."""
    plain = np.ascontiguousarray(array)
    return _header(str(plain.dtype), plain.shape) + plain.astype(plain.dtype.newbyteorder("<"), copy=False).tobytes()


def _from_npy(data: bytes, dtype: str, shape: list[int]) -> Array:
    """Return the array in ``data``, whose header must be, byte by byte, the one for this dtype and shape."""
    if dtype not in ("float32", "float64") or not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"expected an array of float32 or float64, got {dtype!r:.40}, shape {shape!r:.40}")
    header, kind = _header(dtype, tuple(shape)), np.dtype(dtype).newbyteorder("<")
    if not data.startswith(header) or len(data) - len(header) != prod(shape) * kind.itemsize:
        raise ValueError(f"an array is not of shape {tuple(shape)!s:.40} {dtype}")
    return np.frombuffer(data, kind, offset=len(header)).reshape(shape).astype(dtype, copy=False)


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    stream = BytesIO()
    descr = np.dtype(dtype).newbyteorder("<").str
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def digest_of(members: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of names and contents, in order of the names."""
    from hashlib import sha256  # here, because importing minidl should cost little

    digest = sha256()
    for name in sorted(members):
        digest.update(f"{name} {len(members[name])}\n".encode())
        digest.update(members[name])
    return digest.hexdigest()


def said(error: Exception) -> str:
    """Return the message of an error, with its type where that is needed to understand it."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
