"""Refitting post-processing from stored scores, through the command and below it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from foldtune.results.records.trials import EpochRow, Scores
from foldtune.results.runs.store import RunStore
from foldtune.search.assess import refit as thresholds
from foldtune.search.assess.refit import refit
from foldtune.search.cli.main import run as foldtune
from foldtune.search.runs.run import open_run
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.fitting.evaluator import Evaluator
from foldtune.trainers.fitting.fit_types import FoldData
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions, cross_fitted_score
from foldtune.trainers.tasks.multiclass import Multiclass

Array = npt.NDArray[np.float64]
TASK = Multiclass("label", ("a", "b", "c"), (60, 30, 10))


def write_trial(
    store: RunStore, number: int, strength: float, postprocess: object = None, cases: npt.NDArray[np.str_] | None = None
) -> Array:
    """A finished trial whose logits indicate the class by `strength` and are biased towards the frequent class."""
    rng = np.random.default_rng(number)
    targets = np.repeat([0, 1, 2], [60, 30, 10])
    logits: Array = rng.normal(size=(100, 3)) + strength * np.eye(3)[targets] + np.log([0.6, 0.3, 0.1])
    trial = store.trial(f"{number:04d}")
    config = {"model_name": "test_resnet"} | ({} if postprocess is None else {"postprocess": postprocess})
    trial.write_config(number=number, params={}, config=config)
    ids = np.array([f"i{row}" for row in range(100)])
    trial.write_scores(ids=ids, logits=logits.astype(np.float32), targets=targets, epoch=1, cases=cases)
    metrics = {"macro_f1": float(strength)}
    trial.append_epoch(EpochRow(1, metrics, 1, metrics, 1.0, 1.0, 0.1, 8, 0.1))
    trial.finish("COMPLETE")
    return logits


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore.create(tmp_path, "r")
    store.write_task(TASK.to_dict())
    data = {"train": str(tmp_path / "train.csv"), "target": "label"}
    space = {"model_name": "test_resnet"}
    store.write_config(
        {"name": "r", "task": "multiclass", "data": data, "space": space, "search": {"metric": "macro_f1"}}
    )
    return store


def test_refit_is_cross_fitted_and_orders_by_it(store: RunStore, tmp_path: Path) -> None:
    weak = write_trial(store, 0, 0.5)
    strong = write_trial(store, 1, 3.0)
    rows = refit(open_run("r", tmp_path))
    assert [row.trial_id for row in rows] == ["0001", "0000"]
    targets = np.repeat([0, 1, 2], [60, 30, 10])
    for row, logits in zip(rows, (strong, weak), strict=True):
        scores = TASK.scores(logits.astype(np.float32))
        splits = make_splits(TASK.strata(targets))
        assert row.tuned == pytest.approx(cross_fitted_score(TASK, scores, targets, "macro_f1", splits))
        assert row.before == pytest.approx(TASK.evaluate(scores, scores.argmax(axis=1), targets)["macro_f1"])
        fitted = TASK.predict(scores, row.postprocess)
        assert row.fitted == pytest.approx(TASK.evaluate(scores, fitted, targets)["macro_f1"])


def test_a_sampled_postprocess_is_what_was_before(store: RunStore, tmp_path: Path) -> None:
    logits = write_trial(store, 0, 1.0, {"prior_power": 1.0})
    scores, targets = TASK.scores(logits.astype(np.float32)), np.repeat([0, 1, 2], [60, 30, 10])
    predictions = TASK.predict(scores, {"prior_power": 1.0})
    expected = TASK.evaluate(scores, predictions, targets)["macro_f1"]
    assert refit(open_run("r", tmp_path))[0].before == pytest.approx(expected)


def test_before_another_metric_stands_what_the_runs_own_was_tuned_for(store: RunStore, tmp_path: Path) -> None:
    logits = write_trial(store, 0, 1.0, "tuned")
    scores, targets = TASK.scores(logits.astype(np.float32)), np.repeat([0, 1, 2], [60, 30, 10])
    splits = make_splits(TASK.strata(targets))
    judged = cross_fitted_predictions(TASK, scores, targets, "macro_f1", splits)
    found = refit(open_run("r", tmp_path), "accuracy")[0]
    assert found.before == pytest.approx((judged == targets).mean())
    assert found.before != found.tuned
    own = refit(open_run("r", tmp_path))[0]
    assert own.before == own.tuned


def test_rows_of_a_group_are_never_on_both_sides(store: RunStore, tmp_path: Path) -> None:
    write_trial(store, 0, 1.0)
    names = [f"i{row}" for row in range(100)]
    lines = [f"{name},{'aaabbbc'[row % 7]},g{row // 4}" for row, name in enumerate(names)]
    (tmp_path / "train.csv").write_text("image,label,patient\n" + "\n".join(lines))
    for name in names:
        (tmp_path / name).touch()
    config = store.read_config()
    config["data"] |= {"group": "patient", "images": str(tmp_path)}
    store.write_config(config)
    stored = store.trial("0000").read_scores()
    assert stored is not None
    assert stored.targets is not None
    groups = np.array([f"g{row // 4}" for row in range(100)])
    splits = make_splits(TASK.strata(stored.targets), groups)
    expected = cross_fitted_score(TASK, TASK.scores(stored.logits), stored.targets, "macro_f1", splits)
    assert refit(open_run("r", tmp_path))[0].tuned == pytest.approx(expected)


def test_cases_are_split_as_the_training_split_them(store: RunStore, tmp_path: Path) -> None:
    """Their rows stand apart in the table, and their names in another order than their first rows."""
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    cases = np.array([f"c{label}{7 * row % (40 - 15 * label)}" for row, label in enumerate(labels)])
    logits = write_trial(store, 0, 1.0, cases=cases).astype(np.float32)
    names = [f"i{row}" for row in range(100)]
    lines = [f"{name},{'abc'[label]},{case}" for name, label, case in zip(names, labels, cases, strict=True)]
    (tmp_path / "train.csv").write_text("image,label,eye\n" + "\n".join(lines))
    for name in names:
        (tmp_path / name).touch()
    config = store.read_config()
    config["data"] |= {"case": "eye", "images": str(tmp_path)}
    store.write_config(config)
    rows = np.arange(100)
    pixels = np.zeros((100, 1, 1, 3), np.uint8)  # never read
    data = FoldData(pixels, labels, np.array(names), rows[:0], rows, groups=cases, cases=cases)  # type: ignore[arg-type]
    evaluator = Evaluator(TASK, data, "macro_f1", {})
    expected = evaluator.tuned(logits, evaluator.metrics(logits, 1))
    assert refit(open_run("r", tmp_path))[0].tuned == pytest.approx(expected)


@pytest.mark.slow
def test_processes_change_nothing(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        write_trial(store, number, 1.0 + number)
    run = open_run("r", tmp_path)
    calls: list[tuple[int, int]] = []
    alone = refit(run, progress=lambda done, total: calls.append((done, total)))
    monkeypatch.setattr(thresholds, "WORTH_PROCESSES_S", 0.0)
    assert refit(run, processes=2) == alone
    assert calls == [(done, 4) for done in range(1, 5)]


def test_labels_at_random_are_worth_chance_once_cross_fitted(store: RunStore, tmp_path: Path) -> None:
    """The fit finds something in noise on its own rows, the cross-fitted figure does not."""
    targets = np.repeat([0, 1, 2], [60, 30, 10])
    for number in range(20):
        write_trial(store, number, 0.0)
        trial = store.trial(f"{number:04d}")
        noise = np.random.default_rng(100 + number).normal(size=(100, 3)).astype(np.float32)
        trial.write_scores(np.array([f"i{row}" for row in range(100)]), noise, targets, 1)
    found = refit(open_run("r", tmp_path), "balanced_accuracy")
    tuned, fitted = (np.array([getattr(each, name) for each in found]) for name in ("tuned", "fitted"))
    error = tuned.std(ddof=1) / np.sqrt(len(tuned))
    assert abs(tuned.mean() - 1 / 3) < 3 * error
    assert (fitted - tuned).mean() > error


def test_a_group_is_refitted_target_by_target(
    store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trial(store, 0, 1.0)
    (tmp_path / "g").mkdir()
    group = {"runs": {"label": "r"}, "id": "image", "sample_submission": None}
    (tmp_path / "g" / "group.json").write_text(json.dumps(group))
    assert foldtune(["thresholds", "g", "--storage", str(tmp_path), "--format", "json"]) == 0
    assert [row["trial_id"] for row in json.loads(capsys.readouterr().out)["label"]] == ["0000"]
    assert foldtune(["thresholds", "g", "--storage", str(tmp_path)]) == 0
    assert "target label" in capsys.readouterr().out
    assert foldtune(["thresholds", "g", "--storage", str(tmp_path), "--grid", "prior_power=1"]) == 2
    assert "name one of its runs (r)" in capsys.readouterr().err


def test_command_prints_json_table_and_one_trial(
    store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trial(store, 0, 1.0)
    write_trial(store, 1, 2.0)
    assert foldtune(["thresholds", "r", "--storage", str(tmp_path), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["trial_id"] for row in rows} == {"0000", "0001"}
    assert set(rows[0]["postprocess"]["offsets"]) == {"a", "b", "c"}
    arguments = ["thresholds", "r", "--storage", str(tmp_path), "--trial", "0001", "--metric", "balanced_accuracy"]
    assert foldtune(arguments) == 0
    shown = capsys.readouterr().out
    assert "offsets: a" in shown
    assert "0000" not in shown


def test_trials_that_cannot_gain_are_reported_in_a_line(
    store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    write_trial(store, 0, 1.0, "tuned")
    command = ["thresholds", "r", "--storage", str(tmp_path)]
    said = " searched with postprocess: tuned, cross-fitted already: no gain is left"
    for trials, who in ((1, "this trial was"), (2, "these trials were"), (3, "2 of these trials were")):
        if trials > 1:
            write_trial(store, trials - 1, 1.0 + trials, "tuned" if trials == 2 else {"prior_power": 1.0})
        assert foldtune(command) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "macro_f1, post-processing refitted"
        assert lines[-1] == who + said
    assert foldtune([*command, "--metric", "accuracy"]) == 0
    assert "no gain is left" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "auroc"], "post-processing does not change it"),
        (["--metric", "macro_f"], "did you mean 'macro_f1'"),
        (["--trial", "7"], "no trial '7'"),
    ],
)
def test_wrong_arguments_end_with_2(
    arguments: list[str], message: str, store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trial(store, 0, 1.0)
    assert foldtune(["thresholds", "r", "--storage", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_run_without_scores_is_refused(store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert foldtune(["thresholds", "r", "--storage", str(tmp_path)]) == 2
    assert "no finished trial" in capsys.readouterr().err


def test_no_refit_has_seen_a_row_of_a_group_that_it_predicts() -> None:
    rows, seen = 60, []
    groups = {str(row): f"g{number // 4}" for number, row in enumerate(np.random.default_rng(0).permutation(rows))}

    class Spied(Multiclass):
        def scores(self, logits: np.ndarray) -> np.ndarray:
            return logits

        def fit_postprocess(self, scores: np.ndarray, targets: np.ndarray, metric: str) -> dict[str, object]:
            return {"rows": {int(row) for row in scores[:, 0]}}

        def predict(self, scores: np.ndarray, postprocess: Any = None) -> np.ndarray:
            seen.append((postprocess["rows"], {int(row) for row in scores[:, 0]}))
            return np.zeros(len(scores), dtype=np.int64)

    numbers = np.stack([np.arange(rows), np.zeros(rows), np.zeros(rows)], axis=1)
    stored = Scores(np.arange(rows).astype(str), numbers, np.arange(rows) % 3, 1)
    directory = SimpleNamespace(trial_id="0000", scores_path=Path("scores.npz"), read_scores=lambda: stored)
    job = thresholds._Job(Spied("y", ("a", "b", "c"), (20, 20, 20)), "accuracy", "accuracy", groups)
    job(directory, "tuned")  # type: ignore[arg-type]
    *crossed, _ = seen  # the last fit is of all rows, for new ones
    assert len(crossed) == 5
    for fitted, predicted in crossed:
        assert not {groups[str(row)] for row in fitted} & {groups[str(row)] for row in predicted}
