import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import small_model
from test_datasets import images_and_labels, write_set

import minidl
from minidl.checks import arrays as checks


def write_npy(folder, data, test=None):
    for part, (x, labels) in (("train", data), ("test", test or data)):
        np.save(folder / f"{part}-x.npy", x)
        np.save(folder / f"{part}-labels.npy", labels)


def test_training_from_a_map_is_training_from_memory_bit_for_bit(tmp_path, small_data):
    write_npy(tmp_path, small_data)
    train, test = minidl.load_npy(tmp_path)
    assert isinstance(train.x, np.memmap)
    assert isinstance(test.x, np.memmap)
    assert not train.x.flags.writeable
    params, histories = [], []
    for data in ((train, test), (small_data, small_data)):
        model = small_model()
        history = minidl.fit(model, minidl.Adam(), *data, epochs=3, batch_size=7, seed=1, progress=False).to_dict()
        history.pop("seconds")
        params.append(model.params.tobytes())
        histories.append(history)
    assert params[0] == params[1]
    assert histories[0] == histories[1]


LARGE = """
import resource
from pathlib import Path
import numpy as np
import minidl

model = minidl.Sequential(minidl.Dense(784, 10), minidl.LogSoftmax(), seed=0)
status = Path("/proc/self/status").read_text()
used = 1024 * int(status.split("VmData:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_DATA, (used + {more}, used + {more}))
train, test = minidl.load_npy({folder!r})
try:
    np.array(train.x)
except MemoryError:
    history = minidl.fit(model, minidl.SGD(), train, test, epochs=1, batch_size=8000, seed=0, progress=False)
    print(history.updates)
else:
    print("this system sets no limit")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of memory")
def test_data_larger_than_memory(tmp_path):
    n, size, limit = 200_000, 200_000 * 784 * 4, 128 << 20
    assert size > 4 * limit
    for part, samples in (("train", n), ("test", 1000)):  # zeros that no disk holds, but for one row
        x = np.lib.format.open_memmap(tmp_path / f"{part}-x.npy", "w+", "float32", (samples, 784))
        x[samples // 2] = 1
        np.save(tmp_path / f"{part}-labels.npy", np.zeros(samples, "uint8"))
    code = LARGE.format(folder=str(tmp_path), more=limit)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    if "this system sets no limit" in done.stdout:
        pytest.skip("this system sets no limit to memory")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[25]"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("pack", "end"), [(bytes, ""), (gzip.compress, ".gz")])
def test_converted_data_is_loaded_data(tmp_path, monkeypatch, dtype, pack, end):
    monkeypatch.setattr(checks, "CHUNK", 50)  # 4 rows of 12 features, and so the last chunks are short
    write_set(tmp_path, "train", *images_and_labels(21), pack, end)
    write_set(tmp_path, "t10k", *images_and_labels(6, seed=1), pack, end)
    minidl.convert_idx(tmp_path, tmp_path / "made" / "here", dtype)
    names = ["standardizer.json", "test-labels.npy", "test-x.npy", "train-labels.npy", "train-x.npy"]
    assert sorted(path.name for path in (tmp_path / "made" / "here").iterdir()) == names
    for found, expected in zip(
        minidl.load_npy(tmp_path / "made" / "here"), minidl.load_idx(tmp_path, dtype), strict=True
    ):
        np.testing.assert_allclose(found.x, expected.x, rtol=1e-15 if dtype == "float64" else 0)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert found.x.dtype == expected.x.dtype == dtype


def test_converted_mnist_is_mnist_bit_for_bit(tmp_path, mnist):
    minidl.convert_idx(Path(minidl.__file__).parent / "data" / "mnist", tmp_path)
    for found, expected in zip(minidl.load_npy(tmp_path), mnist, strict=True):
        np.testing.assert_array_equal(found.x, expected.x)
        np.testing.assert_array_equal(found.labels, expected.labels)


def test_nothing_is_written_from_what_cannot_be_read(tmp_path):
    images, labels = images_and_labels(20)
    write_set(tmp_path, "train", images, labels)
    write_set(tmp_path, "t10k", images, labels)
    good = (tmp_path / "train-images-idx3-ubyte").read_bytes()
    for data, message in (
        (good[:-1], r"expected 240 bytes of data for shape \(20, 4, 3\), and some; got 239"),
        (good + b"x", "got 241"),
        (good[:2] + b"\x77" + good[3:], "not an IDX file"),
        (good[:16] + bytes(240), "train: expected values that are not all equal"),
    ):
        (tmp_path / "train-images-idx3-ubyte").write_bytes(data)
        with pytest.raises(ValueError, match=message):
            minidl.convert_idx(tmp_path, tmp_path / "made")
    write_set(tmp_path, "train", images.astype("f4"), labels)
    write_set(tmp_path, "t10k", np.where(images > 250, np.inf, images).astype("f4"), labels)
    with pytest.raises(ValueError, match="test: expected finite numbers"):
        minidl.convert_idx(tmp_path, tmp_path / "made")
    with pytest.raises(ValueError, match="dtype: expected 'float32' or 'float64'"):
        minidl.convert_idx(tmp_path, tmp_path / "made", "float16")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("train-x", lambda x: x.astype("f2"), "train-x.npy: expected 'float32' or 'float64', got dtype.'float16'"),
        ("train-x", lambda x: x.astype(">f4"), "train-x.npy: expected 'float32' or 'float64', got dtype.'>f4'"),
        ("train-x", lambda x: x[:, 0], r"train-x.npy: expected rows \(n, features\) in C order, got shape \(60,\)"),
        ("train-x", np.asfortranarray, r"train-x.npy: expected rows \(n, features\) in C order"),
        ("test-x", lambda x: x[:-1], r"test-labels.npy: expected 59 integers, got shape \(60,\) int64"),
        ("train-labels", lambda y: y.astype(float), r"train-labels.npy: expected 60 integers, got .* float64"),
        ("test-x", lambda x: x[:, :4], "expected test samples of 5 features, got 4"),
        ("train-x", lambda x: x[:0], "train-labels.npy: expected 0 integers|train-x.npy: cannot be mapped"),
        ("train-x", lambda x: x.astype(object), "train-x.npy: cannot be mapped into memory"),
    ],
)
def test_folders_that_are_refused(tmp_path, small_data, file, change, message):
    write_npy(tmp_path, small_data)
    np.save(tmp_path / f"{file}.npy", change(np.load(tmp_path / f"{file}.npy")))
    with pytest.raises(ValueError, match=message):
        minidl.load_npy(tmp_path)


def test_files_that_are_missing_or_damaged(tmp_path, small_data):
    with pytest.raises(FileNotFoundError, match=r"train-x\.npy"):
        minidl.load_npy(tmp_path)
    write_npy(tmp_path, small_data)
    whole = (tmp_path / "test-x.npy").read_bytes()
    for damaged in (whole[:-1], b"not NumPy's", b""):
        (tmp_path / "test-x.npy").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"test-x\.npy: cannot be mapped into memory"):
            minidl.load_npy(tmp_path)


def test_blocks_are_all_of_it_and_shared(monkeypatch):
    monkeypatch.setattr(checks, "CHUNK", 6)
    x = np.arange(20.0).reshape(10, 2)
    parts = list(checks.chunks(x))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert all(np.shares_memory(part, x) for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), x)
    assert [len(part) for part in checks.chunks(np.zeros((2, 7)))] == [1, 1]  # a row that is larger than a chunk


@pytest.mark.parametrize("row", [0, 4, 9])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_every_block_is_looked_at(monkeypatch, row, value):
    monkeypatch.setattr(checks, "CHUNK", 6)
    x = np.zeros((10, 2))
    checks.finite("x", x)
    x[row, 1] = value
    with pytest.raises(ValueError, match="x: expected finite numbers"):
        checks.finite("x", x)
