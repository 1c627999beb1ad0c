"""Post-processing settings given by the user, evaluated on stored scores: nothing is fitted, nothing retrained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy.typing as npt

from foldtune.errors import InputError, RunCorrupt
from foldtune.search.assess.stored_estimate import check_trial_scores
from foldtune.search.predict.stored_ensemble import StoredEnsemble
from foldtune.search.runs.postprocessing import judged_scores, reduction_of_trial
from foldtune.search.runs.run import Run
from foldtune.search.voting.estimate import EnsembleCombiner
from foldtune.trainers.arrays.lazy import as_lazy
from foldtune.trainers.arrays.voting import mean_scores
from foldtune.trainers.tasks import Task
from foldtune.wording import unknown

Array = npt.NDArray[Any]
MAX_SETTINGS = 10_000
_SHOWN = 5


@dataclass(frozen=True)
class Setting:
    """One post-processing: `values` by the keys that the user wrote, `postprocess` as the task takes it."""

    values: Mapping[str, float | str]
    postprocess: Mapping[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{key}={_text(value)}" for key, value in self.values.items())


@dataclass(frozen=True)
class SweepResult:
    """A setting and every metric of the task with it."""

    setting: Setting
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Source:
    """Stored scores that settings are tried on.

    Attributes:
        member_scores: M arrays (N, ...): of a trial one, its validation rows; of an ensemble its members'
            out-of-fold rows.
        targets: (N, ...).
        combiner: the ensemble's combiner, None for a trial.
    """

    name: str
    task: Task
    member_scores: Sequence[Array]
    targets: Array
    combiner: EnsembleCombiner | None = None

    def answer(self, setting: Setting, member_scores: Sequence[Array]) -> tuple[Array, Array]:
        """Scores and predictions (N, ...) with the setting; in a hard vote each member votes with it."""
        if self.combiner is None:
            return member_scores[0], self.task.predict(member_scores[0], setting.postprocess)
        return self.combiner.with_postprocess(setting.postprocess).apply(self.task, member_scores)


def parse_grid(texts: Sequence[str], task: Task) -> list[Setting]:
    """Return every combination of `KEY=VALUE,VALUE…`, the last key's values changing first.

    A key is one of the task's `postprocess_names`; what maps labels takes them behind a dot (`thresholds.cat=0.3,0.4`).
    Keys that are not named stay at the task's default.

    Raises:
        InputError: every problem, with the nearest name.
    """
    problems: list[str] = []
    axes: dict[str, list[float | str]] = {}
    for text in texts:
        key, sign, values = (part.strip() for part in text.rpartition("="))
        found = list(dict.fromkeys(_value(value.strip()) for value in values.split(",") if value.strip()))
        if not sign or not key or not found:
            problems.append(f"--grid {text}: write KEY=VALUE,VALUE…, as in {task.postprocess_names[0]}=0.4,0.5")
        elif key in axes:
            problems.append(f"--grid {key}: given twice; write all its values behind one")
        elif key.partition(".")[0] not in task.postprocess_names:
            problems.append(f"--grid {text}: {unknown('post-processing', key, task.postprocess_names)}")
        axes[key] = found
    wholes = {key: key.partition(".")[0] for key in axes if "." in key}
    problems += [f"--grid {key}: {whole} is given as a whole too" for key, whole in wholes.items() if whole in axes]
    count = math.prod(map(len, axes.values()))
    if count > MAX_SETTINGS:
        problems.append(f"--grid: {count:,} settings; give at most {MAX_SETTINGS:,}")
    if problems:
        raise InputError(problems)
    settings = [_setting(dict(zip(axes, values, strict=True))) for values in product(*axes.values())]
    _check(settings, task)
    return settings


def _check(settings: Sequence[Setting], task: Task) -> None:
    found: dict[str, None] = {}
    for setting in settings:
        for problem in task.check_postprocess(setting.postprocess):
            path = problem.path.removeprefix("postprocess.")
            hint = f"; of one label: {path}.LABEL=…" if "must map labels" in problem.message else ""
            found.setdefault(f"--grid {path}: {problem.message}{hint}")
    if found:
        more = len(found) - _SHOWN
        raise InputError([*list(found)[:_SHOWN], *([f"and {more} more problems"] if more > 0 else [])])


def _setting(values: Mapping[str, float | str]) -> Setting:
    postprocess: dict[str, Any] = {}
    for key, value in values.items():
        name, dot, label = key.partition(".")
        if dot:
            postprocess.setdefault(name, {})[label] = value
        else:
            postprocess[name] = value
    return Setting(values, postprocess)


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


def trial_source(run: Run, trial_id: str) -> Source:
    """Return the validation scores of a trial.

    Raises:
        TrialNotFound: no such trial.
        InputError: it has no stored scores.
    """
    trial = run.store.find_trial(trial_id)
    stored = trial.read_scores()
    if stored is None or stored.targets is None:
        raise InputError(f"trial {trial_id} of run {run.store.name!r} has no stored scores")
    check_trial_scores(run.task, stored, trial.scores_path)
    judged = judged_scores(run.task, stored)
    scores = judged.scores(reduction_of_trial(run, stored, trial_id))
    return Source(f"trial {trial_id}", run.task, [scores], judged.targets)


def ensemble_source(run: Run) -> Source:
    """Return the out-of-fold scores of a run's ensemble.

    Raises:
        RunNotFound: the run has none yet.
        RunCorrupt: its scores are gone.
    """
    ensemble = StoredEnsemble.open(run.store.ensemble.root, to_predict=False)
    stored = run.store.ensemble.read_oof()
    if stored is None or not {"targets", "member_scores"} <= set(stored):
        raise RunCorrupt(f"{run.store.ensemble.oof_path} lacks its scores; run foldtune ensemble again")
    if ensemble.combiner().stacker is not None:  # of columns of the table, which settings do not change
        return Source("the ensemble", ensemble.task, [as_lazy(stored["scores"])], stored["targets"])
    members = list(map(as_lazy, stored["member_scores"]))
    return Source("the ensemble", ensemble.task, members, stored["targets"], ensemble.combiner())


def sweep(source: Source, settings: Sequence[Setting], progress: Callable[[int, int], None]) -> Iterator[SweepResult]:
    """Yield the metrics of each setting, in their order; `progress` is called with (done, total)."""
    for done, (setting, metrics) in enumerate(zip(settings, _evaluated(source, settings), strict=True), start=1):
        yield SweepResult(setting, metrics)
        progress(done, len(settings))


def _evaluated(source: Source, settings: Sequence[Setting]) -> Iterator[dict[str, float]]:
    """Yield every metric with each setting; where one array of scores decides, the task shares work between them."""
    task, targets = source.task, source.targets
    if source.combiner is None or source.combiner.voting == "soft":
        one = source.member_scores[0] if source.combiner is None else mean_scores(source.member_scores)
        yield from task.evaluate_each(one, [setting.postprocess for setting in settings], targets)
        return
    for setting in settings:
        yield task.evaluate(*source.answer(setting, source.member_scores), targets)
