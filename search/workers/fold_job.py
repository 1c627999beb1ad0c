"""One model of a member: what is to be made, what its folds share, and the outcome. Sent to workers and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from foldtune.search.workers.training import TrialWork
from foldtune.search.workers.unlabelled import Unlabelled


@dataclass(frozen=True)
class FoldWork:
    """What all folds of one run's members share.

    Attributes:
        trial: rows and settings of the run's trainings.
        test: rows to submit, None where there are none.
        home: address of the ensemble's folder, which need not be the run's own.
        tta: test-time views of every model, None for each configuration's own.
        epochs: length of the schedule of models that are trained, None for the run's own.
        as_searched: whether a trial that was stopped stands for its fold with the model that it has.
    """

    trial: TrialWork
    test: Unlabelled | None
    home: str
    tta: str | None = None
    epochs: int | None = None
    as_searched: bool = False


@dataclass(frozen=True)
class FoldJob:
    """One model of one member.

    Attributes:
        member: id of the member in the ensemble.
        run: name of the run whose trial it is.
        fold: number of the fold, from 0; ALL_ROWS for the model that is trained on all rows.
        model: whether the model itself is wanted; a race needs its validation scores alone.
        test: whether its test scores are wanted.
        seed: number of the seed, from 0, which is added to the run's.
        epochs: epoch that ends the training on all rows, >= 1; None for a fold's, whose best epoch counts.
    """

    member: str
    run: str
    trial_id: str
    fold: int
    model: bool = True
    test: bool = True
    seed: int = 0
    epochs: int | None = None


@dataclass(frozen=True)
class FoldOutcome:
    """A finished fold model, or the reason of its failure.

    Attributes:
        value: the run's metric on the fold's validation rows; None where it failed, and where no row was held out.
        reused: whether the model is the search's own.
        seconds: that it took in its worker, without the worker's start.
    """

    member: str
    fold: int
    value: float | None
    reused: bool = False
    error: str | None = None
    seconds: float = field(default=0.0, compare=False)
    seed: int = 0


class FoldModelStatus(Enum):
    """What `ensure_trained` has yet to do for a fold model."""

    TO_TRAIN = "to train"
    TO_REUSE = "to reuse"
    TO_PREDICT = "to predict"
