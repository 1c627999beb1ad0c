"""Findings of an audit, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from foldtune.search.audit.rows import AuditRows
from foldtune.trainers.data.exclude import OF_LABELS

BROKEN, TRUNCATED, ONE_COLOUR = "broken", "truncated", "one_colour"
COPY, NEAR = "copy", "near_duplicate"
ALIKE, DOUBTFUL = "alike", OF_LABELS
TRAIN_TEST, TWO_FOLDS, EXTRA, TWO_GROUPS = "train and test", "two folds", "extra and fold", "two groups"
ONE_GROUP, ONE_FOLD, TEST = "one group", "one fold", "test"
SCOPES = (TRAIN_TEST, TWO_FOLDS, EXTRA, TWO_GROUPS, ONE_FOLD, ONE_GROUP, TEST)
"""Where the two images of a pair lie, what distorts figures most first."""
SHARED = (TRAIN_TEST, TWO_FOLDS, EXTRA)
"""Scopes in which a model is judged by an image that it was trained on."""
COLUMNS = (
    "exclude",
    "finding",
    "scope",
    "image",
    "set",
    "fold",
    "group",
    "label",
    "suggested",
    "other",
    "other_set",
    "other_fold",
    "other_group",
    "other_label",
    "score",
    "detail",
)
"""Columns of audit.csv; the first is empty, for whoever marks rows to leave out."""


@dataclass(frozen=True)
class Finding:
    """One doubtful image, or pair of images.

    Attributes:
        kind: one of BROKEN, TRUNCATED, ONE_COLOUR, COPY, NEAR, ALIKE, DOUBTFUL.
        row: place of the image in the rows.
        other: place of the second image of a pair.
        score: similarity of a pair, at most 1, or the probability of a given label.
        suggested: label that the scores propose.
        detail: for people.
    """

    kind: str
    row: int
    other: int | None = None
    score: float | None = None
    suggested: str = ""
    detail: str = ""


def scope_of(rows: AuditRows, finding: Finding) -> str:
    """Return one of `SCOPES` for a pair, "" for a single image."""
    if finding.other is None:
        return ""
    one, other = finding.row, finding.other
    if rows.is_test[one] or rows.is_test[other]:
        return TEST if rows.is_test[one] and rows.is_test[other] else TRAIN_TEST
    if rows.folds[one] != rows.folds[other]:
        extra = rows.is_extra is not None and bool(rows.is_extra[one] or rows.is_extra[other])
        return EXTRA if extra else TWO_FOLDS
    if rows.groups is None:
        return ONE_FOLD
    return ONE_GROUP if rows.groups[one] == rows.groups[other] else TWO_GROUPS


def findings_frame(rows: AuditRows, findings: Sequence[Finding]) -> pd.DataFrame:
    """Return a table with `COLUMNS`, as text, in the order of the findings."""
    records = []
    for each in findings:
        record = {"exclude": "", "finding": each.kind, "scope": scope_of(rows, each), "suggested": each.suggested}
        record |= {f"{key}": value for key, value in _described(rows, each.row).items()}
        if each.other is not None:
            record |= {
                "other" if key == "image" else f"other_{key}": value
                for key, value in _described(rows, each.other).items()
            }
        record |= {"score": "" if each.score is None else f"{each.score:.4f}", "detail": each.detail}
        records.append(record)
    return pd.DataFrame(records, columns=list(COLUMNS)).fillna("")


def _described(rows: AuditRows, row: int) -> dict[str, str]:
    is_test = bool(rows.is_test[row])
    return {
        "image": str(rows.ids[row]),
        "set": "test" if is_test else "extra" if rows.is_extra is not None and rows.is_extra[row] else "train",
        "fold": "" if rows.folds[row] < 0 else str(rows.folds[row]),
        "group": "" if rows.groups is None or is_test else str(rows.groups[row]),
        "label": str(rows.labels[row]),
    }
