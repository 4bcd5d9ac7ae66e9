"""The squared error: a loss for numbers instead of classes.

A network that ends in a Dense layer, without LogSoftmax, can output any numbers. If the targets scatter around them
normally, with the same variance everywhere, then the negative log-likelihood is the squared error, up to a factor and a
constant. The principle is the same as in `minidl.losses`.
"""

from minidl.backend import Array, convert
from minidl.checks.data import as_array
from minidl.losses import Loss


class MSELoss(Loss):
    """The mean squared error between outputs y and targets t, over the B samples of a batch and their K numbers.

        L = 1/(B K) Σ_b Σ_k (y_bk − t_bk)²          dy_bk = 2 (y_bk − t_bk) / (B K)

    y_bk appears in one term only, whose derivative this is. Pass the loss to `minidl.fit` as ``loss``. The labels of
    the data are then numbers (n,) or (n, K), and no accuracies are measured, since only classes have them.

    Source: Goodfellow, Bengio and Courville 2016, "Deep Learning", section 5.5.1. PyTorch: ``nn.MSELoss``.
    """

    regression = True
    _difference: Array | None = None

    def forward(self, y: Array, targets: Array) -> Array:
        """Compute the mean loss of a batch.

        Args:
            y: the model's output, (B, K).
            targets: the desired output, (B, K); or (B,), if K is 1.

        Returns:
            L, an array of no dimensions with the dtype of ``y``.

        Raises:
            ValueError: the shapes differ. NumPy would broadcast (B, 1) and (B,) to (B, B).
        """
        wanted = as_array("targets", targets)
        if wanted.shape == y.shape[:1] and y.shape[1:] == (1,):
            wanted = wanted.reshape(-1, 1)
        if wanted.shape != y.shape:
            raise ValueError(f"targets: expected the shape of the output, {y.shape}, got {wanted.shape}")
        self._difference = y - convert(wanted, like=y)
        value: Array = (self._difference * self._difference).mean()
        return value

    def backward(self) -> Array:
        """Compute dy, (B, K), for the batch of the last forward pass.

        Raises:
            RuntimeError: there was no forward pass since the last backward pass.
        """
        if self._difference is None:
            raise RuntimeError("MSELoss.backward: call forward(y, targets) first, once for each backward")
        difference, self._difference = self._difference, None
        dy: Array = difference * (2.0 / difference.size)
        return dy
