"""The folds of the finalists: what they cost, and what of them gives way where that is more than the time that is left.

In this order, each only as far as it must: test-time views, finalists down to three, folds down to three, finalists
down to two, folds down to two, finalists down to one, epochs down to a third.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

MIN_EPOCHS_SHARE = 1 / 3
"""Part of the epochs that a fold model trains at least: below it the lr schedule is hardly a schedule."""
ORDER = (("finalists", 3), ("folds", 3), ("finalists", 2), ("folds", 2), ("finalists", 1))
"""What gives way after the views and before the epochs, and how far."""


@dataclass(frozen=True)
class FoldPlan:
    """What is trained on folds.

    Attributes:
        finalists: configurations, >= 1.
        folds: number of folds of each, >= 1.
        views: test-time views of an image that are wanted for all models, 1 for each configuration's own.
        epochs: length of each fold model's schedule, >= 1.
    """

    finalists: int
    folds: int
    views: int
    epochs: int


@dataclass(frozen=True)
class FoldCosts:
    """What fold models cost.

    Attributes:
        epoch_s: seconds of an epoch of each finalist, the best first.
        predict_s: seconds of one view of all rows that a fold model predicts, of each finalist.
        ready: (place of the finalist, fold) of models that need no training.
        slots: fold models that train at a time, >= 1.
        start_s: seconds of a fold model's start.
        session_s: seconds until the first one starts.
        vote_s: seconds of the vote, the submission and all that follows.
    """

    epoch_s: Sequence[float]
    predict_s: Sequence[float]
    ready: Collection[tuple[int, int]] = ()
    slots: int = 1
    start_s: float = 0.0
    session_s: float = 0.0
    vote_s: float = 0.0

    def model_s(self, plan: FoldPlan, place: int, fold: int) -> float:
        """Return the seconds of one fold model of the finalist at a place."""
        predict_s = self.predict_s[place] * plan.views
        if (place, fold) in self.ready:
            return predict_s
        return self.start_s + plan.epochs * self.epoch_s[place] + predict_s


def forecast_s(plan: FoldPlan, costs: FoldCosts) -> float:
    """Return the seconds of a plan, none of whose finalists drops out."""
    finalists = min(plan.finalists, len(costs.epoch_s))
    jobs = (costs.model_s(plan, place, fold) for place in range(finalists) for fold in range(plan.folds))
    return costs.session_s + makespan_s(jobs, costs.slots) + costs.vote_s


def makespan_s(jobs: Iterable[float], slots: int) -> float:
    """Return the seconds until the last job ends, each started in its turn as a slot becomes free.

    >>> makespan_s([3.0, 3.0, 3.0], 2)
    6.0
    """
    ends = [0.0] * max(1, slots)
    for seconds in jobs:
        heapq.heappush(ends, heapq.heappop(ends) + seconds)
    return max(ends)


def fitted(plan: FoldPlan, costs: FoldCosts, left_s: float, min_finalists: int = 1) -> FoldPlan | None:
    """Return the plan with as little cut as fits into the time; None where not even the smallest one fits.

    Args:
        left_s: seconds for all of it.
        min_finalists: finalists that a vote needs.
    """
    return next((each for each in smaller(plan, min_finalists) if forecast_s(each, costs) <= left_s), None)


def smallest(plan: FoldPlan, min_finalists: int = 1) -> FoldPlan:
    """Return the plan with everything cut that may be."""
    *_, last = smaller(plan, min_finalists)
    return last


def smaller(plan: FoldPlan, min_finalists: int = 1) -> Iterator[FoldPlan]:
    """Yield the plan, then with one thing less each time, in the order of this module."""
    yield plan
    if plan.views > 1:
        plan = replace(plan, views=1)
        yield plan
    for key, least in ORDER:
        least = max(least, min_finalists) if key == "finalists" else least
        while getattr(plan, key) > least:
            plan = replace(plan, **{key: getattr(plan, key) - 1})
            yield plan
    least = max(1, round(plan.epochs * MIN_EPOCHS_SHARE))
    while plan.epochs > least:
        plan = replace(plan, epochs=plan.epochs - 1)
        yield plan


def cut_lines(wanted: FoldPlan, planned: FoldPlan) -> list[str]:
    """Return what gave way, a text each: "3 finalists instead of 5"."""
    lines = []
    if planned.views < wanted.views:
        lines.append(f"each configuration's own views instead of {wanted.views}")
    for key in ("finalists", "folds", "epochs"):
        now, before = getattr(planned, key), getattr(wanted, key)
        if now < before:
            lines.append(f"{now} {key if now > 1 else key.removesuffix('s')} instead of {before}")
    return lines
