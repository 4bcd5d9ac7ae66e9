"""A model in a file: an array for each parameter and buffer, and a text that says which layers the model has.

An array is named by the position of its layer and its own name: ``0.W``. The text, in JSON, lists the layers and how to
make them. A file that does not fit the model is refused, and changes nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl.backend import Array, Generator, convert, get_backend, to_numpy
from minidl.checks import instance, positive
from minidl.files.archives import DAMAGED, Arrays, Metadata, read_archive, said, write_archive
from minidl.files.safetensors import read_tensors, write_tensors
from minidl.layers import Dense, Layer, LogSoftmax, ReLU
from minidl.model import Sequential
from minidl.preparation.standardization import Standardizer
from minidl.regularization.dropout import Dropout
from minidl.regularization.normalization import BatchNorm

LAYERS: dict[str, type[Layer]] = {kind.__name__: kind for kind in (Dense, ReLU, LogSoftmax, BatchNorm, Dropout)}
"""The layers that `load` can make; a file names its layers, and can name no others."""


def save(model: Sequential, path: str | Path, standardizer: Standardizer | None = None) -> None:
    """Write a model to ``path``: parameters, buffers, and the state of dropout's generators.

    Args:
        model: on any backend.
        path: usually with ``.npz`` at the end; ``.safetensors`` chooses that format, which other libraries read.
        standardizer: ``train.standardizer``, which was applied to the training samples and must be applied to new ones.

    Raises:
        TypeError, ValueError: an argument is not as described, or the standardizer is for other samples.
        OSError: the file cannot be written, or there is no such folder; an older file is unchanged.
        ImportError: safetensors is missing: install minidl[safetensors].
    """
    instance("model", model, Sequential)
    path, metadata, arrays = file_path(path), {"model": describe(model)}, model_arrays(model)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path: there is no folder {path.parent}")
    if standardizer is not None:
        instance("standardizer", standardizer, Standardizer)
        features = np.shape(standardizer.mean)
        if np.size(standardizer.mean) > 1 and model.in_features and features != (model.in_features,):
            raise ValueError(f"standardizer: expected one for {model.in_features} features, got one for {features}")
        metadata["standardizer"] = {"dtype": standardizer.dtype, "per_feature": np.ndim(standardizer.mean) > 0}
        numbers = {"mean": standardizer.mean, "std": standardizer.std}
        arrays |= {f"standardizer.{name}": np.atleast_1d(np.asarray(number)) for name, number in numbers.items()}
    (write_tensors if path.suffix == ".safetensors" else write_archive)(path, metadata, arrays)


def file_path(path: Any) -> Path:
    """Return ``path`` as a path, or raise a TypeError."""
    if not isinstance(path, str | Path):
        raise TypeError(f"path: expected the name of a file, got {path!r:.60}")
    return Path(path)


def load(path: str | Path, model: Sequential | None = None, backend: str = "numpy") -> Sequential:
    """Read the model from a file that `save` has written, or the model of a checkpoint.

    Args:
        path: the file.
        model: the model to read into; None to make a new model, of layers that minidl has.
        backend: of the new model.

    Returns:
        ``model``, or the new one.

    Raises:
        FileNotFoundError, OSError: there is no such file, or it cannot be read.
        ValueError: it is damaged, not a file of minidl, of a later version, or has other layers than ``model``, which
            is then unchanged.
        ImportError: safetensors is missing.
    """
    path, _ = file_path(path), get_backend(backend)
    if model is not None:
        instance("model", model, Sequential)
    metadata, arrays = read(path)
    try:
        description = metadata["model"]
        if model is None:
            model = _build(description, arrays, backend)
        check_fit(model, description, arrays)
        restore(model, description, arrays)
    except DAMAGED as error:
        raise ValueError(f"{path}: {said(error)}") from error
    return model


def load_standardizer(path: str | Path) -> Standardizer:
    """Read the standardizer that `save` has stored beside a model.

    Raises:
        FileNotFoundError, OSError, ImportError: as for `load`.
        ValueError: the file is damaged, or has none in it.
    """
    path = Path(path)
    metadata, arrays = read(path)
    if "standardizer" not in metadata:
        raise ValueError(f"{path}: there is no standardizer in it; save(model, path, train.standardizer) stores one")
    try:
        about, mean, std = metadata["standardizer"], arrays["standardizer.mean"], arrays["standardizer.std"]
        if not about["per_feature"]:
            (mean,), (std,) = mean.tolist(), std.tolist()
        return Standardizer(mean, std, about["dtype"])
    except DAMAGED as error:
        raise ValueError(f"{path}: {said(error)}") from error


def read(path: Path) -> tuple[Metadata, Arrays]:
    """Return metadata and arrays of a file in either format."""
    return read_tensors(path) if path.suffix == ".safetensors" else read_archive(path)


def describe(model: Sequential) -> Metadata:
    """Return everything about a model besides its arrays, ready for JSON."""
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
    """Raise a ValueError if the contents of a file are not a model, or have another architecture than ``model``."""
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
    """Put the contents of a file into ``model``; `check_fit` must have accepted them."""
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
        ValueError: it is not of the kind that `numpy.random.default_rng` makes.
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
