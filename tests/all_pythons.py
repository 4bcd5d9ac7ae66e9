"""Run the test suite on every Python from 3.11 on that is found here, each in a virtual environment of its own.

    python tests/all_pythons.py                    # the versions of the packages that pip chooses
    python tests/all_pythons.py --lowest           # the lowest versions that setup.cfg allows, on the oldest Python
    python tests/all_pythons.py -- -k saving       # what follows goes to pytest

Pythons are looked for on the path and where pyenv and uv put them.
"""

import argparse
import configparser
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = ("~/.pyenv/versions/*/bin/python3", "~/.local/share/uv/python/*/bin/python3", "/usr/bin/python3.*")


def version_of(python: Path) -> tuple[int, ...] | None:
    """Return the version of an interpreter; None if it does not start, or cannot make a virtual environment."""
    code = "import sys, venv, ensurepip; print(*sys.version_info[:3])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


def pythons() -> dict[str, Path]:
    """Return the newest interpreter of each minor version from 3.11 on."""
    found: dict[tuple[int, ...], Path] = {}
    candidates = [Path(sys.executable)]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        candidates += Path(folder).glob("python3.[0-9]*") if Path(folder).is_dir() else []
    for place in PLACES:
        pattern = Path(place).expanduser()
        candidates += Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    for path in candidates:
        if (
            re.fullmatch(r"python3?(\.\d+)?(\.exe)?", path.name)
            and (version := version_of(path))
            and version >= (3, 11)
        ):
            found[version] = path
    return {".".join(map(str, version[:2])): path for version, path in sorted(found.items())}


def lowest_versions() -> list[str]:
    """Return the requirements of the package and its tests, each pinned to its lower bound."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = setup["options"]["install_requires"].splitlines()
    for extra in ("test", "augment", "safetensors", "distributed", "mpi", "hypothesis"):
        lines += setup["options.extras_require"][extra].splitlines()
    return [re.sub(r">=", "==", line) for line in lines if ">=" in line]


def run_on(name: str, python: Path, lowest: bool, options: list[str]) -> int:
    """Run the suite in a new environment, and return pytest's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
        pins = lowest_versions() if lowest else []
        subprocess.run([inside, "-m", "pip", "install", "-q", "-e", ".[test]", *pins], cwd=ROOT, check=True)
        print(f"== Python {name}{' with the lowest versions' if lowest else ''}", flush=True)
        return subprocess.run([inside, "-m", "pytest", "-q", *options], cwd=ROOT, check=False).returncode


def main() -> int:
    """Run what the command line asks for; return 1 if a suite fails, else 0."""
    parser = argparse.ArgumentParser(description="Run the tests on every Python found here.")
    parser.add_argument("--lowest", action="store_true", help="the lowest versions that setup.cfg allows")
    parser.add_argument("--list", action="store_true", help="say which Pythons there are, and end")
    parser.add_argument("options", nargs="*", help="for pytest")
    args = parser.parse_args()
    found = pythons()
    if args.list:
        print(*(f"{name}  {path}" for name, path in found.items()), sep="\n")
        return 0
    chosen = dict(list(found.items())[:1]) if args.lowest else found
    results = {name: run_on(name, path, args.lowest, args.options) for name, path in chosen.items()}
    print(*(f"Python {name}: {'passed' if status == 0 else 'FAILED'}" for name, status in results.items()), sep="\n")
    return int(any(results.values()))


if __name__ == "__main__":
    sys.exit(main())
