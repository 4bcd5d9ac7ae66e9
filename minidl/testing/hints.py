"""Why a gradient is wrong, as far as its numbers tell: what would make it right, and where it is right already.

A hint must be right or absent, since a wrong one sends the reader to the wrong line. So each is tried out: it is given
only if the mistake that it names explains all the numbers, to the precision with which they were compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod

import numpy as np

from minidl.backend import Array

FEW = 4
"""So many numbers must be wrong, and so many right, before a hint says what the wrong ones have in common."""


@dataclass
class Gradient:
    """A computed gradient, the measured one, and what is known about the pass that it comes from."""

    computed: Array
    measured: Array
    tolerance: float
    """How far two entries may differ and still be called equal, as a part of the largest entry."""
    batch: int | None = None
    """B, where a factor of B can come in; else None."""
    x: Array | None = None
    """The input, if it has the shape of the gradient."""
    dy: Array | None = None
    """The upstream gradient, if it has the shape of the gradient."""

    def like(self, other: Array) -> bool:
        """Tell whether the computed gradient is ``other``, to the tolerance."""
        return self.computed.shape == other.shape and not self.off(other).any()

    def off(self, other: Array) -> Array:
        """Return where the computed gradient is not ``other``."""
        largest = max(abs(self.measured).max(initial=0), 1e-300)
        off: Array = ~(abs(self.computed - other) <= self.tolerance * largest)
        return off

    def only(self, here: Array) -> "Gradient":
        """Return the entries where ``here`` is true, as a gradient of its own."""
        return Gradient(self.computed[here], self.measured[here], self.tolerance, self.batch)


def explain(gradient: Gradient) -> str:
    """Return a hint, to follow the facts; empty if no mistake that is known here explains the numbers."""
    hints = chain(whole(gradient), parts(gradient), precise(gradient), patterns(gradient), places(gradient))
    return next((f"\nhint: {hint}" for hint in hints), "")


def whole(gradient: Gradient) -> Iterator[str]:
    """Yield what explains all entries alike."""
    computed, measured, batch = gradient.computed, gradient.measured, gradient.batch
    if np.isnan(computed).any():
        yield (
            "it is NaN: "
            + ("not written, or not all of it, or " if batch else "")
            + "computed as 0 / 0, or as inf − inf"
        )
    elif np.isinf(computed).any():
        yield "it is infinite: look for a division by 0, or what overflows"
    if not (np.isfinite(computed).all() and measured.any()):
        return
    if not computed.any():
        yield "it is zero throughout"
    error = computed - measured
    if measured.size >= FEW and gradient.like(measured + error.mean()):
        yield f"it is off by {error.mean():.4g} throughout: look for a term that is missing, or has a wrong factor"
    if gradient.like(-measured):
        yield "the sign is wrong"
    if batch and batch > 1 and gradient.like(measured * batch):
        yield f"a factor B = {batch} too many: a sum where a mean is meant, or a missing 1/B"
    if batch and batch > 1 and gradient.like(measured / batch):
        yield f"a factor B = {batch} too few: 1/B where a sum is meant, or twice"
    if measured.ndim == 2 and min(measured.shape) > 1 and gradient.like(measured.T):
        yield "it is transposed"
    if measured.ndim == 2 and gradient.like(measured[::-1]):
        yield "its rows are in the opposite order"
    for axis, lines in enumerate(("rows", "columns")):
        if measured.ndim == 2 and any(gradient.like(np.roll(measured, shift, axis)) for shift in (1, -1)):
            yield f"its {lines} are shifted by one"
    if computed.any() and ((computed == 0) != (measured == 0)).all():
        yield "it is 0 where it should not be, and only there: the opposite of the mask"
    ratio = _ratio(computed, measured)
    if computed.any() and measured.size >= FEW and gradient.like(measured * ratio) and abs(ratio - 1) > 1e-3:
        yield f"it is {ratio:.4g} times what it should be"


def parts(gradient: Gradient) -> Iterator[str]:
    """Yield how the gradient is wrong where it is wrong, if it is right elsewhere, and where that is."""
    wrong = gradient.off(gradient.measured)
    if not wrong.all():
        for way in _ways(gradient.only(wrong)):
            yield from (f"{place}, where {way}" for place in places(gradient))
            yield f"it is right in some entries, and wrong in others, where {way}"


def places(gradient: Gradient) -> Iterator[str]:
    """Yield what the wrong entries have in common, and the others have not; if the two kinds are clearly apart."""
    wrong = gradient.off(gradient.measured)
    right = ~wrong & ((gradient.measured != 0) | (gradient.computed != 0))  # where both are 0, nothing can be wrong
    error = abs(gradient.computed - gradient.measured)
    if min(wrong.sum(), (~wrong).sum()) >= FEW and right.any() and error[wrong].min() > 100 * error[right].max():
        for condition, where in _places(gradient, wrong, right):
            if _accounts_for(gradient, where, wrong):
                yield f"it is wrong only {condition}"


def _ways(wrong: Gradient) -> Iterator[str]:
    """Yield how entries that are all wrong are wrong."""
    computed, measured = wrong.computed, wrong.measured
    if not measured.any():
        yield "it should be 0: a mask is missing"
    if not computed.any():
        yield "it is 0 and should not be: a mask is wrong, or something is left out"
    if ((computed == 0) != (measured == 0)).all() and computed.any() and measured.any():
        yield "it is 0 but should not be, or should be 0 but is not: not the mask of the forward pass"
    if wrong.like(-measured):
        yield "the sign is wrong"
    ratio = _ratio(computed, measured)
    if wrong.like(measured * ratio) and abs(ratio - 1) > 1e-3:
        yield f"it is {ratio:.4g} times what it should be"


def _places(gradient: Gradient, wrong: Array, right: Array) -> Iterator[tuple[str, Array]]:
    """Yield conditions that the wrong entries may have in common, with where they hold."""
    for axis in range(wrong.ndim):
        others = tuple(other for other in range(wrong.ndim) if other != axis)
        if prod(wrong.shape[other] for other in others) == 1 < wrong.ndim:
            continue  # a row of one number is no row
        marked, spared = (np.flatnonzero(entries.any(axis=others)) for entries in (wrong, right))
        first, last = int(marked[0]), int(marked[-1])
        if not ((first <= spared) & (spared <= last)).any():
            lines = np.arange(wrong.shape[axis])
            here = (first <= lines) & (lines <= last)
            shape = [-1 if other == axis else 1 for other in range(wrong.ndim)]
            stretch = _stretch(first, last, spared.max() < first, axis, wrong.ndim)
            yield f"in {stretch}", np.broadcast_to(here.reshape(shape), wrong.shape)
    for name, values in (("x", gradient.x), ("dy", gradient.dy)):
        if values is not None:
            yield f"where {name} < 0", values < 0
            yield f"where {name} > 0", values > 0
            for said, a in ((name, values), (f"|{name}|", abs(values))):
                if a[wrong].min() > a[right].max():
                    yield f"where {said} is large, above {a[right].max():.3g}", wrong
                if a[wrong].max() < a[right].min():
                    yield f"where {said} is small, below {a[right].min():.3g}", wrong


def _stretch(first: int, last: int, at_end: bool, axis: int, dimensions: int) -> str:
    """Return the words for one row or column, or several that follow each other."""
    one, many = [("entry", "entries"), ("row", "rows"), ("column", "columns"), ("place", "places")][
        0 if dimensions == 1 else min(axis + 1, 3)
    ]
    if first == last:
        return f"{one} {first}{', the last' if at_end else ''}"
    return f"{many} from {first} on" if at_end else f"{many} {first} to {last}"


def _accounts_for(gradient: Gradient, where: Array, wrong: Array) -> bool:
    """Tell whether a condition holds wherever the gradient is wrong, and hardly anywhere else.

    What is 0, and should be, may be right for another reason: a mask, a dy of 0.
    """
    could_be_wrong = where & ((gradient.measured != 0) | (gradient.computed != 0))
    return bool((where | ~wrong).all() and (~where).sum() >= FEW and wrong.sum() >= 0.9 * could_be_wrong.sum())


def precise(gradient: Gradient) -> Iterator[str]:
    """Yield how many digits are right, if the mistake is small."""
    error = abs(gradient.computed - gradient.measured).max(initial=0)
    largest = abs(gradient.measured).max(initial=0)
    if 0 < error <= 1e-3 * largest:
        right = f"right to {int(-np.log10(error / largest))} digits"
        where = next((f"{place}, and there {right}" for place in places(gradient)), f"it is {right}")
        yield (
            f"{where}: look for a rounded constant, an approximation, an ε that is in one of the two passes only"
            f"{', or float32 on the way' if error <= 1e-5 * largest else ''}"
        )


def patterns(gradient: Gradient) -> Iterator[str]:
    """Yield what is missing, by the rows or columns that the error is the same in, or in proportion to."""
    computed, measured = gradient.computed, gradient.measured
    if measured.ndim != 2 or min(measured.shape) < 3:
        return
    lines = {1: ("row", "a sum over the features of a sample"), 0: ("column", "a sum or mean over the batch")}
    for axis, (line, what) in lines.items():
        error = measured - computed
        if gradient.like(measured - error.mean(axis=axis, keepdims=True)):
            yield f"each {line} is off by a number of its own: look for {what} that is missing, or is not needed"
        size = (measured * measured).sum(axis=axis, keepdims=True)
        ratios = (computed * measured).sum(axis=axis, keepdims=True) / np.where(size > 0, size, 1)
        if gradient.like(measured * ratios) and (abs(ratios - 1) > 1e-3).mean() > 0.5 and ratios.all():
            yield f"each {line} is multiplied by a number of its own, from {ratios.min():.4g} to {ratios.max():.4g}"


def _ratio(computed: Array, measured: Array) -> float:
    """Return the factor by which a gradient is most nearly the other."""
    size = float((measured * measured).sum())
    return float((computed * measured).sum()) / size if size > 0 else 0.0
