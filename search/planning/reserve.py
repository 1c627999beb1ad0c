"""What a search leaves to the folds of its finalists, by what its trials so far have cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foldtune.results.records.ranking import Goal, finalists
from foldtune.results.records.trials import TrialRecord
from foldtune.search.planning.fold_plan import FoldCosts, FoldPlan, fitted, forecast_s, smallest
from foldtune.search.planning.search_time import Reserve
from foldtune.search.planning.timings import Timings, epoch_s, model_of

MAX_FOLDS_SHARE = 0.6
"""Part of the whole time that folds and vote may keep before they give way: trials give way first, but not all."""
MAX_LEAST_SHARE = 0.8
"""Part of the time that even the least ensemble may take; where it takes more, the best trial stands alone."""
START_S = 1.0
"""Seconds of a fold model's start in a worker that runs: its network and its rows."""
STOP_S = 5.0
"""Seconds until the workers of a search whose time is over are gone."""
MARGIN = 0.03
"""Part of the forecast that is kept beside it: what the last trials change must not cost a finalist."""
WORKER_S = 10.0
"""Seconds of a worker's start, until it has loaded what it trains with."""
VOTE_S, VOTE_ROW_S = 6.0, 5e-4
"""Seconds of a vote and its estimate, and further ones a row of a member, before any was measured."""


@dataclass(frozen=True)
class FoldNeeds:
    """What follows a search.

    Attributes:
        goal: what ranks the finalists.
        plan: what is wanted on folds.
        rows: labelled rows, and rows to submit.
        min_finalists: finalists that the vote needs.
        slots: returns the fold models that train at a time.
        vote_s: returns the measured seconds of a vote, None before any.
    """

    goal: Goal
    plan: FoldPlan
    rows: tuple[int, int]
    min_finalists: int = 1
    slots: Callable[[], int] = lambda: 1
    vote_s: Callable[[], float | None] = lambda: None

    def costs(self, chosen: Sequence[TrialRecord], timings: Timings, *, fill: bool = False) -> FoldCosts | None:
        """Return what the folds of the finalists cost, the best first; None where nothing is measured.

        Args:
            fill: whether finalists that are not there yet count as of median cost.
        """
        typical = timings.epoch_s
        if typical is None:
            return None
        epochs = [epoch_s(record) or typical for record in chosen]
        speeds = [timings.images_per_s.get(model_of(record), math.inf) for record in chosen]
        missing = max(0, self.plan.finalists - len(chosen)) if fill else 0
        epochs += [typical] * missing
        speeds += [min(timings.images_per_s.values(), default=math.inf)] * missing
        labelled, submitted = self.rows
        judged = labelled / max(1, self.plan.folds) if self.plan.views > 1 else 0
        measured_s = self.vote_s()
        voted_s = VOTE_S + VOTE_ROW_S * labelled * len(epochs) if measured_s is None else measured_s
        return FoldCosts(
            epoch_s=epochs,
            predict_s=[(submitted + judged) / speed for speed in speeds],
            ready={(place, 0) for place, record in enumerate(chosen) if record.status == "COMPLETE"},
            slots=max(1, self.slots()),
            start_s=START_S,
            session_s=WORKER_S,
            vote_s=voted_s,
        )

    def reserve(self, total_s: float) -> Reserve:
        """Return what computes the seconds to keep: the folds of the finalists at hand, within their part of the time.

        Args:
            total_s: seconds of search, folds and vote, infinite without a limit.
        """

        def seconds(records: Sequence[TrialRecord], timings: Timings) -> float:
            chosen = finalists(records, self.goal, self.plan.finalists)
            costs = self.costs(chosen, timings, fill=True)
            if costs is None:
                return 0.0
            most_s = MAX_FOLDS_SHARE * total_s
            planned = fitted(self.plan, costs, most_s, self.min_finalists)
            if planned is None:  # folds at all, if the search keeps something
                planned, most_s = smallest(self.plan, self.min_finalists), MAX_LEAST_SHARE * total_s
            folds_s = forecast_s(planned, costs)
            return 0.0 if folds_s > most_s else min(most_s, (1 + MARGIN) * folds_s) + STOP_S

        return seconds
