"""Sample submissions of boxes as JSON: their images, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.csv_files import MAX_TABLE_BYTES
from foldtune.errors import SubmissionError
from foldtune.wording import shortened

FORMS = "COCO, UFO, or a mapping from image names"
COLUMNS = ("image", "boxes")


def read_json_sample(path: Path) -> pd.DataFrame:
    """Return a row an image, columns `image` and `boxes`, the latter empty.

    Raises:
        SubmissionError: not JSON of one of `FORMS`.
    """
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise SubmissionError(f"{path}: holds more than {MAX_TABLE_BYTES >> 20:,} MB, the most that a table may")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = shortened(" ".join(str(error).split()), 200)
        raise SubmissionError(f"{path}: cannot be read as JSON ({reason})") from None
    names = _names(content)
    if names is None:
        raise SubmissionError(f"{path}: is no sample of boxes; as JSON these are {FORMS}")
    return pd.DataFrame({COLUMNS[0]: pd.Series(names, dtype=str), COLUMNS[1]: ""})


def _names(content: Any) -> list[str] | None:
    images = content.get("images") if isinstance(content, dict) else None
    if isinstance(images, list):
        named = [each.get("file_name") if isinstance(each, dict) else None for each in images]
        return None if None in named else [str(name) for name in named]
    if isinstance(images, dict) and all(isinstance(each, dict) and "words" in each for each in images.values()):
        return list(images)
    if isinstance(content, dict) and all(isinstance(each, dict) for each in content.values()):
        return list(content)
    return None
