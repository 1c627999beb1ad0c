"""`foldtune search` in this process: the trials run on a Ray of this machine or on a cluster that it joins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from foldtune.errors import ClusterError, InputError, TimeTooShort, WorkError
from foldtune.files import sweep_scratch
from foldtune.results.records.clock_file import RunClock
from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.driver_file import write_driver
from foldtune.results.storage.paths import StorePath
from foldtune.search.checks.pretrained import find_weights
from foldtune.search.cli.display.live import show_search
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.handlers.search.earlier import Earlier
from foldtune.search.cli.handlers.search.limits import group_budget, plan_search, search_budget
from foldtune.search.cli.handlers.search.outcome import note_time_limit, print_result
from foldtune.search.cli.handlers.search.search import SearchRequest
from foldtune.search.cli.handlers.search.starting import new_run, resumed_run, with_request
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.cli.terminal import errors, output
from foldtune.search.config.loading import check
from foldtune.search.config.packaging import this_driver
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.targets import TARGETS, ConfigFile, TargetsFile, read_config_file
from foldtune.search.data.dataset import Labelled, image_plan
from foldtune.search.planning.budget import Budget
from foldtune.search.planning.search_time import Reserve
from foldtune.search.runs.group import RunGroup, reopen_group, starting_group
from foldtune.search.runs.resuming import check_same, check_same_metrics
from foldtune.search.runs.run import Run, open_run, reopen_labelled
from foldtune.search.runs.target_checks import check_target, check_targets
from foldtune.search.runs.validation import Checked, check_raw
from foldtune.search.tuning.preflight import require_ready_nodes
from foldtune.search.tuning.tuner import Search

Prepare = Callable[[ExitStack], tuple[Run, Labelled]]
"""Opens a run and its rows; the stack holds the run's lock."""


class Chain(Protocol):
    """What follows the searches in the same command, and the time of all of it."""

    ray: RaySession

    def check(self, checked: Sequence[Checked]) -> None:
        """Refuse a time in which no trial of a configuration can do anything of use. Raises TimeTooShort."""

    def budget(self, run: Run) -> Budget:
        """Return the time of a run's search and of what follows it."""

    def reserve(self, run: Run, labelled: Labelled, budget: Budget) -> Reserve:
        """Return what computes the seconds that a run's search is to leave."""

    def on_progress(self, run: Run, record: TrialRecord | None) -> None:
        """Called after each epoch (None), and with each finished trial."""


Begin = Callable[[Sequence[str], StorePath | str], Earlier]
"""Returns what new runs start from, by the names of earlier ones and their storage."""


def search_here(
    config: Path, request: SearchRequest, resume_command: str, chain: Chain | None = None, begin: Begin = Earlier
) -> None:
    """Search a new run or a resumed one; of several targets one after the other.

    Args:
        config: the YAML file, as this process reaches it.
        resume_command: the command line that goes on with the run.
        chain: what follows, None for the search alone.
    """
    file = read_config_file(config, request.override, request.flags)
    sweep_scratch()
    own = nullcontext(chain.ray) if chain else RaySession(request.address, allow_no_token=request.allow_no_token)
    with own as ray:
        if file.targets is not None:
            _search_targets(file, file.targets, ray, request, resume_command, chain, begin)
        elif request.resume:
            given = check(file.raw, file.folder)
            _search(partial(resumed_run, given, request), ray, True, resume_command, chain)
        else:
            checked = check_raw(file.raw, file.folder)
            earlier = begin(request.from_runs, checked.config.storage)
            checked = earlier.adjusted({None: checked})[None]
            if chain is not None:
                chain.check([checked])
            start = partial(new_run, checked, ray, partial(earlier.take_over, None))
            _search(start, ray, False, resume_command, chain)


