"""The claims on fine-tuning, C7 to C9 and Howard and Ruder's, and for each the rule by which it counts as reproduced.

Claims are judged by the test accuracy with `MAIN` labelled images; runs with other numbers are only shown. "Better"
means: above by more than two standard errors of the difference, paired over the seeds.
"""

from typing import Any

from lab.claims import Rule
from lab.results import Curves, Results
from lab.formats import percent, spread

MAIN = 100  # labelled images, with which claims are judged
CLAIMS = {
    "C7": "differential rates: earlier layers 3×–10× lower",
    "C8": "freezing and unfreezing: the last layer first, then all",
    "C9": "the recipe of eight lines",
    "Howard & Ruder 2018": "section 3.2: with each layer, a rate 2.6 times lower works well",
}


def lower_rates(results: Results) -> tuple[str, bool]:
    """C7: the recipe, with factor 3, is better than at one rate."""
    measured = f"{compared(results, 'recipe', 'one rate')}; factor 10: {percent(accuracy(results, 'factor 10'))}"
    return measured, better(results, "recipe", "one rate")


def freezing(results: Results) -> tuple[str, bool]:
    """C8: freezing does what it says, and the recipe is better than the last layer only and than all layers at once.

    In every run of the recipe the trunk is bit for bit the pretrained one after line 4, and is not at the end.
    """
    trunks = [run["trunk"] for run in recipes(results)]
    still = sum(trunk["after line 4"] == trunk["pretrained"] for trunk in trunks)
    changed = sum(trunk["end"] != trunk["pretrained"] for trunk in trunks)
    rivals = ("last layer only", "all at once")
    texts = [f"trunk unchanged after line 4 in {still} of {len(trunks)} runs, changed at the end in {changed}"]
    texts += [compared(results, "recipe", rival) for rival in rivals]
    works = still == changed == len(trunks)
    return "; ".join(texts), works and all(better(results, "recipe", rival) for rival in rivals)


def whole_recipe(results: Results) -> tuple[str, bool]:
    """C9: the recipe is better than training from scratch. Whether yet another recipe is better stays open."""
    silent = [run["rates"][-1] is None for run in recipes(results)]
    measured = compared(results, "recipe", "from scratch")
    measured += f"; line 7 had no suggestion in {sum(silent)} of {len(silent)} runs"
    return measured, better(results, "recipe", "from scratch")


def howard_ruder(results: Results) -> tuple[str, bool]:
    """Howard and Ruder's number: factor 2.6 is better than one rate."""
    return compared(results, "factor 2.6", "one rate"), better(results, "factor 2.6", "one rate")


def named(rival: str, labels: int) -> str:
    """Return the name of a run."""
    return f"{rival}, {labels} labels"


def recipes(results: Results) -> list[dict[str, Any]]:
    """Return the runs of the recipe, with any number of labels."""
    return [run for run in results.runs if run["name"].startswith("recipe,")]


def better(results: Results, one: str, other: str) -> bool:
    """Tell whether a rival is better than another."""
    return exceeds(accuracy(results, one), accuracy(results, other))


def accuracy(results: Results, rival: str, labels: int = MAIN) -> Curves:
    """Return the test accuracy at the end of each run; NaN where it diverged."""
    return results.values(named(rival, labels), "accuracy")


def compared(results: Results, one: str, other: str) -> str:
    """Say how two rivals compare with `MAIN` labels, as kept and after all cycles, and with other numbers."""
    a, b = accuracy(results, one), accuracy(results, other)
    relation = "better than" if exceeds(a, b) else "worse than" if exceeds(b, a) else "not clearly better or worse than"
    ends = " and ".join(percent(results.values(named(rival, MAIN), "last_accuracy")) for rival in (one, other))
    found = f"{one} ({percent(a)}) is {relation} {other} ({percent(b)}), after all cycles {ends}"
    for number in results.settings["labels"]:
        if number != MAIN and results.called(named(one, number)):
            points = 100 * (accuracy(results, one, number) - accuracy(results, other, number))
            found += f"; with {number:,} labels the difference is {spread(points, '.2f')} points"
    return found


RULES: dict[str, Rule] = {"C7": lower_rates, "C8": freezing, "C9": whole_recipe, "Howard & Ruder 2018": howard_ruder}
