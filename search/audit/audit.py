"""An audit: the findings on rows and images, and the figures beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from foldtune.search.audit.alike import find_alike
from foldtune.search.audit.columns import colour_columns, file_columns, leak_notes, measure_shift, shift_notes
from foldtune.search.audit.doubtful import find_doubtful
from foldtune.search.audit.duplicates import find_duplicates
from foldtune.search.audit.findings import COPY, NEAR, SHARED, Finding, findings_frame, scope_of
from foldtune.search.audit.pictures import Pictures, read_pictures
from foldtune.search.audit.rows import AuditRows, without_extra
from foldtune.search.runs.run import Run

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Audit:
    """Findings on the rows of a configuration or a run.

    Attributes:
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


def audit_rows(name: str, rows: AuditRows, decoders: int, progress: Progress | None, run: Run | None = None) -> Audit:
    """Return what can be found in the data of a configuration, or in those of a run with its scores.

    Args:
        run: the run whose rows they are, None before a search.

    Raises:
        InputError: no room for the small copies of the images.
    """
    pictures = read_pictures(rows.paths, rows.data, decoders, progress)
    findings = [*pictures.findings, *find_duplicates(rows, pictures)]
    files = file_columns(rows, pictures)
    own, columns = without_extra(rows, {**rows.cells, **files})
    notes = [*rows.notes, *leak_notes(own, columns)]
    shared = {column: values for column, values in rows.cells.items() if column in rows.shared}
    shift = measure_shift(own, without_extra(rows, {**shared, **files, **colour_columns(pictures)})[1])
    notes += [] if shift is None else shift_notes(own, shift)
    if run is not None:
        doubts = find_doubtful(run, rows)
        alike, lines = find_alike(run, rows, pictures.plain, findings, decoders, progress)
        findings += [*doubts.findings, *alike]
        notes += [*doubts.notes, *lines]
    return Audit(name, rows, pictures, tuple(findings), tuple(notes))
