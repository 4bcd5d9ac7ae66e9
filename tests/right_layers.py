"""Layers and losses as a reader might write them, all of them right: none may be refused."""

from math import prod

import numpy as np

from minidl import BatchNorm, Dense, Dropout, Layer, LogSoftmax, NLLLoss, ReLU, array_module
from minidl.backend import convert
from minidl.testing.examples import EVERYWHERE, with_zeros


class Tanh(Layer):
    def forward(self, x, training=False):
        y = array_module(x).tanh(x)
        if training:
            self.remember(y, y)
        return y

    def backward(self, dy):
        y = self.recall(dy)
        return dy * (1 - y * y)


class LeakyReLU(Layer):
    arguments = ("slope",)

    def __init__(self, slope=0.1):
        self.slope = slope

    def forward(self, x, training=False):
        if training:
            self.remember(x, x > 0)
        return array_module(x).where(x > 0, x, self.slope * x)

    def backward(self, dy):
        return array_module(dy).where(self.recall(dy), dy, self.slope * dy)


class Elementwise(Layer):
    """y = f(x), dx = dy f′(x)."""

    def f(self, x, xp):
        raise NotImplementedError

    def slope(self, x, xp):
        raise NotImplementedError

    def forward(self, x, training=False):
        y = self.f(x, array_module(x))
        if training:
            self.remember(y, x)
        return y

    def backward(self, dy):
        x = self.recall(dy)
        return dy * self.slope(x, array_module(x))


def sigmoid(x, xp):
    e = xp.exp(xp.where(x > 0, -x, x))  # never above 1
    return xp.where(x > 0, 1 / (1 + e), e / (1 + e))


class Sigmoid(Elementwise):
    def f(self, x, xp):
        return sigmoid(x, xp)

    def slope(self, x, xp):
        return sigmoid(x, xp) * sigmoid(-x, xp)


class Softplus(Elementwise):
    def f(self, x, xp):
        return xp.log1p(xp.exp(xp.where(x > 0, -x, x))) + xp.where(x > 0, x, xp.zeros_like(x))

    def slope(self, x, xp):
        return sigmoid(x, xp)


class SoftplusByLogaddexp(Softplus):
    """Not for complex numbers."""

    def f(self, x, xp):
        return xp.logaddexp(x, xp.zeros_like(x))


class Softsign(Elementwise):
    """Right, but abs is not analytic."""

    def f(self, x, xp):
        return x / (1 + abs(x))

    def slope(self, x, xp):
        return 1 / (1 + abs(x)) ** 2


class GELU(Elementwise):
    c = 0.7978845608028654  # √(2/π)

    def f(self, x, xp):
        return 0.5 * x * (1 + xp.tanh(self.c * (x + 0.044715 * x * x * x)))

    def slope(self, x, xp):
        t = xp.tanh(self.c * (x + 0.044715 * x * x * x))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * self.c * (1 + 3 * 0.044715 * x * x)


class ELU(Elementwise):
    arguments = ("a",)

    def __init__(self, a=1.0):
        self.a = a

    def f(self, x, xp):
        return xp.where(x > 0, x, self.a * xp.expm1(xp.where(x > 0, xp.zeros_like(x), x)))

    def slope(self, x, xp):
        return xp.where(x > 0, xp.ones_like(x), self.a * xp.exp(xp.where(x > 0, xp.zeros_like(x), x)))


class HardTanh(Elementwise):
    def f(self, x, xp):
        return xp.where(x > 1, xp.ones_like(x), xp.where(x < -1, -xp.ones_like(x), x))

    def slope(self, x, xp):
        return convert((x > -1) & (x < 1), like=x)


class Square(Elementwise):
    def f(self, x, xp):
        return x * x

    def slope(self, x, xp):
        return 2 * x


class Exponential(Elementwise):
    """Beyond the range of float32 where x is: rightly so."""

    def f(self, x, xp):
        return xp.exp(x)

    def slope(self, x, xp):
        return xp.exp(x)


class Cosine(Elementwise):
    def f(self, x, xp):
        return xp.cos(x)

    def slope(self, x, xp):
        return -xp.sin(x)


class Mish(Elementwise):
    def f(self, x, xp):
        return x * xp.tanh(Softplus().f(x, xp))

    def slope(self, x, xp):
        t = xp.tanh(Softplus().f(x, xp))
        return t + x * (1 - t * t) * sigmoid(x, xp)


