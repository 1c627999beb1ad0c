"""The application: its commands, in the order in which a user meets them."""

from __future__ import annotations

import typer

from search.cli import data, ensemble, predict, results, search, validate

app = typer.Typer(
    name="foldtune",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Search the hyperparameters of an image classifier on Ray, then train the best trials on K folds, let them "
        "vote, and write the submission.\n\nA first sitting:\n\n"
        "  foldtune data digits digits         # real images to try it on\n\n"
        "  foldtune search examples/quickstart.yaml\n\n"
        "  foldtune results quickstart\n\n"
        "  foldtune ensemble quickstart --output submission.csv"
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)

for register in (validate, search, results, ensemble, predict, data):
    register.add_to(app)
