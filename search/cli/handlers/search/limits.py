"""The time of a search: its budget over all sessions, and what of it is refused before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from foldtune.durations import seconds_of
from foldtune.errors import TimeTooShort
from foldtune.results.records.clock_file import RunClock
from foldtune.results.tables.formatting import duration_text
from foldtune.search.config.schema import SearchConfig
from foldtune.search.planning.budget import Budget
from foldtune.search.planning.search_time import Reserve, SearchTime
from foldtune.search.runs.group import RunGroup
from foldtune.search.runs.run import Run


def first_rung(search: SearchConfig) -> int:
    """Return the epochs that every trial trains at least, unless it fails."""
    return search.grace if search.trial_scheduler == "asha" else search.max_epochs


def search_budget(run: Run, clock: RunClock) -> Budget:
    """Return the budget of a search alone: `search.time_limit`, less what it has used so far."""
    return Budget(run.config.search.time_limit, used_before_s=clock.used_s)


def group_budget(group: RunGroup, raw: Mapping[str, Any]) -> Budget:
    """Return the time that the searches of several targets share, less what they have used so far.

    Args:
        raw: plain values of their configuration, of a valid form.
    """
    limit = (raw.get("search") or {}).get("time_limit")
    used_s = sum(RunClock(group.root.parent / name, "search").before_s for name in group.runs.values())
    return Budget(seconds_of(limit) if isinstance(limit, str) else limit, used_before_s=used_s)


def plan_search(run: Run, budget: Budget, reserve: Reserve | None = None, own: Budget | None = None) -> SearchTime:
    """Return the time of a search, planned with the trials that the run has.

    Args:
        reserve: what to keep of the budget for what follows, None where nothing does.
        own: the search's own limit in a longer chain.

    Raises:
        TimeTooShort: it is too little for one more trial.
    """
    time = SearchTime(budget, first_rung(run.config.search), reserve, own)
    time.plan(run.store.trials())
    if reserve is None and budget.is_limited and not time.may_start():
        raise TimeTooShort(_too_little(time))
    return time


def _too_little(time: SearchTime) -> str:
    used_s, left_s, trial_s = time.budget.used_s(), max(0.0, time.budget.left_s()), time.trial_s() or 0.0
    return (
        f"search.time_limit: {duration_text(used_s)} of {duration_text(used_s + left_s)} are used, and a trial of this "
        f"run takes about {duration_text(trial_s)} to its first rung: give --time-limit {math.ceil(used_s + trial_s)}s "
        "or more, or null for none"
    )