class Logarithm(Elementwise):
    """Defined where x > 0 only."""

    def f(self, x, xp):
        return xp.log(x)

    def slope(self, x, xp):
        return 1 / x


class Reciprocal(Elementwise):
    """Defined where x is not 0."""

    def f(self, x, xp):
        return 1 / x

    def slope(self, x, xp):
        return -1 / (x * x)


class Softmax(Layer):
    def forward(self, x, training=False):
        e = array_module(x).exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        if training:
            self.remember(p, p)
        return p

    def backward(self, dy):
        p = self.recall(dy)
        return p * (dy - (p * dy).sum(axis=1, keepdims=True))


class Centre(Layer):
    def forward(self, x, training=False):
        if training:
            self.remember(x, None)
        return x - x.mean(axis=1, keepdims=True)

    def backward(self, dy):
        self.recall(dy)
        return dy - dy.mean(axis=1, keepdims=True)


class UnitLength(Layer):
    """y = x / |x|: undefined for a row of zeros alone."""

    def forward(self, x, training=False):
        length = array_module(x).sqrt((x * x).sum(axis=1, keepdims=True))
        y = x / length
        if training:
            self.remember(y, (y, length))
        return y

    def backward(self, dy):
        y, length = self.recall(dy)
        return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / length


class BelowTheLargest(Layer):
    """y = x − max x: a kink where two numbers of a row are both the largest, as in a constant row."""

    def forward(self, x, training=False):
        top = x.argmax(axis=1)
        y = x - x.max(axis=1, keepdims=True)
        if training:
            self.remember(y, top)
        return y

    def backward(self, dy):
        top = self.recall(dy)
        xp = array_module(dy)
        dx = dy.copy()
        dx[xp.arange(len(dy)), top] -= dy.sum(axis=1)
        return dx


class Gain(Layer):
    arguments = ("in_features",)

    def __init__(self, features):
        self.in_features = self.out_features = features

    def param_shapes(self):
        return {"g": (self.in_features,)}

    def init_params(self, rng):
        self.g[...] = 1

    def forward(self, x, training=False):
        self.check_input(x)
        if training:
            self.remember(x, x)
        return self.g * x

    def backward(self, dy):
        x = self.recall(dy)
        self.dg[...] = (dy * x).sum(axis=0)
        return self.g * dy


class Scale(Layer):
    """A single number is learned."""

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
        self.ds[...] = (dy * x).sum()
        return self.s * dy


class Mixture(Layer):
    """y_k = Σ_j x W_j v_jk, with W in three dimensions."""

    arguments = ("in_features", "experts", "out_features")

    def __init__(self, in_features, experts, out_features):
        self.in_features, self.experts, self.out_features = in_features, experts, out_features

    def param_shapes(self):
        return {"W": (self.experts, self.in_features, self.out_features), "v": (self.experts, self.out_features)}

    def init_params(self, rng):
        self.W[...] = rng.normal(size=self.W.shape)
        self.v[...] = rng.normal(size=self.v.shape)

    def forward(self, x, training=False):
        self.check_input(x)
        h = array_module(x).einsum("bi,jik->bjk", x, self.W)
        y = (h * self.v).sum(axis=1)
        if training:
            self.remember(y, (x, h))
        return y

    def backward(self, dy):
        x, h = self.recall(dy)
        xp = array_module(x)
        dh = dy[:, None, :] * self.v
        self.dv[...] = (dy[:, None, :] * h).sum(axis=0)
        self.dW[...] = xp.einsum("bi,bjk->jik", x, dh)
        return xp.einsum("bjk,jik->bi", dh, self.W)


class PReLU(Gain):
    """A leak for each feature, learned."""

    def forward(self, x, training=False):
        self.check_input(x)
        if training:
            self.remember(x, x)
        return array_module(x).where(x > 0, x, self.g * x)

    def backward(self, dy):
        x = self.recall(dy)
        xp = array_module(x)
        self.dg[...] = xp.where(x > 0, xp.zeros_like(x), dy * x).sum(axis=0)
        return xp.where(x > 0, dy, self.g * dy)


