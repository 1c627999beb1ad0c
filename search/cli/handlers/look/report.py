"""`foldtune report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foldtune.paths import safe_name
from foldtune.results.runs.names import no_ensemble
from foldtune.results.tables.model_table import model_table
from foldtune.search.assess.report import Report, make_report
from foldtune.search.cli.options import TableOrJson
from foldtune.search.cli.terminal import heading, note, output, print_json
from foldtune.search.runs.group import open_targets
from foldtune.search.runs.run import Run, with_data


@dataclass(frozen=True)
class ReportRequest:
    """What to report.

    Attributes:
        run: name or folder of a run, or of a group of targets.
        storage: folder or URL of the runs.
        folder: the folder to write.
        timing: whether to time each model's inference.
        device: device of the timing, None for a GPU where there is one.
        data: where the run's data.root lies now, None where it did not move.
    """

    run: str
    storage: str
    folder: Path
    timing: bool
    device: str | None
    data: Path | None = None


def write_report(request: ReportRequest, format: TableOrJson) -> None:
    """Write the files of a run's report, of several targets each, and print the figures."""
    runs = dict(open_targets(request.run, request.storage))
    if request.data is not None:
        runs = {target: with_data(run, request.data) for target, run in runs.items()}
    reports = {target: make_report(run, timing=request.timing, device=request.device) for target, run in runs.items()}
    written = {target: report.write(request.folder / safe_name(target or "")) for target, report in reports.items()}
    if format is TableOrJson.json:
        values = {target: report.to_dict() for target, report in reports.items()}
        print_json(values.get(None, values))
        return
    for target, run in runs.items():
        if target is not None:
            heading(target)
        _show(run, reports[target], written[target])


def _show(run: Run, report: Report, written: Sequence[Path]) -> None:
    console = output()
    console.print(model_table(report.models, run.goal, width=console.width))
    note(f"in {written[0].parent}: {', '.join(path.name for path in written)}")
    if report.estimate is None:
        note(f"no figures of the classes: {no_ensemble(run.store.name)}")
