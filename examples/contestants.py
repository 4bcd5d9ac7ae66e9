"""The contestants of `benchmark.py`: the same work done by each library, each in a process of its own.

The process reads a task from its input, prepares it, and then does as many steps of it as it is asked for, one line of
JSON for each question and each answer:

    → {"contestant": "minidl", "kind": "train", ...}       ← {"ready": true}    or {"missing": "why it cannot"}
    → {"steps": 20}                                        ← {"seconds": 0.15}
    → {"end": true}                                        ← {"peak_bytes": 400000000}

Before the clock starts it rests, since the threads of the one before may go on asking for work for some milliseconds,
and then does some steps, until its own threads and caches are awake.

A process of its own gives each library its own threads and its own memory, and keeps it from what another has loaded.
Between two questions it waits, so that the contestants take turns, and share whatever else happens on the machine.

All do the same arithmetic: network, images, batch size, optimiser and its constants, float32, number of threads. Each
is written as its own users would write it. A step is a whole one: gather the images of a batch in random order,
forward, loss, backward, update. All batches are full, and images and labels are in memory before the clock starts.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Work: TypeAlias = Callable[[int], dict[str, Any] | None]
"""Do so many steps, and be done with them on return; what is returned goes into the answer."""

IMAGES_TO_EVALUATE = 10_000
EVALUATION_BATCH = 1000
LEARNING_RATE = {"SGD": 0.01, "Adam": 0.001}
REST = 0.1
WARM_UP = 0.1
"""Seconds before each measurement: without work, and with work that does not count."""


class Task(NamedTuple):
    """What to do, and with what."""

    contestant: str
    """The library, then its modes, separated by blanks: "PyTorch compiled TF32"."""
    kind: str
    """``train``, ``products``, ``update``, ``evaluate``, ``load``, ``chapter37`` or ``parts``: see the functions."""
    data: str
    """The folder of x.npy and labels.npy."""
    threads: int
    backend: str = "numpy"
    """``numpy`` or ``cupy``: whether the GPU is used, by PyTorch too."""
    optimizer: str = "SGD"
    batch_size: int = 64
    width: int = 1024
    samples: int = 60_000
    seed: int = 0

    @property
    def library(self) -> str:
        """The contestant without its modes."""
        return self.contestant.split()[0]

    def has(self, mode: str) -> bool:
        """Tell whether the contestant runs in this mode."""
        return mode in self.contestant.split()[1:]

    @property
    def sizes(self) -> list[int]:
        """The numbers of features from the input to the output."""
        return [784, self.width, self.width, 10]

    def load(self) -> tuple[Array, Array]:
        """Return images (samples, 784) and labels, as many as fill whole batches."""
        whole = self.samples - self.samples % self.batch_size
        x, labels = (np.load(Path(self.data) / f"{name}.npy")[:whole] for name in ("x", "labels"))
        return x, labels

    def orders(self) -> Iterator[Array]:
        """Yield a new random order of the samples for each epoch, without end."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield rng.permutation(self.samples - self.samples % self.batch_size)

    def batches(self, convert: Callable[[Array], Any] = lambda order: order) -> Iterator[Any]:
        """Yield which samples are in each batch, without end; each epoch's order is converted as a whole."""
        for order in map(convert, self.orders()):
            for start in range(0, len(order), self.batch_size):
                yield order[start : start + self.batch_size]


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")

    task = Task(**json.loads(sys.stdin.readline()))
    try:
        work = prepare(task)
        work(1)  # whatever is compiled or allocated at the first step
    except Exception as error:  # any: the reason is the answer
        answer(missing=f"{type(error).__name__}: {error}"[:300])
        return
    answer(ready=True)
    for line in sys.stdin:
        question = json.loads(line)
        if "end" in question:
            break
        warm_up(work)
        started = perf_counter()
        found = work(question["steps"])
        answer(seconds=perf_counter() - started, **(found or {}))
    answer(peak_bytes=peak_bytes())


def warm_up(work: Work) -> None:
    """Rest, then do steps that do not count."""
    sleep(REST)
    end = perf_counter() + WARM_UP
    while perf_counter() < end:
        work(1)


