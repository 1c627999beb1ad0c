"""`foldtune compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldtune.search.cli.options import Format, Storage
from foldtune.search.cli.terminal import output, print_json

if TYPE_CHECKING:
    import pandas as pd

SIDE = "a run (its best trial), the folder of one of its trials, or an ensemble's folder"


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def compare(
        a: Annotated[str, typer.Argument(metavar="A", help=f"{SIDE[0].upper()}{SIDE[1:]}.", show_default=False)],
        b: Annotated[str, typer.Argument(metavar="B", help="As A; differences are B less A.", show_default=False)],
        metric: Annotated[
            str | None, typer.Option(metavar="M", help="Whose difference gets an interval; A's own by default.")
        ] = None,
        format: Annotated[Format, typer.Option(help="How it is printed.")] = Format.table,
        storage: Storage = "runs",
    ) -> None:
        """Compare two runs, trials or ensembles on the held-out rows that both were judged on, class by class.

        Predictions are cross-fitted on both sides. The interval is of the paired difference over samples of the rows
        (whole groups where the data has groups): where it lies on one side of 0, the rows do tell which is better.

        foldtune compare skin skin/ensemble
        foldtune compare skin/trials/0004 skin/trials/0007 --metric macro_f1
        foldtune compare models/skin runs/skin2/ensemble --format json
        """
        from foldtune.results.tables.compare_table import comparison_table
        from foldtune.search.assess.comparison import compare as compare_rows
        from foldtune.search.assess.held_out import find_held_out

        first, second = (find_held_out(name, storage) for name in (a, b))
        comparison = compare_rows(first, second, metric)
        found = comparison.to_dict()
        if format is Format.json:
            print_json(found)
        elif format is Format.csv:
            import sys

            _frame(found).to_csv(sys.stdout, index=False)
        else:
            console = output()
            console.print(comparison_table(found, comparison.modes, width=console.width))


def _frame(found: dict[str, Any]) -> pd.DataFrame:
    """One row a figure: of the whole, then of each class. The interval stands beside the metric that decides."""
    import pandas as pd

    rows = [{"class": None, "figure": name, **values} for name, values in found["metrics"].items()]
    for row in rows:
        if row["figure"] == found["metric"]:
            row |= {bound: found["difference"][bound] for bound in ("low", "high")}
    for row in found["per_class"]:
        rows += [
            {
                "class": row["label"],
                "figure": name,
                "a": value,
                "b": row["b"][name],
                "difference": row["b"][name] - value,
            }
            for name, value in row["a"].items()
        ]
    return pd.DataFrame(rows, columns=["class", "figure", "a", "b", "difference", "low", "high"])
