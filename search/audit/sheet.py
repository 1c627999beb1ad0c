"""Contact sheets of an audit: pairs of images, and images whose label is doubtful."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from foldtune.errors import BrokenImage
from foldtune.results.exports.contact_sheet import ColumnGroup, Row, Sheet
from foldtune.search.audit.audit import Audit
from foldtune.search.audit.findings import DOUBTFUL, Finding
from foldtune.trainers.images.preprocess import ImagePreprocessing

MAX_ROWS = 40
"""Rows of a sheet."""
_SIDE = 160


def audit_sheets(audit: Audit) -> list[Sheet]:
    """Return the sheets of the first pairs and of the most doubtful labels, those of neither left out."""
    pairs = [each for each in audit.findings if each.other is not None]
    doubtful = [each for each in audit.findings if each.kind == DOUBTFUL]
    sheets = []
    if pairs:
        shown = [_pair(audit, each) for each in pairs[:MAX_ROWS]]
        title = f"{audit.name}: {_number(len(pairs), 'pairs of images')} that may be one picture"
        sheets.append(Sheet(title, (ColumnGroup("pair", "", ("image", "other")),), tuple(shown)))
    if doubtful:
        shown = [_doubtful(audit, each) for each in doubtful[:MAX_ROWS]]
        title = f"{audit.name}: {_number(len(doubtful), 'labels')} that held-out scores contradict"
        sheets.append(Sheet(title, (ColumnGroup("image", "", ("",)),), tuple(shown)))
    return sheets


def _number(total: int, what: str) -> str:
    return f"the first {MAX_ROWS} of {total:,} {what}" if total > MAX_ROWS else f"{total} {what}"


def _pair(audit: Audit, finding: Finding) -> Row:
    assert finding.other is not None
    places = finding.row, finding.other
    labels = [str(audit.rows.labels[row]) for row in places]
    label = " / ".join(dict.fromkeys(each for each in labels if each)) or audit.scope(finding)
    score = "" if finding.score is None else f" {finding.score:.3f}"
    names = " and ".join(str(audit.rows.ids[row]) for row in places)
    return Row(f"{label}: {audit.scope(finding)}{score}", names, _pictures(audit, places))


def _doubtful(audit: Audit, finding: Finding) -> Row:
    score = "" if finding.score is None else f" ({finding.score:.3f})"
    label = f"{audit.rows.labels[finding.row]}{score} → {finding.suggested}"
    return Row(label, str(audit.rows.ids[finding.row]), _pictures(audit, (finding.row,)))


def _pictures(audit: Audit, places: Sequence[int]) -> tuple[npt.NDArray[np.uint8], ...]:
    preprocessing = ImagePreprocessing((_SIDE, _SIDE), "pad", (), audit.rows.data.limits)
    pictures = []
    for row in places:
        try:
            pictures.append(preprocessing.read(audit.rows.paths[row]))
        except BrokenImage:  # by now
            pictures.append(np.full((_SIDE, _SIDE, 3), 255, dtype=np.uint8))
    return tuple(pictures)
