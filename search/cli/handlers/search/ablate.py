"""`foldtune ablate`: a search of the base and of each choice, then their folds and seeds, and what each one changes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from foldtune.cluster.resources import TrialResources
from foldtune.errors import InputError, WorkError
from foldtune.paths import check_not_read
from foldtune.results.records.proposals_file import Proposals, read_proposals, write_proposals
from foldtune.results.records.ranking import finalists
from foldtune.results.records.trials import TrialRecord
from foldtune.results.storage.files import write_csv
from foldtune.results.storage.paths import StorePath
from foldtune.results.tables.ablation_table import BASE, BETTER, COLUMNS, UNCLEAR, WORSE, ablation_table
from foldtune.search.cli.display.live import show_folds
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.handlers.search.earlier import Earlier, T
from foldtune.search.cli.handlers.search.local import search_here
from foldtune.search.cli.handlers.search.search import SearchRequest
from foldtune.search.cli.handlers.vote.combine import lock_runs
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.cli.remote.command import INTERRUPTED
from foldtune.search.cli.terminal import errors, note, output
from foldtune.search.config.loading import read_raw
from foldtune.search.data.dataset import Labelled
from foldtune.search.ensemble.ablation import Effect, effects
from foldtune.search.ensemble.fold_tasks import Missing, ensure_all_trained
from foldtune.search.ensemble.fold_training import Terms, Training
from foldtune.search.ensemble.plan import Candidate, EnsembleOptions, plan_ensemble
from foldtune.search.ensemble.sources import Source
from foldtune.search.runs.group import open_targets
from foldtune.search.runs.run import Run, reopen_labelled
from foldtune.search.runs.validation import Checked
from foldtune.search.runs.variations import Variation, variations
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome, FoldWork
from foldtune.spaces import Space
from foldtune.wording import first_few


@dataclass(frozen=True)
class AblationRequest(SearchRequest):
    """The arguments of `foldtune ablate`; `from_runs` holds the run whose best trial is the base."""

    vary: tuple[str, ...] = ()
    folds: int | None = None
    seeds: int = 1
    file: Path | None = None

    @property
    def flags(self) -> dict[str, Any]:
        """Values of the configuration that an ablation sets: no choice is stopped, and none is drawn."""
        fixed = {"search.trial_scheduler": "none", "search.brackets": 1, "search.algorithm": "random"}
        return {**super().flags, **fixed, "search.num_samples": 1, "ensemble.seeds": self.seeds}

    def resume_command(self) -> str:
        """Return the command line that goes on with it."""
        own = [part for key in self.vary for part in ("--vary", key)]
        own += ["--folds", str(self.folds)] if self.folds else []
        own += ["--seeds", str(self.seeds)] + (["--output", str(self.file)] if self.file else [])
        given = shlex.split(super().resume_command())
        return shlex.join(["foldtune", "ablate", given[2], *own, *given[3:]])


class Varied(Earlier):
    """What an ablation's runs start from: the base and each choice, and nothing else.

    Args:
        folds: number of folds to train on, None for the default.
    """

    def __init__(self, keys: Sequence[str], folds: int | None, names: Sequence[str], storage: StorePath | str) -> None:
        super().__init__(names, storage)
        self._keys, self._folds = keys, folds

    def adjusted(self, checked: Mapping[T, Checked]) -> dict[T, Checked]:
        """Return the configurations with as many trials as there are choices. Raises InputError as `variations`."""
        return {target: self._adjusted(target, each) for target, each in super().adjusted(checked).items()}

    def _adjusted(self, target: str | None, checked: Checked) -> Checked:
        number, config = len(self._variations(target, checked.space)[0]), checked.config
        if self._folds and self._folds > (frozen := config.ensemble.folds):
            more = f"give at most that, or --set ensemble.folds={self._folds}"
            raise InputError(f"--folds {self._folds}: ensemble.folds is {frozen}: {more}")
        search = config.search.model_copy(update={"num_samples": number})
        ensemble = config.ensemble.model_copy(update={"top": max(number, config.ensemble.top)})
        return replace(checked, config=config.model_copy(update={"search": search, "ensemble": ensemble}))

    def take_over(self, target: str | None, run: Run, labelled: Labelled) -> None:
        """Store the configurations; print where the base comes from."""
        found, line = self._variations(target, run.space)
        write_proposals(run.store.root, Proposals(first=[dict(each.params) for each in found]))
        note(line)

    def _variations(self, target: str | None, space: Space) -> tuple[list[Variation], str]:
        for run in self.of(target):
            best = finalists(run.store.trials(), run.goal, 1)
            if not best:
                raise InputError(f"--from: run {run.store.name!r} has no finished trial")
            base, outside = space.fitted(best[0].config)
            left_out = f"; not in this space: {first_few(outside)}" if outside else ""
            line = f"base: trial {best[0].trial_id} of run {run.store.name}{left_out}"
            return variations(space, base, self._keys), line
        return variations(space, space.default(), self._keys), "base: the default configuration"


def run_ablation(request: AblationRequest) -> None:
    """Search the choices on fold 0, train the other folds and seeds, and print what each one changes."""
    name = request.name or f"{read_raw(request.config, request.override).get('name')}-ablation"
    request = replace(request, name=name)
    search_here(request.config, request, request.resume_command(), begin=partial(Varied, request.vary, request.folds))
    storage = str(request.storage or read_raw(request.config, request.override).get("storage") or "runs")
    runs = open_targets(name, storage, request.data)
    if request.file is not None:
        check_not_read(request.file, (table for run in runs.values() for table in run.config.data.tables))
    with RaySession(request.address, allow_no_token=request.allow_no_token) as ray:
        frames = [_compared(target, run, request, ray) for target, run in runs.items()]
    frame = pd.concat(frames, ignore_index=True)
    output().print(ablation_table(frame, list(runs), output().width))
    if request.file is not None:
        write_csv(request.file, frame)
        note(f"{len(frame)} rows in {request.file}")


def _compared(target: str | None, run: Run, request: AblationRequest, ray: RaySession) -> pd.DataFrame:
    """Return the rows of one run: of each choice what it changes, or why it was not trained."""
    first = read_proposals(run.store.root).first
    choices = variations(run.space, first[0], request.vary) if first else []
    if [dict(each.params) for each in choices] != first:
        raise InputError(f"run {run.store.name!r} has other choices than --vary {' '.join(request.vary)}: give --name")
    by_params = [(record.params, record) for record in run.store.trials()]
    records = [next((record for params, record in by_params if params == each.params), None) for each in choices]
    found = {
        each.candidate.id: each
        for each in _effects(run, [each for each in records if _is_trained(each)], records[0], request, ray)
    }
    rows = [_row(target, run, choice, record, found) for choice, record in zip(choices, records, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _is_trained(record: TrialRecord | None) -> bool:
    return record is not None and record.status in ("COMPLETE", "PRUNED")


def _effects(
    run: Run, trained: Sequence[Any], base: TrialRecord | None, request: AblationRequest, ray: RaySession
) -> list[Effect]:
    if base is None or not _is_trained(base):
        raise WorkError(f"the base was not trained{': ' + base.error if base and base.error else ''}; nothing compares")
    frozen = run.config.ensemble.folds
    plan = plan_ensemble(run, EnsembleOptions(folds=request.folds or min(3, frozen), seeds=request.seeds))
    plan = plan.model_copy(update={"tta": None, "min_votes": None, "refit": None})

    def connect(missing: Missing) -> None:
        ray.connect(run.config.resources, f"{missing}: starting Ray …", errors())

    def train(works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
        return ensure_all_trained(works, jobs, connect)

    with lock_runs([run]):
        with progress_bar("decoding images") as progress:
            labelled = reopen_labelled(run, decoder_processes(), progress)
        chosen = [Candidate(each.trial_id, run, each) for each in trained]
        shown = show_folds(errors(), [each.id for each in chosen], plan.folds, models=plan.folds * plan.seeds)
        try:
            with ray.ending_workers(), shown as watcher:
                return effects(Training([Source(run, labelled, None)], plan, train, watcher, Terms()), chosen)
        except KeyboardInterrupt:
            note(f"stopped; what is trained is kept; go on with: {request.resume_command()}")
            raise typer.Exit(INTERRUPTED) from None


def _row(
    target: str | None, run: Run, choice: Variation, record: TrialRecord | None, found: Mapping[str, Effect]
) -> dict[str, Any]:
    row: dict[str, Any] = {"target": target, "choice": choice.label, "metric": run.goal.metric}
    if record is None:
        return {**row, "error": "not trained"}
    row |= {"trial_id": record.trial_id, "fit_time_s": record.fit_time_s, "params_m": record.params_m}
    effect = found.get(record.trial_id)
    if effect is None:
        return {**row, "error": record.error or "not trained"}
    gap = effect.difference
    bounds = {} if gap is None else {"difference": gap.value, "low": gap.low, "high": gap.high}
    verdict = BASE if gap is None else UNCLEAR
    if gap is not None and effect.is_certain:
        verdict = BETTER if run.goal.sign * gap.value > 0 else WORSE
    return {**row, "value": effect.value, **bounds, "effect": verdict, "folds": effect.folds, "seeds": effect.seeds}
