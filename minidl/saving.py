"""Models in files: numbers and names, and nothing that could be executed.

A file is a ZIP archive that `numpy.load` opens, too: an array for each parameter and buffer, called by the position of
its layer and its name, ``0.W``; a text in JSON that says which layers the model has; and a checksum of all that.

A file may come from anywhere, and may be damaged on its way. So nothing in it is believed before it has been compared
with what must be there, and reading takes no more memory than a few times the length of the file, whatever it says.
Python's own ``pickle`` would run any program that someone has put into it, and is not used.
"""

import json
import os
from collections.abc import Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, Generator, convert, get_backend, to_numpy
from minidl.checks import instance, positive
from minidl.dropout import Dropout
from minidl.layers import Dense, Layer, LogSoftmax, ReLU
from minidl.model import Sequential
from minidl.normalization import BatchNorm

Arrays: TypeAlias = dict[str, Array]
Metadata: TypeAlias = dict[str, Any]

VERSION = 1
"""Of the format. A file of a later one is refused by name."""

LAYERS: dict[str, type[Layer]] = {kind.__name__: kind for kind in (Dense, ReLU, LogSoftmax, BatchNorm, Dropout)}
"""The layers that `load` can make; a file names its layers, and can name no others."""

DAMAGED = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError, EOFError)
"""What Python raises when the contents of a file are not what they should be; `load` makes a ValueError of it."""


def save(model: Sequential, path: str | Path) -> None:
    """Write a model to ``path``: parameters, buffers, and the state of dropout's generators.

    Args:
        model: on any backend.
        path: ``.npz`` by custom; with ``.safetensors`` at the end, a file in that format, which other libraries read.

    Raises:
        OSError: the file cannot be written; one that was there before is as it was.
        ImportError: safetensors is missing: install minidl[safetensors].
    """
    instance("model", model, Sequential)
    path = Path(path)
    if path.suffix == ".safetensors":
        write_tensors(path, {"model": describe(model)}, model_arrays(model))
    else:
        write_archive(path, {"model": describe(model)}, model_arrays(model))


def load(path: str | Path, model: Sequential | None = None, backend: str = "numpy") -> Sequential:
    """Read the model from a file that `save` has written, or the model of a checkpoint.

    Args:
        path: the file.
        model: where to put what is read; None to make a new model, of layers that minidl has.
        backend: of the new model.

    Returns:
        ``model``, or the new one.

    Raises:
        FileNotFoundError, OSError: there is no such file, or it cannot be read.
        ValueError: it is damaged, no file of minidl, of a later version, or has other layers than ``model``; then
            ``model`` is as it was.
        ImportError: safetensors is missing.
    """
    path, _ = Path(path), get_backend(backend)
    metadata, arrays = read_tensors(path) if path.suffix == ".safetensors" else read_archive(path)
    try:
        description = metadata["model"]
        if model is None:
            model = _build(description, arrays, backend)
        check_fit(model, description, arrays)
        restore(model, description, arrays)
    except DAMAGED as error:
        raise ValueError(f"{path}: {_said(error)}") from error
    return model


def describe(model: Sequential) -> Metadata:
    """Return what there is to know of a model besides its arrays, ready for JSON."""
    layers = []
    for layer in model.layers:
        about: Metadata = {
            "type": type(layer).__name__,
            "arguments": [getattr(layer, name) for name in layer.arguments],
        }
        about |= {"name": layer.name, "frozen": layer.frozen, "lr_scale": layer.lr_scale}
        if hasattr(layer, "rng"):
            about["rng"] = state_of(layer.rng)
        layers.append(about)
    return {"dtype": str(model.params.dtype), "layers": layers}


def model_arrays(model: Sequential, prefix: str = "") -> Arrays:
    """Return all parameters and buffers of a model in main memory; they may be views of the model's own."""
    return {
        f"{prefix}{i}.{name}": to_numpy(getattr(layer, name))
        for i, layer in enumerate(model.layers)
        for name in (*layer.param_shapes(), *layer.buffers)
    }


