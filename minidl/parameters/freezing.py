"""Freezing: some layers are trained, and others keep their parameters.

A *frozen* layer does not learn: its parameters stay as they are, bit for bit. The gradient still passes through it to
layers below, if these learn. Below the lowest layer that learns, no gradient is computed at all. A layer may also have
a learning rate of its own. `Freezing.groups`, a list of stretches of the vector of parameters, tells an optimiser both.
"""

from math import prod

from minidl.checks import positive
from minidl.parameters.blocks import Group
from minidl.parameters.parts import Parts


class Freezing(Parts):
    """The base of `minidl.Sequential` that freezes and unfreezes layers."""

    def freeze(self, *which: int | str) -> None:
        """Freeze layers, named as in `layer`; without an argument, all of them.

        Their parameters then stay as they are, bit for bit, whatever the optimiser. In a loop of your own, pass the
        groups to the optimiser: ``optimizer.step(model.params, model.grads, model.groups)``.
        """
        for layer in [self.layer(name) for name in which] or self.layers:
            layer.frozen = True

    def unfreeze(self, *which: int | str) -> None:
        """Let layers learn again, named as in `layer`; without an argument, all of them."""
        for layer in [self.layer(name) for name in which] or self.layers:
            layer.frozen = False

    def scale_lr(self, which: int | str, factor: float) -> None:
        """Let a layer learn at ``factor`` times the optimiser's learning rate; a new layer has the factor 1.

        Raises:
            TypeError, ValueError: ``factor`` is no number above 0, or there is no such layer.

        Source: Howard and Ruder 2018, "Universal language model fine-tuning for text classification", section 3.2:
        discriminative fine-tuning.
        """
        self.layer(which).lr_scale = positive("factor", factor)

    @property
    def groups(self) -> list[Group]:
        """The stretches of ``params`` to train: one group for each parameter of each layer that is not frozen."""
        groups, start = [], 0
        for layer in self.layers:
            for shape in layer.param_shapes().values():
                stop = start + prod(shape)
                if not layer.frozen:
                    groups.append(Group(slice(start, stop), layer.lr_scale, biases=len(shape) < 2))
                start = stop
        return groups

    @property
    def first_learning(self) -> int:
        """The position of the lowest layer that learns; the number of layers, if none does."""
        learning = (i for i, layer in enumerate(self.layers) if layer.param_shapes() and not layer.frozen)
        return next(learning, len(self.layers))

    @property
    def frozen_prefix(self) -> int:
        """The number of frozen layers at the start: up to the last frozen one below all layers that learn.

        They work as in evaluation: dropout passes everything on, and batch normalisation uses its moving averages and
        does not change them. So their output for a sample is always the same, and may be computed once for all epochs.
        """
        below = self.layers[: self.first_learning]
        return max((i + 1 for i, layer in enumerate(below) if layer.frozen), default=0)
