"""Where users run it: notebooks, threads, programs without a console, other Pythons, other systems (by simulation)."""

import configparser
import io
import os
import re
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
from conftest import small_model, symlink

import minidl
from minidl.callbacks import signals as signals_module
from minidl.callbacks.signals import KINDS, Signals
from minidl.machine import terminal

ROOT = Path(__file__).parent.parent


def train(data, **options):
    usual = {"epochs": 3, "batch_size": 20, "seed": 0}
    return minidl.fit(small_model(), minidl.SGD(0.1), data, data, **(usual | options))


@pytest.fixture(autouse=True)
def _heard():
    """Let signals be heard that whoever started the tests ignores, such as SIGHUP under nohup."""
    ignored = [kind for kind in KINDS if signal.getsignal(kind) == signal.SIG_IGN]
    for kind in ignored:
        signal.signal(kind, signal.SIG_DFL)
    yield
    for kind in ignored:
        signal.signal(kind, signal.SIG_IGN)


@pytest.fixture
def notebook(monkeypatch):
    """Pretend that this is a Jupyter kernel."""
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", ipython)


class Interrupt(minidl.Callback):
    """Press Ctrl-C after so many updates."""

    def __init__(self, update, kind=signal.SIGINT):
        self.update, self.kind = update, kind

    def after_update(self, state, loss):
        if state.updates == self.update:
            signal.raise_signal(self.kind)


# Notebooks


