"""Write what the results say as pages: claims and verdicts, effects, and what was measured.

From the JSON files of this folder, whichever are there, come README.md here, which has all verdicts; a fragment for
each page of docs/experiments to include, with figures and table: docs/experiments/_tables/<script>.md; the table of the
verdicts that new rules changed; and the table in the README of the whole. No number of these is typed by hand, and a
test compares them with the results. `make_figures.py` draws the figures.

Verdicts follow from rules. When these have changed, --judge first judges the results anew: only their "claims" change.

python docs/results/make_page.py [--judge]
"""

import importlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
sys.path.insert(0, str(FOLDER))

import make_figures  # noqa: E402

from lab.claims import BY_DEFINITION, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, UNDECIDED  # noqa: E402
from lab.formats import NBSP  # noqa: E402

FRAGMENTS = FOLDER.parent / "experiments" / "_tables"
TITLES = {  # in the order of the page
    "chapter37": "Chapter 37: the effect of the batch size",
    "chapter38": "Chapter 38: the effect of the learning rate",
    "chapter39": "Chapter 39: what the batch size does to the gradient",
    "learning_rate": "What the learning rate is, and how to choose it",
    "fine_tuning": "Fine-tuning: the recipe of eight lines",
    "overfitting": "Why does a larger batch overfit?",
    "optimizers": "Momentum and other optimisers",
    "batch_and_rate": "A map of batch size and learning rate",
    "benchmark": "Speed",
    "benchmark_gpu": "Speed on a GPU",
}
PAGES = {"fine_tuning": "../experiments/learning_rate.md"} | dict.fromkeys(
    ("benchmark", "benchmark_gpu"), "../speed.md"
)
"""Where an experiment is described, if not on a page of its name."""
VERDICTS = {REPRODUCED: "reproduced", NOT_REPRODUCED: "not reproduced", UNDECIDED: "undecided"}
VERDICTS |= {BY_DEFINITION: "by definition", NOT_TESTED: "not tested"}
"""The verdicts, in the words of the overview."""
HOME = ("test_epoch", "test_updates")
"""The panels of chapter 37 that the first page of the book shows."""
EXPONENTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

RENEWED = ("benchmark", "learning_rate", "fine_tuning")
"""The experiments whose pages argue with the newer rules already."""

NEWER_RULES = """
```{{note}}
The text argues with the first rules. [Newer ones](rules.md#what-the-new-rules-changed) changed these verdicts: {}.
```
"""


