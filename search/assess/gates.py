"""Gates: conditions that an ensemble's held-out figures must meet before it is used.

A gate is one line of text or a mapping:

    macro_f1 > 0.6
    recall of mel >= 0.7
    {metric: precision, class: bcc, above: 0.5}

Figures without a class are metrics of the ensemble's cross-fitted estimate; those of a class are its precision, recall,
f1 and support on the same predictions.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from foldtune.errors import InputError
from foldtune.search.config.loading import beside
from foldtune.search.config.messages import shown
from foldtune.wording import unknown
from foldtune.yaml import parse_yaml, read_yaml_text

CLASS_FIGURES = ("precision", "recall", "f1", "support")
"""Metrics of a single class that a gate may refer to."""

_UNBOUNDED = ("support", "loss", "mae", "cost")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
)
_WORDS = MappingProxyType({"above": ">", "at_least": ">=", "below": "<", "at_most": "<="})
_KEYS = ("metric", "class", *_WORDS)
_TEXT = re.compile(r"(?P<metric>\S+?)(?:\s+of\s+(?P<label>.+?))?\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>[-+.\w]+)")
_FORMS = "write 'macro_f1 > 0.6', 'recall of mel >= 0.7' or {metric: recall, class: mel, above: 0.7}"


@dataclass(frozen=True)
class Gate:
    """One condition: a figure, of a class where `label` is given, on one side of `bound`."""

    metric: str
    label: str | None
    sign: str
    bound: float

    def __str__(self) -> str:
        of = "" if self.label is None else f" of {self.label}"
        return f"{self.metric}{of} {self.sign} {self.bound:g}"

    def evaluate(self, value: float) -> GateResult:
        """Compare a value with the bound; NaN passes no gate."""
        distance = value - self.bound if self.sign in (">", ">=") else self.bound - value
        return GateResult(self, value, distance, _COMPARE[self.sign](value, self.bound))


@dataclass(frozen=True)
class GateResult:
    """A gate and its figure; `margin` is the distance from the bound, negative where the gate fails."""

    gate: Gate
    value: float
    margin: float
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what is not finite is None."""
        gate = self.gate
        return {
            "condition": str(gate),
            "metric": gate.metric,
            "class": gate.label,
            "sign": gate.sign,
            "bound": gate.bound,
            "value": self.value if math.isfinite(self.value) else None,
            "margin": self.margin if math.isfinite(self.margin) else None,
            "passed": self.passed,
        }


def read_gates(path: Path) -> list[Gate]:
    """Read a YAML file of gates.

    Raises:
        InputError: no such file, or not a list of gates: every problem.
    """
    try:
        text = read_yaml_text(path)
    except OSError as error:
        raise InputError(f"cannot read the gates {path}: {error.strerror}{beside(path)}") from None
    return parse_gates(parse_yaml(text, str(path)), str(path))


def parse_gates(values: object, source: str = "gates") -> list[Gate]:
    """Read a list of gates, as YAML gives it.

    Raises:
        InputError: every entry that is none, with what is wrong.
    """
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise InputError(f"{source}: must be a list of conditions, one a line behind a '-': {_FORMS}")
    gates, problems = [], []
    for place, value in enumerate(values, start=1):
        try:
            gates.append(_parse(value))
        except ValueError as error:
            problems.append(f"{source}, gate {place}: {error}")
    if problems:
        raise InputError(problems)
    return gates


def evaluate_gates(gates: Sequence[Gate], description: Mapping[str, Any]) -> list[GateResult]:
    """Evaluate each gate on the metrics of a stored ensemble.

    Args:
        description: content of ensemble.json: `estimate` {metric: value} and `per_class` [{label, precision, …}].

    Raises:
        InputError: metrics or classes that the ensemble does not have, with the nearest; bounds that no figure reaches.
    """
    estimate: Mapping[str, Any] = description["estimate"]
    classes = {str(row["label"]): row for row in description.get("per_class") or ()}
    task = description.get("task") or {}
    own = {
        str(each.get("name")) for part in (task, task.get("judged") or {}) for each in part.get("user_metrics") or ()
    }
    values, problems = [], []
    for gate in gates:
        try:
            values.append(_figure(gate, estimate, classes, own))
        except ValueError as error:
            problems.append(f"gate '{gate}': {error}")
    if problems:
        raise InputError(problems)
    return [gate.evaluate(value) for gate, value in zip(gates, values, strict=True)]


def _parse(value: object) -> Gate:
    if isinstance(value, str):
        found = _TEXT.fullmatch(value.strip())
        if not found:
            raise ValueError(f"cannot read {value!r}; {_FORMS}")
        return Gate(found["metric"], found["label"], found["sign"], _number(found["bound"]))
    if not isinstance(value, Mapping):
        raise ValueError(f"cannot read {value!r}; {_FORMS}")
    strange = [str(key) for key in value if key not in _KEYS]
    if strange:
        raise ValueError("; ".join(unknown("key", key, _KEYS) for key in strange))
    given = [word for word in _WORDS if word in value]
    if len(given) != 1:
        raise ValueError(f"needs exactly one of {', '.join(_WORDS)}, not {', '.join(given) or 'none'}")
    metric, label = value.get("metric"), value.get("class")
    if not isinstance(metric, str):
        raise ValueError(f"needs a metric; {_FORMS}")
    if isinstance(label, bool):
        raise ValueError(f"YAML reads class: {label} as true or false; put the class in quotes")
    return Gate(metric, None if label is None else str(label), _WORDS[given[0]], _number(value[given[0]]))


def _number(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):  # of hundreds of digits
            number = math.nan
        if math.isfinite(number):
            return number
    raise ValueError(f"{shown(value)} is not a number to compare with")


def _figure(
    gate: Gate, estimate: Mapping[str, Any], classes: Mapping[str, Mapping[str, Any]], own: Collection[str]
) -> float:
    if gate.label is None:
        if gate.metric not in estimate:
            if gate.metric in CLASS_FIGURES:
                raise ValueError(f"{gate.metric} is a figure of one class: write '{gate.metric} of CLASS …'")
            raise ValueError(unknown("metric", gate.metric, estimate))
        value = estimate[gate.metric]
    else:
        if gate.metric not in CLASS_FIGURES:
            raise ValueError(unknown("figure of a class", gate.metric, CLASS_FIGURES))
        if gate.label not in classes:
            raise ValueError(unknown("class", gate.label, classes))
        value = classes[gate.label].get(gate.metric)
    # A bound like 60 for 0.6 would let everything or nothing pass without a word.
    if gate.metric not in (*_UNBOUNDED, *own) and abs(gate.bound) > 1:
        raise ValueError(f"{gate.metric} lies within 0 and 1 (some metrics below 0), and never reaches {gate.bound:g}")
    return math.nan if value is None else float(value)
