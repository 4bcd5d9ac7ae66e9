import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores, before NumPy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

import minidl

if "PYTEST_XDIST_WORKER" in os.environ:  # a plugin of pytest may have imported NumPy earlier
    threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), "blas")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # under nohup, or in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("deep", max_examples=10_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_collection_modifyitems(items):
    if minidl.get_backend("auto") is np:
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CuPy with a GPU here"))


def symlink(path, target):
    """Make a symbolic link; skip the test where only an administrator may, as on Windows."""
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")


@pytest.fixture(scope="session")
def mnist():
    return minidl.load_mnist()


@pytest.fixture
def small_data():
    """Two noisy clusters, easy to tell apart."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, 60)
    x = rng.normal(size=(60, 5)) + 2.0 * labels[:, None]
    return minidl.Dataset(x.astype("float32"), labels)


def small_model(seed=0, dtype="float32"):
    return minidl.Sequential(
        minidl.Dense(5, 8), minidl.ReLU(), minidl.Dense(8, 2), minidl.LogSoftmax(), seed=seed, dtype=dtype
    )
