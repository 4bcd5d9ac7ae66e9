"""Write the page of results, README.md in this folder, from the results: what was claimed beside what was measured.

python docs/results/make_page.py
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
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
    """Write the page."""
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page as Markdown: a section for each experiment whose results are here."""
    found = {name: FOLDER / f"{name}.json" for name in TITLES}
    sections = [
        section(name, json.loads(path.read_text(encoding="utf-8"))) for name, path in found.items() if path.exists()
    ]
    head = (
        "# What the sources claim, and what was measured\n\n"
        "Written by [`make_page.py`](make_page.py) from the results beside it. A number with ± is mean and standard "
        "deviation over the seeds; by which rule a claim counts as reproduced is said in `verdicts` of each script.\n"
    )
    return "\n".join([head, *sections])


def section(name: str, results: dict[str, Any]) -> str:
    """Return the section of an experiment: its figures, its table, and how it was made."""
    on_gpu = name.endswith("_gpu")
    figures = sorted(path.name for path in FOLDER.glob(f"{name}*.png") if ("_gpu" in path.name) == on_gpu)
    rows = [f"| {row['id']} | {row['claimed']} | {row['measured']} | {row['verdict']} |" for row in results["claims"]]
    seeds: dict[str, set[int]] = {}
    for run in results["runs"]:
        seeds.setdefault(run["name"], set()).add(run["seed"])
    counts = sorted({len(found) for found in seeds.values()}, reverse=True)
    most = counts[0]
    fewer = [f"{run}: {len(found)}" for run, found in seeds.items() if len(found) < most]
    hours = sum(run.get("seconds", sum(run.get("history", {}).get("seconds", []))) for run in results["runs"]) / 3600
    environment = results["environment"]
    script = name.removesuffix("_gpu")  # the benchmark has two files of results
    made = (
        f"{len(results['runs'])} runs with {most} seed{'s' * (most > 1)} each"
        + (f" (fewer where a run is long: {', '.join(fewer)})" if fewer else "")
        + f", {hours:.1f} hours in all, one run after the other, on {environment['cpu']} with "
        f"NumPy {environment['numpy']} and {environment['blas']}. "
        f"Script: [`{script}.py`](../../examples/{script}.py); every number: [`{name}.json`]({name}.json)."
    )
    return "\n".join(
        [
            f"## {TITLES[name]}\n",
            *(f"![{TITLES[name]}]({figure})\n" for figure in figures),
            "| | claimed | measured | verdict |",
            "|---|---|---|---|",
            *rows,
            "",
            made,
            "",
        ]
    )


if __name__ == "__main__":
    main()
