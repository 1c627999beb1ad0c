"""Whether a reduction of cases has cases to reduce."""

from __future__ import annotations

from foldtune.errors import InputError
from foldtune.spaces import Space
from foldtune.trainers.postprocess.case_scores import CASE_REDUCE


def check_case_reduce(space: Space, case_column: str | None) -> None:
    """Check that a space reduces cases only where a configuration names them.

    Raises:
        InputError: a reduction without cases.
    """
    keys = (".".join(entry.location.keys) for entry in space.entries)
    if case_column is None and f"postprocess.{CASE_REDUCE}" in keys:
        raise InputError(
            f"space.postprocess.{CASE_REDUCE}: there are no cases; name data.case, or several columns as data.id"
        )
