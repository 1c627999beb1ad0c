"""`foldtune validate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldtune.search.cli.display.summary import summary
from foldtune.search.cli.terminal import output
from foldtune.search.config.targets import read_targets
from foldtune.search.runs.target_checks import check_targets
from foldtune.search.runs.validation import check_file


def validate_config(config: Path, override: Sequence[str]) -> None:
    """Check a configuration, of several targets each, and print what it comes down to.

    Raises:
        InputError: every problem of the configuration, its data and its search space.
    """
    several = read_targets(config, override)
    if several is None:
        output().print(summary(check_file(config, override)))
        return
    for checked in check_targets(several).targets.values():
        output().print(summary(checked))
