import json
import os
import stat
import zipfile
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import pytest
from conftest import symlink
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.files import archives
from minidl.files import models as saving


def a_model(dtype="float32", seed=0):
    return minidl.Sequential(
        minidl.Dense(5, 8),
        minidl.BatchNorm(8, decay=0.8, eps=1e-3, ghost_size=4),
        minidl.ReLU(),
        minidl.Dropout(0.25),
        minidl.Dense(8, 3),
        minidl.LogSoftmax(),
        seed=seed,
        dtype=dtype,
    )


def used(model, steps=3):
    """Return a model that has been trained, so that nothing in it is as it was made."""
    rng, loss = np.random.default_rng(1), minidl.NLLLoss()
    for _ in range(steps):
        x = rng.normal(size=(12, 5)).astype(model.params.dtype)
        loss.forward(model.forward(x, training=True), rng.integers(0, 3, 12))
        model.backward(loss.backward())
        minidl.SGD(0.1).step(model.params, model.grads)
    return model


def state(model):
    x = np.random.default_rng(2).normal(size=(8, 5)).astype(model.params.dtype)
    return model.forward(x).tobytes() + model.forward(x, training=True).tobytes() + model.params.tobytes()


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_as_it_was(tmp_path, suffix, dtype):
    model, path = used(a_model(dtype)), tmp_path / f"model.{suffix}"
    model.freeze("dense0")
    model.scale_lr("dense4", 0.5)
    minidl.save(model, path)
    into = minidl.load(path, a_model(dtype, seed=7))
    new = minidl.load(path)
    assert repr(new) == repr(model)
    assert new.groups == into.groups == model.groups
    assert state(new) == state(into) == state(deepcopy(model))  # dropout's masks and moving averages, too
    for loaded in (new, into):  # the layers still look at the model's vectors
        loaded.params[...] = 1
        assert (loaded.layers[0].W == 1).all()
        assert np.shares_memory(loaded.layers[4].db, loaded.grads)


