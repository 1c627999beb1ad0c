"""`foldtune validate`."""

from __future__ import annotations

import typer

from foldtune.search.cli.options import ConfigFile, Overrides
from foldtune.search.cli.terminal import output


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def validate(config: ConfigFile, override: Overrides = None) -> None:
        """Check a configuration, its data and its search space before anything is trained.

        Reports every problem at once, each with its key path, what is valid and the nearest name. Exits with 2
        where there is one.

        foldtune validate skin.yaml
        foldtune validate skin.yaml --set data.image_size=128
        """
        from foldtune.search.cli.display.summary import summary
        from foldtune.search.config.targets import read_targets
        from foldtune.search.runs.target_checks import check_targets
        from foldtune.search.runs.validation import check_file

        several = read_targets(config, override or [])
        if several is None:
            output().print(summary(check_file(config, override or [])))
            return
        for checked in check_targets(several).targets.values():
            output().print(summary(checked))