class Swish(Gain):
    """y = x σ(g x), with a g for each feature."""

    def forward(self, x, training=False):
        self.check_input(x)
        s = sigmoid(self.g * x, array_module(x))
        y = x * s
        if training:
            self.remember(y, (x, s))
        return y

    def backward(self, dy):
        x, s = self.recall(dy)
        bend = s * sigmoid(-self.g * x, array_module(x))
        self.dg[...] = (dy * x * x * bend).sum(axis=0)
        return dy * (s + self.g * x * bend)


class LayerNorm(Layer):
    arguments = ("in_features", "eps")

    def __init__(self, features, eps=1e-5):
        self.in_features = self.out_features = features
        self.eps = eps

    def param_shapes(self):
        return {"gamma": (self.in_features,), "beta": (self.in_features,)}

    def init_params(self, rng):
        self.gamma[...] = 1

    def forward(self, x, training=False):
        self.check_input(x)
        d = x - x.mean(axis=1, keepdims=True)
        std = array_module(x).sqrt((d * d).mean(axis=1, keepdims=True) + self.eps)
        x_hat = d / std
        y = self.gamma * x_hat + self.beta
        if training:
            self.remember(y, (x_hat, std))
        return y

    def backward(self, dy):
        x_hat, std = self.recall(dy)
        self.dgamma[...] = (dy * x_hat).sum(axis=0)
        self.dbeta[...] = dy.sum(axis=0)
        d = self.gamma * dy
        return (d - d.mean(axis=1, keepdims=True) - x_hat * (d * x_hat).mean(axis=1, keepdims=True)) / std


class RMSNorm(Gain):
    def forward(self, x, training=False):
        self.check_input(x)
        rms = array_module(x).sqrt((x * x).mean(axis=1, keepdims=True) + 1e-6)
        y = x / rms
        if training:
            self.remember(y, (y, rms))
        return self.g * y

    def backward(self, dy):
        x_hat, rms = self.recall(dy)
        self.dg[...] = (dy * x_hat).sum(axis=0)
        d = self.g * dy
        return (d - x_hat * (d * x_hat).mean(axis=1, keepdims=True)) / rms


class Maxout(Layer):
    """The largest of k linear pieces."""

    arguments = ("in_features", "out_features", "k")

    def __init__(self, in_features, out_features, k):
        self.in_features, self.out_features, self.k = in_features, out_features, k

    def param_shapes(self):
        return {"W": (self.in_features, self.out_features * self.k), "b": (self.out_features * self.k,)}

    def init_params(self, rng):
        self.W[...] = rng.normal(size=self.W.shape)

    def forward(self, x, training=False):
        self.check_input(x)
        z = (x @ self.W + self.b).reshape(len(x), self.out_features, self.k)
        y = z.max(axis=2)
        if training:
            self.remember(y, (x, z.argmax(axis=2)))
        return y

    def backward(self, dy):
        x, winner = self.recall(dy)
        xp = array_module(x)
        won = winner[:, :, None] == xp.arange(self.k)[None, None, :]
        dz = (dy[:, :, None] * won).reshape(len(dy), -1)
        self.dW[...] = x.T @ dz
        self.db[...] = dz.sum(axis=0)
        return dz @ self.W.T


class MaxOfPairs(Layer):
    """The larger of two neighbours: a kink where they are equal."""

    arguments = ("in_features",)

    def __init__(self, features):
        self.in_features, self.out_features = features, features // 2

    def forward(self, x, training=False):
        left, right = x[:, 0::2], x[:, 1::2]
        first = left > right
        y = array_module(x).where(first, left, right)
        if training:
            self.remember(y, first)
        return y

    def backward(self, dy):
        first = self.recall(dy)
        xp = array_module(dy)
        none = xp.zeros_like(dy)
        pairs = xp.stack([xp.where(first, dy, none), xp.where(first, none, dy)], axis=2)
        return pairs.reshape(len(dy), self.in_features)


class Bilinear(Layer):
    """y = (x A) · (x B), feature by feature."""

    arguments = ("in_features", "out_features")

    def __init__(self, in_features, out_features):
        self.in_features, self.out_features = in_features, out_features

    def param_shapes(self):
        return {"A": (self.in_features, self.out_features), "B": (self.in_features, self.out_features)}

    def init_params(self, rng):
        self.A[...] = rng.normal(size=self.A.shape)
        self.B[...] = rng.normal(size=self.B.shape)

    def forward(self, x, training=False):
        self.check_input(x)
        a, b = x @ self.A, x @ self.B
        y = a * b
        if training:
            self.remember(y, (x, a, b))
        return y

    def backward(self, dy):
        x, a, b = self.recall(dy)
        self.dA[...] = x.T @ (dy * b)
        self.dB[...] = x.T @ (dy * a)
        return (dy * b) @ self.A.T + (dy * a) @ self.B.T


