"""Settings that the user names: which they are, what they come to, and the submissions for an outside leaderboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score

from foldtune.errors import InputError
from foldtune.results.records.trials import EpochRow
from foldtune.results.runs.store import RunStore
from foldtune.search.assess.sweep import parse_grid
from foldtune.search.cli.main import run as foldtune
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal

TASK = Multilabel("tags", ("cat", "dog/wolf"))
LEVELS = Ordinal("grade", ("0", "1", "2"), (5, 5, 5))
ROWS, TESTS = 60, 7


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """A run of a multilabel task: two trials with scores, an ensemble of both, test scores of one."""
    store = RunStore.create(tmp_path, "r")
    store.write_task(TASK.to_dict())
    (tmp_path / "images").mkdir()
    names = [f"t{row}.png" for row in range(TESTS)]
    for name in names:
        (tmp_path / "images" / name).write_bytes(b"")
    pd.DataFrame({"image": names}).to_csv(tmp_path / "test.csv", index=False)
    pd.DataFrame({"image": names[::-1], "tags": "x"}).to_csv(tmp_path / "sample.csv", index=False)
    data = {key: str(tmp_path / f"{key}.csv") for key in ("train", "test")}
    data |= {"images": str(tmp_path / "images"), "target": "tags", "sample_submission": str(tmp_path / "sample.csv")}
    search = {"metric": "macro_f1"}
    store.write_config({"name": "r", "task": "multilabel", "data": data, "space": {"lr": 0.1}, "search": search})
    logits = [write_trial(store, number) for number in range(2)]
    rng = np.random.default_rng(9)
    members = expit(np.stack(logits))
    store.ensemble.write_oof({"targets": targets(), "member_scores": members})
    test_scores = rng.uniform(size=(2, TESTS, 2))
    store.ensemble.write_test({"ids": np.array(names), "member_scores": test_scores})
    postprocess = {"threshold": 0.5, "thresholds": {"cat": 0.9}}
    store.ensemble.write(
        {"task": TASK.to_dict(), "folds": 2, "voting": "soft", "min_votes": None, "postprocess": postprocess}
        | {"member_postprocess": [], "members": [{"trial_id": f"{n:04d}"} for n in range(2)]}
    )
    for fold in range(2):
        logits_of_tests = rng.normal(size=(TESTS - 1, 2)).astype(np.float32)  # the last image could not be read
        store.ensemble.member("0001", fold).write_test_logits(np.array(names[:-1]), logits_of_tests)
    return store


def targets() -> Any:
    return (np.random.default_rng(0).uniform(size=(ROWS, 2)) < [0.3, 0.6]).astype(np.int64)


def write_trial(store: RunStore, number: int) -> Any:
    logits = (np.random.default_rng(number).normal(size=(ROWS, 2)) + targets()).astype(np.float32)
    trial = store.trial(f"{number:04d}")
    trial.write_config(number=number, params={}, config={})
    trial.write_scores(np.array([f"i{row}" for row in range(ROWS)]), logits, targets(), 1)
    metrics = {"macro_f1": 0.5 + number / 10}
    trial.append_epoch(EpochRow(1, metrics, 1, metrics, 1.0, 1.0, 0.1, 8, 0.1))
    trial.finish("COMPLETE")
    return logits


@pytest.fixture
def thresholds(store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """thresholds(argument, …) -> (exit code, stdout, stderr)."""

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = foldtune(["thresholds", "r", "--storage", str(tmp_path), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def test_every_combination_once_in_order() -> None:
    settings = parse_grid(["threshold=0.2,0.4,0.2", "thresholds.dog/wolf=0.5,0.6"], TASK)
    assert [setting.postprocess for setting in settings] == [
        {"threshold": common, "thresholds": {"dog/wolf": own}} for common in (0.2, 0.4) for own in (0.5, 0.6)
    ]
    assert str(settings[0]) == "threshold=0.2, thresholds.dog/wolf=0.5"
    assert [each.postprocess for each in parse_grid(["cuts=rounding,argmax"], LEVELS)] == [
        {"cuts": "rounding"},
        {"cuts": "argmax"},
    ]
    assert parse_grid(["cuts.2=1.25"], LEVELS)[0].postprocess == {"cuts": {"2": 1.25}}


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (["treshold=0.2"], ["did you mean 'threshold'"]),
        (["thresholds.cats=0.2"], ["unknown label 'cats'", "'cat'"]),
        (["thresholds=0.2"], ["must map labels", "thresholds.LABEL="]),
        (["threshold=0.2,1.5"], ["threshold", "1.5"]),
        (["threshold=high"], ["threshold", "high"]),
        (["threshold"], ["KEY=VALUE", "threshold=0.4,0.5"]),
        (["threshold="], ["KEY=VALUE"]),
        (["threshold=.1", "threshold=.2"], ["given twice"]),
    ],
)
def test_what_is_no_grid(grid: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        parse_grid(grid, TASK)
    assert all(word in str(raised.value) for word in ["--grid", *words])


def test_a_grid_of_a_whole_and_its_parts_or_of_too_many() -> None:
    with pytest.raises(InputError, match="given as a whole too"):
        parse_grid(["cuts=rounding", "cuts.2=1.2"], LEVELS)
    many = ",".join(f"{n / 1000:g}" for n in range(101))
    with pytest.raises(InputError, match="10,201 settings"):
        parse_grid([f"threshold={many}", f"thresholds.cat={many}"], TASK)


def test_a_trial_by_hand(thresholds: Callable[..., Any], store: RunStore) -> None:
    code, out, err = thresholds("--grid", "threshold=0.4,0.6", "--grid", "thresholds.cat=0.3", "--format", "json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["of"], told["rows"]) == ("trial 0001", ROWS)  # the best
    stored = store.trial("0001").read_scores()
    assert stored is not None
    for setting, common in zip(told["settings"], (0.4, 0.6), strict=True):
        on = expit(stored.logits.astype(np.float64)) >= [0.3, common]
        assert setting["postprocess"] == {"threshold": common, "thresholds": {"cat": 0.3}}
        assert setting["metrics"]["macro_f1"] == pytest.approx(f1_score(targets(), on, average="macro"))
        assert setting["metrics"]["accuracy"] == pytest.approx((on == targets()).all(axis=1).mean())
    code, out, _ = thresholds("--grid", "threshold=0.4,0.6", "--trial", "0000", "--format", "csv")
    assert code == 0
    assert out.splitlines()[0].startswith("threshold,macro_f1,")
    code, out, _ = thresholds("--grid", "threshold=0.4,0.6", "--metric", "samples_f1")
    assert "trial 0001 of run r, 60 rows" in out
    assert "samples_f1" in out


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_the_ensemble_by_hand_and_its_submissions(
    thresholds: Callable[..., Any], store: RunStore, tmp_path: Path, voting: str
) -> None:
    hard = {"voting": voting, "min_votes": 2, "member_postprocess": [{}, {}]}
    store.ensemble.write({**(store.ensemble.read() or {}), **(hard if voting == "hard" else {})})
    arguments = ["--ensemble", "--grid", "threshold=0.5,0.55", "--submissions", str(tmp_path / "out")]
    code, out, err = thresholds(*arguments, "--format", "json")
    assert code == 0, err
    assert "2 submissions" in err
    members, tests = ((store.ensemble.read_oof() or {})["member_scores"], (store.ensemble.read_test() or {}))

    def on(scores: Any, threshold: float) -> Any:
        return (scores >= threshold).all(axis=0) if voting == "hard" else scores.mean(axis=0) >= threshold

    for setting, threshold in zip(json.loads(out)["settings"], (0.5, 0.55), strict=True):
        expected = f1_score(targets(), on(members, threshold), average="macro")
        assert setting["metrics"]["macro_f1"] == pytest.approx(expected)
        names = np.array(TASK.labels)
        lines = [
            f"{name},{'|'.join(names[row])}"
            for name, row in zip(tests["ids"], on(tests["member_scores"], threshold), strict=True)
        ]
        text = "\n".join(["image,tags", *reversed(lines)]) + "\n"  # in the sample's order
        assert (tmp_path / "out" / f"submission_threshold={threshold}.csv").read_text() == text
    listed = pd.read_csv(tmp_path / "out" / "settings.csv")
    assert listed["file"].tolist() == ["submission_threshold=0.5.csv", "submission_threshold=0.55.csv"]
    assert "macro_f1" in listed.columns


def test_submissions_of_a_trial_are_its_fold_models_mean(
    thresholds: Callable[..., Any], store: RunStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    grid = ["--grid", "threshold=0.5", "--grid", "thresholds.dog/wolf=0.4", "--submissions", str(out)]
    assert thresholds(*grid)[0] == 0
    folds = [np.load(store.ensemble.member("0001", fold).test_path)["logits"] for fold in range(2)]
    mean = np.mean([expit(logits.astype(np.float64)) for logits in folds], axis=0)
    mean = np.vstack([mean, mean.mean(axis=0)])  # the image that could not be read
    found = pd.read_csv(out / "submission_threshold=0.5_thresholds.dog_wolf=0.4.csv", keep_default_na=False)
    names = np.array(TASK.labels)
    assert found["tags"].tolist() == ["|".join(names[row]) for row in (mean >= [0.5, 0.4])[::-1]]
    code, _, err = thresholds("--trial", "0000", *grid)
    assert code == 2
    assert "trial 0000 has no test scores (trials with them: 0001; --ensemble" in err
    assert "foldtune ensemble r" in err


def test_names_that_would_be_the_same_are_numbers(thresholds: Callable[..., Any], tmp_path: Path) -> None:
    from foldtune.search.assess.sweep_files import _names

    assert _names(["a/b=1", "a:b=1", "c=1", "d" * 300]) == [
        "submission_0001.csv",
        "submission_0002.csv",
        "submission_c=1.csv",
        "submission_0004.csv",
    ]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--submissions", "out"], "--grid"),
        (["--ensemble"], "--grid"),
        (["--ensemble", "--trial", "0000", "--grid", "threshold=0.5"], "--trial"),
        (["--save", "--grid", "threshold=0.5"], "--save"),
        (["--metric", "map", "--grid", "threshold=0.5"], "does not change it"),
        (["--trial", "9", "--grid", "threshold=0.5"], "no trial '9'"),
    ],
)
def test_wrong_arguments(thresholds: Callable[..., Any], arguments: list[str], word: str) -> None:
    code, _, err = thresholds(*arguments)
    assert code == 2
    assert word in err


def test_a_run_without_an_ensemble_is_refused_with_the_remedy(thresholds: Callable[..., Any], store: RunStore) -> None:
    store.ensemble.json_path.unlink()
    code, _, err = thresholds("--ensemble", "--grid", "threshold=0.5")
    assert code == 2
    assert "foldtune ensemble" in err


def test_saved_figures_sort_the_leaderboard(
    thresholds: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = thresholds("--metric", "samples_f1", "--save", "--format", "json")
    assert code == 0
    assert "--sort samples_f1_tuned" in err
    order = [row["trial_id"] for row in json.loads(out)]
    tuned = [row["tuned"] for row in json.loads(out)]
    assert tuned == sorted(tuned, reverse=True)
    results = ["results", "r", "--storage", str(tmp_path), "--sort", "samples_f1_tuned", "--format", "json"]
    assert foldtune(results) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["trial_id"] for row in rows] == order
    assert [row["samples_f1_tuned"] for row in rows] == pytest.approx(tuned)
    file = tmp_path / "board.csv"
    board = ["leaderboard", "r", "--storage", str(tmp_path), "--sort", "samples_f1_tuned", "-o", str(file)]
    assert foldtune(board) == 0
    assert pd.read_csv(file, dtype={"trial_id": str})["trial_id"].tolist() == order
