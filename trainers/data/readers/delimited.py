"""Text tables: cells between commas, tabs, semicolons or bars."""

from __future__ import annotations

from pathlib import Path

from foldtune.csv_files import read_csv
from foldtune.trainers.data.readers.source import ReadOptions, Source


class DelimitedText:
    """CSV, TSV and their relatives, also packed (.gz, .bz2, .xz, a .zip of one file)."""

    own_target: str | None = None

    def matches(self, path: Path) -> bool:
        """Any file, since any suffix may hold text; what is no text is refused by its first bytes."""
        return path.is_file()

    def read(self, path: Path, options: ReadOptions) -> Source:
        return Source(read_csv(path, encoding=options.encoding))
