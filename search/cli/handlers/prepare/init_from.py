"""`foldtune init --from RUN`."""

from __future__ import annotations

from pathlib import Path

from foldtune.errors import InputError
from foldtune.files import whole_file
from foldtune.search.cli.terminal import note, output
from foldtune.search.config.targets import split_targets
from foldtune.search.init.from_run import config_of_trial
from foldtune.search.init.page import write_page
from foldtune.search.runs.run import open_run
from foldtune.search.runs.target_checks import check_config
from foldtune.yaml import parse_yaml


def write_trial_config(run: str, storage: str, trial: str | None, file: Path | None, *, force: bool) -> None:
    """Write the configuration that trains a trial again; what `foldtune validate` would note of it is printed.

    Raises:
        InputError: a group of targets, no such trial, a file that exists, data that are no longer there.
    """
    opened = open_run(run, storage)
    stem = file.stem if file else f"{opened.store.name}-{trial or 'best'}"
    path = file or Path(f"{stem}.yaml")
    own_metric = path.with_name(f"{stem}_metric.py")
    found = config_of_trial(opened, trial, Path(own_metric.name))
    for each in (path, own_metric)[: 1 if found.metric_source is None else 2]:
        if each.exists() and not force:
            raise InputError(f"{each}: is there already; --force replaces it, -o names another file")
    page = write_page(f"{found.title}\nNext: foldtune search {path.name}", found.findings)
    if found.metric_source is not None:
        _write(own_metric, found.metric_source)
    for checked in check_config(split_targets(parse_yaml(page, str(path)), path.parent)):
        for text in checked.notes:
            note(f"note: {text}")
    _write(path, page)
    output().print(f"{path}: {found.title[:1].lower()}{found.title[1:]} Next: foldtune search {path}", soft_wrap=True)


def _write(path: Path, text: str) -> None:
    with whole_file(path) as stream:
        stream.write(text.encode())
