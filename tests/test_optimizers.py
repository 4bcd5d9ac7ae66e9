import json
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import Adagrad, Adam, Group, Momentum, Nesterov, RMSprop
from minidl.parameters import blocks as walk

SEEDS = st.integers(0, 2**32 - 1)
RATES = st.lists(st.floats(1e-4, 1), min_size=10, max_size=15)


# The papers' algorithms, one parameter at a time, in plain Python floats and in the papers' own order of operations.


def sgd(w, gradient, rates):
    for rate in rates:
        w = w - rate * gradient(w)
        yield w


def momentum(w, gradient, rates, gamma=0.9):
    """Sutskever et al. 2013, equations 1 and 2: their velocity points downhill."""
    v = 0.0
    for rate in rates:
        v = gamma * v - rate * gradient(w)
        w = w + v
        yield w


def momentum_with_the_rate_outside(w, gradient, rates, gamma=0.9):
    buffer = 0.0
    for rate in rates:
        buffer = gamma * buffer + gradient(w)
        w = w - rate * buffer
        yield w


def nesterov(w, gradient, rates, gamma=0.9):
    """Sutskever et al. 2013, equations 3 and 4; yields the point ahead, where the next gradient will be taken."""
    theta, v = w, 0.0
    for rate in rates:
        v = gamma * v - rate * gradient(theta + gamma * v)
        theta = theta + v
        yield theta + gamma * v


def adagrad(w, gradient, rates, delta=1e-10):
    """Duchi et al. 2011, figure 1: s is the norm of all gradients so far."""
    seen = []
    for rate in rates:
        seen.append(gradient(w))
        w = w - rate * seen[-1] / (delta + sqrt(sum(g**2 for g in seen)))
        yield w


def rmsprop(w, gradient, rates, rho=0.9, eps=1e-8):
    """Hinton's lecture 6e."""
    mean_square = 0.0
    for rate in rates:
        g = gradient(w)
        mean_square = rho * mean_square + (1 - rho) * g**2
        w = w - rate * g / (sqrt(mean_square) + eps)
        yield w


def adam(w, gradient, rates, beta1=0.9, beta2=0.999, eps=1e-8):
    """Kingma and Ba 2015, algorithm 1."""
    m = v = 0.0
    t = 0
    for alpha in rates:
        t = t + 1
        g = gradient(w)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        w = w - alpha * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)
        yield w


PAPERS = {
    "SGD": (minidl.SGD, {}, sgd),
    "Momentum": (Momentum, {}, momentum),
    "Momentum, 0.5": (Momentum, {"gamma": 0.5}, lambda w, g, r: momentum(w, g, r, 0.5)),
    "Momentum, pytorch": (Momentum, {"form": "pytorch"}, momentum_with_the_rate_outside),
    "Nesterov": (Nesterov, {}, nesterov),
    "Nesterov, 0.5": (Nesterov, {"gamma": 0.5}, lambda w, g, r: nesterov(w, g, r, 0.5)),
    "Adagrad": (Adagrad, {}, adagrad),
    "Adagrad, 0.1": (Adagrad, {"eps": 0.1}, lambda w, g, r: adagrad(w, g, r, 0.1)),
    "RMSprop": (RMSprop, {}, rmsprop),
    "RMSprop, 0.5": (RMSprop, {"rho": 0.5, "eps": 0.1}, lambda w, g, r: rmsprop(w, g, r, 0.5, 0.1)),
    "Adam": (Adam, {}, adam),
    "Adam, 0.5": (Adam, {"beta1": 0.5, "beta2": 0.6, "eps": 0.1}, lambda w, g, r: adam(w, g, r, 0.5, 0.6, 0.1)),
}
every_optimizer = pytest.mark.parametrize(
    ("make", "options"), [(make, options) for make, options, _ in PAPERS.values()], ids=PAPERS
)


def slope(w):
    """A gradient that depends on where the steps before have led, and that stays bounded."""
    return np.sin(w) + 0.3


