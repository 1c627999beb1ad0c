"""`foldtune report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from foldtune.paths import safe_name
from foldtune.results.runs.names import no_ensemble
from foldtune.results.tables.model_table import model_table
from foldtune.search.assess.report import Report, make_report
from foldtune.search.cli.options import TableOrJson
from foldtune.search.cli.terminal import heading, note, output, print_json
from foldtune.search.runs.run import Run


def write_report(
    runs: Mapping[str | None, Run], folder: Path, format: TableOrJson, *, timing: bool, device: str | None
) -> None:
    """Write the files of the report of runs, by target, and print the figures.

    Args:
        folder: the folder to write; each of several targets has one of its own in it.
        timing: whether to time each model's inference.
        device: device of the timing, None for a GPU where there is one.
    """
    reports = {target: make_report(run, timing=timing, device=device) for target, run in runs.items()}
    written = {target: report.write(folder / safe_name(target or "")) for target, report in reports.items()}
    if format is TableOrJson.json:
        values = {target: report.to_dict() for target, report in reports.items()}
        print_json(values.get(None, values))
        return
    for target, run in runs.items():
        heading(target)
        _show(run, reports[target], written[target])


def _show(run: Run, report: Report, written: Sequence[Path]) -> None:
    console = output()
    console.print(model_table(report.models, run.goal, width=console.width))
    note(f"in {written[0].parent}: {', '.join(path.name for path in written)}")
    if report.estimate is None:
        note(f"no figures of the classes: {no_ensemble(run.store.name)}")
