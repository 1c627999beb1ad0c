"""Whether an ensemble goes into use: better, worse, a gate, what cannot be compared; and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.errors import RunBusy, StorageError
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.model_dir import ModelDir
from foldtune.search.assess.gates import parse_gates
from foldtune.search.assess.promotion import decide_promotion, promote
from foldtune.search.predict.stored_ensemble import StoredEnsemble
from foldtune.search.runs.stored_task import read_task
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.user_metrics.function import MetricFunction
from foldtune.trainers.user_metrics.task import with_metrics

Command = Callable[..., tuple[int, str, str]]
TASK = Multiclass("label", ("ash", "birch"), (30, 30))
IDS = np.array([f"i{row:02d}" for row in range(60)])
TARGETS = np.arange(60) % 2


def stored(name: str, right: float, ids: Any = IDS, task: Multiclass = TASK) -> EnsembleDir:
    """An ensemble under runs/NAME that is right in so many of its rows, with what training leaves beside it."""
    ensemble = EnsembleDir(Path("runs") / name / "ensemble")
    wrong = np.arange(len(ids)) >= right * len(ids)
    predictions = np.where(wrong, 1 - TARGETS[: len(ids)], TARGETS[: len(ids)])
    scores = np.eye(2)[predictions] * 0.6 + 0.2
    arrays = {"ids": ids, "targets": TARGETS[: len(ids)], "scores": scores, "predictions": predictions}
    ensemble.write_oof({**arrays, "folds": np.arange(len(ids)) % 2, "member_scores": scores[None]})
    ensemble.write_test({"ids": ids})
    for fold in range(2):
        ensemble.weights_path(f"{name}/0001", fold).parent.mkdir(parents=True, exist_ok=True)
        ensemble.weights_path(f"{name}/0001", fold).write_bytes(name.encode())
        ensemble.weights_path("0009", fold).parent.mkdir(parents=True, exist_ok=True)
        ensemble.weights_path("0009", fold).write_bytes(b"of no member")
        ensemble.member(f"{name}/0001", fold).finish({"value": right})
    ensemble.write(
        {
            "task": task.to_dict(),
            "metric": "accuracy",
            "folds": 2,
            "voting": "soft",
            "min_votes": None,
            "postprocess": {},
            "member_postprocess": [],
            "image_size": [8, 8],
            "resize": "squash",
            "members": [{"id": f"{name}/0001", "trial_id": "0001", "config": {}}],
            "estimate": task.evaluate(scores, predictions, TARGETS[: len(ids)]),
            "per_class": task.per_class(predictions, TARGETS[: len(ids)]),
        }
    )
    return ensemble


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


def used(model: str = "model") -> str:
    """Return the name stored in the weights in use."""
    (said,) = {path.read_text() for path in Path(model).glob("weights/*/*/*.safetensors")}
    return said


def test_the_first_one_goes_in_with_what_predictions_need_alone(foldtune: Command) -> None:
    stored("good", 0.9)
    code, out, err = foldtune("promote", "runs/good/ensemble", "--to", "deep/model")
    assert (code, err) == (0, "")
    assert "promoted to" in out
    files = sorted(
        path.relative_to("deep/model").as_posix() for path in Path("deep/model").rglob("*") if path.is_file()
    )
    weights = [f"weights/good/0001/fold_{fold}.safetensors" for fold in range(2)]
    assert files == ["ensemble.json", "oof.npz", "promotion.json", *weights]
    opened = StoredEnsemble.open(Path("deep/model"))
    assert opened.description == StoredEnsemble.open(Path("runs/good/ensemble")).description
    told = json.loads(Path("deep/model/promotion.json").read_text())
    assert told["name"] == "runs/good/ensemble"
    assert told["comparison"] is None


def test_a_better_one_goes_in_and_back_out(foldtune: Command) -> None:
    stored("good", 0.8)
    stored("better", 0.9)
    foldtune("promote", "runs/good/ensemble", "--to", "model")
    code, out, err = foldtune("promote", "runs/better/ensemble", "--to", "model", "--format", "json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["promoted"], told["reasons"], used()) == (True, [], "better")
    assert told["comparison"]["rows"] == 60
    assert told["comparison"]["difference"]["value"] == pytest.approx(0.1)
    (backup,) = Path().glob("model.backup-*")
    assert str(backup.resolve()) == told["backup"]
    assert used(str(backup)) == "good"
    code, out, _ = foldtune("promote", "--rollback", "model")
    assert (code, used()) == (0, "good")
    assert f"{backup.name} again" in out
    (withdrawn,) = Path().glob("model.withdrawn-*")
    assert used(str(withdrawn)) == "better"
    code, _, err = foldtune("promote", "--rollback", "model")
    assert (code, used()) == (2, "good")
    assert "no backup" in err


@pytest.mark.parametrize(
    ("right", "options", "reason"),
    [
        (0.7, [], "accuracy 0.7000 against 0.8000"),
        (0.8, [], "not better"),
        (0.9, ["--min-gain", "0.2"], "by more than 0.2"),
        (0.9, ["--gates", "gates.yaml"], "gate 'recall of ash > 0.95' fails"),
        (0.7, ["--gates", "gates.yaml", "--force"], "gate 'recall of ash > 0.95' fails"),
    ],
)
def test_one_that_is_not_better_or_fails_a_gate_stays_out(
    foldtune: Command, right: float, options: list[str], reason: str
) -> None:
    Path("gates.yaml").write_text("- accuracy > 0.1\n- recall of ash > 0.95\n")
    stored("good", 0.8)
    stored("other", right)
    foldtune("promote", "runs/good/ensemble", "--to", "model")
    before = sorted(path.name for path in Path().iterdir())
    code, out, _ = foldtune("promote", "runs/other/ensemble", "--to", "model", *options)
    assert (code, used()) == (1, "good")
    assert reason in out
    assert "is as it was" in out
    assert sorted(path.name for path in Path().iterdir()) == before
    code, out, _ = foldtune("promote", "runs/other/ensemble", "--to", "model", *options, "--format", "json")
    assert code == 1
    told = json.loads(out)
    assert told["promoted"] is False
    assert any(reason in each for each in told["reasons"])


def test_a_gate_holds_for_the_first_one_too(foldtune: Command) -> None:
    stored("good", 0.8)
    Path("gates.yaml").write_text("- accuracy > 0.85\n")
    code, out, _ = foldtune("promote", "runs/good/ensemble", "--to", "model", "--gates", "gates.yaml")
    assert (code, Path("model").exists()) == (1, False)
    assert "model holds no model yet" in out
    assert "as it was" not in out
    Path("gates.yaml").write_text("- accuracy > 0.75\n")
    code, out, _ = foldtune("promote", "runs/good/ensemble", "--to", "model", "--gates", "gates.yaml")
    assert (code, used()) == (0, "good")
    assert "the condition holds" in out


def test_force_makes_up_for_one_that_is_not_better(foldtune: Command) -> None:
    stored("good", 0.8)
    stored("worse", 0.7)
    foldtune("promote", "runs/good/ensemble", "--to", "model")
    code, out, _ = foldtune("promote", "runs/worse/ensemble", "--to", "model", "--force")
    assert (code, used()) == (0, "worse")
    assert "forced, though: not better" in out


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ids": np.char.add("other", IDS)}, "share no held-out row"),
        ({"task": Multiclass("label", ("ash", "beech"), (30, 30))}, "other labels"),
    ],
)
def test_what_cannot_be_compared_is_the_users_to_decide(foldtune: Command, changes: dict[str, Any], word: str) -> None:
    stored("good", 0.8)
    stored("other", 0.9, **changes)
    foldtune("promote", "runs/good/ensemble", "--to", "model")
    code, _, err = foldtune("promote", "runs/other/ensemble", "--to", "model")
    assert (code, used()) == (2, "good")
    assert word in err
    assert "--force" in err
    code, out, _ = foldtune("promote", "runs/other/ensemble", "--to", "model", "--force")
    assert (code, used()) == (0, "other")
    assert "not compared" in out


def test_a_promoted_one_can_be_promoted_on(foldtune: Command) -> None:
    stored("good", 0.8)
    foldtune("promote", "runs/good/ensemble", "--to", "staging")
    code, _, _ = foldtune("promote", "staging", "--to", "production")
    assert (code, used("production")) == (0, "good")
    code, out, _ = foldtune("compare", "staging", "production", "--format", "json")
    assert code == 0
    assert json.loads(out)["difference"]["value"] == 0.0


def test_a_folder_of_something_else_is_left_alone(foldtune: Command) -> None:
    stored("good", 0.8)
    Path("model").mkdir()
    Path("model/thesis.txt").write_text("years of work")
    for arguments in (["runs/good/ensemble", "--to", "model", "--force"], ["--rollback", "model"]):
        code, _, err = foldtune("promote", *arguments)
        assert code == 2
        assert "name another folder" in err
    code, _, err = foldtune("promote", "runs/good/ensemble", "--to", "runs/good/ensemble")
    assert (code, "name another folder" in err) == (2, True)
    assert [path.name for path in Path("model").iterdir()] == ["thesis.txt"]


def test_weights_that_are_gone_leave_the_one_in_use(foldtune: Command) -> None:
    stored("good", 0.8)
    better = stored("better", 0.9)
    foldtune("promote", "runs/good/ensemble", "--to", "model")
    better.weights_path("better/0001", 1).unlink()
    code, _, err = foldtune("promote", "runs/better/ensemble", "--to", "model")
    assert (code, used()) == (1, "good")
    assert "1 of 2 weights are gone" in err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["runs/good/ensemble"], "--to DIR"),
        (["--to", "model"], "ENSEMBLE"),
        (["runs/good/ensemble", "--rollback", "model"], "--rollback"),
        (["runs/god/ensemble", "--to", "model"], "no run"),
        (["runs/good/ensemble", "--to", "s3://bucket/model"], "must be a folder"),
        (["runs/good/ensemble", "--to", "model", "--gates", "gates.yml"], "gates.yml"),
        (["runs/good/ensemble", "--to", "model", "--format", "csv"], "'table', 'json'"),
    ],
)
def test_wrong_arguments(foldtune: Command, arguments: list[str], word: str) -> None:
    stored("good", 0.8)
    code, _, err = foldtune("promote", *arguments)
    assert (code, Path("model").exists()) == (2, False)
    assert word in " ".join(err.replace("│", " ").split())


def rewritten(ensemble: EnsembleDir, estimate: float) -> None:
    description = ensemble.read()
    assert description is not None
    with ensemble.replacing() as stage:
        stage.write_oof(ensemble.read_oof() or {})
        stage.write({**description, "estimate": {"accuracy": estimate}})


def test_what_is_written_after_the_judgement_is_not_put_into_use() -> None:
    new, model = stored("good", 0.9), ModelDir(Path("model"))
    with model.lock():
        decision = decide_promotion(new, "good", model, parse_gates(["accuracy > 0.8"]))
        rewritten(new, 0.01)
        with pytest.raises(RunBusy, match="was written while it was judged"):
            promote(new, model, decision, "good")
    assert not model.exists()
    assert not list(Path().glob(".model.*.new"))


@pytest.mark.parametrize("moment", ["weights", "rows", "removed"])
def test_what_changes_while_it_is_copied_is_not_put_into_use(moment: str) -> None:
    new, model = stored("good", 0.9), ModelDir(Path("model"))
    decision = decide_promotion(new, "good", model, [])
    path = new.oof_path if moment == "rows" else new.weights_path("good/0001", 1)
    content = path.read_bytes()
    path.unlink()
    if moment != "removed":
        path.write_bytes(content)  # the same bytes, and still another file than the one that was judged
    with pytest.raises((RunBusy, FileNotFoundError, StorageError)):
        promote(new, model, decision, "good")
    assert not model.exists()


@pytest.mark.parametrize("command", [["promote", "--to", "model"], ["gate", "gates.yaml"]], ids=lambda each: each[0])
def test_an_estimate_that_its_rows_contradict_is_refused(foldtune: Command, command: list[str]) -> None:
    rewritten(stored("good", 0.7), 0.99)
    Path("gates.yaml").write_text("- accuracy > 0.9\n")
    name, *rest = command
    code, _, err = foldtune(name, "runs/good/ensemble", *rest)
    assert code == 1
    assert "estimate.accuracy: is 0.99, but its own out-of-fold rows give 0.7" in err
    assert not Path("model").exists()


def test_figures_of_a_class_that_the_rows_contradict_are_refused(foldtune: Command) -> None:
    ensemble = stored("good", 0.7)
    description = ensemble.read() or {}
    task, oof = read_task(description["task"], "task"), ensemble.read_oof() or {}
    rows = task.per_class(oof["predictions"], oof["targets"])
    Path("gates.yaml").write_text(f"- recall of {rows[0]['label']} > 0.01\n")
    ensemble.write({**description, "per_class": rows})
    assert foldtune("gate", "runs/good/ensemble", "gates.yaml")[0] == 0
    ensemble.write({**description, "per_class": [{**rows[0], "recall": 0.999}, *rows[1:]]})
    code, _, err = foldtune("gate", "runs/good/ensemble", "gates.yaml")
    assert code == 1
    assert f"per_class: recall of '{rows[0]['label']}' is 0.999, but its own out-of-fold rows give" in err


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"metric": "acuracy"}, "metric: unknown metric 'acuracy'; did you mean 'accuracy'?"),
        ({"per_class": [{"label": "oak", "recall": 0.99}]}, "per_class: unknown class 'oak'"),
    ],
)
def test_figures_of_what_the_task_has_not_are_refused(foldtune: Command, changes: dict[str, Any], word: str) -> None:
    ensemble = stored("good", 0.7)
    ensemble.write({**(ensemble.read() or {}), **changes})
    Path("gates.yaml").write_text("- accuracy > 0.1\n")
    for command in (["gate", "runs/good/ensemble", "gates.yaml"], ["promote", "runs/good/ensemble", "--to", "model"]):
        code, _, err = foldtune(*command)
        assert code == 1
        assert word in err


def test_an_estimate_without_its_rows_passes_no_gate(foldtune: Command) -> None:
    ensemble = stored("good", 0.7)
    Path("gates.yaml").write_text("- accuracy > 0.1\n")
    assert foldtune("gate", "runs/good/ensemble", "gates.yaml")[0] == 0
    ensemble.oof_path.unlink()
    code, _, err = foldtune("gate", "runs/good/ensemble", "gates.yaml")
    assert code == 1
    assert "oof.npz: no such file, so nothing proves the figures of ensemble.json" in err


def test_a_figure_that_no_row_proves_is_named(foldtune: Command) -> None:
    ensemble = stored("good", 0.7)
    description = ensemble.read() or {}
    ensemble.write({**description, "estimate": {**description["estimate"], "own_metric": 0.9}})
    Path("gates.yaml").write_text("- own_metric > 0.1\n- accuracy > 0.1\n")
    code, _, err = foldtune("gate", "runs/good/ensemble", "gates.yaml")
    assert code == 0
    assert "own_metric: as stated by ensemble.json; its out-of-fold rows cannot prove it" in err


def test_rows_of_other_lengths_are_refused(foldtune: Command) -> None:
    ensemble = stored("good", 0.7)
    arrays = ensemble.read_oof() or {}
    ensemble.write_oof({**arrays, "targets": arrays["targets"][:-1]})
    code, _, err = foldtune("promote", "runs/good/ensemble", "--to", "model")
    assert code == 1
    assert "oof.npz: its arrays have other numbers of rows: ids 60" in err


MISSES = """
def misses(targets, predictions):
    return 10.0 * float((targets != predictions).mean())