def main() -> None:
    """Write the pages and the fragments."""
    if "--judge" in sys.argv:
        judge_anew()
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")
    FRAGMENTS.mkdir(exist_ok=True)
    for name, text in fragments().items():
        (FRAGMENTS / f"{name}.md").write_text(text, encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")


def judge_anew() -> None:
    """Apply the rules of the scripts to the committed results."""
    sys.path[:0] = [str(ROOT)]
    for path in FOLDER.glob("*.json"):
        results = make_figures.load(path)
        results.save(importlib.import_module(path.stem.removesuffix("_gpu")).verdicts(results))


def load(name: str) -> dict[str, Any] | None:
    """Return the results of an experiment, None if it has not been run in full."""
    path = FOLDER / f"{name}.json"
    results: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return results


# What pages include


def fragments() -> dict[str, str]:
    """Return all fragments, by the names of their files."""
    made = {name: fragment(name) for name in TITLES} | {"flips": flips()}
    made["home"] = figures("chapter37", "results/", *HOME)
    made["data_parallel"] = figures("beyond_one_machine/data_parallel", "results/beyond_one_machine/")
    return made


def fragment(name: str) -> str:
    """Return figures and table of an experiment, as the pages in docs/experiments include them."""
    results = load(name)
    if results is None:
        return waiting(name)
    folder = "../results/"
    shown = f"{figures(name, folder)}\n{table(results)}\n{made(name, results, folder)}"
    turned = [identity for identity, _, now, _ in changed(results) if now != BY_DEFINITION]
    return shown + (NEWER_RULES.format(", ".join(turned)) if turned and name not in RENEWED else "")


def waiting(name: str) -> str:
    """Return what stands in the place of results to come: the claims that they will decide."""
    script = name.removesuffix("_gpu")
    note = (
        "```{note}\nThis experiment has not been run in full yet: there are no results to show. "
        f"`examples/{script}.py` makes them.\n```\n"
    )
    claims = getattr(importlib.import_module(f"lab.verdicts.{script}"), "CLAIMS", {})
    return note + ("\nThe claims that it will decide:\n\n" + pipes(("", "claim"), [*claims.items()]) if claims else "")


def figures(name: str, folder: str, *wanted: str) -> str:
    """Return the panels of an experiment, in a grid."""
    path = FOLDER / f"{name}.json"
    return make_figures.grid(make_figures.load(path), path.stem, folder, *wanted) if path.exists() else ""


def table(results: dict[str, Any]) -> str:
    """Return the table of claims; what was measured is folded below each."""
    heads = ["", "claim", "verdict", "effect [95 % interval]", "what was measured"]
    rows = [heads, *map(cells, results["claims"])]
    lines = [f"{'* -' if column == 0 else '  -'} {cell}".rstrip() for row in rows for column, cell in enumerate(row)]
    return "\n".join(["````{list-table}", ":header-rows: 1", ":class: verdicts", "", *lines, "````", ""])


def cells(row: dict[str, str]) -> list[str]:
    """Return the cells of a claim: a line for each comparison, and the measured numbers in a part that opens."""
    measured = f"```{{dropdown}} Measured\n    {listed(row['measured'])}\n    ```"
    effect = listed(row["effect"]) if row["effect"] else ""
    return [row["id"], typeset(row["claimed"]), row["verdict"], effect, measured]


def listed(text: str) -> str:
    """Return the parts of a text as a list, inside the cell of a list table; a single one as it is."""
    parts = parts_of(text)
    return "\n    ".join(f"- {part}" for part in parts) if len(parts) > 1 else parts[0]


def parts_of(text: str) -> list[str]:
    """Split what semicolons separate, outside of brackets, and what begins with another batch size."""
    return [re.sub(r"^(?=[-+*#>])", r"\\", part) for part in re.split(r"; (?![^(]*\))|\. (?=batch )", typeset(text))]


def typeset(text: str) -> str:
    """Return a text as print has it: a minus, powers of ten, a space before the per cent, intervals on one line."""
    text = re.sub(r"\b(\d[\d.]*)e([+-]\d+)", power_of_ten, text)
    text = re.sub(r"(?<![\w)\]])-(?=\d)", "−", text)
    text = re.sub(r"\[[^\]]*\]", lambda interval: interval[0].replace(" ", NBSP), text)
    return re.sub(r"(?<=\d)%", f"{NBSP}%", text)


def power_of_ten(match: re.Match[str]) -> str:
    """Return 10⁻³ for 1e-3, 1.7 × 10⁻⁸ for 1.7e-08 and 1,190 for 1.19e+03."""
    mantissa, exponent = match[1], int(match[2])
    if 0 <= exponent <= 6:
        return f"{float(match[0]):,.0f}"
    power = f"10{str(exponent).translate(EXPONENTS)}"
    return power if mantissa == "1" else f"{mantissa}{NBSP}×{NBSP}{power}"


def flips() -> str:
    """Return the table of the verdicts that are not what the first rules gave, and why."""
    rows = [f"| {' | '.join(row)} |" for name in TITLES for row in changed(load(name) or {"claims": []})]
    return "\n".join(["| | by the first rules | now | why |", "|---|---|---|---|", *rows, ""])


def changed(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the claims whose verdict is not what the first rules gave: identity, verdict then and now, and why."""
    first = json.loads((FRAGMENTS.parent / "first_verdicts.json").read_text(encoding="utf-8"))
    pairs = [(first[row["id"]], row) for row in results["claims"] if row["id"] in first]
    return [
        (row["id"], before["verdict"], row["verdict"], before.get("why", "other runs"))
        for before, row in pairs
        if before["verdict"] != row["verdict"]
    ]


# The README of the whole


def with_table(readme: str) -> str:
    """Return the README with the table of chapter 37 as the results have it, in plain Markdown."""
    results = load("chapter37")
    assert results is not None
    rows = [(row["id"], typeset(row["claimed"]), row["verdict"], brief(row)) for row in results["claims"]]
    made = pipes(("", "claim", "verdict", "effect [95 % interval]"), rows)
    renewed, count = re.subn(r"(?m)^\| +\| claim.*\n(\|.*\n)+", lambda _: made, readme)
    assert count == 1, 'the README has no table with the column "claim"'
    return renewed


def brief(row: dict[str, str]) -> str:
    """Return the effect of a claim, a line for each comparison; where there is none, what was measured."""
    return "<br>".join(parts_of(row["effect"] or row["measured"]))


# The page of results


def page() -> str:
    """Return the page as Markdown: an overview, a section for each experiment, and how the results were made."""
    there = {name: results for name in TITLES if (results := load(name)) is not None}
    head = (
        "# All verdicts\n\n"
        "How many claims of each text hold, and which. The page of each experiment has the figures, the effects with "
        "their intervals, and what was measured. [The experiments](../experiments/index.md) explain the words, "
        "and [the rules](../experiments/rules.md) have the reason for each verdict. "
        "[`make_page.py`](make_page.py) writes this page from the results beside it.\n"
    )
    sections = [
        f"## {TITLES[name]}\n\n[The experiment]({page_of(name)})\n\n{verdicts(results)}"
        for name, results in there.items()
    ]
    files = "## How the results were made\n\n" + provenance(there)
    return "\n".join([head, overview(there), *sections, files])


def page_of(name: str) -> str:
    """Return the link to the page that describes an experiment."""
    return PAGES.get(name, f"../experiments/{name}.md")


def overview(there: dict[str, dict[str, Any]]) -> str:
    """Return the table that counts the verdicts."""
    counts = {name: Counter(row["verdict"] for row in results["claims"]) for name, results in there.items()}
    rows = [
        (f"[{title}]({page_of(name)})", counted(counts[name]) if name in counts else "not run in full yet")
        for name, title in TITLES.items()
    ]
    return pipes(("", "claims"), [*rows, ("all", counted(sum(counts.values(), Counter())))])


def counted(counts: Counter[str]) -> str:
    """Return how often there is each verdict, in words."""
    return ", ".join(f"{counts[verdict]}{NBSP}{words}" for verdict, words in VERDICTS.items() if counts[verdict])


def verdicts(results: dict[str, Any]) -> str:
    """Return the table of an experiment's claims and verdicts."""
    rows = [(row["id"], typeset(row["claimed"]), row["verdict"]) for row in results["claims"]]
    return pipes(("", "claim", "verdict"), rows)


def provenance(there: dict[str, dict[str, Any]]) -> str:
    """Return the table of the runs behind each experiment, and of their files."""
    rows = []
    for name, results in there.items():
        script = name.removesuffix("_gpu")  # the benchmark has two files of results
        files = f"[`{name}.json`]({name}.json) by [`{script}.py`](../../examples/{script}.py)"
        runs = f"{len(results['runs'])} with {seeds(results)}"
        rows.append((files, runs, f"{hours(results)} hours on {machine(results)}"))
    return pipes(("every number", "runs", "time, one run after the other"), rows)


def pipes(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table of plain Markdown."""
    rule = "|" + "---|" * len(heads)
    return "\n".join(["| " + " | ".join(heads) + " |", rule, *(f"| {' | '.join(row)} |" for row in rows), ""])


def made(name: str, results: dict[str, Any], folder: str) -> str:
    """Return how the results were made: how many runs, how long they took, and on what."""
    script = name.removesuffix("_gpu")
    return (
        f"{len(results['runs'])} runs with {seeds(results)}, {hours(results)} hours in all, one run after the other, "
        f"on {machine(results)}. Script: [`{script}.py`](../../examples/{script}.py); every number: "
        f"[`{name}.json`]({folder}{name}.json).\n"
    )


def seeds(results: dict[str, Any]) -> str:
    """Return how many seeds each run has."""
    found: dict[str, set[int]] = {}
    for run in results["runs"]:
        found.setdefault(run["name"], set()).add(run["seed"])
    most = max(map(len, found.values()))
    fewer = [f"{run}: {len(of_run)}" for run, of_run in found.items() if len(of_run) < most]
    where = f" (fewer where a run is long: {', '.join(fewer)})" if fewer else ""
    return f"{most} seed{'s' * (most > 1)} each{where}"


def hours(results: dict[str, Any]) -> str:
    """Return how many hours the runs took, one after the other."""
    seconds = (run.get("seconds", sum(run.get("history", {}).get("seconds", []))) for run in results["runs"])
    return f"{sum(seconds) / 3600:.1f}"


def machine(results: dict[str, Any]) -> str:
    """Return on what the runs were made."""
    environment = results["environment"]
    return f"{environment['cpu']} with NumPy {environment['numpy']} and {environment['blas']}"


if __name__ == "__main__":
    main()
