"""`foldtune results RUN RUN…`: trials of several runs in one table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from foldtune.results.records.ranking import Goal

Command = Callable[..., tuple[int, str, str]]


def test_trials_of_two_runs_are_ranked_together(project: Any, foldtune: Command) -> None:
    project.stored_run()
    other = project.stored_run("other")
    project.stored_trial(other, 3, 0.6)
    code, out, err = foldtune("results", "tiny", "other", "--format", "json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert [row["trial_id"] for row in rows[:3]] == ["other/0001", "tiny/0001", "other/0003"]
    assert [row["rank"] for row in rows[:3]] == [1, 2, 3]
    assert len(rows) == 7
    code, out, _ = foldtune("results", "tiny", "other", "--top", "2")
    assert (code, "tiny/0001" in out, "other/0003" in out) == (0, True, False)


def test_other_folds_are_a_line_and_other_metrics_are_refused(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    other = project.stored_run("other")
    ids = np.array([row[0] for row in project.rows])
    other.write_folds(ids, np.arange(len(ids)) // 2 % 2)
    code, _, err = foldtune("results", "tiny", "other")
    assert (
        code,
        "not of the same rows or folds as tiny, so values differ by that: other" in " ".join(err.split()),
    ) == (0, True), err
    store.write_goal(Goal("accuracy", "max"))
    code, _, err = foldtune("results", "tiny", "other")
    assert (code, "accuracy" in err, "macro_f1" in err) == (2, True, True), err
    for more in (["--watch"], ["--trial", "0001"]):
        assert foldtune("results", "tiny", "other", *more)[0] == 2
