"""Feed changed files to the readers, guided by what code they reach: only the documented errors may come out.

    pip install -e '.[fuzz]'
    python tests/fuzz/fuzz_readers.py -max_total_time=600 -rss_limit_mb=512 -timeout=5 tests/fuzz/corpus

Any other exception, five seconds without an answer, or 512 MB of memory end the run with an error, and leave the input
behind. Options are libFuzzer's. The first byte of an input chooses the reader; what follows is the file. A checksum
would stop almost every change at the door, so half of the files get one that fits.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["minidl", "zipfile", "json"]):
    import minidl
    from minidl import checkpoints, saving

FOLDER = Path(tempfile.mkdtemp())
DOCUMENTED = (ValueError,)


def small_model() -> minidl.Sequential:
    """Return a model with all that can be in a file."""
    return minidl.Sequential(minidl.Dense(2, 3), minidl.BatchNorm(3), minidl.Dropout(0.5), minidl.Dense(3, 2), seed=0)


def small_training() -> minidl.Training:
    """Return a training of that model."""
    model, optimizer = small_model(), minidl.Adam()
    optimizer.prepare(model.params, model.grads)
    return minidl.Training(model, optimizer, minidl.dropout.Generator(saving.np.random.PCG64(0)))


def one_input(data: bytes) -> None:
    """Read ``data`` as a file of the kind that its first byte chooses."""
    if not data:
        return
    kind, path = data[0] % 5, FOLDER / "file"
    path.write_bytes(data[1:])
    if kind >= 3:  # a checksum that always fits
        saving._digest = lambda members: saving_members_digest
    try:
        if kind == 0:
            minidl.read_idx(path)
        elif kind in (1, 3):
            minidl.load(path)
        else:
            checkpoints.load_training(path, small_training())
    except DOCUMENTED:
        pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
