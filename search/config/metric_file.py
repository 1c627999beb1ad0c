"""`search.metric: FILE.py:FUNCTION` and `search.costs: FILE.csv`: files beside the configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from foldtune.home import expanded

_SPEC = re.compile(r"(?P<path>.+\.py):(?P<function>[^\W\d]\w*)")
FORM = "FILE.py:FUNCTION"


@dataclass(frozen=True)
class MetricFile:
    """A function of a Python file."""

    path: Path
    function: str


def metric_file(metric: str | None) -> MetricFile | None:
    """Return the file and function that a metric names, None for a name alone.

    >>> metric_file("metrics.py:pauc")
    MetricFile(path=PosixPath('metrics.py'), function='pauc')
    >>> metric_file("accuracy")
    """
    found = _SPEC.fullmatch(metric or "")
    return MetricFile(Path(found["path"]), found["function"]) if found else None


def resolved_metric(metric: str | None, folder: Path) -> str | None:
    """Return a metric with the absolute path of its file, which is relative to a folder; a name as it is."""
    found = metric_file(metric)
    return metric if found is None else f"{resolved_file(found.path, folder)}:{found.function}"


def resolved_file(path: Path | str, folder: Path) -> Path:
    """Return the absolute path of a file that is relative to a folder."""
    return (folder / expanded(path)).resolve()
