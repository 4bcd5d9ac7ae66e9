"""A training that is stopped, in whatever way, and goes on, has the numbers of one that never was."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from itertools import count

import numpy as np
import pytest
from conftest import small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from test_groups import OPTIMIZERS
from test_saving import files_of_at_most
from test_training import numbers

import minidl

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 2, 60)
DATA = minidl.Dataset((RNG.normal(size=(60, 5)) + LABELS[:, None]).astype("float32"), LABELS)


def full_model():
    return minidl.Sequential(
        minidl.Dense(5, 8),
        minidl.BatchNorm(8),
        minidl.ReLU(),
        minidl.Dropout(0.3),
        minidl.Dense(8, 2),
        minidl.LogSoftmax(),
        seed=0,
    )


class CrashError(Exception):
    pass


def jitter(crash_at=None):
    """Return an augmentation with noise, which crashes at one of its calls."""
    calls = count(1)

    def augment(x, rng):
        if next(calls) == crash_at:
            raise CrashError
        return x + rng.normal(0, 0.01, x.shape).astype(x.dtype)

    return augment


def train(make=minidl.Adam, crash_at=None, epochs=4, **options):
    """Train with everything that has a state; return all of it."""
    model, optimizer, stopping = full_model(), make(), minidl.EarlyStopping(patience=2, column="test_accuracy")
    how = {
        "batch_size": minidl.piecewise({0: 13, 1: 20}),
        "lr": minidl.triangular(0.001, 0.1, 1.5),
        "early_stopping": stopping,
        "augment": jitter(crash_at),
        "seed": 3,
    } | options
    history = minidl.fit(model, optimizer, DATA, DATA, epochs=epochs, **how)
    vectors = {name: vector.tobytes() for name, vector in optimizer.state.items()}
    masks = model.layers[3].rng.bit_generator.state
    moving = model.layers[1].moving_mean.tobytes(), model.layers[1].moving_var.tobytes()
    chosen = how["early_stopping"] and (stopping.best_epoch, stopping.lowest)
    return model.params.tobytes(), moving, masks, vectors, optimizer.t, optimizer.lr, chosen, numbers(history)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_after_a_crash_at_any_update_training_goes_on_to_the_same_bits(tmp_path, make):
    expected, path = train(make), tmp_path / "run.npz"

    @settings(max_examples=10)
    @given(crash_at=st.integers(1, 11), every=st.one_of(st.none(), st.integers(1, 5)))
    def check(crash_at, every):
        path.unlink(missing_ok=True)
        options = {"checkpoint": path, "checkpoint_every": every, "resume": True}
        with pytest.raises(CrashError):
            train(make, crash_at, **options)
        assert train(make, **options) == expected
        assert train(make, 1, **options) == expected  # finished: nothing is trained again

    check()


def test_without_schedules_early_stopping_and_augmentation(tmp_path):
    plain = {"batch_size": 7, "lr": None, "early_stopping": None, "seed": np.random.default_rng(5), "augment": None}
    expected = train(minidl.SGD, **plain)

    def stop(_model, history):
        if len(history) == 2:
            raise CrashError

    options = plain | {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 4, "resume": True}
    with pytest.raises(CrashError):
        train(minidl.SGD, after_epoch=stop, **options | {"seed": np.random.default_rng(5)})
    assert train(minidl.SGD, **options | {"seed": np.random.default_rng(5)}) == expected


def test_a_checkpoint_changes_nothing(tmp_path):
    assert train(checkpoint=tmp_path / "run.npz", checkpoint_every=1) == train()


def test_a_rate_that_was_changed_on_the_way_is_kept(tmp_path):
    def run(crash_after=None, **options):
        model, optimizer = small_model(), minidl.SGD(0.1)

        def halve(_model, history):
            optimizer.lr /= 2
            if len(history) == crash_after:  # this epoch has not been saved: its rate is halved again, from the old one
                raise CrashError

        minidl.fit(model, optimizer, DATA, DATA, epochs=3, batch_size=7, seed=0, after_epoch=halve, **options)
        return optimizer.lr, model.params.tobytes()

    options = {"checkpoint": tmp_path / "run.npz", "resume": True}
    with pytest.raises(CrashError):
        run(crash_after=2, **options)
    assert run(**options) == run()


def test_training_can_be_lengthened(tmp_path):
    plain = {"batch_size": 7, "early_stopping": None}
    path = tmp_path / "run.npz"
    train(epochs=2, checkpoint=path, **plain)
    assert train(epochs=4, checkpoint=path, resume=True, **plain) == train(epochs=4, **plain)


def test_the_model_of_a_checkpoint_loads_alone(tmp_path):
    model = small_model()
    minidl.fit(model, minidl.Adam(), DATA, DATA, epochs=1, batch_size=7, checkpoint=tmp_path / "run.npz")
    assert (minidl.load(tmp_path / "run.npz").params == model.params).all()


def test_a_refusal_changes_neither_optimizer_nor_early_stopping(tmp_path):
    train(minidl.SGD, epochs=1, checkpoint=tmp_path / "run.npz")
    minidl.save(full_model(), tmp_path / "model.npz")
    optimizer, stopping = minidl.Adam(), minidl.EarlyStopping(patience=2, column="test_accuracy")
    minidl.fit(full_model(), minidl.SGD(), DATA, DATA, epochs=2, batch_size=10, early_stopping=stopping)
    before = stopping.best_epoch, stopping.lowest, stopping.best
    for name, resume, error in (
        ("run", False, FileExistsError),
        ("run", True, ValueError),
        ("model", True, ValueError),
    ):
        options = {"checkpoint": tmp_path / f"{name}.npz", "resume": resume, "early_stopping": stopping}
        with pytest.raises(error, match=f"{name}.npz"):
            minidl.fit(full_model(), optimizer, DATA, DATA, epochs=2, batch_size=10, **options)
        assert (optimizer.state, optimizer.t) == ({}, 0)
        assert (stopping.best_epoch, stopping.lowest, stopping.best) == before


def test_the_file_stays_where_it_was_meant(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    train(checkpoint="run.npz", after_epoch=lambda model, history: os.chdir(tmp_path / "elsewhere"))
    assert not list((tmp_path / "elsewhere").iterdir())
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["run.npz"]


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    left = tmp_path / ".run.npz.0123456789abcdef.partial"
    left.write_bytes(b"half")
    train(checkpoint=tmp_path / "run.npz", epochs=1)
    assert left.exists()  # it may be another process's, which is still writing
    os.utime(left, (0, 0))
    train(checkpoint=tmp_path / "run.npz", epochs=1, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    noise = jitter()

    def augment(x, rng):
        signal.raise_signal(signal.SIGINT)
        return noise(x, rng)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert train(checkpoint=tmp_path / "run.npz", augment=augment) == train()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("every", [None, 1000])
def test_a_signal_ends_the_update_saves_and_says_how_to_go_on(tmp_path, capsys, kind, code, every):
    path, noise, calls = tmp_path / "run.npz", jitter(), count(1)

    def augment(x, rng):
        if next(calls) == 5:
            signal.raise_signal(kind)
        return noise(x, rng)

    before = signal.getsignal(kind)
    with pytest.raises(SystemExit) as end:
        train(checkpoint=path, checkpoint_every=every, augment=augment)
    assert end.value.code == code
    message = f"Stopped after update 5 in epoch 1. The checkpoint is {path}; the same call of fit goes on from it with"
    assert message in capsys.readouterr().err
    assert signal.getsignal(kind) is before
    resumed = jitter(crash_at=100)
    assert train(checkpoint=path, checkpoint_every=every, resume=True, augment=resumed) == train()


def test_a_signal_during_the_measurements_is_not_lost(tmp_path, capsys):
    def interrupt(_model, history):
        if len(history) == 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit):
        train(checkpoint=tmp_path / "run.npz", after_epoch=interrupt)
    assert "Stopped" in capsys.readouterr().err
    assert train(checkpoint=tmp_path / "run.npz", resume=True) == train()


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    def augment(x, rng):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        raise AssertionError("still here")

    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path / "run.npz", augment=augment)
    assert train(checkpoint=tmp_path / "run.npz", resume=True) == train()


def test_without_a_checkpoint_ctrl_c_is_what_it_always_is():
    def augment(x, rng):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(augment=augment)


def test_a_disk_that_is_full_for_a_while_costs_a_warning(tmp_path):
    path, noise, calls, full = tmp_path / "run.npz", jitter(), count(1), files_of_at_most(1000)

    def augment(x, rng):
        call = next(calls)
        if call == 5:  # the last of the first epoch
            full.__enter__()
        if call == 6:
            full.__exit__(None, None, None)
        return noise(x, rng)

    with pytest.warns(
        RuntimeWarning, match=r"run.npz could not be written, and is still that of an earlier time: .*File too large"
    ):
        result = train(checkpoint=path, augment=augment)
    assert result == train()
    assert train(checkpoint=path, resume=True) == result


def test_a_folder_that_cannot_be_written_is_reported_before_training(tmp_path):
    def augment(x, rng):
        raise AssertionError("trained")

    for path in (tmp_path / "missing" / "run.npz", tmp_path):
        with pytest.raises(OSError, match=str(path.parent)):
            train(checkpoint=path, augment=augment, resume=True)


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "run.npz"
    train(checkpoint=path, epochs=1)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"run.npz exists; go on from it with resume=True, or remove it"):
        train(checkpoint=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"make": minidl.SGD}, "optimizer: the checkpoint was made with 'Adam', got 'SGD'"),
        ({"make": lambda: minidl.Adam(beta1=0.8)}, "beta1: the checkpoint was made with 0.9, got 0.8"),
        ({"batch_size": 7}, "batch_size: the checkpoint was made with 'piecewise.*, got 7"),
        ({"lr": 0.1}, "lr: the checkpoint was made with 'triangular.*, got 0.1"),
        ({"early_stopping": None}, "early_stopping: the checkpoint was made with"),
        ({"seed": 4}, "seed: the checkpoint was made with 3, got 4"),
    ],
)
def test_another_training_does_not_go_on(tmp_path, options, message):
    path = tmp_path / "run.npz"
    train(checkpoint=path, epochs=1)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"run.npz: {message}"):
        train(checkpoint=path, resume=True, **options)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "message"), [(slice(0, 50), "samples: .* 60, got 50"), (slice(None, None, -1), "x: ")]
)
def test_other_data_are_noticed(tmp_path, rows, message):
    options = {"epochs": 1, "batch_size": 10, "checkpoint": tmp_path / "run.npz"}
    minidl.fit(small_model(), minidl.SGD(), DATA, DATA, **options)
    model = small_model(1)
    before = model.params.tobytes()
    other = minidl.Dataset(DATA.x[rows], DATA.labels[rows])
    with pytest.raises(ValueError, match=message):
        minidl.fit(model, minidl.SGD(), other, other, resume=True, **options)
    assert model.params.tobytes() == before


def change(**new):
    return lambda metadata, _: metadata["training"].update(new)


@pytest.mark.parametrize(
    "damage",
    [
        lambda metadata, _: metadata.pop("training"),
        lambda metadata, _: metadata.pop("plan"),
        lambda metadata, _: metadata["training"]["history"].pop("lr"),
        lambda metadata, _: metadata["training"]["history"]["lr"].append(1.0),
        lambda metadata, _: metadata["training"]["history"].update(extra=[]),
        lambda metadata, _: metadata["training"]["history"].update(lr=["x"]),
        lambda metadata, _: metadata["arrays"].pop("optimizer.m"),
        lambda metadata, _: metadata["arrays"].pop("best.0.W"),
        change(epoch=-1),
        change(epoch=None),
        change(updates=1.5),
        change(t="7"),
        change(rng={}),
        change(seen=13, epoch_start={}),
        change(stopped=1),
        change(seconds="long"),
        change(lr=float("nan")),
        change(best=[1]),
        change(best=["1", 0.5]),
        change(best=[1, None]),
        lambda metadata, _: metadata["training"].pop("epoch_start"),  # found by the fuzzer
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused_and_nothing_changed(tmp_path, damage):
    from test_saving import rewritten

    path, model, optimizer = tmp_path / "run.npz", full_model(), minidl.Adam()
    train(checkpoint=path, epochs=1)

    def go_on():
        minidl.fit(
            model,
            optimizer,
            DATA,
            DATA,
            epochs=1,
            batch_size=minidl.piecewise({0: 13, 1: 20}),
            lr=minidl.triangular(0.001, 0.1, 1.5),
            augment=jitter(),
            early_stopping=minidl.EarlyStopping(patience=2, column="test_accuracy"),
            checkpoint=path,
            resume=True,
            seed=3,
        )

    rewritten(path, damage)
    before = model.params.tobytes()
    with pytest.raises(ValueError, match=r"run\.npz: "):
        go_on()
    assert (model.params.tobytes(), optimizer.t, optimizer.state) == (before, 0, {})
    path.unlink()
    train(checkpoint=path, epochs=1)
    go_on()  # and it was the damage that was refused


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resume": True, "checkpoint": None}, ValueError, "resume, checkpoint_every: expected a checkpoint"),
        ({"checkpoint_every": 5, "checkpoint": None}, ValueError, "resume, checkpoint_every: expected a checkpoint"),
        ({"checkpoint": 3}, TypeError, "checkpoint: expected a path, got 3"),
        ({"checkpoint": ""}, ValueError, "checkpoint: expected the name of a file"),
        ({"checkpoint": "run.safetensors"}, ValueError, "checkpoint: expected the name of a file"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every: expected at least 1, got 0"),
        ({"resume": 1}, TypeError, "resume: expected True or False, got 1"),
        ({"seed": np.random.Generator(np.random.MT19937(0))}, ValueError, r"^seed: .*default_rng \(PCG64\)"),
    ],
)
def test_bad_arguments(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        train(**{"checkpoint": tmp_path / "run.npz"} | options)
    assert not list(tmp_path.iterdir())


def test_a_loop_of_ones_own(tmp_path):
    def run(path, stop_after=None):
        model, optimizer, loss = small_model(), minidl.Momentum(), minidl.NLLLoss()
        training = minidl.Training(model, optimizer, np.random.default_rng(0))
        if path.exists():
            minidl.load_training(path, training, {"loop": 1})
        while training.updates < 30:
            rows = training.rng.integers(0, 60, 10)
            loss.forward(model.forward(DATA.x[rows], training=True), DATA.labels[rows])
            model.backward(loss.backward())
            optimizer.step(model.params, model.grads)
            training.updates += 1
            if training.updates == stop_after:
                minidl.save_training(path, training, {"loop": 1})
                return None
        return model.params.tobytes()

    assert run(tmp_path / "own.npz", stop_after=11) is None
    with pytest.raises(ValueError, match="loop: the checkpoint was made with 1, got 2"):
        minidl.load_training(
            tmp_path / "own.npz", minidl.Training(small_model(), minidl.SGD(), np.random.default_rng(0)), {"loop": 2}
        )
    assert run(tmp_path / "own.npz") == run(tmp_path / "none.npz")


KILLS = 60
KILLING = """
    import hashlib, json, os, random, signal, sys, time
    import numpy as np
    import minidl
    from test_checkpoints import DATA, full_model, jitter

    def train(path):
        model, stopping = full_model(), minidl.EarlyStopping(patience=100)
        options = {"checkpoint": path, "checkpoint_every": 3, "resume": True} if path else {}
        history = minidl.fit(
            model, minidl.Adam(), DATA, DATA, epochs=60, batch_size=7, lr=minidl.cosine_restarts(0.01),
            augment=jitter(), early_stopping=stopping, seed=3, progress=False, **options,
        )
        columns = {name: column for name, column in history.to_dict().items() if name != "seconds"}
        return hashlib.sha256(model.params.tobytes() + json.dumps(columns).encode()).hexdigest()

    path, kills, patience = sys.argv[1], 0, 0.03
    random.seed(int(sys.argv[2]))
    while True:
        child = os.fork()  # what follows costs no new start of Python
        if not child:
            print(train(path), flush=True)
            os._exit(0)
        time.sleep(random.uniform(0, patience))
        os.kill(child, signal.SIGKILL)  # without effect on one that has ended
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == -signal.SIGKILL, "the training failed by itself"
        kills += 1
        minidl.load(path) if os.path.exists(path) else None  # at every moment a whole file
        patience = 0.03 if kills < int(sys.argv[3]) else 30
    print(kills, train(None))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_killed_at_random_moments_it_ends_with_the_same_sha256(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLING), str(tmp_path / "run.npz"), "1", str(KILLS)]
    env = os.environ | {"PYTHONPATH": os.path.dirname(__file__), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=True)
    *ends, last = done.stdout.split("\n")[:-1]
    kills, undisturbed = last.split()
    assert int(kills) >= 50, "the training was over too soon"
    assert ends == [undisturbed]


def test_what_a_checkpoint_holds_can_be_read_by_a_person(tmp_path):
    import zipfile

    train(checkpoint=tmp_path / "run.npz", epochs=1)
    with zipfile.ZipFile(tmp_path / "run.npz") as archive:
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["version"] == 1
    assert metadata["plan"]["optimizer"] == "Adam"
    assert metadata["training"]["epoch"] == 2
    assert metadata["model"]["layers"][1]["type"] == "BatchNorm"
