"""Write what the results say as pages: claimed beside measured, and the figures.

From the JSON files of this folder, whichever are there, come README.md here, which has all experiments one after the
other, and a fragment for each page of docs/experiments to include: docs/experiments/_tables/<script>.md. No number of
these is typed by hand, and a test compares them with the results.

python docs/results/make_page.py
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FRAGMENTS = FOLDER.parent / "experiments" / "_tables"
TITLES = {  # in the order of the page
    "chapter37": "Chapter 37: the effect of the batch size",
    "chapter38": "Chapter 38: the effect of the learning rate",
    "chapter39": "Chapter 39: what the batch size does to the gradient",
    "learning_rate": "What the learning rate is, and how to choose it",
    "fine_tuning": "Fine-tuning: the recipe of eight lines",
    "overfitting": "Why does a larger batch overfit?",
    "optimizers": "Momentum and other optimisers",
    "benchmark": "Speed",
    "benchmark_gpu": "Speed on a GPU",
}


def main() -> None:
    """Write the page and the fragments."""
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")
    FRAGMENTS.mkdir(exist_ok=True)
    for name in TITLES:
        (FRAGMENTS / f"{name}.md").write_text(fragment(name), encoding="utf-8")


def page() -> str:
    """Return the page as Markdown: a section for each experiment whose results are here."""
    head = (
        "# What the sources claim, and what was measured\n\n"
        "Written by [`make_page.py`](make_page.py) from the results beside it. A number with ± is mean and standard "
        "deviation over the seeds; the rules by which claims count as reproduced are in `examples/lab/verdicts`.\n"
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
    return f"{figures(name, folder)}\n{{.stacked .verdicts}}\n{table(results)}\n{made(name, results, folder)}"


def load(name: str) -> dict[str, Any] | None:
    """Return the results of an experiment, None if it has not been run in full."""
    path = FOLDER / f"{name}.json"
    results: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return results


def figures(name: str, folder: str) -> str:
    """Return a paragraph with each figure of an experiment: the one of its name first, then those that add to it."""
    paths = sorted({*FOLDER.glob(f"{name}.png"), *FOLDER.glob(f"{name}_*.png")}, key=lambda path: path.stem)
    paths = [path for path in paths if name.endswith("_gpu") or not path.stem.endswith("_gpu")]  # results of their own
    return "\n".join(f"![{TITLES[name]}]({folder}{path.name})\n" for path in paths)


def table(results: dict[str, Any]) -> str:
    """Return the table of claims."""
    rows = [f"| {row['id']} | {row['claimed']} | {row['measured']} | {row['verdict']} |" for row in results["claims"]]
    return "\n".join(["| | claimed | measured | verdict |", "|---|---|---|---|", *rows, ""])


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
