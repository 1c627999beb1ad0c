"""The submission file: the sample's columns and ids in the sample's order, written atomically."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.csv_files import MAX_TABLE_BYTES, csv_dialect, read_csv
from foldtune.errors import DataError, SubmissionError
from foldtune.ids import match_ids
from foldtune.results.storage.files import write_csv
from foldtune.results.storage.paths import StorePath
from foldtune.results.storage.retry import storage_errors
from foldtune.wording import did_you_mean, shortened

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


T = TypeVar("T")

_NAMED = 5
_UNNAMED = re.compile(r"Unnamed: [0-9]+")
"""What pandas calls a column without a name, such as the index that it writes."""


def write_submission(
    frame: pd.DataFrame,
    path: StorePath,
    sample: Path | None = None,
    *,
    id_column: str | None = None,
    encoding: str | None = None,
) -> pd.DataFrame:
    """Write the result of ``arrange_submission`` with the sample's delimiter, ends of lines and encoding; return it.

    Raises SubmissionError, StorageError.
    """
    ordered = arrange_submission(frame, sample, id_column=id_column, encoding=encoding)
    table = None if sample is None or _is_json(Path(sample)) else Path(sample)
    dialect = None if table is None else _in_encoding(csv_dialect, table, encoding)
    written = ordered.rename(columns=lambda name: "" if _UNNAMED.fullmatch(str(name)) else name)
    write_csv(path, written, dialect)
    return ordered


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def is_echoed(column: str) -> bool:
    """Whether a sample's column is no prediction and goes back as it is: `Usage`, or one without a name."""
    return column.strip().casefold() == "usage" or _UNNAMED.fullmatch(column) is not None


def arrange_submission(
    frame: pd.DataFrame, sample: Path | None = None, *, id_column: str | None = None, encoding: str | None = None
) -> pd.DataFrame:
    """Return the predictions in the sample's form.

    ``frame`` has one row per image. Its columns and ids must be the sample's, in any order; ids compare as
    `foldtune.ids.match_ids` pairs them, and are written as the sample has them. Without a sample the frame is returned
    as it is. ``id_column`` defaults to the first column of the sample, or of the frame. Columns that `is_echoed` are
    the sample's. ``encoding`` is as for `read_sample`. Raises SubmissionError with every problem found, StorageError.

    >>> arrange_submission(pd.DataFrame({"image": ["a.jpg", "b.jpg"], "label": ["nv", "mel"]}))
       image label
    0  a.jpg    nv
    1  b.jpg   mel
    """
    template = None if sample is None else read_sample(Path(sample), encoding)
    columns = list((frame if template is None else template).columns)
    echoed = [name for name in columns if name not in frame.columns and is_echoed(name)]
    predicted = [name for name in columns if name not in echoed]
    key = id_column or predicted[0]
    problems = _column_problems(list(frame.columns), predicted, key)
    if problems:
        raise SubmissionError("\n".join(problems))
    ids = frame[key].astype(str).map(canonical_text)
    problems = _repeated(ids, "the predictions")
    wanted = ids
    if template is not None:
        written = template[key].map(canonical_text)
        pairs = match_ids(written, ids)
        problems += _repeated(written, str(sample))
        problems += _listed("without a prediction", set(written) - pairs.keys())
        problems += _listed("predicted but not in the sample", set(ids) - set(pairs.values()))
        wanted = written.map(lambda name: pairs.get(name, name))
    for name in predicted:
        problems += _listed(f"with an empty {name!r}", ids[frame[name].isna()])
    if problems:
        raise SubmissionError("\n".join(problems))
    if template is None:
        return frame[columns]
    own = {name: template[name] for name in (key, *echoed)}
    return frame[predicted].set_axis(ids).loc[wanted].reset_index(drop=True).assign(**own)[columns]


def read_sample(path: Path, encoding: str | None = None) -> pd.DataFrame:
    """Return the sample as text, one row per id, empty cells as "". Raises SubmissionError, StorageError.

    Args:
        encoding: encoding of a sample that is not in UTF-8.
    """
    with storage_errors(path, "read"):
        if not path.exists():
            raise SubmissionError(f"no sample submission at {path}")
        try:
            if _is_json(path):
                frame = read_json_sample(path)
            else:
                frame = _in_encoding(partial(read_csv, empty_is_missing=False), path, encoding)
        except DataError as error:
            raise SubmissionError(f"cannot be read as a sample submission: {error}") from None
    frame = frame.fillna("")
    if frame.empty:
        raise SubmissionError(f"{path} has no rows: a sample submission lists every id that must be predicted")
    return frame


def _in_encoding(read: Callable[..., T], path: Path, encoding: str | None) -> T:
    """Return what is read of a file in UTF-8, or else in the encoding, where one is given. Raises DataError."""
    try:
        return read(path)
    except DataError:
        if encoding is None:
            raise
    return read(path, encoding=encoding)


def _column_problems(given: list[str], wanted: list[str], key: str) -> list[str]:
    problems = []
    if key not in wanted:
        problems.append(f"no id column {key!r}; there are: {', '.join(wanted)}")
    for name in [name for name in wanted if name not in given]:
        problems.append(f"the predictions lack column {name!r}{did_you_mean(name, given)}")
    extra = [name for name in given if name not in wanted]
    if extra:
        problems.append(f"the sample has no column {', '.join(map(repr, extra))}; it has: {', '.join(wanted)}")
    return problems


def _repeated(ids: pd.Series[str], where: str) -> list[str]:
    return _listed(f"more than once in {where}", ids[ids.duplicated()])


def _listed(what: str, ids: Iterable[str]) -> list[str]:
    """Return [] or one line: the count and the first few ids."""
    names = sorted(set(ids))
    if not names:
        return []
    more = ", …" if len(names) > _NAMED else ""
    noun = "id" if len(names) == 1 else "ids"
    return [f"{len(names)} {noun} {what}: {', '.join(names[:_NAMED])}{more}"]
