"""What README and docs show is what the code does and what was measured."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_figures_can_be_made(tmp_path):
    figures = ROOT / "docs" / "figures"
    subprocess.run([sys.executable, figures / "make_figures.py", tmp_path], check=True)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in figures.glob("*.png")} == {
        "augmentation.png",
        "lr_range_test.png",
        "schedules.png",
    }
