"""The option `--tta`, which may stand alone: test-time views of every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foldtune.search.cli.help import PlainCommand

BARE = "flips"
"""Value of a bare --tta: an image, mirrored in each direction and in both."""


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the value that a bare `--tta` stands for.

    >>> spelled_out(["skin", "--tta", "--top", "3"])
    ['skin', '--tta', 'flips', '--top', '3']
    """
    found: list[str] = []
    for place, argument in enumerate(arguments):
        found.append(argument)
        following = arguments[place + 1] if place + 1 < len(arguments) else "-"
        if argument == "--tta" and following.startswith("-"):
            found.append(BARE)
    return found


class ViewsCommand(PlainCommand):
    """A command whose `--tta` needs no value. (Typer's own copy of Click has no options of optional values.)"""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Spell a bare `--tta` out before the arguments are parsed."""
        return super().parse_args(ctx, spelled_out(args))
