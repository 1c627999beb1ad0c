"""`foldtune thresholds`."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli.options import Format, RunName, Storage
from search.cli.terminal import output, print_json


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def thresholds(
        run: RunName,
        metric: Annotated[str | None, typer.Option(metavar="M", help="What to fit; the run's by default.")] = None,
        trial: Annotated[str | None, typer.Option(metavar="ID", help="One trial, with its fitted values.")] = None,
        top: Annotated[int, typer.Option(min=1, help="So many rows of a table.")] = 20,
        format: Annotated[Format, typer.Option(help="How it is printed.")] = Format.table,
        storage: Storage = "runs",
    ) -> None:
        """Refit every trial's post-processing from its stored scores; nothing is retrained.

        Shows the metric before, cross-fitted (no row is judged by a fit that saw it: the figure to believe), and on
        the rows of the fit (which flatters). The fitted values are in the JSON, or shown for one trial.
        """
        from dataclasses import asdict

        from results.refittable import refit_table
        from search.runs import open_run
        from search.thresholds import refit

        opened = open_run(run, storage)
        rows = [asdict(each) for each in refit(opened, metric, trial)]
        if format is Format.json:
            print_json(rows)
        elif format is Format.csv:
            import sys

            import pandas as pd

            pd.DataFrame(rows).drop(columns="postprocess").to_csv(sys.stdout, index=False)
        else:
            output().print(refit_table(rows, metric or opened.goal.metric, top))
