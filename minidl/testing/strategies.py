"""Hypothesis strategies: random batches, labels, networks and optimisers for property tests.

Hypothesis runs a test on many random examples, and when one fails looks for the smallest that still does. These
strategies are made to shrink well: towards few samples and features, small round numbers, and networks of one layer.

    @given(batches(), st.data())
    def test_something(x, data):
        model = data.draw(networks(x))

They need the extra ``hypothesis``: ``pip install 'minidl[hypothesis]'``.

By default, Hypothesis fails a test if an example takes more than 200 ms. A right network may: in the first call, or on
a busy machine. So this module registers a profile without a deadline. ``settings.load_profile("minidl")`` sets it for
all tests, in conftest.py, and a decorator for one:

    @settings(settings.get_profile("minidl"))
    @given(optimizers())
    def test_something_else(optimizer):
        ...
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy

import numpy as np

try:
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as npst
except ImportError as error:
    raise ImportError("minidl.testing.strategies needs Hypothesis: pip install 'minidl[hypothesis]'") from error

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

# To explain a failure, Hypothesis traces every line. Without that, a wrong network is made small in 2 s instead of 14.
PHASES = [phase for phase in Phase if phase is not Phase.explain]
settings.register_profile("minidl", deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=PHASES)

SIZES = st.integers(1, 6)
"""Numbers of samples and of features."""

MARGIN = 0.1
"""How far the numbers of a batch are from 0, where ReLU has its kink."""

NUDGE = 1e-5
"""How far, at least, the inputs and parameters of a network may move before it meets a kink."""

Layers = Callable[[int, int], Iterable[Layer]]
"""Makes layers that lead from some features to others: (in_features, out_features) -> layers."""


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


def labelled_batches(
    classes: int = 3,
    samples: st.SearchStrategy[int] | int = SIZES,
    features: st.SearchStrategy[int] | int = SIZES,
    largest: float = 4.0,
) -> st.SearchStrategy[tuple[Array, Array]]:
    """Draw a batch (B, features) as `batches` does, with its labels (B,)."""
    return batches(samples, features, largest).flatmap(lambda x: st.tuples(st.just(x), labels(len(x), classes)))


def dense_relu(in_features: int, out_features: int) -> list[Layer]:
    """Make the hidden layer of a plain network."""
    return [Dense(in_features, out_features), ReLU()]


def dense_batch_norm_relu(in_features: int, out_features: int) -> list[Layer]:
    """Make a hidden layer with batch normalisation, whose large ε keeps slopes moderate where rows are equal."""
    return [Dense(in_features, out_features), BatchNorm(out_features, eps=0.1), ReLU()]


def dense_log_softmax(in_features: int, out_features: int) -> list[Layer]:
    """Make the end of a network that classifies."""
    return [Dense(in_features, out_features), LogSoftmax()]


def networks(
    in_features: int | Array,
    out_features: int = 3,
    batch_norm: bool = False,
    dtype: str = "float64",
    *,
    hidden: Layers | Sequence[Layers] | None = None,
    head: Layers = dense_log_softmax,
    depth: int = 3,
    widths: st.SearchStrategy[int] | int = SIZES,
) -> st.SearchStrategy[Sequential]:
    """Draw a network with up to ``depth`` hidden layers and a head.

    Parameters that begin at zero, as biases do, become small and positive. For batch normalisation turns equal rows
    into zeros, and without a shift ReLU would receive them at its kink.

    Args:
        in_features: how many features the network takes; or a batch, float64 (B, features). Then the network is smooth
            where the batch leads: in training, no input or parameter meets a kink when it moves by `NUDGE`.
        out_features: how many features come out of the head.
        batch_norm: normalise in each hidden layer. Give such a network batches of at least two samples.
        dtype: ``"float32"`` or ``"float64"``.
        hidden: a function (in_features, out_features) -> layers that makes each hidden layer, or several of which each
            draws one; None for Dense and ReLU, with BatchNorm between them if asked for.
        head: the same for the end; Dense and LogSoftmax by default.
        depth: hidden layers, at most.
        widths: features of each.

    Raises:
        ValueError: both ``hidden`` and ``batch_norm`` are given, or a batch for a network that is not float64.
    """
    if hidden is not None and batch_norm:
        raise ValueError("batch_norm: expected False where hidden is given, got True; make BatchNorm there")
    if not isinstance(in_features, int) and not dtype == in_features.dtype == np.float64:
        raise ValueError(f"in_features: expected a batch and a network of float64, got {in_features.dtype} and {dtype}")
    own = hidden or (dense_batch_norm_relu if batch_norm else dense_relu)
    makers = [own] if callable(own) else list(own)
    batch = None if isinstance(in_features, int) else in_features
    features = in_features if isinstance(in_features, int) else in_features.shape[1]

    def build(chosen: list[tuple[int, Layers]], seed: int) -> Sequential:
        layers: list[Layer] = []
        width = features
        for next_width, maker in chosen:
            layers += maker(width, next_width)
            width = next_width
        return _filled(Sequential(*layers, *head(width, out_features), seed=seed, dtype=dtype))

    hidden_layers = st.lists(st.tuples(_strategy(widths), st.sampled_from(makers)), max_size=depth)
    models = st.builds(build, hidden_layers, st.integers(0, 2**16))
    return models if batch is None else models.filter(lambda model: is_smooth(model, batch))


def is_smooth(model: Sequential, x: Array) -> bool:
    """Tell whether a float64 model meets no kink in training on x, also if x and all parameters move by `NUDGE`.

    A straight line and a parabola look alike from close by; a kink looks the same from everywhere. So each layer is
    given its input z, and z moved to and fro by as much as such a move makes it: y(z + δ) − 2 y(z) + y(z − δ) is of
    order δ² where the layer is smooth, and of order δ at a kink.
    """
    rng = np.random.default_rng(0)
    for _ in range(3):
        step = NUDGE * rng.normal(size=x.shape), NUDGE * rng.normal(size=model.params.shape)
        ahead, behind, copies = deepcopy(model), deepcopy(model), [deepcopy(model) for _ in range(3)]
        ahead.params += step[1]
        behind.params -= step[1]
        z, z_ahead, z_behind = x, x + step[0], x - step[0]
        for i in range(len(model.layers)):
            move = (z_ahead - z_behind) / 2
            before, y, after = (
                copy.layers[i].forward(at, training=True)
                for copy, at in zip(copies, (z - move, z, z + move), strict=True)
            )
            if abs(before - 2 * y + after).max() > 0.01 * abs(move).max():
                return False
            z_ahead, z_behind = (
                other.layers[i].forward(at, training=True) for other, at in ((ahead, z_ahead), (behind, z_behind))
            )
            z = y
    return True


def _filled(model: Sequential) -> Sequential:
    """Return a model without a parameter that is zero throughout."""
    for i, layer in enumerate(model.layers):
        for name in layer.param_shapes():
            if not getattr(layer, name).any():
                getattr(layer, name)[...] = 0.1 * (i + 1)
    return model


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
