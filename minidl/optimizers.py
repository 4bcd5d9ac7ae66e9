"""How the parameters move: each optimiser is a formula that turns gradients into a step.

In the formulas w are the parameters, g is the gradient of the loss with respect to them, η the learning rate and t the
number of the step, from 1. All products, squares and roots are taken element by element, so a formula treats every
parameter alone, and it does not matter in which portions the parameters come. On a CPU they come in blocks that stay in
the processor's cache: a formula in NumPy makes temporary arrays, and for 1.9 million parameters these would travel to
main memory and back. (Measured for Adam on the network of chapter 37: a step takes a third of the time.) A GPU takes
all at once.

An optimiser sees two arrays and no network. The same object that trains a model also rolls down a drawn valley:

    optimizer.step(position, gradient(position))
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from math import sqrt
from typing import Any, ClassVar, NamedTuple

from minidl.backend import Array, array_module, on_host
from minidl.checks import flag, fraction, not_negative, one_of, positive

BLOCK = 65536
"""Parameters in a block: 256 KiB of float32 for each array of a formula, which together fit in a level-2 cache."""


def argument(default: Any, check: Callable[[str, Any], Any]) -> Any:
    """Declare an argument of an optimiser: its default, and the check that returns it or raises an error."""
    return field(default=default, metadata={"check": check})


class Group(NamedTuple):
    """A stretch of the vector of parameters that is treated alike; what no group covers stays as it is, bit for bit."""

    part: slice
    """Where the stretch is: a slice with both ends."""
    lr_scale: float = 1.0
    """The learning rate of the stretch, as a multiple of the optimiser's."""
    biases: bool = False
    """Whether these are biases, or other parameters that multiply no input."""


@dataclass(eq=False)
class Optimizer:
    """What all optimisers share: the learning rate, weight decay, and the walk through the parameters.

    Weight decay pulls every weight towards zero, with strength λ. The classical way adds the gradient of the penalty
    ½ λ w² to that of the loss; the decoupled way shrinks the weights beside the formula:

        g ← g + λ w           classical (L2)
        w ← w − η λ w         decoupled

    For plain SGD the two are the same. With momentum they are not, since a velocity remembers the penalty's gradient,
    and with Adam still less: there it is divided by √v like all else.

    Args:
        lr: η, the learning rate, above 0. It may be changed between steps.
        weight_decay: λ, at least 0.
        decoupled: decay in the decoupled way.
        decay_biases: decay biases too, and the scale and shift of batch normalisation. A large bias does not make a
            network more sensitive to its input, and so there is a case for leaving them out.

    Attributes:
        t: the number of steps made.
        state: the vectors that the formula carries from step to step, by name; made of zeros at the first step.

    Raises:
        TypeError, ValueError: an argument is no number, or out of its range.

    Source: Krogh and Hertz 1991, "A simple weight decay can improve generalization", equation 1, for L2; Loshchilov and
    Hutter 2019, "Decoupled weight decay regularization", for the other; as in PyTorch's ``AdamW`` it is scaled by the
    learning rate, while the paper scales it by the schedule alone. PyTorch's other optimisers decay classically.
    """

    update: ClassVar[Callable[..., None]]
    """The formula: ``update(w, g, lr, *state)`` changes w and the state vectors in place, given gradient and rate."""
    state_names: ClassVar[tuple[str, ...]] = ()
    """What the formula calls its state vectors, in the order in which `update` receives them."""

    lr: float = field(metadata={"check": positive})
    weight_decay: float = field(default=0.0, kw_only=True, metadata={"check": not_negative})
    decoupled: bool = field(default=False, kw_only=True, metadata={"check": flag})
    decay_biases: bool = field(default=True, kw_only=True, metadata={"check": flag})
    t: int = field(default=0, init=False)
    state: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the arguments, each against the range that stands beside its default."""
        for argument in fields(self):
            if "check" in argument.metadata:
                value = argument.metadata["check"](argument.name, getattr(self, argument.name))
                setattr(self, argument.name, value)

    def step(self, params: Array, grads: Array, groups: list[Group] | None = None) -> None:
        """Change ``params`` in place by one step.

        Args:
            params: the parameters, (n,).
            grads: the gradient of the loss with respect to them, same shape, dtype and backend; it is only read.
            groups: which stretches to change, each with its own rate, as in ``model.groups``; None for everything.

        Raises:
            ValueError: shapes or dtypes differ from each other or from those of earlier steps, or are not vectors.
        """
        self.prepare(params, grads)
        self.t += 1
        for part, lr_scale, biases in [Group(slice(0, len(params)))] if groups is None else groups:
            lr = self.lr * lr_scale
            decay = 0.0 if biases and not self.decay_biases else self.weight_decay
            size = BLOCK if on_host(params) else len(params)
            for start in range(part.start, part.stop, size):
                block = slice(start, min(start + size, part.stop))
                w, g = params[block], grads[block]
                if decay and self.decoupled:
                    w -= lr * decay * w
                elif decay:
                    g = g + decay * w
                self.update(w, g, lr, *(vector[block] for vector in self.state.values()))

    def prepare(self, params: Array, grads: Array) -> None:
        """Refuse arrays that do not fit, as `step` does; before the first step, make the state."""
        if params.ndim != 1 or params.shape != grads.shape or params.dtype != grads.dtype:
            raise ValueError(
                "params, grads: expected two vectors of equal length and dtype, "
                f"got {params.shape} {params.dtype} and {grads.shape} {grads.dtype}"
            )
        if not self.state:
            self.state = {name: array_module(params).zeros_like(params) for name in self.state_names}
        for vector in self.state.values():
            if vector.shape != params.shape or vector.dtype != params.dtype:
                raise ValueError(
                    f"params: {type(self).__name__} has made steps on {vector.shape} {vector.dtype}, "
                    f"got {params.shape} {params.dtype}; use a new optimiser for another model"
                )


@dataclass(eq=False)
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

    def update(self, w: Array, g: Array, lr: float) -> None:
        """Compute w ← w − η g."""
        w -= lr * g


@dataclass(eq=False)
class Momentum(Optimizer):
    """Gradient descent with a velocity: steps in a steady direction add up, and steps back and forth cancel.

        classical:   v ← γ v + η g        w ← w − v
        pytorch:     v ← γ v + g          w ← w − η v

    While η stays the same, so do the steps of both. When it changes, the classical velocity keeps the rates under which
    it was gathered, and the other is rescaled at once. With g = 1, γ = 0.9 and η = 0.1, then 0.01, from w = 0: after
    two steps w is −0.200 by the first form and −0.119 by the second.

    Args:
        lr: η, the learning rate.
        gamma: γ, the part of the velocity that is kept, from 0 up to but not including 1.
        form: ``"classical"``, the form of the source text, of the paper, of Keras and of Caffe; or ``"pytorch"``.
        weight_decay, decoupled, decay_biases: see `Optimizer`.

    Source: Polyak 1964, "Some methods of speeding up the convergence of iteration methods"; Sutskever et al. 2013, "On
    the importance of initialization and momentum in deep learning", equations 1 and 2, where v has the other sign.
    """

    state_names = ("v",)

    lr: float = argument(0.01, positive)
    gamma: float = argument(0.9, fraction)
    form: str = argument("classical", one_of("classical", "pytorch"))

    def update(self, w: Array, g: Array, lr: float, v: Array) -> None:
        """Compute v, then w, by the chosen form."""
        v *= self.gamma
        if self.form == "classical":
            v += lr * g
            w -= v
        else:
            v += g
            w -= lr * v


@dataclass(eq=False)
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
    gamma: float = argument(0.9, fraction)

    def update(self, w: Array, g: Array, lr: float, v: Array) -> None:
        """Compute v ← γ v + η g and w ← w − (γ v + η g)."""
        v *= self.gamma
        v += lr * g
        w -= self.gamma * v + lr * g


@dataclass(eq=False)
class Adagrad(Optimizer):
    """A rate for each parameter: the more its gradients have been, the smaller its steps become.

        s ← s + g²        w ← w − η g / (√s + ε)

    s only grows, so the steps of every parameter shrink for ever.

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

    def update(self, w: Array, g: Array, lr: float, s: Array) -> None:
        """Compute s ← s + g² and w ← w − η g / (√s + ε)."""
        s += g * g
        w -= lr * g / (array_module(s).sqrt(s) + self.eps)