def test_the_bar_shows_in_a_notebook_by_default(small_data, notebook, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    train(small_data)
    shown = sys.stderr.getvalue()
    assert "9/9" in shown
    assert shown.count("\n") <= 1  # one line, written over, and not a line for each epoch


def test_the_bar_can_be_hidden_in_a_notebook(small_data, notebook, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    train(small_data, progress=False)
    assert sys.stderr.getvalue() == ""


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch):
    ipython = types.ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    for shell, expected in ((None, False), (types.SimpleNamespace(config={}), False)):
        ipython.get_ipython = lambda shell=shell: shell
        assert terminal.in_notebook() is expected


@pytest.mark.parametrize("update", [1, 5, 9])
def test_an_interrupt_has_the_history(small_data, update):
    with pytest.raises(KeyboardInterrupt) as stop:
        train(small_data, callbacks=[Interrupt(update)])
    assert stop.value.history.epoch == list(range(1, 1 + (update - 1) // 3))


def test_an_interrupt_in_the_measurement_has_the_history(small_data):
    def after_epoch(_model, history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stop:
        train(small_data, after_epoch=after_epoch)
    assert stop.value.history.epoch == [1, 2]


def test_with_a_checkpoint_ctrl_c_ends_a_script_but_not_a_kernel(small_data, tmp_path, notebook):
    with pytest.raises(KeyboardInterrupt) as stop:
        train(small_data, checkpoint=tmp_path / "run.npz", callbacks=[Interrupt(5)])
    assert stop.value.history.epoch == [1]
    resumed, whole = train(small_data, checkpoint=tmp_path / "run.npz", resume=True), train(small_data)
    assert resumed.train_loss == whole.train_loss


def test_with_a_checkpoint_ctrl_c_does_not_end_pythons_prompt(small_data, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(KeyboardInterrupt):
        train(small_data, checkpoint=tmp_path / "run.npz", callbacks=[Interrupt(5)])


def test_with_a_checkpoint_ctrl_c_ends_a_script(small_data, tmp_path):
    with pytest.raises(SystemExit) as end:
        train(small_data, checkpoint=tmp_path / "run.npz", callbacks=[Interrupt(5)])
    assert end.value.code == 130


# Threads, signals


def test_fit_runs_in_another_thread(small_data, tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(train(small_data, checkpoint=tmp_path / "run.npz")))
    thread.start()
    thread.join()
    assert found[0].train_loss == train(small_data).train_loss


@pytest.mark.parametrize("kind", KINDS)
def test_every_request_to_end_is_waited_for(kind):
    before = signal.getsignal(kind)
    seen = []

    def ask():
        with Signals() as signals:
            signal.raise_signal(kind)
            seen.append(signals.received)

    with pytest.raises(KeyboardInterrupt if kind == signal.SIGINT else SystemExit):
        ask()
    assert seen == [kind]
    assert signal.getsignal(kind) == before


def test_a_closed_terminal_saves_first(small_data, tmp_path):
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("no SIGHUP here")
    with pytest.raises(SystemExit) as end:
        train(small_data, checkpoint=tmp_path / "run.npz", callbacks=[Interrupt(5, signal.SIGHUP)])
    assert end.value.code == 128 + signal.SIGHUP
    assert train(small_data, checkpoint=tmp_path / "run.npz", resume=True).train_loss == train(small_data).train_loss


def test_windows_has_sigbreak_and_no_sighup(monkeypatch):
    windows = types.SimpleNamespace(SIGINT=2, SIGTERM=15, SIGBREAK=21)
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    monkeypatch.setattr(signals_module, "KINDS", [getattr(windows, name) for name in names if hasattr(windows, name)])
    assert signals_module.KINDS == [2, 15, 21]


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert not signals.received
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_python_did_not_set_is_left_alone(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda kind: None)
    with Signals() as signals:
        assert signals.handlers == {}


# Programs without a console


@pytest.mark.parametrize("progress", [None, True, False])
@pytest.mark.parametrize("stream", ["none", "closed"])
def test_without_a_standard_error_there_is_no_bar_and_no_crash(small_data, monkeypatch, stream, progress):
    expected = train(small_data).train_loss
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", None if stream == "none" else closed)
    assert train(small_data, progress=progress).train_loss == expected


def test_without_a_standard_error_a_signal_still_saves(small_data, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit):
        train(small_data, checkpoint=tmp_path / "run.npz", callbacks=[Interrupt(5)])
    assert (tmp_path / "run.npz").exists()


# Installation


def test_an_editable_install_is_a_plain_path(tmp_path):
    """Else a folder called minidl beside the script, such as a clone, hides the package."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["options"]["package_dir"].split() == ["=", "."]


def test_a_script_above_a_clone_finds_the_package(tmp_path):
    symlink(tmp_path / "minidl", ROOT)
    code = "import minidl; print(minidl.fit.__module__)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "minidl")}  # as a .pth file adds it
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "minidl.fitting"


def test_the_source_archive_has_all_that_its_tests_need():
    manifest = (ROOT / "MANIFEST.in").read_text(encoding="utf-8")
    for folder in ("tests", "examples", "docs"):
        assert f"graft {folder}\n" in manifest


def test_metadata_say_what_runs_it():
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert "python_requires = >=3.11" in text
    for version in ("3.11", "3.12", "3.13", "3.14"):
        assert f"Programming Language :: Python :: {version}\n" in text
    assert "license_expression = MIT AND CC-BY-SA-3.0\n" in text
    assert "License ::" not in text  # a classifier beside the expression is an error


# Other systems


SOURCES = sorted([*(ROOT / "minidl").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])


def test_every_text_is_read_and_written_in_utf_8():
    """The default of Windows is another encoding."""
    calls = re.compile(r"\.(read_text|write_text)\((?![^)]*encoding=)[^)]*\)|\.open\(\"w\"\)")
    found = [f"{path.name}: {hit.group()}" for path in SOURCES for hit in calls.finditer(path.read_text("utf-8"))]
    assert not found


def test_nothing_asks_for_what_windows_does_not_have():
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "os.fork(" not in text, path
        assert "os.kill(" not in text, path
        for name in re.findall(r"signal\.(SIG\w+)", text):
            assert name in ("SIGINT", "SIGTERM", "SIG_IGN", "Signals"), f"{path}: {name}"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp850"])
def test_the_doctor_prints_on_any_console(encoding):
    code = "from minidl.machine import command_line, doctor\n"
    code += (
        "doctor.examine = lambda: iter([doctor.Finding('Threads', '2 × η → ∞', 'do')])\ncommand_line.main(['doctor'])"
    )
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert b"Threads" in done.stdout


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_experiment_prints_on_any_console(encoding):
    code = "from lab.command_line import run_script\nrun_script(lambda: print('2 × η → ∞'))"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert b"2 " in done.stdout
    for script in (ROOT / "examples").glob("*.py"):  # every one begins like this
        assert re.search(r"\n    run_(script|together)\(main\)\n$", script.read_text(encoding="utf-8")), script


def test_summary_prints_on_any_console():
    code = "import minidl; minidl.Sequential(minidl.ReLU()).summary()"
    environment = os.environ | {"PYTHONIOENCODING": "ascii:replace", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)
    assert "ReLU()" in done.stdout


def test_readme_has_the_same_commands_for_both_shells():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    posix = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
    windows = re.findall(r"^py -m venv .*$", readme, re.MULTILINE)
    same = [
        line.replace("python3 -m", "py -m").replace(" &&", ";").replace(".venv/bin/", ".venv\\Scripts\\")
        for line in posix
    ]
    paths = re.compile(r"examples/|docs/\S*")
    same = [paths.sub(lambda path: path[0].replace("/", "\\"), line) for line in same]
    assert windows == same