def assert_follows(optimizer, paper, rates, seed):
    """Assert that ``optimizer`` makes the steps of ``paper``, on three parameters, with a rate for each step."""
    w = np.random.default_rng(seed).uniform(-1.5, 1.5, 3)
    expected = np.array([list(paper(float(start), slope, rates)) for start in w])  # (parameters, steps)
    for step, rate in enumerate(rates):
        optimizer.lr = rate
        optimizer.step(w, slope(w))
        np.testing.assert_allclose(w, expected[:, step], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("make", "options", "paper"), PAPERS.values(), ids=PAPERS)
@given(rates=RATES, seed=SEEDS)
def test_against_the_paper(make, options, paper, rates, seed):
    assert_follows(make(**options), paper, rates, seed)


class AdamWithoutCorrection(Adam):
    def update(self, w, g, lr, m, v):
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (g * g - v)
        w -= lr * m / (np.sqrt(v) + self.eps)


class AdamCorrectedForTheFirstStep(Adam):
    """Forgets the exponent t, which cannot be seen at the first step."""

    def update(self, w, g, lr, m, v):
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (g * g - v)
        w -= lr * (m / (1 - self.beta1)) / (np.sqrt(v / (1 - self.beta2)) + self.eps)


class AdamWithSwappedBetas(Adam):
    def update(self, w, g, lr, m, v):
        self.beta1, self.beta2 = self.beta2, self.beta1
        super().update(w, g, lr, m, v)
        self.beta1, self.beta2 = self.beta2, self.beta1


class RMSpropThatSums(RMSprop):
    def update(self, w, g, lr, s):
        s += g * g
        w -= lr * g / (np.sqrt(s) + self.eps)


class RMSpropWithoutRoot(RMSprop):
    def update(self, w, g, lr, s):
        s += (1 - self.rho) * (g * g - s)
        w -= lr * g / (s + self.eps)


class AdagradAfterTheStep(Adagrad):
    """Divides by the gradients before this one."""

    def update(self, w, g, lr, s):
        w -= lr * g / (np.sqrt(s) + 0.1)
        s += g * g


class NesterovWithoutLookingAhead(Nesterov):
    def update(self, w, g, lr, v):
        v *= self.gamma
        v += lr * g
        w -= v


class UphillSGD(minidl.SGD):
    def update(self, w, g, lr):
        w += lr * g


