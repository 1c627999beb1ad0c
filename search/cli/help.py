"""Help of the commands as plain text: headings, and options with the words of their values. Imports nothing heavy."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

WIDTH = 100
"""Characters of a line, at most."""
UsageError: Any = typer.BadParameter.__mro__[1]  # Click's, which has no public name in Typer
KEEP_LINES = "\b\n"
"""Mark of Click at the start of a paragraph that is not wrapped."""


def reflow(text: str) -> str:
    """Return a docstring whose paragraphs are wrapped by the terminal, but for those of commands, one a line.

    >>> reflow("Wrapped in\\nthe source.\\n\\nfoldtune runs")
    'Wrapped in the source.\\n\\n\\x08\\nfoldtune runs'
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    kept = [KEEP_LINES + part if part.startswith("foldtune ") else " ".join(part.split()) for part in paragraphs]
    return "\n\n".join(kept)


class PlainCommand(TyperCommand):
    """A command whose help names arguments and values as the documentation does."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options."""
        write_parameters(self, ctx, formatter)


class PlainGroup(TyperGroup):
    """Commands below one name; its help lists them by their headings."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Ctrl-C aborts it; Typer would end it without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; an unknown one is answered with those that there are."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            if "No such command" in error.message:
                error.message = f"{error.message.rstrip('.')}; valid: {', '.join(self.commands)}"
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write options, then the commands."""
        write_parameters(self, ctx, formatter)
        headings: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            summary = (command.help or "").split("\n\n")[0]
            heading = getattr(command, "rich_help_panel", None)
            headings.setdefault(heading if isinstance(heading, str) else "Commands", []).append((name, summary))
        for heading, rows in headings.items():
            write_section(formatter, heading, rows)


def write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the parameters of a command; an argument stands under its name alone, not with a type of Python."""
    arguments, options = [], []
    for parameter in command.get_params(ctx):
        name, text = parameter.get_help_record(ctx) or (None, "")
        if name is None:
            continue
        if parameter.param_type_name == "argument":
            arguments.append((parameter.metavar or parameter.name.upper(), text))
        else:
            options.append((name, text))
    write_section(formatter, "Arguments", arguments)
    write_section(formatter, "Options", options)


def write_section(formatter: Any, heading: str, rows: Iterable[tuple[str, str]]) -> None:
    """Write a heading and its rows of name and text; nothing where there are no rows."""
    if rows := list(rows):
        with formatter.section(heading):
            formatter.write_dl(rows)


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
