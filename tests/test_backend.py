import builtins
import sys
import types

import numpy as np
import pytest

from minidl import backend


def test_numpy_arrays_belong_to_numpy():
    x = np.zeros(3)
    assert backend.array_module(x) is np
    assert backend.on_host(x)
    assert backend.to_numpy(x) is x


@pytest.fixture
def fake_cupy(monkeypatch):
    """Enough of CuPy to see which module is chosen."""
    cupy = types.ModuleType("cupy")

    class ndarray:  # noqa: N801
        def __init__(self, host):
            self.host = host

    cupy.ndarray = ndarray
    cupy.zeros = lambda n: ndarray(np.zeros(n))
    cupy.asnumpy = lambda x: x.host
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def test_cupy_arrays_belong_to_cupy(fake_cupy):
    host = np.arange(3.0)
    x = fake_cupy.ndarray(host)
    assert backend.array_module(x) is fake_cupy
    assert not backend.on_host(x)
    assert backend.to_numpy(x) is host
    assert backend.array_module(host) is np  # the same process still serves NumPy


def test_backends_by_name(fake_cupy):
    assert backend.get_backend("numpy") is np
    assert backend.get_backend("cupy") is fake_cupy
    assert backend.get_backend("auto") is fake_cupy


@pytest.mark.parametrize("name", ["CuPy", "torch", "", None])
def test_unknown_backend(name):
    with pytest.raises(ValueError, match="backend: expected one of auto, numpy, cupy"):
        backend.get_backend(name)


def test_cupy_absent_names_the_extras(monkeypatch):
    real = builtins.__import__

    def without_cupy(name, *args, **kwargs):
        if name == "cupy":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_cupy)
    with pytest.raises(ValueError, match=r"minidl\[cuda12\] or minidl\[cuda13\]"):
        backend.get_backend("cupy")
    assert backend.get_backend("auto") is np


def test_cupy_without_a_gpu(fake_cupy):
    def no_gpu(n):
        raise RuntimeError("no CUDA-capable device is detected")

    fake_cupy.zeros = no_gpu
    with pytest.raises(ValueError, match="cannot use a GPU here: no CUDA-capable device"):
        backend.get_backend("cupy")
    assert backend.get_backend("auto") is np
