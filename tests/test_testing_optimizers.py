"""The checker of optimisers: right ones pass it, of the engine and of readers, and a zoo of wrong ones does not."""

import copy
import itertools
from dataclasses import dataclass, field
from math import sqrt
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_optimizers import PAPERS, adagrad, adam, momentum, momentum_with_the_rate_outside, nesterov, rmsprop, sgd

from minidl import SGD, Adagrad, Adam, Group, Momentum, Nesterov, Optimizer, RMSprop, array_module
from minidl.checks import below_one, flag, positive, positive_int
from minidl.optimizers import argument
from minidl.testing import ContractError, check_optimizer

# Optimisers as a reader writes them, each with its paper in plain Python.


@dataclass(eq=False)
class SignSGD(Optimizer):
    lr: float = argument(0.001, positive)

    def update(self, w, g, lr):
        w -= lr * array_module(w).sign(g)


def sign(x):
    return (x > 0) - (x < 0)


def sign_sgd(w, gradient, rates):
    for rate in rates:
        w = w - rate * sign(gradient(w))
        yield w


@dataclass(eq=False)
class Lion(Optimizer):
    state_names = ("m",)

    lr: float = argument(1e-4, positive)
    beta1: float = argument(0.9, below_one)
    beta2: float = argument(0.99, below_one)

    def update(self, w, g, lr, m):
        w -= lr * array_module(w).sign(self.beta1 * m + (1 - self.beta1) * g)
        m *= self.beta2
        m += (1 - self.beta2) * g


def lion(w, gradient, rates, beta1=0.9, beta2=0.99):
    m = 0.0
    for rate in rates:
        g = gradient(w)
        c = beta1 * m + (1 - beta1) * g
        w = w - rate * sign(c)
        m = beta2 * m + (1 - beta2) * g
        yield w


@dataclass(eq=False)
class AdaMax(Optimizer):
    state_names = ("m", "u")

    lr: float = argument(0.002, positive)
    beta1: float = argument(0.9, below_one)
    beta2: float = argument(0.999, below_one)
    eps: float = argument(1e-8, positive)

    def update(self, w, g, lr, m, u):
        m *= self.beta1
        m += (1 - self.beta1) * g
        u[...] = array_module(w).maximum(self.beta2 * u, abs(g) + self.eps)
        w -= lr / (1 - self.beta1**self.t) * m / u


def adamax(w, gradient, rates, beta1=0.9, beta2=0.999, eps=1e-8):
    m = u = 0.0
    for t, rate in enumerate(rates, start=1):
        g = gradient(w)
        m = beta1 * m + (1 - beta1) * g
        u = max(beta2 * u, abs(g) + eps)
        w = w - rate / (1 - beta1**t) * m / u
        yield w


@dataclass(eq=False)
class Adadelta(Optimizer):
    state_names = ("s", "d")

    lr: float = argument(1.0, positive)
    rho: float = argument(0.95, below_one)
    eps: float = argument(1e-6, positive)

    def update(self, w, g, lr, s, d):
        xp = array_module(w)
        s *= self.rho
        s += (1 - self.rho) * g * g
        step = xp.sqrt(d + self.eps) / xp.sqrt(s + self.eps) * g
        d *= self.rho
        d += (1 - self.rho) * step * step
        w -= lr * step


def adadelta(w, gradient, rates, rho=0.95, eps=1e-6):
    s = d = 0.0
    for rate in rates:
        g = gradient(w)
        s = rho * s + (1 - rho) * g**2
        step = -sqrt(d + eps) / sqrt(s + eps) * g
        d = rho * d + (1 - rho) * step**2
        w = w + rate * step
        yield w


@dataclass(eq=False)
class NAdam(Adam):
    """Dozat 2016, with a constant μ."""

    def update(self, w, g, lr, m, v):
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        ahead = self.beta1 * m / (1 - self.beta1 ** (self.t + 1)) + (1 - self.beta1) * g / (1 - self.beta1**self.t)
        w -= lr * ahead / (array_module(w).sqrt(v / (1 - self.beta2**self.t)) + self.eps)


def nadam(w, gradient, rates, mu=0.9, nu=0.999, eps=1e-8):
    m = n = 0.0
    for t, rate in enumerate(rates, start=1):
        g = gradient(w)
        m = mu * m + (1 - mu) * g
        n = nu * n + (1 - nu) * g**2
        m_hat = mu * m / (1 - mu ** (t + 1)) + (1 - mu) * g / (1 - mu**t)
        n_hat = n / (1 - nu**t)
        w = w - rate * m_hat / (sqrt(n_hat) + eps)
        yield w


@dataclass(eq=False)
class AMSGrad(Adam):
    state_names = ("m", "v", "most")

    def update(self, w, g, lr, m, v, most):
        xp = array_module(w)
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        xp.maximum(most, v, out=most)
        w -= lr * m / (xp.sqrt(most) + self.eps)


def amsgrad(w, gradient, rates, beta1=0.9, beta2=0.999, eps=1e-8):
    """Reddi et al. 2018, algorithm 2, with their ε under no root."""
    m = v = most = 0.0
    for rate in rates:
        g = gradient(w)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        most = max(most, v)
        w = w - rate * m / (sqrt(most) + eps)
        yield w


