"""`foldtune results RUN --trial ID`."""

from __future__ import annotations

import json
from dataclasses import asdict

import pandas as pd

from foldtune.ansi import without_colours
from foldtune.errors import InputError, RunCorrupt
from foldtune.results.storage.files import json_text
from foldtune.results.tables.trial_table import trial_view
from foldtune.search.cli.handlers.look.frames import print_frame
from foldtune.search.cli.options import Format
from foldtune.search.cli.terminal import output, print_json
from foldtune.search.runs.group import open_targets


def show_trial(run: str, storage: str, trial_id: str, format: Format) -> None:
    """Print all that is stored of a trial but its scores; as CSV its epochs.

    Raises:
        InputError: a group of several targets, each of which has trials of its own.
        TrialNotFound: the run has no such trial.
        RunCorrupt: its files cannot be read.
    """
    runs = open_targets(run, storage)
    if len(runs) > 1:
        names = ", ".join(each.store.name for each in runs.values())
        raise InputError(f"--trial: {run!r} is a group of several targets: name one of its runs ({names})")
    (opened,) = runs.values()
    directory = opened.store.find_trial(trial_id)
    record, epochs, deaths = directory.record(), directory.epochs(), directory.deaths()
    if record is None:
        raise RunCorrupt(f"{directory.config_path} is gone")
    log = without_colours(directory.error_log())
    rows = [row.to_dict() for row in epochs]
    if format is Format.table:
        output().print(trial_view(record, epochs, deaths, log, width=output().width))
    elif format is Format.csv:
        print_frame(pd.json_normalize(rows), format)
    else:  # NaN is null
        print_json(json.loads(json_text({**asdict(record), "epochs": rows, "deaths": deaths, "log": log or None})))
