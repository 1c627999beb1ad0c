"""`foldtune cache`: decoded images, and what killed processes left on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from rich.table import Table

from foldtune.cluster.sessions.leftovers import abandoned_sessions, remove_sessions
from foldtune.files import scratch_folders, sweep_scratch
from foldtune.results.storage.files import tree_size
from foldtune.results.tables.formatting import counted
from foldtune.search.cli.options import Format
from foldtune.search.cli.terminal import note, output, print_frame
from foldtune.search.config.sections.data_section import default_cache_dir
from foldtune.trainers.images.cache_listing import clear_caches, list_caches

DAY_S = 86_400.0


@dataclass(frozen=True)
class Kept:
    """Something that takes room on this machine."""

    kind: str
    path: str
    size_mb: float
    used: datetime


def show_cache(folder: Path | None, format: Format) -> None:
    """Print image caches and scratch folders, with their sizes."""
    kept = [*_caches(folder or default_cache_dir()), *_scratch(), *_sessions()]
    if format is not Format.table:
        print_frame(pd.DataFrame(kept, columns=list(Kept.__dataclass_fields__)), format)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("kind", "MB", "last used", "path"):
        table.add_column(header, justify="right" if header == "MB" else "left", overflow="fold")
    for each in kept:
        table.add_row(each.kind, f"{each.size_mb:,.1f}", f"{each.used.astimezone():%Y-%m-%d %H:%M}", each.path)
    table.caption = f"{sum(each.size_mb for each in kept):,.1f} MB in all" if kept else "nothing is kept"
    output().print(table)


def clear_cache(folder: Path | None, older_than_days: float) -> None:
    """Remove image caches that were not used for a while, and what killed processes left; print how much."""
    count, freed = clear_caches(folder or default_cache_dir(), older_than_days * DAY_S)
    left = [path for path, abandoned in scratch_folders() if abandoned]
    freed += sum(map(tree_size, left))
    sweep_scratch()
    sessions = list(abandoned_sessions())
    freed += sum(map(tree_size, sessions))
    removed = [counted(count, "image cache"), counted(len(left), "scratch folder")]
    removed.append(counted(remove_sessions(iter(sessions)), "Ray session"))
    note(f"{', '.join(removed)} removed ({freed / 1e6:,.1f} MB)")


def _caches(folder: Path) -> list[Kept]:
    return [
        Kept("torn cache" if each.torn else "images", str(each.path), each.size / 1e6, _time(each.used_s))
        for each in list_caches(folder)
    ]


def _scratch() -> list[Kept]:
    return [
        Kept("left by a killed process" if abandoned else "scratch", str(path), tree_size(path) / 1e6, _modified(path))
        for path, abandoned in scratch_folders()
    ]


def _sessions() -> list[Kept]:
    return [
        Kept("ended Ray session", str(path), tree_size(path) / 1e6, _modified(path)) for path in abandoned_sessions()
    ]


def _modified(path: Path) -> datetime:
    return _time(path.stat().st_mtime if path.exists() else 0.0)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
