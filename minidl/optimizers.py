"""How the parameters move: each optimiser is a formula that turns gradients into a step.

The simplest is gradient descent. With w the parameters, g the gradient of the loss with respect to them, and η the
learning rate,

    w ← w − η g

All others are variations on this line. In their formulas t is the number of the step, from 1, and all products, squares
and roots are taken element by element. An optimiser sees two arrays and no network, so the same object that trains a
model also rolls down a drawn valley:

    optimizer.step(position, gradient(position))

Each formula below is a plain function of numbers: what w and the state become. A line such as ``w -= lr * g`` makes a
new number from a number, and works in place on an array, so the same lines move a whole vector at once.

To write an optimiser of your own, make a dataclass like those below, with its arguments, the names of its state
vectors, and `Optimizer.update`. This one steps by η / √t against the sign of the gradient:

    class Sign(SGD):
        def update(self, w, g, lr):
            w -= lr / sqrt(self.t) * array_module(g).sign(g)

`update` is called once for each block of the vector, so it must work element by element. It may only read g.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from minidl.backend import Array, sqrt
from minidl.checks import below_one, flag, not_negative, one_of, positive
from minidl.parameters.blocks import Group, blocks
from minidl.parameters.optimizer_state import OptimizerState
from minidl.regularization.weight_decay import with_decay


def argument(default: Any, check: Callable[[str, Any], Any], **options: Any) -> Any:
    """Declare an argument of an optimiser: its default, and the check that every value set for it must pass."""
    return field(default=default, metadata={"check": check}, **options)


@dataclass(eq=False, repr=False)
class Optimizer(OptimizerState):
    """What all optimisers share: a learning rate, a count of steps, and the vectors that they remember between steps.

    Args:
        lr: η, the learning rate, above 0. It may be changed between steps, also to 0.
        weight_decay: λ, at least 0, how strongly weights are pulled towards zero; see
            `minidl.regularization.weight_decay` for this and the next two.
        decoupled: shrink the weights directly, instead of changing the gradient.
        decay_biases: decay biases too, and the scale and shift of batch normalisation.

    Attributes:
        t: the number of steps made.
        state: the vectors that the formula carries from step to step, by name; made of zeros at the first step.

    Raises:
        TypeError, ValueError: an argument is not a number, or is out of range.
    """

    update: ClassVar[Callable[..., None]]
    """``update(w, g, lr, *state)`` changes w and the state vectors in place; gradient and learning rate are given."""
    state_names: ClassVar[tuple[str, ...]] = ()
    """What the formula calls its state vectors, in the order in which `update` receives them: by position."""

    lr: float = field(metadata={"check": positive})
    weight_decay: float = argument(0.0, not_negative, kw_only=True)
    decoupled: bool = argument(False, flag, kw_only=True)
    decay_biases: bool = argument(True, flag, kw_only=True)
    t: int = field(default=0, init=False, repr=False)
    state: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def step(self, params: Array, grads: Array, groups: list[Group] | None = None) -> None:
        """Change ``params`` in place by one step, block by block (`minidl.parameters.blocks` says why).

        Args:
            params: the parameters, (n,).
            grads: the gradient of the loss with respect to them, same shape, dtype and backend; it is only read.
            groups: the stretches to change, each with its own learning rate, as in ``model.groups``; None for all.

        Raises:
            ValueError: shapes or dtypes differ from each other or from those of earlier steps, or are not vectors; the
                state is that of another model; or a number, such as lr, is too large or small for the dtype.
        """
        self.prepare(params, grads)
        self.t += 1
        alike = self.decay_biases or not self.weight_decay
        fused = self.fused and self._fused and not self.weight_decay  # a decay makes arrays of its own
        for block, group in blocks(params, groups, fused, alike):
            w, lr = params[block], self.lr * group.lr_scale
            decay = 0.0 if group.biases and not self.decay_biases else self.weight_decay
            g = with_decay(w, grads[block], lr, decay, self.decoupled)
            self.update(w, g, lr, *(vector[block] for vector in self.state.values()))


@dataclass(eq=False, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent: a step against the gradient.

        w ← w − η g

    *Stochastic* because g is the gradient of one batch, an estimate of that of the whole training set.

    Args:
        lr: η, the learning rate; the default is that of chapter 37.
        weight_decay, decoupled, decay_biases: see `Optimizer`.

    Source: Robbins and Monro 1951, "A stochastic approximation method"; Goodfellow, Bengio and Courville 2016, "Deep
    Learning", algorithm 8.1. PyTorch: ``torch.optim.SGD``.
    """

    lr: float = argument(0.01, positive)

    @staticmethod
    def formula(w: Array, g: Array, lr: float) -> tuple[Array]:
        """``SGD.formula(1.0, 2.0, lr=0.1) == (0.8,)``."""
        w -= lr * g
        return (w,)

    def update(self, w: Array, g: Array, lr: float) -> None:
        """Carry out the formula."""
        self.apply(self.formula, (w, g), (lr,))


