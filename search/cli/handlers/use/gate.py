"""`foldtune gate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from foldtune.errors import RunCorrupt
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.tables.gates_table import gates_table
from foldtune.search.assess.gates import evaluate_gates, read_gates
from foldtune.search.cli.options import TableOrJson
from foldtune.search.cli.terminal import note, output, print_json
from foldtune.search.runs.group import find_ensemble, read_ensemble


def check_gates(name: str, storage: str, gates: Path, format: TableOrJson) -> None:
    """Print whether each condition holds for an ensemble.

    Args:
        name: name or folder of a run, or an ensemble's folder.
        storage: folder or URL of the runs.
        gates: the YAML list of conditions.
        format: form of the output.

    Raises:
        typer.Exit: with 1, where a condition fails.
        RunCorrupt: figures that the ensemble's out-of-fold rows contradict, or no such rows.
    """
    conditions = read_gates(gates)
    description = read_ensemble(name, storage)
    verdicts = [verdict.to_dict() for verdict in evaluate_gates(conditions, description)]
    _verify(find_ensemble(name, storage), name, description, [condition.metric for condition in conditions])
    passed = all(verdict["passed"] for verdict in verdicts)
    if format is TableOrJson.json:
        print_json({"passed": passed, "gates": verdicts})
    else:
        output().print(gates_table(verdicts, title=f"{name}: cross-fitted figures"))
    if not passed:
        raise typer.Exit(1)


def _verify(directory: EnsembleDir, name: str, description: Mapping[str, Any], metrics: Sequence[str]) -> None:
    from foldtune.search.assess.held_out import of_stored  # heavy: the task's metrics
    from foldtune.search.assess.stored_estimate import unverified

    stored = directory.read_oof()
    if stored is None:
        raise RunCorrupt(
            f"{directory.oof_path}: no such file, so nothing proves the figures of {directory.json_path.name}; "
            "run foldtune ensemble again"
        )
    task = of_stored(directory, name, description, stored).task
    if stated := sorted(unverified(task, description, stored) & set(metrics)):
        note(f"{', '.join(stated)}: as stated by {directory.json_path.name}; its out-of-fold rows cannot prove it")
