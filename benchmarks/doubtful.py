"""Doubtful labels that were made: all handwritten digits, one label in twenty swapped, searched, voted and audited.

`python -m benchmarks.doubtful [--folder DIR]`
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from foldtune.search.cli.main import run

SWAPPED, INSPECTED = 0.05, 0.08
"""Share of labels that are swapped, and share of rows at the top of the ranking that is inspected."""


def write_data(folder: Path, seed: int = 0) -> frozenset[str]:
    """Write all 1,797 digits with labels, some of them swapped for another at random; return the names of those."""
    digits, rng = load_digits(), np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    swapped = set(rng.choice(len(digits.target), round(SWAPPED * len(digits.target)), replace=False).tolist())
    rows = []
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target.tolist(), strict=True)):
        name = f"d{number:04d}.png"
        Image.fromarray((pixels * 15.9).astype(np.uint8)).save(folder / "images" / name)
        rows.append((name, (label + int(rng.integers(1, 10))) % 10 if number in swapped else label))
    pd.DataFrame(rows, columns=["image", "label"]).to_csv(folder / "train.csv", index=False)
    return frozenset(f"d{number:04d}.png" for number in swapped)


def write_config(folder: Path) -> Path:
    """Write the configuration of a small search and five folds."""
    config = {
        "name": "digits",
        "task": "multiclass",
        "data": {"train": "train.csv", "images": "images", "target": "label", "image_size": 32},
        "space": {
            "model_name": "test_resnet",
            "pretrained": False,
            "amp": "off",
            "channels_last": True,
            "lr": 0.01,
            "batch_size": 32,
            "augmentation": "none",
        },
        "search": {"metric": "accuracy", "num_samples": 1, "max_epochs": 8},
        "ensemble": {"top": 1, "folds": 5},
        "storage": str(folder / "runs"),
    }
    path = folder / "digits.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def recall(table: pd.DataFrame, swapped: frozenset[str], rows: int) -> float:
    """Return the share of swapped labels among the `INSPECTED` most doubtful of all rows."""
    ranked = table[table["finding"] == "doubtful_label"]["image"].tolist()
    return len(swapped & set(ranked[: round(INSPECTED * rows)])) / len(swapped)


def main() -> None:
    """Print the share of swapped labels at the top of the ranking."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp(prefix="doubtful-"))
    swapped = write_data(folder)
    name = str(folder / "runs/digits")
    for command in (
        ["search", str(write_config(folder))],
        ["ensemble", name],
        ["audit", name, "-o", str(folder / "a")],
    ):
        if code := run(command):
            raise SystemExit(code)
    found = recall(pd.read_csv(folder / "a/audit.csv", dtype=str, keep_default_na=False), swapped, 1797)
    print(f"{found:.1%} of {len(swapped)} swapped labels are among the first {INSPECTED:.0%} of the ranking")


if __name__ == "__main__":
    main()
