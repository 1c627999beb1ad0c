"""Labels as a sample submission writes them: in its spelling, lists of them with its separator."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from foldtune.canonical import Spellings
from foldtune.wording import shortened

_SEPARATORS = ("|", ",", ";", " ", "/")
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.lower,
    str.capitalize,
    str.title,
    lambda label: f"{label}.0" if label.isdigit() else label,
    lambda label: label.removesuffix(".0"),
)


class ClassNames:
    """Finds the class that a text means: its exact name, its canonical form, or in another case where that is one's."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._spellings = Spellings(labels)
        folded: dict[str, set[str]] = {}
        for label in labels:
            folded.setdefault(label.strip().casefold(), set()).add(label)
        self._folded = {form: of.pop() for form, of in folded.items() if len(of) == 1}

    def find(self, text: str) -> str | None:
        """Return the class, None where there is none."""
        return self._spellings.find(text) or self._folded.get(text.strip().casefold())


@dataclass(frozen=True)
class LabelText:
    """How labels are written.

    Attributes:
        spelled: label → text, of those that are written in another way.
        separator: text between several labels of a cell; "python" and "json" write a list; None: as in training.
    """

    spelled: Mapping[str, str] = field(default_factory=dict)
    separator: str | None = None

    def join(self, labels: Sequence[str]) -> str:
        """Return the cell of several labels."""
        names = [self.spelled.get(label, label) for label in labels]
        if self.separator == "python":
            return str(names)
        return json.dumps(names, ensure_ascii=False) if self.separator == "json" else (self.separator or "").join(names)

    def mapping(self, values: Mapping[str, float]) -> str:
        """Return the cell of a mapping, in Python's or JSON's notation."""
        return json.dumps(values, ensure_ascii=False) if self.separator == "json" else str(dict(values))


def label_text(labels: Sequence[str], cells: Sequence[str]) -> LabelText:
    """Return how the sample's cells of one label each spell them."""
    return LabelText(_spelling(labels, [cell for cell in cells if cell]))


def list_text(labels: Sequence[str], cells: Sequence[str], own: str) -> tuple[LabelText, tuple[str, ...]]:
    """Return how the sample's cells of label lists are written, and a line where they do not show it.

    Args:
        own: separator of the training labels.
    """
    filled = list(dict.fromkeys(cell.strip() for cell in cells if cell.strip()))
    lists = _lists(filled)
    if lists is not None:
        style = "json" if any('"' in cell for cell in filled) else "python"
        return LabelText(_spelling(labels, [name for names in lists for name in names]), style), ()
    names = ClassNames(labels)
    for separator in dict.fromkeys((own, *_SEPARATORS)):
        parts = [[part.strip() for part in cell.split(separator)] for cell in filled]
        flat = [part for of in parts for part in of if part]
        if any(len(of) > 1 for of in parts) and all(names.find(part) is not None for part in flat):
            spaced = all(f"{separator} " in cell for cell in filled if separator in cell) and separator != " "
            return LabelText(_spelling(labels, flat), f"{separator} " if spaced else separator), ()
    shown = f"{shortened(repr(filled[0]))} in the sample" if filled else "the sample"
    return LabelText(), (f"several labels of a row are written as in training: {shown} shows no separator",)


def _lists(cells: Sequence[str]) -> list[list[str]] | None:
    """Return the lists that all cells are written as, None where one is not."""
    if not cells or not all(cell.startswith("[") and cell.endswith("]") for cell in cells):
        return None
    found = []
    for cell in cells:
        value: object = None
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = json.loads(cell) if '"' in cell else ast.literal_eval(cell)  # literals alone, nothing is run
        if not isinstance(value, list):
            return None
        found.append([str(name) for name in value])
    return found


def _spelling(labels: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    """Return label → its spelling where it differs: as shown, and of labels that are not shown by the same rule."""
    names = ClassNames(labels)
    shown: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        if (label := names.find(text)) is not None:
            shown.setdefault(label, text)
    rule = next((each for each in _SPELLINGS if all(each(label) == text for label, text in shown.items())), str)
    spelled = {label: rule(label) for label in labels} | shown
    return {label: text for label, text in spelled.items() if text != label}
