"""An audit: the findings on rows and images, and the figures beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from foldtune.search.audit.duplicates import find_duplicates
from foldtune.search.audit.findings import COPY, NEAR, SHARED, Finding, findings_frame, scope_of
from foldtune.search.audit.pictures import Pictures, read_pictures
from foldtune.search.audit.rows import AuditRows

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Audit:
    """Findings on the rows of a configuration or a run.

    Attributes:
        name: name of the configuration or run.
        findings: images and pairs, in the order in which people should look at them.
        notes: what concerns no single image, a line each.
    """

    name: str
    rows: AuditRows
    pictures: Pictures
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The table of the findings, with the columns of `findings.COLUMNS`."""
        return findings_frame(self.rows, self.findings)

    @property
    def shared(self) -> tuple[Finding, ...]:
        """Pairs by which train and test, or two folds, share an image."""
        return tuple(each for each in self.findings if each.kind in (COPY, NEAR) and self.scope(each) in SHARED)

    def scope(self, finding: Finding) -> str:
        """Where the two images of a pair lie, one of `findings.SCOPES`."""
        return scope_of(self.rows, finding)


def audit_rows(name: str, rows: AuditRows, decoders: int, progress: Progress | None) -> Audit:
    """Return what can be found before a search.

    Args:
        decoders: number of decoding processes.
        progress: called with (done, total) images.

    Raises:
        InputError: no room for the small copies of the images.
    """
    pictures = read_pictures(rows.paths, rows.data, decoders, progress)
    findings: Sequence[Finding] = [*pictures.findings, *find_duplicates(rows, pictures)]
    return Audit(name, rows, pictures, tuple(findings), rows.notes)
