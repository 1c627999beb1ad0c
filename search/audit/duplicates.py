"""Images that are there more than once: copies of a file, and pictures that were saved, coloured or turned anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from foldtune.search.audit.findings import COPY, NEAR, SCOPES, Finding, scope_of
from foldtune.search.audit.hashing import MAX_DISTANCE, NearPairs, near_pairs
from foldtune.search.audit.pictures import Pictures
from foldtune.search.audit.rows import AuditRows

_TURNS = ("", "mirrored left to right", "upside down", "turned by 180°", "transposed", "turned", "turned", "transposed")


def find_duplicates(rows: AuditRows, pictures: Pictures, most: int = MAX_DISTANCE) -> list[Finding]:
    """Return the pairs of images that show one picture, those that distort figures most first.

    Of copies of one file, or of files with the same pixels at 64x64 px, each is paired with the first alone. `most` is
    of `near_pairs`.
    """
    copies = _repeated(pictures.digests.tolist())
    findings = [Finding(COPY, first, row, 1.0, detail=_same_file(rows, first, row)) for row, first in copies.items()]
    left = [row for row in np.flatnonzero(pictures.plain).tolist() if row not in copies]
    places = _repeated([pictures.grey[row].tobytes() for row in left])
    again = {left[row]: left[first] for row, first in places.items()}
    findings += [Finding(NEAR, first, row, 1.0) for row, first in again.items()]
    distinct = np.array([row for row in left if row not in again], dtype=np.int64)
    findings += _near(distinct, near_pairs(pictures.grey[distinct], most=most))
    return in_order(rows, [_with_labels(rows, each) for each in findings])


def in_order(rows: AuditRows, findings: Iterable[Finding]) -> list[Finding]:
    """Return pairs by their scope, then by their similarity."""
    return sorted(findings, key=lambda each: (SCOPES.index(scope_of(rows, each)), -(each.score or 0.0), each.row))


def _near(rows: npt.NDArray[np.int64], pairs: NearPairs) -> list[Finding]:
    columns = (rows[pairs.first], rows[pairs.second], pairs.similarity, pairs.symmetry)
    return [
        Finding(NEAR, one, other, min(similarity, 1.0), detail=_TURNS[symmetry])
        for one, other, similarity, symmetry in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _repeated(keys: Sequence[str | bytes]) -> dict[int, int]:
    """Return the place of each key that is there before → the place of the first; empty keys are no keys."""
    first: dict[str | bytes, int] = {}
    return {row: before for row, key in enumerate(keys) if key and (before := first.setdefault(key, row)) != row}


def _same_file(rows: AuditRows, one: int, other: int) -> str:
    return "one file" if rows.paths[one] == rows.paths[other] else ""


def _with_labels(rows: AuditRows, finding: Finding) -> Finding:
    assert finding.other is not None
    labels = rows.labels[finding.row], rows.labels[finding.other]
    if rows.is_test[finding.other] or rows.is_test[finding.row] or labels[0] == labels[1]:
        return finding
    detail = ", ".join(filter(None, [finding.detail, "labels differ"]))
    return Finding(finding.kind, finding.row, finding.other, finding.score, detail=detail)
