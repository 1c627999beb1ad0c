"""`foldtune ensemble`: its runs, its plan, its submission and its tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foldtune.errors import InputError, RunCorrupt
from foldtune.paths import check_not_read, safe_name
from foldtune.results.storage.files import read_bytes, write_bytes_atomic
from foldtune.results.storage.paths import StorePath
from foldtune.results.tables.ensemble_table import ensemble_table
from foldtune.search.checks.submission_columns import ClassNames
from foldtune.search.cli.options import TableOrJson
from foldtune.search.cli.terminal import heading, note, output, print_json
from foldtune.search.ensemble.plan import EnsembleOptions, check_runs, left_views, plan_ensemble
from foldtune.search.planning.budget import Budget
from foldtune.search.predict.box_files import JSON, ZIP, box_form, check_suffix
from foldtune.search.runs.group import RunGroup, find_group
from foldtune.search.runs.run import Run, open_run, with_data

if TYPE_CHECKING:
    from foldtune.search.cli.ray_session import RaySession
    from foldtune.search.ensemble.build import Ensemble

ALONE = ""
"""Name of the only target where there are no groups."""
NO_SUBMISSION = "no submission is written: the configuration names no data.test"

__all__ = ["EnsembleOptions", "EnsembleRequest", "make_ensemble"]


@dataclass(frozen=True)
class EnsembleRequest:
    """The arguments of `foldtune ensemble`, which lies in the folder of the first of the runs."""

    runs: tuple[str, ...]
    storage: str
    options: EnsembleOptions
    file: Path | None
    address: str | None
    data: Path | None


@dataclass(frozen=True)
class Within:
    """A command that an ensemble is a part of.

    Attributes:
        ray: its Ray session.
        budget: its time.
        on_outcome: called after each fold model.
    """

    ray: RaySession
    budget: Budget
    on_outcome: Callable[[], None]


def make_ensemble(request: EnsembleRequest, format: TableOrJson, within: Within | None = None) -> None:
    """Train and combine the finalists of the runs, of several targets each, and write the submission.

    Args:
        within: session and time of a command that it is a part of, None for its own.
    """
    begun_s = time.monotonic()
    group, by_target = find_runs(request.runs, request.storage)
    if request.data is not None:
        by_target = {target: [with_data(run, request.data) for run in runs] for target, runs in by_target.items()}
    if request.file is not None:
        check_not_read(request.file, (table for runs in by_target.values() for table in runs[0].config.data.tables))
        if request.file.suffix.lower() in (JSON, ZIP) and group is None:
            run = by_target[ALONE][0]
            if run.task.has_spatial_targets:
                check_suffix(box_form(run.task, run.config.data), request.file)
    options = request.options
    plans = {target: plan_ensemble(runs[0], options) for target, runs in by_target.items()}
    for text in dict.fromkeys(left_views(runs[0], options, plans[target]) for target, runs in by_target.items()):
        if text is not None:
            note(text)
    # Heavy: Ray and torch, after everything that can be refused without them.
    from foldtune.search.cli.handlers.vote.combine import combine
    from foldtune.search.cli.ray_session import RaySession

    limit_s = max((plan.time_limit for plan in plans.values() if plan.time_limit), default=None)
    budget = within.budget if within else Budget(limit_s, used_before_s=time.monotonic() - begun_s)
    with nullcontext(within.ray) if within else RaySession(request.address) as ray:
        built = combine(by_target, plans, ray, budget, within.on_outcome if within else lambda: None)
    if group is None or not group.joint:
        submissions = {
            target: write_submission(by_target[target][0], each, own_file(request.file, target))
            for target, each in built.items()
        }
        submission = None if group is not None else submissions[ALONE]
    else:
        submission = write_group_submission(group, by_target, built, request.file)
        submissions = {next(iter(built)): submission}
    if format is TableOrJson.table:
        _show(built, submissions)
        return
    descriptions = {target: ensemble.description for target, ensemble in built.items()}
    print_json(
        {
            **(descriptions[ALONE] if group is None else {"targets": descriptions}),
            "submission": str(submission) if submission else None,
            **({"submissions": _as_texts(submissions)} if group is not None and not group.joint else {}),
        }
    )


def own_file(file: Path | None, target: str) -> Path | None:
    """Return the file of a target's own submission, FILE.TARGET.csv, where FILE.csv is of all."""
    return file if file is None or target == ALONE else file.with_name(f"{file.stem}.{safe_name(target)}{file.suffix}")


