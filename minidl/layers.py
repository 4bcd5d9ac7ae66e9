"""The layers of a network: each computes y from x, and carries the gradient of the loss from y back to x.

A network is a chain of functions, so the derivative of its loss is a chain of products, and a layer only needs to know
its own link. Given ``dy = ∂L/∂y``, the gradient of the loss with respect to its output, it computes

    dx = ∂L/∂x      which the layer before it receives as its dy
    dW = ∂L/∂W      and db likewise: the gradients that the optimiser needs

Throughout, ``dz`` means ∂L/∂z and has the shape of z. Activations have one row per sample: their shape is
(B, features), where B is the batch size.

Four rules apply to every layer, and the tests check them:

- ``forward(x, training=True)`` remembers what ``backward`` will need; ``forward(x)`` alone remembers nothing.
- ``backward`` uses up this memory: a second call, or a call without a forward pass, is an error.
- Gradients are overwritten, not added up, so they need not be set to zero between two steps.
- A layer never changes an array that it is given.
"""

from typing import Any

from minidl.backend import Array, Generator, array_module
from minidl.checks import function, positive_int
from minidl.initializers import Initializer, he_normal
from minidl.parameters.views import Views


class Layer(Views):
    """What all layers share: two passes, and the memory between them.

    To write a layer of your own, define `forward` and `backward`. If it has parameters, define two more methods:
    ``param_shapes`` returns the name and shape of each, and ``init_params(rng)`` fills them. For a parameter ``W``, the
    model provides ``self.W`` and ``self.dW``; read the first and write the second in place (`minidl.parameters.views`
    explains how). If the layer takes or returns a fixed number of features, set ``in_features`` and ``out_features``.
    """

    _memory: tuple[tuple[int, ...], Any, Any] | None = None

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y from x: (B, in_features) -> (B, out_features)."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, dy: Array) -> Array:
        """Compute dx from dy, and write the gradients of the parameters: (B, out_features) -> (B, in_features)."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def backward_params(self, dy: Array) -> None:
        """Write the gradients of the parameters only. The first layer needs no more: there is no layer before it."""
        self.backward(dy)

    def remember(self, y: Array, memory: Any) -> None:
        """Keep ``memory`` for the backward pass, and the shape and dtype of y to check dy against."""
        vars(self)["_memory"] = (y.shape, y.dtype, memory)  # an assignment, without the look of `Views` at it

    def recall(self, dy: Array) -> Any:
        """Return what the forward pass remembered, and forget it.

        Raises:
            RuntimeError: there was no ``forward(x, training=True)`` since the last backward pass.
            ValueError, TypeError: ``dy`` does not have the shape or the dtype of y.
        """
        name = type(self).__name__
        if self._memory is None:
            raise RuntimeError(f"{name}.backward: call forward(x, training=True) first, once for each backward")
        shape, dtype, memory = self._memory
        if dy.shape != shape:
            raise ValueError(f"{name}.backward: dy has the wrong shape: expected that of y, {shape}, got {dy.shape}")
        if dy.dtype != dtype:
            raise TypeError(f"{name}.backward: expected dy to be {dtype}, as y is, got {dy.dtype}")
        vars(self)["_memory"] = None
        return memory


class Dense(Layer):
    """A fully connected layer: every output is a weighted sum of all inputs, plus a bias.

    y = x W + b, so by the chain rule, with the sum over the samples of the batch:

        dW = xᵀ dy      db = Σ dy      dx = dy Wᵀ

    Each follows from y_bh = Σ_d x_bd W_dh + b_h, by asking in which entries of y a variable appears, and with which
    factor. W_dh appears in column h, once in each row b, with the factor x_bd: dW_dh = Σ_b x_bd dy_bh. b_h appears in
    the same entries with the factor 1: db_h = Σ_b dy_bh. And x_bd appears in row b, in each column h, with the factor
    W_dh: dx_bd = Σ_h dy_bh W_dh. These sums are the matrix products above.

    Args:
        in_features: D, the number of inputs, at least 1.
        out_features: H, the number of outputs, at least 1.
        init: the rule that draws W; b starts at zero.

    Parameters: ``W`` (D, H) and ``b`` (H,), with gradients ``dW`` and ``db``. PyTorch's ``nn.Linear`` stores Wᵀ.

    Source: Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating errors", equations 1
    and 4 to 7.
    """

    in_features: int
    out_features: int
    W: Array
    b: Array
    dW: Array
    db: Array
    arguments = ("in_features", "out_features")  # what `repr` and files show of the layer

    def __init__(self, in_features: int, out_features: int, init: Initializer = he_normal):
        self.in_features = positive_int("in_features", in_features)
        self.out_features = positive_int("out_features", out_features)
        self.init = function("init", init, "minidl.he_normal; an activation is a layer of its own: minidl.ReLU()")

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of W and b."""
        return {"W": (self.in_features, self.out_features), "b": (self.out_features,)}

    def init_params(self, rng: Generator) -> None:
        """Draw W by the rule ``init``; leave b at zero."""
        W = self.init(rng, self.W.shape)
        if W.shape != self.W.shape:
            raise ValueError(f"init: expected weights of shape {self.W.shape}, got {W.shape}")
        self.W[...] = W

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y = x W + b."""
        self.check_input(x)
        y: Array = x @ self.W  # (B, D) @ (D, H) -> (B, H)
        y += self.b  # (H,), added to every row
        if training:
            self.remember(y, x)
        return y

    def backward(self, dy: Array) -> Array:
        """Compute dx = dy Wᵀ, and write dW and db."""
        self.backward_params(dy)
        dx: Array = dy @ self.W.T  # (B, H) @ (H, D) -> (B, D)
        return dx

    def backward_params(self, dy: Array) -> None:
        """Write dW = xᵀ dy and db = Σ dy, straight into the model's vector of gradients.

        For a single sample, dW_dh = x_d dy_h has no sum in it, and plain multiplication gives the same numbers. NumPy's
        matmul takes a slow path there: 3.4 ms for the two large layers of chapter 37, against 0.4 ms.
        """
        x = self.recall(dy)
        xp = array_module(x)
        if len(x) == 1:
            xp.multiply(x.T, dy, out=self.dW)  # (D, 1) · (1, H) -> (D, H)
        else:
            xp.matmul(x.T, dy, out=self.dW)  # (D, B) @ (B, H) -> (D, H)
        dy.sum(axis=0, out=self.db)  # (B, H) -> (H,)


class ReLU(Layer):
    """The rectifier: negative values become zero.

    y = max(x, 0), so y changes with x where x > 0, one for one, and nowhere else:

        dx = dy · [x > 0]

    At x = 0, where there is a kink, the derivative is taken to be 0, as PyTorch and JAX do.

    Source: Glorot, Bordes and Bengio 2011, "Deep sparse rectifier neural networks", section 3.
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y = max(x, 0)."""
        xp = array_module(x)
        # With a row of zeros, NumPy's maximum takes half as long as with the number 0.
        y: Array = xp.maximum(x, xp.zeros_like(x[:1]))
        if training:
            self.remember(y, y)  # y > 0 exactly where x > 0, and a Dense layer after this one keeps y anyway
        return y

    def backward(self, dy: Array) -> Array:
        """Compute dx = dy · [x > 0]."""
        y = self.recall(dy)
        dx: Array = dy * (y > 0)
        return dx


class LogSoftmax(Layer):
    """The logarithms of probabilities that add up to 1 in each row, from arbitrary scores x, the *logits*.

    p_k = exp(x_k) / Σ_j exp(x_j) is the softmax, and y = log p:

        y_k = x_k − log Σ_j exp(x_j)

    The exponentials overflow for large x, and for very negative x all of them vanish, so that the logarithm is −∞. But
    subtracting the same number from the whole row changes nothing in the quotient. With the row's own maximum
    subtracted, the largest exponential is exactly 1, and the sum is from 1 to K.

    Backward: ∂y_k/∂x_i = [k = i] − p_i, and summing dy_k times that over k gives

        dx_i = dy_i − p_i Σ_k dy_k

    Source: Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs"; Goodfellow,
    Bengio and Courville 2016, "Deep Learning", section 4.1, for the maximum. PyTorch: ``nn.LogSoftmax(dim=1)``.
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y = x − log Σ exp(x), row by row."""
        xp = array_module(x)
        x = x - x.max(axis=1, keepdims=True)  # (B, K) − (B, 1)
        y: Array = x - xp.log(xp.exp(x).sum(axis=1, keepdims=True))
        if training:
            self.remember(y, y)
        return y

    def backward(self, dy: Array) -> Array:
        """Compute dx = dy − p Σ dy, row by row."""
        y = self.recall(dy)
        p = array_module(y).exp(y)  # (B, K)
        dx: Array = dy - p * dy.sum(axis=1, keepdims=True)
        return dx
