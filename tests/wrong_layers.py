"""Layers and losses with one subtle mistake each, as made in practice; and what the checkers say of it.

Most are right in the first batch that one would try by hand.
"""

import warnings
from typing import ClassVar

import numpy as np
from right_layers import (
    Centre,
    Elementwise,
    Gain,
    LayerNorm,
    LeakyReLU,
    LowRank,
    Reciprocal,
    Remembering,
    Residual,
    RMSNorm,
    Sigmoid,
    Smoothed,
    Softplus,
    Tanh,
    UnitLength,
    sigmoid,
)

from minidl import BatchNorm, Dense, Dropout, Layer, LogSoftmax, NLLLoss, ReLU, array_module
from minidl.backend import convert

# How many samples, how many features.


class SixteenSamples(ReLU):
    """Written for batches of 16."""

    def backward(self, dy):
        dx = super().backward(dy)
        dx[16:] = 0
        return dx


class BiasOfSixtyFour(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.db[...] = dy[:64].sum(axis=0)


class BlocksWithoutRemainder(Dense):
    """Sums the bias in blocks of 32, and forgets what is left over."""

    def backward_params(self, dy):
        super().backward_params(dy)
        if len(dy) >= 32:
            self.db[...] = dy[: len(dy) // 32 * 32].sum(axis=0)


class OddSampleLost(Tanh):
    """Works in two halves."""

    def backward(self, dy):
        dx = super().backward(dy)
        if len(dy) > 1:
            dx[2 * (len(dy) // 2) :] = 0
        return dx


class FastPathForPowersOfTwo(Tanh):
    def backward(self, dy):
        dx = super().backward(dy)
        return dx / 2 if len(dy) >= 16 and len(dy) & (len(dy) - 1) == 0 else dx


class RowNumbersInInt8(ReLU):
    """129 rows are too many for an int8."""

    def backward(self, dy):
        dx = super().backward(dy)
        xp = array_module(dx)
        ordered = xp.zeros_like(dx)
        for i in range(len(dx)):
            row = (i + 128) % 256 - 128
            ordered[row] = ordered[row] + dx[i]
        return ordered


class EightClasses(LogSoftmax):
    """Sums the first eight."""

    def backward(self, dy):
        y = self.recall(dy)
        return dy - array_module(y).exp(y) * dy[:, :8].sum(axis=1, keepdims=True)


class OneFeatureDoubled(Tanh):
    def backward(self, dy):
        return super().backward(dy) * (2 if dy.shape[1] == 1 else 1)


class SampleVariance(LayerNorm):
    """Divides by n − 1 forward, and by n backward: alike for many features only."""

    def forward(self, x, training=False):
        self.check_input(x)
        d = x - x.mean(axis=1, keepdims=True)
        std = array_module(x).sqrt((d * d).sum(axis=1, keepdims=True) / max(1, x.shape[1] - 1) + self.eps)
        x_hat = d / std
        y = self.gamma * x_hat + self.beta
        if training:
            self.remember(y, (x_hat, std))
        return y


class SingleSampleByTheWrongAxis(Gain):
    """squeeze() takes away the axis of a batch of one."""

    def backward(self, dy):
        x = self.recall(dy)
        product = (dy * x)[0] if len(dy) == 1 else dy * x
        self.dg[...] = product.sum(axis=0)
        return self.g * dy


# How large x is.


class ClippedSlope(Softplus):
    """Clips against an overflow that does not come."""

    def slope(self, x, xp):
        return sigmoid(x.clip(-10, 10), xp)


class ForgottenLimit(Elementwise):
    """Limits y to 20, and passes all gradients."""

    def f(self, x, xp):
        return xp.where(x > 20, 20 + 0 * x, x)

    def slope(self, x, xp):
        return xp.ones_like(x)


class SmallAngle(Tanh):
    """Takes tanh x for x near zero, in one direction only."""

    def forward(self, x, training=False):
        y = super().forward(x, training)
        if training:
            self.remember(y, (x, y))
        return y

    def backward(self, dy):
        x, y = self.recall(dy)
        return dy * array_module(x).where((x < 0.01) & (x > -0.01), 1 + 0 * y, 1 - y * y)


class WrongBelowZero(LeakyReLU):
    """The slope to the left is squared."""

    def backward(self, dy):
        return array_module(dy).where(self.recall(dy), dy, self.slope * self.slope * dy)


class WrongAboveZero(LeakyReLU):
    def backward(self, dy):
        return array_module(dy).where(self.recall(dy), 0 * dy, self.slope * dy)


class RoundedConstant(Elementwise):
    """GELU, with √(2/π) to four digits in one of two places."""

    def f(self, x, xp):
        return 0.5 * x * (1 + xp.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))

    def slope(self, x, xp):
        c = 0.7979
        t = xp.tanh(c * (x + 0.044715 * x * x * x))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)


class NaiveSoftplus(Elementwise):
    def f(self, x, xp):
        return xp.log(1 + xp.exp(x))

    def slope(self, x, xp):
        return sigmoid(x, xp)


class NaiveSigmoid(Sigmoid):
    def f(self, x, xp):
        return xp.exp(x) / (1 + xp.exp(x))


class NaiveSigmoidSlope(Sigmoid):
    """Overflows backward only."""

    def slope(self, x, xp):
        return xp.exp(-x) / (1 + xp.exp(-x)) ** 2


class NaiveTanh(Tanh):
    def forward(self, x, training=False):
        xp = array_module(x)
        y = (xp.exp(x) - xp.exp(-x)) / (xp.exp(x) + xp.exp(-x))
        if training:
            self.remember(y, y)
        return y


class NaiveLogSoftmax(LogSoftmax):
    def forward(self, x, training=False):
        xp = array_module(x)
        y = x - xp.log(xp.exp(x).sum(axis=1, keepdims=True))
        if training:
            self.remember(y, y)
        return y


class LogOfSoftmax(LogSoftmax):
    """Does not overflow, but takes the logarithm of what has become 0."""

    def forward(self, x, training=False):
        xp = array_module(x)
        e = xp.exp(x - x.max(axis=1, keepdims=True))
        y = xp.log(e / e.sum(axis=1, keepdims=True))
        if training:
            self.remember(y, y)
        return y


class MaximumOfTheBatch(LogSoftmax):
    """Subtracts the largest of all samples: too much for most."""

    def forward(self, x, training=False):
        xp = array_module(x)
        d = x - x.max()
        y = d - xp.log(xp.exp(d).sum(axis=1, keepdims=True))
        if training:
            self.remember(y, y)
        return y


# Rows and features that are constant.


class NormWithoutEps(LayerNorm):
    """0 / 0 for a constant row."""

    def __init__(self, features):
        super().__init__(features, eps=0.0)


class EpsForwardOnly(BatchNorm):
    """Counts on ε being small beside the variance."""

    def backward(self, dy):
        x_hat, std = self._memory[2]
        self.recall(dy)
        self.dgamma[...] = (dy * x_hat).sum(axis=0)
        self.dbeta[...] = dy.sum(axis=0)
        d = self.gamma * dy
        std = (std[0] * std[0] - self.eps + 1e-12) ** 0.5
        return (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std


class ConstantFeatureSkipped(BatchNorm):
    """Gives no gradient to a feature that did not vary, though y is as steep as ever there."""

    def backward(self, dy):
        x_hat = self._memory[2][0]
        dx = super().backward(dy)
        return dx * convert(array_module(dx).max(abs(x_hat), axis=0) > 1e-2, like=dx)


class DifferenceOfSquares(LayerNorm):
    """Var x = E x² − (E x)², which in float32 may be less than 0."""

    def forward(self, x, training=False):
        self.check_input(x)
        mean = x.mean(axis=1, keepdims=True)
        std = array_module(x).sqrt((x * x).mean(axis=1, keepdims=True) - mean * mean + self.eps)
        x_hat = (x - mean) / std
        y = self.gamma * x_hat + self.beta
        if training:
            self.remember(y, (x_hat, std))
        return y


class EqualRowsOnce(Dense):
    """Leaves out rows that have been seen."""

    def backward_params(self, dy):
        x = self.recall(dy)
        self.dW[...] = x.T @ dy
        self.db[...] = dy.sum(axis=0)
        if len(x) > 1 and bool((x == x[:1]).all()):
            self.dW[...] = x[:1].T @ dy[:1]


# How arrays lie in memory.


class OrderOfMemory(ReLU):
    """ravel("K") goes through memory, and dy and y may lie there in different orders."""

    def backward(self, dy):
        y = self.recall(dy)
        flat = np.ravel(dy, order="K") * (np.ravel(y, order="K") > 0)
        return flat.reshape(dy.shape)


class Bytes(Tanh):
    """Believes that rows follow each other."""

    def forward(self, x, training=False):
        if isinstance(x, np.ndarray) and not x.flags.c_contiguous and x.flags.f_contiguous:
            x = np.frombuffer(x.tobytes("A"), x.dtype).reshape(x.shape)
        return super().forward(x, training)


class InPlaceIfItCan(ReLU):
    """Writes to dy where that lies as it likes."""

    def backward(self, dy):
        mask = self.recall(dy) > 0
        if isinstance(dy, np.ndarray) and dy.flags.f_contiguous and not dy.flags.c_contiguous:
            dy *= mask
            return dy
        return dy * mask


class RestoresShape(Tanh):
    """Flattens dy for a while: the shape of the caller's array."""

    def backward(self, dy):
        y = self.recall(dy)
        shape = dy.shape
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2.5
            dy.shape = (dy.size,)
        dx = (dy * (1 - y * y).reshape(-1)).reshape(shape)
        return dx  # noqa: RET504


class ReusedOutput(ReLU):
    """Writes every y into one array: what the last evaluation returned, the next one changes."""

    def forward(self, x, training=False):
        y = super().forward(x)
        if (
            not hasattr(self, "out")
            or self.out.shape != y.shape
            or type(self.out) is not type(y)
            or self.out.dtype != y.dtype
        ):
            self.out = y
        self.out[...] = y
        if training:
            self.remember(y, y)
        return self.out


class ReusedGradient(ReLU):
    def backward(self, dy):
        dx = super().backward(dy)
        if (
            not hasattr(self, "out")
            or self.out.shape != dx.shape
            or type(self.out) is not type(dx)
            or self.out.dtype != dx.dtype
        ):
            self.out = dx
        self.out[...] = dx
        return self.out


class WritesToItsOutput(Tanh):
    """Computes 1 − y² in the array that was handed out."""

    def backward(self, dy):
        y = self.recall(dy)
        y *= y
        return dy * (1 - y)


# What dy is like.


class ClippedGradient(Tanh):
    """Protects the layers below from large gradients."""

    def backward(self, dy):
        return super().backward(dy.clip(-100, 100))


class SmallGradientsDropped(Tanh):
    def backward(self, dy):
        return super().backward(dy * ((dy > 1e-4) | (dy < -1e-4)))


class OneSignShortcut(ReLU):
    """Passes a dy without negative numbers as it is."""

    def backward(self, dy):
        y = self.recall(dy)
        return dy * (y > 0) if bool(dy.min() < 0) else dy * 1


class ZeroRowsSkipped(Dense):
    """Leaves samples out that have arrived, and takes the rows of others instead."""

    def backward_params(self, dy):
        x = self.recall(dy)
        xp = array_module(dy)
        active = (dy != 0).any(axis=1)
        kept = dy[active] if isinstance(dy, np.ndarray) else dy
        self.dW[...] = x[: len(kept)].T @ kept
        self.db[...] = xp.sum(kept, axis=0)


class RelativeToTheLargest(Tanh):
    """Scales dy to 1 and back: 0 / 0 where there is nothing to do, and lost digits elsewhere."""

    def backward(self, dy):
        xp = array_module(dy)
        largest = xp.max(abs(dy), axis=1, keepdims=True)
        return super().backward(dy / largest) * largest


# What has been before.


class CachedMask(ReLU):
    """Computes a mask anew only if the shape has changed."""

    def backward(self, dy):
        y = self.recall(dy)
        if not hasattr(self, "mask") or self.mask.shape != y.shape or type(self.mask) is not type(y > 0):
            self.mask = y > 0
        return dy * self.mask


class CachedTranspose(Dense):
    """Lays Wᵀ out once: that of the first step."""

    def backward(self, dy):
        self.backward_params(dy)
        if not hasattr(self, "transposed") or self.transposed.dtype != self.W.dtype:
            self.transposed = self.W.T.copy()
        return dy @ self.transposed


class CachedInEvaluation(Dense):
    """Keeps the weights of the first evaluation."""

    def forward(self, x, training=False):
        if training:
            return super().forward(x, training)
        if not hasattr(self, "kept") or self.kept.dtype != self.W.dtype or type(self.kept) is not type(self.W):
            self.kept = self.W.copy()
        return x @ self.kept + self.b


class WrongAfterSomeCalls(Tanh):
    """A warm-up that was meant for something else."""

    calls = 0

    def backward(self, dy):
        self.calls += 1
        return super().backward(dy) * (1 if self.calls <= 6 else 1.5)


class StuckAfterAnError(Dropout):
    """Notes that it is training, and after an exception still does."""

    busy = False

    def forward(self, x, training=False):
        self.busy = self.busy or training
        y = super().forward(x, self.busy)
        self.busy = False
        return y


class EvaluationRolls(Dropout):
    """Draws a mask in evaluation as well, and does not use it."""

    def forward(self, x, training=False):
        if not training:
            self.rng.random(x.shape)
        return super().forward(x, training)


class MemoryOfTheClass(Tanh):
    """Keeps y where another layer finds it."""

    def forward(self, x, training=False):
        y = super().forward(x, training)
        if training:
            MemoryOfTheClass.y = y
        return y

    def backward(self, dy):
        self.recall(dy)
        y = MemoryOfTheClass.y
        y = y if y.shape == dy.shape else array_module(dy).zeros_like(dy)
        return dy * (1 - y * y)


class MemoryByShape(Tanh):
    """Keeps y where another layer finds it that has a batch of the same size."""

    outputs: ClassVar = {}

    def forward(self, x, training=False):
        y = super().forward(x, training)
        if training:
            MemoryByShape.outputs[x.shape] = y
        return y

    def backward(self, dy):
        self.recall(dy)
        y = MemoryByShape.outputs[dy.shape]
        return dy * (1 - y * y)


class SharedGenerator(Dropout):
    """Keeps the generator that all layers share, which a file makes several of."""

    def init_params(self, rng):
        self.rng = rng


class PositiveParameter(Layer):
    """Takes the root of a parameter that an optimiser may make negative."""

    arguments = ("in_features",)

    def __init__(self, in_features=4):
        self.in_features = self.out_features = in_features

    def param_shapes(self):
        return {"v": (self.in_features,)}

    def init_params(self, rng):
        self.v[...] = 1

    def forward(self, x, training=False):
        s = array_module(x).sqrt(self.v)
        y = x / s
        if training:
            self.remember(y, (y, s))
        return y

    def backward(self, dy):
        y, s = self.recall(dy)
        self.dv[...] = (-0.5 * dy * y / s / s).sum(axis=0)
        return dy / s


class DefaultArgument(Tanh):
    """One list for all layers."""

    def __init__(self, stack=[]):  # noqa: B006
        self.stack = stack

    def forward(self, x, training=False):
        y = super().forward(x, training)
        if training:
            self.stack.append(y)
        return y

    def backward(self, dy):
        self.recall(dy)
        y = self.stack.pop()
        y = y if y.shape == dy.shape else array_module(dy).zeros_like(dy)
        return dy * (1 - y * y)


class ParamsOnlyWrong(Dense):
    """What the first layer is asked for is wrong for large batches."""

    def backward(self, dy):
        Dense.backward_params(self, dy)
        return dy @ self.W.T

    def backward_params(self, dy):
        super().backward_params(dy)
        if len(dy) > 100:
            self.dW *= 0.5


# Float32.


class OnePercent(Tanh):
    """A constant of half precision: 1 % off in float32."""

    def backward(self, dy):
        dx = super().backward(dy)
        return dx * 1.01 if dx.dtype == "float32" else dx


class OnePercentOfWeights(Dense):
    def backward_params(self, dy):
        super().backward_params(dy)
        if dy.dtype == "float32":
            self.dW *= 0.99


class HalfPrecision(Elementwise):
    """Saves memory in float16."""

    def f(self, x, xp):
        return xp.tanh(x.astype("float16").astype(x.dtype) if x.dtype == "float32" else x)

    def slope(self, x, xp):
        y = self.f(x, xp)
        return 1 - y * y


class SinglePrecisionInside(Tanh):
    """Computes in float32 whatever x is."""

    def backward(self, dy):
        y = self.recall(dy)
        return dy * (1 - y * y).astype("float32").astype(y.dtype)


class DoubleInEvaluation(Gain):
    def forward(self, x, training=False):
        y = super().forward(x, training)
        return y if training else y * array_module(x).ones((1, x.shape[1]))


# What is kept.


class UndeclaredSlope(LeakyReLU):
    """A file of one with 0.3 loads into one with 0.9."""

    arguments = ()


class UndeclaredFlag(Layer):
    def __init__(self, negate=True):
        self.negate = negate

    def forward(self, x, training=False):
        if training:
            self.remember(x, None)
        return -x if self.negate else x + 0

    def backward(self, dy):
        self.recall(dy)
        return -dy if self.negate else dy


class UndeclaredMode(Layer):
    """A text decides."""

    def __init__(self, mode="tanh"):
        if mode not in ("tanh", "cos"):
            raise ValueError(f"mode: expected tanh or cos, got {mode!r}")
        self.mode = mode

    def forward(self, x, training=False):
        xp = array_module(x)
        if training:
            self.remember(x, x)
        return xp.tanh(x) if self.mode == "tanh" else xp.cos(x)

    def backward(self, dy):
        x = self.recall(dy)
        xp = array_module(x)
        return dy * (1 - xp.tanh(x) ** 2 if self.mode == "tanh" else -xp.sin(x))


class UndeclaredArray(Layer):
    """Given as an argument, and not kept as a buffer."""

    in_features = 3

    def __init__(self, scale):
        self.scale = scale

    def forward(self, x, training=False):
        if training:
            self.remember(x, None)
        return x * convert(self.scale, like=x)

    def backward(self, dy):
        self.recall(dy)
        return dy * convert(self.scale, like=dy)


class AveragesBecomeDouble(BatchNorm):
    """New arrays, of float64, from the first step on."""

    def _move_averages(self, mean, var, samples):
        super()._move_averages(mean, var, samples)
        self.moving_mean = self.moving_mean.astype("float64")


class ScaledWrongly(Layer):
    """A single number is learned, and its gradient is that of a mean."""

    def param_shapes(self):
        return {"s": (1,)}

    def init_params(self, rng):
        self.s[...] = 1

    def forward(self, x, training=False):
        if training:
            self.remember(x, x)
        return self.s * x

    def backward(self, dy):
        x = self.recall(dy)
        self.ds[...] = (dy * x).mean()
        return self.s * dy


class WithoutEpsInSinglePrecision(RMSNorm):
    """1e-60 is 0 in float32."""

    def forward(self, x, training=False):
        self.check_input(x)
        d = x - x.mean(axis=1, keepdims=True)
        rms = array_module(x).sqrt((d * d).mean(axis=1, keepdims=True) + 1e-60)
        y = d / rms
        if training:
            self.remember(y, (y, rms))
        return self.g * y

    def backward(self, dy):
        x_hat, rms = self.recall(dy)
        self.dg[...] = (dy * x_hat).sum(axis=0)
        d = self.g * dy
        return (d - d.mean(axis=1, keepdims=True) - x_hat * (d * x_hat).mean(axis=1, keepdims=True)) / rms


class UndeclaredGhosts(BatchNorm):
    arguments = ("in_features", "decay", "eps")


class UndeclaredDecay(BatchNorm):
    """Shows after some steps, in evaluation."""

    arguments = ("in_features", "eps", "ghost_size")


class WrongAttribute(LeakyReLU):
    """Declares what it does not use."""

    arguments = ("declared",)

    def __init__(self, slope=0.1):
        super().__init__(slope)
        self.declared = 0.1


class SetArgument(LeakyReLU):
    """A file has no sets."""

    arguments = ("slope", "columns")

    def __init__(self, slope=0.1, columns=frozenset({0})):
        super().__init__(slope)
        self.columns = columns


class TupleArgument(Gain):
    """JSON makes a list of a tuple, and a list is no tuple."""

    arguments = ("shape",)

    def __init__(self, features):
        super().__init__(features)
        self.shape = (features, features)


class UndeclaredAverages(BatchNorm):
    buffers = ()

    def bind(self, params, grads):
        super().bind(params, grads)
        self.moving_mean, self.moving_var = (convert(a, like=params) for a in (self.moving_mean, self.moving_var))


class HalfOfTheBuffers(UndeclaredAverages):
    buffers = ("moving_mean",)


class UndeclaredProjection(Layer):
    """Drawn once, from the seed; another seed has another."""

    in_features, out_features = 3, 4

    def init_params(self, rng):
        self.P = rng.normal(size=(3, 4))

    def bind(self, params, grads):
        super().bind(params, grads)
        if hasattr(self, "P"):
            self.P = convert(self.P, like=params)

    def forward(self, x, training=False):
        if training:
            self.remember(x @ self.P, None)
        return x @ convert(self.P, like=x)

    def backward(self, dy):
        self.recall(dy)
        return dy @ convert(self.P, like=dy).T


class Dice(Dropout):
    """A generator of another name."""

    def init_params(self, rng):
        (self.dice,) = rng.spawn(1)

    def forward(self, x, training=False):
        if not training:
            return x
        mask = convert(self.dice.random(x.shape, dtype="float32") >= self.p, like=x) / (1 - self.p)
        self.remember(x, mask)
        return x * mask


class SecondGenerator(Dropout):
    """Has rng, and one more."""

    def init_params(self, rng):
        self.rng, self.noise = rng.spawn(2)

    def forward(self, x, training=False):
        y = super().forward(x, training)
        return y + convert(0.1 * self.noise.normal(size=x.shape), like=x) if training else y


class Counter(Layer):
    """Fades in with the number of steps, which no file has."""

    steps = 0

    def forward(self, x, training=False):
        if training:
            self.steps += 1
            self.remember(x, 1 - 0.5**self.steps)
        return x * (1 - 0.5**self.steps)

    def backward(self, dy):
        return dy * self.recall(dy)


class Seen(Layer):
    """Scales by the largest x of earlier batches, kept as a plain number."""

    largest = 1.0

    def forward(self, x, training=False):
        y = x / self.largest
        if training:
            self.remember(y, self.largest)
            self.largest = max(self.largest, float(abs(x).max()))
        return y

    def backward(self, dy):
        return dy / self.recall(dy)


class FixedDice(Dropout):
    """The same masks for every seed."""

    def init_params(self, _rng):
        self.rng = np.random.default_rng(0)


class FrozenAverages(BatchNorm):
    def forward(self, x, training=False):
        frozen, self.frozen = self.frozen, False
        y = super().forward(x, training)
        self.frozen = frozen
        return y


class FrozenPassesDy(Dense):
    """Frozen, it saves itself the product, and hands dy on as it came."""

    def backward(self, dy):
        dx = super().backward(dy)
        return dx if not self.frozen else 0 * dx + dy.sum(axis=1, keepdims=True)


# Containers.


class PlainResidual(Residual):
    """Passes on what it must to compute, and nothing of what is kept."""

    buffers, arguments = (), ()
    frozen, rng = False, property(lambda self: (_ for _ in ()).throw(AttributeError("rng")))

    def __init__(self, *layers):
        self.layers = layers
        self.in_features = self.out_features = next(layer.in_features for layer in layers if layer.in_features)

    def init_params(self, rng):
        for layer in self.layers:
            layer.init_params(rng)


class ResidualOfOtherArguments(Residual):
    """Does not say what is inside."""

    arguments = ()


class ResidualThatThaws(Residual):
    """Does not tell the layers inside that they are frozen."""

    frozen = False


class ResidualWithoutShortcutGradient(Residual):
    def backward(self, dy):
        self.recall(dy)
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


# Formulas.


class MissingMeanTerm(Centre):
    def backward(self, dy):
        self.recall(dy)
        return dy * 1


class CentredOverTheBatch(Centre):
    def backward(self, dy):
        self.recall(dy)
        return dy - dy.mean(axis=0)


class NormWithoutProjection(RMSNorm):
    """Takes the length for a constant."""

    def backward(self, dy):
        x_hat, rms = self.recall(dy)
        self.dg[...] = (dy * x_hat).sum(axis=0)
        return self.g * dy / rms


class OneOfTwoUses(LowRank):
    """U and V exchanged in one product: the shapes fit when they are square."""

    def backward(self, dy):
        x, h = self.recall(dy)
        dh = dy @ self.V
        self.dV[...] = h.T @ dy
        self.dU[...] = x.T @ dh
        return dh @ self.U.T


class TiedOnce(Layer):
    """W is used twice, and the gradient of one use is forgotten."""

    arguments = ("in_features",)

    def __init__(self, features):
        self.in_features = self.out_features = features

    def param_shapes(self):
        return {"W": (self.in_features, 3)}

    def init_params(self, rng):
        self.W[...] = rng.normal(size=self.W.shape)

    def forward(self, x, training=False):
        self.check_input(x)
        h = array_module(x).tanh(x @ self.W)
        y = h @ self.W.T
        if training:
            self.remember(y, (x, h))
        return y

    def backward(self, dy):
        x, h = self.recall(dy)
        dz = (dy @ self.W) * (1 - h * h)
        self.dW[...] = x.T @ dz
        return dz @ self.W.T


class LastFeatureLeftOut(Gain):
    """range(1, n)."""

    def backward(self, dy):
        dx = super().backward(dy)
        dx[:, -1] = 0
        return dx


class RowsReversed(Tanh):
    def backward(self, dy):
        return super().backward(dy)[::-1]


class ScalesSampleByItsNumber(Tanh):
    def backward(self, dy):
        dx = super().backward(dy)
        xp = array_module(dx)
        return dx * convert(1 + xp.arange(len(dx)), like=dx)[:, None]


class SumOverFeatures(Dense):
    """Where there are as many samples as outputs, the wrong axis has the right length."""

    def backward_params(self, dy):
        super().backward_params(dy)
        if dy.shape[0] == dy.shape[1]:
            self.db[...] = dy.sum(axis=1)


class MaskOfTheLastShape(Layer):
    """Draws a mask only when a batch has another shape than the last one."""

    mask = None

    def init_params(self, rng):
        self.rng = rng.spawn(1)[0]

    def forward(self, x, training=False):
        if not training:
            return x
        if self.mask is None or self.mask.shape != x.shape:
            self.mask = convert(2.0 * (self.rng.random(x.shape) < 0.5), like=x)
        y = x * self.mask
        self.remember(y, self.mask)
        return y

    def backward(self, dy):
        return dy * self.recall(dy)


class GradientOfTheLastInput(Gain):
    """An evaluation in between, of as many samples, changes dg."""

    def forward(self, x, training=False):
        y = super().forward(x, training)
        vars(self)["last"] = x
        return y

    def backward(self, dy):
        dx = super().backward(dy)
        if self.last.shape == dy.shape:
            self.dg[...] = (dy * self.last).sum(axis=0)
        return dx


class SlopeBeyondTheLimit(Tanh):
    """Wrong between two numbers that few x lie between."""

    def forward(self, x, training=False):
        y = super().forward(x, training)
        if training:
            self.remember(y, (y, (x > 1.1) & (x < 1.2)))
        return y

    def backward(self, dy):
        y, here = self.recall(dy)
        return dy * (1 - y * y) * (1 + convert(here, like=dy))


class LimitedWeightGradient(Dense):
    """Clips in the layer what belongs into the optimiser."""

    def backward_params(self, dy):
        super().backward_params(dy)
        array_module(dy).clip(self.dW, -50, 50, out=self.dW)


class FirstWeights(Dense):
    """Keeps the transposed weights of its first pass."""

    old = None

    def forward(self, x, training=False):
        y = super().forward(x, training)
        if self.old is None:
            vars(self)["old"] = self.W.T.copy()
        return y

    def backward(self, dy):
        self.backward_params(dy)
        return dy @ self.old


class GuardedForwardOnly(Layer):
    """Takes care of a row of zeros, but not of its gradient."""

    def forward(self, x, training=False):
        xp = array_module(x)
        length = xp.sqrt((x * x).sum(axis=1, keepdims=True))
        y = xp.where(length > 0, x / xp.where(length > 0, length, 1 + length), x)
        if training:
            self.remember(y, (y, length))
        return y

    def backward(self, dy):
        y, length = self.recall(dy)
        return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / length


LAYERS = {
    # the name of the class: how to make it, the rule that it breaks, and words of the message
    "SixteenSamples": (SixteenSamples, "gradients", "wrong only in rows from 16 on, where it is 0 and should not be"),
    "BiasOfSixtyFour": (
        lambda: BiasOfSixtyFour(4, 3),
        "gradients",
        "it fails for B = .*65.*, not for B = 1, 2, .*: db",
    ),
    "BlocksWithoutRemainder": (
        lambda: BlocksWithoutRemainder(4, 3),
        "gradients",
        "fails for B = .*33, .*65, .*129.*, not .*: db",
    ),
    "OddSampleLost": (OddSampleLost, "gradients", "wrong only in row .*, the last, where it is 0"),
    "FastPathForPowersOfTwo": (FastPathForPowersOfTwo, "gradients", "fails for B = 16, 64, not .*it is 0.5 times"),
    "RowNumbersInInt8": (RowNumbersInInt8, "gradients", "fails for B = .*129, .*257, not for B = 1, "),
    "EightClasses": (EightClasses, "gradients", "(9|16|17|33|65) features"),
    "OneFeatureDoubled": (OneFeatureDoubled, "gradients", "1 feature: .*it is 2 times"),
    "SampleVariance": (lambda: SampleVariance(4), "gradients", "dx"),
    "SingleSampleByTheWrongAxis": (lambda: SingleSampleByTheWrongAxis(4), "gradients", "fails for B = 1, not .*: dg"),
    "ClippedSlope": (ClippedSlope, "gradients", r"wrong only where \|x\| is large, above [789]"),
    "ForgottenLimit": (ForgottenLimit, "gradients", "wrong only where x is large, above .*it should be 0: a mask"),
    "SumOverFeatures": (lambda: SumOverFeatures(5, 3), "gradients", "it fails for B = [35], not for B = 1, .*: db"),
    "MaskOfTheLastShape": (MaskOfTheLastShape, "files", "resumed from a file.*mask is lost: name it in buffers"),
    "GradientOfTheLastInput": (
        lambda: GradientOfTheLastInput(4),
        "memory",
        "an evaluation between forward and backward changes a gradient",
    ),
    "SlopeBeyondTheLimit": (SlopeBeyondTheLimit, "gradients", "8 samples: .*in others, where it is 2 times"),
    "LimitedWeightGradient": (lambda: LimitedWeightGradient(4, 3), "gradients", "8 samples, (x|dy) .*: dW"),
    "FirstWeights": (lambda: FirstWeights(4, 3), "gradients", r"only after another pass .* was measured$"),
    "Reciprocal": (Reciprocal, "gradients", r"x with zeros: y.* is -?inf\nhint: it divides by zero"),
    "UnitLength": (UnitLength, "gradients", r"x with zeros: y.* is nan\nhint: it divides by zero"),
    "GuardedForwardOnly": (
        GuardedForwardOnly,
        "gradients",
        r"x with zeros: dx.* is (nan.*it is NaN|-?inf.*it is infinite)",
    ),
    "SmallAngle": (SmallAngle, "gradients", "x near zero.*right to . digits"),
    "WrongBelowZero": (WrongBelowZero, "gradients", "wrong only where x < 0, where it is 0.1 times"),
    "WrongAboveZero": (WrongAboveZero, "gradients", "wrong only where x > 0, where it is 0 and should not be"),
    "RoundedConstant": (RoundedConstant, "gradients", "right to [45] digits: look for a rounded constant"),
    "NaiveSoftplus": (NaiveSoftplus, "precision", "an exponential that overflows"),
    "NaiveSigmoid": (NaiveSigmoid, "precision", "an exponential that overflows"),
    "NaiveSigmoidSlope": (NaiveSigmoidSlope, "precision", "dx.*an exponential that overflows"),
    "NaiveTanh": (NaiveTanh, "precision", "an exponential that overflows"),
    "NaiveLogSoftmax": (NaiveLogSoftmax, "precision", "an exponential that overflows"),
    "LogOfSoftmax": (LogOfSoftmax, "precision", "a sum of them that becomes 0"),
    "MaximumOfTheBatch": (MaximumOfTheBatch, "precision", "a sum of them that becomes 0"),
    "NormWithoutEps": (lambda: NormWithoutEps(4), "gradients", "y.*is nan.*divides by zero"),
    "EpsForwardOnly": (lambda: EpsForwardOnly(3), "gradients|precision", "dx"),
    "ConstantFeatureSkipped": (lambda: ConstantFeatureSkipped(3), "gradients", "x constant features|x equal rows"),
    "DifferenceOfSquares": (lambda: DifferenceOfSquares(4), "precision", "float32"),
    "EqualRowsOnce": (lambda: EqualRowsOnce(4, 3), "gradients", "x equal rows.*dW"),
    "OrderOfMemory": (OrderOfMemory, "gradients", "arrays in columns|arrays strided"),
    "Bytes": (Bytes, "gradients", "arrays in columns.*y depends on how x lies in memory"),
    "InPlaceIfItCan": (InPlaceIfItCan, "gradients", "arrays in columns.*read-only"),
    "RestoresShape": (RestoresShape, "input", "dy was changed"),
    "ReusedOutput": (ReusedOutput, "", "y of an earlier pass has changed since; return a new array"),
    "ReusedGradient": (ReusedGradient, "", "dx of an earlier pass has changed since; return a new array"),
    "WritesToItsOutput": (WritesToItsOutput, "gradients", "backward changes y, which other layers may have remembered"),
    "ClippedGradient": (ClippedGradient, "gradients", "dy large"),
    "SmallGradientsDropped": (SmallGradientsDropped, "gradients", "dy small.*zero throughout"),
    "OneSignShortcut": (OneSignShortcut, "gradients", "dy one sign.*it should be 0: a mask is missing"),
    "ZeroRowsSkipped": (lambda: ZeroRowsSkipped(4, 3), "gradients", "dy zero rows.*dW"),
    "RelativeToTheLargest": (RelativeToTheLargest, "gradients", "dy zero rows.*is nan.*0 / 0"),
    "CachedMask": (CachedMask, "gradients", "only after another pass"),
    "CachedTranspose": (lambda: CachedTranspose(4, 3), "gradients", "only after another pass"),
    "CachedInEvaluation": (lambda: CachedInEvaluation(4, 3), "parameters", "changes W has no effect.*a copy of W"),
    "WrongAfterSomeCalls": (WrongAfterSomeCalls, "gradients", "only after . other passes.*1.5 times"),
    "StuckAfterAnError": (StuckAfterAnError, "", "exception|error"),
    "EvaluationRolls": (EvaluationRolls, "evaluation", "an evaluation changes the training passes after it"),
    "MemoryOfTheClass": (MemoryOfTheClass, "apart", "something is kept in the class"),
    "MemoryByShape": (MemoryByShape, "apart", "something is kept in the class"),
    "SharedGenerator": (lambda: SharedGenerator(0.4), "start", "the generator that all layers share.*rng.spawn"),
    "PositiveParameter": (PositiveParameter, "", "y.* is nan.*parameters are drawn from a normal distribution"),
    "DefaultArgument": (DefaultArgument, "apart", "default argument"),
    "ParamsOnlyWrong": (
        lambda: ParamsOnlyWrong(4, 3),
        "gradients",
        "for B = .*129, .*257, not .*dW.*by backward_params.*0.5 times",
    ),
    "OnePercent": (OnePercent, "precision", "dx differs between float32 and float64"),
    "OnePercentOfWeights": (lambda: OnePercentOfWeights(4, 3), "precision", "dW differs between float32 and float64"),
    "HalfPrecision": (HalfPrecision, "precision", "look for float16"),
    "SinglePrecisionInside": (SinglePrecisionInside, "gradients", "right to 7 digits.*float32 on the way"),
    "DoubleInEvaluation": (lambda: DoubleInEvaluation(4), "precision", "y in evaluation is float64 where x is float32"),
    "UndeclaredSlope": (
        UndeclaredSlope,
        "arguments",
        "slope=0.1 loads into one made with slope=.*name that in arguments",
    ),
    "UndeclaredSlope, 0.3": (lambda: UndeclaredSlope(0.3), "arguments", "slope=0.3 loads into one made with slope="),
    "UndeclaredFlag": (UndeclaredFlag, "arguments", "negate=True loads into one made with negate=False"),
    "UndeclaredMode": (UndeclaredMode, "arguments", "mode='tanh' loads into one made with mode='cos'"),
    "UndeclaredArray": (lambda: UndeclaredArray(np.array([1.0, 2.0, 3.0])), "arguments", "scale="),
    "AveragesBecomeDouble": (
        lambda: AveragesBecomeDouble(3),
        "precision",
        "moving_mean is float64 where x is float32",
    ),
    "ScaledWrongly": (ScaledWrongly, "gradients", "ds"),
    "WithoutEpsInSinglePrecision": (lambda: WithoutEpsInSinglePrecision(4), "precision", "ε that is 0 in float32"),
    "UndeclaredGhosts": (
        lambda: UndeclaredGhosts(3),
        "arguments",
        "ghost_size=None loads into one made with ghost_size=2",
    ),
    "UndeclaredDecay": (lambda: UndeclaredDecay(3), "arguments", "decay=0.9 loads into"),
    "WrongAttribute": (WrongAttribute, "arguments", "slope=0.1 loads into"),
    "SetArgument": (SetArgument, "files", "a file holds numbers, strings, lists"),
    "TupleArgument": (lambda: TupleArgument(4), "files", "expected TupleArgument"),
    "UndeclaredAverages": (lambda: UndeclaredAverages(3), "files", "moving_mean is lost: name it in buffers"),
    "HalfOfTheBuffers": (lambda: HalfOfTheBuffers(3), "files", "moving_var is lost: name it in buffers"),
    "UndeclaredProjection": (UndeclaredProjection, "files", "P is lost: name it in buffers"),
    "Dice": (Dice, "files", "dice is lost: a layer's generator is kept if it is called rng"),
    "SecondGenerator": (SecondGenerator, "files", "noise is lost"),
    "Counter": (Counter, "files", "steps is lost: make it an array"),
    "Seen": (Seen, "files", "largest is lost: make it an array"),
    "FixedDice": (FixedDice, "start", "another seed gives the same generator"),
    "FrozenAverages": (lambda: FrozenAverages(3), "frozen", "moving_mean, moving_var.*look at self.frozen"),
    "FrozenPassesDy": (lambda: FrozenPassesDy(4, 3), "frozen", "dx.*frozen"),
    "PlainResidual": (lambda: PlainResidual(BatchNorm(3), Dense(3, 3)), "", "batch|lost|frozen|y"),
    "PlainResidual, dropout": (lambda: PlainResidual(Dropout(0.3), Dense(3, 3)), "", "lost|rng"),
    "ResidualOfOtherArguments": (lambda: ResidualOfOtherArguments(LeakyReLU(0.3), Dense(3, 3)), "arguments", "layers="),
    "ResidualThatThaws": (lambda: ResidualThatThaws(BatchNorm(3), Dense(3, 3)), "frozen", "pass frozen on"),
    "ResidualWithoutShortcutGradient": (lambda: ResidualWithoutShortcutGradient(Dense(3, 3)), "gradients", "dx"),
    "MissingMeanTerm": (MissingMeanTerm, "gradients", "each row is off by a number of its own: look for a sum"),
    "CentredOverTheBatch": (CentredOverTheBatch, "gradients", "dx"),
    "NormWithoutProjection": (lambda: NormWithoutProjection(4), "gradients", "dx"),
    "OneOfTwoUses": (lambda: OneOfTwoUses(3, 3, 3), "gradients", "dx"),
    "TiedOnce": (lambda: TiedOnce(4), "gradients", "dW"),
    "LastFeatureLeftOut": (
        lambda: LastFeatureLeftOut(4),
        "gradients",
        "wrong only in column 3, the last, where it is 0",
    ),
    "RowsReversed": (RowsReversed, "gradients", "its rows are in the opposite order"),
    "ScalesSampleByItsNumber": (ScalesSampleByItsNumber, "gradients", "each row is multiplied by a number of its own"),
}


# Losses.


class SumLoss(NLLLoss):
    def forward(self, log_p, labels):
        return super().forward(log_p, labels) * len(labels)

    def backward(self):
        batch = len(self._memory[1])
        return super().backward() * batch


class FixedBatch(NLLLoss):
    """Divides by the batch size of the paper."""

    def forward(self, log_p, labels):
        return super().forward(log_p, labels) * (len(labels) / 64)

    def backward(self):
        batch = len(self._memory[1])
        return super().backward() * (batch / 64)


class TwiceDivided(NLLLoss):
    def forward(self, log_p, labels):
        return super().forward(log_p, labels) / len(labels)

    def backward(self):
        batch = len(self._memory[1])
        return super().backward() / batch


class MissingBatch(NLLLoss):
    def backward(self):
        batch = len(self._memory[1])
        return super().backward() * batch


class DividedByClasses(NLLLoss):
    def backward(self):
        classes = self._memory[0].shape[1]
        return super().backward() / classes


class WrongSignBackward(NLLLoss):
    def backward(self):
        return -super().backward()


class WrongSignOfBoth(WrongSignBackward):
    """The mean log-probability: learns to be wrong."""

    def forward(self, log_p, labels):
        return -super().forward(log_p, labels)


class CountsFromOne(NLLLoss):
    """Label 0 becomes −1, which is the last class."""

    def forward(self, log_p, labels):
        return super().forward(log_p, (labels - 1) % log_p.shape[1])


class NeighbourClass(NLLLoss):
    def backward(self):
        return array_module(self._memory[0]).roll(super().backward(), 1, axis=1)


class FirstSampleOnly(NLLLoss):
    def backward(self):
        dlog_p = super().backward()
        dlog_p[1:] = 0
        return dlog_p


class LastClassLost(NLLLoss):
    """range(classes − 1)."""

    def backward(self):
        dlog_p = super().backward()
        dlog_p[:, -1] = 0
        return dlog_p


class DuplicatesOnce(NLLLoss):
    """A column for each class: the samples that share a label are mixed up."""

    def backward(self):
        labels = self._memory[1].argmax(axis=1)
        dlog_p = super().backward()
        dlog_p[:, labels] = -1 / len(labels)
        return dlog_p


class RightOnesSkipped(NLLLoss):
    """No gradient for what is right already."""

    def backward(self):
        log_p, hits = self._memory
        right = log_p.argmax(axis=1) == hits.argmax(axis=1)
        return super().backward() * convert(1 - 1 * right, like=log_p)[:, None]


class WeightOfTheFirst(NLLLoss):
    """The first sample counts twice."""

    def forward(self, log_p, labels):
        first = super().forward(log_p[:1], labels[:1])
        return super().forward(log_p, labels) + first / len(labels)

    def backward(self):
        dlog_p = super().backward()
        dlog_p[0] *= 2
        return dlog_p


class SortsLabels(NLLLoss):
    def forward(self, log_p, labels):
        if isinstance(labels, np.ndarray):
            labels.sort()
        return super().forward(log_p, labels)


class ShiftsLogP(NLLLoss):
    def forward(self, log_p, labels):
        value = super().forward(log_p, labels)
        log_p -= log_p.max(axis=1, keepdims=True)
        return value


class WritesGradientIntoLogP(NLLLoss):
    """Saves an array."""

    def backward(self):
        log_p = self._memory[0]
        log_p[...] = super().backward()
        return log_p


class NothingForgotten(NLLLoss):
    def backward(self):
        memory = self._memory
        dlog_p = super().backward()
        self._memory = memory
        return dlog_p


class ZerosBeforeForward(NLLLoss):
    def backward(self):
        return super().backward() if self._memory else np.zeros((1, 1))


class FirstBatchForEver(NLLLoss):
    def forward(self, log_p, labels):
        self.rows = getattr(self, "rows", len(labels))
        return super().forward(log_p, labels)

    def backward(self):
        batch = len(self._memory[1])
        return super().backward() * (batch / self.rows)


class RunningAverage(NLLLoss):
    """Smooth to look at."""

    def forward(self, log_p, labels):
        value = super().forward(log_p, labels)
        self.average = value if not hasattr(self, "average") else 0.9 * self.average + 0.1 * value
        return self.average


class GradientAddsUp(NLLLoss):
    def backward(self):
        dlog_p = super().backward()
        last = getattr(self, "last", None)
        self.last = dlog_p.copy()
        return dlog_p + last if last is not None and last.shape == dlog_p.shape else dlog_p


class ReusedArray(NLLLoss):
    def backward(self):
        dlog_p = super().backward()
        if getattr(self, "out", dlog_p[:0]).shape != dlog_p.shape:
            self.out = dlog_p
        self.out[...] = dlog_p
        return self.out


class KeptInTheClass(NLLLoss):
    def forward(self, log_p, labels):
        value = super().forward(log_p, labels)
        KeptInTheClass._memory = self.__dict__.pop("_memory")
        return value

    def backward(self):
        if KeptInTheClass._memory is None:
            raise RuntimeError("no forward")
        self._memory, KeptInTheClass._memory = KeptInTheClass._memory, None
        return super().backward()


class PlainNumber(NLLLoss):
    def forward(self, log_p, labels):
        return float(super().forward(log_p, labels))


class OneForEachSample(NLLLoss):
    def forward(self, log_p, labels):
        super().forward(log_p, labels)
        return -log_p[array_module(log_p).arange(len(labels)), labels]


class DoublePrecision(NLLLoss):
    def forward(self, log_p, labels):
        return super().forward(log_p, labels).astype("float64")


class DoublePrecisionGradient(NLLLoss):
    def backward(self):
        return super().backward().astype("float64")


class OnePercentLoss(NLLLoss):
    def backward(self):
        dlog_p = super().backward()
        return dlog_p * 1.01 if dlog_p.dtype == "float32" else dlog_p


class FlatGradient(NLLLoss):
    def backward(self):
        return super().backward().reshape(-1)


class TransposedGradient(NLLLoss):
    def backward(self):
        return super().backward().T


class LogOfExp(NLLLoss):
    """Goes back to probabilities, of which some are 0."""

    def forward(self, log_p, labels):
        xp = array_module(log_p)
        return super().forward(xp.log(xp.exp(log_p)), labels)


class LimitedForward(NLLLoss):
    """Nothing is less probable than e^−20, says forward alone."""

    def forward(self, log_p, labels):
        self.limited = array_module(log_p).where(log_p > -20, log_p, 0 * log_p - 20)
        return super().forward(self.limited, labels)


class SmoothedForwardOnly(NLLLoss):
    def forward(self, log_p, labels):
        return 0.9 * super().forward(log_p, labels) - 0.1 * log_p.mean()


class FocalWithoutFactor(Remembering):
    """Takes (1 − p)² for a constant."""

    def forward(self, log_p, labels):
        xp = array_module(log_p)
        rows = xp.arange(len(labels))
        log_right = log_p[rows, labels]
        miss = -xp.expm1(log_right)
        self.keep(log_p, rows, labels, miss)
        return -(miss * miss * log_right).mean()

    def backward(self):
        log_p, rows, labels, miss = self.take()
        dlog_p = array_module(log_p).zeros_like(log_p)
        dlog_p[rows, labels] = -miss * miss / len(labels)
        return dlog_p


class NumPyOnly(NLLLoss):
    def forward(self, log_p, labels):
        np.exp(log_p)
        return super().forward(log_p, labels)


class SignedLabelsOnly(NLLLoss):
    """Counts from the end: an unsigned label has no negative."""

    def forward(self, log_p, labels):
        return super().forward(log_p[:, ::-1], (-1 - labels) % log_p.shape[1])

    def backward(self):
        return super().backward()[:, ::-1]


class SquaresOverAll(Remembering):
    """The mean over all entries forward, over samples backward."""

    def forward(self, x, t):
        self.keep(x - t)
        return ((x - t) ** 2).mean()

    def backward(self):
        (error,) = self.take()
        return 2 * error / len(error)


class SmoothedWithoutBatch(Smoothed):
    """Forgets that the mean is over the samples, too."""

    def backward(self):
        dlog_p = (1 - self.smoothing) * NLLLoss.backward(self)
        return dlog_p - self.smoothing / dlog_p.shape[1]


class SmoothedOverOthers(Smoothed):
    """K − 1 other classes in backward, K in forward."""

    def backward(self):
        dlog_p = (1 - self.smoothing) * NLLLoss.backward(self)
        samples, classes = dlog_p.shape
        return dlog_p - self.smoothing / (samples * max(classes - 1, 1))


class RefusesOneSample(NLLLoss):
    def backward(self):
        dlog_p = super().backward()
        return dlog_p if len(dlog_p) > 1 else 0 * dlog_p


LOSSES = {
    "SmoothedWithoutBatch": (SmoothedWithoutBatch, "gradients", "it is off by -.* throughout: look for a term"),
    "SmoothedOverOthers": (SmoothedOverOthers, "gradients", "it is off by -.* throughout: look for a term"),
    "RefusesOneSample": (RefusesOneSample, "gradients", "a single sample of .* classes.*zero throughout"),
    "SumLoss": (SumLoss, "mean", "a factor B = .* too many: it is the sum"),
    "FixedBatch": (
        FixedBatch,
        "mean",
        "a factor B = .* too many: it is the sum over the samples, or that over a fixed",
    ),
    "TwiceDivided": (TwiceDivided, "mean", "a factor B = .* too few: it is divided by B twice"),
    "MissingBatch": (MissingBatch, "gradients", "a factor B = .* too many: .* a missing 1/B"),
    "DividedByClasses": (DividedByClasses, "gradients", "times what it should be"),
    "WrongSignBackward": (WrongSignBackward, "gradients", "the sign is wrong"),
    "WrongSignOfBoth": (WrongSignOfBoth, "classes", "the sign of the loss is wrong"),
    "CountsFromOne": (CountsFromOne, "classes", "counted from 0 in one place, and from 1 in another"),
    "NeighbourClass": (NeighbourClass, "gradients", "its columns are shifted by one"),
    "FirstSampleOnly": (FirstSampleOnly, "gradients", "wrong only in rows"),
    "LastClassLost": (LastClassLost, "gradients", "it is 0 and should not be"),
    "DuplicatesOnce": (DuplicatesOnce, "gradients", "should be 0: a mask is missing"),
    "RightOnesSkipped": (RightOnesSkipped, "gradients", "it is 0 and should not be"),
    "WeightOfTheFirst": (WeightOfTheFirst, "mean|order", ""),
    "SortsLabels": (SortsLabels, "input", "forward changes labels"),
    "ShiftsLogP": (ShiftsLogP, "input", "forward changes log_p"),
    "WritesGradientIntoLogP": (WritesGradientIntoLogP, "input", "backward changes log_p"),
    "NothingForgotten": (NothingForgotten, "memory", "a second backward"),
    "ZerosBeforeForward": (ZerosBeforeForward, "memory", "where there was no forward"),
    "FirstBatchForEver": (FirstBatchForEver, "gradients", "after . other batches"),
    "RunningAverage": (RunningAverage, "gradients", "after another batch, loss is not what a new loss gives"),
    "GradientAddsUp": (GradientAddsUp, "gradients", "after another batch, dlog_p is not what a new loss gives"),
    "ReusedArray": (ReusedArray, "gradients", "dlog_p of an earlier batch has changed since"),
    "KeptInTheClass": (KeptInTheClass, "apart", "something is kept in the class"),
    "PlainNumber": (PlainNumber, "value", "a float.*return what"),
    "OneForEachSample": (OneForEachSample, "value", "expected one number for the batch"),
    "DoublePrecision": (DoublePrecision, "precision", "the loss is float64 where log_p is float32"),
    "DoublePrecisionGradient": (DoublePrecisionGradient, "precision", "dlog_p is float64 where log_p is float32"),
    "OnePercentLoss": (OnePercentLoss, "precision", "dlog_p differs between float32 and float64"),
    "FlatGradient": (FlatGradient, "", "shape|expected"),
    "TransposedGradient": (TransposedGradient, "", "shape|expected"),
    "LogOfExp": (LogOfExp, "precision", "the logarithm of an exponential"),
    "LimitedForward": (LimitedForward, "gradients", "wrong only|log_p nearly certain|log_p certain"),
    "SmoothedForwardOnly": (SmoothedForwardOnly, "gradients", ""),
    "FocalWithoutFactor": (FocalWithoutFactor, "gradients", ""),
    "NumPyOnly": (NumPyOnly, "backends", "array_module"),
    "SignedLabelsOnly": (SignedLabelsOnly, "classes", "labels in uint8"),
}
"""The same of losses."""
