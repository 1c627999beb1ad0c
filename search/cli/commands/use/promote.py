"""`foldtune promote`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldtune.search.cli.options import Storage, TableOrJson
from foldtune.search.cli.terminal import note, output, print_json

if TYPE_CHECKING:
    from foldtune.results.runs.model_dir import ModelDir
    from foldtune.search.assess.promotion import PromotionDecision


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def promote(
        ensemble: Annotated[
            str | None,
            typer.Argument(help="The ensemble: its run's name, or its folder.", metavar="ENSEMBLE", show_default=False),
        ] = None,
        to: Annotated[
            str | None, typer.Option("--to", metavar="DIR", help="The folder of the model in use.", show_default=False)
        ] = None,
        gates: Annotated[
            Path | None, typer.Option(metavar="GATES", help="Conditions that must hold, as of foldtune gate.")
        ] = None,
        min_gain: Annotated[float, typer.Option(min=0.0, help="How much better it must be, in its metric.")] = 0.0,
        force: Annotated[
            bool, typer.Option("--force", help="Also where it is not better or cannot be compared; gates still hold.")
        ] = False,
        rollback: Annotated[
            str | None, typer.Option(metavar="DIR", help="Go back to the newest backup instead.", show_default=False)
        ] = None,
        format: Annotated[TableOrJson, typer.Option(help="How it is printed.")] = TableOrJson.table,
        storage: Storage = "runs",
    ) -> None:
        """Put an ensemble into use where it is better than the one in use; exit with 1 where it is not.

        Both are compared on the held-out rows that both were judged on, cross-fitted; gates ask for figures of the new
        one. The folder is exchanged as a whole, and the one before stays beside it as a dated backup. It holds all
        that foldtune predict needs.

        foldtune promote skin --to models/skin --gates gates.yaml
        foldtune predict models/skin new_images --output predictions.csv
        foldtune promote --rollback models/skin
        """
        if rollback is not None:
            if ensemble is not None or to is not None:
                raise typer.BadParameter(
                    "it takes the folder alone: foldtune promote --rollback DIR", param_hint="--rollback"
                )
            _rollback(rollback, format)
            return
        if ensemble is None or to is None:
            raise typer.BadParameter(
                "give both: foldtune promote ENSEMBLE --to DIR; or foldtune promote --rollback DIR",
                param_hint="ENSEMBLE and --to",
            )
        _promote(ensemble, to, gates, min_gain, force, format, storage)


def _promote(
    name: str, to: str, gates: Path | None, min_gain: float, force: bool, format: TableOrJson, storage: str
) -> None:
    from foldtune.search.assess.gates import read_gates
    from foldtune.search.assess.promotion import decide_promotion, promote
    from foldtune.search.runs.lookup import find_ensemble

    conditions = [] if gates is None else read_gates(gates)
    new, current = find_ensemble(name, storage), _model(to)
    current.check_not_foreign()
    with current.lock():
        if (halfway := current.recover()) is not None:
            note(f"an exchange was killed halfway: {current.root} is {halfway.name} again")
        decision = decide_promotion(new, name, current, conditions, min_gain=min_gain, force=force)
        allowed = decision.allows(force=force)
        backup = promote(new, current, decision, name) if allowed else None
    if format is TableOrJson.json:
        print_json(_told(decision, allowed, current, backup))
    else:
        _show(decision, allowed, current, backup)
    if not allowed:
        raise typer.Exit(1)


def _model(name: str) -> ModelDir:
    from foldtune.results.runs.model_dir import ModelDir

    if "://" in name:
        raise typer.BadParameter("must be a folder, in which an exchange is whole; copy it from there", param_hint=name)
    return ModelDir(Path(name))


def _told(decision: PromotionDecision, allowed: bool, current: ModelDir, backup: Path | None) -> dict[str, Any]:
    return {
        "promoted": allowed,
        "reasons": list(decision.reasons),
        "to": str(current.root),
        "backup": None if backup is None else str(backup),
        "comparison": None if decision.comparison is None else decision.comparison.to_dict(),
        "gates": [verdict.to_dict() for verdict in decision.verdicts],
    }


def _show(decision: PromotionDecision, allowed: bool, current: ModelDir, backup: Path | None) -> None:
    from foldtune.results.tables.compare_table import comparison_table
    from foldtune.results.tables.gates_table import gates_table

    console = output()
    if decision.comparison is not None:
        modes = decision.comparison.modes
        console.print(comparison_table(decision.comparison.to_dict(), modes, width=console.width))
    if decision.verdicts:
        console.print(gates_table([verdict.to_dict() for verdict in decision.verdicts], title="gates"))
    for reason in decision.reasons:
        console.print(f"{'forced, though' if allowed else 'refused'}: {reason}", markup=False, soft_wrap=True)
    if not allowed:
        left = "is as it was" if current.exists() else "holds no model yet"
        console.print(f"{current.root} {left}", markup=False, soft_wrap=True)
        return
    console.print(f"promoted to {current.root}", style="bold green", markup=False, soft_wrap=True)
    if backup is not None:
        console.print(
            f"the one before is {backup.name}; back to it: foldtune promote --rollback {current.root}", soft_wrap=True
        )


def _rollback(name: str, format: TableOrJson) -> None:
    current = _model(name)
    current.check_not_foreign()
    with current.lock():
        back, withdrawn = current.rollback()
    if format is TableOrJson.json:
        print_json({"to": str(current.root), "backup": str(back), "withdrawn": str(withdrawn) if withdrawn else None})
        return
    console = output()
    console.print(f"{current.root} is {back.name} again", style="bold green", markup=False, soft_wrap=True)
    if withdrawn is not None:
        console.print(f"what was in use is kept as {withdrawn.name}", markup=False, soft_wrap=True)
