"""Figures of benchmarks, as tables and as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Figure:
    """One measured figure; `target` is its lower bound, or its upper bound if `at_most`."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = False
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


def cores() -> int:
    """Return the number of CPUs available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_line() -> str:
    """Return the machine, the versions and the load before the start."""
    parts = [f"{cores()} cores", _cpu_model(), f"Python {platform.python_version()}"]
    parts += [f"{name} {version(name)}" for name in ("torch", "ray")]
    return " · ".join([*parts, f"load before {os.getloadavg()[0]:.1f}"])


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return minimum, maximum and count of repeated measurements; "" for a single one."""
    if len(values) == 1:
        return ""
    return f"{min(values):.{digits}f}–{max(values):.{digits}f} in {len(values)} repeats"


def median_figure(name: str, values: Sequence[float], unit: str, *, detail: str = "", **target: float | bool) -> Figure:
    """Return the median of repeats, with their spread before `detail`."""
    text = "; ".join(part for part in (spread(values), detail) if part)
    return Figure(name, statistics.median(values), unit, detail=text, **target)  # type: ignore[arg-type]


def table(figures: Sequence[Figure], title: str, machine: str) -> Table:
    """Return a table with one row per figure and the machine as caption."""
    shown = Table(title=title, caption=machine, title_justify="left", caption_justify="left")
    for column in ("figure", "measured", "target", "detail"):
        shown.add_column(column, justify="right" if column in ("measured", "target") else "left")
    for figure in figures:
        style = {None: "", True: "green", False: "bold red"}[figure.met]
        sign = "≤" if figure.at_most else "≥"
        target = "" if figure.target is None else f"{sign} {figure.target:g}"
        measured = Text(f"{_compact(figure.value)} {figure.unit}", style)
        shown.add_row(figure.name, measured, target, figure.detail)
    return shown


def _compact(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1 else f"{value:.2f}"


def publish(sections: dict[str, Sequence[Figure]], machine: str, output: Path | None) -> None:
    """Print one table per section, and write all figures as JSON to `output` if given."""
    console = Console()
    for title, figures in sections.items():
        console.print(table(figures, title, machine))
    if output is not None:
        found = {title: [asdict(figure) | {"met": figure.met} for figure in each] for title, each in sections.items()}
        output.write_text(json.dumps({"machine": machine, "figures": found}, indent=2, ensure_ascii=False) + "\n")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of all benchmarks."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--quick", action="store_true", help="fewer and shorter repeats")
    options.add_argument("--output", type=Path, metavar="FILE", help="also write the figures as JSON")
    return options
