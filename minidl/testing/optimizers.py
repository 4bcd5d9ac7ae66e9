"""One call that proves an optimiser: everything the engine relies on, checked on random parameters and gradients.

    check_optimizer(MyOptimizer)
    check_optimizer(MyOptimizer, reference)

What is checked, in this order; a failure says which of it does not hold, and what is likely the cause:

    arguments      are declared, with a check, so that a checkpoint compares them
    place          w changes where it is, and g is only read
    apart          optimisers that are given the same take the same steps, also when they take turns
    rates          lr takes effect at once, and the lr_scale of a group with it
    direction      the first step leads downhill and moves every parameter; a gradient or rate of 0 drives nothing
    state          is there before the first step, fits w, and is filled in place; t counts the steps
    resumption     arguments, t, lr and state, all that a checkpoint keeps, decide every later step
    copies         a copy, and what comes out of pickle, takes the same steps and shares nothing
    portions       it does not matter in which portions the parameters come
    groups         what no group covers stays as it is, bit for bit, and its gradient makes no difference
    decay          weight decay acts once, at the rate of the group, and leaves biases out if told so
    precision      float32 stays float32, and near what float64 gives
    misfits        vectors of another length or dtype are refused before anything changes
    backends       the same steps on a stand-in for CuPy that is as strict, and on CuPy if there is a GPU
    descent        the loss falls in a bowl
    reference      the steps are those of a transcription of the paper, if one is given

Without a reference, the formula is taken at its word. No checker can know that Adam corrects its means for their start
at zero and RMSprop does not; a transcription in plain Python does, see `minidl.testing.transcriptions`.

An optimiser here treats every parameter alone. One that looks at all of them together, as LARS and LAMB do to choose
the length of a step, breaks the rule of portions.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np

from minidl import Group, Optimizer, get_backend, to_numpy
from minidl.checks import function_or_none, positive_int
from minidl.testing.contract import ContractError, breach, raises, require, same
from minidl.testing.courses import RATE, Course, Make, draw_course, parting, walk, with_arguments
from minidl.testing.resumption import check_apart, check_arguments, check_copies, check_resumption, check_state
from minidl.testing.strict_backend import other_backends
from minidl.testing.transcriptions import Reference, check_reference, transcribe, trial_of
from minidl.testing.weight_decay import check_decay

MANY = 70_000
"""Parameters enough for two of the blocks into which `Optimizer.step` divides them."""


def check_optimizer(make: Make, reference: Reference | None = None, *, examples: int = 5, seed: int = 0) -> None:
    """Check that an optimiser keeps the whole contract, on ``examples`` random examples.

    Five examples take about half a second.

    Args:
        make: returns a new optimiser each time: a class, or a function for one that takes arguments.
        reference: the algorithm of the paper for one parameter, in plain Python: a generator function that is called
            with the parameter w, a function that returns the gradient at a point, and the learning rate of each step,
            and that yields w after each step. A number that both take under one name and default, such as beta1, is
            then halved for both.
        examples: how many. Each has its own number of parameters, start, gradients and rates.
        seed: for everything random.

    Raises:
        ContractError: the optimiser breaks a rule, or takes other steps than the reference. The message says how.
        TypeError, ValueError: an argument is not as described.
    """
    __tracebackhide__ = True
    optimizer = _made(make)
    function_or_none("reference", reference, "w", "gradient", "rates")
    rules = RULES | ({} if reference is None else {"reference": partial(check_reference, reference=reference)})
    for number in range(positive_int("examples", examples)):
        course = draw_course(np.random.default_rng([seed, number]), n=7 + 4 * (number % 9), steps=24)
        if reference is not None:
            transcribe(reference, trial_of(course))  # refuses one that is no transcription, whatever the optimiser
        for name, check in rules.items():
            wrong = breach(check, make, course)
            if wrong is not None:
                title = f"{type(optimizer).__name__} fails the check of {name}, in example {number}"
                raise ContractError(f"{title}: {wrong}")


def _made(make: Make) -> Optimizer:
    """Return an optimiser, if ``make`` makes a new one at each call."""
    optimizer = make() if callable(make) else make
    if not callable(make) or not isinstance(optimizer, Optimizer):
        raise TypeError(f"make: expected a function that returns a new Optimizer, got {make!r}")
    if optimizer.t or make() is optimizer:
        raise ValueError("make: expected a new optimiser at each call, got one that is in use already")
    return optimizer


def _check_place(make: Make, course: Course) -> None:
    w, g = course.start.copy(), course.gradients[0].copy()
    optimizer, lr = make(), make().lr
    optimizer.step(w, g)
    require(optimizer.lr == lr, "a step changes lr\nhint: leave that to a schedule, or to a factor that follows from t")
    require(same(g, course.gradients[0]), "a step changes g\nhint: make a new array, as in g = g / norm, not g /= norm")
    require(
        not same(w, course.start),
        "a step leaves w as it was\nhint: if it says w = …, that makes a new array which is lost: write into w, as in "
        "w -= … or w[...] = …; if it waits for further gradients, join the batches instead",
    )


def _check_rates(make: Make, course: Course) -> None:
    everything = Group(slice(0, len(course.start)), lr_scale=1 / 8)
    path = walk(make(), course)
    apart = parting(walk(with_arguments(make, lr=8 * RATE)(), course), path)
    require(
        apart is None,
        f"{_place(apart)} depends on the lr that it was made with, though lr has changed since\nhint: compute nothing "
        "from lr when the optimiser is made",
    )
    apart = parting(walk(make(), replace(course, rates=8 * course.rates), [everything]), path)
    require(
        apart is None,
        f"{_place(apart)} depends on lr alone, and not on lr times the lr_scale of the group\nhint: use the lr that is "
        "given to update, not self.lr",
    )


def _check_direction(make: Make, course: Course) -> None:
    make = with_arguments(make, weight_decay=0.0)
    g, first = course.gradients[0], course.part(slice(0, 1))
    moved = walk(make(), first)[1] - course.start
    require(np.isfinite(moved).all(), "the first step leads to NaN or infinity")
    require((g * moved).sum() <= 0, "the first step goes uphill")
    stuck = np.flatnonzero(moved == 0)
    require(not stuck.size, f"the first step leaves w{stuck[:1].tolist()}, one of {len(g)}, as it was")
    for dtype in ("float64", "float32"):
        flat = walk(make(), replace(course, gradients=0 * course.gradients).astype(dtype))
        require(
            np.isfinite(flat).all(), f"where the gradient is 0, w becomes NaN in {dtype}\nhint: add ε to the divisor"
        )
        grown = abs(flat[1:]) > abs(flat[:-1])  # while a formula with a decay of its own may shrink w
        require(not grown.any(), "where the gradient has always been 0, w grows")
    still = replace(first, rates=np.zeros(1))
    failure = breach(lambda: require((walk(make(), still) == course.start).all(), "the first step moves w"))
    require(failure is None, f"with lr = 0, where some schedules begin, {failure}")


def _check_portions(make: Make, course: Course) -> None:
    for given in (course, draw_course(np.random.default_rng(0), MANY, steps=2)):
        n = len(given.start)
        portions = [Group(slice(*ends)) for ends in pairwise([0, 1, n // 3 + 1, n])]
        apart = parting(walk(make(), given, portions[::-1]), walk(make(), given))
        require(
            apart is None,
            f"{_place(apart)}, one of {n}, depends on the portions in which the parameters come\nhint: treat every "
            "entry alike, leave none out, and do not count how often the formula is called; t counts the steps",
        )


def _check_groups(make: Make, course: Course) -> None:
    n = len(course.start)
    frozen = slice(n // 3, n - 1)
    groups = [Group(slice(0, n // 3)), Group(slice(n - 1, n), lr_scale=0.25)]
    make = with_arguments(make, weight_decay=0.1)
    path = walk(make(), course, groups)
    require(
        (path[:, frozen] == course.start[frozen]).all(),
        "parameters that no group covers change, as those of frozen layers must not",
    )
    require(
        (walk(make(), course, []) == course.start).all(),
        "with groups=[], as when all layers are frozen, w changes\nhint: None stands for everything, not []",
    )
    for left_over in (np.nan, 1e6):  # where layers are frozen, backward writes nothing
        gradients = course.gradients.copy()
        gradients[:, frozen] = left_over
        require(
            same(walk(make(), replace(course, gradients=gradients), groups), path),
            "gradients that no group covers make a difference; in frozen layers they are left over from another step",
        )


def _check_precision(make: Make, course: Course) -> None:
    single = course.astype("float32")
    optimizer = make()
    path, exact = walk(optimizer, single), walk(make(), single.astype("float64"))
    for name, vector in optimizer.state.items():
        require(
            vector.dtype == "float32",
            f"state {name} is {vector.dtype} where w is float32\nhint: make it with zeros_like(w)",
        )
    error = abs(path[-1] - exact[-1]) / abs(exact - exact[0]).max(axis=0)
    typical = np.quantile(error, 0.75)  # not the largest: near 0, a sign is a matter of rounding
    require(typical <= 1e-2, f"in float32 the steps differ from those in float64 by {typical:.0%}")
    small = replace(single.part(slice(0, 1)), start=0 * single.start, gradients=single.gradients[:1] * np.float32(1e-5))
    step, right = walk(make(), small)[1], walk(make(), small.astype("float64"))[1]
    require(
        np.allclose(step, right, rtol=1e-2, atol=0),
        f"in float32, a gradient of {small.gradients[0, 0]:.2g} makes a step of {step[0]:.4g}, and in float64 one of "
        f"{right[0]:.4g}\nhint: look for an ε or a bound that depends on the dtype, or squares that vanish",
    )
    end = walk(make(), course)[-1]
    slightly, clearly = (walk(make(), _stirred(course, part))[-1] != end for part in (1e-9, 1e-4))
    require(
        np.mean(clearly & ~slightly) < 0.5,  # where signs decide, neither makes a difference, or rarely
        "in float64, the ninth digit of g makes no difference\nhint: look for float32, or rounding",
    )


def _stirred(course: Course, part: float) -> Course:
    """Return a course whose gradients differ by a random part of their size."""
    noise = np.random.default_rng(0).normal(size=course.gradients.shape)
    return replace(course, gradients=course.gradients * (1 + part * noise))


def _check_misfits(make: Make, course: Course) -> None:
    optimizer, w, g = make(), course.start.copy(), course.gradients[0]
    others = {"length": g[1:], "dtype": g.astype("float32")}
    for what, other in others.items():
        refused = raises(ValueError, optimizer.step, w, other)
        require(refused, f"a gradient of another {what} than w is not refused by a ValueError")
        untouched = optimizer.t == 0 and same(w, course.start)
        require(untouched, f"a gradient of another {what} than w is refused, but after t or w has changed")
    optimizer.step(w, g)
    for what, other in others.items() if optimizer.state else ():
        refused = raises(ValueError, optimizer.step, other.copy(), other) and optimizer.t == 1
        require(refused, f"after a step, parameters of another {what} are not refused\nhint: call super().prepare")


def _check_backends(make: Make, course: Course) -> None:
    for elsewhere in other_backends():
        path = walk(make(), course)
        with elsewhere:
            xp = get_backend("cupy")
            optimizer, w = make(), xp.asarray(course.start)
            optimizer.fused = True  # as `minidl.fit` does on a GPU
            for step, (g, rate) in enumerate(zip(course.gradients, course.rates, strict=True), start=1):
                optimizer.lr = float(rate)
                wrong = breach(optimizer.step, w, xp.asarray(g))
                hint = "\nhint: call array_module(w).sign and the like, not np.sign; let scalars be plain numbers, as "
                hint += "math.sqrt and float give them"
                require(wrong is None, f"{wrong}{hint if str(wrong).startswith('TypeError') else ''}")
                path[step] = to_numpy(w)
        apart = parting(path, walk(make(), course))
        require(apart is None, f"{_place(apart)} differs between the backends")


def _check_descent(make: Make, course: Course) -> None:
    """Roll down ½ Σ c w². A right optimiser may swing to and fro, but does not stay as high as it began."""
    optimizer, w = with_arguments(make, lr=RATE, weight_decay=0.0)(), course.start.copy()
    curvature = np.linspace(0.25, 1.0, len(w))
    heights = []
    for _ in range(200):
        heights.append(float((curvature * w * w).sum()) / 2)
        optimizer.step(w, curvature * w)
    late = float(np.mean(heights[100:]))
    require(
        late < heights[0],
        f"in a bowl, the loss is {heights[0]:.4g} at the start and {late:.4g} on average in steps 100 to 200",
    )


def _place(apart: tuple[int, int] | None) -> str:
    return "" if apart is None else f"after step {apart[0]}, w[{apart[1]}]"


RULES: dict[str, Callable[..., None]] = {
    "arguments": check_arguments,
    "place": _check_place,
    "apart": check_apart,
    "rates": _check_rates,
    "direction": _check_direction,
    "state": check_state,
    "resumption": check_resumption,
    "copies": check_copies,
    "portions": _check_portions,
    "groups": _check_groups,
    "decay": check_decay,
    "precision": _check_precision,
    "misfits": _check_misfits,
    "backends": _check_backends,
    "descent": _check_descent,
}
"""What each rule is called, and the function that checks it, given ``make`` and a course."""
