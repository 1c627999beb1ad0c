"""Columns of the table beside the images, as arrays: numbers and categories, either of which may be missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from foldtune.results.tables.formatting import counted
from foldtune.wording import first_few, shortened

Array = npt.NDArray[Any]
Kind = Literal["number", "category"]


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of N rows.

    Attributes:
        values: by name, (N,) float64 with NaN where a number is missing, or texts with "" where a category is.
    """

    values: Mapping[str, Array]

    @classmethod
    def missing(cls, kinds: Mapping[str, Kind], rows: int) -> Self:
        """Return columns of which nothing is known."""
        return cls(
            {
                name: np.full(rows, np.nan) if kind == "number" else np.full(rows, "", dtype=object)
                for name, kind in kinds.items()
            }
        )

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    @property
    def unknown(self) -> Array:
        """Whether each of the rows (N,) has no value in any of the columns."""
        missing = (np.isnan(each) if each.dtype.kind == "f" else each == "" for each in self.values.values())
        return np.asarray(np.all(list(missing), axis=0))

    def select(self, rows: Array | slice) -> Columns:
        """Return the columns of some rows: indices, a mask (N,) or a slice."""
        return Columns({name: values[rows] for name, values in self.values.items()})


@dataclass(frozen=True)
class NumberFeatures:
    """A number as a line with three bends at its quartiles, and whether it is missing; then it counts as the median.

    Beyond the numbers of the fit the line is constant, as scikit-learn's ``SplineTransformer`` has it by default.

    Attributes:
        bends: ascending quartiles of the rows of the fit.
        center, scale: median and spread, so that a feature is about 1.
        low, high: least and greatest number of the fit; infinite in ensembles that were stored without them.
    """

    name: str
    bends: tuple[float, ...]
    center: float
    scale: float
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def fit(cls, name: str, values: Array) -> Self:
        """Take the quartiles of (N,) numbers."""
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(name, (), 0.0, 1.0)
        bends = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
        ends = float(known.min()), float(known.max())
        return cls(name, tuple(bends.tolist()), float(np.median(known)), float(known.std()) or 1.0, *ends)

    def features(self, columns: Columns) -> Array:
        """Features (N, F) of the column."""
        values = np.asarray(columns.values[self.name], dtype=np.float64)
        missing = ~np.isfinite(values)
        known = np.clip(np.where(missing, self.center, values), self.low, self.high)
        lines = [known - self.center, *(np.maximum(known - bend, 0.0) for bend in self.bends)]
        return np.stack([*(line / self.scale for line in lines), missing.astype(np.float64)], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        values = {"bends": list(self.bends), "center": self.center, "scale": self.scale}
        ends = {"low": self.low, "high": self.high} if math.isfinite(self.high) else {}
        return {"name": self.name, "kind": "number", **values, **ends}

    def beyond(self, columns: Columns) -> str:
        """Return how many rows have a number beyond those of the fit, "" where none has."""
        values = np.asarray(columns.values[self.name], dtype=np.float64)
        number = int(((values < self.low) | (values > self.high)).sum())
        ends = f"{self.low:g} to {self.high:g}"
        return f"{self.name} of {counted(number, 'row')} beyond {ends} counts as the nearer end" if number else ""


MIN_ROWS = 5
"""Rows that a category needs for a feature of its own."""


@dataclass(frozen=True)
class CategoryFeatures:
    """A category as one feature a level; "" is that of the missing ones, and a level that is not known has none."""

    name: str
    levels: tuple[str, ...]

    @classmethod
    def fit(cls, name: str, values: Array) -> Self:
        """Take the levels of (N,) texts that occur often enough."""
        levels, counts = np.unique(values.astype(str), return_counts=True)
        return cls(name, tuple(levels[counts >= MIN_ROWS].tolist()))

    def features(self, columns: Columns) -> Array:
        """Features (N, F) of the column."""
        values = np.asarray(columns.values[self.name]).astype(str)
        return np.asarray(values[:, None] == np.array(self.levels, dtype=str)[None], dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"name": self.name, "kind": "category", "levels": list(self.levels)}

    def beyond(self, columns: Columns) -> str:
        """Return how many rows have a category without a feature, "" where none has; a missing one is none."""
        values, counts = np.unique(np.asarray(columns.values[self.name]).astype(str), return_counts=True)
        unknown = ~np.isin(values, ["", *self.levels])
        if not unknown.any():
            return ""
        shown = first_few([shortened(repr(value)) for value in values[unknown].tolist()], 3)
        return (
            f"{self.name} of {counted(int(counts[unknown].sum()), 'row')} ({shown}) counts as no category, for fewer "
            f"than {MIN_ROWS} rows of training have it"
        )


Features = NumberFeatures | CategoryFeatures


def fit_features(columns: Columns) -> tuple[Features, ...]:
    """Return the features of columns, by the rows of a fit."""
    return tuple(
        NumberFeatures.fit(name, values) if values.dtype.kind == "f" else CategoryFeatures.fit(name, values)
        for name, values in columns.values.items()
    )


def features_from_dict(values: Mapping[str, Any]) -> Features:
    """Return what `to_dict` wrote. Raises KeyError, TypeError, ValueError where it is none."""
    if values["kind"] == "category":
        return CategoryFeatures(str(values["name"]), tuple(map(str, values["levels"])))
    bends = tuple(float(bend) for bend in values["bends"])
    ends = float(values.get("low", -math.inf)), float(values.get("high", math.inf))
    return NumberFeatures(str(values["name"]), bends, float(values["center"]), float(values["scale"]), *ends)
