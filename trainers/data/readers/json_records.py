"""JSON and JSON lines as tables of text."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.csv_files import MAX_CELLS, MAX_COLUMNS, read_text
from foldtune.errors import DataError
from foldtune.trainers.data.readers.source import Reader, ReadOptions, Source, text_frame
from foldtune.wording import shortened

ROW = '{"image": "a.jpg", "label": "nv"}'
FORMS = f'[{ROW}, …], {{"a.jpg": {{"label": "nv"}}, …}} or {{"a.jpg": "nv", …}}'


class JsonForm(Reader):
    """A .json file, which is parsed once whatever its content is taken for."""

    suffixes = (".json",)

    def read(self, path: Path, options: ReadOptions) -> Source:
        return self.source(path, read_json(path, options), options)

    @abstractmethod
    def source(self, path: Path, content: Any, options: ReadOptions) -> Source:
        """The rows of a file's content. Raises DataError: what is wrong with it, what is valid."""


class JsonRecords(JsonForm):
    """A list of mappings, a mapping from images to mappings or labels, or a mapping of columns."""

    def source(self, path: Path, content: Any, options: ReadOptions) -> Source:
        return Source(_frame(path, list(_rows(path, content, options))), "json")


class JsonLines(Reader):
    """A .jsonl or .ndjson file: a mapping a line."""

    suffixes = (".jsonl", ".ndjson")

    def read(self, path: Path, options: ReadOptions) -> Source:
        lines = read_text(path, options.encoding, "JSON").split("\n")
        rows = []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row = parse_json(path, line, f"line {number}: ")
                if not isinstance(row, Mapping):
                    raise _refused(path, f"line {number} is no mapping, as {ROW} is")
                rows.append(row)
        return Source(_frame(path, rows), "jsonl")


def read_json(path: Path, options: ReadOptions) -> Any:
    """Return the content of a JSON file. Raises DataError where it is none, or holds a key twice in one mapping."""
    return parse_json(path, read_text(path, options.encoding, "JSON"))


def parse_json(path: Path, text: str, where: str = "") -> Any:
    """As `read_json`, of a text; `where` stands before what is wrong with it."""
    try:
        return json.loads(text, object_pairs_hook=_no_key_twice)
    except RecursionError:
        raise _refused(path, f"{where}lists and mappings too deep inside one another") from None
    except ValueError as error:
        raise _refused(path, where + shortened(" ".join(str(error).split()), 160)) from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{shortened(repr(twice))} stands twice in one mapping; keep one")
    return found


def _rows(path: Path, content: Any, options: ReadOptions) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        yield from content
        return
    if not isinstance(content, dict):
        raise _refused(path, f"rows are of the form {FORMS}")
    if options.id_column in content:
        yield from _from_columns(path, content)
        return
    for name, row in content.items():
        rest = row if isinstance(row, Mapping) else {options.target_column: row}
        yield {options.id_column: name, **rest}


def _from_columns(path: Path, columns: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a mapping of columns, each a list or a mapping from row numbers."""
    lists = {name: list(cells.values()) if isinstance(cells, dict) else cells for name, cells in columns.items()}
    lengths = {len(cells) if isinstance(cells, list) else -1 for cells in lists.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise _refused(path, "columns must be lists of one length")
    for cells in zip(*lists.values(), strict=True):
        yield dict(zip(lists, cells, strict=True))


def _frame(path: Path, rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MAX_COLUMNS or len(names) * len(rows) > MAX_CELLS:
        raise _refused(path, f"it has {len(rows):,} rows of {len(names):,} keys; a table may have {MAX_CELLS:,} cells")
    columns = {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names}
    return text_frame(path, pd.DataFrame(columns))


def _refused(path: Path, reason: str) -> DataError:
    return DataError([f"{path}: cannot be read as JSON: {reason}"])