@dataclass(eq=False)
class HeavyBall(Optimizer):
    """Polyak's form: it carries the position before, which is no vector of zeros at the start."""

    lr: float = argument(0.01, positive)
    beta: float = argument(0.9, below_one)
    kept: float = field(default=0.0, init=False)

    def __post_init__(self):
        super().__post_init__()
        self.kept = self.beta  # under another name, as in the paper

    def prepare(self, params, grads):
        if not self.state:
            self.state = {"before": params.copy()}
        super().prepare(params, grads)

    def update(self, w, g, lr, before):
        step = self.kept * (w - before) - lr * g
        before[...] = w
        w += step


def heavy_ball(w, gradient, rates, beta=0.9):
    before = w
    for rate in rates:
        w, before = w - rate * gradient(w) + beta * (w - before), w
        yield w


@dataclass(eq=False)
class KerasAdagrad(Adagrad):
    """s begins at 0.1."""

    start: float = argument(0.1, positive)

    def prepare(self, params, grads):
        if not self.state:
            self.state = {"s": array_module(params).full_like(params, self.start)}
        super().prepare(params, grads)


def keras_adagrad(w, gradient, rates):
    s = 0.1
    for rate in rates:
        g = gradient(w)
        s = s + g * g
        w = w - rate * g / (sqrt(s) + 1e-10)
        yield w


@dataclass(eq=False)
class CenteredRMSprop(RMSprop):
    state_names = ("s", "mean")

    def __post_init__(self):
        super().__post_init__()
        self.new = 1 - self.rho  # follows from an argument, and so need not be one

    def update(self, w, g, lr, s, mean):
        s += self.new * (g * g - s)
        mean += self.new * (g - mean)
        w -= lr * g / array_module(w).sqrt(s - mean * mean + self.eps)


def centered_rmsprop(w, gradient, rates, rho=0.9, eps=1e-8):
    s = mean = 0.0
    for rate in rates:
        g = gradient(w)
        s = rho * s + (1 - rho) * g**2
        mean = rho * mean + (1 - rho) * g
        w = w - rate * g / sqrt(s - mean**2 + eps)
        yield w


@dataclass(eq=False)
class Lookahead(Optimizer):
    """Zhang et al. 2019 around SGD: after each k steps, slow weights go half of the way to the fast ones."""

    lr: float = argument(0.1, positive)
    k: int = argument(5, positive_int)
    alpha: float = argument(0.5, below_one)

    def prepare(self, params, grads):
        if not self.state:
            self.state = {"slow": params.copy()}
        super().prepare(params, grads)

    def update(self, w, g, lr, slow):
        w -= lr * g
        if self.t % self.k == 0:
            slow += self.alpha * (w - slow)
            w[...] = slow


def lookahead(w, gradient, rates):
    slow = w
    for t, rate in enumerate(rates, start=1):
        w = w - rate * gradient(w)
        if t % 5 == 0:
            w = slow = slow + 0.5 * (w - slow)
        yield w


@dataclass(eq=False)
class Rprop(Optimizer):
    """Riedmiller and Braun 1993, without going back: each parameter has a step that grows while signs agree."""

    state_names = ("before", "size")
    LARGEST: ClassVar[float] = 50.0
    shrink: ClassVar[float] = 0.5

    lr: float = argument(0.01, positive)

    def update(self, w, g, lr, before, size):
        xp = array_module(w)
        size += 1.0 * (size == 0)
        agreement = xp.sign(g * before)
        size *= xp.where(agreement > 0, 1.2, xp.where(agreement < 0, self.shrink, 1.0))
        xp.clip(size, 1e-6, self.LARGEST, out=size)
        before[...] = g
        w -= lr * size * xp.sign(g)


@dataclass(eq=False)
class OwnStep(Optimizer):
    """Goes through the groups itself, with functions that write where they are told to."""

    state_names = ("v",)

    lr: float = argument(0.01, positive)
    nesterov: bool = argument(False, flag)

    def step(self, params, grads, groups=None):
        self.prepare(params, grads)
        self.t += 1
        xp, v = array_module(params), self.state["v"]
        for part, lr_scale, biases in [Group(slice(0, len(params)))] if groups is None else groups:
            g, lr = grads[part].copy(), self.lr * lr_scale
            if self.weight_decay and (self.decay_biases or not biases):
                if self.decoupled:
                    params[part] *= 1 - lr * self.weight_decay
                else:
                    g += self.weight_decay * params[part]
            xp.multiply(v[part], 0.9, out=v[part])
            xp.add(v[part], g, out=v[part])
            xp.subtract(params[part], lr * (g + 0.9 * v[part] if self.nesterov else v[part]), out=params[part])


def nesterov_of_pytorch(w, gradient, rates):
    v = 0.0
    for rate in rates:
        g = gradient(w)
        v = 0.9 * v + g
        w = w - rate * (g + 0.9 * v)
        yield w


@dataclass(eq=False)
class Proximal(SGD):
    """Has an L1 penalty of its own, which makes small weights exactly 0."""

    l1: float = argument(0.1, positive)

    def update(self, w, g, lr):
        xp = array_module(w)
        w -= lr * g
        w[...] = xp.sign(w) * xp.maximum(abs(w) - lr * self.l1, 0 * w)


def proximal(w, gradient, rates):
    for rate in rates:
        w = w - rate * gradient(w)
        w = sign(w) * max(abs(w) - 0.1 * rate, 0.0)
        yield w


class OwnConstructorOfRate(Optimizer):
    """No dataclass, and no weight decay to choose."""

    def __init__(self, lr=0.1):
        super().__init__(lr)

    def update(self, w, g, lr):
        w -= lr * g


class OwnConstructorOfAnything(Momentum):
    def __init__(self, **options):
        super().__init__(**{"gamma": 0.5} | options)