def prepare(task: Task) -> Work:
    """Return the work of a task, ready to begin.

    Raises:
        ValueError: the contestant has no such work.
        ImportError: the library is not installed.
    """
    known: dict[tuple[str, str], Callable[[Task], Work]] = {
        ("floor", "train"): floor_train,
        ("floor", "products"): floor_train,
        ("floor", "evaluate"): floor_evaluate,
        ("minidl", "train"): minidl_train,
        ("minidl", "update"): minidl_update,
        ("minidl", "evaluate"): minidl_evaluate,
        ("minidl", "load"): minidl_load,
        ("minidl", "chapter37"): minidl_chapter37,
        ("minidl", "parts"): minidl_parts,
        ("PyTorch", "train"): pytorch_train,
        ("PyTorch", "products"): pytorch_products,
        ("PyTorch", "update"): pytorch_update,
        ("PyTorch", "evaluate"): pytorch_evaluate,
        ("JAX", "train"): jax_train,
        ("JAX", "products"): jax_products,
        ("scikit-learn", "train"): sklearn_train,
    }
    if (task.library, task.kind) not in known:
        raise ValueError(f"kind: {task.contestant} has no {task.kind!r}")
    if task.has("TF32"):
        os.environ["CUPY_TF32"] = "1"  # PyTorch is told by a call
    return known[task.library, task.kind](task)