class TiedWeights(Layer):
    """An autoencoder: y = tanh(x W) Wᵀ, with one W for both ways."""

    arguments = ("in_features", "hidden")

    def __init__(self, features, hidden):
        self.in_features = self.out_features = features
        self.hidden = hidden

    def param_shapes(self):
        return {"W": (self.in_features, self.hidden)}

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
        self.dW[...] = dy.T @ h + x.T @ dz
        return dz @ self.W.T


class LowRank(Layer):
    """y = x U V."""

    arguments = ("in_features", "rank", "out_features")

    def __init__(self, in_features, rank, out_features):
        self.in_features, self.rank, self.out_features = in_features, rank, out_features

    def param_shapes(self):
        return {"U": (self.in_features, self.rank), "V": (self.rank, self.out_features)}

    def init_params(self, rng):
        self.U[...] = rng.normal(size=self.U.shape)
        self.V[...] = rng.normal(size=self.V.shape)

    def forward(self, x, training=False):
        self.check_input(x)
        h = x @ self.U
        y = h @ self.V
        if training:
            self.remember(y, (x, h))
        return y

    def backward(self, dy):
        x, h = self.recall(dy)
        dh = dy @ self.V.T
        self.dV[...] = h.T @ dy
        self.dU[...] = x.T @ dh
        return dh @ self.U.T


class WeightNorm(Layer):
    """y = x W with W = g V / |V|, a length for each output."""

    arguments = ("in_features", "out_features")

    def __init__(self, in_features, out_features):
        self.in_features, self.out_features = in_features, out_features

    def param_shapes(self):
        return {"V": (self.in_features, self.out_features), "g": (self.out_features,)}

    def init_params(self, rng):
        self.V[...] = rng.normal(size=self.V.shape)
        self.g[...] = 1

    def forward(self, x, training=False):
        self.check_input(x)
        length = array_module(x).sqrt((self.V * self.V).sum(axis=0))
        U = self.V / length
        y = self.g * (x @ U)
        if training:
            self.remember(y, (x, U, length))
        return y

    def backward(self, dy):
        x, U, length = self.recall(dy)
        self.dg[...] = (dy * (x @ U)).sum(axis=0)
        dU = x.T @ (dy * self.g)
        self.dV[...] = (dU - U * (dU * U).sum(axis=0)) / length
        return (dy * self.g) @ U.T


class Gated(Layer):
    """Half of the features decide how much of the other half passes."""

    arguments = ("in_features",)

    def __init__(self, features):
        self.in_features, self.out_features = features, features // 2

    def forward(self, x, training=False):
        half = self.out_features
        a, s = x[:, :half], sigmoid(x[:, half:], array_module(x))
        y = a * s
        if training:
            self.remember(y, (a, s))
        return y

    def backward(self, dy):
        a, s = self.recall(dy)
        return array_module(dy).concatenate([dy * s, dy * a * s * (1 - s)], axis=1)


class Noise(Layer):
    """Adds noise in training, from a generator of its own."""

    arguments = ("size",)

    def __init__(self, size=0.1):
        self.size = size

    def init_params(self, rng):
        (self.rng,) = rng.spawn(1)

    def forward(self, x, training=False):
        if not training:
            return x
        self.remember(x, None)
        return x + convert(self.size * self.rng.normal(size=x.shape), like=x)

    def backward(self, dy):
        self.recall(dy)
        return dy


class DropWeights(Dense):
    """DropConnect: another part of the weights in every training pass."""

    def init_params(self, rng):
        super().init_params(rng)
        (self.rng,) = rng.spawn(1)

    def forward(self, x, training=False):
        if not training:
            return super().forward(x)
        self.check_input(x)
        mask = convert(2.0 * (self.rng.random(self.W.shape) < 0.5), like=x)
        y = x @ (self.W * mask) + self.b
        self.remember(y, (x, mask))
        return y

    def backward(self, dy):
        x, mask = self.recall(dy)
        self.dW[...] = mask * (x.T @ dy)
        self.db[...] = dy.sum(axis=0)
        return dy @ (self.W * mask).T

    def backward_params(self, dy):
        self.backward(dy)


