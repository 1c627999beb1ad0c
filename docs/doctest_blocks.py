"""Examples and drawings in docstrings, as blocks of code on the reference pages wherever they stand in the text."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"(?:^>>> .*\n?(?:^(?!>>> )\S.*\n?|^\.\.\. .*\n?)*)+", re.MULTILINE)


LITERAL = re.compile(r"^::$|(?<=:):$", re.MULTILINE)
"""The sign before an indented block, which Markdown does not need."""


class DoctestBlocks(griffe.Extension):
    """Put a fence around every example of a docstring that is no section of its own."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one module, class, function or attribute."""
        if obj.docstring is not None:
            text = LITERAL.sub("", obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text)
