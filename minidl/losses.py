"""The loss: one number for a whole batch, which training makes small.

The loss is the mean over the samples of the batch, not their sum. So batches of all sizes can be compared, and a
learning rate means the same for each. The gradient gets its 1/B here, in the backward pass of the loss; the layers only
add up over the samples. (Batch normalisation divides by B for another reason: it takes a mean over x.)
"""

from typing import Protocol

from minidl.backend import Array, array_module
from minidl.checks import check_labels


class Loss(Protocol):
    """What the training loop needs of a loss: `NLLLoss` is one, and a class of your own with these methods another.

    A loss for numbers instead of classes, such as `minidl.MSELoss`, sets ``regression = True``.
    """

    def forward(self, log_p: Array, labels: Array, /) -> Array:
        """Compute the mean loss of a batch from the model's output (B, K) and the labels (B,)."""
        ...

    def backward(self) -> Array:
        """Compute the gradient of that loss with respect to the model's output, (B, K)."""
        ...

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class NLLLoss(Loss):
    """The negative log-likelihood: how surprised the model is by the right answers, on average.

    With log_p from `minidl.LogSoftmax` and t_b the label of sample b,

        L = −(1/B) Σ_b log_p[b, t_b]          dlog_p[b, k] = −(1/B) · [k = t_b]

    A model that knows nothing says p = 1/K for each of K classes and has loss log K: 2.303 for ten digits. Together
    with LogSoftmax this is what other libraries call cross-entropy. PyTorch: ``nn.NLLLoss``.
    """

    _memory: tuple[Array, Array] | None = None

    def forward(self, log_p: Array, labels: Array) -> Array:
        """Compute the mean loss of a batch.

        Args:
            log_p: log-probabilities, (B, K).
            labels: the right classes as integers in 0 … K−1, (B,), on the same backend. Their range is checked in
                main memory only: on a GPU it would cost a wait in every step, and `minidl.fit` checks all labels once.

        Returns:
            L, an array of no dimensions with the dtype of ``log_p``; on a GPU, ``float(L)`` waits for it.

        Raises:
            TypeError: ``labels`` are not integers.
            ValueError: ``labels`` has another length than ``log_p``, or a label is out of range.
        """
        check_labels(labels, log_p.shape)
        xp = array_module(log_p)
        right = labels[:, None] == xp.arange(log_p.shape[1])  # (B, 1) == (K,) -> (B, K): [k = t_b]
        self._memory = (log_p, right)
        value: Array = xp.where(right, log_p, 0).sum() / -len(labels)
        return value

    def backward(self) -> Array:
        """Compute dlog_p, (B, K), for the batch of the last forward pass.

        Raises:
            RuntimeError: there was no forward pass since the last backward pass.
        """
        if self._memory is None:
            raise RuntimeError("NLLLoss.backward: call forward(log_p, labels) first, once for each backward")
        log_p, right = self._memory
        self._memory = None
        dlog_p: Array = array_module(log_p).where(right, -1 / len(log_p), 0).astype(log_p.dtype)
        return dlog_p
