"""The report of a run: one row a model, and class figures that agree with the ensemble's own estimate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from foldtune.results.records.trials import EpochRow
from foldtune.results.runs.store import RunStore
from foldtune.search.assess.report import confusion_table
from foldtune.search.runs.group import find_ensemble
from foldtune.search.runs.run import open_run
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.inference import trained
from foldtune.trainers.inference.trained import inference_time_ms
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks import get_task
from foldtune.trainers.tasks.network import create_model

Command = Callable[..., tuple[int, str, str]]
MEMBERS = ("0001", "0000")


def stored_trial(store: RunStore, number: int, model: str, value: float, status: Any = "COMPLETE") -> None:
    trial = store.trial(f"{number:04d}")
    trial.write_config(number=number, params={"model_name": model}, config={"model_name": model})
    metrics = {"macro_f1": value, "macro_f1_tuned": value / 2, "loss": 1 - value}
    trial.append_epoch(EpochRow(1, metrics, 1, metrics, float(number), 100.0, 1e-3, 64, number / 10))
    trial.finish(status)


def stored_ensemble(store: RunStore, voting: str) -> dict[str, Any]:
    """An ensemble of two members that are often wrong, written as `foldtune ensemble` writes it."""
    run = open_run(store.name, store.root.parent)
    rng = np.random.default_rng(5)
    targets, folds = np.repeat([0, 1, 2], [60, 30, 15]), np.arange(105) % 3
    scores = [softmax(rng.normal(size=(105, 3)) + 1.2 * np.eye(3)[targets], axis=1) for _ in MEMBERS]
    members = [Member(name, each, ()) for name, each in zip(MEMBERS, scores, strict=True)]
    judged = estimate(Objective(run.task, "macro_f1", targets), members, folds, voting=voting)
    description = {
        "metric": "macro_f1",
        "voting": voting,
        "min_votes": None,
        "members": [{"trial_id": name} for name in MEMBERS],
        "estimate": judged.metrics,
        "per_class": run.task.per_class(judged.predictions, targets),
    }
    store.ensemble.write_oof({"targets": targets, "folds": folds, "member_scores": np.stack(scores)})
    store.ensemble.write(description)
    return description


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_the_confusion_is_that_of_the_estimate(project: Any, foldtune: Command, voting: str) -> None:
    description = stored_ensemble(project.stored_run(), voting)
    code, _, err = foldtune("report", "tiny", "--output", "out", "--no-timing")
    assert code == 0
    assert "confusion.csv, models.csv, per_class.csv, per_class.json" in err
    confusion = pd.read_csv("out/confusion.csv", index_col="true")
    assert list(confusion.columns) == list(confusion.index) == ["c0", "c1", "c2"]
    counts = confusion.to_numpy()
    right = counts.diagonal()
    assert right.sum() < counts.sum() == 105
    assert description["estimate"]["accuracy"] == pytest.approx(right.sum() / 105)
    classes = pd.read_csv("out/per_class.csv")
    assert classes["support"].tolist() == counts.sum(axis=1).tolist() == [60, 30, 15]
    assert classes["recall"].to_numpy() == pytest.approx(right / counts.sum(axis=1))
    assert classes["precision"].to_numpy() == pytest.approx(right / counts.sum(axis=0))
    stored = json.loads(Path("out/per_class.json").read_text())
    assert stored["per_class"] == description["per_class"]
    assert stored["estimate"] == description["estimate"]


def test_each_model_has_the_row_of_its_best_trial(project: Any, foldtune: Command) -> None:
    store = project.stored_run()  # its trials have the default model, resnet10t: .5, .75 and a failure
    stored_trial(store, 3, "test_resnet", 0.9)
    stored_trial(store, 4, "test_resnet", 0.8)
    stored_trial(store, 5, "test_byobnet", 0.99, "FAIL")
    code, out, err = foldtune("report", "tiny", "-o", "out", "--no-timing", "--format", "json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert [(row["model_name"], row["trial_id"], row["trials"]) for row in told["models"]] == [
        ("test_resnet", "0003", 2),
        ("resnet10t", "0001", 2),
    ]
    assert told["models"][0] == {
        "model_name": "test_resnet",
        "macro_f1": 0.9,
        "macro_f1_tuned": 0.45,
        "params_m": 0.3,
        "fit_time_s": 3.0,
        "images_per_s": 100.0,
        "trials": 2,
        "trial_id": "0003",
        "status": "COMPLETE",
        "pareto": True,
    }
    assert not told["models"][1]["pareto"], "less by the metric, with more parameters"
    assert told["confusion"] is told["per_class"] is told["estimate"] is None
    assert [path.name for path in Path("out").iterdir()] == ["models.csv"]
    code, _, err = foldtune("report", "tiny", "-o", "out", "--no-timing")
    assert "no figures of the classes: run 'tiny' has no ensemble yet: foldtune ensemble tiny makes one" in err


def test_a_model_whose_best_trial_was_stopped_early_is_marked(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    stored_trial(store, 3, "test_resnet", 0.9, "PRUNED")
    code, out, _ = foldtune("report", "tiny", "-o", "out", "--no-timing")
    assert code == 0
    assert dict(pd.read_csv("out/models.csv")[["model_name", "status"]].itertuples(index=False)) == {
        "test_resnet": "PRUNED",
        "resnet10t": "COMPLETE",
    }
    row, front = [line for line in out.splitlines() if "test_resnet" in line]
    assert "pruned" in row
    assert front.strip() == "Pareto front of macro_f1 and params M: test_resnet"
    assert "pruned: stopped before its last epoch" in out


def test_inference_is_timed_and_counts_the_views(
    project: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = project.stored_run()
    stored_trial(store, 3, "test_resnet", 0.9)
    code, out, err = foldtune("report", "tiny", "-o", "out", "--device", "cpu")
    assert code == 0
    assert "ms/image" in out
    assert "Pareto front of macro_f1 and ms/image: test_resnet" in out
    assert "foldtune ensemble tiny makes one" in err
    assert (pd.read_csv("out/models.csv")["inference_ms"] > 0).all()
    task = get_task("multiclass").from_frame(pd.DataFrame({"label": ["a", "b"]}), "label")
    images: list[int] = []

    def counting(*arguments: Any) -> torch.nn.Module:
        model = create_model(*arguments)
        model.register_forward_pre_hook(lambda _, inputs: images.append(len(inputs[0])))
        return model

    monkeypatch.setattr(trained, "create_model", counting)
    seen = []
    for tta in ("none", "all"):
        images.clear()
        inference_time_ms(task, TrialSettings(model_name="test_resnet", tta=tta), (64, 64), device="cpu")
        seen.append(sum(images))
    assert seen[1] == 6 * seen[0], "six views"


def test_images_of_several_labels_have_no_confusion_of_classes(project: Any) -> None:
    store = project.stored_run()
    description = stored_ensemble(store, "soft")
    several = {"targets": np.eye(3, dtype=np.int64), "folds": np.arange(3), "member_scores": np.zeros((2, 3, 3))}
    store.ensemble.write_oof(several)
    assert confusion_table(open_run("tiny", "runs"), description) is None


@pytest.mark.parametrize("predictions", [False, True])
def test_rows_of_no_class_are_refused(project: Any, foldtune: Command, predictions: bool) -> None:
    store = project.stored_run()
    stored_ensemble(store, "soft")
    arrays = store.ensemble.read_oof() or {}
    targets = arrays["targets"]
    foreign = {"predictions": targets - 1} if predictions else {"targets": targets + 77}
    store.ensemble.write_oof({**arrays, **foreign})
    code, _, err = foldtune("report", "tiny", "-o", "out", "--no-timing")
    assert code == 1
    assert "holds classes that the task, of 3, has not" in err


def test_files_of_an_earlier_report_are_replaced(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    stored_ensemble(store, "soft")
    foldtune("report", "tiny", "-o", "out", "--no-timing")
    Path("out/notes.txt").write_text("mine")
    store.ensemble.json_path.unlink()
    foldtune("report", "tiny", "-o", "out", "--no-timing")
    assert sorted(path.name for path in Path("out").iterdir()) == ["models.csv", "notes.txt"]


def test_nothing_to_report_and_no_such_run(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    for trial in store.trials():
        store.trial(trial.trial_id).finish("FAIL", error="out of memory")
    code, _, err = foldtune("report", "tiny", "-o", "out")
    assert code == 2
    assert "no finished trial" in err
    assert not Path("out").exists()
    code, _, err = foldtune("report", "tny", "-o", "out")
    assert code == 2
    assert "did you mean 'tiny'?" in err


def test_an_ensemble_whose_rows_are_gone_is_reported(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    stored_ensemble(store, "soft")
    find_ensemble("tiny", "runs").oof_path.unlink()
    code, _, err = foldtune("report", "tiny", "-o", "out", "--no-timing")
    assert code == 1
    assert "foldtune ensemble again" in err
