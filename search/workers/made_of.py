"""What a model was made of: digests that are compared before it is used again."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from foldtune.results.runs.records import Scores
from foldtune.results.storage.files import json_text
from foldtune.search.runs.digests import changed_labels
from foldtune.search.workers.training import TrialWork
from foldtune.trainers.data.table import Table
from foldtune.trainers.images.preprocess import steps_to_list


def made_of(work: TrialWork, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of a trial's settings and of its rows."""
    return {"settings": settings_digest(work, config), "rows": work.labelled.digest}


def is_made_of(stored: Mapping[str, str] | None, work: TrialWork, config: Mapping[str, Any]) -> bool:
    """Whether a trial's stored digests are those of `made_of`; a trial of before has none."""
    now = made_of(work, config)
    return stored is None or (stored.get("settings") == now["settings"] and agrees(stored.get("rows"), now["rows"]))


def agrees(stored: str | None, now: str) -> bool:
    """Whether a digest of rows is not another one; "" and None stand for one that is not known."""
    return not stored or not now or stored == now


def settings_digest(work: TrialWork, config: Mapping[str, Any]) -> str:
    """Return the digest of what a model depends on beside its rows: a run of the same name may be another by now."""
    seen = work.labelled.images.preprocessing
    plan = [list(seen.size), seen.resize, steps_to_list(seen.steps)]
    if seen.limits.pixel_range != "uint16":  # which is that of every model of before, whose digest stays
        plan.append(seen.limits.pixel_range)
    if seen.limits.window is not None:
        plan.append(str(seen.limits.window))
    weights = work.labelled.table.extra_weights
    if weights is not None:
        plan.append(sha256(weights.tobytes()).hexdigest())
    text = json_text([config, plan, work.metric, work.epochs, work.seed])
    return sha256(text.encode()).hexdigest()[:16]


def has_labels(scores: Scores, table: Table) -> bool:
    """Whether stored scores are of rows of the table, with the labels that these have now."""
    if not set(scores.ids.tolist()) <= set(table.ids.tolist()):
        return False
    return scores.targets is None or not changed_labels(scores.ids.tolist(), scores.targets, table)
