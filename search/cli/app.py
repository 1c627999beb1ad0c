"""The application: every command is registered here, in families that follow each other as a user meets them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from foldtune import __version__
from foldtune.search.cli.commands import cluster, look, prepare, search, upkeep, use, vote
from foldtune.search.cli.help import WIDTH, PlainCommand, PlainGroup, ViewsCommand, reflow

HELP = """Search the hyperparameters of an image classifier on Ray, train the best trials on K folds, combine them
by a vote, and write the submission.

A first session:

foldtune data digits quickstart                 real images to try it on
foldtune validate examples/quickstart.yaml      is the configuration right?
foldtune search examples/quickstart.yaml        Ctrl-C, --resume: all is kept
foldtune results quickstart                     the trials, the best first
foldtune ensemble quickstart -o submission.csv  a vote of K folds, to submit

Each command has its own help: foldtune search --help
"""

Function = Callable[..., None]


@dataclass(frozen=True)
class Group:
    """Commands below one name, as `foldtune cluster status`.

    Attributes:
        alone: what the name does without a command, None for its help.
    """

    help: str
    commands: Sequence[Function]
    alone: Function | None = None


FAMILIES: Mapping[str, Sequence[Function]] = {
    "Prepare": (prepare.init, prepare.validate, prepare.audit, prepare.preview),
    "Search": (search.run, search.search, search.ablate, search.logs, search.stop),
    "Look at results": (look.results, look.leaderboard, look.report),
    "Vote": (vote.thresholds, vote.ensemble, vote.compare, vote.score),
    "Use": (use.predict, use.gate, use.promote),
}
"""Commands by the heading of `foldtune --help` below which they stand."""
GROUPS: Mapping[str, Mapping[str, Group]] = {
    "Prepare": {
        "data": Group("Write real images to try foldtune on, or pretrained weights.", (prepare.digits, prepare.weights))
    },
    "Look at results": {
        "runs": Group(reflow(look.runs.__doc__ or ""), (upkeep.archive, upkeep.rm, upkeep.note), alone=look.runs)
    },
    "Cluster": {
        "cluster": Group(
            "Show a Ray cluster, check it before a search, or write the manifest of one.",
            (cluster.status, cluster.check, cluster.manifest),
        ),
        "cache": Group(reflow(upkeep.cache.__doc__ or ""), (upkeep.clear,), alone=upkeep.cache),
    },
}
"""Groups of commands by heading and name."""


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"foldtune {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def register(into: typer.Typer, function: Function, panel: str | None = None) -> None:
    """Add a command: its name, flags and help are those of the function."""
    with_tta = "tta" in inspect.signature(function).parameters
    into.command(
        cls=ViewsCommand if with_tta else PlainCommand, help=reflow(function.__doc__ or ""), rich_help_panel=panel
    )(function)


def build_app() -> typer.Typer:
    """Return the application with all of its commands."""
    app = typer.Typer(
        name="foldtune",
        no_args_is_help=True,
        add_completion=False,
        cls=PlainGroup,
        rich_markup_mode=None,  # rich's own form of a help imports more than all the rest of it
        pretty_exceptions_enable=False,
        help=reflow(HELP),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    )
    app.callback()(root)
    for panel, functions in FAMILIES.items():
        for function in functions:
            register(app, function, panel)
    for panel, groups in GROUPS.items():
        for name, group in groups.items():
            below = typer.Typer(
                cls=PlainGroup, rich_markup_mode=None, no_args_is_help=group.alone is None, help=group.help
            )
            if group.alone is not None:
                below.callback(invoke_without_command=True, help=group.help)(group.alone)
            for function in group.commands:
                register(below, function)
            app.add_typer(below, name=name, help=group.help, rich_help_panel=panel)
    return app


app = build_app()
