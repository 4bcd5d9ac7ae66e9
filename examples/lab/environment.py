"""What numbers depend on besides the settings: the machine and the libraries."""

import os
import platform
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import minidl
from minidl.machine import doctor


def blas_threads() -> int:
    """Return how many threads a matrix product may use."""
    return max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)


def environment(backend: str) -> dict[str, Any]:
    """Return machine and libraries, as the results store them."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {
        "minidl": minidl.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": doctor.cpu_name(),
        "cores": os.cpu_count(),
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("OPENBLAS_") and name != "OPENBLAS_NUM_THREADS"  # each run stores its own number
        },
    }
    if backend == "cupy":
        cupy = minidl.get_backend("cupy")
        found["cupy"] = cupy.__version__
        found["gpu"] = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return found
