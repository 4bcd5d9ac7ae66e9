"""The claims on fine-tuning, C7 to C9 and Howard and Ruder's, and the rules that decide them.

Two transfers are measured. From the digits 0 to 4 to the digits 5 to 9, what was learned is of little use, and random
weights do as well. From telling ten digits apart to telling odd from even it is of much use, as in the article, whose
network has seen cats and dogs before it is to tell them apart. The claims are about the second. They are judged by the
test accuracy with `MAIN` labelled images; what is measured beside is only shown.
"""

from collections.abc import Sequence

from lab.claims import Definition, Missing, Part, Rule
from lab.formats import percent, spread
from lab.in_short import ranked
from lab.results import Curves, Results
from lab.statistics import better

MAIN = 100  # labelled images, with which claims are judged
PARITY, HALVES = "odd or even", "5 to 9"
IMAGES = {PARITY: 10_000, HALVES: 4_861}
"""The transfers, by what is learned, and how many test images each has."""
CLAIMS = {
    "C7": "differential rates: earlier layers 3×–10× lower",
    "C8": "freezing and unfreezing: the last layer first, then all",
    "C9": "the recipe of eight lines",
    "Howard & Ruder 2018": "section 3.2: with each layer, a rate 2.6 times lower works well",
}
WANTED = Missing("the transfer from ten digits to odd and even, with a range test that always finds a rate")


def against(one: str, *others: str) -> Rule:
    """Return the rule that a rival is better than each of the others."""

    def rule(results: Results) -> tuple[str, Sequence[Part]]:
        ends = {rival: accuracy(results, rival, transfer=PARITY) for rival in (one, *others)}
        parts: list[Part] = [
            better(f"{one} − {other}", ends[one], ends[other], images=IMAGES[PARITY])
            for other in others
            if len(ends[other])
        ]
        return "; ".join(beside(results, one, other) for other in others), parts or [WANTED]

    return rule


def lower_rates(results: Results) -> tuple[str, Sequence[Part]]:
    """C7: the recipe, with factor 3, is better than at one rate; factor 10 is shown beside."""
    text, parts = against("recipe", "one rate")(results)
    ends = [
        f"{transfer}, factor 10: {percent(accuracy(results, 'factor 10', transfer=transfer))}"
        for transfer in IMAGES
        if results.called(named("factor 10", MAIN, transfer))
    ]
    return "; ".join([text, *ends]), parts


def freezing(results: Results) -> tuple[str, Sequence[Part]]:
    """C8: freezing does what it says, and the recipe is better than the last layer only and than all layers at once.

    In every run of the recipe the trunk is bit for bit the pretrained one after line 4, and is not at the end.
    """
    trunks = [run["trunk"] for run in results.runs if "recipe," in run["name"]]
    still = sum(trunk["after line 4"] == trunk["pretrained"] for trunk in trunks)
    changed = sum(trunk["end"] != trunk["pretrained"] for trunk in trunks)
    text, parts = against("recipe", "last layer only", "all at once")(results)
    works = f"trunk unchanged after line 4 in {still} of {len(trunks)} runs, changed at the end in {changed}"
    held = [] if parts == [WANTED] else [Definition(still == changed == len(trunks))]
    return f"{works}; {text}", [*held, *parts]


def whole_recipe(results: Results) -> tuple[str, Sequence[Part]]:
    """C9: the recipe is better than training from scratch. Whether yet another recipe is better stays open."""
    text, parts = against("recipe", "from scratch")(results)
    silent = [run["rates"][-1] is None for run in results.runs if "recipe," in run["name"]]
    return f"{text}; line 7 had no suggestion in {sum(silent)} of {len(silent)} runs", parts


def beside(results: Results, one: str, other: str) -> str:
    """Say how two rivals end, in both transfers, with every number of labels."""
    found = []
    numbers = sorted({run["labels"] for run in results.runs}, key=lambda number: (number != MAIN, number))
    for transfer in IMAGES:
        for number in numbers:
            a, b = (accuracy(results, rival, number, transfer) for rival in (one, other))
            if len(a) and len(b):
                ends = f"{one} {percent(a)}, {other} {percent(b)}"
                ends = ends if number == MAIN else f"{spread(100 * (a - b), '.2f')} points"
                found.append(f"{transfer}, {number:,} labels: {ends}")
    return "; ".join(found)


def named(rival: str, labels: int, transfer: str = HALVES) -> str:
    """Return the name of a run."""
    return f"{'' if transfer == HALVES else f'{transfer}: '}{rival}, {labels} labels"


def accuracy(results: Results, rival: str, labels: int = MAIN, transfer: str = HALVES) -> Curves:
    """Return the test accuracy at the end of each run; NaN where it diverged."""
    return results.values(named(rival, labels, transfer), "accuracy")


def in_short(results: Results) -> list[str]:
    """Return the order of the rivals, and what to look at in the figure."""
    rivals = ("recipe", "one rate", "last layer only", "all at once", "from scratch")
    ends = {rival: 100 * float(accuracy(results, rival, transfer=PARITY).mean()) for rival in rivals}
    return [
        f"From ten digits to odd and even, with {MAIN} labelled images, test accuracy at the end: {ranked(ends)}.",
        "The figure shows on the left the same for other numbers of labels, with a row for each transfer.",
    ]


RULES: dict[str, Rule] = {
    "C7": lower_rates,
    "C8": freezing,
    "C9": whole_recipe,
    "Howard & Ruder 2018": against("factor 2.6", "one rate"),
}
