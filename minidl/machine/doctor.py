"""The doctor: what minidl finds on this machine, how fast it is, and what to do if something is missing or slow.

    python -m minidl doctor

Most of the time of a training step is spent in matrix products. NumPy leaves them to a BLAS library, usually OpenBLAS.
It has a set of routines, called *kernels*, for each generation of processors, and chooses one when NumPy is imported. A
processor that it does not know may get kernels for an older one, and silently run at half the speed. The doctor first
looks for this, and for too few or too many threads.
"""

import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator
from ctypes import CDLL, byref, c_int
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from minidl.backend import get_backend
from minidl.datasets import load_mnist
from minidl.optimizers import Adam
from minidl.parameters.fusing import can_fuse
from minidl.parameters.memory import keep_freed_memory

KERNELS = {
    "Haswell": {"avx2", "fma"},
    "SkylakeX": {"avx2", "fma", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
}
"""Kernels of OpenBLAS from old to new, and the extensions without which a processor cannot run them.

Source: OpenBLAS, ``Makefile.x86_64`` and ``cpuid_x86.c``: Haswell is compiled for AVX2 and FMA, SkylakeX for the five
extensions that together are called x86-64-v4. Newer kernels exist, but no other has faster products in float32.
"""

BEFORE_HASWELL = {
    "Katmai", "Coppermine", "Northwood", "Prescott", "Banias", "Atom", "Core2", "Penryn", "Dunnington", "Nehalem",
    "Sandybridge", "Athlon", "Opteron", "Opteron_SSE3", "Barcelona", "Bobcat", "Bulldozer", "Piledriver", "Steamroller",
    "Excavator", "Nano",
}  # fmt: skip
"""What OpenBLAS calls older kernels. Where several processors share a set, it gives the first name, such as Katmai."""

OLDER = {"Haswell": BEFORE_HASWELL, "SkylakeX": BEFORE_HASWELL | {"Haswell", "Zen"}}
"""What each of these kernels replaces. A name that is not here is left alone: it may be newer than both."""

GAIN = 1.1
"""Advice must promise this factor at least: smaller differences come and go."""


class Finding(NamedTuple):
    """One line of the report."""

    subject: str
    found: str
    advice: str = ""
    """What to do, if anything."""
    broken: bool = False
    """Whether something does not work, as opposed to being absent or slow."""


def main() -> int:
    """Print the report, a line as soon as it is known; return 1 if something is broken, else 0."""
    broken = False
    for finding in examine():
        print(f"{finding.subject:<10} {finding.found}", flush=True)
        if finding.advice:
            print(f"{'':<10} → {finding.advice}", flush=True)
        broken = broken or finding.broken
    return int(broken)


def examine() -> Iterator[Finding]:
    """Yield all findings; takes a few seconds, since speeds are measured."""
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("NumPy", np.__version__)
    yield processor()
    yield blas()
    yield threads()
    yield products()
    yield Finding("Memory", f"{bandwidth() / 1e9:.1f} GB/s, moved by one core; {bandwidth(2**17) / 1e9:.0f} in cache")
    yield fusing()
    yield from gpu()
    yield mnist()


def processor() -> Finding:
    """Report the processor, and its extensions for computing with many numbers at once."""
    extensions = " ".join(sorted(cpu_flags() & (KERNELS["SkylakeX"] | {"asimd", "sve"}))) or "extensions unknown"
    return Finding("Processor", f"{cpu_name()}, {available_cpus()} cores to use; {extensions}")


def blas() -> Finding:
    """Report which library computes matrix products, and with which kernels."""
    found = blas_library()
    if found is None:
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return Finding("BLAS", f"{built['name']} {built['version']}, as NumPy was built; what it runs cannot be seen")
    name, version, kernel = found["internal_api"], found["version"], found.get("architecture")
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    by = f" (OPENBLAS_CORETYPE={chosen})" if chosen else ""
    return Finding("BLAS", f"{name} {version}" + (f", kernels for {kernel}{by}" if kernel else ""))


def threads() -> Finding:
    """Report how many threads a matrix product may use, beside the cores that there are for them."""
    found, cpus = blas_library(), available_cpus()
    if found is None:
        return Finding("Threads", "unknown")
    count, advice = found["num_threads"], ""
    if count < cpus:
        advice = f"fewer than the {cpus} cores: unless that is meant, unset OPENBLAS_NUM_THREADS and OMP_NUM_THREADS"
    elif count > cpus:
        advice = f"more than the {cpus} cores, so that they wait for each other: set OPENBLAS_NUM_THREADS={cpus}"
    return Finding("Threads", f"{count} for a matrix product", advice)


def products() -> Finding:
    """Measure matrix products, each safe kernel of OpenBLAS in a process of its own, and advise the fastest.

    Without OpenBLAS, or where the processor's extensions are unknown, only what NumPy runs is measured.
    """
    now, found = gflops(), blas_library()
    shown = f"{now:.0f} GFLOP/s in float32"
    if found is None or found["internal_api"] != "openblas":
        return Finding("Products", shown)
    running = found.get("architecture", "")
    others = {kernel: speed for kernel in safe_kernels(cpu_flags()) if (speed := gflops_with(kernel)) is not None}
    shown += "".join(f"; {speed:.0f} with kernels for {kernel}" for kernel, speed in others.items())
    advice, best = "", max(others, key=lambda kernel: others[kernel], default=running)
    if best != running and others[best] > GAIN * now:
        again = gflops()  # what disturbed the first measurement should not lead to advice
        if others[best] > GAIN * again:
            gain = others[best] / max(now, again)
            advice = f"{gain:.1f} times as fast: set OPENBLAS_CORETYPE={best} before Python starts"
            if best in OLDER and running in OLDER[best] and "OPENBLAS_CORETYPE" in os.environ:
                advice += "; it is set to older kernels now"
    return Finding("Products", shown, advice)


def fusing() -> Finding:
    """Report whether formulas of optimisers can be fused, and what that gains here."""
    plain = update_seconds(fused=False)
    if not can_fuse():
        found = f"off: Adam updates a million parameters in {1000 * plain:.1f} ms"
        return Finding("Fusing", found, "about 3 times as fast, with the same bits: pip install 'minidl[fast]'")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fused = update_seconds(fused=True)
    if said:  # Numba is there, but of no use
        found = f"off: Adam updates a million parameters in {1000 * plain:.1f} ms"
        return Finding("Fusing", found, str(said[-1].message))
    gain = f"Adam updates a million parameters in {1000 * fused:.1f} ms, {plain / fused:.1f} times as fast as without"
    return Finding("Fusing", f"on in long runs: {gain} (Numba {version('numba')})")


def gpu() -> Iterator[Finding]:
    """Report driver, CuPy and GPU, or which of them are missing and how to get them."""
    cuda = driver_cuda()
    if cuda is None:
        yield Finding("Driver", "none of NVIDIA: everything runs on the processor")
    else:
        yield Finding("Driver", f"NVIDIA, for CUDA up to {cuda[0]}.{cuda[1]}")
    try:
        import cupy
    except ImportError:
        yield Finding("CuPy", "not installed", "" if cuda is None else gpu_advice(cuda))
        return
    try:
        get_backend("cupy")
    except ValueError as error:
        yield Finding("CuPy", f"{cupy.__version__}: {error}", gpu_advice(cuda))
        return
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    memory = properties["totalGlobalMem"] / 2**30
    yield Finding("CuPy", cupy.__version__)
    yield Finding("GPU", f"{properties['name'].decode()}, {memory:.0f} GiB")


def mnist() -> Finding:
    """Report whether the images are there and undamaged."""
    started = perf_counter()
    try:
        train, test = load_mnist()
    except (OSError, ValueError) as error:
        return Finding("MNIST", str(error), "install minidl anew", broken=True)
    took = perf_counter() - started
    return Finding("MNIST", f"{len(train.x):,} and {len(test.x):,} images, checksums right, loaded in {took:.1f} s")


def cpu_name() -> str:
    """Return what the processor calls itself, such as "AMD EPYC", "Apple M2" or "Neoverse-N1"."""
    if platform.system() == "Darwin":
        return _said_by("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    name = _cpuinfo("model name")
    if not name:  # ARM under Linux, whose numbers lscpu can read
        lines = [line.partition(":") for line in _said_by("lscpu").splitlines()]
        name = next((value.strip() for key, _, value in lines if key.strip() == "Model name"), "")
    return name or platform.processor() or platform.machine() or "unknown"


def _said_by(*command: str) -> str:
    """Return what a command prints; "" if there is none, or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def cpu_flags() -> set[str]:
    """Return the processor's extensions as Linux lists them, which leaves out what it does not let programs use.

    Empty on other systems.
    """
    return set((_cpuinfo("flags") or _cpuinfo("Features")).split())


def _cpuinfo(key: str) -> str:
    """Return the first value called ``key`` in Linux's description of the processors; "" if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key), "")


def available_cpus() -> int:
    """Return how many cores this process may use: fewer than there are, if the system or a container says so."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:  # what containers set: microseconds of work allowed in each period, or "max"
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        return max(1, min(cpus, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cpus


def blas_library() -> dict[str, Any] | None:
    """Return what threadpoolctl says of the library that NumPy computes products with; None if it sees none."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    return next((library for library in threadpool_info() if library["user_api"] == "blas"), None)


def safe_kernels(flags: set[str]) -> list[str]:
    """Return the kernels that a processor with these extensions can run, from old to new."""
    return [kernel for kernel, needed in KERNELS.items() if needed <= flags]


def newer_kernel(running: str, flags: set[str]) -> str | None:
    """Return a kernel that the processor can run and that is newer than the one it runs; None if there is none."""
    newer = [kernel for kernel in safe_kernels(flags) if running in OLDER[kernel]]
    return newer[-1] if newer else None


def gflops(size: int = 1024, seconds: float = 0.3) -> float:
    """Measure how many billion operations a second a product of two matrices in float32 makes: the best of several."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, size, size), dtype=np.float32)
    out = np.empty_like(a)
    return 2e-9 * size**3 / _least_seconds(lambda: np.matmul(a, b, out=out), seconds)


def gflops_with(kernel: str) -> float | None:
    """Measure as `gflops` does, in a new process with the given kernels of OpenBLAS; None if that fails."""
    code = (
        "from minidl.machine import doctor; print((doctor.blas_library() or {}).get('architecture'), doctor.gflops())"
    )
    environment = os.environ | {"OPENBLAS_CORETYPE": kernel}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    running, _, speed = done.stdout.partition(" ")
    return float(speed) if done.returncode == 0 and running == kernel else None  # an old OpenBLAS may not have it


def bandwidth(size: int = 2**27, seconds: float = 0.3) -> float:
    """Measure how many bytes a second one core reads and writes while it negates ``size`` bytes: the best of several.

    A plain copy is the business of the C library, whose instruction for it (``rep movsb``) is ten times as slow on some
    processors of AMD when the two arrays happen to begin a few bytes apart within their pages.
    """
    source = np.ones(size // 4, np.float32)
    target = np.zeros_like(source)
    return 2 * source.nbytes / _least_seconds(lambda: np.negative(source, out=target), seconds)


def update_seconds(fused: bool, n: int = 2**20) -> float:
    """Measure an update of n parameters by Adam in float32, fused or not: the best of several."""
    keep_freed_memory()  # as every model does
    optimizer, rng = Adam(), np.random.default_rng(0)
    w, g = rng.standard_normal((2, n), dtype=np.float32)
    optimizer.fused = fused
    optimizer.step(w, g)  # compiles
    return _least_seconds(lambda: optimizer.step(w, g), 0.3)


def _least_seconds(work: Any, seconds: float) -> float:
    """Return the shortest time that ``work()`` took, repeated for so many seconds."""
    least, end = float("inf"), perf_counter() + seconds
    while perf_counter() < end or least == float("inf"):
        started = perf_counter()
        work()
        least = min(least, perf_counter() - started)
    return least


def driver_cuda() -> tuple[int, int] | None:
    """Return the highest version of CUDA that NVIDIA's driver supports, asked of the driver itself; None without it."""
    version = c_int()
    try:
        driver = CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        if driver.cuDriverGetVersion(byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10  # 12040 is 12.4


def gpu_advice(cuda: tuple[int, int] | None) -> str:
    """Return what to install, given what CUDA the driver supports."""
    if cuda is None or cuda < (12, 0):
        return "to use a GPU of NVIDIA, install a driver for CUDA 12 or later"
    return f"to use the GPU, pip install 'minidl[cuda{min(cuda[0], 13)}]', which this driver supports"