class Whiten(Layer):
    """Centres by a moving mean that it gathers in training; μ counts as a constant."""

    arguments = ("in_features", "decay")
    buffers = ("mean",)

    def __init__(self, features, decay=0.9):
        self.in_features = self.out_features = features
        self.decay = decay
        self.mean = np.zeros(features)

    def forward(self, x, training=False):
        y = x - self.mean
        if training:
            self.remember(y, None)
            if not self.frozen:
                self.mean += (1 - self.decay) * (x.mean(axis=0) - self.mean)
        return y

    def backward(self, dy):
        self.recall(dy)
        return dy


class RandomFeatures(Layer):
    """A projection that is drawn once and never learned: a buffer."""

    arguments = ("in_features", "out_features")
    buffers = ("P",)

    def __init__(self, in_features, out_features):
        self.in_features, self.out_features = in_features, out_features
        self.P = np.zeros((in_features, out_features))

    def init_params(self, rng):
        self.P[...] = rng.normal(size=self.P.shape)

    def forward(self, x, training=False):
        z = x @ self.P
        if training:
            self.remember(z, z)
        return array_module(x).sin(z)

    def backward(self, dy):
        z = self.recall(dy)
        return (dy * array_module(z).cos(z)) @ self.P.T


class Reversed(Layer):
    """A window on x, backwards; no number is computed."""

    def forward(self, x, training=False):
        if training:
            self.remember(x, None)
        return x[:, ::-1]

    def backward(self, dy):
        self.recall(dy)
        return dy[:, ::-1]


class Pairs(Layer):
    """The mean of every two samples: takes even batches only, and samples that depend on each other in training."""

    def check_batch(self, samples):
        if samples % 2:
            raise ValueError(f"batch size: expected an even number, got {samples}")

    def forward(self, x, training=False):
        if not training:
            return x
        half = len(x) // 2
        self.remember(x, half)
        mean = (x[:half] + x[half:]) / 2
        return array_module(x).concatenate([mean, mean])

    def backward(self, dy):
        half = self.recall(dy)
        dx = (dy[:half] + dy[half:]) / 2
        return array_module(dy).concatenate([dx, dx])


class Residual(Layer):
    """y = x + F(x), where F is a chain of layers inside this one; as docs/write_your_own_container.md has it."""

    arguments = ("inside",)

    def __init__(self, *layers):
        self.layers = layers
        self.in_features = self.out_features = next((n for n in (layer.in_features for layer in layers) if n), None)
        self.buffers = tuple(f"{i}.{name}" for i, layer in enumerate(layers) for name in layer.buffers)

    def forward(self, x, training=False):
        y = x
        for layer in self.layers:
            y = layer.forward(y, training)
        if training:
            self.remember(y, None)
        return x + y

    def backward(self, dy):
        self.recall(dy)
        dx = dy
        for layer in reversed(self.layers):
            dx = layer.backward(dx)
        return dy + dx

    def param_shapes(self):
        return {
            f"{i}.{name}": shape for i, layer in enumerate(self.layers) for name, shape in layer.param_shapes().items()
        }

    def init_params(self, rng):
        for layer in self.layers:
            layer.init_params(rng)
        if hasattr(self, "rng"):
            self.rng = self.rng  # one for all

    def bind(self, params, grads):
        start = 0
        for layer in self.layers:
            stop = start + sum(prod(shape) for shape in layer.param_shapes().values())
            layer.bind(params[start:stop], grads[start:stop])
            start = stop

    def __getattr__(self, name):
        number, _, end = name.removeprefix("d").partition(".")
        if not (end and number.isdigit()):
            raise AttributeError(f"Residual has no {name}")
        return getattr(self.layers[int(number)], "d" * name.startswith("d") + end)

    @property
    def rng(self):
        for layer in self.layers:
            if hasattr(layer, "rng"):
                return layer.rng
        raise AttributeError("no layer inside draws numbers")

    @rng.setter
    def rng(self, generator):
        for layer in self.layers:
            if hasattr(layer, "rng"):
                layer.rng = generator

    @property
    def frozen(self):
        return self.layers[0].frozen

    @frozen.setter
    def frozen(self, value):
        for layer in self.layers:
            layer.frozen = value

    def check_batch(self, samples):
        for layer in self.layers:
            layer.check_batch(samples)

    @property
    def inside(self):
        return [[type(layer).__name__, *(getattr(layer, name) for name in layer.arguments)] for layer in self.layers]