def peak_bytes() -> int:
    """Return how much main memory this process has had at most.

    Linux keeps it for the program; what `getrusage` returns there includes what started the program, before it did.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# The floor


def floor_train(task: Task) -> Work:
    """Prepare the matrix products of a step, and nothing else.

    Backpropagation needs these eight: three forward; three for the gradients of the weights; and two that carry the
    gradient back, since nobody asks for that of the images. They have the shapes, the transpositions and the memory
    layout that they have in minidl, the weights and their gradients parts of one vector, but every result has its place
    beforehand. All other work of a step touches each number a few times, where a product touches it hundreds of times.
    """
    xp = array_module(task)
    weights, grads = matrices(task, xp), matrices(task, xp)
    rng = np.random.default_rng(task.seed)
    outputs = [xp.asarray(rng.standard_normal((task.batch_size, n), np.float32)) for n in task.sizes]
    d_outputs = [y.copy() for y in outputs]
    h, dh = [y.copy() for y in outputs], [y.copy() for y in outputs]  # apart from the outputs, so that nothing grows

    def work(steps: int) -> None:
        for _ in range(steps):
            for i, w in enumerate(weights):
                xp.matmul(h[i], w, out=outputs[i + 1])
            for i in (2, 1, 0):
                xp.matmul(h[i].T, dh[i + 1], out=grads[i])
                if i > 0:
                    xp.matmul(dh[i + 1], weights[i].T, out=d_outputs[i])
        synchronize(xp)

    return work


def floor_evaluate(task: Task) -> Work:
    """Prepare the matrix products of an evaluation, in the batches in which minidl takes them."""
    xp = array_module(task)
    weights = matrices(task, xp)
    rng = np.random.default_rng(task.seed)
    x = xp.asarray(rng.standard_normal((IMAGES_TO_EVALUATE, 784), np.float32))
    h = [xp.asarray(rng.standard_normal((EVALUATION_BATCH, n), np.float32)) for n in task.sizes]
    outputs = [y.copy() for y in h]

    def work(steps: int) -> None:
        for _ in range(steps):
            for start in range(0, IMAGES_TO_EVALUATE, EVALUATION_BATCH):
                xp.matmul(x[start : start + EVALUATION_BATCH], weights[0], out=outputs[1])
                xp.matmul(h[1], weights[1], out=outputs[2])
                xp.matmul(h[2], weights[2], out=outputs[3])
        synchronize(xp)

    return work


def array_module(task: Task) -> Any:
    """Return NumPy or CuPy, as the task says."""
    import minidl

    return minidl.get_backend(task.backend)


def synchronize(xp: Any) -> None:
    """Wait until a GPU has done what it was told."""
    if xp is not np:
        xp.cuda.Device().synchronize()


def matrices(task: Task, xp: Any) -> list[Any]:
    """Return a matrix for each dense layer, parts of one vector, with the places of the biases left between them."""
    rng = np.random.default_rng(task.seed)
    shapes = list(pairwise(task.sizes))
    vector = xp.asarray(0.03 * rng.standard_normal(sum((d + 1) * h for d, h in shapes), np.float32))
    parts, start = [], 0
    for d, h in shapes:
        parts.append(vector[start : start + d * h].reshape(d, h))
        start += (d + 1) * h
    return parts


# minidl


def minidl_network(task: Task) -> Any:
    """Return the network of chapter 37, with layers as wide as the task says."""
    import minidl

    d, h, _, k = task.sizes
    dense = (minidl.Dense(d, h), minidl.Dense(h, h), minidl.Dense(h, k))
    layers = (dense[0], minidl.ReLU(), dense[1], minidl.ReLU(), dense[2], minidl.LogSoftmax())
    return minidl.Sequential(*layers, seed=task.seed, backend=task.backend)


def minidl_train(task: Task) -> Work:
    """Prepare training steps as `minidl.fit` makes them."""
    import minidl

    xp, model, loss = array_module(task), minidl_network(task), minidl.NLLLoss()
    optimizer = getattr(minidl, task.optimizer)(LEARNING_RATE[task.optimizer])
    x, labels = map(xp.asarray, task.load())
    batches, groups = task.batches(xp.asarray), model.groups

    def work(steps: int) -> None:
        for _ in range(steps):
            batch = next(batches)
            log_p = model.forward(x.take(batch, axis=0), training=True)
            loss.forward(log_p, labels.take(batch))
            model.backward(loss.backward())
            optimizer.step(model.params, model.grads, groups)
        synchronize(xp)

    return work


def minidl_update(task: Task) -> Work:
    """Prepare updates alone, always with the same gradient."""
    import minidl

    xp, model = array_module(task), minidl_network(task)
    optimizer = getattr(minidl, task.optimizer)(LEARNING_RATE[task.optimizer])
    rng, groups = np.random.default_rng(task.seed), model.groups
    model.grads[...] = xp.asarray(0.01 * rng.standard_normal(model.grads.size, np.float32))

    def work(steps: int) -> None:
        for _ in range(steps):
            optimizer.step(model.params, model.grads, groups)
        synchronize(xp)

    return work


def minidl_evaluate(task: Task) -> Work:
    """Prepare evaluations of 10,000 images: loss and accuracy."""
    import minidl

    xp, model = array_module(task), minidl_network(task)
    x, labels = (xp.asarray(array[:IMAGES_TO_EVALUATE]) for array in task.load())

    def work(steps: int) -> None:
        for _ in range(steps):
            minidl.evaluate(model, (x, labels))

    return work


def minidl_load(_: Task) -> Work:
    """Prepare to load MNIST: unpack, verify, standardise."""
    import minidl

    def work(steps: int) -> None:
        for _ in range(steps):
            minidl.load_mnist()

    return work


def minidl_chapter37(task: Task) -> Work:
    """Prepare epochs of chapter 37, with its three batch sizes, its figures' library and its measurements.

    The first, before the clock starts, brings memory to its peak.
    """
    import minidl
    from lab.network import mnist, network

    train, test = mnist(task.samples)

    def work(steps: int) -> None:
        for batch_size in (64, 256, 1024):
            model = network(task.seed, task.backend)
            minidl.fit(
                model, minidl.SGD(0.01), train, test, epochs=steps, batch_size=batch_size, seed=0, progress=False
            )

    return work


def minidl_parts(task: Task) -> Work:
    """Prepare training steps with a clock between their parts; and measure what the machine can do at best.

    The answer has the median seconds of each part, floating-point operations a second of a large product, and bytes a
    second of a copy in main memory and in cache.
    """
    import minidl
    from minidl import doctor

    model, loss = minidl_network(task), minidl.NLLLoss()
    optimizer = getattr(minidl, task.optimizer)(LEARNING_RATE[task.optimizer])
    x, labels = task.load()
    batches, groups = task.batches(), model.groups

    def step(took: dict[str, list[float]]) -> None:
        clock = perf_counter()

        def done(part: str) -> None:
            nonlocal clock
            now = perf_counter()
            took.setdefault(part, []).append(now - clock)
            clock = perf_counter()

        batch = next(batches)
        h, labels_of_batch = x.take(batch, axis=0), labels.take(batch)
        done("gather")
        for layer in model.layers:
            h = layer.forward(h, training=True)
            done(f"{layer.name} forward")
        loss.forward(h, labels_of_batch)
        dy = loss.backward()
        done("loss")
        for layer in reversed(model.layers[1:]):
            dy = layer.backward(dy)
            done(f"{layer.name} backward")
        model.layers[0].backward_params(dy)
        done(f"{model.layers[0].name} backward")
        optimizer.step(model.params, model.grads, groups)
        done("update")

    def work(steps: int) -> dict[str, Any]:
        took: dict[str, list[float]] = {}
        for _ in range(steps):
            step(took)
        return {
            "parts": {part: median(seconds) for part, seconds in took.items()},
            "flops": 1e9 * doctor.gflops(2048),
            "bandwidth": doctor.bandwidth(),
            "cache_bandwidth": doctor.bandwidth(2**17),
        }

    return work


# PyTorch


def pytorch_model(task: Task) -> tuple[Any, Any, Any]:
    """Return the module torch, the network, and its optimiser."""
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    if task.has("TF32"):
        torch.set_float32_matmul_precision("high")
    d, h, _, k = task.sizes
    linear = (torch.nn.Linear(d, h), torch.nn.Linear(h, h), torch.nn.Linear(h, k))
    model = torch.nn.Sequential(linear[0], torch.nn.ReLU(), linear[1], torch.nn.ReLU(), linear[2])
    model.to(pytorch_device(task))
    options: dict[str, Any] = {"lr": LEARNING_RATE[task.optimizer]}
    if task.has("fused") or task.has("compiled"):
        options["fused"] = True
    if task.has("graph") and task.optimizer == "Adam":
        options["capturable"] = True
    return torch, model, getattr(torch.optim, task.optimizer)(model.parameters(), **options)


def pytorch_device(task: Task) -> str:
    """Return where PyTorch shall compute."""
    return "cuda" if task.backend == "cupy" else "cpu"


def pytorch_train(task: Task) -> Work:
    """Prepare training steps: PyTorch as it is, with fused optimisers, compiled, or recorded as a CUDA graph.

    Compiled means: gathering, network and loss by ``torch.compile``, and the fused optimiser.
    """
    torch, model, optimizer = pytorch_model(task)
    device = pytorch_device(task)
    x, labels = (torch.from_numpy(array).to(device) for array in task.load())
    batches = task.batches(lambda order: torch.from_numpy(order).to(device))

    def loss_of(batch: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(x[batch]), labels[batch])

    if task.has("compiled"):
        loss_of = torch.compile(loss_of)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        loss_of(batch).backward()
        optimizer.step()

    step_or_replay = pytorch_graph(torch, step, next(batches)) if task.has("graph") else step

    def work(steps: int) -> None:
        for _ in range(steps):
            step_or_replay(next(batches))
        if device == "cuda":
            torch.cuda.synchronize()

    return work


def pytorch_graph(torch: Any, step: Callable[[Any], None], batch: Any) -> Callable[[Any], None]:
    """Record a step as a CUDA graph, and return what replays it, as PyTorch's notes on CUDA semantics do."""
    static = batch.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(static)

    def replay(batch: Any) -> None:
        static.copy_(batch)
        graph.replay()

    return replay


