"""Consoles of a command: results go to stdout, progress and messages to stderr.

All text is shown as it is. Names of files, runs, classes and stored texts may hold what rich would take for markup or
emoji, and what a terminal would obey: neither happens to anything that is printed through these consoles, tables, live
views and usage errors included.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from foldtune.redaction import redacted, without_colours
from foldtune.search.cli.options import Format
from foldtune.search.cli.streams import discard, expendable, is_unicode

if TYPE_CHECKING:
    import pandas as pd

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, but for tab and line feed."""


def shown(text: str) -> str:
    """Return a text whose control characters are visible, and obeyed by no terminal.

    >>> shown("a\\x1b[2Jb\\x9b")
    'a␛[2Jb\\\\x9b'
    """
    return _CONTROL.sub(_picture, text)


def plain(log: str) -> str:
    """Return another program's output without its colours, and with its other control characters made visible.

    >>> plain("\\x1b[36m(worker)\\x1b[0m ready\\x1b]0;title\\x07")
    '(worker) ready␛]0;title␇'
    """
    return shown(without_colours(log))


class TextConsole(Console):
    """A console that shows text as it is, and that outlives the reader of its output."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with the control characters of texts made visible; rich's own are not part of texts."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or not _CONTROL.search(text) else Segment(shown(text), style)

    def on_broken_pipe(self) -> None:
        """Discard what follows: the work goes on, and its exit code is that of the work."""
        discard(self.file)


def output() -> Console:
    """Return the console of results, made on use, so that a redirected stdout is the one that is written to."""
    return TextConsole(sys.stdout)


def errors() -> Console:
    """Return the console of progress and messages."""
    return TextConsole(expendable(sys.stderr))


def note(text: str, console: Console | None = None) -> None:
    """Print one line about the work to stderr, without secrets; on the console of a live table it stands above it."""
    (console or errors()).print(redacted(text), style="dim", soft_wrap=True)


def heading(target: str | None) -> None:
    """Print the name of a target above its results; None is that of a run alone."""
    if target is not None:
        output().print(f"target {target}", style="bold", soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON, alone on stdout."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=not is_unicode(sys.stdout), default=str)
    sys.stdout.write(re.sub(r"[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def _finite(value: Any) -> Any:
    """Return a value whose numbers are finite: JSON has no NaN, which stands for a figure that is not known."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_csv(frame: pd.DataFrame) -> None:
    """Print a data frame as CSV without its index, alone on stdout."""
    text = frame.to_csv(index=False)
    sys.stdout.write(shown(text) if sys.stdout.isatty() else text)


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


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"\\x{code:02x}"