class Sorted(Layer):
    """Each row in ascending order; a kink where two numbers are equal."""

    def forward(self, x, training=False):
        xp = array_module(x)
        order = xp.argsort(x, axis=1)
        y = xp.take_along_axis(x, order, axis=1)
        if training:
            self.remember(y, order)
        return y

    def backward(self, dy):
        xp, order = array_module(dy), self.recall(dy)
        return xp.take_along_axis(dy, xp.argsort(order, axis=1), axis=1)


class Sums(Layer):
    """y_k = x_1 + … + x_k."""

    def forward(self, x, training=False):
        y = x.cumsum(axis=1)
        if training:
            self.remember(y, None)
        return y

    def backward(self, dy):
        self.recall(dy)
        return dy[:, ::-1].cumsum(axis=1)[:, ::-1]


class Sparsemax(Layer):
    """The probabilities nearest to x; most are 0. Martins and Astudillo 2016, algorithm 1."""

    def forward(self, x, training=False):
        xp = array_module(x)
        z = xp.sort(x, axis=1)[:, ::-1]
        supported = 1 + xp.arange(1, x.shape[1] + 1) * z > z.cumsum(axis=1)
        threshold = ((z * supported).sum(axis=1, keepdims=True) - 1) / convert(supported.sum(axis=1)[:, None], like=x)
        y = xp.where(x > threshold, x - threshold, 0 * x)
        if training:
            self.remember(y, convert(y > 0, like=x))
        return y

    def backward(self, dy):
        on = self.recall(dy)
        return on * (dy - (on * dy).sum(axis=1, keepdims=True) / on.sum(axis=1, keepdims=True))


class BothSides(Layer):
    """y = (max(x, 0), max(−x, 0)), called CReLU: a fixed number of features, and no parameters."""

    arguments = ("in_features",)

    def __init__(self, features):
        self.in_features, self.out_features = features, 2 * features

    def forward(self, x, training=False):
        self.check_input(x)
        y = array_module(x).concatenate([x * (x > 0), -x * (x < 0)], axis=1)
        if training:
            self.remember(y, x)
        return y

    def backward(self, dy):
        x = self.recall(dy)
        return dy[:, : self.in_features] * (x > 0) - dy[:, self.in_features :] * (x < 0)


class SwiGLU(Layer):
    """y = swish(x W) · x V. Shazeer 2020, equation 6."""

    arguments = ("in_features", "out_features")

    def __init__(self, in_features, out_features):
        self.in_features, self.out_features = in_features, out_features

    def param_shapes(self):
        return dict.fromkeys("WV", (self.in_features, self.out_features))

    def init_params(self, rng):
        self.W[...], self.V[...] = rng.normal(size=(2, *self.W.shape))

    def forward(self, x, training=False):
        self.check_input(x)
        a, b = x @ self.W, x @ self.V
        gate = sigmoid(a, array_module(x))
        y = a * gate * b
        if training:
            self.remember(y, (x, a, b, gate))
        return y

    def backward(self, dy):
        x, a, b, gate = self.recall(dy)
        da, db = dy * b * gate * (1 + a * (1 - gate)), dy * a * gate
        self.dW[...], self.dV[...] = x.T @ da, x.T @ db
        return da @ self.W.T + db @ self.V.T


class RadialBasis(Layer):
    """y_k = exp(−g_k² |x − c_k|²)."""

    arguments = ("in_features", "out_features")

    def __init__(self, in_features, out_features):
        self.in_features, self.out_features = in_features, out_features

    def param_shapes(self):
        return {"c": (self.in_features, self.out_features), "g": (self.out_features,)}

    def init_params(self, rng):
        self.c[...] = rng.normal(size=self.c.shape)
        self.g[...] = 1

    def forward(self, x, training=False):
        self.check_input(x)
        apart = x[:, :, None] - self.c
        squares = (apart * apart).sum(axis=1)
        y = array_module(x).exp(-self.g * self.g * squares)
        if training:
            self.remember(y, (apart, squares, y))
        return y

    def backward(self, dy):
        apart, squares, y = self.recall(dy)
        self.dg[...] = (-2 * self.g * squares * dy * y).sum(axis=0)
        dapart = -2 * self.g * self.g * (dy * y)[:, None, :] * apart
        self.dc[...] = -dapart.sum(axis=0)
        return dapart.sum(axis=2)


