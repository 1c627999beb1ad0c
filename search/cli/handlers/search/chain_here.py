"""`foldtune run` in this process: the handlers of search, ensemble and report, one after the other, in one session."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import typer

from foldtune.cluster.resources import slots
from foldtune.errors import TimeIsUp, TimeTooShort
from foldtune.results.records.clock_file import RunClock
from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.digests_file import read_digests
from foldtune.results.storage.files import read_bytes, remove_tree, write_bytes_atomic
from foldtune.results.storage.paths import StorePath, as_path
from foldtune.results.tables.formatting import duration_text
from foldtune.search.assess.forecast import forecast
from foldtune.search.cli.handlers.look.report import write_report
from foldtune.search.cli.handlers.search.chain import RunRequest, require_first_trial
from foldtune.search.cli.handlers.search.local import search_here
from foldtune.search.cli.handlers.vote.ensemble import (
    EnsembleRequest,
    Within,
    make_ensemble,
    own_file,
    write_group_submission,
    write_submission,
)
from foldtune.search.cli.options import TableOrJson
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.cli.terminal import note
from foldtune.search.config.targets import read_config_file
from foldtune.search.data.dataset import Labelled
from foldtune.search.ensemble.build import Ensemble
from foldtune.search.ensemble.fit_time import fold_needs
from foldtune.search.ensemble.plan import EnsembleOptions, plan_ensemble
from foldtune.search.ensemble.standing import FOLDER, StandingSubmission
from foldtune.search.planning.budget import Budget
from foldtune.search.planning.search_time import Reserve
from foldtune.search.planning.timings import Timings
from foldtune.search.runs.digests import TEST
from foldtune.search.runs.group import find_group, open_targets
from foldtune.search.runs.run import Run
from foldtune.search.runs.validation import Checked

END_S = 6.0
"""Seconds for the report and the end of the session."""
MIN_TIMING_S = 60.0
"""Seconds that must be left for the report to time each model's inference."""
FORECAST_AFTER = 3
"""Trials of a session after which a forecast is printed."""
CLOSE_S = 10.0
"""Seconds that a command which is interrupted waits for a submission that is being written."""


def run_here(
    config: Path, request: RunRequest, resume_command: str, limit_s: float | None, ends_at_s: float | None
) -> None:
    """Search, train the folds, vote, and write submission and report.

    Args:
        config: the YAML file, as this process reaches it.
        resume_command: the command line that goes on with it.
        limit_s: running time of all of it, None without a limit.
        ends_at_s: moment of its end in seconds since 1970, None without one.
    """
    begun_s = time.monotonic()
    file = read_config_file(config, request.search.override, request.search.flags)
    name, storage = str(file.raw.get("name")), str(file.raw.get("storage") or "runs")
    root = as_path(storage) / name
    clock = RunClock(root, "run", begun_s) if request.search.resume else None
    budget = Budget(limit_s, ends_at_s=ends_at_s, used_before_s=0.0 if clock is None else clock.used_s)
    if budget.left_s() <= 0:
        raise TimeTooShort(f"--time-limit: {duration_text(budget.used_s())} are used already: give a longer one")
    targets = 1 if file.targets is None else len(file.targets.raws)
    with RaySession(request.search.address, allow_no_token=request.search.allow_no_token) as ray:
        chain = _Chain(ray, budget, clock or RunClock(root, "run", begun_s), request.file, targets)
        with chain.closed():
            search_here(config, request.search, resume_command, chain)
        try:
            _finish(name, storage, request, chain)
        except typer.Exit:
            note(f"go on with: {resume_command}")
            raise


def _finish(name: str, storage: str, request: RunRequest, chain: _Chain) -> None:
    """Train the folds and vote, in the time that is left; then the report."""
    budget = chain.whole
    ensemble = EnsembleRequest((name,), storage, EnsembleOptions(), request.file, None, request.search.data)
    group = find_group(name, storage)
    try:
        make_ensemble(ensemble, TableOrJson.table, Within(chain.ray, budget.less(END_S), chain.clock.save))
    except (TimeIsUp, TimeTooShort) as error:
        chain.submit_best()
        note(f"{error}; the submission of the search's best trial stands")
    else:
        for run in open_targets(name, storage).values():
            if request.file is None and (group is None or not group.joint):
                copy_submission(run)
            remove_tree(run.store.root / FOLDER)
    runs = open_targets(name, storage, request.search.data)
    folder = (next(iter(runs.values())).store if group is None else group).root / "report"
    if isinstance(folder, Path):
        timing = budget.left_s() > MIN_TIMING_S
        write_report(runs, folder, TableOrJson.table, timing=timing, device=None)
    of = f" of {duration_text(budget.total_s)}" if budget.is_limited else ""
    note(f"took {duration_text(budget.used_s())}{of}")
    chain.clock.save(now=True)


def submission_path(run: Run) -> StorePath:
    """Return where the chain's submission of one run lies by default."""
    return run.store.root / "submission.csv"


def copy_submission(run: Run) -> None:
    """Put the ensemble's submission in the place of that of the search's best trial."""
    content = read_bytes(run.store.ensemble.submission_path)
    if content is not None:
        write_bytes_atomic(submission_path(run), content)


