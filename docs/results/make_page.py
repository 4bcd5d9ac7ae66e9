"""Write what the results say as pages: claimed beside measured, and the figures.

From the JSON files of this folder, whichever are there, come README.md here, which has all experiments one after the
other; a fragment for each page of docs/experiments to include: docs/experiments/_tables/<script>.md; the table of the
verdicts that new rules changed; and the table in the README of the whole. No number of these is typed by hand, and a
test compares them with the results.

Verdicts follow from rules. When these have changed, --judge first judges the results anew: only their "claims" change.

python docs/results/make_page.py [--judge]
"""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
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
ALTS = {  # what the further figures of an experiment show; the first has its title
    "chapter38_papers": "Chapter 38: a smaller learning rate or a larger batch, and the gap of a large batch",
    "optimizers_trajectories": "The paths of six optimisers through a ravine, a saddle, a plateau and a double well",
    "benchmark_cost": "Cost against batch size, width and number of samples",
    "benchmark_roofline": "Speed of each part below the roofs, and its fraction of the time",
}

NEWER_RULES = """
```{{note}}
The verdicts on {} follow [newer rules](rules.md#what-the-new-rules-changed) than the text of this page, which argues
with the first ones.
```
"""


def main() -> None:
    """Write the pages and the fragments."""
    if "--judge" in sys.argv:
        judge_anew()
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")
    FRAGMENTS.mkdir(exist_ok=True)
    for name in TITLES:
        (FRAGMENTS / f"{name}.md").write_text(fragment(name), encoding="utf-8")
    (FRAGMENTS / "flips.md").write_text(flips(), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")


def judge_anew() -> None:
    """Apply the rules of the scripts to the committed results."""
    sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
    from lab.results import Results

    for path in FOLDER.glob("*.json"):
        results = object.__new__(Results)
        results.path, results.data = path, json.loads(path.read_text(encoding="utf-8"))
        results.save(importlib.import_module(path.stem.removesuffix("_gpu")).verdicts(results))


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


def with_table(readme: str) -> str:
    """Return the README with the table of chapter 37 as the results have it."""
    results = load("chapter37")
    assert results is not None
    made = table(results, "measured: mean ± standard deviation over five seeds")
    return re.sub(r"(?m)^\| \| claimed \| measured.*\n(\|.*\n)+", lambda _: made, readme)


def page() -> str:
    """Return the page as Markdown: a section for each experiment whose results are here."""
    head = (
        "# What the sources claim, and what was measured\n\n"
        "Written by [`make_page.py`](make_page.py) from the results beside it. A number with ± is mean and standard "
        "deviation over the seeds; brackets hold the 95 % interval of a mean over the seeds, or of a difference paired "
        "by seed. The rules by which claims are judged, and the reason for each, are in "
        "[docs/experiments/rules.md](../experiments/rules.md).\n"
    )
    sections = [
        f"## {TITLES[name]}\n\n{figures(name, '')}\n{table(results)}\n{made(name, results, '')}"
        for name in TITLES
        if (results := load(name)) is not None
    ]
    return "\n".join([head, *sections])


def fragment(name: str) -> str:
    """Return figures and table of an experiment, as the pages in docs/experiments include them."""
    results = load(name)
    if results is None:
        return (
            "```{note}\nThis experiment has not been run in full yet: there are no results to show. "
            f"`examples/{name}.py` makes them.\n```\n"
        )
    folder = "../results/"
    shown = f"{figures(name, folder)}\n{{.stacked .verdicts}}\n{table(results)}\n{made(name, results, folder)}"
    turned = [identity for identity, _, now, _ in changed(results) if now != "holds by definition"]
    return shown + (NEWER_RULES.format(", ".join(turned)) if turned and name != "benchmark" else "")


def load(name: str) -> dict[str, Any] | None:
    """Return the results of an experiment, None if it has not been run in full."""
    path = FOLDER / f"{name}.json"
    results: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return results


def figures(name: str, folder: str) -> str:
    """Return a paragraph with each figure of an experiment: the one of its name first, then those that add to it."""
    paths = sorted({*FOLDER.glob(f"{name}.png"), *FOLDER.glob(f"{name}_*.png")}, key=lambda path: path.stem)
    paths = [path for path in paths if name.endswith("_gpu") or not path.stem.endswith("_gpu")]  # results of their own
    return "\n".join(f"![{ALTS.get(path.stem, TITLES[name])}]({folder}{path.name})\n" for path in paths)


def table(results: dict[str, Any], measured: str = "measured") -> str:
    """Return the table of claims."""
    columns = ("id", "claimed", "measured", "effect", "verdict")
    rows = [f"| {' | '.join(row[column] for column in columns)} |" for row in results["claims"]]
    return "\n".join(
        [f"| | claimed | {measured} | effect [95 % interval] | verdict |", "|---|---|---|---|---|", *rows, ""]
    )


def made(name: str, results: dict[str, Any], folder: str) -> str:
    """Return how the results were made: how many runs, how long they took, and on what."""
    seeds: dict[str, set[int]] = {}
    for run in results["runs"]:
        seeds.setdefault(run["name"], set()).add(run["seed"])
    most = max(len(found) for found in seeds.values())
    fewer = [f"{run}: {len(found)}" for run, found in seeds.items() if len(found) < most]
    hours = sum(run.get("seconds", sum(run.get("history", {}).get("seconds", []))) for run in results["runs"]) / 3600
    environment = results["environment"]
    script = name.removesuffix("_gpu")  # the benchmark has two files of results
    return (
        f"{len(results['runs'])} runs with {most} seed{'s' * (most > 1)} each"
        + (f" (fewer where a run is long: {', '.join(fewer)})" if fewer else "")
        + f", {hours:.1f} hours in all, one run after the other, on {environment['cpu']} with "
        f"NumPy {environment['numpy']} and {environment['blas']}. "
        f"Script: [`{script}.py`](../../examples/{script}.py); every number: [`{name}.json`]({folder}{name}.json).\n"
    )


if __name__ == "__main__":
    main()
