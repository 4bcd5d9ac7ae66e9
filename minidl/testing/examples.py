"""What checkers draw: sizes, inputs, upstream gradients, and how arrays lie in memory.

A mistake may show for one sample only, or from the seventeenth on; where x is large, or the same throughout a row;
under a dy of one sign; in an array that is a window on another. So every example goes through all of these in turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minidl.backend import Array

BATCHES = (1, 2, 3, 5, 8, 16, 17, 33, 64, 65, 129, 257)
"""Numbers of samples: one, powers of two, one above, and others."""

FEATURES = (1, 2, 3, 5, 8, 9, 16, 17, 33, 65)
"""Numbers of features, for layers that take any."""

Draw = Callable[[np.random.Generator, tuple[int, int]], Array]
"""Draws a batch: (rng, (B, features)) -> float64 (B, features)."""

Layout = Callable[[Array], Array]
"""Returns an array with the same numbers that lies in memory in its own way."""


def away_from_zero(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return numbers of both signs from 0.1 to 2 in size: away from the kink that many layers have at 0."""
    return _signed(rng, rng.uniform(0.1, 2.0, shape))


def near_zero(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return numbers of both signs from 0.001 to 0.01 in size."""
    return _signed(rng, rng.uniform(0.001, 0.01, shape))


def far_from_zero(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return numbers of both signs from 3 to 30 in size."""
    return _signed(rng, rng.uniform(3.0, 30.0, shape))


def of_all_sizes(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return numbers of both signs from 0.001 to 30 in size, as many below 0.17 as above."""
    return _signed(rng, 30 * 10 ** rng.uniform(-4.477, 0.0, shape))


def constant_rows(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return rows of which about a third are one number throughout, and a third almost: it differs by 1 in 10,000."""
    number = of_all_sizes(rng, (shape[0], 1))
    kinds = [number, number * (1 + 1e-4 * rng.normal(size=shape)), away_from_zero(rng, shape)]
    return np.choose(rng.integers(0, 3, (shape[0], 1)), kinds)


def constant_features(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return columns of the same kinds."""
    return constant_rows(rng, shape[::-1]).T.copy()


def equal_rows(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return one row again and again."""
    return np.repeat(of_all_sizes(rng, (1, shape[1])), shape[0], axis=0)


def huge(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return numbers of both signs from 100 to 200 in size, whose exponentials are beyond float32, not float64."""
    return _signed(rng, rng.uniform(100.0, 200.0, shape))


def with_zeros(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return numbers of which half are exactly 0, and whole rows, as after a ReLU or at the edges of an image."""
    zero = (rng.random(shape) < 0.5) | (rng.random((shape[0], 1)) < 0.3)
    zero[-1, -1] = False  # nothing can be measured as a part of 0
    return np.where(zero, 0.0, away_from_zero(rng, shape))


EVERYWHERE: tuple[Draw, ...] = (
    away_from_zero,
    near_zero,
    far_from_zero,
    of_all_sizes,
    constant_rows,
    constant_features,
    equal_rows,
    huge,
    with_zeros,
)
"""What x is drawn by, unless a caller says where else a layer is defined."""


def draws_of(inputs: Draw | Sequence[Draw]) -> tuple[Draw, ...]:
    """Return what a caller gives as ``inputs``, one function or several, as a tuple.

    Raises:
        TypeError: it is neither.
    """
    draws = (inputs,) if callable(inputs) else tuple(inputs) if isinstance(inputs, Sequence) else ()
    if not draws or not all(map(callable, draws)):
        raise TypeError(f"inputs: expected a function (rng, shape) -> array, or several, got {inputs!r}")
    return draws


def plain(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return an upstream gradient from a normal distribution."""
    return rng.normal(size=shape)


def zero_rows(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return one that is zero for about half the samples, though not for the last, as if they had reached their aim."""
    rows = rng.random((shape[0], 1)) < 0.5
    rows[-1] = False
    return np.where(rows, 0.0, plain(rng, shape))


def one_sign(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return one without a negative number."""
    return abs(plain(rng, shape))


def large(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return one in the millions."""
    return 1e6 * plain(rng, shape)


def small(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return one in the millionths."""
    return 1e-6 * plain(rng, shape)


UPSTREAM: tuple[Draw, ...] = (plain, zero_rows, one_sign, large, small)
"""What dy is drawn by."""


def in_rows(a: Array) -> Array:
    """Return an array row by row, as NumPy makes them."""
    return a.copy()


def in_columns(a: Array) -> Array:
    """Return an array column by column, in Fortran order."""
    return np.asfortranarray(a.copy())


def strided(a: Array) -> Array:
    """Return a window on every second number of a larger array, backwards."""
    room = np.full([2 * n for n in a.shape], np.nan, a.dtype)
    window = room[tuple(slice(None, None, -2) for _ in a.shape)]
    window[...] = a
    return window


LAYOUTS: tuple[Layout, ...] = (in_rows, in_columns, strided)
"""How x and dy lie in memory."""


@dataclass(frozen=True)
class Setting:
    """What one training pass is drawn from."""

    batch: int
    x: Draw = away_from_zero
    dy: Draw = plain
    layout: Layout = in_rows
    params_only: bool = False
    """Whether only `minidl.Layer.backward_params` is called, as for the first layer in training."""

    def draw(self, rng: np.random.Generator, features: int) -> Array:
        """Return x, read-only: (B, features)."""
        return read_only(self.layout(self.x(rng, (self.batch, features))))

    def draw_upstream(self, rng: np.random.Generator, y: Array) -> Array:
        """Return dy for an output, read-only and of its dtype: (B, features)."""
        return read_only(self.layout(self.dy(rng, y.shape).astype(y.dtype)))

    def __str__(self) -> str:
        samples = "a single sample" if self.batch == 1 else f"{self.batch} samples"
        kinds: dict[str, Draw | Layout] = {"x": self.x, "dy": self.dy, "arrays": self.layout}
        usual = {words(away_from_zero), words(plain), words(in_rows)}
        said = [f"{what} {words(kind)}" for what, kind in kinds.items() if words(kind) not in usual]
        return ", ".join([samples, *said])


def read_only(a: Array) -> Array:
    """Return an array that nobody can write to; it shares its numbers with ``a``."""
    window = a.view()
    window.flags.writeable = False
    return window


def words(function: Draw | Layout) -> str:
    """Return the name of a function as words: ``constant_rows`` becomes "constant rows"."""
    return getattr(function, "__name__", "of your own").replace("_", " ").replace("<lambda>", "of your own")


def _signed(rng: np.random.Generator, sizes: Array) -> Array:
    signed: Array = sizes * rng.choice([-1.0, 1.0], sizes.shape)
    return signed
