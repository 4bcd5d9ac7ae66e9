"""What happens to files: names of every kind, several writers at once, faults at any moment, and contents that lie."""

import gzip
import json
import os
import subprocess
import sys
import textwrap
import time
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from conftest import small_model, symlink
from hypothesis import given
from hypothesis import strategies as st
from test_datasets import write_set
from test_saving import files_of_at_most, rewritten

import minidl
from minidl.files import archives, safe_writing

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 2, 60)
DATA = minidl.Dataset((RNG.normal(size=(60, 5)) + LABELS[:, None]).astype("float32"), LABELS)
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


def fit(path, **options):
    model = small_model()
    options = {"epochs": 1, "batch_size": 10, "seed": 0, "checkpoint": path} | options
    minidl.fit(model, minidl.Adam(), DATA, DATA, **options)
    return model


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# A name is a name.

NAMES = [
    "run[1].npz",
    "*.npz",
    "a?b",
    "[!a]",
    "{a,b}.npz",
    "a b.npz",
    "-x.npz",
    ".npz",
    "~",
    "$HOME.npz",
    "ü€🙂.npz",
    "x" * 250,
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_file_may_have_any_name(tmp_path, name):
    path, others = tmp_path / name, [".run1.123.partial", ".run[1].npz.old.partial", ".x.npz.1.partial", "1.npz"]
    for other in others:
        (tmp_path / other).write_bytes(b"somebody's own")
        os.utime(tmp_path / other, (0, 0))
    minidl.save(small_model(), path)
    assert (minidl.load(path).params == small_model().params).all()
    path.unlink()
    expected = fit(path)
    assert (fit(path, resume=True).params == expected.params).all()
    assert names(tmp_path) == sorted([name, *others])


def test_only_what_is_ours_and_old_is_swept_away(tmp_path):
    path, number = tmp_path / "run[1].npz", "0123456789abcdef"
    old = [f".run[1].npz.{number}.partial"]
    kept = [f".run1.npz.{number}.partial", f".run[1].npz.{number}.partial2", ".run[1].npz.backup.partial", "fresh"]
    for name in old + kept:
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (0, 0))
    (fresh := tmp_path / f".run[1].npz.{number[::-1]}.partial").write_bytes(b"")
    fit(path)
    assert names(tmp_path) == sorted([*kept, path.name, fresh.name])


def test_leftovers_beside_what_a_link_leads_to(tmp_path):
    (tmp_path / "far").mkdir()
    left = tmp_path / "far" / ".run.npz.0123456789abcdef.partial"
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    symlink(tmp_path / "link.npz", tmp_path / "far" / "run.npz")
    fit(tmp_path / "link.npz")
    assert names(tmp_path / "far") == ["run.npz"]


def test_a_folder_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "."):
        with pytest.raises(IsADirectoryError, match=r"expected the name of a file, this is a folder"):
            minidl.save(small_model(), path)
    assert not names(tmp_path)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
@linux
def test_who_may_read_a_file_is_up_to_the_user(tmp_path, mask):
    before = os.umask(mask)
    try:
        minidl.save(small_model(), tmp_path / "model.npz")
    finally:
        os.umask(before)
    assert (tmp_path / "model.npz").stat().st_mode & 0o777 == 0o666 & ~mask


# Several writers.


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_threads_that_save_to_one_file(tmp_path, suffix):
    path, models = tmp_path / f"model.{suffix}", [small_model(seed) for seed in range(8)]

    def write(i):
        minidl.save(models[i % 8], path)
        return minidl.load(path).params.tobytes()

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(write, range(120)))
    assert found <= {model.params.tobytes() for model in models}
    assert names(tmp_path) == [path.name]


