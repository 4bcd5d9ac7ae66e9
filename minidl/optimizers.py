"""How the parameters move: each optimiser is a formula that turns gradients into a step.

The formula is applied to every parameter alone, so it does not matter in which portions the vector of parameters is
taken. On a CPU it is taken in blocks that stay in the processor's cache: a formula in NumPy makes temporary arrays, and
for 1.9 million parameters these would travel to main memory and back. A GPU gains nothing by blocks and takes all at
once.

An optimiser sees two arrays and no network. The same object that trains a model also rolls down a drawn valley:

    optimizer.step(position, gradient(position))
"""

from minidl.backend import Array, on_host
from minidl.checks import positive

BLOCK = 65536
"""Parameters in a block: 256 KiB of float32 for each array of a formula, which together fit in a level-2 cache."""


class Optimizer:
    """What all optimisers share: the learning rate, and the walk through the parameters.

    Args:
        lr: the learning rate, a finite number above 0. It may be changed between steps.

    Raises:
        TypeError: ``lr`` is not a number.
        ValueError: ``lr`` is not finite or not above 0.
    """

    def __init__(self, lr: float):
        self.lr = positive("lr", lr)

    def step(self, params: Array, grads: Array) -> None:
        """Change ``params`` in place by one step.

        Args:
            params: the parameters, (n,).
            grads: the gradient of the loss with respect to them, same shape, dtype and backend; it is only read.

        Raises:
            ValueError: shapes or dtypes differ, or the arrays are not vectors.
        """
        if params.ndim != 1 or params.shape != grads.shape or params.dtype != grads.dtype:
            raise ValueError(
                "params, grads: expected two vectors of equal length and dtype, "
                f"got {params.shape} {params.dtype} and {grads.shape} {grads.dtype}"
            )
        n = len(params)
        size = BLOCK if on_host(params) else max(n, 1)
        for start in range(0, n, size):
            block = slice(start, start + size)
            self.update(params[block], grads[block])

    def update(self, w: Array, g: Array) -> None:
        """Apply the formula to the parameters ``w`` in place, given their gradient ``g``."""
        raise NotImplementedError(f"{type(self).__name__} has no update")


class SGD(Optimizer):
    """Stochastic gradient descent: a step against the gradient.

        w ← w − η g

    *Stochastic* because g is the gradient of one batch, an estimate of that of the whole training set.

    Args:
        lr: η, the learning rate; the default is that of chapter 37.

    Source: Robbins and Monro 1951, "A stochastic approximation method"; Goodfellow, Bengio and Courville 2016, "Deep
    Learning", algorithm 8.1. PyTorch: ``torch.optim.SGD``.
    """

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)

    def update(self, w: Array, g: Array) -> None:
        """Compute w ← w − η g."""
        w -= self.lr * g
