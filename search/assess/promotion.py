"""Whether an ensemble may take the place of the model in use, and the exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy.typing as npt

from foldtune.errors import FoldtuneError, InputError, ResultsError, RunCorrupt
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.model_dir import ModelDir
from foldtune.results.storage.paths import StorePath
from foldtune.search.assess.comparison import Comparison, compare
from foldtune.search.assess.gates import Gate, GateResult, evaluate_gates
from foldtune.search.assess.held_out import of_ensemble

_KEPT = ("ids", "folds", "targets", "scores", "predictions", "groups")


@dataclass(frozen=True)
class PromotionDecision:
    """The decision on a promotion, with its reasons.

    Attributes:
        comparison: A the model in use, B the new one; None where there is none in use, or (forced) no common row.
        verdicts: on the gates, in their order.
        better: whether the new one is, or there is nothing to be better than.
        reasons: why not to promote, for people.
    """

    comparison: Comparison | None
    verdicts: Sequence[GateResult]
    better: bool
    reasons: Sequence[str]

    def allows(self, *, force: bool) -> bool:
        """Return whether the new one may go into use; `force` allows one that is not better, never a failed gate."""
        return (self.better or force) and all(verdict.passed for verdict in self.verdicts)


def decide_promotion(
    new: EnsembleDir, name: str, current: ModelDir, gates: Sequence[Gate], *, min_gain: float = 0.0, force: bool = False
) -> PromotionDecision:
    """Compare a new ensemble with the model in use on the held-out rows that both have, and check the gates.

    Args:
        name: name of the new model, for messages.
        min_gain: minimum gain of the new model, in the metric that it was fitted to.
        force: promote even if the models cannot be compared.

    Raises:
        InputError: gates on figures that there are not; models that cannot be compared.
        ModelForeign: the folder holds something else.
        RunCorrupt: files that are gone.
    """
    current.check_not_foreign()
    description = _description(new)
    comparison, reasons = None, []
    if current.exists():
        try:
            comparison = compare(of_ensemble(current.ensemble, str(current.root)), of_ensemble(new, name), None)
        except FoldtuneError as error:
            if not force:
                raise _hinted(error) from None
            reasons.append(f"not compared: {error}")
    if comparison is not None and not comparison.gain > min_gain:
        reasons.append(_not_better(comparison, min_gain))
    verdicts = evaluate_gates(gates, description) if gates else []
    reasons += [f"gate '{each.gate}' fails: the figure is {each.value:.4g}" for each in verdicts if not each.passed]
    better = not current.exists() or (comparison is not None and comparison.gain > min_gain)
    return PromotionDecision(comparison, verdicts, better, reasons)


def _hinted(error: FoldtuneError | ResultsError) -> Exception:
    hint = "--force promotes without a comparison"
    if isinstance(error, InputError):
        return InputError([*error.problems[:-1], f"{error.problems[-1]} ({hint})"])
    return type(error)(f"{error} ({hint})")


def _not_better(comparison: Comparison, min_gain: float) -> str:
    at_least = f" by more than {min_gain:g}" if min_gain else ""
    metric = comparison.goal.metric
    new, old = (comparison.metrics[metric][side] for side in (1, 0))
    return (
        f"not better{at_least}: {metric} {new:.4f} against {old:.4f} of the model in use, on "
        f"{comparison.rows:,} rows that both were judged on"
    )


def promote(new: EnsembleDir, current: ModelDir, decision: PromotionDecision, name: str) -> Path | None:
    """Put the ensemble into use; gives the backup of the one before. Only for a holder of the folder's lock.

    Raises:
        RunCorrupt: weights or rows of the ensemble are gone.
        StorageError: the folder cannot be written; nothing has changed.
    """
    description, oof = _description(new), new.read_oof()
    if oof is None:
        raise RunCorrupt(f"{new.oof_path} is gone; foldtune ensemble writes it again")
    promotion = {
        "promoted_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "from": str(new.root.resolve()),
        "name": name,
        "metric": description["metric"],
        "estimate": description["estimate"],
        "comparison": None if decision.comparison is None else decision.comparison.to_dict(),
        "gates": [verdict.to_dict() for verdict in decision.verdicts],
        "reasons": list(decision.reasons),
    }
    kept = {key: oof[key] for key in _KEPT if key in oof}
    if "predictions" not in kept:  # of a task whose predictions are not stored: what they are fitted from
        kept["member_scores"] = oof["member_scores"]
    return current.put(description, with_groups(new, kept), _weights(new, description), promotion)


def with_groups(new: EnsembleDir, oof: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays with the rows' groups: the folder of a model holds them, since its run may be removed."""
    groups = of_ensemble(new, "").groups
    return dict(oof) if groups is None else {**oof, "groups": groups}


def _description(ensemble: EnsembleDir) -> dict[str, Any]:
    description = ensemble.read()
    if description is None or not {"estimate", "metric", "members", "folds"} <= set(description):
        raise RunCorrupt(f"{ensemble.json_path} lacks the estimate or the members; `foldtune ensemble` writes it again")
    return description


def _weights(ensemble: EnsembleDir, description: Mapping[str, Any]) -> dict[tuple[str, int], StorePath]:
    """Return the file of each fold model of each member. Raises RunCorrupt where one is gone."""
    names = [str(member.get("id", member["trial_id"])) for member in description["members"]]
    pairs = [(name, fold) for name in names for fold in range(int(description["folds"]))]
    weights: dict[tuple[str, int], StorePath] = {pair: ensemble.weights_path(*pair) for pair in pairs}
    gone = [path for path in weights.values() if not path.is_file()]
    if gone:
        raise RunCorrupt(f"{len(gone)} of {len(weights)} weights are gone (first: {gone[0]}); foldtune ensemble again")
    return weights
