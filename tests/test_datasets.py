import gzip
import hashlib
import io
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.files import idx as datasets


def idx_bytes(array):
    """Return ``array`` as an IDX file, written from the description of the format."""
    code = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_set(folder, part, images, labels, pack=lambda data: data, end=""):
    (folder / f"{part}-images-idx3-ubyte{end}").write_bytes(pack(idx_bytes(images)))
    (folder / f"{part}-labels-idx1-ubyte{end}").write_bytes(pack(idx_bytes(labels)))


def images_and_labels(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 4, 3), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx(tmp_path, dtype, pack):
    array = np.arange(-3, 21).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / "file"
    path.write_bytes(pack(idx_bytes(array)))
    read = minidl.read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype
    assert read.dtype.isnative


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"not an IDX file: it starts with the bytes \(none\)"),
        (b"\0\0\x08", "not an IDX file"),
        (b"PNG\x01\0\0\0\0", "not an IDX file: it starts with the bytes 50 4e 47 01"),
        (b"\0\0\x07\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\0\0\x08\xff", "not an IDX file"),
        (b"\0\0\x08\x02\0\0\0\x01", "truncated in its header"),
        (b"\0\0\x08\x01\0\0\0\x03ab", r"expected 3 bytes of data for shape .3,., got 2"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", r"expected 3 bytes of data for shape .3,., got more"),
        (b"\0\0\x0e\x04" + b"\xff" * 16, r"expected .* bytes of data"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_files_that_are_not_idx(tmp_path, data, message, pack):
    path = tmp_path / "file"
    path.write_bytes(pack(data))
    with pytest.raises(ValueError, match=message) as refusal:
        minidl.read_idx(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("damage", [lambda d: d[:-5], lambda d: d[:12], lambda d: d[:20] + b"\xff\xff" + d[22:]])
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "file"
    path.write_bytes(damage(gzip.compress(idx_bytes(np.arange(200, dtype="u1")))))
    with pytest.raises(ValueError, match="damaged gzip file"):
        minidl.read_idx(path)


def test_checksum(tmp_path):
    path = tmp_path / "file"
    data = idx_bytes(np.arange(5, dtype="u1"))
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    assert len(minidl.read_idx(path, digest)) == len(minidl.read_idx(path, digest.upper())) == 5
    with pytest.raises(ValueError, match="damaged: expected SHA-256 0000"):
        minidl.read_idx(path, "0" * 64)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        minidl.read_idx(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"expected train-images-idx3-ubyte or train-images-idx3-ubyte\.gz"):
        minidl.load_idx(tmp_path)


@pytest.mark.parametrize(("pack", "end"), [(bytes, ""), (gzip.compress, ".gz")])
def test_load_idx(tmp_path, pack, end):
    images, labels = images_and_labels(20)
    test_images, test_labels = images_and_labels(6, seed=1)
    write_set(tmp_path, "train", images, labels, pack, end)
    write_set(tmp_path, "t10k", test_images, test_labels, pack, end)
    train, test = minidl.load_idx(tmp_path)
    pixels = images.reshape(20, 12).astype("float64")
    mean, std = pixels.mean(), pixels.std()
    np.testing.assert_allclose(train.x, (pixels - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(test.x, (test_images.reshape(6, 12) - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(train.labels, labels)
    np.testing.assert_array_equal(test.labels, test_labels)
    assert train.x.dtype == test.x.dtype == np.float32
    assert train.labels.dtype == np.int64
    assert minidl.load_idx(str(tmp_path), "float64")[0].x.dtype == np.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images, labels: (images, labels[:-1]), r"a label for every train image.* 20 images and 19 labels"),
        (lambda images, labels: (images[:0], labels[:0]), "at least one; got 0 images"),
        (lambda images, labels: (labels, labels), "images of at least 2 dimensions"),
        (lambda images, labels: (images, images), "labels of 1"),
        (lambda images, labels: (images, labels.astype("f4")), "integer labels"),
        (lambda images, labels: (images[:, :2], labels), r"t10k images of \(2, 3\) as for training, got \(4, 3\)"),
        (lambda images, labels: (images.reshape(20, 3, 4), labels), r"t10k images of \(3, 4\) as for training"),
        (lambda images, labels: (images, labels.view("i1") - 20), "train labels from 0, got -"),
    ],
)
def test_sets_that_do_not_fit(tmp_path, change, message):
    write_set(tmp_path, "t10k", *images_and_labels(6))
    write_set(tmp_path, "train", *change(*images_and_labels(20)))
    with pytest.raises(ValueError, match=message):
        minidl.load_idx(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value):
    x = np.ones((3, 2))
    x[0, 0] = 0
    data, bad = minidl.Dataset(x, np.zeros(3, int)), minidl.Dataset(x.copy(), np.zeros(3, int))
    bad.x[1, 1] = value
    with pytest.raises(ValueError, match="train: expected finite numbers"):
        minidl.standardize(bad, data)
    with pytest.raises(ValueError, match="test: expected finite numbers"):
        minidl.standardize(data, bad)


def test_values_that_are_all_equal():
    data = minidl.Dataset(np.ones((3, 2)), np.zeros(3, int))
    with pytest.raises(ValueError, match="not all equal"):
        minidl.standardize(data, data)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 123.456])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_values_are_noticed_despite_rounding(value, dtype):
    data = minidl.Dataset(np.full((3, 1), value), np.zeros(3, int))
    with pytest.raises(ValueError, match="train: expected values that are not all equal"):
        minidl.standardize(data, data, dtype)


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_values_that_cannot_be_squared_are_refused(size):
    data = minidl.Dataset(np.array([[1.0, 2.0]]) * size, np.zeros(1, int))
    with pytest.raises(ValueError, match="train: expected values whose squares float32 can hold"):
        minidl.standardize(data, data)
    assert minidl.standardize(data, data, "float64")[0].x.std() == pytest.approx(1)


def test_nothing_cannot_be_standardized():
    data, empty = (minidl.Dataset(np.arange(6.0).reshape(3, 2)[:n], np.zeros(n, int)) for n in (3, 0))
    for train, test in ((data, empty), (empty, data)):
        with pytest.raises(
            ValueError,
            match=r"train: expected at least one sample|train, test: expected samples of equal shape, and not none",
        ):
            minidl.standardize(train, test)


class Counting(io.BytesIO):
    asked = 0

    def read(self, size):
        self.asked = max(self.asked, size)
        return super().read(size)


def test_no_more_is_read_than_the_file_can_hold(tmp_path):
    file = Counting(b"\0\0\x08\x02" + b"\xff" * 8 + b"abc")
    with pytest.raises(ValueError, match=r"expected .* bytes of data"):
        datasets._read_parts(tmp_path, file, most=100)
    assert file.asked == 101


def test_an_impossible_shape_names_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\0\0\x08\x03" + b"\0" * 4 + b"\xff" * 8)
    with pytest.raises(ValueError, match=rf"{path}: shape .* is not possible"):
        minidl.read_idx(path)


def test_standardize_leaves_its_arguments():
    x = np.array([[1.0, 2.0]], "float32")
    data = minidl.Dataset(x, np.zeros(1, int))
    minidl.standardize(data, data)
    np.testing.assert_array_equal(x, [[1, 2]])


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_standardize_refuses_other_dtypes(dtype):
    data = minidl.Dataset(np.array([[1.0, 2.0]]), np.zeros(1, int))
    with pytest.raises(ValueError, match="dtype: expected 'float32' or 'float64'"):
        minidl.standardize(data, data, dtype)


def test_mnist(mnist):
    train, test = mnist
    assert train.x.shape == (60_000, 784)
    assert test.x.shape == (10_000, 784)
    assert train.x.dtype == test.x.dtype == np.float32
    assert abs(train.x.mean(dtype=np.float64)) < 1e-6
    assert train.x.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    # Black is −mean / std, white (1 − mean) / std, with the well-known 0.1307 and 0.3081.
    assert train.x.min() == pytest.approx(-0.1307 / 0.3081, abs=1e-3)
    assert test.x.max() == pytest.approx((1 - 0.1307) / 0.3081, abs=1e-3)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_damaged_mnist_is_noticed(tmp_path, monkeypatch):
    source = Path(minidl.__file__).parent / "data" / "mnist"
    shutil.copytree(source, tmp_path / "data" / "mnist")
    path = tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels = bytearray(gzip.decompress(path.read_bytes()))
    labels[100] ^= 1
    path.write_bytes(gzip.compress(bytes(labels)))
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=r"t10k-labels.*damaged: expected SHA-256"):
        minidl.load_mnist()
