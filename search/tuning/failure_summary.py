"""What failed trials have in common: the reason that most of them give, and the parameters that set them apart."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MAX_SHOWN = 4
MIN_FAILED = 3
CHANCE = 0.01
"""Of values drawn at random, how often those of the failed trials may all lie above, or all below, the others'."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def common_reason(reasons: Sequence[str]) -> tuple[str, int]:
    """Return the most frequent reason and its count; reasons that differ in numbers alone are one.

    >>> common_reason(["loss became nan at epoch 1", "out of memory", "loss became nan at epoch 3"])
    ('loss became nan at epoch 1', 2)
    """
    kinds = Counter(_NUMBER.sub("#", reason) for reason in reasons)
    kind, count = kinds.most_common(1)[0]
    return next(reason for reason in reasons if _NUMBER.sub("#", reason) == kind), count


def common_params(failed: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return descriptions of the sampled parameters that all failed trials share and no other has, at most MAX_SHOWN.

    A number counts as shared where those of the failed trials lie beyond all the others', and there are enough of both
    that this is hardly chance. Without others, only values that are equal count. Under MIN_FAILED nothing does.

    >>> common_params([{"loss": "focal", "seed": 1}] * 3, [{"loss": "cross_entropy", "seed": 1}])
    ['loss=focal']
    """
    if len(failed) < MIN_FAILED:
        return []
    names = [name for name in failed[0] if all(name in params for params in failed)]
    found = (_shared(name, [p[name] for p in failed], [p[name] for p in others if name in p]) for name in names)
    return [text for text in found if text][:MAX_SHOWN]


def _shared(name: str, failed: Sequence[Any], others: Sequence[Any]) -> str | None:
    if all(value == failed[0] for value in failed):
        return f"{name}={_text(failed[0])}" if failed[0] not in others else None
    if 2 / math.comb(len(failed) + len(others), len(failed)) > CHANCE:
        return None
    if not all(_is_number(value) for value in (*failed, *others)):
        return None
    if min(failed) > max(others):
        return f"{name} >= {_text(min(failed))}"
    if max(failed) < min(others):
        return f"{name} <= {_text(max(failed))}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