def test_numpy_opens_the_file(tmp_path):
    model = a_model()
    minidl.save(model, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert (file["0.W"] == model.layers[0].W).all()
        assert (file["1.moving_var"] == 1).all()


def test_equal_models_give_equal_files(tmp_path):
    for name in "ab":
        minidl.save(a_model(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_layer_of_ones_own(tmp_path):
    class Shift(minidl.Layer):
        def param_shapes(self):
            return {"s": (1,)}

        def forward(self, x, training=False):
            return x + self.s

    model = minidl.Sequential(Shift(), minidl.Dense(2, 2), seed=0)
    model.params[0] = 3
    minidl.save(model, tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"layer 0: expected one of Dense.* got 'Shift'; make the model yourself"):
        minidl.load(tmp_path / "model.npz")
    other = minidl.Sequential(Shift(), minidl.Dense(2, 2), seed=1)
    assert (minidl.load(tmp_path / "model.npz", other).params == model.params).all()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (minidl.Sequential(minidl.Dense(5, 8)), "expected 1 layers, got 6"),
        (a_model("float64"), "expected a model in float64, got 'float32'"),
        (
            minidl.Sequential(*[minidl.Dense(5, 9), *[minidl.ReLU() for _ in range(5)]]),
            r"layer 0: expected Dense\(5, 9\), got Dense\(5, 8\)",
        ),
    ],
)
def test_another_architecture_is_refused_and_left_alone(tmp_path, other, message):
    minidl.save(used(a_model()), tmp_path / "model.npz")
    before = other.params.tobytes()
    with pytest.raises(ValueError, match=rf"model\.npz: {message}"):
        minidl.load(tmp_path / "model.npz", other)
    assert other.params.tobytes() == before


def test_settings_of_layers_count_too(tmp_path):
    minidl.save(minidl.Sequential(minidl.BatchNorm(2, eps=1e-3)), tmp_path / "m")
    with pytest.raises(ValueError, match=r"layer 0: expected BatchNorm\(2, 0.9, 1e-05, None\)"):
        minidl.load(tmp_path / "m", minidl.Sequential(minidl.BatchNorm(2)))


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_every_flipped_bit_and_every_truncation_is_noticed(tmp_path, suffix):
    path = tmp_path / f"model.{suffix}"
    minidl.save(minidl.Sequential(minidl.Dense(2, 3), minidl.Dropout(0.5), seed=0), path)
    whole, original = path.read_bytes(), minidl.load(path)
    silent = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            loaded = minidl.load(path)
        except ValueError:
            continue
        silent += 1  # a bit without meaning, in the archive's own tables
        assert saving.describe(loaded) == saving.describe(original)
        assert (loaded.params == original.params).all()
    assert silent < len(whole) / 4
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged"):
            minidl.load(path)


def rewritten(path, change):
    """Change metadata or members of a file, and give it a checksum that fits."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata.json"])
    change(metadata, members)
    members["metadata.json"] = json.dumps(metadata).encode()
    del members["sha256"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr("sha256", archives.digest_of(members))


def layer(i, **changes):
    return lambda metadata, _members: metadata["model"]["layers"][i].update(changes)


def top(**changes):
    return lambda metadata, _members: metadata.update(changes)


def shape(name, *shape, dtype="float32"):
    return lambda metadata, _members: metadata["arrays"].update({name: [dtype, list(shape)]})


def absurd(metadata, members):
    metadata["model"]["layers"][0]["arguments"] = [10**12, 10**12]
    metadata["arrays"]["0.W"] = ["float32", [10**12, 10**12]]
    members["0.W.npy"] = archives._header("float32", (10**12, 10**12))


def pickled(_metadata, members):
    import io

    stream = io.BytesIO()
    np.save(stream, np.array([os.getcwd], dtype=object), allow_pickle=True)
    members["0.W.npy"] = stream.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (top(version=2), "expected version 1 or earlier, got 2; use a newer minidl"),
        (top(version="1"), "expected version 1"),
        (top(model=[]), "damaged|TypeError"),
        (top(arrays=3), "AttributeError"),
        (layer(0, type="Popen"), "layer 0: expected one of Dense"),
        (layer(0, type=["Dense"]), "TypeError"),
        (layer(0, arguments=[5]), "TypeError"),
        (layer(0, arguments=[5, 8, "os.system"]), "TypeError"),
        (layer(0, arguments=[5, 7]), r"0.W: expected shape \(5, 7\)"),
        (layer(1, arguments=[10**15, 0.9, 1e-5, None]), "1.gamma: expected shape"),
        (layer(3, rng={"state": 1}), "KeyError|TypeError|ValueError|state"),
        (layer(0, lr_scale=-1), "lr_scale: expected"),
        (layer(0, name=7), "layer 0: expected a name"),
        (shape("0.W", 5, 9), "is not of shape"),
        (shape("0.W", -5, -8), "expected an array"),
        (shape("0.W", 5, 8, dtype="object"), "expected an array of float32 or float64, got 'object'"),
        (shape("0.W", *[1] * 100), "is not of shape|damaged"),
        (absurd, "is not of shape"),
        (pickled, "is not of shape"),
        (lambda metadata, _members: metadata["arrays"].pop("0.b"), "0.b"),
        (lambda _metadata, members: members.pop("0.b.npy"), "0.b.npy"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path, change, message):
    path = tmp_path / "model.npz"
    minidl.save(a_model(), path)
    rewritten(path, change)
    model = a_model(seed=3)
    before = model.params.tobytes(), saving.describe(model)
    with pytest.raises(ValueError, match=rf"model\.npz: .*({message})"):
        minidl.load(path)
    with pytest.raises(ValueError, match=r"model\.npz: "):
        minidl.load(path, model)
    assert before == (model.params.tobytes(), saving.describe(model))


def test_an_archive_with_compressed_members_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", b" " * 10**7)
    with pytest.raises(ValueError, match="expected members as they are, not compressed"):
        minidl.load(path)


def test_members_that_overlap_are_refused(tmp_path):
    path = tmp_path / "overlap.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"x" * 10**6)
        archive.filelist.extend(deepcopy(archive.filelist * 20))  # many names for one stretch of the file
        archive._didModify = True
    with pytest.raises(ValueError, match=r"overlap\.npz"):
        minidl.load(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"any\.npz: no file of minidl, or damaged"):
        minidl.load(path)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        minidl.load("nowhere.npz")


def test_what_was_there_stays_until_the_new_file_is_verified(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    minidl.save(a_model(), path)
    before = path.read_bytes()

    def broken(_path):
        assert path.read_bytes() == before
        raise ValueError("does not come back as it was written")

    monkeypatch.setattr(archives, "read_archive", broken)
    with pytest.raises(ValueError, match="does not come back"):
        minidl.save(used(a_model()), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]


@contextmanager
def files_of_at_most(size):
    """Let no file grow beyond ``size`` bytes, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_what_was_there(tmp_path):
    path = tmp_path / "model.npz"
    minidl.save(a_model(), path)
    before = path.read_bytes()
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large"):
        minidl.save(used(a_model()), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]


def test_a_link_stays_a_link(tmp_path):
    minidl.save(a_model(), tmp_path / "model.npz")
    symlink(tmp_path / "link.npz", tmp_path / "model.npz")
    minidl.save(used(a_model()), tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert state(minidl.load(tmp_path / "model.npz")) == state(used(a_model()))


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(PermissionError):
        minidl.save(a_model(), tmp_path / "model.npz")


def test_a_generator_whose_state_cannot_be_saved(tmp_path):
    model = a_model()
    model.layers[3].rng = np.random.Generator(np.random.MT19937(0))
    with pytest.raises(ValueError, match=r"\(PCG64\), to save its state, got MT19937"):
        minidl.save(model, tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"install minidl\[safetensors\]"):
        minidl.save(a_model(), tmp_path / "model.safetensors")