ENGINE = {
    "Dense": lambda: Dense(4, 3),
    "Dense, one by one": lambda: Dense(1, 1),
    "Dense, wide": lambda: Dense(17, 9),
    "ReLU": ReLU,
    "LogSoftmax": LogSoftmax,
    "BatchNorm": lambda: BatchNorm(3),
    "BatchNorm, ghosts": lambda: BatchNorm(3, ghost_size=7),
    "BatchNorm, one feature": lambda: BatchNorm(1, decay=0.0),
    "Dropout": lambda: Dropout(0.4),
}

OWN = {
    "Tanh": Tanh,
    "LeakyReLU": LeakyReLU,
    "LeakyReLU, 0.3": lambda: LeakyReLU(0.3),
    "Sigmoid": Sigmoid,
    "Softplus": Softplus,
    "GELU": GELU,
    "ELU": ELU,
    "HardTanh": HardTanh,
    "Square": Square,
    "Exponential": Exponential,
    "Cosine": Cosine,
    "Mish": Mish,
    "Softmax": Softmax,
    "Centre": Centre,
    "BelowTheLargest": BelowTheLargest,
    "Gain": lambda: Gain(4),
    "Scale": Scale,
    "Mixture": lambda: Mixture(3, 2, 4),
    "PReLU": lambda: PReLU(3),
    "Swish": lambda: Swish(3),
    "LayerNorm": lambda: LayerNorm(4),
    "LayerNorm, small eps": lambda: LayerNorm(5, 1e-12),
    "LayerNorm, one feature": lambda: LayerNorm(1),
    "RMSNorm": lambda: RMSNorm(4),
    "Maxout": lambda: Maxout(4, 2, 3),
    "MaxOfPairs": lambda: MaxOfPairs(6),
    "Bilinear": lambda: Bilinear(4, 3),
    "TiedWeights": lambda: TiedWeights(4, 3),
    "LowRank": lambda: LowRank(5, 2, 4),
    "WeightNorm": lambda: WeightNorm(4, 3),
    "Gated": lambda: Gated(6),
    "Noise": Noise,
    "DropWeights": lambda: DropWeights(4, 3),
    "Whiten": lambda: Whiten(3),
    "RandomFeatures": lambda: RandomFeatures(3, 4),
    "Reversed": Reversed,
    "Sorted": Sorted,
    "Sums": Sums,
    "Sparsemax": Sparsemax,
    "BothSides": lambda: BothSides(3),
    "SwiGLU": lambda: SwiGLU(4, 3),
    "RadialBasis": lambda: RadialBasis(3, 2),
    "Pairs": Pairs,
    "Residual": lambda: Residual(Dense(4, 5), Tanh(), Dense(5, 4)),
    "Residual, normalised": lambda: Residual(BatchNorm(3), ReLU(), Dropout(0.3), Dense(3, 3), Dropout(0.3)),
    "Residual in Residual": lambda: Residual(Dense(3, 3), Residual(BatchNorm(3), Dropout(0.2))),
}


def positive(rng, shape):
    return rng.uniform(0.01, 20.0, shape)


NOT_ZERO = tuple(draw for draw in EVERYWHERE if draw is not with_zeros)

SPECIAL = {
    "Logarithm": (Logarithm, {"inputs": positive}),
    "Reciprocal": (Reciprocal, {"inputs": NOT_ZERO}),
    "UnitLength": (UnitLength, {"inputs": NOT_ZERO}),
    "Softsign": (Softsign, {"method": "differences"}),
    "SoftplusByLogaddexp": (SoftplusByLogaddexp, {"method": "differences"}),
}
"""Right layers that are not defined everywhere, or not analytic; and how to say so."""

RIGHT = {name: (make, {}) for name, make in (ENGINE | OWN).items()} | SPECIAL


