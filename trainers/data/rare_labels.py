"""Labels that too few rows have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from foldtune.canonical import Spellings, canonical_text, one_spelling


@dataclass(frozen=True)
class RareLabels:
    """The rule that leaves labels of few rows out.

    Attributes:
        min_rows: rows that a label needs.
        known: labels of a task that is known already, which are then all that stay; None while they are counted.
    """

    min_rows: int
    known: tuple[str, ...] | None = None

    def find(self, spelled: Mapping[str, int]) -> Mapping[str, int]:
        """Return label, in every spelling that it has → number of its rows, for those that are left out.

        Args:
            spelled: label → number of its rows, of all labels.

        >>> RareLabels(2).find({"a": 1, "a ": 2, "b": 1})
        {'b': 1}
        """
        if self.known is not None:
            names = Spellings(self.known)
            return {label: count for label, count in spelled.items() if names.find(label) is None}
        forms = one_spelling(spelled)
        total: Counter[str] = Counter()
        for label, count in spelled.items():
            total[forms[label]] += count
        few = {form: count for form, count in total.items() if count < self.min_rows and canonical_text(form)}
        return {label: few[forms[label]] for label in spelled if forms[label] in few}