@dataclass(eq=False, repr=False)
class Momentum(Optimizer):
    """Gradient descent with a velocity: steps in a steady direction add up, and steps back and forth cancel.

        classical:   v ← γ v + η g        w ← w − v
        pytorch:     v ← γ v + g          w ← w − η v

    While η stays the same, both make the same steps. When η changes, the classical velocity keeps the learning rates
    under which it was gathered, and the other is rescaled at once.

    Args:
        lr: η, the learning rate.
        gamma: γ, the part of the velocity that is kept, from 0 up to but not including 1.
        form: ``"classical"``, as in Sutskever et al., Keras, Caffe and the source text; or ``"pytorch"``.
        weight_decay, decoupled, decay_biases: see `Optimizer`.

    Source: Polyak 1964, "Some methods of speeding up the convergence of iteration methods", where γ times the last step
    takes the place of v; Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning",
    equations 1 and 2, where v has the other sign.
    """

    state_names = ("v",)

    lr: float = argument(0.01, positive)
    gamma: float = argument(0.9, below_one)
    form: str = argument("classical", one_of("classical", "pytorch"))

    @staticmethod
    def formula(w: Array, g: Array, v: Array, gamma: float, lr: float) -> tuple[Array, Array]:
        """``Momentum.formula(1.0, 2.0, v=1.0, gamma=0.5, lr=0.25) == (0.0, 1.0)``."""
        v *= gamma
        v += lr * g
        w -= v
        return w, v

    @staticmethod
    def pytorch(w: Array, g: Array, v: Array, gamma: float, lr: float) -> tuple[Array, Array]:
        """``Momentum.pytorch(1.0, 2.0, v=1.0, gamma=0.5, lr=0.25) == (0.375, 2.5)``."""
        v *= gamma
        v += g
        w -= lr * v
        return w, v

    def update(self, w: Array, g: Array, lr: float, v: Array) -> None:
        """Carry out the formula of the chosen form."""
        self.apply(self.formula if self.form == "classical" else self.pytorch, (w, g, v), (self.gamma, lr))


@dataclass(eq=False, repr=False)
class Nesterov(Optimizer):
    """Momentum that looks ahead: the gradient is taken where the velocity is about to lead.

        v ← γ v + η ∇L(θ − γ v)        θ ← θ − v

    An optimiser is only told the gradient at the parameters. So the parameters w are the point ahead, w = θ − γ v, and
    putting this into the formula gives, for each step,

        v ← γ v + η g        w ← w − (γ v + η g)

    Args:
        lr: η, the learning rate.
        gamma: γ, the part of the velocity that is kept, from 0 up to but not including 1.
        weight_decay, decoupled, decay_biases: see `Optimizer`.

    Source: Nesterov 1983; Sutskever et al. 2013, equations 3 and 4; Bengio et al. 2013, "Advances in optimizing
    recurrent networks", equation 7, for the change of variable. PyTorch: ``SGD(nesterov=True)``, with η outside v.
    """

    state_names = ("v",)

    lr: float = argument(0.01, positive)
    gamma: float = argument(0.9, below_one)

    @staticmethod
    def formula(w: Array, g: Array, v: Array, gamma: float, lr: float) -> tuple[Array, Array]:
        """``Nesterov.formula(1.0, 2.0, v=2.0, gamma=0.5, lr=0.25) == (-0.25, 1.5)``."""
        v *= gamma
        v += lr * g
        w -= gamma * v + lr * g
        return w, v

    def update(self, w: Array, g: Array, lr: float, v: Array) -> None:
        """Carry out the formula."""
        self.apply(self.formula, (w, g, v), (self.gamma, lr))


@dataclass(eq=False, repr=False)
class Adagrad(Optimizer):
    """A learning rate for each parameter: the larger its gradients have been, the smaller its steps become.

        s ← s + g²        w ← w − η g / (√s + ε)

    s only grows, so the steps of every parameter keep shrinking.

    Args:
        lr: η, the learning rate.
        eps: ε, above 0, keeps the first steps finite.
        weight_decay, decoupled, decay_biases: see `Optimizer`.

    Source: Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and stochastic
    optimization", figure 1 with the diagonal matrix; ε is its δ. PyTorch: ``torch.optim.Adagrad``, same defaults. Keras
    starts s at 0.1.
    """

    state_names = ("s",)

    lr: float = argument(0.01, positive)
    eps: float = argument(1e-10, positive)

    @staticmethod
    def formula(w: Array, g: Array, s: Array, lr: float, eps: float) -> tuple[Array, Array]:
        """``Adagrad.formula(1.0, 3.0, s=16.0, lr=0.5, eps=0.0) == (0.7, 25.0)``."""
        s += g * g
        w -= lr * g / (sqrt(s) + eps)
        return w, s

    def update(self, w: Array, g: Array, lr: float, s: Array) -> None:
        """Carry out the formula."""
        self.apply(self.formula, (w, g, s), (lr, self.eps))


