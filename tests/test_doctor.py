"""The doctor: the right advice, none without need, and a report wherever something is missing."""

import os
import subprocess
import sys
import warnings

import pytest

import minidl
from minidl.machine import command_line as __main__
from minidl.machine import doctor

AVX2 = {"avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def openblas(kernel, threads=2):
    return {
        "user_api": "blas",
        "internal_api": "openblas",
        "version": "0.3.31",
        "architecture": kernel,
        "num_threads": threads,
    }


@pytest.fixture
def machine(monkeypatch):
    """A machine with AVX-512 and two cores, on which OpenBLAS runs kernels for Haswell, measured in no time."""
    speeds = {"Haswell": 50.0, "SkylakeX": 100.0}
    monkeypatch.setattr(doctor, "cpu_flags", lambda: AVX512)
    monkeypatch.setattr(doctor, "available_cpus", lambda: 2)
    monkeypatch.setattr(doctor, "blas_library", lambda: openblas("Haswell"))
    monkeypatch.setattr(doctor, "gflops", lambda: 50.0)
    monkeypatch.setattr(doctor, "gflops_with", speeds.get)
    monkeypatch.setattr(doctor, "bandwidth", lambda size=0: 1e10)
    monkeypatch.setattr(doctor, "update_seconds", lambda fused: 0.001 if fused else 0.004)
    monkeypatch.setattr(doctor, "driver_cuda", lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "none")
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    return speeds


@pytest.mark.parametrize(
    ("running", "flags", "kernel"),
    [
        ("Haswell", AVX512, "SkylakeX"),
        ("Zen", AVX512, "SkylakeX"),
        ("Prescott", AVX512, "SkylakeX"),
        ("Katmai", AVX2, "Haswell"),
        ("Sandybridge", AVX2, "Haswell"),
        ("Haswell", AVX2, None),
        ("SkylakeX", AVX512, None),
        ("Cooperlake", AVX512, None),
        ("SapphireRapids", AVX512, None),
        ("a kernel of the future", AVX512, None),
        ("armv8", {"asimd"}, None),
        ("", AVX512, None),
        ("Sandybridge", {"avx"}, None),
        *(("Haswell", AVX512 - {flag}, None) for flag in sorted(AVX512)),
    ],
)
def test_newer_kernels_are_those_that_the_processor_can_run(running, flags, kernel):
    assert doctor.newer_kernel(running, flags) == kernel


@pytest.mark.skipif(not doctor.safe_kernels(doctor.cpu_flags()), reason="no processor for these kernels")
@pytest.mark.parametrize("kernel", ["Prescott", "Nehalem"])
def test_old_kernels_are_known_by_the_names_that_openblas_gives_them(kernel):
    code = "from minidl.machine import doctor; print((doctor.blas_library() or {}).get('architecture'))"
    variables = os.environ | {"OPENBLAS_CORETYPE": kernel}
    running = subprocess.check_output([sys.executable, "-c", code], env=variables, text=True).strip()
    if running == "None":
        pytest.skip("no OpenBLAS here")
    assert doctor.newer_kernel(running, AVX2) == "Haswell"


def test_slow_kernels_are_noticed(machine):
    finding = doctor.products()
    assert finding.found == "50 GFLOP/s in float32; 50 with kernels for Haswell; 100 with kernels for SkylakeX"
    assert finding.advice == "2.0 times as fast: set OPENBLAS_CORETYPE=SkylakeX before Python starts"


def test_a_choice_of_slow_kernels_is_named(machine, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert doctor.products().advice.endswith("it is set to older kernels now")


def test_no_advice_without_gain(machine, monkeypatch):
    machine["SkylakeX"] = 54.0
    assert doctor.products().advice == ""
    machine["SkylakeX"] = 100.0
    speeds = iter([50.0, 99.0])  # the first measurement was disturbed
    monkeypatch.setattr(doctor, "gflops", lambda: next(speeds))
    assert doctor.products().advice == ""
    monkeypatch.setattr(doctor, "gflops", lambda: 50.0)
    monkeypatch.setattr(doctor, "blas_library", lambda: openblas("SkylakeX"))
    assert doctor.products().advice == ""


def test_no_kernel_is_tried_that_the_processor_cannot_run(machine, monkeypatch):
    tried = []
    monkeypatch.setattr(doctor, "gflops_with", tried.append)
    for flags in (set(), AVX2, AVX512 - {"avx512vl"}):
        monkeypatch.setattr(doctor, "cpu_flags", lambda flags=flags: flags)
        doctor.products()
    assert tried == ["Haswell", "Haswell"]


def test_other_libraries_than_openblas_are_only_measured(machine, monkeypatch):
    monkeypatch.setattr(doctor, "blas_library", lambda: openblas("Haswell") | {"internal_api": "mkl"})
    assert doctor.products() == doctor.Finding("Products", "50 GFLOP/s in float32")


@pytest.mark.parametrize(("count", "advice"), [(1, "fewer than the 2 cores"), (2, ""), (3, "OPENBLAS_NUM_THREADS=2")])
def test_threads_beside_cores(machine, monkeypatch, count, advice):
    monkeypatch.setattr(doctor, "blas_library", lambda: openblas("Haswell", count))
    found = doctor.threads().advice
    assert advice in found
    assert bool(found) == bool(advice)


@pytest.mark.parametrize(
    ("cuda", "advice"),
    [(None, ""), ((11, 8), "CUDA 12 or later"), ((12, 4), "[cuda12]"), ((13, 0), "[cuda13]"), ((14, 1), "[cuda13]")],
)
def test_what_a_gpu_lacks(machine, monkeypatch, cuda, advice):
    monkeypatch.setattr(doctor, "driver_cuda", lambda: cuda)
    driver, cupy = doctor.gpu()
    assert (
        driver.found == ("none of NVIDIA: everything runs on the processor") or f"{cuda[0]}.{cuda[1]}" in driver.found
    )
    assert cupy.found == "not installed"
    assert advice in cupy.advice
    assert bool(cupy.advice) == bool(advice)


def test_the_report(machine, mnist, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "load_mnist", lambda: mnist)
    assert __main__.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert subjects == (
        ["Python", "NumPy", "Processor", "BLAS", "Threads", "Products", "Memory", "Fusing", "Driver", "CuPy", "MNIST"]
    )
    assert any("OPENBLAS_CORETYPE=SkylakeX" in line for line in lines if line.startswith(" " * 11 + "→"))


def test_damaged_images_are_reported(machine, monkeypatch, capsys):
    def damaged():
        raise ValueError("damaged: expected another SHA-256")

    monkeypatch.setattr(doctor, "load_mnist", damaged)
    assert __main__.main(["doctor"]) == 1
    assert "MNIST      damaged" in capsys.readouterr().out


def test_without_threadpoolctl_the_report_is_shorter(machine, mnist, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert doctor.blas_library() is None
    assert doctor.products().advice == ""
    assert doctor.threads().advice == ""
    assert "cannot be seen" in doctor.blas().found


def test_what_is_measured_is_possible():
    assert 0.01 < doctor.gflops(size=64, seconds=0.01) < 1e5
    assert 1e7 < doctor.bandwidth(size=2**20, seconds=0.01) < 1e13
    assert doctor.available_cpus() >= 1
    assert doctor.cpu_name()


def test_an_unknown_kernel_gives_no_measurement():
    assert doctor.gflops_with("no such kernel") is None


def test_the_command():
    done = subprocess.run([sys.executable, "-m", "minidl", "--version"], capture_output=True, text=True)
    assert done.stdout.strip() == minidl.__version__
    with pytest.raises(SystemExit):
        __main__.main([])


def test_a_terminal_without_arrows_gets_the_report_all_the_same():
    code = (
        "from minidl.machine import command_line as m, doctor; "
        "doctor.main = lambda: print('→') or 0; print(m.main(['doctor']))"
    )
    variables = os.environ | {"PYTHONIOENCODING": "ascii"}
    assert subprocess.check_output([sys.executable, "-c", code], env=variables, text=True) == "?\n0\n"


def test_a_reader_who_leaves_early_sees_no_traceback():
    code = "from minidl.machine import command_line as m, doctor; "
    code += "doctor.main = lambda: [print('x' * 10**5, flush=True) for _ in range(100)] and 0; m.main(['doctor'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(1) == b"x"
        process.stdout.close()
        assert process.stderr.read() == b""


def test_fusing_is_reported_with_its_gain(monkeypatch):
    monkeypatch.setattr(doctor, "update_seconds", lambda fused: 0.001 if fused else 0.004)
    monkeypatch.setattr(doctor, "version", lambda _: "0.68.1")
    monkeypatch.setattr(doctor, "can_fuse", lambda: True)
    expected = (
        "on in long runs: Adam updates a million parameters in 1.0 ms, 4.0 times as fast as without (Numba 0.68.1)"
    )
    assert doctor.fusing() == ("Fusing", expected, "", False)
    monkeypatch.setattr(doctor, "can_fuse", lambda: False)
    assert doctor.fusing().found == "off: Adam updates a million parameters in 4.0 ms"
    assert "pip install 'minidl[fast]'" in doctor.fusing().advice


def test_a_numba_that_does_not_work_is_reported(monkeypatch):
    monkeypatch.setattr(doctor, "can_fuse", lambda: True)

    def update_seconds(fused):
        if fused:
            warnings.warn("Numba fails", stacklevel=1)
        return 0.004

    monkeypatch.setattr(doctor, "update_seconds", update_seconds)
    assert doctor.fusing().found == "off: Adam updates a million parameters in 4.0 ms"
    assert doctor.fusing().advice == "Numba fails"


def test_an_update_is_measured():
    assert 1e-7 < doctor.update_seconds(fused=False, n=1000) < 1


def test_the_cache_is_faster_than_the_memory():
    # Copying by the C library's memmove came out at a tenth of this where the arrays lay a few bytes apart.
    assert max(doctor.bandwidth(2**17, 0.05) for _ in range(3)) > doctor.bandwidth(2**27, 0.05)


@pytest.mark.parametrize(
    ("system", "cpuinfo", "said", "name"),
    [
        ("Darwin", "", {"sysctl": "Apple M2 Pro\n"}, "Apple M2 Pro"),
        ("Darwin", "", {}, "arm64"),
        ("Linux", "AMD EPYC", {}, "AMD EPYC"),
        ("Linux", "", {"lscpu": "Architecture: aarch64\nModel name:   Neoverse-N1\n"}, "Neoverse-N1"),
        ("Linux", "", {"lscpu": "Architecture: aarch64\n"}, "arm64"),
        ("Windows", "", {}, "arm64"),
    ],
)
def test_processors_of_apple_and_arm_have_names(monkeypatch, system, cpuinfo, said, name):
    monkeypatch.setattr(doctor.platform, "system", lambda: system)
    monkeypatch.setattr(doctor.platform, "processor", lambda: "")
    monkeypatch.setattr(doctor.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(doctor, "_cpuinfo", lambda key: cpuinfo if key == "model name" else "")

    def run(command, **_):
        if command[0] not in said:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, 0, stdout=said[command[0]])

    monkeypatch.setattr(doctor.subprocess, "run", run)
    assert doctor.cpu_name() == name
