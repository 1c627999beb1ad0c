"""`foldtune gate` and `promote`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from foldtune.errors import RunCorrupt
from foldtune.paths import check_output
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.model_dir import ModelDir
from foldtune.results.tables.compare_table import comparison_table
from foldtune.results.tables.gates_table import gates_table
from foldtune.search.assess.gates import evaluate_gates, read_gates
from foldtune.search.assess.promotion import PromotionDecision, decide_promotion, promote
from foldtune.search.cli.options import TableOrJson
from foldtune.search.cli.terminal import note, output, print_json
from foldtune.search.runs.group import find_ensemble, read_ensemble


@dataclass(frozen=True)
class PromotionRequest:
    """The arguments of `foldtune promote`."""

    ensemble: str
    storage: str
    to: str
    gates: Path | None
    min_gain: float
    force: bool


@dataclass(frozen=True)
class Promotion:
    """What came of it.

    Attributes:
        allowed: whether the ensemble is in use now.
        backup: the model that was in use before, None where there was none or nothing was exchanged.
    """

    decision: PromotionDecision
    allowed: bool
    current: ModelDir
    backup: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        comparison = self.decision.comparison
        return {
            "promoted": self.allowed,
            "reasons": list(self.decision.reasons),
            "to": str(self.current.root),
            "backup": None if self.backup is None else str(self.backup),
            "comparison": None if comparison is None else comparison.to_dict(),
            "gates": [verdict.to_dict() for verdict in self.decision.verdicts],
        }


def promote_ensemble(request: PromotionRequest, format: TableOrJson) -> None:
    """Compare an ensemble with the model in use, exchange them where it is better, and print why or why not.

    Raises:
        typer.Exit: with 1, where it is not promoted.
    """
    promotion = _promote(request)
    if format is TableOrJson.json:
        print_json(promotion.to_dict())
    else:
        _show(promotion)
    if not promotion.allowed:
        raise typer.Exit(1)


def roll_back(folder: str, format: TableOrJson) -> None:
    """Put the newest backup of a model's folder into use again."""
    current = _model(folder, "--rollback")
    current.check_not_foreign()
    with current.lock():
        back, withdrawn = current.rollback()
    if format is TableOrJson.json:
        print_json({"to": str(current.root), "backup": str(back), "withdrawn": str(withdrawn) if withdrawn else None})
        return
    console = output()
    console.print(f"{current.root} is {back.name} again", style="bold green", soft_wrap=True)
    if withdrawn is not None:
        console.print(f"the model that was in use is kept as {withdrawn.name}", soft_wrap=True)


def _promote(request: PromotionRequest) -> Promotion:
    conditions = [] if request.gates is None else read_gates(request.gates)
    current = _model(request.to, "--to")
    new = find_ensemble(request.ensemble, request.storage)
    current.check_not_foreign()
    with current.lock():
        if (restored := current.recover()) is not None:
            note(f"an exchange was killed halfway: {current.root} is {restored.name} again")
        decision = decide_promotion(
            new, request.ensemble, current, conditions, min_gain=request.min_gain, force=request.force
        )
        allowed = decision.allows(force=request.force)
        backup = promote(new, current, decision, request.ensemble) if allowed else None
    return Promotion(decision, allowed, current, backup)


def _model(folder: str, flag: str) -> ModelDir:
    if "://" in folder:
        raise typer.BadParameter(
            "must be a folder, in which an exchange is whole; copy it from there", param_hint=folder
        )
    check_output(Path(folder), is_folder=True, name=flag)
    return ModelDir(Path(folder))


def _show(promotion: Promotion) -> None:
    console, decision, folder = output(), promotion.decision, promotion.current.root
    if decision.comparison is not None:
        modes = decision.comparison.modes
        console.print(comparison_table(decision.comparison.to_dict(), modes, width=console.width))
    if decision.verdicts:
        console.print(gates_table([verdict.to_dict() for verdict in decision.verdicts], title="gates"))
    for reason in decision.reasons:
        console.print(f"{'forced, though' if promotion.allowed else 'refused'}: {reason}", soft_wrap=True)
    if not promotion.allowed:
        left = "is as it was" if promotion.current.exists() else "holds no model yet"
        console.print(f"{folder} {left}", soft_wrap=True)
        return
    console.print(f"promoted to {folder}", style="bold green", soft_wrap=True)
    if promotion.backup is not None:
        console.print(
            f"the one before is {promotion.backup.name}; back to it: foldtune promote --rollback {folder}",
            soft_wrap=True,
        )


def check_gates(name: str, storage: str, gates: Path, format: TableOrJson) -> None:
    """Print whether each condition of a YAML list holds for an ensemble, named by its run or its folder.

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
