"""Colour codes of terminals in texts of other programs, such as Ray's messages."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def without_colours(text: str) -> str:
    """Return a text without its colour codes.

    >>> without_colours("\\x1b[36mray::step()\\x1b[39m")
    'ray::step()'
    """
    return _COLOUR.sub("", text)
