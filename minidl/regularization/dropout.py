"""Dropout: in training, units are silenced at random, so that no unit can rely on another.

So each sample of each batch trains a different, thinner network. Evaluation uses all units at once.
"""

from minidl.backend import Array, Generator, convert
from minidl.checks import below_one
from minidl.layers import Layer


class Dropout(Layer):
    """Set each value to zero with probability p, and scale the others up to make up for them.

        y = x m / (1 − p)        with m = 1 with probability 1 − p, else 0
        dx = dy m / (1 − p)

    The mean of y over all m is x. So evaluation, which returns x itself, needs no scaling. (The paper scales in
    evaluation instead; this form is called *inverted*.)

    The masks m come from a generator that `minidl.Sequential` derives from its seed. It draws in main memory, so that
    all backends have the same masks.

    Args:
        p: the probability that a value is dropped, from 0 up to but not including 1.

    Raises:
        TypeError, ValueError: ``p`` is not a number, or is out of range.

    Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", section 4,
    where p is the probability to keep. PyTorch: ``nn.Dropout``, with this p.
    """

    arguments = ("p",)

    def __init__(self, p: float = 0.5):
        self.p = below_one("p", p)

    def init_params(self, rng: Generator) -> None:
        """Make a generator of its own; the weights that ``rng`` draws for other layers do not change."""
        (self.rng,) = rng.spawn(1)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y = x m / (1 − p), with a new mask m; in evaluation, return x."""
        if not training:
            return x
        if not hasattr(self, "rng"):
            raise RuntimeError(f"{self} has no random generator yet: make it part of a minidl.Sequential")
        kept = self.rng.random(x.shape, dtype="float32") >= self.p
        mask = convert(kept, like=x) / (1 - self.p)
        self.remember(x, mask)
        return x * mask

    def backward(self, dy: Array) -> Array:
        """Compute dx = dy m / (1 − p), with the mask of the forward pass."""
        mask: Array = self.recall(dy)
        return dy * mask
