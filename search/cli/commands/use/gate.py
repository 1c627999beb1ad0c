"""`foldtune gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import Storage, TableOrJson
from foldtune.search.cli.terminal import output, print_json


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def gate(
        run: Annotated[
            str,
            typer.Argument(
                metavar="RUN|ENSEMBLE",
                help="A run: its name under the storage or its folder; or an ensemble's folder.",
                show_default=False,
            ),
        ],
        gates: Annotated[Path, typer.Argument(metavar="GATES", help="A YAML list of conditions.", show_default=False)],
        format: Annotated[TableOrJson, typer.Option(help="How it is printed.")] = TableOrJson.table,
        storage: Storage = "runs",
    ) -> None:
        """Check conditions on what an ensemble is worth on rows that it has not seen; exit with 1 where one fails.

        The figures are those of ensemble.json, cross-fitted: metrics of the whole, or precision, recall, f1 and support
        of a class. The file is a YAML list; an entry is a line, like macro_f1 > 0.6 or recall of mel >= 0.7, or a
        mapping, like {metric: precision, class: bcc, above: 0.5}, with one of above, at_least, below, at_most.

        foldtune gate skin gates.yaml
        foldtune gate runs/skin/ensemble gates.yaml --format json
        """
        from foldtune.results.tables.gates_table import gates_table
        from foldtune.search.assess.gates import evaluate_gates, read_gates
        from foldtune.search.runs.lookup import read_ensemble

        conditions = read_gates(gates)
        verdicts = [verdict.to_dict() for verdict in evaluate_gates(conditions, read_ensemble(run, storage))]
        passed = all(verdict["passed"] for verdict in verdicts)
        if format is TableOrJson.json:
            print_json({"passed": passed, "gates": verdicts})
        else:
            output().print(gates_table(verdicts, title=f"{run}: cross-fitted figures"))
        if not passed:
            raise typer.Exit(1)
