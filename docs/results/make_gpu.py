"""Write docs/practice/gpu.md from docs/practice/gpu.md.in: each $name becomes what gpu_parity.json beside it says.

python docs/results/make_gpu.py
"""

import json
import sys
from pathlib import Path
from string import Template
from typing import Any

PAGES = Path(__file__).parent.parent / "practice"
sys.path.insert(0, str(Path(__file__).parent))

from make_page import typeset  # noqa: E402


def main() -> None:
    """Write the page."""
    (PAGES / "gpu.md").write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page as Markdown."""
    report = json.loads((PAGES / "gpu_parity.json").read_text(encoding="utf-8"))
    text = (PAGES / "gpu.md.in").read_text(encoding="utf-8")
    facts = {"layers": layers(report), "optimizers": optimizers(report), "epochs": epochs(report)}
    return Template(text).substitute(report["environment"] | facts)


def layers(report: dict[str, Any]) -> str:
    """Return the largest differences of layers and losses, by precision."""
    rows = ["| | float32 | float64 |", "|---|---:|---:|"]
    for kind, columns in (("layer", ("y", "dx", "dparams")), ("loss", ("value", "gradient"))):
        found: dict[str, dict[str, float]] = {}
        for row in report["layers" if kind == "layer" else "losses"]:
            found.setdefault(row[kind], {})[row["dtype"]] = max(row[column] for column in columns)
        rows += [f"| `{name}` | {shown(by['float32'])} | {shown(by['float64'])} |" for name, by in found.items()]
    return "\n".join(rows)


def optimizers(report: dict[str, Any]) -> str:
    """Say how many optimisers make the same steps on both."""
    rows = report["optimizers"]
    plain, fused = (sum(row[key] for row in rows) for key in ("same bits", "same bits fused"))
    every = f"all {len(rows)} cases" if plain == fused == len(rows) else f"{plain} and {fused} of {len(rows)} cases"
    return (
        "After a hundred steps with gradients of all sizes, parameters and state have the same bits as on the CPU in "
        f"{every} (six optimisers, kinds of weight decay, both precisions), with a kernel for each operation and with "
        "one for the whole formula."
    )


def epochs(report: dict[str, Any]) -> str:
    """Return what one epoch of chapter 37 comes to on both."""
    rows = ["| batch size | parameters differ by | test accuracy, CPU | test accuracy, GPU |", "|---:|---:|---:|---:|"]
    for row in report["chapter 37"]:
        accuracies = (f"{100 * row[f'test_accuracy on {where}']:.2f} %" for where in ("CPU", "GPU"))
        rows.append(f"| {row['batch size']} | {shown(row['parameters'])} | {' | '.join(accuracies)} |")
    return "\n".join(rows)


def shown(difference: float) -> str:
    """Return a difference with two digits, as print has it."""
    return typeset(f"{difference:.1e}") if difference else "0"


if __name__ == "__main__":
    main()
