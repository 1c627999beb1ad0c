"""Two answers on the rows that both have, against hand computation; what cannot be compared is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from foldtune.errors import InputError
from foldtune.results.records.trials import EpochRow
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.store import RunStore
from foldtune.search.assess.comparison import compare
from foldtune.search.assess.held_out import HeldOut, find_held_out, held_out_predictions
from foldtune.search.runs.run import open_run
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions
from foldtune.trainers.tasks.multiclass import Multiclass

Command = Callable[..., tuple[int, str, str]]
TASK = Multiclass("label", ("c0", "c1", "c2"), (8, 8, 8))


def held_out(name: str, ids: list[str], targets: list[int], predictions: list[int], **changes: Any) -> HeldOut:
    scores = np.eye(3)[predictions] * 0.7 + 0.1
    arrays = (np.array(ids), np.array(targets), scores, np.array(predictions))
    return HeldOut(name, changes.pop("task", TASK), "macro_f1", *arrays, **changes)


A = held_out("a", ["p", "q", "r", "s", "t"], [0, 0, 1, 2, 2], [0, 1, 1, 2, 0])
B = held_out("b", ["u", "t", "s", "r", "q"], [1, 2, 2, 1, 0], [1, 2, 2, 1, 2])


def test_figures_are_those_of_the_shared_rows() -> None:
    found = compare(A, B)
    assert (found.rows, found.rows_a, found.rows_b) == (4, 5, 5)
    truth, of_a, of_b = [0, 1, 2, 2], [1, 1, 2, 0], [2, 1, 2, 2]  # q, r, s, t
    by_hand = [f1_score(truth, each, average="macro", labels=[0, 1, 2], zero_division=0) for each in (of_a, of_b)]
    assert found.metrics["macro_f1"] == pytest.approx(tuple(by_hand))
    assert found.difference.value == found.gain == pytest.approx(by_hand[1] - by_hand[0])
    assert found.difference.low <= found.difference.value <= found.difference.high
    for side, predictions in (("a", of_a), ("b", of_b)):
        precision, recall, f1, support = precision_recall_fscore_support(
            truth, predictions, labels=[0, 1, 2], zero_division=0
        )
        assert [row[side]["f1"] for row in found.per_class] == pytest.approx(f1.tolist())
        assert [row[side]["recall"] for row in found.per_class] == pytest.approx(recall.tolist())
        assert [row[side]["precision"] for row in found.per_class] == pytest.approx(precision.tolist())
        assert [row["support"] for row in found.per_class] == support.tolist()


def test_the_other_way_round_is_the_negative_and_less_of_a_loss_is_a_gain() -> None:
    there, back = compare(A, B, "loss"), compare(B, A, "loss")
    assert there.goal.mode == "min"
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert (there.difference.low, there.difference.high) == pytest.approx((-back.difference.high, -back.difference.low))
    assert there.gain == -there.difference.value > 0


def test_one_against_itself_differs_by_nothing() -> None:
    found = compare(A, A)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0.0, 0.0, 0.0)


def test_groups_of_either_side_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 40).repeat(10)
    answers = [np.where(rng.uniform(size=40) < share, targets[::10], 0).repeat(10) for share in (0.9, 0.5)]
    ids = [f"{row:03d}" for row in range(400)]
    a, b = (held_out(name, ids, targets.tolist(), each.tolist()) for name, each in zip("ab", answers, strict=True))
    together = HeldOut(**{**vars(b), "groups": np.arange(40).astype(str).repeat(10)})
    alone = compare(a, b).difference
    for grouped in (compare(a, together).difference, compare(together, a).difference):
        assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("other", "metric", "words"),
    [
        (held_out("b", ["x", "y"], [0, 1], [0, 1]), None, ["share no held-out row", "5 rows", "2 rows"]),
        (held_out("b", ["p", "q"], [1, 0], [0, 1]), None, ["1 of 2 shared rows have another label", "first: p"]),
        (
            held_out("b", ["p"], [0], [0], task=Multiclass("label", ("c0", "c1", "c3"), (1, 1, 1))),
            None,
            ["other labels", "only a has c2", "only b has c3"],
        ),
        (B, "macro_f", ["did you mean 'macro_f1'"]),
    ],
)
def test_what_cannot_be_compared(other: HeldOut, metric: str | None, words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        compare(A, other, metric)
    assert all(word in str(raised.value) for word in words)


def scored_trial(project: Any, store: RunStore, number: int, strength: float) -> Any:
    """A complete trial with scores of the rows of fold 0."""
    ids = np.array([name for name, _ in project.rows])[::2]
    targets = np.array([int(label[1]) for _, label in project.rows])[::2]
    logits = np.random.default_rng(number).normal(size=(len(ids), 3)) + strength * np.eye(3)[targets]
    trial = store.trial(f"{number:04d}")
    trial.write_config(number=number, params={}, config={})
    trial.write_scores(ids, logits.astype(np.float32), targets, 1)
    metrics = {"macro_f1": strength}
    trial.append_epoch(EpochRow(1, metrics, 1, metrics, 1.0, 1.0, 0.1, 8, 0.1))
    trial.finish("COMPLETE")
    return logits.astype(np.float32)


def stored_ensemble(project: Any, store: RunStore) -> None:
    """Two members on all rows, stored with the rows of their estimate."""
    ids = np.array([name for name, _ in project.rows])
    targets = np.array([int(label[1]) for _, label in project.rows])
    rng = np.random.default_rng(3)
    scores = rng.dirichlet(np.ones(3), (2, len(ids))) * 0.4 + 0.6 * np.eye(3)[targets]
    arrays = {"ids": ids, "targets": targets, "folds": np.arange(len(ids)) % 2, "member_scores": scores}
    store.ensemble.write_oof({**arrays, "scores": scores.mean(axis=0)})
    store.ensemble.write(
        {"task": TASK.to_dict(), "metric": "macro_f1", "voting": "soft", "min_votes": None, "folds": 2}
        | {"members": [{"trial_id": "0000"}, {"trial_id": "0001"}]}
    )


@pytest.mark.parametrize(
    ("outputs", "label", "word"),
    [(4, 0, "12 rows of 4 outputs are none of task multiclass"), (3, 7, "holds labels that the task, of 3, has not")],
)
def test_scores_of_another_task_are_refused(
    project: Any, foldtune: Command, outputs: int, label: int, word: str
) -> None:
    store = project.stored_run()
    scored_trial(project, store, 3, 3.0)
    trial = store.trial("0003")
    ids = np.array([name for name, _ in project.rows])[::2]
    trial.write_scores(ids, np.zeros((len(ids), outputs), np.float32), np.full(len(ids), label), 1)
    for command in (
        ["compare", "tiny/trials/0003", "tiny/trials/0003"],
        ["thresholds", "tiny", "--trial", "0003"],
        ["thresholds", "tiny"],
    ):
        code, _, err = foldtune(*command)
        assert code == 1, command
        assert word in err


def test_the_command_compares_trials_runs_and_ensembles(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    logits = {number: scored_trial(project, store, number, float(number)) for number in (3, 4)}
    stored_ensemble(project, store)
    code, out, err = foldtune("compare", "tiny/trials/0003", "tiny", "--format", "json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["a"], told["b"], told["rows"]) == ("tiny, trial 0003", "tiny, trial 0004", 12)
    task, targets = open_run("tiny", "runs").task, np.array([int(label[1]) for _, label in project.rows])[::2]
    for side, number in (("a", 3), ("b", 4)):
        scores = task.scores(logits[number])
        predictions = cross_fitted_predictions(task, scores, targets, "macro_f1", make_splits(targets))
        assert told["metrics"]["macro_f1"][side] == pytest.approx(
            task.evaluate(scores, predictions, targets)["macro_f1"]
        )
    code, out, _ = foldtune("compare", "tiny", "tiny/ensemble")
    assert code == 0
    assert "12 rows that both have" in out
    assert "24 rows held out" in out
    assert foldtune("compare", "runs/tiny", str(store.ensemble.root), "--metric", "accuracy")[1] != out
    code, out, _ = foldtune("compare", "tiny", "tiny/ensemble", "--format", "csv")
    figures = pd.read_csv(StringIO(out))
    assert set(figures["class"].dropna()) == {"c0", "c1", "c2"}
    own = figures[figures["figure"] == "macro_f1"].iloc[0]
    assert own["difference"] == pytest.approx(own["b"] - own["a"])
    assert own["low"] <= own["difference"] <= own["high"]


def grouped_run(project: Any, size: int) -> tuple[RunStore, list[str]]:
    """A stored run of groups of `size` rows that follow each other, and the group of each row."""
    groups = [f"g{row // size}" for row in range(len(project.rows))]
    lines = [f"{name},{label},{group}" for (name, label), group in zip(project.rows, groups, strict=True)]
    store = project.stored_run()
    Path("train.csv").write_text("image,label,patient\n" + "\n".join(lines) + "\n")
    config = store.read_config()
    store.write_config({**config, "data": {**config["data"], "group": "patient"}})
    return store, groups


def test_no_row_of_a_group_helps_to_predict_another_one(project: Any) -> None:
    store, groups = grouped_run(project, 4)
    logits = scored_trial(project, store, 3, 0.5)
    task, targets = open_run("tiny", "runs").task, np.array([int(label[1]) for _, label in project.rows])[::2]
    together, apart = (
        cross_fitted_predictions(task, task.scores(logits), targets, "macro_f1", make_splits(targets, each))
        for each in (np.array(groups[::2]), None)
    )
    assert (together != apart).any(), "groups must matter here"
    np.testing.assert_array_equal(find_held_out("tiny/trials/0003", "runs").predictions, together)


def test_groups_come_from_the_run_of_an_ensemble(project: Any) -> None:
    store, groups = grouped_run(project, 2)
    stored_ensemble(project, store)
    found = find_held_out("tiny/ensemble", "runs")
    assert found.groups is not None
    assert found.groups.tolist() == groups


def test_predictions_that_were_not_stored_are_those_of_the_estimate() -> None:
    """Chosen anew for each fold, as then; with what came out on all rows each row would help to choose its vote."""
    rng = np.random.default_rng(1)
    targets, folds = rng.integers(3, size=90), np.arange(90) % 3
    scores = rng.dirichlet(np.ones(3), size=(3, 90))
    members = [Member(str(place), each, ()) for place, each in enumerate(scores)]
    judged = estimate(
        Objective(TASK, "accuracy", targets), members, folds, voting="auto", min_votes=3, bootstrap=Bootstrap(samples=0)
    )
    description = {
        "members": [{"trial_id": member.trial_id} for member in members],
        **{"metric": "accuracy", "asked": "auto", "asked_min_votes": 3, **judged.combiner.to_dict()},
    }
    stored = {"targets": targets, "folds": folds, "member_scores": scores}
    np.testing.assert_array_equal(held_out_predictions(TASK, description, stored), judged.predictions)
    description |= {"asked": judged.combiner.voting, "asked_min_votes": judged.combiner.min_votes}
    assert (held_out_predictions(TASK, description, stored) != judged.predictions).any(), "the choice must matter here"


def test_what_is_not_there(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    code, _, err = foldtune("compare", "tiny", "tiny")
    assert (code, "no stored scores" in err) == (2, True)
    scored_trial(project, store, 3, 3.0)
    code, _, err = foldtune("compare", "tiny", "tinny")
    assert (code, "did you mean 'tiny'" in err) == (2, True)
    code, _, err = foldtune("compare", "tiny/trials/0009", "tiny")
    assert (code, "no trial '0009'" in err) == (2, True)


def test_an_ensemble_whose_rows_are_gone_is_reported(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    stored_ensemble(project, store)
    EnsembleDir(store.ensemble.root).oof_path.unlink()
    code, _, err = foldtune("compare", "tiny/ensemble", "tiny/ensemble")
    assert code == 1
    assert "foldtune ensemble again" in err
