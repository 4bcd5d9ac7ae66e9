"""Feed changed files to the readers, guided by which code they reach: only the documented error may come out.

    pip install -e '.[fuzz]'
    python tests/fuzz/fuzz_readers.py -max_total_time=600 -rss_limit_mb=600 -timeout=5

Any other exception, five seconds without an answer, or 600 MB of memory end the run, and leave the input behind. The
options are libFuzzer's. The first byte of an input chooses the reader, and how the rest becomes a file:

0      an IDX file
1, 2   a model, a checkpoint: the whole archive
3, 4   the same, but the input only says which of the values in the archive's JSON become what, and what stands in place
       of the array 0.W. All else is right, the checksum too, which would else stop every change at the door.
"""

import json
import shutil
import sys
import tempfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import atheris

with atheris.instrument_imports(include=["minidl", "zipfile", "json"]):
    import numpy as np

    import minidl
    from minidl.files import archives


def small_training() -> minidl.Training:
    """Return the state of a run whose model has a layer of each kind that is saved."""
    model = minidl.Sequential(
        minidl.Dense(2, 3), minidl.BatchNorm(3), minidl.Dropout(0.5), minidl.Dense(3, 2), minidl.LogSoftmax(), seed=0
    )
    optimizer = minidl.Adam()
    optimizer.prepare(model.params, model.grads)
    return minidl.Training(model, optimizer, np.random.default_rng(0), minidl.EarlyStopping(1))


def members_of(path: Path) -> dict[str, bytes]:
    """Return the members of an archive."""
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(members: dict[str, bytes]) -> bytes:
    """Return an archive of ``members`` with a checksum that fits."""
    stream = BytesIO()
    with ZipFile(stream, "w") as archive:
        for name, data in (members | {"sha256": archives.digest_of(members).encode()}).items():
            archive.writestr(name, data)
    return stream.getvalue()


FOLDER = Path(tempfile.mkdtemp())
minidl.save_training(FOLDER / "training", small_training())
MEMBERS = members_of(FOLDER / "training")
del MEMBERS["sha256"]
SEEDS = [
    b"\0\0\0\x08\x02" + (2).to_bytes(4, "big") * 2 + b"abcd",
    b"\1" + (FOLDER / "training").read_bytes(),
    b"\2" + (FOLDER / "training").read_bytes(),
    b"\3",
    b"\4",
]
ODD = [
    None,
    True,
    -1,
    0,
    1,
    2**31,
    10**30,
    0.5,
    -0.0,
    1e308,
    "",
    "Dense",
    "float64",
    "object",
    [],
    {},
    [1] * 99,
    [[]],
    "x" * 99,
]


def changed(content: bytes) -> dict[str, bytes]:
    """Return the members of the archive after the changes that ``content`` asks for."""
    given, members = atheris.FuzzedDataProvider(content), dict(MEMBERS)
    metadata = json.loads(members["metadata.json"])
    for _ in range(given.ConsumeIntInRange(0, 3)):
        node, key = {"": metadata}, ""
        while isinstance(node[key], dict | list) and node[key] and given.ConsumeIntInRange(0, 7):
            node = node[key]
            key = given.PickValueInList(list(node) if isinstance(node, dict) else list(range(len(node))))
        if given.ConsumeBool():
            node[key] = given.PickValueInList(ODD)
        elif given.ConsumeBool():
            node[key] = given.ConsumeInt(8)
        elif isinstance(node, dict):
            node[given.ConsumeUnicodeNoSurrogates(8)] = node.pop(key)
        metadata = node.get("", metadata) if isinstance(node, dict) else metadata
    if array := given.ConsumeBytes(200):
        members["0.W.npy"] = array
    members["metadata.json"] = json.dumps(metadata).encode()
    return members


def read(data: bytes) -> None:
    """Read the file that ``data`` stands for, or raise what its reader raises."""
    kind, content, path = data[0] % 5, data[1:], FOLDER / "file"
    if kind >= 3:
        content = archive_of(changed(content))
    path.write_bytes(content)
    if kind == 0:
        minidl.read_idx(path)
    elif kind in (1, 3):
        minidl.load(path)
    else:
        minidl.load_training(path, small_training())


def one_input(data: bytes) -> None:
    """Read, and let the documented error pass."""
    with suppress(ValueError):
        read(data or b"\0")


if __name__ == "__main__":
    for seed in SEEDS:
        read(seed)  # whole, they are read without an error
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus), "-max_len=8192"], one_input)
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(FOLDER)
