"""Several targets of one configuration, checked together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foldtune.errors import InputError, SubmissionError
from foldtune.results.exports.submission import read_sample
from foldtune.search.checks.sample import target_columns
from foldtune.search.config.targets import TARGETS, ConfigFile, TargetsFile, without_sample
from foldtune.search.runs.validation import Checked, check_raw


@dataclass(frozen=True)
class CheckedTargets:
    """Configurations that hold, by target, and the sample of the submission that they share; `joint` of TargetsFile."""

    name: str
    targets: Mapping[str, Checked]
    sample: Path | None
    joint: bool = True


def check_targets(file: TargetsFile) -> CheckedTargets:
    """Check every target's configuration as `check_raw` does, and the columns of the sample.

    Raises:
        InputError: every problem found; one that all targets share is listed once.
    """
    checked: dict[str, Checked] = {}
    problems: dict[str, Sequence[str]] = {}
    for target, raw in file.raws.items():
        try:
            checked[target] = check_raw(raw, file.folder, target if file.joint else None)
        except InputError as error:
            problems[target] = error.problems
    if problems:
        raise InputError(_merged_problems(problems, len(file.raws)))
    if not file.joint:
        return CheckedTargets(file.name, checked, None, joint=False)
    data = next(iter(checked.values())).config.data
    _check_columns(data.sample_submission, data.judged_column, list(checked))
    stripped = {target: replace(each, config=without_sample(each.config)[0]) for target, each in checked.items()}
    return CheckedTargets(file.name, stripped, data.sample_submission)


def check_config(file: ConfigFile) -> list[Checked]:
    """Check a configuration of one task, or those of all targets. Raises InputError: every problem found."""
    if file.targets is None:
        return [check_raw(file.raw, file.folder)]
    return list(check_targets(file.targets).targets.values())


def check_target(file: TargetsFile, target: str) -> Checked:
    """Check one target's configuration, whose search a group does not hold yet.

    Raises:
        InputError: every problem found.
    """
    checked = check_raw(file.raws[target], file.folder, target if file.joint else None)
    return checked if not file.joint else replace(checked, config=without_sample(checked.config)[0])


def _merged_problems(problems: Mapping[str, Sequence[str]], targets: int) -> list[str]:
    everywhere = [p for p in next(iter(problems.values())) if sum(p in each for each in problems.values()) == targets]
    own = [
        f"{TARGETS}.{target}.{problem}"
        for target, each in problems.items()
        for problem in each
        if problem not in everywhere
    ]
    return [*everywhere, *own]


def _check_columns(sample: Path | None, id_column: str, targets: Sequence[str]) -> None:
    if sample is None:
        return
    try:
        columns = list(read_sample(sample).columns)
    except SubmissionError as error:
        raise InputError(f"data.sample_submission: {error}") from None
    try:
        target_columns(columns, id_column, targets)
    except InputError as error:
        raise InputError(f"data.sample_submission: {sample} has {error}") from None
