"""The value of `data.target`: a column, a list of columns, or a pattern of their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foldtune.search.config.sections.section import stated
from foldtune.trainers.data.target_forms.columns import is_pattern

_SHOWN = 3


def columns_of_labels(value: Any) -> str | tuple[str, ...] | dict[str, str]:
    """Return the value in its plainest form. Raises PydanticCustomError for one of another form."""
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple):
        hint = "; quote it" if isinstance(value, int | float) else ""
        forms = 'must be text, a list of columns, or {columns: "label_*"}'
        raise stated(f"{forms}, not {_shown(value)}{hint}")
    strange = [each for each in value if not isinstance(each, str)]
    if strange or not value:
        given = f"not {_shown(strange[0])}; quote it" if strange else "and names at least one"
        raise stated(f"a list holds names of columns, {given}")
    if repeated := [name for name in value if value.count(name) > 1]:
        raise stated(f"column {_shown(repeated[0])} is given more than once; keep one")
    return tuple(value)


def _of_mapping(value: Mapping[Any, Any]) -> str | tuple[str, ...] | dict[str, str]:
    columns = value.get("columns")
    if set(value) != {"columns"} or not isinstance(columns, str | list | tuple) or not columns:
        raise stated('a mapping has the one key columns: a pattern such as "label_*", or a list of columns')
    if isinstance(columns, str):
        return {"columns": columns} if is_pattern(columns) else (columns,)
    return columns_of_labels(columns)


def name_of_columns(columns: tuple[str, ...]) -> str:
    """Return the name of several columns together, which is the name of none of them.

    >>> name_of_columns(("MEL", "NV", "BCC", "DF")), name_of_columns(("MEL",))
    ('MEL, NV, BCC, …', 'MEL, …')
    """
    more = ", …" if len(columns) > _SHOWN or len(columns) == 1 else ""
    return ", ".join(columns[:_SHOWN]) + more


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
