"""The Optuna study of a run: where it lives, what samples it, how it is brought back in line after a crash."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

Mode = Literal["max", "min"]


def open_study(
    name: str, journal: Path, *, url: str | None, mode: Mode, seed: int, startup_trials: int
) -> optuna.Study:
    """Create or open a run's study.

    Args:
        name: of the run; several runs may share one storage.
        journal: file of the study where no `url` is given; `optuna-dashboard FILE` opens it.
        url: any Optuna storage URL, for example postgresql://….
        mode: direction of the metric.
        seed: of the sampler. The same seed with one worker proposes the same configurations.
        startup_trials: trials drawn at random before TPE models them.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # `group` has been "experimental" since Optuna 2.8, and conditional spaces need it.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage: BaseStorage | str = url or JournalStorage(JournalFileBackend(str(journal)))
    sampler = optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup_trials, multivariate=True, group=True, constant_liar=True
    )
    return optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=sampler,
        # ASHA decides in Ray Tune; Optuna is told the outcome.
        pruner=optuna.pruners.NopPruner(),
        direction="maximize" if mode == "max" else "minimize",
        load_if_exists=True,
    )


def report(study: optuna.Study, frozen: FrozenTrial, epoch: int, value: float) -> None:
    """File the best-so-far value after an epoch; an epoch reported again (after a restart) is overwritten.

    `Trial.report` needs the object that `ask` gave, which an earlier process took with it, and a new
    `Trial` object would run the sampler again. The storage takes the value by id; a test watches this call.
    """
    if math.isfinite(value):
        study._storage.set_trial_intermediate_value(frozen._trial_id, epoch, value)


def tell(
    study: optuna.Study, number: int, status: str, epochs: Mapping[int, float], best: float | None
) -> None:
    """Say how a trial ended, once; a trial that Optuna already holds as finished is left as it is.

    Args:
        status: COMPLETE, PRUNED or FAIL. PRUNED keeps the intermediate values, of which TPE learns.
        epochs: best-so-far value after each epoch; those that the study does not hold yet are filed.
        best: value of the trial; a COMPLETE trial without a finite one is told FAIL.
    """
    frozen = study.get_trials(deepcopy=False)[number]
    if frozen.state.is_finished():
        return
    for epoch, value in sorted(epochs.items()):
        if epoch not in frozen.intermediate_values:
            report(study, frozen, epoch, value)
    if status == "COMPLETE" and best is not None and math.isfinite(best):
        study.tell(number, best)
    elif status == "PRUNED":
        study.tell(number, state=TrialState.PRUNED)
    else:
        study.tell(number, state=TrialState.FAIL)


def reconcile(study: optuna.Study, finished: Mapping[int, Mapping[str, Any]], unfinished: set[int]) -> None:
    """Bring a study in line with the run's store, which is the record.

    Args:
        finished: by Optuna's number, the arguments of `tell` (status, epochs, best) of stored finished trials.
        unfinished: numbers of the stored trials that will go on; they stay RUNNING.

    A RUNNING trial that the store never heard of was proposed just before a crash: it is told FAIL.
    """
    for frozen in study.get_trials(deepcopy=False):
        if frozen.state.is_finished() or frozen.number in unfinished:
            continue
        outcome = finished.get(frozen.number)
        if outcome:
            tell(study, frozen.number, **outcome)
        elif frozen.state == TrialState.RUNNING:
            study.tell(frozen.number, state=TrialState.FAIL)
