"""Data frames on stdout, as CSV or JSON."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from foldtune.search.cli.options import Format
from foldtune.search.cli.terminal import print_csv, print_json


def print_frame(frame: pd.DataFrame, format: Format) -> None:
    """Print a data frame: CSV, or JSON with one object a row."""
    if format is Format.csv:
        print_csv(frame)
    else:
        print_json(frame_rows(frame))


def frame_rows(frame: pd.DataFrame) -> Any:
    """Return one mapping a row, of values that JSON has; missing ones are None."""
    try:
        return json.loads(frame.to_json(orient="records", date_format="iso"))
    except UnicodeEncodeError:  # a text with half a character
        return json.loads(frame.map(_whole).to_json(orient="records", date_format="iso"))


def _whole(value: Any) -> Any:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
