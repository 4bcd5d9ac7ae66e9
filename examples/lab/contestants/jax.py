"""JAX: the whole step is compiled, and parameters and state are overwritten in place ("donated")."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab.contestants.task import Task, Work


def train(task: Task) -> Work:
    """Prepare training steps."""
    rng = np.random.default_rng(task.seed)
    shapes = pairwise(task.sizes)
    params = [(jnp.asarray(0.03 * rng.standard_normal((d, h), np.float32)), jnp.zeros(h)) for d, h in shapes]
    x, labels = map(jnp.asarray, task.load())

    def loss_of(params: Any, x: Any, labels: Any) -> Any:
        h = x
        for w, b in params[:-1]:
            h = jax.nn.relu(h @ w + b)
        w, b = params[-1]
        log_p = jax.nn.log_softmax(h @ w + b)
        return -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()

    def sgd(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda w, g: w - task.lr * g, params, grads), state

    def adam(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        t, m, v = state
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)

        def moved(w: Any, m: Any, v: Any) -> Any:
            return w - task.lr * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

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


def products(task: Task) -> Work:
    """Prepare the matrix products of a step, as the floor does, compiled together."""
    rng = np.random.default_rng(task.seed)
    weights = [jnp.asarray(0.03 * rng.standard_normal(shape, np.float32)) for shape in pairwise(task.sizes)]
    h, dh = ([jnp.asarray(rng.standard_normal((task.batch_size, n), np.float32)) for n in task.sizes] for _ in "hd")

    def all_products(weights: Any, h: Any, dh: Any) -> Any:
        outputs = [h[i] @ w for i, w in enumerate(weights)]
        grads = [h[i].T @ dh[i + 1] for i in range(len(weights))]
        return outputs, grads, [dh[i + 1] @ weights[i].T for i in (1, 2)]

    compiled = jax.jit(all_products)

    def work(steps: int) -> None:
        for _ in range(steps):
            found = compiled(weights, h, dh)
        jax.block_until_ready(found)

    return work
