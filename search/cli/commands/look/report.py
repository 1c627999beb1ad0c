"""`foldtune report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foldtune.search.cli.options import RunName, Storage, TableOrJson
from foldtune.search.cli.terminal import note, output, print_json

if TYPE_CHECKING:
    from foldtune.search.assess.report import Report
    from foldtune.search.runs.run import Run


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def report(
        run: RunName,
        folder: Annotated[
            Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write.", show_default=False)
        ],
        timing: Annotated[bool, typer.Option("--timing/--no-timing", help="Time each model's inference here.")] = True,
        device: Annotated[
            str | None, typer.Option(help="Where it is timed: cpu, cuda …; a GPU where there is one by default.")
        ] = None,
        format: Annotated[TableOrJson, typer.Option(help="How it is printed.")] = TableOrJson.table,
        storage: Storage = "runs",
    ) -> None:
        """Write the figures by which a team judges a run and chooses a model: CSV and JSON files in a folder.

        models.csv holds the best trial of each model: metric, parameters in millions, training time, images a second in
        training, milliseconds an image in prediction (measured here on batches of 32, without decoding). Of an
        ensemble, on its cross-fitted predictions: per_class.csv and per_class.json (precision, recall, F1, rows) and,
        where each image has one label, confusion.csv.

        Of several targets each has a folder of its own in it.

        foldtune report skin --output report
        """
        from foldtune.search.assess.report import make_report
        from foldtune.search.runs.group import open_targets

        runs = open_targets(run, storage)
        made = {target: make_report(each, timing=timing, device=device) for target, each in runs.items()}
        written = {target: each.write(folder / (target or "")) for target, each in made.items()}
        if format is TableOrJson.json:
            told = {target: each.to_dict() for target, each in made.items()}
            print_json(told.get(None, told))
            return
        for target, each in runs.items():
            if target is not None:
                output().print(f"target {target}", style="bold")
            _show(each, made[target], written[target])


def _show(run: Run, made: Report, written: Sequence[Path]) -> None:
    from foldtune.results.runs.names import no_ensemble
    from foldtune.results.tables.model_table import model_table

    console = output()
    console.print(model_table(made.models, run.goal, width=console.width))
    note(f"in {written[0].parent}: {', '.join(path.name for path in written)}")
    if made.estimate is None:
        note(f"no figures of the classes: {no_ensemble(run.store.name)}")
