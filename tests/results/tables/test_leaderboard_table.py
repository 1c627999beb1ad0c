"""The leaderboard and the list of runs in the terminal: they fit the width and keep the important columns."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from foldtune.results.records.leaderboard import leaderboard
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.summaries import RunSummary
from foldtune.results.tables.formatting import metric_text
from foldtune.results.tables.leaderboard_table import results_table, runs_table

ACCURACY = Goal("accuracy", "max")
BALANCED = Goal("balanced_accuracy", "max")
Make = Callable[..., TrialRecord]
Lines = Callable[[RenderableType, int], list[str]]


def coloured(renderable: RenderableType) -> str:
    console = Console(width=250, color_system="standard", force_terminal=True)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.fixture
def records(make_record: Make) -> list[TrialRecord]:
    draws = np.random.default_rng(0)
    metrics = ["balanced_accuracy", "balanced_accuracy_tuned", "top5_accuracy", "auroc", "macro_f1", "loss"]
    return [
        make_record(
            i,
            status=["COMPLETE", "PRUNED", "FAIL", "RUNNING"][i % 4],
            trial_id=f"{i:05d}_abcdef",
            metrics=dict(zip(metrics, draws.uniform(size=6).tolist(), strict=True)),
            fit_time_s=83.0,
            params={
                "model_name": ["mobilenetv3_small_050", "resnet10t"][i % 2],
                "lr": 10.0 ** -(i % 5 + 1),
                "loss": "focal",
                "loss.focal.gamma": i / 7,
                "sampler.balanced.strength": i / 9,
                "epochs_fixed": 12,
            },
        )
        for i in range(12)
    ]


@pytest.mark.parametrize("width", [50, 80, 120, 200, 400])
def test_tables_fit_and_keep_rank_trial_and_metric(records: list[TrialRecord], width: int, lines: Lines) -> None:
    frame = leaderboard(records, BALANCED)
    text = lines(results_table(frame, BALANCED, 5, width=width), width)
    assert max(map(cell_len, text)) <= width
    rows = [line for line in text if "_abcdef" in line]
    assert len(rows) == 5
    for row, (_, trial) in zip(rows, frame.iterrows(), strict=False):
        assert trial["trial_id"] in row
        assert metric_text(trial["balanced_accuracy"]) in row
    assert "…" not in "".join(rows)
    hidden = "\n".join(text).partition("left out for width: ")[2]
    assert bool(hidden) == (width < 200)
    assert ("params M" in hidden) == (width < 200)


@pytest.mark.parametrize(
    "by", ["fit_time_s", "loss", "params_m", "epochs_fixed", "sampler.balanced.strength", "status"]
)
def test_the_column_that_rows_are_sorted_by_is_never_left_out(
    records: list[TrialRecord], by: str, lines: Lines
) -> None:
    frame = leaderboard(records, BALANCED, by, modes={"loss": "min"})
    names = {"fit_time_s": "time", "params_m": "params M", "sampler.balanced.strength": "strength"}
    header = names.get(by, by).replace("epochs_fixed", "fixed")  # broken at the underscore
    text = lines(results_table(frame, BALANCED, 5, width=60, sort_by=by), 60)
    assert header in " ".join(text[1:4]), text
    assert max(map(cell_len, text)) <= 60
    assert "balanced_" in " ".join(text[1:4])


def test_a_narrow_table_keeps_loss_and_lr_before_other_columns(make_record: Make, lines: Lines) -> None:
    losses = ["cross_entropy", "logit_adjustment", "focal"]
    records = [
        make_record(
            i,
            metrics={"macro_f1": i / 7, "macro_f1_tuned": i / 6, "loss": i / 5},
            params={"model_name": "m" * i, "loss": losses[i], "lr": 0.001 * (i + 1), "drop_rate": i / 9},
        )
        for i in range(3)
    ]
    goal = Goal("macro_f1", "max")
    text = "\n".join(lines(results_table(leaderboard(records, goal), goal, width=64), 64))
    assert "logit_adjustment" in text
    assert "0.003" in text
    left_out = " ".join(text.partition("left out for width: ")[2].split())
    assert left_out.startswith("epochs, time, model_name, drop_rate, loss, img/s, params M")
    assert "foldtune leaderboard" in left_out


def test_no_limit_shows_every_column(records: list[TrialRecord], lines: Lines) -> None:
    frame = leaderboard(records, BALANCED)
    header = lines(results_table(frame, BALANCED), 400)[1].split()
    expected = "# trial status balanced_accuracy tuned epochs time model_name lr gamma strength top5_accuracy"
    assert " ".join(header) == f"{expected} auroc macro_f1 loss img/s params M"


def test_caption_counts_all_trials_and_gives_reasons_of_failures(records: list[TrialRecord], lines: Lines) -> None:
    frame = leaderboard(records, BALANCED)
    text = "\n".join(lines(results_table(frame, BALANCED, 2), 200))
    assert "3 complete · 3 pruned · 3 failed · 3 running · 16m 36s of training" in text
    assert "failed (3×): out of memory" in text


def test_text_from_outside_is_not_markup(make_record: Make, lines: Lines) -> None:
    record = make_record(0, 0.5, "FAIL", error="bad [/red] value [bold]", params={"x": "[red]"})
    text = "\n".join(lines(results_table(leaderboard([record], ACCURACY), ACCURACY), 120))
    assert "bad [/red] value [bold]" in text
    assert "[red]" in text


def test_best_value_of_each_metric_is_highlighted(make_record: Make) -> None:
    records = [
        make_record(0, metrics={"accuracy": 0.8, "loss": 0.4}),
        make_record(1, metrics={"accuracy": 0.7, "loss": 0.3}),
        make_record(2, status="FAIL", metrics={"accuracy": 0.9, "loss": 0.1}),
    ]
    text = coloured(results_table(leaderboard(records, ACCURACY), ACCURACY, modes={"loss": "min"}))
    assert re.findall(r"\x1b\[1;32m *([\d.]+)", text) == ["0.8000", "0.3000"]


def test_one_trial_shows_all_its_parameters(make_record: Make, lines: Lines) -> None:
    frame = leaderboard([make_record(0, 0.5, params={"lr": 0.1, "x": 3})], ACCURACY)
    assert "lr" in lines(results_table(frame, ACCURACY), 200)[1].split()


def test_empty_leaderboard(lines: Lines) -> None:
    table = results_table(leaderboard([], ACCURACY), ACCURACY, width=80)
    assert "no trials yet" in "\n".join(lines(table, 80))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_list_of_runs(width: int, lines: Lines) -> None:
    when = datetime(2025, 1, 2, 3, 4, tzinfo=UTC)
    runs = [
        RunSummary("skin", "running", {"COMPLETE": 120, "PRUNED": 30, "FAIL": 2}, "balanced_accuracy", 0.8, when),
        RunSummary("new", "empty", {}, None, None, when),
    ]
    text = lines(runs_table(runs, width=width), width)
    assert max(map(cell_len, text)) <= width
    assert any("skin" in line and "running" in line and "0.8000" in line for line in text)
    assert ("120 complete, 30 pruned, 2 failed" in "\n".join(text)) == (width >= 120)
    assert "no runs yet" in "\n".join(lines(runs_table([]), width))