def pytorch_products(task: Task) -> Work:
    """Prepare the matrix products of a step, as `floor_train` does, with PyTorch's layout: its weights are (H, D)."""
    torch, model, _ = pytorch_model(task)
    weights = [parameter.detach() for parameter in model.parameters() if parameter.dim() == 2]
    grads = [torch.empty_like(w) for w in weights]
    h, dh, outputs, d_outputs = (
        [torch.randn(task.batch_size, n, device=pytorch_device(task)) for n in task.sizes] for _ in range(4)
    )

    def work(steps: int) -> None:
        for _ in range(steps):
            for i, w in enumerate(weights):
                torch.matmul(h[i], w.T, out=outputs[i + 1])
            for i in (2, 1, 0):
                torch.matmul(dh[i + 1].T, h[i], out=grads[i])
                if i > 0:
                    torch.matmul(dh[i + 1], weights[i], out=d_outputs[i])
        if pytorch_device(task) == "cuda":
            torch.cuda.synchronize()

    return work


def pytorch_update(task: Task) -> Work:
    """Prepare updates alone, always with the same gradient."""
    torch, model, optimizer = pytorch_model(task)
    for parameter in model.parameters():
        parameter.grad = 0.01 * torch.randn_like(parameter)

    def work(steps: int) -> None:
        for _ in range(steps):
            optimizer.step()
        if pytorch_device(task) == "cuda":
            torch.cuda.synchronize()

    return work


