"""Long and repeated work leaves nothing behind: no memory, no open file."""

import gc
import inspect
import os
import pickle
import platform
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from conftest import small_model

import minidl


@pytest.fixture(autouse=True)
def _only_what_is_new():
    """Let the garbage collector look at what a test makes, and not at all that the tests before it left."""
    gc.collect()
    gc.freeze()


def growth(work, times):
    """Return by how many bytes the memory in use grows over ``times`` calls that nothing is new to.

    The least of three rounds: what leaks grows in each of them, while Python's own cache of attribute names, which
    keeps a few dozen strings of every round until its slots are taken, grows more and more slowly.
    """
    work()
    gc.collect()
    tracemalloc.start()
    try:
        used = []
        for _ in range(4):
            for _ in range(times):
                work()
            gc.collect()
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return min(np.diff(used))


@pytest.mark.parametrize("batch_size", [1, 60])
def test_memory_stays_flat_over_many_epochs(small_data, batch_size):
    model, optimizer = small_model(), minidl.Adam()
    rng = np.random.default_rng(0)
    used, epochs = [], 30

    def after_epoch(_model, history):
        gc.collect()
        used.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        minidl.fit(
            model,
            optimizer,
            small_data,
            small_data,
            epochs=epochs,
            batch_size=batch_size,
            seed=rng,
            after_epoch=after_epoch,
        )
    finally:
        tracemalloc.stop()
    row = 10 * 200  # a history's row: ten numbers, and room for lists to grow
    assert used[-1] - used[5] < row * (epochs - 5)


def test_repeated_calls_of_fit_leave_nothing_behind(small_data, tmp_path):
    def work():
        minidl.fit(
            small_model(),
            minidl.Adam(),
            small_data,
            small_data,
            epochs=2,
            batch_size=10,
            early_stopping=minidl.EarlyStopping(1),
            checkpoint=tmp_path / "run.npz",
            resume=True,
        )

    assert growth(work, 20) < 20_000


def test_a_thousand_models_are_dropped_at_once():
    references = []
    for seed in range(1000):
        model = small_model(seed)
        model.forward(np.zeros((2, 5), "float32"), training=True)
        references.append(weakref.ref(model))
        del model
    assert not any(reference() for reference in references)  # nothing waits for the garbage collector


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_file_stays_open(tmp_path):
    def work():
        minidl.load_mnist()
        for name in ("model.npz", "model.safetensors"):
            minidl.save(small_model(), tmp_path / name)
            minidl.load(tmp_path / name)
        (tmp_path / "bad.npz").write_bytes(b"PK\5\6" + bytes(18))
        with pytest.raises(ValueError, match=r"bad\.npz"):
            minidl.load(tmp_path / "bad.npz")

    work()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        before = len(os.listdir("/proc/self/fd"))
        work()
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("largest", [1e4, 1e30, 1e38])
def test_extreme_logits_give_finite_losses_and_gradients(largest):
    model = minidl.Sequential(minidl.LogSoftmax())
    x = (np.array([[1, -1, 0], [-1, -1, -1], [0, 0, 1]]) * largest).astype("float32")
    loss = minidl.NLLLoss()
    value = loss.forward(model.forward(x, training=True), np.array([1, 0, 2]))
    gradient = model.backward_to_input(loss.backward())
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient, [[1 / 3, -1 / 3, 0], [-2 / 9, 1 / 9, 1 / 9], [0, 0, 0]], atol=1e-7)


def large_model():
    dense = minidl.Dense(784, 1024), minidl.Dense(1024, 1024), minidl.Dense(1024, 10)
    return minidl.Sequential(dense[0], minidl.ReLU(), dense[1], minidl.ReLU(), dense[2], minidl.LogSoftmax(), seed=0)


STEPS_AT_BATCH_1024 = """
import pickle, resource, sys
import numpy as np
import minidl

MODEL
loss, optimizer = minidl.NLLLoss(), minidl.SGD(0.01)
x, labels = np.ones((1024, 784), "float32"), np.zeros(1024, int)

def step():
    loss.forward(model.forward(x, training=True), labels)
    model.backward(loss.backward())
    optimizer.step(model.params, model.grads)

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


COPIED = "model = pickle.load(sys.stdin.buffer)"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory by other rules")
@pytest.mark.parametrize("made", ["here", "copied from another process"])
def test_steps_do_not_fetch_their_memory_from_the_system_anew(made):
    """Activations of 4 MB are a thousand pages each; a new process, since this one may have freed large arrays."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    lines = {"here": inspect.getsource(large_model) + "model = large_model()", "copied from another process": COPIED}
    script = STEPS_AT_BATCH_1024.replace("MODEL", lines[made])
    copy = pickle.dumps(large_model())
    found = subprocess.run([sys.executable, "-c", script], env=variables, check=True, capture_output=True, input=copy)
    assert int(found.stdout) < 1000  # thousands in every step, if the memory is given back
