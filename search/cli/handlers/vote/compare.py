"""`foldtune compare` and `score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.results.tables.compare_table import comparison_table, scores_table
from foldtune.results.tables.ensemble_table import scores_line
from foldtune.search.assess.comparison import compare
from foldtune.search.assess.held_out import find_held_out
from foldtune.search.assess.scoring import score_ensemble
from foldtune.search.assess.sweep_files import check_test_images
from foldtune.search.cli.options import Format, TableOrJson
from foldtune.search.cli.terminal import heading, note, output, print_csv, print_json
from foldtune.search.runs.group import open_targets


def compare_held_out(
    names: tuple[str, str], storage: str, metric: str | None, format: Format, data: Path | None = None
) -> None:
    """Print the comparison of two runs, trials or ensembles, A and B; arguments as of the command."""
    first, second = (find_held_out(name, storage, data) for name in names)
    comparison = compare(first, second, metric)
    values = comparison.to_dict()
    if format is Format.json:
        print_json(values)
    elif format is Format.csv:
        print_csv(_frame(values))
    else:
        output().print(comparison_table(values, comparison.modes, width=output().width))


def score_run(name: str, storage: str, labels: Path, format: TableOrJson) -> None:
    """Print the metrics of a run's ensemble, of several targets each, on the test rows of a CSV with their labels.

    Raises:
        InputError: labels that do not fit, or images that have changed since they were predicted.
    """
    runs = open_targets(name, storage, whole=True)
    figures = {target: score_ensemble(run, labels, note) for target, run in runs.items()}
    for text in dict.fromkeys(check_test_images(run, None) for run in runs.values()):
        if text is not None:
            note(text)
    if format is TableOrJson.json:
        print_json(figures.get(None, figures))
        return
    for target, run in runs.items():
        heading(target)
        line = scores_line(run.store.ensemble.read() or {"voting": None})
        output().print(
            scores_table(figures[target], run.goal.metric, run.task.metrics, f"ensemble: {line}" if line else "")
        )


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
