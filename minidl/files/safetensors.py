"""Models in the format of the library safetensors, which other libraries read."""

from pathlib import Path
from typing import Any

import numpy as np

from minidl.files.archives import DAMAGED, VERSION, Arrays, Metadata, digest_of, metadata_of, said, to_json
from minidl.files.safe_writing import write_safely


def write_tensors(path: Path, metadata: Metadata, arrays: Arrays) -> None:
    """Write the same as `write_archive`, in the format of safetensors."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = to_json({"version": VERSION} | metadata)
    texts = {"minidl": text, "sha256": digest_of(_bytes(text, plain))}
    write_safely(path, library().numpy.save(plain, texts), read_tensors)


def read_tensors(path: Path) -> tuple[Metadata, Arrays]:
    """Return metadata and arrays of a file that `write_tensors` has written; errors are those of `read_archive`."""
    tensors = library()
    try:
        with tensors.safe_open(path, "numpy") as file:
            texts = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = metadata_of(texts["minidl"])
        if texts["sha256"] != digest_of(_bytes(texts["minidl"], arrays)):
            raise ValueError("the checksum does not fit the contents")
    except (*DAMAGED, tensors.SafetensorError) as error:
        raise ValueError(f"{path}: no file of minidl, or damaged: {said(error)}") from error
    return metadata, arrays


def _bytes(text: str, arrays: Arrays) -> dict[str, bytes]:
    """Return everything that a checksum must cover."""
    return {"minidl": text.encode()} | {name: array.tobytes() for name, array in arrays.items()}


def library() -> Any:
    """Return the library, or raise an ImportError that says how to install it."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("files called .safetensors need that library: install minidl[safetensors]") from error
    return safetensors