class HalfTheBlocks(minidl.SGD):
    def update(self, w, g, lr):
        w[: max(1, len(w) // 2)] -= lr * g[: max(1, len(w) // 2)]


@pytest.mark.parametrize(
    ("wrong", "paper"),
    [
        (AdamWithoutCorrection(), adam),
        (AdamCorrectedForTheFirstStep(), adam),
        (AdamWithSwappedBetas(), adam),
        (RMSpropThatSums(), rmsprop),
        (RMSpropWithoutRoot(), rmsprop),
        (AdagradAfterTheStep(), adagrad),
        (NesterovWithoutLookingAhead(), nesterov),
        (Momentum(form="pytorch"), momentum),
        (Momentum(), momentum_with_the_rate_outside),
        (Momentum(), nesterov),
        (UphillSGD(), sgd),
        (HalfTheBlocks(), sgd),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_wrong_optimizers_do_not_pass(wrong, paper):
    with pytest.raises(AssertionError):
        assert_follows(wrong, paper, rates=[0.1] * 5 + [0.01] * 5, seed=0)


RECORDED = json.loads((Path(__file__).parent / "data" / "pytorch_optimizers.json").read_text())
LIKE_PYTORCH = {
    "SGD": lambda: minidl.SGD(),
    "SGD, L2": lambda: minidl.SGD(weight_decay=0.1),
    "momentum": lambda: Momentum(form="pytorch"),
    "momentum, L2": lambda: Momentum(gamma=0.8, form="pytorch", weight_decay=0.1),
    "Nesterov, constant rate": lambda: Nesterov(),
    "Adagrad": lambda: Adagrad(),
    "RMSprop": lambda: RMSprop(),
    "Adam": lambda: Adam(),
    "Adam, L2": lambda: Adam(beta1=0.8, beta2=0.99, weight_decay=0.1),
    "AdamW": lambda: Adam(weight_decay=0.1, decoupled=True),
}


@pytest.mark.parametrize("name", RECORDED["steps"])
def test_against_recorded_steps_of_pytorch(name):
    w, optimizer = np.array(RECORDED["start"]), LIKE_PYTORCH[name]()
    steps = zip(RECORDED["rates"][name], RECORDED["gradients"], RECORDED["steps"][name], strict=True)
    for rate, gradient, expected in steps:
        optimizer.lr = rate
        optimizer.step(w, np.array(gradient))
        np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("form", "expected"), [("classical", -0.200), ("pytorch", -0.119)])
def test_witness_of_the_two_forms_of_momentum(form, expected):
    w, optimizer = np.zeros(1), Momentum(lr=0.1, gamma=0.9, form=form)
    optimizer.step(w, np.ones(1))
    optimizer.lr = 0.01
    optimizer.step(w, np.ones(1))
    assert w[0] == pytest.approx(expected, abs=1e-15)


def test_the_first_step_of_adam_is_the_rate():
    w = np.zeros(3)
    Adam(lr=0.01).step(w, np.array([1e-3, -5.0, 2e4]))
    np.testing.assert_allclose(w, [-0.01, 0.01, -0.01], rtol=1e-4)


@pytest.mark.parametrize("decoupled", [False, True])
def test_weight_decay_of_sgd_shrinks_weights_alike_in_both_ways(decoupled):
    w = np.array([1.0, -2.0])
    minidl.SGD(lr=0.5, weight_decay=0.1, decoupled=decoupled).step(w, np.array([0.2, 0.0]))
    np.testing.assert_allclose(w, [1 - 0.5 * (0.2 + 0.1), -2 + 0.5 * 0.2])


def test_decoupled_decay_of_adam_is_not_divided_by_the_root():
    w = np.array([10.0])
    Adam(lr=0.1, weight_decay=0.5, decoupled=True).step(w, np.zeros(1))
    np.testing.assert_allclose(w, [10 - 0.1 * 0.5 * 10])
    w = np.array([10.0])
    Adam(lr=0.1, weight_decay=0.5).step(w, np.zeros(1))
    np.testing.assert_allclose(w, [10 - 0.1])


@every_optimizer
@pytest.mark.parametrize("decoupled", [False, True])
def test_biases_can_be_left_out_of_weight_decay(make, options, decoupled):
    groups = [Group(slice(0, 2)), Group(slice(2, 4), biases=True)]
    g = np.array([0.5, 0.1, 0.5, 0.1])
    plain, decayed, spared = np.ones(4), np.ones(4), np.ones(4)
    make(**options).step(plain, g, groups)
    make(weight_decay=0.1, decoupled=decoupled, **options).step(decayed, g, groups)
    make(weight_decay=0.1, decoupled=decoupled, decay_biases=False, **options).step(spared, g, groups)
    np.testing.assert_array_equal(spared[2:], plain[2:])
    np.testing.assert_array_equal(spared[:2], decayed[:2])
    if decoupled:  # otherwise the first step of an adaptive formula hides the size of the gradient
        assert (decayed < plain).all()


@every_optimizer
def test_groups_have_their_own_rates_and_the_rest_stays(make, options):
    rng = np.random.default_rng(0)
    w, slow, whole = (np.ones(9) for _ in range(3))
    groups = [Group(slice(0, 3)), Group(slice(5, 9), lr_scale=0.1)]
    grouped, scaled, plain = (make(lr=lr, weight_decay=0.1, **options) for lr in (0.5, 0.05, 0.5))
    for _ in range(4):
        g = rng.normal(size=9)
        grouped.step(w, g, groups)
        scaled.step(slow, g)
        plain.step(whole, g)
    np.testing.assert_array_equal(w[:3], whole[:3])
    np.testing.assert_array_equal(w[3:5], np.ones(2))
    np.testing.assert_allclose(w[5:], slow[5:], rtol=1e-15)


def test_decoupled_decay_follows_the_rate_of_the_group():
    w = np.ones(4)
    minidl.SGD(lr=0.5, weight_decay=0.2, decoupled=True).step(
        w, np.zeros(4), [Group(slice(0, 2)), Group(slice(2, 4), lr_scale=0.1)]
    )
    np.testing.assert_allclose(w, [0.9, 0.9, 0.99, 0.99])


@pytest.mark.parametrize("name", ["decoupled", "decay_biases"])
@pytest.mark.parametrize("value", ["no", None, 1, np.ones(2)])
def test_flags_are_true_or_false(name, value):
    with pytest.raises(TypeError, match=f"^{name}: expected True or False"):
        minidl.SGD(**{name: value})


def test_no_group_is_no_change():
    w = np.ones(3)
    Adam().step(w, np.ones(3), groups=[])
    np.testing.assert_array_equal(w, np.ones(3))


@every_optimizer
@pytest.mark.parametrize("size", [1, 7, 8, 9, 40])
def test_blocks_change_nothing(monkeypatch, make, options, size):
    rng = np.random.default_rng(0)
    whole, optimizer = rng.normal(size=size), make(**options)
    blocks, in_blocks = whole.copy(), make(**options)
    for g in rng.normal(size=(3, size)):
        with monkeypatch.context() as patch:
            optimizer.step(whole, g)
            patch.setattr(walk, "BLOCK", 8)
            in_blocks.step(blocks, g)
    np.testing.assert_array_equal(blocks, whole)


@every_optimizer
def test_float32_stays_float32_and_gradients_stay_as_they_are(make, options):
    w, g = np.ones(3, "float32"), np.full(3, 0.5, "float32")
    optimizer = make(lr=np.float64(0.1), weight_decay=np.float64(0.1), **options)
    optimizer.step(w, g)
    optimizer.step(w, g)
    np.testing.assert_array_equal(g, np.full(3, 0.5, "float32"))
    for vector in (w, *optimizer.state.values()):
        assert vector.dtype == np.float32


@every_optimizer
def test_a_rate_of_zero_changes_nothing(make, options):
    w = np.ones(3)
    optimizer = make(weight_decay=0.1, decoupled=True, **options)
    optimizer.lr = 0.0
    optimizer.step(w, np.ones(3))
    np.testing.assert_array_equal(w, np.ones(3))


DOMAINS = {
    "lr": (positive := (0, -0.1, float("nan"), float("inf"), 10**400)),
    "eps": positive,
    "weight_decay": (-1e-9, float("nan"), float("inf")),
    "gamma": (outside := (-0.1, 1, 1.5, float("nan"))),
    "rho": outside,
    "beta1": outside,
    "beta2": outside,
    "form": ("nesterov", None),
}


@pytest.mark.parametrize("make", [minidl.SGD, Momentum, Nesterov, Adagrad, RMSprop, Adam])
def test_arguments_out_of_their_domain_are_refused_by_name(make):
    names = [name for name in DOMAINS if name in make.__dataclass_fields__]
    assert {"lr", "weight_decay"} <= set(names)
    for name in names:
        for value in DOMAINS[name]:
            with pytest.raises(ValueError, match=f"^{name}: expected .*, got {value!r}$"):
                make(**{name: value})
        if name != "form":
            for value in ("0.1", [0.1], None, True):
                with pytest.raises(TypeError, match=f"^{name}: expected a number"):
                    make(**{name: value})


@pytest.mark.parametrize(
    "grads", [np.ones(2), np.ones((3, 1)), np.ones(3, "float32")], ids=["length", "dimensions", "dtype"]
)
def test_arrays_that_do_not_fit(grads):
    params, optimizer = np.ones(3), Adam()
    with pytest.raises(ValueError, match=r"^params, grads: expected two vectors of equal length and dtype, got"):
        optimizer.step(params, grads)
    np.testing.assert_array_equal(params, np.ones(3))
    assert (optimizer.t, optimizer.state) == (0, {})


def test_matrices_are_refused():
    with pytest.raises(ValueError, match="two vectors"):
        minidl.SGD().step(np.ones((2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize("other", [np.ones(4), np.ones(3, "float32")])
def test_an_optimizer_with_state_serves_one_model(other):
    optimizer = Momentum()
    optimizer.step(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=r"params: Momentum has made steps on \(3,\) float64"):
        optimizer.step(other, other)
    assert optimizer.t == 1


def test_no_parameters_is_no_step():
    Adam().step(np.ones(0), np.ones(0))
