"""`foldtune audit`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from foldtune.errors import InputError
from foldtune.paths import check_output, safe_name
from foldtune.results.tables.audit_table import audit_table
from foldtune.results.tables.formatting import counted
from foldtune.search.audit.audit import Audit, audit_rows
from foldtune.search.audit.findings import ALIKE, BROKEN, COPY, DOUBTFUL, NEAR, ONE_COLOUR, SHARED, TRUNCATED
from foldtune.search.audit.output import check_unmarked, write_audit
from foldtune.search.audit.rows import AuditRows, rows_of_config, rows_of_stored
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.terminal import heading, note, output
from foldtune.search.config.loading import check
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.group import open_targets
from foldtune.search.runs.run import Run

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


def audit_data(
    source: str, override: Sequence[str], folder: Path | None, strict: bool, storage: str, data: Path | None
) -> None:
    """Write and print the findings of a configuration or a run, of several targets each; arguments as of the command.

    Raises:
        InputError: every problem of the tables, or a folder that holds marks.
        typer.Exit: with 1, where `strict` and train and test, or two folds, share an image.
    """
    shared: Counter[str] = Counter()
    for subject in _subjects(source, override, storage, data):
        own = (folder or Path(f"{subject.name}-audit")) / safe_name(subject.target or "")
        check_output(own, is_folder=True, name="-o")
        check_unmarked(own)
        with progress_bar("reading images") as progress:
            name = ".".join(filter(None, (subject.name, subject.target)))
            audit = audit_rows(name, subject.rows, decoder_processes(), progress, subject.run)
        heading(subject.target)
        _show(audit)
        note(f"in {own}: {', '.join(path.name for path in write_audit(audit, own))}")
        shared.update(map(audit.scope, audit.shared))
    if strict and shared:
        where = ", ".join(f"{shared[scope]} in {scope}" for scope in SHARED if shared[scope])
        note(f"--strict: train and test, or two folds, share images ({counted(shared.total(), 'pair')}: {where})")
        raise typer.Exit(1)


def _subjects(source: str, override: Sequence[str], storage: str, data: Path | None) -> Iterator[Subject]:
    if not source.lower().endswith(_YAML):
        if override:
            raise InputError("--set: is for a configuration; a run keeps the one that it was started with")
        for target, run in open_targets(source, storage, data).items():
            name = run.store.name if target is None else run.store.name.removesuffix(f".{target}")
            yield Subject(target, name, rows_of_stored(run), run)
        return
    file = read_config_file(Path(source), override)
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