def pytorch_evaluate(task: Task) -> Work:
    """Prepare evaluations of 10,000 images: loss and accuracy."""
    torch, model, _ = pytorch_model(task)
    device = pytorch_device(task)
    x, labels = (torch.from_numpy(array[:IMAGES_TO_EVALUATE]).to(device) for array in task.load())

    def evaluate() -> tuple[float, float]:
        loss, hits = 0.0, 0
        for start in range(0, IMAGES_TO_EVALUATE, EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            scores = model(x[batch])
            loss += torch.nn.functional.cross_entropy(scores, labels[batch], reduction="sum")
            hits += (scores.argmax(dim=1) == labels[batch]).sum()
        return float(loss) / IMAGES_TO_EVALUATE, float(hits) / IMAGES_TO_EVALUATE

    def work(steps: int) -> None:
        with torch.no_grad():
            for _ in range(steps):
                evaluate()

    return work


# JAX


def jax_train(task: Task) -> Work:
    """Prepare training steps: the whole step compiled, parameters and state written over in place ("donated")."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(task.seed)
    shapes = pairwise(task.sizes)
    params = [(jnp.asarray(0.03 * rng.standard_normal((d, h), np.float32)), jnp.zeros(h)) for d, h in shapes]
    x, labels = map(jnp.asarray, task.load())
    lr = LEARNING_RATE[task.optimizer]

    def loss_of(params: Any, x: Any, labels: Any) -> Any:
        h = x
        for w, b in params[:-1]:
            h = jax.nn.relu(h @ w + b)
        w, b = params[-1]
        log_p = jax.nn.log_softmax(h @ w + b)
        return -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()

    def sgd(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda w, g: w - lr * g, params, grads), state

    def adam(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        t, m, v = state
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)

        def moved(w: Any, m: Any, v: Any) -> Any:
            return w - lr * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return jax.tree.map(moved, params, m, v), (t, m, v)

    def step(params: Any, state: Any, x: Any, labels: Any, batch: Any) -> tuple[Any, Any]:
        loss, grads = jax.value_and_grad(loss_of)(params, x[batch], labels[batch])
        return (adam if task.optimizer == "Adam" else sgd)(params, state, grads), loss

    compiled = jax.jit(step, donate_argnums=(0, 1))
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (jnp.zeros(()), zeros, jax.tree.map(jnp.zeros_like, params)) if task.optimizer == "Adam" else ()
    batches = task.batches()

    def work(steps: int) -> None:
        nonlocal params, state
        for _ in range(steps):
            (params, state), _ = compiled(params, state, x, labels, next(batches))
        jax.block_until_ready(params)

    return work


def jax_products(task: Task) -> Work:
    """Prepare the matrix products of a step, as `floor_train` does, compiled together."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(task.seed)
    weights = [jnp.asarray(0.03 * rng.standard_normal(shape, np.float32)) for shape in pairwise(task.sizes)]
    h, dh = ([jnp.asarray(rng.standard_normal((task.batch_size, n), np.float32)) for n in task.sizes] for _ in "hd")

    def products(weights: Any, h: Any, dh: Any) -> Any:
        outputs = [h[i] @ w for i, w in enumerate(weights)]
        grads = [h[i].T @ dh[i + 1] for i in range(len(weights))]
        return outputs, grads, [dh[i + 1] @ weights[i].T for i in (1, 2)]

    compiled = jax.jit(products)

    def work(steps: int) -> None:
        for _ in range(steps):
            found = compiled(weights, h, dh)
        jax.block_until_ready(found)

    return work


# scikit-learn


def sklearn_train(task: Task) -> Work:
    """Prepare training steps: passes over as many images as the steps need, which is all that its interface offers.

    A pass begins with checks of the images, which are therefore part of the time, as they are for its users.
    """
    from sklearn.neural_network import MLPClassifier

    x, labels = task.load()
    plain = {"momentum": 0.0, "nesterovs_momentum": False} if task.optimizer == "SGD" else {}
    model = MLPClassifier(
        hidden_layer_sizes=(task.width, task.width),
        solver=task.optimizer.lower(),
        batch_size=task.batch_size,
        learning_rate_init=LEARNING_RATE[task.optimizer],
        alpha=0.0,
        random_state=task.seed,
        **plain,
    )

    def work(steps: int) -> None:
        while steps > 0:
            images = min(steps * task.batch_size, len(x))
            model.partial_fit(x[:images], labels[:images], classes=np.arange(10))
            steps -= images // task.batch_size

    return work


if __name__ == "__main__":
    main()