@dataclass(eq=False)
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
    rho: float = argument(0.9, fraction)
    eps: float = argument(1e-8, positive)

    def update(self, w: Array, g: Array, lr: float, s: Array) -> None:
        """Compute s ← ρ s + (1 − ρ) g² and w ← w − η g / (√s + ε)."""
        s *= self.rho
        s += (1 - self.rho) * g * g
        w -= lr * g / (array_module(s).sqrt(s) + self.eps)


@dataclass(eq=False)
class Adam(Optimizer):
    """Momentum and RMSprop together: the recent mean of the gradient over the root of its recent mean square.

        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        m̂ = m / (1 − β₁ᵗ)            v̂ = v / (1 − β₂ᵗ)
        w ← w − η m̂ / (√v̂ + ε)

    m and v start at zero and are too small at first. Divided by 1 − βᵗ they are means again, weighted towards the
    latest gradients; the very first step is η, whatever the size of the gradient, unless it is as small as ε.

    The correction counts the steps of the optimiser. A layer that is unfrozen later has its means at zero, uncorrected,
    and its first steps are several η long; give it a new optimiser, as the recipe of the sources does at each stage.

    Args:
        lr: η, the learning rate (α in the paper).
        beta1: β₁, the part of the mean that is kept, from 0 up to but not including 1.
        beta2: β₂, the same for the mean square.
        eps: ε, above 0.
        weight_decay, decoupled, decay_biases: see `Optimizer`; a decoupled decay makes it AdamW.

    Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1, with its defaults. PyTorch:
    ``torch.optim.Adam``; TensorFlow's ε is the paper's ε̂, which stands before the correction of v.
    """

    state_names = ("m", "v")

    lr: float = argument(0.001, positive)
    beta1: float = argument(0.9, fraction)
    beta2: float = argument(0.999, fraction)
    eps: float = argument(1e-8, positive)

    def update(self, w: Array, g: Array, lr: float, m: Array, v: Array) -> None:
        """Compute m and v, and move w by −η m̂ / (√v̂ + ε)."""
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        # √v̂ = √v / c. Both corrections become plain numbers, as at the end of the paper's section 2, which spares two
        # divisions of whole vectors, a tenth of the time.
        c = sqrt(1 - self.beta2**self.t)
        w -= lr * c / (1 - self.beta1**self.t) * m / (array_module(v).sqrt(v) + c * self.eps)
