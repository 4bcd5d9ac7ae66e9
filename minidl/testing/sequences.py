"""Ten training passes of one layer, and what it is about one of them that goes wrong.

A layer lives long. It sees batches of other sizes, is evaluated in between, is handed what it cannot compute, and an
optimiser moves its parameters. None of that may show in the next gradient. So one instance goes through all of it.

A failure is then narrowed down: which *one* circumstance (the number of samples, the kind of x or dy, how they lie in
memory) makes a first pass of a new layer fail; or is it what came before?
"""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from minidl import Sequential
from minidl.testing.contract import ContractError, breach, require, same
from minidl.testing.examples import Setting
from minidl.testing.passes import Example, Log, compare
from minidl.testing.strict_backend import StrictArray


def check_passes(example: Example) -> None:
    """Compare ten passes of one layer with measured gradients."""
    model, log = example.model(), Log()
    for number, setting in enumerate(example.settings()):
        first = replace(example, params=model.params.copy(), rng=deepcopy(example.rng))
        failure = breach(compare, model, setting, example, log)
        if failure is not None:
            raise ContractError(narrow(first, setting, number, failure))
        disturb(model, number, example)
    require(log.compared, "every x that was drawn is at a kink, where there is no gradient; draw others with inputs=")
    for name, array, copy in log.returned:
        require(same(array, copy), f"{name} of an earlier pass has changed since; return a new array each time")


def disturb(model: Sequential, number: int, example: Example) -> None:
    """Do to a model what happens between two passes: steps of an optimiser, evaluations, and now and then an error."""
    model.params += 0.1 * example.rng.normal(size=model.params.shape)
    if number % 3 == 0:
        model.forward(example.draw(example.batches[number % len(example.batches)]))
    if number % 3 == 1:
        x = example.draw()
        y = model.forward(x)
        attempt(model, np.hstack([x, x]), training=False)
        refused = [attempt(model, unfit, training=True) for unfit in (None, StrictArray(x))]
        require(
            not all(refused) or same(model.forward(x), y),
            "after an exception in forward, the next evaluation is another one\nhint: what is set for the time of a "
            "pass stays set; compute without it, or put it back in `finally`",
        )


def attempt(model: Sequential, unfit: Any, training: bool) -> bool:
    """Give a layer what it should refuse, as soon as it sees it or in the midst of computing; tell whether it does."""
    try:
        model.layers[0].forward(unfit, training)
    except Exception:
        return True
    return False


def narrow(example: Example, setting: Setting, number: int, failure: str) -> str:
    """Return in which circumstances a layer fails, leaving out all that do not matter, and how it fails."""
    if not _fails(example, setting):
        before = "another pass" if number == 1 else f"{number} other passes"
        return f"only after {before} of the same layer ({setting}): {failure}"
    few = replace(example, features=example.model().in_features or 5)
    sized = few if _fails(few, setting) else example
    plain = Setting(min(example.batches, key=lambda batch: abs(batch - 8)), example.inputs[0])
    simplest = next((x for x in example.inputs if _fails(sized, replace(setting, x=x))), setting.x)
    for change in ({"x": simplest}, *({name: getattr(plain, name)} for name in ("dy", "layout", "params_only"))):
        simpler = replace(setting, **change)
        setting = simpler if _fails(sized, simpler) else setting
    usual = replace(setting, batch=plain.batch)
    rngs = [sized.rng, *map(np.random.default_rng, range(20))]
    others = (replace(size, rng=rng) for size in (few, example) for rng in rngs)
    found = next((other for other in others if _fails(other, usual)), None)
    if found is not None:  # also if a few samples rarely show it: what is wrong for few x shows in large batches first
        sized, setting = found, usual
    where, hint = str(setting), ""
    if setting.batch != plain.batch:
        setting, where = _by_batch(sized, setting)
    if sized.features != few.features:
        where += f", {sized.features} feature{'s' if sized.features > 1 else ''}"
    words = str(_breach(sized, setting))
    if setting.batch != plain.batch and words.startswith("ValueError"):
        hint = "\nhint: if the layer does not take so many samples, its check_batch must say so"
    return f"{where}: {words}{hint}"


def _by_batch(example: Example, setting: Setting) -> tuple[Setting, str]:
    """Return the setting with the most samples for which a layer fails, and for how many it does and does not."""
    settings = {batch: replace(setting, batch=batch) for batch in sorted(set(example.batches))}
    failing = [batch for batch, tried in settings.items() if _fails(example, tried)]
    others = [batch for batch in settings if batch not in failing]
    shown = settings[failing[-1]]
    return shown, f"{shown}; it fails for B = {_listed(failing)}, not for B = {_listed(others)}"


def _listed(batches: list[int]) -> str:
    return ", ".join(map(str, batches))


def _breach(example: Example, setting: Setting, explained: bool = True) -> str | None:
    """Return how a new layer fails in a setting; None if it does not."""
    alone = replace(example, rng=deepcopy(example.rng))
    return breach(compare, alone.model(), setting, alone, Log(), explained)


def _fails(example: Example, setting: Setting) -> bool:
    return _breach(example, setting, explained=False) is not None
