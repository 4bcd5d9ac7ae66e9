"""What training makes small: one number for a whole batch.

The loss is the mean over the samples of the batch, not their sum, so that batches of all sizes can be compared and a
learning rate means the same for each. Its backward pass is therefore where the gradient gets its 1/B: the layers before
it just add up what their samples hand them. (Batch normalisation divides by B for a reason of its own, a mean over x.)
"""

from minidl.backend import Array, array_module, on_host


class NLLLoss:
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
        rows = xp.arange(len(labels))
        self._memory = (log_p, labels)
        value: Array = -log_p[rows, labels].mean()
        return value

    def backward(self) -> Array:
        """Compute dlog_p, (B, K), for the batch of the last forward pass.

        Raises:
            RuntimeError: there was no forward pass since the last backward pass.
        """
        if self._memory is None:
            raise RuntimeError("NLLLoss.backward: call forward(log_p, labels) first, once for each backward")
        log_p, labels = self._memory
        self._memory = None
        xp = array_module(log_p)
        dlog_p: Array = xp.zeros_like(log_p)
        dlog_p[xp.arange(len(labels)), labels] = -1.0 / len(labels)
        return dlog_p


def check_labels(labels: Array, shape: tuple[int, ...]) -> None:
    """Raise a TypeError or ValueError unless ``labels`` fit log-probabilities of ``shape`` (B, K)."""
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels: expected integers, got {labels.dtype}")
    if len(shape) != 2 or shape[0] == 0 or labels.shape != shape[:1]:
        raise ValueError(f"labels: expected one for each row of log_p {shape}, at least one, got shape {labels.shape}")
    if on_host(labels) and (labels.min() < 0 or labels.max() >= shape[1]):
        raise ValueError(f"labels: expected 0 to {shape[1] - 1}, got {labels.min()} to {labels.max()}")
