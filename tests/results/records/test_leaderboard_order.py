"""The leaderboard's public columns, and its order by the best epoch."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from foldtune.errors import ColumnNotFound
from foldtune.results.records.leaderboard import column_modes, leaderboard, metric_columns, param_columns
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import TrialRecord

GOAL = Goal("accuracy", "max")
Make = Callable[..., TrialRecord]
HEAD = [
    "rank",
    "trial_id",
    "status",
    "accuracy",
    "accuracy_tuned",
    "epochs",
    "fit_time_s",
    "images_per_s",
    "params_m",
]


def test_columns_in_the_promised_order(make_record: Make) -> None:
    records = [
        make_record(0, 0.5, params={"lr": 0.1, "loss": "focal", "loss.focal.gamma": 2.0}),
        make_record(1, metrics={"macro_f1": 0.4, "accuracy_tuned": 0.7, "accuracy": 0.6}, params={"batch_size": 32}),
    ]
    frame = leaderboard(records, GOAL)
    assert list(frame.columns) == [
        *HEAD,
        "macro_f1",
        "loss",
        "params_batch_size",
        "params_lr",
        "params_loss",
        "params_loss.focal.gamma",
        "error",
    ]
    assert metric_columns(frame) == ["accuracy", "accuracy_tuned", "macro_f1", "loss"]
    assert param_columns(frame)[0] == "params_batch_size"
    assert column_modes(frame, GOAL, {"loss": "min"})["loss"] == "min"


@pytest.mark.parametrize("values", [(10**400, 1), (10**400, 0.5), (2**63, None)])
def test_a_stored_number_may_be_larger_than_any_that_is_sampled(make_record: Make, values: tuple[Any, Any]) -> None:
    frame = leaderboard([make_record(row, 0.5, params={"lr": value}) for row, value in enumerate(values)], GOAL)
    assert frame["params_lr"].tolist() == list(values)


def test_a_run_without_trials_has_the_columns() -> None:
    assert list(leaderboard([], GOAL).columns) == [*HEAD, "error"]


def test_order_and_ranks(make_record: Make) -> None:
    records = [
        make_record(0, 0.9, "FAIL"),
        make_record(1, 0.95, "RUNNING"),
        make_record(2, math.nan),
        make_record(3, 0.7, "PRUNED"),
        make_record(4, 0.8),
        make_record(5, 0.7),
        make_record(6, math.inf),
        make_record(7, None, "FAIL"),
    ]
    frame = leaderboard(list(reversed(records)), GOAL)
    assert frame["trial_id"].tolist() == ["t4", "t3", "t5", "t2", "t6", "t1", "t0", "t7"]
    assert frame["rank"].dropna().tolist() == [1, 2, 3]
    least = leaderboard(records, Goal("accuracy", "min"))
    assert least["trial_id"].tolist()[:3] == ["t3", "t5", "t4"]


def test_csv_keeps_whole_numbers_and_names_the_error(make_record: Make) -> None:
    records = [
        make_record(0, 0.5, params={"batch_size": 32, "on": True, "size": [1, 2], "x": 1}),
        make_record(1, 0.4, "FAIL", params={"x": 0.5}),
    ]
    text = leaderboard(records, GOAL).to_csv(index=False)
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    first, second = frame.to_dict(orient="records")
    assert (first["rank"], first["params_batch_size"], first["params_on"]) == ("1", "32", "True")
    assert first["params_size"] == "[1, 2]"
    assert (second["rank"], second["params_batch_size"], second["error"]) == ("", "", "out of memory")


def test_sorting_by_another_column_keeps_the_rank(make_record: Make) -> None:
    records = [
        make_record(0, 0.9, fit_time_s=30.0, images_per_s=1.0, params={"lr": 0.3, "kind": "b"}),
        make_record(1, 0.8, fit_time_s=10.0, images_per_s=2.0, params={"lr": 0.1, "kind": 3}),
        make_record(2, 0.7, fit_time_s=20.0, images_per_s=3.0),
        make_record(3, 0.99, "FAIL", fit_time_s=1.0),
    ]

    def order(column: str) -> list[str]:
        return leaderboard(records, GOAL, column)["trial_id"].tolist()

    assert order("fit_time_s") == ["t1", "t2", "t0", "t3"]
    assert order("images_per_s") == ["t2", "t1", "t0", "t3"]
    assert order("loss") == ["t0", "t1", "t2", "t3"]
    assert order("lr") == order("params_lr") == ["t1", "t0", "t2", "t3"]
    assert order("kind") == ["t1", "t0", "t2", "t3"]
    frame = leaderboard(records, GOAL, "fit_time_s")
    assert frame["rank"].dropna().tolist() == [2, 3, 1]
    ascending = leaderboard(records, GOAL, "loss", modes={"loss": "max"})
    assert ascending["trial_id"].tolist() == ["t2", "t1", "t0", "t3"]


def test_unknown_column_names_the_near_ones(make_record: Make) -> None:
    with pytest.raises(ColumnNotFound, match="did you mean 'accuracy'"):
        leaderboard([make_record(0, 0.5)], GOAL, "acuracy")