def check_fit(model: Sequential, description: Metadata, arrays: Arrays, prefix: str = "") -> None:
    """Raise a ValueError if what has been read is not of the architecture of ``model``, or is no such model at all."""
    mine = describe(model)
    if description["dtype"] != mine["dtype"]:
        raise ValueError(f"expected a model in {mine['dtype']}, got {description['dtype']!r:.40}")
    if len(description["layers"]) != len(mine["layers"]):
        raise ValueError(f"expected {len(mine['layers'])} layers, got {len(description['layers'])}")
    for i, (ours, theirs) in enumerate(zip(mine["layers"], description["layers"], strict=True)):
        if [theirs["type"], theirs["arguments"]] != [ours["type"], ours["arguments"]]:
            shown = f"{theirs['type']}{tuple(theirs['arguments'])}"
            raise ValueError(f"layer {i}: expected {ours['type']}{tuple(ours['arguments'])}, got {shown:.200}")
        if ("rng" in ours) != ("rng" in theirs):
            raise ValueError(f"layer {i}: expected the state of a random generator where the layer has one")
        if "rng" in ours:
            generator_of(theirs["rng"])
        if type(theirs["name"]) is not str or type(theirs["frozen"]) is not bool:
            raise ValueError(f"layer {i}: expected a name, and whether it is frozen")
        positive(f"layer {i}: lr_scale", theirs["lr_scale"])
    check_arrays(model_arrays(model, prefix), arrays)


def check_arrays(mine: Mapping[str, Array], arrays: Arrays) -> None:
    """Raise a ValueError if an array is missing or has another shape or dtype than the one of mine with its name."""
    for name, array in mine.items():
        if name not in arrays:
            raise ValueError(f"expected an array {name}, got none")
        if (arrays[name].shape, arrays[name].dtype) != (array.shape, array.dtype):
            got = f"{arrays[name].shape} {arrays[name].dtype}"
            raise ValueError(f"{name}: expected {array.shape} {array.dtype}, got {got}")


def restore(model: Sequential, description: Metadata, arrays: Arrays, prefix: str = "") -> None:
    """Put into ``model`` what has been read; `check_fit` must have found it right."""
    for i, (layer, about) in enumerate(zip(model.layers, description["layers"], strict=True)):
        layer.name, layer.frozen, layer.lr_scale = about["name"], about["frozen"], float(about["lr_scale"])
        if "rng" in about:
            layer.rng = generator_of(about["rng"])
        for name in (*layer.param_shapes(), *layer.buffers):
            window = getattr(layer, name)
            window[...] = convert(arrays[f"{prefix}{i}.{name}"], like=window)


def state_of(rng: Generator) -> Metadata:
    """Return the state of a random generator, ready for JSON.

    Raises:
        ValueError: it is none of those that `numpy.random.default_rng` makes.
    """
    if not isinstance(rng.bit_generator, np.random.PCG64):
        kind = type(rng.bit_generator).__name__
        raise ValueError(f"expected a generator of numpy.random.default_rng (PCG64), to save its state, got {kind}")
    return dict(rng.bit_generator.state)


def generator_of(state: Metadata) -> Generator:
    """Return a random generator in the state that `state_of` has returned."""
    bits: Any = np.random.PCG64(0)
    bits.state = state
    return np.random.Generator(bits)


def _build(description: Metadata, arrays: Arrays, backend: str) -> Sequential:
    """Make a model of known layers, once it is certain that the file has as many numbers as it needs."""
    layers = []
    for i, about in enumerate(description["layers"]):
        if about["type"] not in LAYERS:
            expected = f"expected one of {', '.join(LAYERS)}, got {about['type']!r:.40}"
            raise ValueError(f"layer {i}: {expected}; make the model yourself, and load into it")
        layer = LAYERS[about["type"]](*about["arguments"])
        for name, shape in layer.param_shapes().items():
            if arrays[f"{i}.{name}"].shape != shape:
                raise ValueError(f"{i}.{name}: expected shape {shape}, got {arrays[f'{i}.{name}'].shape}")
        layers.append(layer)
    return Sequential(*layers, seed=0, dtype=description["dtype"], backend=backend)


