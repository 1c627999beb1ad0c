"""The values of `data.target_map` and `data.judge_map`: old labels and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def label_map(value: Any) -> Any:
    """Return a mapping of labels as text, without the blanks around them; ValueError for one of another form.

    What is no mapping is returned as it is.
    """
    if not isinstance(value, Mapping):
        return value
    switches = [each for pair in value.items() for each in pair if isinstance(each, bool)]
    if switches:
        raise ValueError("labels are text: quote true and false")
    if not value or any(not isinstance(each, str | int | float | None) for pair in value.items() for each in pair):
        raise ValueError("must map each old label to a new one, or to null to leave its rows out")
    texts = [str(label).strip() for label in value]
    if repeated := sorted({text for text in texts if texts.count(text) > 1}):
        raise ValueError(f"label {repeated[0]!r} is given more than once; keep one")
    new = [None if label is None else str(label).strip() for label in value.values()]
    if "" in new:
        raise ValueError("a new label cannot be empty; null leaves the rows of a label out")
    return dict(zip(texts, new, strict=True))
