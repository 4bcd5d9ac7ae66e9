"""PyTorch: as it is, with fused optimisers, compiled, or recorded as a CUDA graph; on a GPU with or without TF32."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import Linear, ReLU, Sequential
from torch.nn.functional import cross_entropy

from lab.contestants.launches import counted
from lab.contestants.task import EVALUATION_BATCH, IMAGES_TO_EVALUATE, Task, Work


def train(task: Task) -> Work:
    """Prepare training steps.

    Compiled means: gathering, network and loss by ``torch.compile``, and the fused optimiser.
    """
    model, optimizer = model_and_optimizer(task)
    x, labels = (torch.from_numpy(array).to(device(task)) for array in task.load())
    batches = task.batches(lambda order: torch.from_numpy(order).to(device(task)))

    def loss_of(batch: Any) -> Any:
        return cross_entropy(model(x[batch]), labels[batch])

    if task.has("compiled"):
        loss_of = torch.compile(loss_of)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        loss_of(batch).backward()
        optimizer.step()

    step_or_replay = as_graph(step, next(batches)) if task.has("graph") else step

    def work(steps: int) -> None:
        for _ in range(steps):
            step_or_replay(next(batches))
        synchronize(task)

    return work


def launches(task: Task) -> Work:
    """Prepare training steps whose kernels are counted."""
    return counted(train(task))


def products(task: Task) -> Work:
    """Prepare the matrix products of a step, as the floor does, with PyTorch's layout: its weights are (H, D)."""
    model, _ = model_and_optimizer(task)
    weights = [parameter.detach() for parameter in model.parameters() if parameter.dim() == 2]
    grads = [torch.empty_like(w) for w in weights]
    h, dh, outputs, d_outputs = (
        [torch.randn(task.batch_size, n, device=device(task)) for n in task.sizes] for _ in range(4)
    )

    def work(steps: int) -> None:
        for _ in range(steps):
            for i, w in enumerate(weights):
                torch.matmul(h[i], w.T, out=outputs[i + 1])
            for i in (2, 1, 0):
                torch.matmul(dh[i + 1].T, h[i], out=grads[i])
                if i > 0:
                    torch.matmul(dh[i + 1], weights[i], out=d_outputs[i])
        synchronize(task)

    return work


def update(task: Task) -> Work:
    """Prepare updates alone, always with the same gradient."""
    model, optimizer = model_and_optimizer(task)
    for parameter in model.parameters():
        parameter.grad = 0.01 * torch.randn_like(parameter)

    def work(steps: int) -> None:
        for _ in range(steps):
            optimizer.step()
        synchronize(task)

    return work


def evaluate(task: Task) -> Work:
    """Prepare evaluations of 10,000 images: loss and accuracy."""
    model, _ = model_and_optimizer(task)
    x, labels = (torch.from_numpy(array[:IMAGES_TO_EVALUATE]).to(device(task)) for array in task.load())

    def evaluate_once() -> tuple[float, float]:
        loss, hits = 0.0, 0
        for start in range(0, IMAGES_TO_EVALUATE, EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            scores = model(x[batch])
            loss += cross_entropy(scores, labels[batch], reduction="sum")
            hits += (scores.argmax(dim=1) == labels[batch]).sum()
        return float(loss) / IMAGES_TO_EVALUATE, float(hits) / IMAGES_TO_EVALUATE

    def work(steps: int) -> None:
        with torch.no_grad():
            for _ in range(steps):
                evaluate_once()

    return work


def model_and_optimizer(task: Task) -> tuple[Any, Any]:
    """Return the network of chapter 37 and its optimiser, having set threads, seed and precision."""
    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    if task.has("TF32"):
        torch.set_float32_matmul_precision("high")
    d, h, _, k = task.sizes
    model = Sequential(Linear(d, h), ReLU(), Linear(h, h), ReLU(), Linear(h, k)).to(device(task))
    options: dict[str, Any] = {"lr": task.lr}
    if task.has("fused") or task.has("compiled"):
        options["fused"] = True
    if task.has("graph") and task.optimizer == "Adam":
        options["capturable"] = True
    return model, getattr(torch.optim, task.optimizer)(model.parameters(), **options)


def device(task: Task) -> str:
    """Return where PyTorch shall compute."""
    return "cuda" if task.backend == "cupy" else "cpu"


def synchronize(task: Task) -> None:
    """Wait until a GPU has done what it was told."""
    if device(task) == "cuda":
        torch.cuda.synchronize()


def as_graph(step: Callable[[Any], None], batch: Any) -> Callable[[Any], None]:
    """Record a step as a CUDA graph, and return what replays it, as PyTorch's notes on CUDA semantics do.

    The graph knows addresses only, so what is there has to stay: the step, with the images and the model that it uses.
    """
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

    def replay(batch: Any, _stays: object = step) -> None:
        static.copy_(batch)
        graph.replay()

    return replay
