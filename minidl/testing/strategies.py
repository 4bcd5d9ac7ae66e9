"""Hypothesis strategies: random batches, labels, networks and optimisers for property tests.

Hypothesis runs a test on many random examples, and when one fails looks for the smallest that still does. These
strategies are made to shrink well: towards few samples and features, small round numbers, and networks of one layer.

    @given(batches(), st.data())
    def test_something(x, data):
        model = data.draw(networks(in_features=x.shape[1]))

It needs the extra ``test``: ``pip install minidl[test]``.
"""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from minidl import (
    SGD,
    Adagrad,
    Adam,
    BatchNorm,
    Dense,
    Layer,
    LogSoftmax,
    Momentum,
    Nesterov,
    Optimizer,
    ReLU,
    RMSprop,
    Sequential,
)
from minidl.backend import Array

SIZES = st.integers(1, 6)
"""Numbers of samples and of features."""

MARGIN = 0.1
"""How far the numbers of a batch are from 0, where ReLU has its kink."""


def batches(
    samples: st.SearchStrategy[int] | int = SIZES,
    features: st.SearchStrategy[int] | int = SIZES,
    largest: float = 4.0,
) -> st.SearchStrategy[Array]:
    """Draw a batch (samples, features) of float64 with sizes from `MARGIN` to ``largest``, of both signs."""
    sizes = st.tuples(_strategy(samples), _strategy(features))
    numbers = st.floats(MARGIN, largest, allow_subnormal=False).flatmap(lambda x: st.sampled_from([x, -x]))
    return sizes.flatmap(lambda shape: npst.arrays("float64", shape, elements=numbers, fill=st.nothing()))


def labels(samples: int, classes: int) -> st.SearchStrategy[Array]:
    """Draw labels (samples,) from 0 to ``classes`` − 1."""
    return npst.arrays("int64", samples, elements=st.integers(0, classes - 1), fill=st.nothing())


def labelled_batches(classes: int = 3) -> st.SearchStrategy[tuple[Array, Array]]:
    """Draw a batch (B, features) with its labels (B,)."""
    return batches().flatmap(lambda x: st.tuples(st.just(x), labels(len(x), classes)))


def networks(
    in_features: int, out_features: int = 3, batch_norm: bool = False, dtype: str = "float64"
) -> st.SearchStrategy[Sequential]:
    """Draw a network that ends in LogSoftmax, with up to three hidden layers, and small positive biases.

    With ``batch_norm``, give it batches of at least two samples.
    """

    def build(widths: list[int], seed: int) -> Sequential:
        layers: list[Layer] = []
        features = in_features
        for width in widths:
            layers += [Dense(features, width), *([BatchNorm(width)] if batch_norm else []), ReLU()]
            features = width
        model = Sequential(*layers, Dense(features, out_features), LogSoftmax(), seed=seed, dtype=dtype)
        for i, layer in enumerate(model.layers):
            if isinstance(layer, Dense):
                layer.b[...] = 0.1 * (i + 1)
        return model

    return st.builds(build, st.lists(SIZES, max_size=3), st.integers(0, 2**16))


def learning_rates(largest: float = 1.0) -> st.SearchStrategy[float]:
    """Draw a learning rate from 1e-4 to ``largest``."""
    return st.floats(1e-4, largest)


def optimizers(weight_decay: bool = True) -> st.SearchStrategy[Optimizer]:
    """Draw an optimiser of any kind, with its hyperparameters, weight decay among them if asked for."""
    kept = st.floats(0.0, 0.99)
    decay = st.sampled_from([0.0, 0.1]) if weight_decay else st.just(0.0)
    common = {"lr": learning_rates(), "weight_decay": decay, "decoupled": st.booleans()}
    kinds: dict[Callable[..., Optimizer], dict[str, st.SearchStrategy[float] | st.SearchStrategy[str]]] = {
        SGD: {},
        Momentum: {"gamma": kept, "form": st.sampled_from(["classical", "pytorch"])},
        Nesterov: {"gamma": kept},
        Adagrad: {},
        RMSprop: {"rho": kept},
        Adam: {"beta1": kept, "beta2": kept},
    }
    return st.one_of(*(st.builds(kind, **common, **own) for kind, own in kinds.items()))


def _strategy(value: st.SearchStrategy[int] | int) -> st.SearchStrategy[int]:
    return st.just(value) if isinstance(value, int) else value
