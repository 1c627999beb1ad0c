"""`foldtune compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.results.tables.compare_table import comparison_table
from foldtune.search.assess.comparison import compare
from foldtune.search.assess.held_out import find_held_out
from foldtune.search.cli.options import Format
from foldtune.search.cli.terminal import output, print_csv, print_json


def compare_held_out(
    names: tuple[str, str], storage: str, metric: str | None, format: Format, data: Path | None = None
) -> None:
    """Print the comparison of two runs, trials or ensembles.

    Args:
        names: the two sides, A and B.
        storage: folder or URL of the runs.
        metric: metric whose difference gets an interval, None for A's own.
        format: form of the output.
        data: where the runs' data.root lies now, None where it did not move.
    """
    first, second = (find_held_out(name, storage, data) for name in names)
    comparison = compare(first, second, metric)
    values = comparison.to_dict()
    if format is Format.json:
        print_json(values)
    elif format is Format.csv:
        print_csv(_frame(values))
    else:
        console = output()
        console.print(comparison_table(values, comparison.modes, width=console.width))


def _frame(comparison: dict[str, Any]) -> pd.DataFrame:
    """Return one row a figure, of all rows and then of each class; the metric of the comparison has its interval."""
    rows = [{"class": None, "figure": name, **values} for name, values in comparison["metrics"].items()]
    for row in rows:
        if row["figure"] == comparison["metric"]:
            row |= {bound: comparison["difference"][bound] for bound in ("low", "high")}
    for of_class in comparison["per_class"]:
        rows += [
            {
                "class": of_class["label"],
                "figure": name,
                "a": value,
                "b": of_class["b"][name],
                "difference": of_class["b"][name] - value,
            }
            for name, value in of_class["a"].items()
        ]
    return pd.DataFrame(rows, columns=["class", "figure", "a", "b", "difference", "low", "high"])