def write_archive(path: Path, metadata: Metadata, arrays: Arrays) -> None:
    """Write ``metadata`` and ``arrays`` to ``path``; what was there is replaced once the new file has been verified.

    Raises:
        OSError: the file cannot be written.
    """
    from zipfile import ZIP_STORED, ZipFile, ZipInfo  # here, because importing minidl should cost little

    shapes = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    text = json.dumps({"version": VERSION, "arrays": shapes} | metadata, allow_nan=False)
    members = {"metadata.json": text.encode()} | {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    members["sha256"] = _digest(members).encode()
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(ZipInfo(name), data)  # with no date: equal models give equal files
    write_safely(path, buffer.getvalue(), read_archive)


def write_safely(path: Path, data: bytes, verify: Any) -> None:
    """Write a file so that at every moment, whatever happens, ``path`` is the old file or the whole new one.

    The new one is written beside it, forced to the disk, read again with ``verify``, and takes the place of the old one
    in a single step.
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


def read_archive(path: Path) -> tuple[Metadata, Arrays]:
    """Return metadata and arrays of a file that `write_archive` has written.

    Raises:
        OSError: it cannot be read.
        ValueError: it is anything else, damaged, or of a later version.
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
        metadata = _metadata(members["metadata.json"])
        if found != _digest(members):
            raise ValueError("the checksum does not fit the contents")
        arrays = {
            name: _from_npy(members[f"{name}.npy"], *description) for name, description in metadata["arrays"].items()
        }
    except (BadZipFile, *DAMAGED) as error:
        raise ValueError(f"{path}: no file of minidl, or damaged: {_said(error)}") from error
    return metadata, arrays


def write_tensors(path: Path, metadata: Metadata, arrays: Arrays) -> None:
    """Write what `write_archive` does in the format of safetensors."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps({"version": VERSION} | metadata, allow_nan=False)
    texts = {"minidl": text, "sha256": _digest(_bytes(text, plain))}
    write_safely(path, _safetensors().numpy.save(plain, texts), read_tensors)


def read_tensors(path: Path) -> tuple[Metadata, Arrays]:
    """Return metadata and arrays of a file that `write_tensors` has written; errors are those of `read_archive`."""
    library = _safetensors()
    try:
        with library.safe_open(path, "numpy") as file:
            texts = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = _metadata(texts["minidl"])
        if texts["sha256"] != _digest(_bytes(texts["minidl"], arrays)):
            raise ValueError("the checksum does not fit the contents")
    except (*DAMAGED, library.SafetensorError) as error:
        raise ValueError(f"{path}: no file of minidl, or damaged: {_said(error)}") from error
    return metadata, arrays


def _bytes(text: str, arrays: Arrays) -> dict[str, bytes]:
    """Return all that a checksum must cover."""
    return {"minidl": text.encode()} | {name: array.tobytes() for name, array in arrays.items()}


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("files called .safetensors need that library: install minidl[safetensors]") from error
    return safetensors


def _metadata(text: str | bytes) -> Metadata:
    """Return what a file says of itself, if it is of this version or an earlier one."""
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


def _digest(members: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of names and contents, in order of the names."""
    from hashlib import sha256  # here, because importing minidl should cost little

    digest = sha256()
    for name in sorted(members):
        digest.update(f"{name} {len(members[name])}\n".encode())
        digest.update(members[name])
    return digest.hexdigest()


def _said(error: Exception) -> str:
    """Return what an error says, with its kind where that is needed to understand it."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