misses.mode = 'min'
"""


def stored_with_own(name: str, right: float) -> None:
    """As `stored`, in a run that is judged by a function of its user's."""
    task = with_metrics(TASK, [MetricFunction.of_source(MISSES, "metrics.py", "misses")])
    ensemble = stored(name, right, task=task)
    ensemble.write_oof({**(ensemble.read_oof() or {}), "groups": IDS})
    ensemble.write({**(ensemble.read() or {}), "metric": "misses"})
    (Path("runs") / name / "config.yaml").touch()
    (Path("runs") / name / "metric.py").write_text(MISSES)


def test_a_function_of_the_users_judges_where_it_is_trusted(
    foldtune: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    stored_with_own("good", 0.8)
    stored_with_own("better", 0.9)
    Path("gates.yaml").write_text("- misses < 2.5\n")
    code, _, err = foldtune("gate", "runs/good/ensemble", "gates.yaml")
    assert (code, "misses: as stated by ensemble.json" in err) == (0, True)
    code, _, err = foldtune("gate", "runs/good/ensemble", "gates.yaml", "--trust-metric")
    assert (code, "as stated" in err) == (0, False)
    assert foldtune("promote", "runs/good/ensemble", "--to", "model")[0] == 0
    code, _, err = foldtune("promote", "runs/better/ensemble", "--to", "model")
    assert (code, used()) == (2, "good")
    assert "the metric misses is code (metrics.py)" in " ".join(err.split())
    code, out, _ = foldtune("promote", "runs/better/ensemble", "--to", "model", "--trust-metric", "--format", "json")
    assert (code, used()) == (0, "better")
    assert json.loads(out)["comparison"]["difference"]["value"] == pytest.approx(-1.0)