class _Chain:
    """What follows the searches; a `search.cli.handlers.search.local.Chain`."""

    def __init__(self, ray: RaySession, whole: Budget, clock: RunClock, file: Path | None, targets: int) -> None:
        self.ray, self.whole, self.clock = ray, whole, clock
        self._file, self._targets = file, targets
        self._reserves: dict[str, float] = {}
        self._standing: dict[str, StandingSubmission] = {}
        self._written: dict[str, tuple[Run, Ensemble]] = {}
        self._begun_s, self._ended = dict[str, float](), Counter[str]()

    def check(self, checked: Sequence[Checked]) -> None:
        """Time a step of each first trial, and refuse a time in which none can reach its first rung."""
        if self.whole.is_limited:
            require_first_trial([forecast(each, most=1) for each in checked], self.whole.left_s())

    def budget(self, run: Run) -> Budget:
        """Return the time of a run's search and folds: all, or an equal part of what earlier targets left."""
        if self._targets == 1 or not self.whole.is_limited:
            return self.whole
        left_s = self.whole.left_s() - sum(self._reserves.values())
        return Budget(max(0.0, left_s) / (self._targets - len(self._reserves)))

    def reserve(self, run: Run, labelled: Labelled, budget: Budget) -> Reserve:
        """Return what computes the seconds that a run's search leaves to its folds, and to the end."""
        plan = plan_ensemble(run, EnsembleOptions())
        resources = run.config.resources
        digests = read_digests(run.store)
        submitted = 0 if digests is None else int((digests["set"] == TEST).sum())

        def now() -> int:
            return max(1, slots(resources.of_trial, None, resources.autoscale_to)) if self.ray.is_connected else 1

        needs = fold_needs(run, plan, (len(labelled.table), submitted), now)
        folds_s = needs.reserve(budget.total_s)
        end_s = END_S if budget.is_limited else 0.0
        self._reserves[run.store.name], self._begun_s[run.store.name] = 0.0, time.monotonic()

        def seconds(records: Sequence[TrialRecord], timings: Timings) -> float:
            most_s = math.inf if plan.time_limit is None else plan.time_limit
            reserve_s = min(most_s, folds_s(records, timings)) + end_s
            self._reserves[run.store.name] = reserve_s
            return reserve_s

        return seconds

    def on_progress(self, run: Run, record: TrialRecord | None) -> None:
        """Keep the clock, and the submission of the best trial."""
        self.clock.save(now=record is not None)
        if record is not None:
            self._note_forecast(run)
        if record is None or record.status == "FAIL" or run.config.data.test is None:
            return
        if run.store.ensemble.exists():
            return  # of an earlier session, on folds
        if run.store.name not in self._standing:
            self._standing[run.store.name] = StandingSubmission(run, self._submit, _note_failure)
        self._standing[run.store.name].consider()

    def _note_forecast(self, run: Run) -> None:
        """Print when all of it ends, by the first trials of a session; those of several slots end close together."""
        name = run.store.name
        self._ended[name] += 1
        if self._ended[name] != FORECAST_AFTER:
            return
        open_trials = run.config.search.num_samples - sum(each.status != "RUNNING" for each in run.store.trials())
        pace_s = (time.monotonic() - self._begun_s[name]) / FORECAST_AFTER
        folds_s = self._reserves[name]
        search_s = max(0.0, min(open_trials * pace_s, self.whole.left_s() - folds_s))
        end = datetime.now() + timedelta(seconds=search_s + folds_s)
        note(
            f"forecast after {FORECAST_AFTER} trials: search {duration_text(search_s)} more, folds and vote "
            f"{duration_text(folds_s)}, end about {end:%H:%M}"
        )

    @contextmanager
    def closed(self) -> Iterator[None]:
        """End the writing of submissions at the end of the block."""
        try:
            yield
        finally:
            for each in self._standing.values():
                each.close(min(CLOSE_S, max(1.0, self.whole.left_s())))

    def submit_best(self) -> None:
        """Write the submission of the best trial where another's stands."""
        for each in self._standing.values():
            each.write_now()

    def _submit(self, run: Run, built: Ensemble) -> None:
        self._written[run.store.name] = (run, built)
        group = find_group(run.store.name.rpartition(".")[0], run.store.root.parent) if self._targets > 1 else None
        if group is None:
            path = write_submission(run, built, self._file or submission_path(run))
        elif not group.joint:
            target = next(target for target, name in group.runs.items() if name == run.store.name)
            path = write_submission(run, built, own_file(self._file, target) or submission_path(run))
        elif len(self._written) == self._targets:
            ordered = {target: self._written[name] for target, name in group.runs.items()}
            ensembles = {target: ensemble for target, (_, ensemble) in ordered.items()}
            path = write_group_submission(
                group, {key: [each] for key, (each, _) in ordered.items()}, ensembles, self._file
            )
        else:
            return
        value = built.description["estimate"][run.goal.metric]
        trial = built.description["members"][0]["id"]
        note(f"submission: {path} (trial {trial} alone, {run.goal.metric} {value:.4f} on its one fold)")


def _note_failure(reason: str) -> None:
    note(f"no submission of the best trial yet: {reason}")
