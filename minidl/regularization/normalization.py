"""Batch normalisation: every feature gets mean 0 and variance 1, over the samples of the batch.

This often makes training faster and steadier; why is disputed (``docs/engine/regularization/normalization.md``). The
price is that a sample's output depends on the others in its batch. In evaluation it must not, so training gathers
moving averages of mean and variance, and evaluation uses these instead. Their *decay* sets how slowly they follow.
"""

from minidl.backend import Array, Generator, array_module, on_host
from minidl.checks import below_one, not_infinite, not_rounded_to_zero, positive, positive_int
from minidl.layers import Layer


class BatchNorm(Layer):
    """Normalise each feature over the batch, then scale and shift it.

        μ = mean(x)    σ² = mean((x − μ)²)    x̂ = (x − μ) / √(σ² + ε)    y = γ x̂ + β

    in training, with means over the samples of the batch; in evaluation, μ and σ² are the moving averages

        moving ← decay · moving + (1 − decay) · (μ, or σ² B / (B − 1))

    where the factor makes σ² an unbiased estimate. Backward: γ and β are a scale and a shift,

        dγ = Σ dy x̂        dβ = Σ dy        dx̂ = γ dy

    and x reaches x̂ in three ways: directly, through μ, and through σ². Together these give

        dx = (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂)) / √(σ² + ε)

    The two means take out of the gradient what normalisation undoes: a shift of all x, and a scaling.

    Args:
        features: D, the number of features.
        decay: how much of a moving average an update keeps, from 0 up to but not including 1.
        eps: ε, above 0.
        ghost_size: normalise over parts of a batch, of so many samples each, as if they were batches of their own;
            None for the whole batch. The last part may be shorter. A large batch then has the noise of small ones.

    Parameters: ``gamma`` (D,), starting at 1, and ``beta`` (D,), starting at 0.

    In a frozen layer, the moving averages stay as they are too. In training it still normalises by the batch if layers
    below it learn. Its averages then belong to a network that no longer exists, so freeze from the input upwards.

    Raises:
        TypeError, ValueError: an argument is out of range; or, in training, a part is a single sample, whose variance
            is unknown.

    Source: Ioffe and Szegedy 2015, "Batch normalization", algorithms 1 and 2; Hoffer, Hubara and Soudry 2017, "Train
    longer, generalize better", algorithm 1, for ghosts. PyTorch: ``nn.BatchNorm1d``, whose momentum is 1 − decay.
    """

    gamma: Array
    beta: Array
    dgamma: Array
    dbeta: Array
    moving_mean: Array
    moving_var: Array
    in_features: int
    arguments = ("in_features", "decay", "eps", "ghost_size")
    buffers = ("moving_mean", "moving_var")

    def __init__(self, features: int, decay: float = 0.9, eps: float = 1e-5, ghost_size: int | None = None):
        self.in_features = self.out_features = positive_int("features", features)
        self.decay = below_one("decay", decay)
        self.eps = positive("eps", eps)
        self.ghost_size = None if ghost_size is None else positive_int("ghost_size", ghost_size)
        if ghost_size == 1:
            raise ValueError("ghost_size: expected at least 2, since the variance of one sample is unknown, got 1")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of gamma and beta."""
        return {"gamma": (self.in_features,), "beta": (self.in_features,)}

    def init_params(self, _rng: Generator) -> None:
        """Start from the identity: scale 1, shift 0."""
        self.gamma[...] = 1

    def bind(self, params: Array, grads: Array) -> None:
        """Adopt parameters and gradients; the first time, make the moving averages: mean 0, variance 1.

        Raises:
            ValueError: the dtype of the parameters rounds ε to 0.
        """
        not_rounded_to_zero(params.dtype, "eps", self.eps)
        not_infinite(params.dtype, "eps", self.eps)
        if not hasattr(self, "moving_mean"):
            self.moving_mean = array_module(params).zeros(self.in_features)
            self.moving_var = array_module(params).ones(self.in_features)
        super().bind(params, grads)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y from x, both (B, D)."""
        self.check_input(x)
        xp = array_module(x)
        if not training:
            y: Array = self.gamma * (x - self.moving_mean) / xp.sqrt(self.moving_var + self.eps) + self.beta
            return y
        x_hat, std = xp.empty_like(x), []
        for part in self._parts(len(x)):
            mean, centred, var = self._centre(x[part])  # (D,), (B, D), (D,)
            std.append(xp.sqrt(var + self.eps))
            x_hat[part] = centred / std[-1]
            if not self.frozen:
                self._move_averages(mean, var, part.stop - part.start)
        y = self.gamma * x_hat + self.beta
        self.remember(y, (x_hat, std))
        return y

    def backward(self, dy: Array) -> Array:
        """Compute dx from dy, both (B, D), and write dgamma and dbeta."""
        x_hat, std = self.recall(dy)
        (dy * x_hat).sum(axis=0, out=self.dgamma)
        dy.sum(axis=0, out=self.dbeta)
        dx_hat = self.gamma * dy
        dx: Array = array_module(dy).empty_like(dy)
        for part, std_of_part in zip(self._parts(len(dy)), std, strict=True):
            d, h = dx_hat[part], x_hat[part]
            dx[part] = (d - d.mean(axis=0) - h * (d * h).mean(axis=0)) / std_of_part
        return dx

    def check_batch(self, samples: int) -> None:
        """Raise a ValueError if the batch, or its last ghost, is a single sample, whose variance is unknown."""
        if samples % (self.ghost_size or samples) == 1 or samples == 1:
            raise ValueError(
                f"batch size: {self} cannot normalise a single sample, and a batch of {samples} leaves one; "
                "choose a batch size, or ghost size, without a remainder of 1"
            )

    def _parts(self, samples: int) -> list[slice]:
        """Return the parts of a batch that are normalised together."""
        self.check_batch(samples)
        size = self.ghost_size or samples
        return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]

    def _centre(self, x: Array) -> tuple[Array, Array, Array]:
        """Return the mean of x, x − mean, and the variance.

        NumPy adds up the rows one by one, and a long sum of large numbers loses digits: in float32, for 60,000 rows
        around 1e5, so many that the mean is wrong by 30. What x − mean then still has as its mean is added to the mean
        where it is more than a thousandth of the deviation. A GPU adds in many short sums, and does not need this.
        """
        mean = x.mean(axis=0)
        centred = x - mean
        var = (centred**2).mean(axis=0)
        for _ in range(3 if on_host(x) else 0):  # the rest of a rest is smaller still
            rest = centred.mean(axis=0)
            matters = rest * rest > 1e-6 * (var + self.eps)
            if not matters.any():
                break
            rest = rest * matters
            mean, centred = mean + rest, centred - rest
            var = (centred**2).mean(axis=0)
        return mean, centred, var

    def _move_averages(self, mean: Array, var: Array, samples: int) -> None:
        unbiased = var * (samples / (samples - 1))
        self.moving_mean += (1 - self.decay) * (mean - self.moving_mean)
        self.moving_var += (1 - self.decay) * (unbiased - self.moving_var)

    def __repr__(self) -> str:
        ghosts = "" if self.ghost_size is None else f", ghost_size={self.ghost_size}"
        return f"BatchNorm({self.in_features}, decay={self.decay:g}{ghosts})"
