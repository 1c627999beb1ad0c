"""`foldtune audit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from foldtune.errors import InputError
from foldtune.paths import check_output, safe_name
from foldtune.results.tables.audit_table import audit_table
from foldtune.results.tables.formatting import counted
from foldtune.search.audit.audit import Audit, audit_rows
from foldtune.search.audit.findings import ALIKE, BROKEN, COPY, DOUBTFUL, NEAR, ONE_COLOUR, TRUNCATED
from foldtune.search.audit.output import check_unmarked, write_audit
from foldtune.search.audit.rows import AuditRows, rows_of_config, rows_of_stored
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.terminal import heading, note, output
from foldtune.search.config.loading import check
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.group import open_targets
from foldtune.search.runs.run import Run, with_data

WORDINGS = {
    BROKEN: "cannot be read",
    TRUNCATED: "cut off",
    ONE_COLOUR: "one colour",
    COPY: "copy",
    NEAR: "same picture",
    ALIKE: "alike to the models",
    DOUBTFUL: "doubtful label",
}
_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class AuditRequest:
    """What to audit.

    Attributes:
        source: YAML file of a configuration, or name or folder of a run or a group of targets.
        override: texts KEY.PATH=VALUE, of a configuration.
        folder: the folder to write, None for NAME-audit in the working directory.
        strict: whether an image that train and test, or two folds, share ends the command with 1.
        storage: folder or URL of the runs.
        data: where the run's data.root lies now, None where it did not move.
    """

    source: str
    override: Sequence[str]
    folder: Path | None
    strict: bool
    storage: str
    data: Path | None


@dataclass(frozen=True)
class Subject:
    """One configuration or run to audit.

    Attributes:
        target: its target, None where there is one alone.
        run: the run, None for a configuration.
    """

    target: str | None
    name: str
    rows: AuditRows
    run: Run | None = None


def audit_data(request: AuditRequest) -> None:
    """Write and print the findings of a configuration or a run, of several targets each.

    Raises:
        InputError: every problem of the tables, or a folder that holds marks.
        typer.Exit: with 1, where `strict` and train and test, or two folds, share an image.
    """
    shared = 0
    for subject in _subjects(request):
        folder = (request.folder or Path(f"{subject.name}-audit")) / safe_name(subject.target or "")
        check_output(folder, is_folder=True, name="-o")
        check_unmarked(folder)
        with progress_bar("reading images") as progress:
            audit = audit_rows(subject.name, subject.rows, decoder_processes(), progress, subject.run)
        if subject.target is not None:
            heading(subject.target)
        _show(audit)
        note(f"in {folder}: {', '.join(path.name for path in write_audit(audit, folder))}")
        shared += len(audit.shared)
    if request.strict and shared:
        note(f"--strict: train and test, or two folds, share images ({counted(shared, 'pair')})")
        raise typer.Exit(1)


def _subjects(request: AuditRequest) -> Iterator[Subject]:
    if not request.source.lower().endswith(_YAML):
        if request.override:
            raise InputError("--set: is for a configuration; a run keeps the one that it was started with")
        for target, run in open_targets(request.source, request.storage).items():
            opened = run if request.data is None else with_data(run, request.data)
            yield Subject(target, opened.store.name, rows_of_stored(opened), opened)
        return
    file = read_config_file(Path(request.source), request.override)
    if file.targets is None:
        config = check(file.raw, file.folder)
        yield Subject(None, config.name, rows_of_config(config))
        return
    for target in file.targets.raws:
        yield Subject(target, file.targets.name, rows_of_config(file.targets.config(target)[0]))


def _show(audit: Audit) -> None:
    rows = audit.rows
    title = f"{audit.name}: {len(rows.train):,} labelled images, {len(rows.test):,} to submit"
    output().print(audit_table(audit.frame, title, WORDINGS))
    for text in audit.notes:
        output().print(f"note: {text}", soft_wrap=True)