def _as_texts(submissions: Mapping[str, StorePath | None]) -> dict[str, str | None]:
    return {target: str(path) if path else None for target, path in submissions.items()}


def find_runs(names: Sequence[str], storage: str) -> tuple[RunGroup | None, dict[str, list[Run]]]:
    """Return the runs to combine by target, and the group that the ensembles belong to where the names are groups'.

    Raises:
        InputError: groups and plain runs together, groups of other targets, runs that cannot be combined.
    """
    groups = [find_group(name, storage) for name in names]
    found = [group for group in groups if group is not None]
    if not found:
        by_target = {ALONE: [open_run(name, storage) for name in names]}
    elif len(found) < len(names):
        plain = [name for name, group in zip(names, groups, strict=True) if group is None]
        raise InputError(f"{found[0].name!r} has several targets and {plain[0]!r} has not: name runs, or groups, alone")
    else:
        opened = [group.open_all() for group in found]
        for group, targets in zip(found, opened, strict=True):
            if set(targets) != set(opened[0]):
                ours, theirs = ", ".join(opened[0]), ", ".join(targets)
                raise InputError(f"group {group.name!r} differs in its targets: {theirs}; {found[0].name!r} has {ours}")
        by_target = {target: [each[target] for each in opened] for target in opened[0]}
    for runs in by_target.values():
        check_runs(runs)
    return (found[0] if found else None), by_target


def write_submission(run: Run, built: Ensemble, file: StorePath | None) -> StorePath | None:
    """Write the submission of a run's ensemble to `file`; return where it lies, None where there is none."""
    if built.submission is None:
        if file is not None:
            note(NO_SUBMISSION)
        return None
    if file is None:
        return run.store.ensemble.submission_path
    suffix = file.suffix.lower()
    boxes = run.store.ensemble.read_boxes(suffix) if run.task.has_spatial_targets and suffix in (JSON, ZIP) else None
    stored = read_bytes(run.store.ensemble.submission_path) if boxes is None else boxes
    if stored is None:
        raise RunCorrupt(f"{run.store.ensemble.submission_path} is gone")
    write_bytes_atomic(file, stored)  # as it is: with the sample's delimiter, ends of lines and encoding
    return file


def write_group_submission(
    group: RunGroup, by_target: Mapping[str, Sequence[Run]], built: Mapping[str, Ensemble], file: Path | None
) -> StorePath | None:
    """Write the submission of all targets of a group; return where it lies, None where there is none."""
    from foldtune.search.ensemble.submission import in_form_of

    frames = {
        target: in_form_of(by_target[target][0], target, ensemble.submission, group.sample)
        for target, ensemble in built.items()
        if ensemble.submission is not None
    }
    if not frames:
        if file is not None:
            note(NO_SUBMISSION)
        return None
    group.submit(frames, file)
    return file or group.submission_path


def _show(built: Mapping[str, Ensemble], submissions: Mapping[str, StorePath | None]) -> None:
    """Print each ensemble, and where the submissions lie: that of all targets under the first of them."""
    console = output()
    for target, ensemble in built.items():
        heading(target or None)
        console.print(ensemble_table(ensemble.description, width=console.width))
    for target, path in submissions.items():
        frame, of = built[target].submission, built.values() if len(submissions) == 1 else [built[target]]
        if frame is not None:
            scores = "".join(dict.fromkeys(map(_scored, of)))
            console.print(f"submission: {path} ({len(frame)} rows{scores})", soft_wrap=True, markup=False)


def _scored(built: Ensemble) -> str:
    """Return of which label of a binary task a submission holds scores, to go on the line that names it."""
    task = built.description["task"]
    if task.get("task") != "binary" or built.submission is None or len(built.submission.columns) != 2:
        return ""
    column = built.submission.columns[1]
    if built.submission[column].dtype.kind != "f":
        return ""
    label = ClassNames(task["labels"]).find(column) or task["labels"][-1]
    return f"; {column} is the score of the label {label!r}"
