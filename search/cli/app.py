"""The application: its commands, in the order in which a user meets them."""

from __future__ import annotations

import inspect

import typer

from foldtune.search.cli.commands.cluster import cluster
from foldtune.search.cli.commands.look import report, results
from foldtune.search.cli.commands.prepare import data, preview, validate
from foldtune.search.cli.commands.search import jobs, search
from foldtune.search.cli.commands.use import gate, predict, promote
from foldtune.search.cli.commands.vote import compare, ensemble, thresholds

HELP = """Search the hyperparameters of an image classifier on Ray, then train the best trials on K folds, let them
vote, and write the submission.

A first session:

foldtune data digits quickstart                 real images to try it on
foldtune validate examples/quickstart.yaml      is the configuration right?
foldtune search examples/quickstart.yaml        Ctrl-C, --resume: all is kept
foldtune results quickstart                     the trials, the best first
foldtune ensemble quickstart -o submission.csv  K folds, votes, submission
"""

app = typer.Typer(
    name="foldtune",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def reflow(text: str) -> str:
    """A docstring whose paragraphs the terminal may wrap; Typer would keep the source's line breaks.

    Paragraphs of commands (`foldtune …`, one a line) keep theirs.
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    kept = [part if part.startswith("foldtune ") else " ".join(part.split()) for part in paragraphs]
    return "\n\n".join(kept)


for register in (
    validate,
    preview,
    search,
    results,
    thresholds,
    ensemble,
    compare,
    gate,
    promote,
    report,
    predict,
    data,
    jobs,
    cluster,
):
    register.add_to(app)

for command in app.registered_commands:
    command.help = reflow((command.callback and command.callback.__doc__) or "")
for group in app.registered_groups:
    for command in group.typer_instance.registered_commands if group.typer_instance else ():
        command.help = reflow((command.callback and command.callback.__doc__) or "")
