"""`foldtune validate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldtune.search.cli.display.summary import summary
from foldtune.search.cli.terminal import output
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_targets
from foldtune.search.runs.validation import check_raw


def validate_config(config: Path, override: Sequence[str]) -> None:
    """Check a configuration, of several targets each, and print what it comes down to.

    Raises:
        InputError: every problem of the configuration, its data and its search space.
    """
    file = read_config_file(config, override)
    if file.targets is None:
        output().print(summary(check_raw(file.raw, file.folder)))
        return
    for checked in check_targets(file.targets).targets.values():
        output().print(summary(checked))
