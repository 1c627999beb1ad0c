"""An ensemble in the terminal: members, estimate and classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import RenderableType

from foldtune.results.tables.ensemble_table import ensemble_table

Lines = Callable[[RenderableType, int], list[str]]

ENSEMBLE: dict[str, Any] = {
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
def test_ensemble(width: int, lines: Lines) -> None:
    text = lines(ensemble_table(ENSEMBLE, width=width), width)
    assert max(map(cell_len, text)) <= width
    whole = "\n".join(text)
    assert "2 members, 3 folds, soft voting" in whole
    assert "balanced_accuracy 0.8200  [0.8000, 0.8400]  cross-fitted" in whole
    assert "gain +0.01000" in whole
    assert "0.8100 ± 0.010" in whole
    assert "[nv]" in whole
    assert "6,705" in whole
    table, _, left_out = whole.partition("left out for width: ")
    assert ("fold 2" in left_out) == (width < 80)
    assert ("fold 2" in table) == (width >= 80)


def test_a_title_is_not_broken_at_the_width_of_its_table(lines: Lines) -> None:
    title = "2 members, 3 folds, greedy voting (auto), flips views, by balanced_accuracy"
    narrow = [{**member, "params": {}, "fold_values": []} for member in ENSEMBLE["members"]]
    long = {**ENSEMBLE, "voting": "greedy", "asked": "auto", "tta": "flips", "members": narrow}
    assert title in [line.strip() for line in lines(ensemble_table(long, width=90), 90)]


def test_ensemble_with_required_keys_only(lines: Lines) -> None:
    least = {key: ENSEMBLE[key] for key in ("metric", "mode", "voting", "folds", "members", "estimate")}
    assert "balanced_accuracy 0.8200  cross-fitted" in "\n".join(lines(ensemble_table(least), 100))


def test_an_ensemble_shows_dropped_members_and_compared_votings(lines: Lines) -> None:
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


def test_metrics_of_scores_state_what_they_are_of_where_votes_decide(lines: Lines) -> None:
    described = {**ENSEMBLE, "score_metrics": ["auroc", "loss"]}
    line = "auroc, loss: of the members' mean scores"
    for voting, stated in {"soft": False, "weighted": False, "hard": True}.items():
        text = "\n".join(lines(ensemble_table({**described, "voting": voting}), 120))
        assert (line in text) == stated
    ranks = "\n".join(lines(ensemble_table({**described, "voting": "rank"}), 120))
    assert "auroc, loss: of the members' mean ranks" in ranks
    stored_before = {**ENSEMBLE, "voting": "hard"}
    assert "mean scores" not in "\n".join(lines(ensemble_table(stored_before), 120))


def test_a_member_that_the_search_had_stopped_is_marked(lines: Lines) -> None:
    first, second = ENSEMBLE["members"]
    members = [{**first, "status": "PRUNED"}, {**second, "status": "COMPLETE"}]
    text = lines(ensemble_table({**ENSEMBLE, "members": members}), 120)
    assert [line.split()[:3] for line in text if line.split()[1:2] in (["a"], ["b"])] == [
        ["1", "a", "pruned"],
        ["2", "b", "0.7900"],
    ]


def test_seeds_and_models_of_all_rows_are_named_beside_the_interval(lines: Lines) -> None:
    members = [{**member, "refit_epochs": 3} for member in ENSEMBLE["members"]]
    shown = {**ENSEMBLE, "members": members, "seed_values": [0.8, 0.82, 0.81], "refit": "all"}
    text = " ".join("\n".join(lines(ensemble_table(shown, width=200), 200)).split())
    assert "3 seeds, each alone: 0.8100 ± 0.010, 0.8000 to 0.8200; the interval is of the rows" in text
    assert "models of all rows predict (to epoch 3, 3): no row is held out of them" in text


def test_a_lower_error_is_better(lines: Lines) -> None:
    error = {"metric": "mae", "mode": "min", "estimate": {"mae": 0.5}, "gain": -0.1}
    text = "\n".join(lines(ensemble_table({**ENSEMBLE, **error, "compared": {"soft": 0.5, "hard": 0.6}}), 100))
    assert "compared: soft 0.5000 · hard 0.6000" in text


def test_many_classes_show_the_weakest(lines: Lines) -> None:
    rows = [{"label": f"c{i}", "precision": 1, "recall": 1, "f1": i / 40, "support": 9} for i in range(40)]
    text = lines(ensemble_table({**ENSEMBLE, "per_class": rows}), 100)
    labels = [line.split()[0] for line in text if line.strip().startswith("c") and "class" not in line]
    assert labels == [f"c{i}" for i in range(15)]
    assert "the 15 weakest of 40 classes" in "\n".join(text)
