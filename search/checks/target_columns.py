"""The columns of a sample submission that several targets share: ids, one column a target, what is echoed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from foldtune.errors import InputError
from foldtune.results.exports.submission import is_echoed
from foldtune.search.checks.submission_form import id_column_of
from foldtune.wording import unknown

if TYPE_CHECKING:
    import pandas as pd


def target_columns(columns: Sequence[str], id_column: str, targets: Sequence[str]) -> dict[str, str]:
    """Return the sample's name, which may be in another case, of the id column and of each target's column.

    Raises:
        InputError: a target without a column, or a column of no target.
    """
    ids = id_column_of(columns, id_column)
    own = {name.strip().casefold(): name for name in columns if name != ids and not is_echoed(name)}
    found = {target: own.pop(target.casefold()) for target in targets if target.casefold() in own}
    if own or len(found) < len(targets):
        raise InputError(f"the columns {', '.join(columns)}; these targets fill {', '.join([id_column, *targets])}")
    return {id_column: ids, **found}


def target_part(sample: pd.DataFrame, id_column: str, target: str) -> pd.DataFrame:
    """Return the id column of a sample and the column of a target.

    Raises:
        InputError: it has none.
    """
    ids = id_column_of(list(sample.columns), id_column)
    names = {name.strip().casefold(): name for name in sample.columns if name != ids}
    if target.casefold() not in names:
        raise InputError(unknown("column", target, names.values()))
    return sample[[ids, names[target.casefold()]]]