def test_threads_that_train_with_checkpoints_beside_each_other(tmp_path):
    paths = [tmp_path / f"run[{i}].npz" for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = {model.params.tobytes() for model in pool.map(lambda path: fit(path, checkpoint_every=1), paths)}
    assert found == {fit(tmp_path / "alone.npz").params.tobytes()}
    assert names(tmp_path) == ["alone.npz", *(path.name for path in paths)]


TWINS = """
    import os, sys, time
    os.getpid = lambda: 1  # as in two containers
    import minidl
    model = minidl.Sequential(minidl.Dense(50, 50), seed=int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(60):
        minidl.save(model, sys.argv[1])
        minidl.load(sys.argv[1])
"""


def test_processes_of_one_number(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(TWINS), str(tmp_path / "model.npz")]
    pipe = subprocess.PIPE
    twins = [subprocess.Popen([*command, str(i)], stdin=pipe, stdout=pipe, stderr=pipe, text=True) for i in range(2)]
    for twin in twins:
        assert twin.stdout.readline() == "ready\n"
    for twin in twins:
        twin.stdin.write("go\n")
        twin.stdin.flush()
    for twin in twins:
        assert twin.communicate(timeout=120)[1] == ""
        assert twin.returncode == 0
    assert names(tmp_path) == ["model.npz"]


def test_a_partial_file_of_somebody_else_is_neither_used_nor_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_writing.os, "urandom", lambda n: b"\7" * n)
    theirs = tmp_path / f".model.npz.{'07' * 8}.partial"
    theirs.write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        minidl.save(small_model(), tmp_path / "model.npz")
    assert theirs.read_bytes() == b"theirs"


# File systems with less to offer.


def refusing(function):
    """Return ``function``, which fails for folders as on a network share."""

    def call(what, *args, **options):
        if os.path.isdir(f"/proc/self/fd/{what}" if isinstance(what, int) else what):
            raise OSError(22, "Invalid argument")
        return function(what, *args, **options)

    return call


@linux
@pytest.mark.parametrize("name", ["fsync", "open"])
def test_a_folder_that_cannot_be_forced_to_the_disk_is_no_failure(tmp_path, monkeypatch, name):
    monkeypatch.setattr(safe_writing.os, name, refusing(getattr(os, name)))
    minidl.save(small_model(), tmp_path / "model.npz")
    assert (fit(tmp_path / "run.npz").params == fit(tmp_path / "run.npz", resume=True).params).all()
    assert names(tmp_path) == ["model.npz", "run.npz"]