class Smoothed(NLLLoss):
    """Some probability for the wrong classes, too."""

    def __init__(self, smoothing=0.1):
        self.smoothing = smoothing

    def forward(self, log_p, labels):
        nll = super().forward(log_p, labels)
        return (1 - self.smoothing) * nll - self.smoothing * log_p.mean()

    def backward(self):
        dlog_p = (1 - self.smoothing) * super().backward()
        return dlog_p - self.smoothing / dlog_p.size


class Remembering:
    """A loss that keeps what backward needs, and gives it out once."""

    _memory = None

    def keep(self, *memory):
        self._memory = memory

    def take(self):
        if self._memory is None:
            raise RuntimeError("backward: call forward first, once for each backward")
        memory, self._memory = self._memory, None
        return memory


class Brier(Remembering):
    """The squared distance of the probabilities from the labels."""

    def forward(self, log_p, labels):
        xp = array_module(log_p)
        p = xp.exp(log_p)
        miss = p.copy()
        miss[xp.arange(len(labels)), labels] -= 1
        self.keep(p, miss)
        return (miss * miss).sum() / len(labels)

    def backward(self):
        p, miss = self.take()
        return 2 * miss * p / len(p)


class Focal(Remembering):
    """−(1 − p)² log p of the right class: little for what is right already."""

    def forward(self, log_p, labels):
        xp = array_module(log_p)
        rows = xp.arange(len(labels))
        log_right = log_p[rows, labels]
        self.keep(log_p, rows, labels, log_right)
        miss = -xp.expm1(log_right)
        return -(miss * miss * log_right).mean()

    def backward(self):
        log_p, rows, labels, log_right = self.take()
        xp = array_module(log_p)
        miss, p = -xp.expm1(log_right), xp.exp(log_right)
        dlog_p = xp.zeros_like(log_p)
        dlog_p[rows, labels] = (2 * miss * p * log_right - miss * miss) / len(labels)
        return dlog_p


class Weighted(Remembering):
    """Each sample counts by the weight of its class; divided by the sum of the weights."""

    def forward(self, log_p, labels):
        xp = array_module(log_p)
        rows = xp.arange(len(labels))
        w = convert(1 + labels % 3, like=log_p)
        self.keep(log_p, rows, labels, w / w.sum())
        return -(w * log_p[rows, labels]).sum() / w.sum()

    def backward(self):
        log_p, rows, labels, w = self.take()
        dlog_p = array_module(log_p).zeros_like(log_p)
        dlog_p[rows, labels] = -w
        return dlog_p


class CrossEntropy(Remembering):
    """Of scores, which need no LogSoftmax."""

    def forward(self, x, labels):
        xp = array_module(x)
        z = x - x.max(axis=1, keepdims=True)
        log_p = z - xp.log(xp.exp(z).sum(axis=1, keepdims=True))
        self.keep(log_p, labels)
        return -log_p[xp.arange(len(labels)), labels].mean()

    def backward(self):
        log_p, labels = self.take()
        xp = array_module(log_p)
        dx = xp.exp(log_p)
        dx[xp.arange(len(labels)), labels] -= 1
        return dx / len(dx)


class Huber(Remembering):
    """The square of a small error, and the size of a large one."""

    def forward(self, x, t):
        error = x - t
        size = abs(error)
        self.keep(error)
        return array_module(x).where(size < 0.5, error * error / 2, 0.5 * (size - 0.25)).mean()

    def backward(self):
        (error,) = self.take()
        return array_module(error).clip(error, -0.5, 0.5) / error.size


class Squares(Remembering):
    """For targets that are numbers, not classes."""

    def forward(self, x, t):
        self.keep(x - t)
        return ((x - t) ** 2).sum() / len(t)

    def backward(self):
        (error,) = self.take()
        return 2 * error / len(error)


def numbers(rng, shape):
    return rng.normal(size=shape)


RIGHT_LOSSES = {
    "NLLLoss": (NLLLoss, {}),
    "Smoothed": (Smoothed, {}),
    "Smoothed, 0.3": (lambda: Smoothed(0.3), {}),
    "Brier": (Brier, {}),
    "Focal": (Focal, {}),
    "Weighted": (Weighted, {}),
    "CrossEntropy": (CrossEntropy, {"inputs": EVERYWHERE}),
    "Huber": (Huber, {"inputs": EVERYWHERE, "labels": numbers, "method": "differences"}),
    "Squares": (Squares, {"inputs": numbers, "labels": numbers}),
}