class SparedVector(Momentum):
    """Carries a vector that it does not need, which costs memory and changes nothing."""

    state_names = ("v", "s")

    def update(self, w, g, lr, v, s):
        super().update(w, g, lr, v)


class Clipped(Momentum):
    """Clips the gradient before weight decay, by the largest entry of all groups."""

    def step(self, params, grads, groups=None):
        parts = [Group(slice(0, len(params)))] if groups is None else groups
        largest = max([1.0, *(float(abs(grads[group.part]).max()) for group in parts)])
        super().step(params, grads / largest, groups)


def defined_in_a_function():
    @dataclass(eq=False)
    class Local(SGD):
        pass

    return Local()


READERS = {
    "signSGD": (SignSGD, sign_sgd),
    "Lion": (Lion, lion),
    "AdaMax": (AdaMax, adamax),
    "Adadelta": (Adadelta, adadelta),
    "NAdam": (NAdam, nadam),
    "AMSGrad": (AMSGrad, amsgrad),
    "heavy ball": (HeavyBall, heavy_ball),
    "Adagrad of Keras": (KerasAdagrad, keras_adagrad),
    "centred RMSprop": (CenteredRMSprop, centered_rmsprop),
    "Lookahead": (Lookahead, lookahead),
    "Rprop": (Rprop, None),
    "its own step": (OwnStep, momentum_with_the_rate_outside),
    "its own step, Nesterov": (lambda: OwnStep(nesterov=True), nesterov_of_pytorch),
    "L1": (Proximal, proximal),
    "a constructor of its own": (OwnConstructorOfRate, sgd),
    "a constructor for anything": (OwnConstructorOfAnything, lambda w, g, rates: momentum(w, g, rates, 0.5)),
    "a vector too many": (SparedVector, momentum),
    "clipped": (Clipped, None),
    "defined in a function": (defined_in_a_function, sgd),
}


@pytest.mark.parametrize(("make", "options", "paper"), PAPERS.values(), ids=PAPERS)
def test_optimizers_of_the_engine_pass(make, options, paper):
    check_optimizer(lambda: make(**options), paper)


DECAYS = list(itertools.product([0.0, 0.1], [False, True], [False, True]))


@pytest.mark.parametrize("make", [SGD, Momentum, Nesterov, Adagrad, RMSprop, Adam])
@pytest.mark.parametrize(("weight_decay", "decoupled", "decay_biases"), DECAYS)
def test_optimizers_of_the_engine_pass_with_any_decay(make, weight_decay, decoupled, decay_biases):
    options = {"weight_decay": weight_decay, "decoupled": decoupled, "decay_biases": decay_biases}
    check_optimizer(lambda: make(**options), examples=1)


@pytest.mark.parametrize(("make", "paper"), READERS.values(), ids=READERS)
@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=settings().max_examples // 3 if settings().max_examples > 100 else 1)
def test_right_optimizers_of_readers_pass(make, paper, seed):
    check_optimizer(make, paper, examples=3, seed=seed)


# The zoo. Every optimiser is right but for one mistake, made in practice or easily made.


class Uphill(SGD):
    def update(self, w, g, lr):
        w += lr * g


class LostParameters(SGD):
    def update(self, w, g, lr):
        w = w - lr * g


class ClipsInPlace(SGD):
    """Changes the gradient of the model."""

    def update(self, w, g, lr):
        g /= array_module(g).maximum(1.0, abs(g))
        w -= lr * g