def _search_targets(
    whole: ConfigFile,
    file: TargetsFile,
    ray: RaySession,
    request: SearchRequest,
    resume_command: str,
    chain: Chain | None,
    begin: Begin,
) -> None:
    """Search each target in the order of the file; a target whose search fails does not stop those after it.

    All of them are checked before the first one trains, their images too.
    """
    checked = None if request.resume else check_targets(file)
    names: Sequence[str] = ()
    if checked is not None:
        earlier = begin(request.from_runs, next(iter(checked.targets.values())).config.storage)
        earlier.adjusted(checked.targets)  # refuses what it does not fit
        names = earlier.addresses
        if chain is not None:
            chain.check(list(checked.targets.values()))
        _open_all_images(checked.targets)
        for each in checked.targets.values():
            find_weights(each.space)
    failed = []
    with _reopened(file) if checked is None else starting_group(checked, names) as group:
        earlier = begin(group.earlier, group.root.parent)
        fresh = dict(checked.targets) if checked is not None else _check_resumed(file, group, request)
        fresh = earlier.adjusted(fresh)
        budget = None if chain else group_budget(group, whole.raw)
        for place, target in enumerate(group.runs):
            resumed = target not in fresh
            if resumed:
                prepare = partial(resumed_run, file.config(target)[0], request)
            else:
                prepare = partial(new_run, fresh[target], ray, partial(earlier.take_over, target))
            output().print(f"target {target}: run {group.runs[target]}", style="bold", soft_wrap=True)
            part = budget and budget.part(1 / (len(group.runs) - place), file.config(target)[0].search.time_limit)
            try:
                _search(prepare, ray, resumed, resume_command, chain, part)
            except WorkError as error:
                failed.append(f"target {target}: {error}")
    if failed:
        raise WorkError("\n".join(failed))


@contextmanager
def _reopened(file: TargetsFile) -> Iterator[RunGroup]:
    group = reopen_group(file)
    with group.lock():
        yield group


def _check_resumed(file: TargetsFile, group: RunGroup, request: SearchRequest) -> dict[str, Checked]:
    """Check every target of a group that is resumed, its data too; return those whose search was not started yet.

    Raises:
        InputError: every problem of every target.
    """
    fresh: dict[str, Checked] = {}
    problems: list[str] = []
    for target, name in group.runs.items():
        try:
            if group.has_run(target):
                _check_unchanged(file.config(target)[0], open_run(name, group.root.parent), request)
            else:
                fresh[target] = check_target(file, target)
        except InputError as error:
            problems += [f"{TARGETS}.{target}: {problem}" for problem in error.problems]
    if problems:
        raise InputError(problems)
    _open_all_images(fresh)
    return fresh


def _check_unchanged(given: RunConfig, stored: Run, request: SearchRequest) -> None:
    """Raise InputError where a run was started with other settings, labels or images."""
    with stored.store.lock():
        check_same(given, stored.config)
        stored = check_same_metrics(given, stored)
        with progress_bar("decoding images") as progress:
            reopen_labelled(with_request(given, stored, request), decoder_processes(), progress)


def _open_all_images(targets: Mapping[str, Checked]) -> None:
    """Decode the images of every target. Raises InputError where some cannot be read."""
    for target, each in targets.items():
        with progress_bar("decoding images") as progress:
            plan = image_plan(each.config.data, decoder_processes())
            try:
                for table in (each.table, each.test):
                    if table is not None:
                        plan.open(table.paths, progress)
            except InputError as error:
                raise InputError([f"{TARGETS}.{target}: {problem}" for problem in error.problems]) from None


def _search(
    prepare: Prepare,
    ray: RaySession,
    resumed: bool,
    resume_command: str,
    chain: Chain | None,
    budget: Budget | None = None,
) -> None:
    """Run one search under the run's lock, and print its result.

    Args:
        budget: its part of the time of several targets, None for its own time.
    """
    with ExitStack() as stack:
        begun_s = time.monotonic()
        run, labelled = prepare(stack)
        clock = RunClock(run.store.root, "search", begun_s)

        def progress(record: TrialRecord | None) -> None:
            clock.save(now=record is not None)
            if chain is not None:
                chain.on_progress(run, record)

        budget = chain.budget(run) if chain else budget or search_budget(run, clock)
        search = Search(run.config, run.store, run.space, labelled, run.goal, resumed=resumed, on_progress=progress)
        if search.remaining():
            try:
                reserve = chain.reserve(run, labelled, budget) if chain else None
                own = search_budget(run, clock) if chain else None
                search = replace(search, time=plan_search(run, budget, reserve, own))
                ray.connect(run.config.resources, f"run {run.store.root}: starting Ray …")
                if resumed and ray.joins:
                    require_ready_nodes(run.config, labelled.table.paths)
            except (ClusterError, TimeTooShort, KeyboardInterrupt):
                if not resumed:
                    run.store.withdraw_start()
                raise
        write_driver(run.store, this_driver())
        with ray.ending_workers(), show_search(errors()) as observer:
            end = search.run(observer)
        clock.save(now=True)
        if end.interrupted:
            ray.close()
        if end.timed_out:
            note_time_limit(run, alone=chain is None)
        print_result(run, resume_command if end.interrupted else None, end.stop_reason)
