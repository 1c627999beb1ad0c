"""JSON files within bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foldtune.csv_files import MAX_TABLE_BYTES
from foldtune.errors import DataError
from foldtune.wording import shortened


def read_json(path: Path, encoding: str = "utf-8-sig") -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: no such file, too large, not JSON, or a mapping with one key twice.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise DataError([f"{path}: holds more than {MAX_TABLE_BYTES >> 20:,} MB, the most that a table may"])
        return json.loads(path.read_text(encoding=encoding), object_pairs_hook=_no_key_twice)
    except FileNotFoundError:
        raise DataError([f"{path}: no such file"]) from None
    except RecursionError:
        raise DataError([f"{path}: cannot be read as JSON (lists and mappings too deep inside one another)"]) from None
    except (ValueError, OSError) as error:
        reason = shortened(" ".join(str(error).split()), 200)
        raise DataError([f"{path}: cannot be read as JSON ({reason})"]) from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{shortened(repr(twice))} stands twice in one mapping; keep one")
    return found
