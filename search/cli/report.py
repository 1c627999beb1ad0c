"""`foldtune report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import RunName, Storage, TableOrJson
from search.cli.terminal import note, output, print_json


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

        foldtune report skin --output report
        """
        from results.errors import no_ensemble
        from results.modeltable import model_table
        from search.report import make_report
        from search.runs import open_run

        opened = open_run(run, storage)
        made = make_report(opened, timing=timing, device=device)
        written = made.write(folder)
        if format is TableOrJson.json:
            print_json(made.to_dict())
            return
        console = output()
        console.print(model_table(made.models, opened.goal.metric, opened.goal.mode, width=console.width))
        note(f"in {folder}: {', '.join(path.name for path in written)}")
        if made.estimate is None:
            note(f"no figures of the classes: {no_ensemble(run)}")