class HalfOfThem(SGD):
    def update(self, w, g, lr):
        w[: len(w) // 2] -= lr * g[: len(w) // 2]


class FirstBlock(SGD):
    """Forgets what lies beyond the first block."""

    def step(self, params, grads, groups=None):
        self.prepare(params, grads)
        self.t += 1
        for part, lr_scale, _ in groups or [Group(slice(0, len(params)))]:
            block = slice(part.start, min(part.stop, part.start + 65536))
            params[block] -= self.lr * lr_scale * grads[block]


class DividedByZero(Adagrad):
    """Units that are dead from the start have gradients of 0."""

    def update(self, w, g, lr, s):
        s += g * g
        w -= lr * g / array_module(w).sqrt(s)


class EpsilonBelowFloat32(Adagrad):
    def update(self, w, g, lr, s):
        s += g * g
        w -= lr * g / (array_module(w).sqrt(s) + 1e-50)


class Drifts(SGD):
    """Adds ε to what it should not be added to."""

    def update(self, w, g, lr):
        w -= lr * (g + 1e-8)


class RootOfTheGradient(SGD):
    def update(self, w, g, lr):
        w -= lr * array_module(g).sqrt(g)


class LowestRate(SGD):
    def update(self, w, g, lr):
        w -= max(lr, 1e-5) * g


class Normalized(SGD):
    """Takes the length of the part of the gradient that it happens to be given."""

    def update(self, w, g, lr):
        w -= lr * g / (array_module(g).sqrt((g * g).sum()) + 1e-8)


@dataclass(eq=False)
class CountsCalls(Adam):
    calls: int = field(default=0, init=False)

    def update(self, w, g, lr, m, v):
        self.calls += 1
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (g * g - v)
        m_hat, v_hat = m / (1 - self.beta1**self.calls), v / (1 - self.beta2**self.calls)
        w -= lr * m_hat / (array_module(v).sqrt(v_hat) + self.eps)


class CountsForStep(Adam):
    def update(self, w, g, lr, m, v):
        self.t += 1
        super().update(w, g, lr, m, v)


class CountsInFloats(SGD):
    """A checkpoint refuses a number of steps that is not whole."""

    def update(self, w, g, lr):
        self.t = float(self.t)
        w -= lr * g


class DoesNotCount(SGD):
    def step(self, params, grads, groups=None):
        super().step(params, grads, groups)
        self.t -= 1


class SmallerPortions(Momentum):
    """Takes fewer parameters for a sign that the end is near."""

    def update(self, w, g, lr, v):
        super().update(w, g, lr if len(w) > 2 else lr / 2, v)


class LostVelocity(Momentum):
    def update(self, w, g, lr, v):
        v = self.gamma * v + lr * g
        w -= v


class NewVelocity(Momentum):
    def update(self, w, g, lr, v):
        v = self.gamma * v + lr * g
        self.state["v"] = v
        w -= v


class VelocityOnTheSide(SGD):
    def update(self, w, g, lr):
        self.v = 0.9 * getattr(self, "v", 0.0) + lr * g
        w -= self.v


class StateMadeLate(SGD):
    def step(self, params, grads, groups=None):
        self.prepare(params, grads)
        self.state.setdefault("v", array_module(params).zeros_like(params))
        v = self.state["v"]
        self.state = {}
        super().step(params, grads, groups)
        v[...] = 0.9 * v + grads
        self.state = {"v": v}


class DoublePrecisionState(KerasAdagrad):
    def prepare(self, params, grads):
        if not self.state:
            self.state = {"s": array_module(params).full(params.shape, 0.1)}
        if grads.shape != params.shape or grads.dtype != params.dtype or self.state["s"].shape != params.shape:
            raise ValueError("params, grads: do not fit")


class SinglePrecisionState(KerasAdagrad):
    def prepare(self, params, grads):
        if not self.state:
            self.state = {"s": array_module(params).full_like(params, 0.1).astype("float32")}
        if grads.shape != params.shape or grads.dtype != params.dtype or self.state["s"].shape != params.shape:
            raise ValueError("params, grads: do not fit")


class HalfPrecision(SGD):
    def update(self, w, g, lr):
        w -= (lr * g).astype("float16").astype(w.dtype)


class SinglePrecision(Momentum):
    def update(self, w, g, lr, v):
        super().update(w, g.astype("float32"), lr, v)


class WrongInSinglePrecision(SGD):
    def update(self, w, g, lr):
        w -= lr * g * (1 if w.dtype == "float64" else 1.05)


class OwnRate(Momentum):
    def update(self, w, g, lr, v):
        super().update(w, g, self.lr, v)


@dataclass(eq=False)
class FirstRate(SGD):
    """Computes a number from the rate, when that has not been set by a schedule yet."""

    def __post_init__(self):
        super().__post_init__()
        self.factor = -self.lr

    def update(self, w, g, lr):
        w += self.factor * g


class DecaysAgain(SGD):
    """The paper's formula has weight decay in it, and so has `Optimizer`."""

    def update(self, w, g, lr):
        w -= lr * (g + self.weight_decay * w)


class DecaysAgainDecoupled(SGD):
    def update(self, w, g, lr):
        if self.decoupled:
            w -= lr * self.weight_decay * w
        w -= lr * g


class OwnWalk(SGD):
    """Goes through the groups itself; what follows does so wrongly."""

    def step(self, params, grads, groups=None):
        self.prepare(params, grads)
        self.t += 1
        for group in [Group(slice(0, len(params)))] if groups is None else groups:
            w, g = params[group.part], grads[group.part]
            self.decay(w, self.lr * group.lr_scale, group.biases)
            w -= self.lr * group.lr_scale * (g + self.penalty(w, group.biases))

    def decay(self, w, lr, biases):
        if self.decoupled and (self.decay_biases or not biases):
            w *= 1 - lr * self.weight_decay

    def penalty(self, w, biases):
        return self.weight_decay * w if not self.decoupled and (self.decay_biases or not biases) else 0.0


class NeverDecays(OwnWalk):
    def decay(self, w, lr, biases): ...
    def penalty(self, w, biases):
        return 0.0


class DecaysBiases(OwnWalk):
    def decay(self, w, lr, biases):
        super().decay(w, lr, False)

    def penalty(self, w, biases):
        return super().penalty(w, False)


class DecaysAtOwnRate(OwnWalk):
    def decay(self, w, lr, biases):
        super().decay(w, self.lr, biases)


@dataclass(eq=False)
class AlwaysClassical(Adagrad):
    """Takes the wrong way of the two, which with plain SGD are one."""

    def step(self, params, grads, groups=None):
        decoupled, self.decoupled = self.decoupled, False
        super().step(params, grads, groups)
        self.decoupled = decoupled


class IgnoresGroups(SGD):
    def step(self, params, grads, groups=None):
        super().step(params, grads, None if groups is None else [Group(slice(0, len(params)), groups[0].lr_scale)])


class NothingForAll(OwnWalk):
    def step(self, params, grads, groups=None):
        super().step(params, grads, groups or None)


class Prunes(SGD):
    """Makes small weights 0, and so keeps biases where they begin."""

    def update(self, w, g, lr):
        w -= lr * g
        w *= abs(w) > 1e-2


class DecaysFrozen(OwnWalk):
    def step(self, params, grads, groups=None):
        w = params.copy()
        super().step(params, grads, groups)
        params -= 1e-3 * self.lr * self.weight_decay * w


class LengthOfAll(SGD):
    """Clips by the length of the whole gradient, that of frozen layers included, which is out of date."""

    def step(self, params, grads, groups=None):
        length = float(abs(grads).max())
        super().step(params, grads / max(1.0, length), groups)


class OwnConstructor(Momentum):
    def __init__(self, lr=0.01, mu=0.9):
        super().__init__(lr)
        self.mu = mu

    def update(self, w, g, lr, v):
        v *= self.mu
        v += lr * g
        w -= v


@dataclass(eq=False)
class UncheckedArgument(SGD):
    factor: float = 0.5

    def update(self, w, g, lr):
        w -= self.factor * lr * g


class WithoutDataclass(SGD):
    factor: float = argument(0.5, positive)

    def update(self, w, g, lr):
        w -= self.factor * lr * g


class BareConstant(SGD):
    state_names = ("v",)
    gamma = 0.9

    def update(self, w, g, lr, v):
        v *= self.gamma
        v += g
        w -= lr * v


@dataclass(eq=False)
class BareAttribute(SGD):
    def __post_init__(self):
        super().__post_init__()
        self.factor = 0.5

    def update(self, w, g, lr):
        w -= self.factor * lr * g


class WarmUp(SGD):
    """Counts its steps itself."""

    n = 0

    def update(self, w, g, lr):
        self.n += 1
        w -= lr * min(1, self.n / 20) * g


@dataclass(eq=False)
class UncheckedArguments(Momentum):
    gamma: float = argument(0.9, lambda _name, value: value)


@dataclass(eq=False)
class PairOfBetas(SGD):
    betas: tuple = argument((0.9, 0.999), lambda _name, value: value)


class VelocityOfTheClass(SGD):
    """A dictionary that all optimisers share."""

    vectors: ClassVar[dict] = {}

    def update(self, w, g, lr):
        v = self.vectors.setdefault(len(w), 0.0 * g)
        v *= 0.9
        v += g
        w -= lr * v


class Noise(SGD):
    def update(self, w, g, lr):
        w -= lr * (g + np.random.default_rng().normal(size=g.shape))


@dataclass(eq=False)
class SeededNoise(SGD):
    """Draws from a generator that no checkpoint knows."""

    def __post_init__(self):
        super().__post_init__()
        self.rng = np.random.default_rng(0)

    def update(self, w, g, lr):
        w -= lr * g * self.rng.uniform(0.5, 1.5)


class SharedByCopies(Momentum):
    def __deepcopy__(self, memo):
        return copy.copy(self)


class ForgetsInPickle(Momentum):
    def __getstate__(self):
        return super().__getstate__() | {"state": {}}

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.state = copy.deepcopy(self.state, memo)
        return twin

    def __copy__(self):
        twin = type(self)()
        vars(twin).update(vars(self))
        return twin


@dataclass(eq=False)
class NotPicklable(SGD):
    def __post_init__(self):
        super().__post_init__()
        self.function = lambda x: x


class NumPyOnly(SGD):
    def update(self, w, g, lr):
        w -= lr * np.sign(g)


class TwiceAsFarOnAGPU(SGD):
    def update(self, w, g, lr):
        w -= lr * g if type(w) is np.ndarray else 2 * lr * g


class MixedWithNumPy(SGD):
    def update(self, w, g, lr):
        w -= lr * g * np.ones(len(g))


class TakesAnything(Momentum):
    def prepare(self, params, grads):
        if not self.state:
            self.state = {"v": array_module(params).zeros_like(params)}


class AnyPrecision(SGD):
    def prepare(self, params, grads):
        if params.shape != grads.shape:
            raise ValueError("params, grads: do not fit")


class AnotherModel(Momentum):
    """Starts again when the parameters are others."""

    def prepare(self, params, grads):
        if self.state and self.state["v"].shape != params.shape:
            self.state = {}
        super().prepare(params, grads)


class RMSpropWithoutRoot(RMSprop):
    def update(self, w, g, lr, s):
        s += (1 - self.rho) * (g * g - s)
        w -= lr * g / (s + self.eps)


class ClimbsLater(Momentum):
    """Its first step leads down, and all others up."""

    def update(self, w, g, lr, v):
        v += g
        w += lr * (g - 2 * g * (self.t == 1))


# What only a reference can know.


class AdamWithoutCorrection(Adam):
    def update(self, w, g, lr, m, v):
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (g * g - v)
        w -= lr * m / (array_module(v).sqrt(v) + self.eps)


class AdamCorrectedForTheFirstStep(Adam):
    """Forgets the exponent t, which cannot be seen at the first step."""

    def update(self, w, g, lr, m, v):
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (g * g - v)
        w -= lr * (m / (1 - self.beta1)) / (array_module(v).sqrt(v / (1 - self.beta2)) + self.eps)


class AdamFromStepZero(Adam):
    """Counts from 0, as range does."""

    def update(self, w, g, lr, m, v):
        self.t -= 1
        super().update(w, g, lr, m, v)


class AdamWithSwappedBetas(Adam):
    def update(self, w, g, lr, m, v):
        self.beta1, self.beta2 = self.beta2, self.beta1
        super().update(w, g, lr, m, v)
        self.beta1, self.beta2 = self.beta2, self.beta1


class AdamWithEpsilonUnderTheRoot(Adam):
    def update(self, w, g, lr, m, v):
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (g * g - v)
        m_hat, v_hat = m / (1 - self.beta1**self.t), v / (1 - self.beta2**self.t)
        w -= lr * m_hat / array_module(v).sqrt(v_hat + self.eps)


class AdamBeforeCorrection(Adam):
    """Has the ε̂ of TensorFlow, which stands before the correction of v."""

    def update(self, w, g, lr, m, v):
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (g * g - v)
        correction = sqrt(1 - self.beta2**self.t) / (1 - self.beta1**self.t)
        w -= lr * correction * m / (array_module(v).sqrt(v) + self.eps)


class AdamOfTheMean(Adam):
    """Squares the mean instead of averaging the squares."""

    def update(self, w, g, lr, m, v):
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (m * m - v)
        m_hat, v_hat = m / (1 - self.beta1**self.t), v / (1 - self.beta2**self.t)
        w -= lr * m_hat / (array_module(v).sqrt(v_hat) + self.eps)


class RMSpropThatSums(RMSprop):
    def update(self, w, g, lr, s):
        s += g * g
        w -= lr * g / (array_module(s).sqrt(s) + self.eps)


class RMSpropBeforeTheUpdate(RMSprop):
    """Orders swapped: it divides by the gradients before this one."""

    def update(self, w, g, lr, s):
        w -= lr * g / (array_module(s).sqrt(s) + self.eps)
        s += (1 - self.rho) * (g * g - s)


class NesterovWithoutLookingAhead(Nesterov):
    def update(self, w, g, lr, v):
        v *= self.gamma
        v += lr * g
        w -= v


class MomentumBackwards(Momentum):
    def update(self, w, g, lr, v):
        v *= -self.gamma
        v += lr * g
        w -= v


class DampedMomentum(Momentum):
    def update(self, w, g, lr, v):
        v *= self.gamma
        v += (1 - self.gamma) * lr * g
        w -= v


class LazyMomentum(Momentum):
    """Leaves the velocity alone where the gradient is 0."""

    def update(self, w, g, lr, v):
        v *= 1 - (1 - self.gamma) * (g != 0)
        v += lr * g
        w -= v


class LionThatUpdatesFirst(Lion):
    """Orders swapped."""

    def update(self, w, g, lr, m):
        m *= self.beta2
        m += (1 - self.beta2) * g
        w -= lr * array_module(w).sign(self.beta1 * m + (1 - self.beta1) * g)


class LionWithSwappedBetas(Lion):
    def update(self, w, g, lr, m):
        w -= lr * array_module(w).sign(self.beta2 * m + (1 - self.beta2) * g)
        m *= self.beta1
        m += (1 - self.beta1) * g


class AMSGradWithoutMemory(AMSGrad):
    """Takes the larger of v and zero."""

    def update(self, w, g, lr, m, v, most):
        most[...] = 0
        super().update(w, g, lr, m, v, most)


class AdamWithNumbers(Adam):
    """Writes β₁ as a number, for the default alone."""

    def update(self, w, g, lr, m, v):
        m *= 0.9
        m += 0.1 * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        w -= lr * m / (1 - 0.9**self.t) / (array_module(v).sqrt(v / (1 - self.beta2**self.t)) + self.eps)


class AdamThatStopsCorrecting(Adam):
    """As if β₂ᵗ were nothing after a hundred steps."""

    def update(self, w, g, lr, m, v):
        super().update(w, g, lr, m, v)
        if self.t > 100:
            w -= 0.05 * lr * m


class LimitedAdam(Adam):
    """Clips what few gradients reach."""

    def update(self, w, g, lr, m, v):
        super().update(w, array_module(g).clip(g, -10, 10), lr, m, v)


class EpsilonOfThePrecision(Adagrad):
    def update(self, w, g, lr, s):
        s += g * g
        w -= lr * g / (array_module(s).sqrt(s) + (1e-4 if w.dtype == "float32" else self.eps))


class CountsFromTheFirstStep(Momentum):
    """Begins to count at t = 1, which a resumed run never sees."""

    def update(self, w, g, lr, v):
        if self.t == 1:
            self.number = 0
        self.number += 1
        super().update(w, g, lr / self.number, v)


class ShrinksItsRate(SGD):
    def update(self, w, g, lr):
        w -= lr * g
        self.lr *= 0.99


class FallingRate(Adam):
    """A millionth less in each step: right to five digits, whatever the size of the gradients."""

    def update(self, w, g, lr, m, v):
        super().update(w, g, lr / (1 + 1e-6 * self.t), m, v)


class RatioOfRates(SGD):
    def update(self, w, g, lr):
        w -= lr * g * (self.lr / lr) * (lr / self.lr)


def uphill(w, gradient, rates):
    for rate in rates:
        w = w + rate * gradient(w)
        yield w


def set_afterwards():
    """Make an optimiser that is not what its arguments say."""
    optimizer = Momentum()
    optimizer.gamma = 0.5
    optimizer.update = lambda w, g, lr, v: Momentum.update(optimizer, w, g / 2, lr, v)
    return optimizer


# How an optimiser is made, its reference if only that can tell, the rule that it breaks, and what the checker says.
ZOO = [
    (Uphill, None, "direction", "goes uphill"),
    (LostParameters, None, "place", "a step leaves w as it was\nhint: if it says w = …, that makes a new array"),
    (ClipsInPlace, None, "place", "a step changes g\nhint: make a new array"),
    (HalfOfThem, None, "direction", r"leaves w\[3\], one of 7, as it was"),
    (FirstBlock, None, "portions", r"w\[6\d+\], one of 70000, depends on the portions"),
    (DividedByZero, None, "direction", "where the gradient is 0, w becomes NaN in float64\nhint: add ε"),
    (EpsilonBelowFloat32, None, "direction", "where the gradient is 0, w becomes NaN in float32\nhint: add ε"),
    (Drifts, None, "direction", "where the gradient has always been 0, w grows"),
    (RootOfTheGradient, None, "direction", "the first step leads to NaN or infinity"),
    (LowestRate, None, "direction", "with lr = 0, where some schedules begin, the first step moves w"),
    (Normalized, None, "portions", "depends on the portions in which the parameters come"),
    (SmallerPortions, None, "portions", "depends on the portions in which the parameters come"),
    (CountsCalls, None, "resumption", "calls changes as it goes, and is neither in state nor t"),
    (CountsForStep, None, "state", "t is 48 after 24 steps\nhint: leave the count to Optimizer.step"),
    (CountsInFloats, None, "state", "t is 24.0 after 24 steps"),
    (DoesNotCount, None, "state", "t is 0 after 24 steps"),
    (LostVelocity, None, "state", "state v is as it was after 24 steps\nhint: v = … makes a new array that is lost"),
    (NewVelocity, None, "state", r"state v is replaced by a new array\nhint: write into it: v\[...\] = …"),
    (VelocityOnTheSide, None, "resumption", "v changes as it goes, and is neither in state nor t"),
    (
        StateMadeLate,
        None,
        "state",
        r"state has \['v'\] after some steps and \[\] before them.*hint: name all in state_names",
    ),
    (DoublePrecisionState, None, "precision", "state s is float64 where w is float32"),
    (SinglePrecisionState, None, "state", r"state s is \(7,\) float32, and the parameters \(7,\) float64"),
    (HalfPrecision, None, "precision", "in float64, the ninth digit of g makes no difference"),
    (SinglePrecision, None, "precision", "in float64, the ninth digit of g makes no difference"),
    (WrongInSinglePrecision, None, "precision", "in float32 the steps differ from those in float64 by 5%"),
    (OwnRate, None, "rates", "hint: use the lr that is given to update, not self.lr"),
    (
        FirstRate,
        None,
        "rates",
        "depends on the lr that it was made with, though lr has changed since\nhint: compute nothing",
    ),
    (DecaysAgain, None, "decay", "it acts twice; leave it to step"),
    (DecaysAgainDecoupled, None, "decay", "decoupled=True.*it acts twice; leave it to step"),
    (NeverDecays, None, "decay", "it has no effect"),
    (DecaysBiases, None, "decay", "biases decay too"),
    (DecaysAtOwnRate, None, "decay", "it acts at the rate of the optimiser, not of the group"),
    (AlwaysClassical, None, "decay", "decoupled makes no difference"),
    (IgnoresGroups, None, "groups", "parameters that no group covers change"),
    (NothingForAll, None, "groups", r"with groups=\[\].*hint: None stands for everything"),
    (Prunes, None, "direction", r"the first step leaves w\[0\], one of \d+, as it was"),
    (DecaysFrozen, None, "groups", "parameters that no group covers change"),
    (LengthOfAll, None, "groups", "gradients that no group covers make a difference"),
    (OwnConstructor, None, "arguments", "mu decides the steps but is not declared.*mu: float = argument"),
    (UncheckedArgument, None, "arguments", "factor decides the steps but is not declared"),
    (WithoutDataclass, None, "arguments", r"factor: declared, but not made\nhint: put @dataclass\(eq=False\) above"),
    (BareConstant, None, "resumption", "gamma decides the steps but is not declared"),
    (BareAttribute, None, "resumption", "factor decides the steps but is not declared"),
    (WarmUp, None, "resumption", "n decides the steps, changes as it goes.*compute it from self.t"),
    (UncheckedArguments, None, "arguments", r"gamma = nan is not refused"),
    (
        PairOfBetas,
        None,
        "arguments",
        r"betas is \(0.9, 0.999\).*gives back \[0.9, 0.999\]\nhint: use numbers and strings",
    ),
    (set_afterwards, None, "apart", "made again with the same arguments, it takes other steps"),
    (VelocityOfTheClass, None, "apart", "hint: something is drawn at random, or shared in the class or the module"),
    (Noise, None, "apart", "something is drawn at random"),
    (SeededNoise, None, "resumption", "rng changes as it goes"),
    (SharedByCopies, None, "copies", "a deep copy takes other steps, or shares vectors"),
    (ForgetsInPickle, None, "copies", "what comes out of pickle takes other steps"),
    (NotPicklable, None, "copies", "Can't (pickle|get) local object"),
    (NumPyOnly, None, "backends", r"in update, .*hint: call array_module\(w\).sign and the like, not np.sign"),
    (TwiceAsFarOnAGPU, None, "backends", r"after step 1, w\[\d\] differs between the backends"),
    (MixedWithNumPy, None, "backends", "unsupported type.*hint: call array_module"),
    (TakesAnything, None, "misfits", "a gradient of another length than w is refused, but after t or w has changed"),
    (AnyPrecision, None, "misfits", "a gradient of another dtype than w is not refused by a ValueError"),
    (AnotherModel, None, "misfits", "after a step, parameters of another length are not refused"),
    (RMSpropWithoutRoot, None, "descent", "in a bowl, the loss is"),
    (RMSpropBeforeTheUpdate, None, "descent", "in a bowl, the loss is"),
    (ClimbsLater, None, "descent", "in a bowl, the loss is"),
    (AdamFromStepZero, None, "place", "ZeroDivisionError"),
    (SGD, uphill, "reference", "one of the two goes uphill"),
    (AdamWithoutCorrection, adam, "reference", r"correction for the start at 0; .*\(1 − beta1\)/√\(1 − beta2\)"),
    (AdamCorrectedForTheFirstStep, adam, "reference", "step 2 of 24.*or t; the first step agrees"),
    (AdamWithSwappedBetas, adam, "reference", "beta1 and beta2 are swapped"),
    (AdamWithEpsilonUnderTheRoot, adam, "reference", "ε has another size or place"),
    (AdamBeforeCorrection, adam, "reference", "ε has another size or place"),
    (AdamOfTheMean, adam, "reference", r"the first step is 10, or 1/\(1 − beta1\)"),
    (lambda: Adam(weight_decay=0.1), adam, "reference", "the reference has no weight decay"),
    (RMSpropThatSums, rmsprop, "reference", r"the first step is 0.3162, or √\(1 − rho\), times"),
    (RMSprop, adagrad, "reference", r"the first step is 3.162, or 1/√\(1 − rho\), times"),
    (NesterovWithoutLookingAhead, nesterov, "reference", r"the first step is 0.5263, or 1/\(1 \+ gamma\), times"),
    (Momentum, momentum_with_the_rate_outside, "reference", "learning rate is inside .* while constant, they agree"),
    (lambda: Momentum(form="pytorch"), momentum, "reference", "learning rate is inside"),
    (MomentumBackwards, momentum, "reference", "step 2 of 24.*or t; the first step agrees"),
    (DampedMomentum, momentum, "reference", r"the first step is 0.1, or \(1 − gamma\), times"),
    (LazyMomentum, momentum, "reference", "or t; the first step agrees"),
    (AdamWithNumbers, adam, "reference", "with beta1=0.45, given to both, it does not.*written there as a number"),
    (AdamThatStopsCorrecting, adam, "reference", "in step 101 of 150.*or t; the first step agrees"),
    (LimitedAdam, adam, "reference", "of 150.*a limit on the gradient or the step; where gradients are small"),
    (EpsilonOfThePrecision, None, "precision", "in float32, a gradient of .*hint: look for an ε or a bound"),
    (CountsFromTheFirstStep, None, "resumption", "AttributeError.*number.*changes as it goes, and is neither"),
    (ShrinksItsRate, None, "place", "a step changes lr"),
    (FallingRate, adam, "reference", "in step 1 of 24, .*in the reference by [-+.0-9e]+$"),
    (RatioOfRates, None, "direction", "with lr = 0, where some schedules begin, ZeroDivisionError"),
    (LionThatUpdatesFirst, lion, "reference", "or t; the first step agrees"),
    (LionWithSwappedBetas, lion, "reference", "beta1 and beta2 are swapped"),
    (AMSGradWithoutMemory, amsgrad, "reference", "or t; the first step agrees"),
]


@pytest.mark.parametrize(("make", "reference", "rule", "message"), ZOO, ids=[row[0].__name__ for row in ZOO])
def test_wrong_optimizers_do_not_pass(make, reference, rule, message):
    with pytest.raises(
        ContractError, match=rf"(?s)^\w+ fails the check of {rule}, in example \d: .*{message}"
    ) as refused:
        check_optimizer(make, reference)
    assert len(str(refused.value)) < 400  # a few lines, not a screen
    assert " at 0x" not in str(refused.value)


def test_what_the_zoo_is_made_from_is_right():
    check_optimizer(OwnWalk)


def test_the_zoo_is_large_enough():
    assert len(ZOO) >= 25


def test_the_traceback_ends_at_the_call():
    with pytest.raises(ContractError) as refused:
        check_optimizer(Uphill)
    assert refused.value.__cause__ is None
    shown = [entry for entry in refused.traceback if not entry.ishidden(refused)]
    assert [entry.path.name for entry in shown] == ["test_testing_optimizers.py"]


@pytest.mark.parametrize("make", [SGD(), "SGD", None, 3])
def test_make_is_a_function(make):
    with pytest.raises(TypeError, match="make: expected a function that returns a new Optimizer, got"):
        check_optimizer(make)


def test_make_returns_optimizers():
    with pytest.raises(TypeError, match="make: expected a function that returns a new Optimizer, got <function"):
        check_optimizer(lambda: 3)


def test_make_makes_a_new_one_each_time():
    one = SGD()
    with pytest.raises(ValueError, match="make: expected a new optimiser at each call, got one that is in use"):
        check_optimizer(lambda: one)


def test_bad_arguments():
    with pytest.raises(ValueError, match="examples: expected at least 1, got 0"):
        check_optimizer(SGD, examples=0)
    with pytest.raises(TypeError, match="reference: expected a function or None, got 3"):
        check_optimizer(SGD, 3)


def looks_ahead(w, gradient, rates):
    """Sutskever's equations as they stand: the gradient is taken where v is about to lead."""
    v = 0.0
    for rate in rates:
        v = 0.9 * v - rate * gradient(w + 0.9 * v)
        w = w + v
        yield w


def stops_early(w, gradient, rates):
    yield w - rates[0] * gradient(w)


def asks_twice(w, gradient, rates):
    for rate in rates:
        w = w - rate * (gradient(w) + gradient(w)) / 2
        yield w


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (looks_ahead, "reference: it takes a gradient at another point than it has yielded"),
        (stops_early, "reference: expected .* for each of 24 rates, got 1 gradients and 1 points"),
        (asks_twice, "reference: expected .* for each of 24 rates, got 48 gradients and 24 points"),
    ],
)
def test_references_that_are_none(reference, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_optimizer(Nesterov, reference)


def test_what_numpy_warns_of_is_as_before():
    with np.errstate(all="raise"):
        check_optimizer(Adam, adam, examples=1)
        assert set(np.geterr().values()) == {"raise"}
