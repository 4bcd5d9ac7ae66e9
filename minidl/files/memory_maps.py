"""Data larger than memory: samples stay in a file, and the operating system reads the rows of each batch.

A file that is *mapped into memory* looks like an array. Nothing is read at first. When a part of the array is used, the
system reads that *page* of the file, 4096 bytes on most machines, and drops it again when memory is needed elsewhere.
So training needs no special code: `minidl.minibatches` takes the rows of a batch out of the map, and copies only these.
The order is the same as for data in memory, bit for bit. Only this order still grows with the data: 8 bytes per sample.

Shuffling has a price. A row of MNIST in float32 has 3136 bytes, on one page or two, and its neighbours there belong to
other batches. In random order, 60,000 rows are 60,000 separate reads of 4 to 8 KiB. If the data fit into free memory,
this happens in the first epoch only, otherwise in every epoch. A hard disk takes milliseconds for each read, and so
minutes for an epoch of MNIST; a solid-state disk takes seconds. Evaluation reads samples in order, which all disks do
well.

The files are NumPy's, ``.npy``: a short header, then the numbers. They hold samples as the network reads them, so that
no conversion is needed; `convert_idx` writes them.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.checks import finite, float_type
from minidl.checks.arrays import chunks
from minidl.datasets import Dataset
from minidl.files.archives import said
from minidl.files.idx import IDX_TYPES, check_options, from_zero, read_header, read_idx, read_sets
from minidl.files.safe_writing import partial_beside, sweep, sync_folder
from minidl.preparation.standardization import Standardizer, mean_and_std

STANDARDIZER = "standardizer.json"
"""Beside the four files: the mean and standard deviation with which `convert_idx` has made them."""


def load_npy(folder: str | Path) -> tuple[Dataset, Dataset]:
    """Map a data set in ``.npy`` files into memory, without reading it.

    Args:
        folder: holds ``train-x.npy`` and ``test-x.npy``, samples (n, features) in float32 or float64 as the network is
            to read them, and ``train-labels.npy`` and ``test-labels.npy``, integers from 0, (n,). `convert_idx` also
            writes how it has standardised them, in ``standardizer.json``.

    Returns:
        The training set and the test set, as read-only arrays. `minidl.fit` reads all of them once before it begins,
        to check their values.

    Raises:
        FileNotFoundError: one of the four files is missing, also for the moment in which `convert_idx` replaces them.
        ValueError: a file is not an ``.npy`` file, is shorter than it says, or its array is not as described; or a file
            was replaced during the call.
    """
    folder = Path(folder)
    before, sets = _versions(folder), list[Dataset]()
    standardizer = _standardizer(folder)
    for part in ("train", "test"):
        x, labels = _map_npy(folder / f"{part}-x.npy"), _map_npy(folder / f"{part}-labels.npy")
        float_type(f"{folder / part}-x.npy", x.dtype)
        if x.ndim != 2 or not x.flags.c_contiguous:
            raise ValueError(f"{folder / part}-x.npy: expected rows (n, features) in C order, got shape {x.shape}")
        if labels.shape != x.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{folder / part}-labels.npy: expected {len(x)} integers, got shape {labels.shape} {labels.dtype}"
            )
        if sets and sets[0].x.shape[1] != x.shape[1]:
            raise ValueError(f"{folder}: expected test samples of {sets[0].x.shape[1]} features, got {x.shape[1]}")
        sets.append(Dataset(x, labels, standardizer))
    if _versions(folder) != before:
        raise ValueError(f"{folder}: the files were replaced while they were being opened; load them again")
    train, test = sets
    return train, test


def convert_idx(
    source: str | Path,
    target: str | Path,
    dtype: str = "float32",
    *,
    name: str = "",
    first_label: int = 0,
    transpose: bool = False,
) -> None:
    """Write a data set laid out like MNIST, standardised, as files for `load_npy`, without holding all of it in memory.

    It is read three times: for the mean, for the standard deviation (see `minidl.standardize`), and for writing.

    Args:
        source: a folder as for `minidl.load_idx`. Files that are gzipped cannot be mapped: they are unpacked in memory.
        target: the folder to write into, created if needed. Files of an earlier call are replaced when the new ones
            are complete; a program that has mapped the old ones keeps them.
        dtype: of the samples, ``"float32"`` or ``"float64"``.
        name: which set to convert, as for `minidl.load_idx`; likewise the next two.
        first_label: the lowest label in the files, which becomes 0.
        transpose: exchange rows and columns of each image.

    Raises:
        FileNotFoundError, TypeError, ValueError: as in `minidl.load_idx`; nothing has been written.
        OSError: the files cannot be written; those of an earlier call are as they were.
    """
    dtype = float_type("dtype", dtype)
    check_options(first_label, transpose)
    image: tuple[int, ...] = ()  # its shape, if it is to be transposed

    def read(path: Path, what: str) -> Array:
        nonlocal image
        array = map_idx(path)
        if what.endswith("labels"):
            return from_zero(array, first_label)
        if transpose and array.ndim != 3:
            raise ValueError(f"transpose: expected images of rows and columns, got shape {array.shape} in {path}")
        image = array.shape[1:] if transpose else ()
        return array

    train, test = read_sets(Path(source), read, name)
    for chunk in _converted(test.x, dtype, image):
        finite("test", chunk)
    mean, std = mean_and_std(lambda: _converted(train.x, dtype, image))
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        partials: dict[Path, Path] = {}
        for part, data in (("train", train), ("test", test)):
            samples = ((chunk - mean) / std for chunk in _converted(data.x, dtype, image))
            for file, kind, shape, pieces in (
                ("x", dtype, data.x.shape, samples),
                ("labels", data.labels.dtype, data.labels.shape, iter([data.labels])),
            ):
                path = target / f"{part}-{file}.npy"
                sweep(path)
                partials[path] = stack.enter_context(partial_beside(path))
                _write_npy(partials[path], np.dtype(kind), shape, pieces)
        path = target / STANDARDIZER
        sweep(path)
        partials[path] = stack.enter_context(partial_beside(path))
        numbers = json.dumps({"mean": mean, "std": std, "dtype": dtype})
        partials[path].write_text(numbers, encoding="utf-8")
        _replace(partials)


def map_idx(path: Path) -> Array:
    """Return the array in an IDX file, mapped into memory; from a gzipped file, read as `minidl.read_idx` does.

    Raises:
        FileNotFoundError, ValueError: as in `minidl.read_idx`.
    """
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return read_idx(path)
        file.seek(0)
        header, shape = read_header(path, file)
    dtype = np.dtype(IDX_TYPES[header[2]])
    expected, found = math.prod(shape) * dtype.itemsize, path.stat().st_size - len(header)
    if found != expected or not expected:
        raise ValueError(f"{path}: expected {expected:,} bytes of data for shape {shape}, and some; got {found:,}")
    return np.memmap(path, dtype, "r", len(header), shape)


def _map_npy(path: Path) -> Array:
    """Return the array in an ``.npy`` file, mapped into memory."""
    try:
        array: Array = np.lib.format.open_memmap(path, "r")
    except OSError:
        raise
    except Exception as error:  # the header is a text in Python's syntax, and much can be wrong with such a text
        raise ValueError(f"{path}: cannot be mapped into memory: {said(error)}") from error
    return array


def _write_npy(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Iterator[Array]) -> None:
    """Write an array that comes in pieces, of some rows each, as an ``.npy`` file."""
    with path.open("wb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(piece.data)
        file.flush()
        os.fsync(file.fileno())


def _replace(partials: dict[Path, Path]) -> None:
    """Replace the old files by complete ones, in an order that never puts samples and labels of two sets together.

    While the samples are replaced there are no labels, and so no data set that could be loaded.
    """
    labels = [path for path in partials if path.name.endswith("labels.npy")]
    for path in labels:
        path.unlink(missing_ok=True)
    sync_folder(labels[0].parent)
    for path in sorted(partials, key=lambda path: path in labels):
        partials[path].replace(path)
        sync_folder(path.parent)


def _versions(folder: Path) -> list[tuple[int, int, int]]:
    """Return numbers that distinguish the present four files from those that may replace them."""
    files = [(folder / f"{part}-{name}.npy").stat() for part in ("train", "test") for name in ("x", "labels")]
    return [(file.st_ino, file.st_mtime_ns, file.st_size) for file in files]


def _converted(x: Array, dtype: str, image: tuple[int, ...] = ()) -> Iterator[Array]:
    """Yield a copy of each chunk of ``x`` in another precision; of images of shape ``image``, if any, transposed."""
    for chunk in chunks(x):
        turned = chunk.reshape(-1, *image).swapaxes(1, 2).reshape(chunk.shape) if image else chunk
        yield turned.astype(dtype)


def _standardizer(folder: Path) -> Standardizer | None:
    """Return the standardizer that `convert_idx` has written, if it has."""
    path = folder / STANDARDIZER
    try:
        text = path.read_bytes()[:1000]
    except FileNotFoundError:
        return None
    try:
        return Standardizer(**json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged: {said(error)}") from error
