"""What an ensemble is worth by the models of one seed alone: the spread that a bootstrap of the rows cannot see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.columns import Columns
from foldtune.search.voting.crossfit import CrossFit
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.data.folds import make_splits

Array = npt.NDArray[Any]


def seed_values(
    objective: Objective,
    of_seeds: Sequence[Sequence[Array]],
    folds: npt.NDArray[np.int64],
    *,
    voting: str,
    min_votes: int | None,
    bootstrap: Bootstrap,
    fixed: Mapping[str, Any] | None,
    columns: Columns | None,
) -> list[float]:
    """Return the metric of each seed's vote, cross-fitted as that of `search.voting.estimate.estimate`.

    Args:
        of_seeds: for each seed the members' out-of-fold scores (N, ...).
        folds, voting, min_votes, bootstrap, fixed, columns: as for `estimate`; `voting` is not auto.
    """
    if len(np.unique(folds)) == 1:
        folds = make_splits(objective.task.strata(objective.targets), bootstrap.groups)
    shared: dict[str, Any] = {"min_votes": min_votes, "seed": bootstrap.seed, "fixed": fixed, "columns": columns}
    fits = (CrossFit(objective, scores, folds, groups=bootstrap.groups, **shared) for scores in of_seeds)
    return [objective.value(*fit.answers(voting)) for fit in fits]
