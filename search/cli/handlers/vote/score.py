"""`foldtune score`."""

from __future__ import annotations

from pathlib import Path

from foldtune.results.tables.ensemble_table import scores_line
from foldtune.results.tables.scores_table import scores_table
from foldtune.search.assess.scoring import score_ensemble
from foldtune.search.assess.sweep_files import check_test_images
from foldtune.search.cli.options import TableOrJson
from foldtune.search.cli.terminal import heading, note, output, print_json
from foldtune.search.runs.group import find_group
from foldtune.search.runs.run import open_run


def score_run(name: str, storage: str, labels: Path, format: TableOrJson) -> None:
    """Print the metrics of an ensemble on labelled test rows, of several targets each.

    Args:
        name: name or folder of a run, or of a group of targets.
        storage: folder or URL of the runs.
        labels: CSV of the test rows with their labels.
        format: form of the output.

    Raises:
        InputError: labels that do not fit, or images that have changed since they were predicted.
    """
    group = find_group(name, storage)
    runs = {name: open_run(name, storage)} if group is None else group.open_all()
    figures = {target: score_ensemble(run, labels) for target, run in runs.items()}
    unknown = [text for run in runs.values() if (text := check_test_images(run, None))]
    for text in dict.fromkeys(unknown):
        note(text)
    if format is TableOrJson.json:
        print_json(figures[name] if group is None else figures)
        return
    for target, run in runs.items():
        if group is not None:
            heading(target)
        line = scores_line(run.store.ensemble.read() or {"voting": None})
        output().print(
            scores_table(figures[target], run.goal.metric, run.task.metrics, f"ensemble: {line}" if line else "")
        )