@dataclass(eq=False, repr=False)
class RMSprop(Optimizer):
    """Adagrad that forgets: the gradient is divided by the root of its recent mean square.

        s ← ρ s + (1 − ρ) g²        w ← w − η g / (√s + ε)

    Args:
        lr: η, the learning rate.
        rho: ρ, the part of the mean square that is kept, from 0 up to but not including 1.
        eps: ε, above 0; the lecture has none.
        weight_decay, decoupled, decay_biases: see `Optimizer`.

    Source: Tieleman and Hinton 2012, "Neural networks for machine learning", lecture 6e, where ρ = 0.9. PyTorch's
    defaults are ρ = 0.99 and η = 0.01; TensorFlow adds ε under the root.
    """

    state_names = ("s",)

    lr: float = argument(0.001, positive)
    rho: float = argument(0.9, below_one)
    eps: float = argument(1e-8, positive)

    @staticmethod
    def formula(w: Array, g: Array, s: Array, rho: float, a: float, lr: float, eps: float) -> tuple[Array, Array]:
        """With a = 1 − ρ: ``RMSprop.formula(1.0, 3.0, s=23.0, rho=0.5, a=0.5, lr=0.5, eps=0.0) == (0.625, 16.0)``."""
        s *= rho
        s += a * g * g
        w -= lr * g / (sqrt(s) + eps)
        return w, s

    def update(self, w: Array, g: Array, lr: float, s: Array) -> None:
        """Carry out the formula."""
        self.apply(self.formula, (w, g, s), (self.rho, 1 - self.rho, lr, self.eps))


@dataclass(eq=False, repr=False)
class Adam(Optimizer):
    """Momentum and RMSprop together: the recent mean of the gradient over the root of its recent mean square.

        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        m̂ = m / (1 − β₁ᵗ)            v̂ = v / (1 − β₂ᵗ)
        w ← w − η m̂ / (√v̂ + ε)

    m and v start at zero and are too small at first. Divided by 1 − βᵗ they are means again, weighted towards the
    latest gradients. The very first step is η, whatever the size of the gradient, unless it is as small as ε. Later, a
    gradient after a long silence makes a step of η (1 − β₁) / √(1 − β₂), which is 3.2 η with the defaults.

    Args:
        lr: η, the learning rate (α in the paper).
        beta1: β₁, the part of the mean that is kept, from 0 up to but not including 1.
        beta2: β₂, the same for the mean square.
        eps: ε, above 0.
        weight_decay, decoupled, decay_biases: see `Optimizer`; a decoupled decay makes it AdamW, as PyTorch has it.

    Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1, with its defaults. PyTorch:
    ``torch.optim.Adam``; TensorFlow's ε is the paper's ε̂, which stands before the correction of v.
    """

    state_names = ("m", "v")

    lr: float = argument(0.001, positive)
    beta1: float = argument(0.9, below_one)
    beta2: float = argument(0.999, below_one)
    eps: float = argument(1e-8, positive)

    @staticmethod
    def formula(
        w: Array, g: Array, m: Array, v: Array, beta1: float, a1: float, beta2: float, a2: float, lr: float, eps: float
    ) -> tuple[Array, Array, Array]:
        """Compute m and v, with a = 1 − β, and w ← w − η m / (√v + ε).

        ``Adam.formula(1.0, 4.0, m=0.0, v=16.0, beta1=0.5, a1=0.5, beta2=0.5, a2=0.5, lr=0.5, eps=0.0)`` is
        ``(0.75, 2.0, 16.0)``.
        """
        m *= beta1
        m += a1 * g
        v *= beta2
        v += a2 * g * g
        w -= lr * m / (sqrt(v) + eps)
        return w, m, v

    def update(self, w: Array, g: Array, lr: float, m: Array, v: Array) -> None:
        """Carry out the formula. The corrections go into η and ε, as at the end of the paper's section 2."""
        c = sqrt(1 - self.beta2**self.t)  # √v̂ = √v / c
        lr = lr * c / (1 - self.beta1**self.t)
        scalars = (self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2, lr, c * self.eps)
        self.apply(self.formula, (w, g, m, v), scalars)