def test_a_file_that_cannot_be_forced_to_the_disk_is_one(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(safe_writing.os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        minidl.save(small_model(), tmp_path / "model.npz")
    assert not names(tmp_path)


def test_a_folder_that_may_not_be_listed_is_no_failure(tmp_path, monkeypatch):
    def fail(_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", fail)
        fit(tmp_path / "run.npz")
    assert names(tmp_path) == ["run.npz"]


# A data set is replaced as a whole.

ROWS, FEATURES = 40, 12


def write_source(folder, version):
    """Write a data set in which every sample and its label tell the version."""
    folder.mkdir()
    for part in ("train", "t10k"):
        images = np.zeros((ROWS, 3, 4), "uint8")
        images[:, 0, 0] = np.arange(ROWS) % 2
        images[:, version, 1] = 1  # another column is the bright one
        write_set(folder, part, images, np.full(ROWS, version, "uint8"))


def version_of(data):
    """Return the version that samples and labels of both sets agree on."""
    found = {int(label) for part in data for label in part.labels}
    found |= {int(np.flatnonzero((part.x > 0).all(axis=0))[0] // 4) for part in data}
    assert len(found) == 1, f"samples and labels of versions {found}"
    return found.pop()


@pytest.fixture
def versions(tmp_path):
    for version in (0, 1, 2):
        write_source(tmp_path / str(version), version)
    return tmp_path


def converted(folder, version):
    minidl.convert_idx(folder / str(version), folder / "made")


class KilledError(BaseException):
    pass


def at_each_step(monkeypatch, act):
    """Call ``act`` before each change of a name in a folder."""
    for name in ("replace", "unlink"):
        change = getattr(Path, name)

        def watched(path, *args, change=change, **options):
            act(path)
            return change(path, *args, **options)

        monkeypatch.setattr(Path, name, watched)


def test_a_data_set_is_never_mixed(versions, monkeypatch):
    converted(versions, 0)
    seen = []

    def look(_path):
        try:
            seen.append(version_of(minidl.load_npy(versions / "made")))
        except FileNotFoundError:
            seen.append(None)

    with monkeypatch.context() as patch:
        at_each_step(patch, look)
        converted(versions, 1)
    look(None)
    shown = [version for version, before in zip(seen, [None, *seen], strict=False) if version != before]
    assert shown == [0, None, 1] or shown == [0, 1]
    assert None in seen
    assert len(seen) >= 6


@pytest.mark.parametrize("step", range(12))
def test_a_conversion_that_is_killed_at_any_step_leaves_no_mixture(versions, monkeypatch, step):
    converted(versions, 0)
    steps = count()

    def die(_path):
        if next(steps) == step:
            raise KilledError

    with monkeypatch.context() as patch, suppress(KilledError):
        at_each_step(patch, die)
        converted(versions, 1)
    with suppress(FileNotFoundError):
        version_of(minidl.load_npy(versions / "made"))
    converted(versions, 2)
    assert version_of(minidl.load_npy(versions / "made")) == 2


def test_who_has_mapped_the_old_set_keeps_it(versions):
    converted(versions, 0)
    old = minidl.load_npy(versions / "made")
    before = [array.copy() for part in old for array in (part.x, part.labels)]
    write_set(versions / "1", "train", np.eye(3, 12, dtype="uint8").reshape(3, 3, 4), np.ones(3, "uint8"))  # shorter
    converted(versions, 1)
    for array, expected in zip((array for part in old for array in (part.x, part.labels)), before, strict=True):
        np.testing.assert_array_equal(array, expected)
    assert len(minidl.load_npy(versions / "made")[0].x) == 3


READER = """
    import sys
    from pathlib import Path
    import minidl
    from test_users_files import version_of

    made, seen, stop = Path(sys.argv[1]), set(), Path(sys.argv[2])
    print("ready", flush=True)
    while not stop.exists():
        try:
            seen.add(version_of(minidl.load_npy(made)))
        except (FileNotFoundError, ValueError) as error:
            assert isinstance(error, FileNotFoundError) or "load them again" in str(error), error
    print(sorted(seen), flush=True)
"""


def test_a_reader_in_another_process_never_sees_a_mixture(versions):
    converted(versions, 0)
    command = [sys.executable, "-c", textwrap.dedent(READER), str(versions / "made"), str(versions / "stop")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    reader = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert reader.stdout.readline() == "ready\n"
    for i in range(60):
        converted(versions, i % 3)
    (versions / "stop").touch()
    out, errors = reader.communicate(timeout=60)
    assert errors == ""
    assert len(json.loads(out)) > 1, "the reader has seen no change"


def test_files_that_change_while_they_are_opened(versions, monkeypatch):
    converted(versions, 0)
    opened, once = np.lib.format.open_memmap, []

    def change_after(path, *args, **options):
        array = opened(path, *args, **options)
        if not once:
            once.append(path)
            converted(versions, 1)  # all of it, between the first file and the second
        return array

    monkeypatch.setattr(np.lib.format, "open_memmap", change_after)
    with pytest.raises(
        ValueError, match=r"made: the files were replaced while they were being opened; load them again"
    ):
        minidl.load_npy(versions / "made")
    assert version_of(minidl.load_npy(versions / "made")) == 1


def test_a_conversion_for_which_there_is_no_room_changes_nothing(versions):
    converted(versions, 0)
    before = {path.name: path.read_bytes() for path in (versions / "made").iterdir()}
    with files_of_at_most(500), pytest.raises(OSError, match="File too large"):
        converted(versions, 1)
    assert {path.name: path.read_bytes() for path in (versions / "made").iterdir()} == before


def test_two_conversions_at_once_do_not_share_a_partial_file(versions):
    converted(versions, 0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: converted(versions, 1), range(12)))
    assert version_of(minidl.load_npy(versions / "made")) == 1
    assert len(names(versions / "made")) == 5


def test_what_a_killed_conversion_left_is_swept_away(versions):
    converted(versions, 0)
    left = [versions / "made" / f".{name}.0123456789abcdef.partial" for name in ("train-x.npy", "test-labels.npy")]
    for path in left:
        path.write_bytes(b"half")
        os.utime(path, (0, 0))
    converted(versions, 1)
    assert len(names(versions / "made")) == 5


# Files that lie take no more time than others of their length.


def calls_of(function, *args):
    """Return how many calls of functions, of Python and of C, a call takes: a measure of time without noise."""
    calls = 0

    def note(_frame, event, _arg):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        with suppress(ValueError):
            function(*args)
    finally:
        sys.setprofile(None)
    return calls


def chain(n, kind=minidl.ReLU):
    return minidl.Sequential(minidl.Dense(2, 2), *(kind() for _ in range(n)), seed=0)


def members(path, n):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(n):
            archive.writestr(f"{i:x}", b"")


def written(path, n, kind=minidl.ReLU):
    minidl.save(chain(n, kind), path)


GROWING = {
    "ReLU": written,
    "Dropout": lambda path, n: written(path, n, minidl.Dropout),
    "LogSoftmax": lambda path, n: written(path, n, minidl.LogSoftmax),
    "Dense": lambda path, n: written(path, n, lambda: minidl.Dense(2, 2)),
    "BatchNorm": lambda path, n: written(path, n, lambda: minidl.BatchNorm(2)),
    "members": members,
}


@pytest.mark.parametrize("kind", GROWING)
def test_reading_takes_time_in_proportion_to_the_number_of_layers(tmp_path, kind):
    path, calls = tmp_path / "model.npz", []
    for n in (200, 400, 800):
        GROWING[kind](path, n)
        calls.append(calls_of(minidl.load, path))
    assert calls[2] - calls[1] < 2.1 * (calls[1] - calls[0])


def test_so_do_making_training_and_saving_a_model(tmp_path):
    acts = (
        lambda model: None,
        lambda model: minidl.save(model, tmp_path / "model.npz"),
        lambda model: model.forward(np.ones((1, 2), "float32"), training=True),
        lambda model: model.groups,
        lambda model: model[1:],
        lambda model: minidl.fit(
            model, minidl.SGD(), *[(np.ones((2, 2), "float32"), LABELS[:2])] * 2, epochs=1, batch_size=2
        ),
    )
    for act in acts:
        calls = [calls_of(lambda act=act, n=n: act(chain(n, minidl.LogSoftmax))) for n in (100, 200, 400)]
        assert calls[2] - calls[1] < 2.1 * (calls[1] - calls[0])


def test_a_file_of_many_layers_is_read_soon(tmp_path):
    written(tmp_path / "model.npz", 16_000)  # 1.4 MB; it took half a minute
    start = time.process_time()
    minidl.load(tmp_path / "model.npz")
    assert time.process_time() - start < 8


# Nor more memory than in proportion to it.

OBJECTS = {
    "lists": "[]",
    "dictionaries": "{}",
    "lists of one": "[1]",
    "dictionaries of one": '{"a":1}',
    "short strings": '"ab"',
    "wide strings": '"\U0001f600"',
    "escapes": r'"\u1234"',
    "numbers": "999",
    "powers": "1e9",
}
TEXTS = {name: ",".join([text] * 30_000) for name, text in OBJECTS.items()}
TEXTS |= {"nested": "[" * 90_000, "keys": "{" + ",".join(f'"{i:x}":0' for i in range(30_000)) + "}"}


def peak(function, *args):
    """Return the memory that a call takes at most, in bytes, and its ValueError."""
    error = None
    tracemalloc.start()
    try:
        function(*args)
    except ValueError as caught:
        error = caught
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most, error


def archive_with(path, text):
    contents = {"metadata.json": text.encode()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", contents["metadata.json"])
        archive.writestr("sha256", archives.digest_of(contents))


@pytest.mark.parametrize("where", ["model", "arrays", "extra"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_takes_memory_in_proportion_to_its_length(tmp_path, name, where):
    path = tmp_path / "model.npz"
    parts = {"version": "1", "arrays": "{}", "model": "{}"} | {where: f"[{TEXTS[name]}]"}
    archive_with(path, "{" + ",".join(f'"{key}":{value}' for key, value in parts.items()) + "}")
    most, error = peak(minidl.load, path)
    assert error is not None
    assert most < 50 * path.stat().st_size


@pytest.mark.parametrize("kind", GROWING)
def test_a_model_takes_memory_in_proportion_to_its_file(tmp_path, kind):
    path = tmp_path / "model.npz"
    GROWING[kind](path, 3000)
    most, _ = peak(minidl.load, path)
    assert most - (32 << 20) < 50 * path.stat().st_size  # `keep_freed_memory` asks for 31 MiB, and does not touch them


def test_numbers_take_memory_a_few_times_as_long(tmp_path):
    path = tmp_path / "model.npz"
    minidl.save(minidl.Sequential(minidl.Dense(3000, 1000), seed=0), path)
    most, error = peak(minidl.load, path)
    assert error is None
    assert most < 8 * path.stat().st_size


# IDX and NumPy's files.


@pytest.mark.parametrize("claim", [60_000_000, 90_000_000])
@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gzip", "plain"])
def test_a_header_that_promises_much_gets_nothing_in_advance(tmp_path, pack, claim):
    path, noise = tmp_path / "file", np.random.default_rng(0).bytes(100_000)
    path.write_bytes(pack(b"\0\0\x08\x01" + claim.to_bytes(4, "big") + noise))
    most, error = peak(minidl.read_idx, path)
    assert f"expected {claim:,} bytes of data" in str(error)
    assert most < 4_000_000


@pytest.mark.parametrize("extra", [-1, 0, 1, 10_000_000])
def test_data_of_several_pieces(tmp_path, extra):
    n = 3_000_000
    path, data = tmp_path / "file.gz", np.random.default_rng(0).integers(0, 256, n, "uint8")
    content = data.tobytes()[: n + min(extra, 0)] + bytes(max(extra, 0))
    path.write_bytes(gzip.compress(b"\0\0\x08\x01" + n.to_bytes(4, "big") + content, 1))
    if extra:
        most, error = peak(minidl.read_idx, path)
        assert str(error).endswith("got more" if extra > 0 else f"got {n - 1:,}")
        assert most < 5 * n
    else:
        array = minidl.read_idx(path)
        np.testing.assert_array_equal(array, data)
        assert not array.flags.writeable


def npy(header, version=1, body=b""):
    text = header if isinstance(header, bytes) else header.encode("latin1", "replace")
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + body


SHAPES = [
    "(99999999999999999999,5)",
    "(-1,5)",
    "(-3,-5)",
    "(1.5,)",
    "('a',)",
    "(True,5)",
    "5",
    "None",
    "()",
    "(,)",
    "((1,),)",
    "(1L,2L)",
    "(1<<70,)",
    "[1,2]",
    "(0,)",
    "(0,5)",
    "(2147483648,2147483648,4)",
]
SHAPES += ["(" + "9" * 5000 + ",)"]
TYPES = [
    "'<f4'",
    "'O'",
    "'<f99'",
    "''",
    "None",
    "1",
    "[]",
    "['a']",
    "[('a','<f4')]",
    "('<f4',(2,))",
    "'<M8[s]'",
    "'<U2'",
    "{'a':1}",
    "'\\x00'",
    "[('a',)]",
    "'|V8'",
    "'i4,i4'",
    "'f4'*9",
    "'<c8'",
]
HEADERS = [f"{{'descr':'<f4','fortran_order':False,'shape':{shape},}}\n" for shape in SHAPES]
HEADERS += [f"{{'descr':{descr},'fortran_order':False,'shape':(3,5),}}\n" for descr in TYPES]
HEADERS += ["{'descr':'<f4','fortran_order':'no','shape':(3,5),}\n", "{'descr':'<f4'}", "[]", "", "(" * 3000, "{" * 99]
HEADERS += ["'" * 3, "\\", "0" * 9000, "1L", "lambda: 0", "{'a':", "{1:2", "\0", "é", "\n\n  x", "{'shape':(1L", "'''"]


@pytest.mark.filterwarnings("ignore")  # of NumPy about headers in the style of Python 2
@pytest.mark.parametrize("version", [1, 2, 3, 9])
@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_whatever_an_npy_file_says_it_is_refused_by_name(tmp_path, header, version):
    for part in ("train", "test"):
        np.save(tmp_path / f"{part}-x.npy", np.zeros((3, 5), "float32"))
        np.save(tmp_path / f"{part}-labels.npy", np.zeros(3, int))
    for name in ("train-x", "train-labels"):
        whole = (tmp_path / f"{name}.npy").read_bytes()
        (tmp_path / f"{name}.npy").write_bytes(npy(header, version, bytes(60)))
        try:
            train, _ = minidl.load_npy(tmp_path)
        except ValueError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017
        else:
            assert "(3,5)" in header
            assert train.x.shape == (3, 5)
        (tmp_path / f"{name}.npy").write_bytes(whole)


@pytest.mark.filterwarnings("ignore")
@given(st.one_of(st.binary(max_size=99), st.text("(){}[]'\",:L0123456789desrshapfotn_ .\n\\", max_size=99)))
def test_any_npy_header(tmp_path_factory, header):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    for name in ("train-x", "train-labels", "test-x", "test-labels"):
        (folder / f"{name}.npy").write_bytes(npy(header, body=bytes(60)))
    with pytest.raises(ValueError, match=r"any.train-x\.npy"):
        minidl.load_npy(folder)


# Checkpoints.


def training(**changes):
    return lambda metadata, _members: metadata["training"].update(changes)


def history(**columns):
    return lambda metadata, _members: metadata["training"]["history"].update(columns)


def empty_history(column):
    def change(metadata, _members):
        metadata["training"].update(epoch=1)
        metadata["training"]["history"] = {name: [] for name in metadata["training"]["history"]} | {"lr": column}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (empty_history({}), "history: expected lr"),
        (empty_history(""), "history: expected lr"),
        (empty_history(None), "history: expected lr"),
        (history(lr="0"), "history: expected lr"),
        (history(lr={"0.1": 1}), "history: expected lr"),
        (history(lr=[True]), "history: expected lr"),
        (history(lr=[10**400]), "OverflowError|history"),
        (history(lr=0.1), "history: expected lr"),
        (training(t=10**400), "t: expected a whole number"),
        (training(t=2**60), "t: expected a whole number"),
        (training(updates=10**30), "updates: expected a whole number"),
        (training(seen=True), "seen: expected a whole number"),
        (training(epoch=0), "history: expected|best: expected"),
        (training(lr=-1), "lr: expected"),
        (training(lr=True), "lr: expected a number"),
        (training(lr="0.1"), "lr: expected a number"),
        (training(lr=None), "lr: expected a number"),
        (training(seconds=-1), "seconds: expected"),
        (training(seconds=10**400), "seconds: expected"),
        (training(stopped="no"), "stopped: expected"),
        (training(best=[-1, 0.5]), "best: expected an epoch"),
        (training(best=[5, 0.5]), "best: expected an epoch"),
        (training(best=[True, 0.5]), "best: expected an epoch"),
        (lambda metadata, _: metadata.update(plan=[]), "plan: expected names and values, got"),
        (lambda metadata, _: metadata.update(plan=[[]]), "plan: expected names and values"),
        (lambda metadata, _: metadata["plan"].update(more=1), "more: the checkpoint was made with 1, got None"),
        (lambda metadata, _: metadata["plan"].pop("eps"), "eps: the checkpoint was made with None, got 1e-08"),
    ],
)
def test_a_checkpoint_that_lies_is_refused_before_anything_changes(tmp_path, change, message):
    path, stopping = tmp_path / "run.npz", minidl.EarlyStopping(5)
    fit(path, early_stopping=stopping)
    rewritten(path, change)
    model, optimizer = small_model(3), minidl.Adam()
    before = model.params.copy()
    with pytest.raises(ValueError, match=rf"run\.npz: .*({message})"):
        minidl.fit(
            model,
            optimizer,
            DATA,
            DATA,
            epochs=3,
            batch_size=10,
            seed=0,
            checkpoint=path,
            resume=True,
            early_stopping=stopping,
        )
    np.testing.assert_array_equal(model.params, before)
    assert (optimizer.t, optimizer.state, optimizer.lr) == (0, {}, 0.001)


# Results of experiments.


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"experiment": "x", "runs": [{"name": "", "seed": 0, "history": {"lr": [%s]}}]}' % ("9" * 400),
        '{"runs": [{"history": {"lr": [%s]}}]}' % ("9" * 5000),
        '{"runs": [{"history": {"lr": [1e999]}}]}',
        '{"runs": [[]]}',
        '{"runs": 1}',
        "\ud800",
        "",
    ],
    ids=range(9),
)
def test_results_that_are_none_are_put_aside(tmp_path, text):
    sys.path.insert(0, str(Path(minidl.__file__).parent.parent / "examples"))
    try:
        from lab.results import Results
    except ImportError:
        from experiment import Results
    finally:
        del sys.path[0]
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    results = Results(path, {}, {})
    assert results.runs == []
    results.save([])
    assert names(tmp_path) == ["x.1.json", "x.json"]
    assert (tmp_path / "x.1.json").read_bytes() == text.encode("utf-8", "surrogatepass")
