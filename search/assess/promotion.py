"""Whether an ensemble may take the place of the model in use, and the exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt

from foldtune.errors import FoldtuneError, InputError, ResultsError, RunBusy, RunCorrupt
from foldtune.results.records.stored_json import require
from foldtune.results.runs.ensemble_dir import EnsembleDir, ModelKey, stored_models
from foldtune.results.runs.model_dir import ModelDir
from foldtune.results.storage.backend import FileState
from foldtune.results.storage.files import file_state
from foldtune.results.storage.paths import StorePath
from foldtune.search.assess.comparison import Comparison, compare
from foldtune.search.assess.gates import Gate, GateResult, evaluate_gates
from foldtune.search.assess.held_out import HeldOut, of_ensemble, of_stored


@dataclass(frozen=True)
class JudgedEnsemble:
    """The content of an ensemble's files, and the versions of those that are copied later.

    Attributes:
        weights: file of each model, by member and model.
        states: version of each of these files when they were read.
    """

    directory: EnsembleDir
    name: str
    description: Mapping[str, Any]
    oof: Mapping[str, npt.NDArray[Any]]
    weights: Mapping[tuple[str, ModelKey], StorePath]
    states: Mapping[StorePath, FileState | None]

    @classmethod
    def read(cls, directory: EnsembleDir, name: str) -> JudgedEnsemble:
        """Read an ensemble.

        Raises:
            RunCorrupt: weights, rows or parts of its JSON are gone.
            RunBusy: it is written meanwhile.
        """
        before = {path: file_state(path) for path in (directory.json_path, directory.oof_path)}
        description, oof = directory.read(), directory.read_oof()
        if description is None or oof is None:
            missing = directory.oof_path if description is not None else directory.json_path
            raise RunCorrupt(f"{missing} is gone; foldtune ensemble writes it again")
        require(description, ("estimate", "metric", "members", "folds", "task"), directory.json_path)
        weights = _weights(directory, description)
        states = before | {path: file_state(path) for path in weights.values()}
        gone = [path for path in weights.values() if states[path] is None]
        if gone:
            raise RunCorrupt(
                f"{len(gone)} of {len(weights)} weights are gone (first: {gone[0]}); foldtune ensemble again"
            )
        judged = cls(directory, name, description, oof, weights, states)
        judged.require_unchanged()
        return judged

    @cached_property
    def held_out(self) -> HeldOut:
        """Its rows, with the predictions of its estimate."""
        return of_stored(self.directory, self.name, self.description, self.oof)

    def require_unchanged(self) -> None:
        """Raise RunBusy where a file is not the one that was judged."""
        changed = [path for path, state in self.states.items() if file_state(path) != state]
        if changed:
            raise RunBusy(
                f"ensemble {self.name!r} was written while it was judged ({changed[0]} has changed): nothing is "
                "promoted; give the command again"
            )


def _weights(ensemble: EnsembleDir, description: Mapping[str, Any]) -> dict[tuple[str, ModelKey], StorePath]:
    names = [str(member.get("id") or member["trial_id"]) for member in description["members"]]
    models = stored_models(description)
    return {(name, model): ensemble.weights_path(name, *model) for name in names for model in models}


_KEPT = ("ids", "folds", "targets", "scores", "predictions", "groups")


@dataclass(frozen=True)
class PromotionDecision:
    """The decision on a promotion, with its reasons.

    Attributes:
        judged: the ensemble, as it was then.
        comparison: A the model in use, B the new one; None where there is none in use, or (forced) no common row.
        verdicts: on the gates, in their order.
        better: whether the new one is, or there is nothing to be better than.
        reasons: why not to promote, for people.
    """

    judged: JudgedEnsemble
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
        min_gain: minimum gain of the new model, in the metric that it was fitted to.
        force: promote even if the models cannot be compared.

    Raises:
        InputError: gates on figures that there are not; models that cannot be compared.
        ModelForeign: the folder holds something else.
        RunCorrupt: files that are gone, or an estimate that its own rows contradict.
        RunBusy: the new ensemble is written meanwhile.
    """
    current.check_not_foreign()
    judged = JudgedEnsemble.read(new, name)
    comparison, reasons = None, []
    _ = judged.held_out  # refuses an estimate that its own rows contradict
    if current.exists():
        try:
            comparison = compare(of_ensemble(current.ensemble, str(current.root)), judged.held_out, None)
        except FoldtuneError as error:
            if not force:
                raise _hinted(error) from None
            reasons.append(f"not compared: {error}")
    if comparison is not None and not comparison.gain > min_gain:
        reasons.append(_not_better(comparison, min_gain))
    verdicts = evaluate_gates(gates, judged.description) if gates else []
    reasons += [f"gate '{each.gate}' fails: the figure is {each.value:.4g}" for each in verdicts if not each.passed]
    better = not current.exists() or (comparison is not None and comparison.gain > min_gain)
    return PromotionDecision(judged, comparison, verdicts, better, reasons)


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
    """Put the ensemble into use as it was when it was judged; give the backup of the one before.

    Only for a holder of the folder's lock.

    Raises:
        RunBusy: the ensemble was written since it was judged; nothing has changed.
        StorageError: the folder cannot be written; nothing has changed.
    """
    judged = decision.judged
    promotion = {
        "promoted_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "from": str(new.root.resolve()),
        "name": name,
        "metric": judged.description["metric"],
        "estimate": judged.description["estimate"],
        "comparison": None if decision.comparison is None else decision.comparison.to_dict(),
        "gates": [verdict.to_dict() for verdict in decision.verdicts],
        "reasons": list(decision.reasons),
    }
    kept = {key: judged.oof[key] for key in _KEPT if key in judged.oof}
    if "predictions" not in kept:  # of a task whose predictions are not stored: what they are fitted from
        kept["member_scores"] = judged.oof["member_scores"]
    if judged.held_out.groups is not None:  # stored with the model, since its run may be removed
        kept["groups"] = judged.held_out.groups
    return current.put(judged.description, kept, judged.weights, promotion, verify=judged.require_unchanged)
