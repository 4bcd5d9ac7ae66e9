"""Record which functions CuPy has, with the names of their arguments, for tests/test_backends.py to compare with.

    pip install cupy-cuda12x
    python tests/data/record_cupy.py

CuPy can be imported without a GPU, and is needed to make the recording only.
"""

import inspect
import json
import re
from pathlib import Path

import cupy

UFUNC_OPTIONS = ["out", "dtype", "casting", "where"]


def options(function: object) -> list[str]:
    """Return the names of the arguments of ``function``, from its signature or the first line of its documentation."""
    if isinstance(function, cupy.ufunc):
        return UFUNC_OPTIONS
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return re.findall(r"[(,]\s*\*?(\w+)", (function.__doc__ or "").split("->")[0])


def public(namespace: object) -> dict[str, list[str]]:
    """Return the public callables of ``namespace`` with their arguments."""
    names = (name for name in sorted(dir(namespace)) if not name.startswith("_"))
    return {name: options(getattr(namespace, name)) for name in names if callable(getattr(namespace, name))}


if __name__ == "__main__":
    recording = {"cupy": cupy.__version__, "functions": public(cupy), "methods": public(cupy.ndarray)}
    path = Path(__file__).with_name("cupy_api.json")
    path.write_text(json.dumps(recording, separators=(",", ":")).replace('],"', '],\n"') + "\n")
