"""Weight decay pulls every weight towards zero with strength λ, so that weights stay small unless the loss needs them.

The classical way adds the gradient of the penalty ½ λ w² to that of the loss. The decoupled way shrinks the weights
directly:

    g ← g + λ w           classical (L2)
    w ← w − η λ w         decoupled

For plain SGD the two are the same. With momentum they differ, because a velocity remembers the penalty's gradient. With
Adam they differ more, because the penalty's gradient is divided by √v like the rest.

A large bias does not make a network more sensitive to its input, so there is a case for leaving biases out, and with
them the scale and shift of batch normalisation: ``decay_biases=False``.

Source: Krogh and Hertz 1991, "A simple weight decay can improve generalization", equation 1, for L2; Loshchilov and
Hutter 2019, "Decoupled weight decay regularization", for the other. The decoupled decay is scaled by the learning rate,
as in PyTorch's ``AdamW``; the paper scales it by the schedule alone. PyTorch's other optimisers decay classically.
"""

from minidl.backend import Array


def with_decay(w: Array, g: Array, lr: float, decay: float, decoupled: bool) -> Array:
    """Return the gradient to give to the formula of an optimiser; the decoupled way changes ``w`` in place.

    Args:
        w: parameters, (n,).
        g: the gradient of the loss, (n,); it is only read.
        lr: η, used by the decoupled way.
        decay: λ; with 0 nothing happens.
        decoupled: choose the decoupled way.
    """
    if decay and decoupled:
        w -= lr * decay * w
    elif decay:
        g = g + decay * w
    return g
