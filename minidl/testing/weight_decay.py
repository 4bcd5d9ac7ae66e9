"""Weight decay, done by hand beside an optimiser that has it turned off.

Classical decay gives the formula g + λ w in place of g, and decoupled decay shrinks w before the formula sees it. Both
can be done from outside. So an optimiser with weight decay must go where one without it goes that is given such a g, or
such a w. The mistake is easily made: some papers have decay in their formula, and `minidl.Optimizer.step` has done it
already.
"""

from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from minidl import Group
from minidl.backend import Array
from minidl.testing.contract import ContractError
from minidl.testing.courses import Course, Make, parting, walk, with_arguments

DECAY = 0.1


def check_decay(make: Make, course: Course) -> None:
    """Require that weight decay acts once, at the rate of the group, and leaves biases out if told so."""
    course = replace(course, gradients=course.gradients / 64)  # too small to be clipped, before decay or after
    for decoupled, decay_biases in product((False, True), (True, False)):
        options = {"decoupled": decoupled, "decay_biases": decay_biases}
        path = walk(with_arguments(make, weight_decay=DECAY, **options)(), course, _groups(course))
        right = {"added": int(not decoupled), "shrunk": int(decoupled), "decay_biases": decay_biases}
        leads_there = partial(_leads_there, path, make, course)
        if not leads_there(**right):
            twice = "it acts twice; leave it to step, which decays g or w before it calls update"
            causes: list[tuple[str, dict[str, Any]]] = [
                ("it has no effect", {"added": 0, "shrunk": 0}),
                (twice, {"added": right["added"] + 1}),
                (twice, {"shrunk": right["shrunk"] + 1}),
                ("biases decay too", {"decay_biases": True}),
                ("decoupled makes no difference", {"added": right["shrunk"], "shrunk": right["added"]}),
                ("it acts at the rate of the optimiser, not of the group", {"group_rates": False}),
            ]
            found = (f"\nhint: {cause}" for cause, change in causes if leads_there(**right | change))
            way = f"w − lr · {DECAY} · w in place of w" if decoupled else f"g + {DECAY} · w in place of g"
            raise ContractError(
                f"weight_decay={DECAY}, decoupled={decoupled}, decay_biases={decay_biases} does not lead where an "
                f"optimiser without decay goes that is given {way}{next(found, '')}"
            )


def _leads_there(path: Array, make: Make, course: Course, **options: Any) -> bool:
    return parting(path, _by_hand(make, course, **options)) is None


def _groups(course: Course) -> list[Group]:
    """Return weights and, at a lower rate, biases."""
    n = len(course.start)
    return [Group(slice(0, n // 2)), Group(slice(n // 2, n), lr_scale=0.25, biases=True)]


def _by_hand(
    make: Make, course: Course, *, added: int, shrunk: int, decay_biases: bool, group_rates: bool = True
) -> Array:
    """Return the way of an optimiser whose own decay is off.

    In each step, λ w is added to g so many times, and w is shrunk so many times.
    """
    optimizer, w, groups = with_arguments(make, weight_decay=0.0)(), course.start.copy(), _groups(course)
    decay, scale = np.zeros(len(w)), np.ones(len(w))  # of each parameter
    for part, lr_scale, biases in groups:
        decay[part] = DECAY if decay_biases or not biases else 0.0
        scale[part] = lr_scale if group_rates else 1.0
    optimizer.prepare(w, course.gradients[0])
    path = [w.copy()]
    for g, rate in zip(course.gradients, course.rates, strict=True):
        optimizer.lr = float(rate)
        penalized = g + added * decay * w
        for _ in range(shrunk):
            w -= rate * scale * decay * w
        optimizer.step(w, penalized, groups)
        path.append(w.copy())
    return np.array(path)
