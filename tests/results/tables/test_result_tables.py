"""Tables fit their width, keep the important columns and state what is left out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from foldtune.results.runs.leaderboard import leaderboard
from foldtune.results.runs.ranking import Goal
from foldtune.results.runs.records import TrialRecord
from foldtune.results.runs.summaries import RunSummary
from foldtune.results.tables.columns import short_names
from foldtune.results.tables.ensemble_table import ensemble_table
from foldtune.results.tables.formatting import duration_text, metric_text, number_text, parameter_text
from foldtune.results.tables.leaderboard_table import results_table, runs_table
from foldtune.results.tables.refit_table import refit_table
from foldtune.results.tables.sweep_table import sweep_table

ACCURACY = Goal("accuracy", "max")
BALANCED = Goal("balanced_accuracy", "max")
Make = Callable[..., TrialRecord]


def lines(renderable: RenderableType, width: int) -> list[str]:
    console = Console(width=width, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().splitlines()


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
def test_tables_fit_and_keep_rank_trial_and_metric(records: list[TrialRecord], width: int) -> None:
    frame = leaderboard(records, BALANCED)
    text = lines(results_table(frame, BALANCED, 5, width=width), width)
    assert max(map(cell_len, text)) <= width
    rows = [line for line in text if "_abcdef" in line]
    assert len(rows) == 5
    for row, (_, trial) in zip(rows, frame.iterrows(), strict=False):
        assert trial["trial_id"] in row
        assert metric_text(trial["balanced_accuracy"]) in row
    assert "…" not in "".join(rows)
    hidden = any("wider window" in line for line in text)
    assert hidden == (width < 200)


def test_no_limit_shows_every_column(records: list[TrialRecord]) -> None:
    frame = leaderboard(records, BALANCED)
    header = lines(results_table(frame, BALANCED), 400)[1].split()
    expected = "# trial status balanced_accuracy tuned epochs time model_name lr gamma strength top5_accuracy"
    assert " ".join(header) == f"{expected} auroc macro_f1 loss img/s params M"


def test_caption_counts_all_trials_and_gives_reasons_of_failures(records: list[TrialRecord]) -> None:
    frame = leaderboard(records, BALANCED)
    text = "\n".join(lines(results_table(frame, BALANCED, 2), 200))
    assert "3 complete · 3 pruned · 3 failed · 3 running · 16m 36s of training" in text
    assert "failed (3×): out of memory" in text


def test_text_from_outside_is_not_markup(make_record: Make) -> None:
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


def test_one_trial_shows_all_its_parameters(make_record: Make) -> None:
    frame = leaderboard([make_record(0, 0.5, params={"lr": 0.1, "x": 3})], ACCURACY)
    assert "lr" in lines(results_table(frame, ACCURACY), 200)[1].split()


def test_empty_leaderboard() -> None:
    table = results_table(leaderboard([], ACCURACY), ACCURACY, width=80)
    assert "no trials yet" in "\n".join(lines(table, 80))


def test_short_names_are_the_shortest_unique_ones() -> None:
    names = ["loss", "loss.focal.gamma", "loss.cb.gamma", "loss.cb.beta", "lr", "a.lr", "epochs"]
    assert short_names(names, taken=["epochs"]) == {
        "loss": "loss",
        "loss.focal.gamma": "focal.gamma",
        "loss.cb.gamma": "cb.gamma",
        "loss.cb.beta": "beta",
        "lr": "lr",
        "a.lr": "a.lr",
        "epochs": "params_epochs",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (4.24, "4.2s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.7, "1m 00s"),
        (83, "1m 23s"),
        (3599.6, "1h 00m"),
        (7500, "2h 05m"),
        (86399, "1d 00h"),
        (273_600, "3d 04h"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


def test_numbers() -> None:
    assert [metric_text(v) for v in (0.8, 1.0, 0.012346, 123.456, 0.0, math.nan, None)] == [
        "0.8000",
        "1.000",
        "0.01235",
        "123.5",
        "0.000",
        "–",
        "–",
    ]
    assert [number_text(v) for v in (12345.6, 0.1, 1234567.0, 1e9)] == ["12,346", "0.1", "1,234,567", "1e+09"]
    assert [parameter_text(v) for v in (64, 1.38512e-5, True, None, "x")] == [
        "64",
        "1.385e-05",
        "True",
        "–",
        "x",
    ]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_list_of_runs(width: int) -> None:
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


ENSEMBLE = {
    "metric": "balanced_accuracy",
    "mode": "max",
    "voting": "soft",
    "folds": 3,
    "members": [
        {
            "trial_id": "a",
            "run": "skin",
            "weight": 0.7,
            "oof": 0.81,
            "fold_values": [0.8, 0.81, 0.82],
            "params": {"lr": 0.1, "x": 1},
        },
        {
            "trial_id": "b",
            "run": "skin",
            "weight": 0.3,
            "oof": 0.79,
            "fold_values": [0.79],
            "params": {"lr": 0.2, "x": 1},
        },
    ],
    "estimate": {"balanced_accuracy": 0.82, "accuracy": 0.9},
    "interval": [0.8, 0.84],
    "best_single": {"trial_id": "a", "value": 0.81},
    "gain": 0.01,
    "per_class": [{"label": "[nv]", "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 6705}],
}


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_ensemble(width: int) -> None:
    text = lines(ensemble_table(ENSEMBLE, width=width), width)
    assert max(map(cell_len, text)) <= width
    whole = "\n".join(text)
    assert "2 members, 3 folds, soft voting" in whole
    assert "balanced_accuracy 0.8200  [0.8000, 0.8400]  cross-fitted" in whole
    assert "gain +0.01000" in whole
    assert "0.8100 ± 0.010" in whole
    assert "[nv]" in whole
    assert "6,705" in whole
    assert ("fold 2" in whole) == (width >= 80)


def test_a_title_is_not_broken_at_the_width_of_its_table() -> None:
    title = "2 members, 3 folds, greedy voting (auto), flips views, by balanced_accuracy"
    narrow = [{**member, "params": {}, "fold_values": []} for member in ENSEMBLE["members"]]
    long = {**ENSEMBLE, "voting": "greedy", "asked": "auto", "tta": "flips", "members": narrow}
    assert title in [line.strip() for line in lines(ensemble_table(long, width=90), 90)]


def test_ensemble_with_required_keys_only() -> None:
    least = {key: ENSEMBLE[key] for key in ("metric", "mode", "voting", "folds", "members", "estimate")}
    assert "balanced_accuracy 0.8200  cross-fitted" in "\n".join(lines(ensemble_table(least), 100))


def test_an_ensemble_shows_dropped_members_and_compared_votings() -> None:
    described = {
        **ENSEMBLE,
        "asked": "auto",
        "tta": "hflip",
        "compared": {"soft": 0.82, "hard": 0.81, "greedy": 0.83},
        "gain_interval": [-0.005, 0.025],
        "dropped": [
            {"id": "x/c", "value": 0.5, "leader": "a", "difference": {"value": -0.3, "low": -0.4, "high": -0.2}}
        ],
    }
    text = "\n".join(lines(ensemble_table(described, width=120), 120))
    assert "soft voting (auto), hflip views" in text
    assert "gain +0.01000  [-0.0050, +0.0250]" in text
    assert "compared: greedy 0.8300 · soft 0.8200 · hard 0.8100" in text
    assert "x/c dropped out after two folds: 0.5000, -0.3000 [-0.4000, -0.2000] against a" in text


def test_a_lower_error_is_better() -> None:
    error = {"metric": "mae", "mode": "min", "estimate": {"mae": 0.5}, "gain": -0.1}
    text = "\n".join(lines(ensemble_table({**ENSEMBLE, **error, "compared": {"soft": 0.5, "hard": 0.6}}), 100))
    assert "compared: soft 0.5000 · hard 0.6000" in text


def test_many_classes_show_the_weakest() -> None:
    rows = [{"label": f"c{i}", "precision": 1, "recall": 1, "f1": i / 40, "support": 9} for i in range(40)]
    text = lines(ensemble_table({**ENSEMBLE, "per_class": rows}), 100)
    labels = [line.split()[0] for line in text if line.strip().startswith("c") and "class" not in line]
    assert labels == [f"c{i}" for i in range(15)]
    assert "the 15 weakest of 40 classes" in "\n".join(text)


def test_title_and_caption_of_a_narrow_table_take_the_whole_width() -> None:
    title = "trial 0001 of run skin, 2,003 rows that it was not trained on"
    swept = [{"values": {"threshold": 0.5}, "metrics": {"f1": 0.25}}]
    assert lines(sweep_table(swept, {"f1": "max"}, title=title, width=160), 160)[0] == title
    offsets = {f"class {number}": 0.25 for number in range(8)}
    row = {"trial_id": "0001", "before": 0.5, "tuned": 0.75, "fitted": 0.8, "postprocess": {"offsets": offsets}}
    shown = lines(refit_table([row], "macro_f1", 20), 160)
    assert shown[0] == "macro_f1, post-processing refitted"
    assert "+0.2500" in shown[2]
    assert shown[3] == "offsets: " + ", ".join(f"{label} 0.25" for label in offsets)
