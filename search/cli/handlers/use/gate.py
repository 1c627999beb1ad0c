"""`foldtune gate`."""

from __future__ import annotations

from pathlib import Path

import typer

from foldtune.results.tables.gates_table import gates_table
from foldtune.search.assess.gates import evaluate_gates, read_gates
from foldtune.search.cli.options import TableOrJson
from foldtune.search.cli.terminal import output, print_json
from foldtune.search.runs.lookup import find_ensemble, read_ensemble


def check_gates(name: str, storage: str, gates: Path, format: TableOrJson) -> None:
    """Print whether each condition holds for an ensemble.

    Args:
        name: name or folder of a run, or an ensemble's folder.
        storage: folder or URL of the runs.
        gates: the YAML list of conditions.
        format: form of the output.

    Raises:
        typer.Exit: with 1, where a condition fails.
    """
    conditions = read_gates(gates)
    description = read_ensemble(name, storage)
    verdicts = [verdict.to_dict() for verdict in evaluate_gates(conditions, description)]
    directory = find_ensemble(name, storage)
    if (stored := directory.read_oof()) is not None and description.get("task") is not None:
        from foldtune.search.assess.held_out import of_stored  # heavy: the task's metrics

        of_stored(directory, name, description, stored)  # refuses figures that the rows contradict
    passed = all(verdict["passed"] for verdict in verdicts)
    if format is TableOrJson.json:
        print_json({"passed": passed, "gates": verdicts})
    else:
        output().print(gates_table(verdicts, title=f"{name}: cross-fitted figures"))
    if not passed:
        raise typer.Exit(1)
