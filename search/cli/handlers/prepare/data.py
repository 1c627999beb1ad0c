"""`foldtune data`."""

from __future__ import annotations

from pathlib import Path

from foldtune.search.cli.terminal import note
from foldtune.trainers.data.digits import write_digits


def write_digits_data(folder: Path, seed: int) -> None:
    """Write the handwritten digits with their tables into a folder."""
    write_digits(folder, seed=seed)
    note(f"digits written to {folder}")
