"""`foldtune ensemble`, `predict` and `score` with a real Ray, on a search of three trials of two epochs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import f1_score

from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import json_text, read_json
from foldtune.trainers.data.digits import write_digits

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

TRIALS = ("0000", "0001", "0002")
FOLDS = 3
PATIENCE_S = 250
Here: TypeAlias = Callable[..., Any]
FOLDTUNE = (sys.executable, "-c", "from foldtune.search.cli.main import main; main()")


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, foldtune_in: Here) -> Path:
    """A working directory with a searched run `base` and its ensemble, made once; tests that change it copy it."""
    home = tmp_path_factory.mktemp("ensemble")
    write_digits(home / "digits")
    train = pd.read_csv(home / "digits/train.csv", dtype=str).groupby("label").head(12)
    train.sample(frac=1, random_state=0).to_csv(home / "digits/train.csv", index=False)
    test = pd.read_csv(home / "digits/test.csv", dtype=str).head(40)
    test.to_csv(home / "digits/test.csv", index=False)
    sample = pd.read_csv(home / "digits/sample_submission.csv", dtype=str)
    sample[sample["image"].isin(test["image"])].iloc[::-1].to_csv(home / "sample.csv", index=False)
    config = {
        "name": "base",
        "task": "multiclass",
        "data": {
            "root": "digits",
            "train": "train.csv",
            "test": "test.csv",
            "images": "images",
            "target": "label",
            "sample_submission": "../sample.csv",
            "image_size": 32,
        },
        "space": {
            "model_name": "test_resnet",
            "amp": "off",
            "channels_last": True,
            "lr": {"loguniform": [0.003, 0.03]},
            "batch_size": 16,
            "augmentation": "none",
            "postprocess": {"prior_power": {"uniform": [0.0, 1.0]}},
        },
        "search": {"metric": "macro_f1", "num_samples": 3, "max_epochs": 2, "trial_scheduler": "none"},
        "ensemble": {"top": 3, "folds": FOLDS, "race": False},
        "resources": {"cpus_per_trial": 2},  # one worker at a time: each imports torch
    }
    (home / "config.yaml").write_text(yaml.safe_dump(config))
    foldtune_in(home, "search", "config.yaml")
    shutil.copytree(home / "runs/base", home / "runs/searched")
    done = foldtune_in(home, "ensemble", "base", "--top", "9", "--output", "out.csv", "--format", "json")
    (home / "ensemble.out").write_text(done.stdout)
    (home / "ensemble.err").write_text(done.stderr)
    return home


@pytest.fixture
def copy(home: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Path]]:
    """copy(run) -> a copy of that run, named after the test."""
    target = home / "runs" / request.node.name.replace("[", "-").replace("]", "")

    def make(run: str) -> Path:
        return Path(shutil.copytree(home / "runs" / run, target))

    yield make
    shutil.rmtree(target, ignore_errors=True)


def ensemble_of(run: Path) -> dict[str, Any]:
    stored = read_json(run / "ensemble/ensemble.json")
    assert stored is not None
    return stored


def change_config(run: Path, **data: Any) -> None:
    """Change keys of `data` in a run's stored configuration, as the store writes it."""
    store = RunStore(run)
    config = store.read_config()
    store.write_config({**config, "data": {**config["data"], **data}})


def arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def markers(run: Path) -> dict[str, int]:
    """Time of each finished fold's marker."""
    found = (run / "ensemble/members").rglob("done.json")
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in found}


def by_hand(home: Path, run: Path, trial: str, fold: int, ids: list[str]) -> npt.NDArray[np.float64]:
    """Probabilities of a fold's model in plain timm and torch; the digits need no resizing."""
    model = timm.create_model("test_resnet", num_classes=10).eval()
    model.load_state_dict(load_file(run / f"ensemble/weights/{trial}/fold_{fold}.safetensors"))
    pixels = np.stack([np.asarray(Image.open(home / "digits/images" / name).convert("RGB")) for name in ids])
    mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        logits = model((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std)
    return np.asarray(torch.softmax(logits.double(), dim=1).numpy())


def test_the_submission_has_the_samples_form(home: Path) -> None:
    run, sample = home / "runs/base", pd.read_csv(home / "sample.csv", dtype=str)
    written = pd.read_csv(home / "out.csv", dtype=str)
    assert list(written.columns) == list(sample.columns)
    assert written["image"].tolist() == sample["image"].tolist()
    assert set(written["label"]) <= set("0123456789")
    assert (run / "ensemble/submission.csv").read_bytes() == (home / "out.csv").read_bytes()
    stored = arrays(run / "ensemble/test.npz")
    labels = np.array(ensemble_of(run)["task"]["labels"])[stored["predictions"]]
    assert dict(zip(stored["ids"], labels, strict=True)) == dict(zip(written["image"], written["label"], strict=True))


def test_what_is_printed(home: Path) -> None:
    printed = json.loads((home / "ensemble.out").read_text())
    stored = ensemble_of(home / "runs/base")
    assert printed == {**stored, "submission": "out.csv"}
    lines = (home / "ensemble.err").read_text()
    assert "--top 9: the run has only 3 trials" in lines
    assert lines.count("(the search's own model)") == 3
    assert "[9/9]" in lines


def test_ensemble_json_is_complete(home: Path) -> None:
    stored = ensemble_of(home / "runs/base")
    assert {
        *("run", "task", "metric", "mode", "folds", "voting", "min_votes", "postprocess", "member_postprocess"),
        *("image_size", "resize", "rows", "members", "estimate", "best_single", "gain", "per_class"),
        *("runs", "asked", "compared", "weights", "interval", "gain_interval", "race", "dropped", "tta"),
    } <= set(stored)
    assert sorted(member["trial_id"] for member in stored["members"]) == list(TRIALS)
    assert sum(member["weight"] for member in stored["members"]) == pytest.approx(1)
    oof = arrays(home / "runs/base/ensemble/oof.npz")
    for place, member in enumerate(stored["members"]):
        for fold, value in enumerate(member["fold_values"]):
            rows = oof["folds"] == fold
            logs = np.log(oof["member_scores"][place][rows])
            prior = np.bincount(oof["targets"][~rows]) / (~rows).sum()
            power = member["config"]["postprocess"]["prior_power"]
            predictions = (logs - power * np.log(prior)).argmax(axis=1)
            expected = f1_score(oof["targets"][rows], predictions, average="macro", labels=range(10), zero_division=0)
            assert value == pytest.approx(expected, abs=1e-9)
    assert stored["gain"] == pytest.approx(stored["estimate"]["macro_f1"] - stored["best_single"]["value"])
    assert stored["best_single"]["value"] == max(member["oof"] for member in stored["members"])
    assert [row["label"] for row in stored["per_class"]] == list("0123456789")


def test_out_of_fold_scores_are_of_models_that_did_not_see_the_row(home: Path) -> None:
    run = home / "runs/base"
    oof, folds = arrays(run / "ensemble/oof.npz"), pd.read_csv(run / "folds.csv", dtype={"id": str})
    assert oof["ids"].tolist() == folds["id"].tolist()
    assert oof["folds"].tolist() == folds["fold"].tolist()
    labels = pd.read_csv(home / "digits/train.csv", dtype=str).set_index("image")["label"]
    assert oof["targets"].tolist() == labels[oof["ids"]].astype(int).tolist()
    test = arrays(run / "ensemble/test.npz")
    for place, member in enumerate(ensemble_of(run)["members"]):
        on_test = []
        for fold in range(FOLDS):
            rows = oof["folds"] == fold
            expected = by_hand(home, run, member["trial_id"], fold, oof["ids"][rows].tolist())
            np.testing.assert_allclose(oof["member_scores"][place][rows], expected, atol=1e-5)
            on_test.append(by_hand(home, run, member["trial_id"], fold, test["ids"].tolist()))
        np.testing.assert_allclose(test["member_scores"][place], np.mean(on_test, axis=0), atol=1e-5)
    np.testing.assert_allclose(oof["scores"], oof["member_scores"].mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(test["scores"], test["member_scores"].mean(axis=0), atol=1e-9)


def test_the_searchs_own_models_are_fold_0(home: Path) -> None:
    run = home / "runs/base"
    for trial in TRIALS:
        own = run / f"trials/{trial}/weights.safetensors"
        taken = run / f"ensemble/weights/{trial}/fold_0.safetensors"
        assert taken.read_bytes() == own.read_bytes()
        reused = [
            json.loads((run / f"ensemble/members/{trial}/fold_{fold}/done.json").read_text())["reused"]
            for fold in range(FOLDS)
        ]
        assert reused == [True, False, False]


def test_predict_gives_the_scores_of_the_test_rows(foldtune_in: Here, home: Path) -> None:
    """From the ensemble's folder alone: elsewhere, and with no run beside it."""
    moved = home / "moved"
    shutil.copytree(home / "runs/base/ensemble", moved)
    done = foldtune_in(home, "predict", moved, "digits/test.csv", "--images", "digits/images", "--output", "p.csv")
    assert "40 images predicted" in done.stderr
    test, frame = arrays(moved / "test.npz"), pd.read_csv(home / "p.csv", dtype={"image": str, "label": str})
    assert frame["image"].tolist() == test["ids"].tolist()
    np.testing.assert_allclose(frame[[f"score_{c}" for c in range(10)]], test["scores"], atol=1e-5)
    assert frame["label"].tolist() == [str(p) for p in test["predictions"]]


def test_score_by_the_held_back_labels(foldtune_in: Here, home: Path) -> None:
    done = foldtune_in(home, "score", "base", "--labels", "digits/test_labels.csv", "--format", "json")
    figures = json.loads(done.stdout)
    labels = pd.read_csv(home / "digits/test_labels.csv", dtype=str).set_index("image")["label"]
    test = arrays(home / "runs/base/ensemble/test.npz")
    truth = labels[test["ids"]].astype(int)
    expected = f1_score(truth, test["predictions"], average="macro", labels=range(10), zero_division=0)
    assert figures["ensemble"]["macro_f1"] == pytest.approx(expected)
    assert len(figures) == 2


def test_fewer_members_another_vote_then_again(foldtune_in: Here, home: Path, copy: Callable[[str], Path]) -> None:
    """Nothing of the third member is left in the answer, and going back trains nothing."""
    run = copy("base")
    before, weights = markers(run), sorted((run / "ensemble/weights").rglob("*.safetensors"))
    foldtune_in(home, "ensemble", run, "--top", "2", "--voting", "hard", "--min-votes", "2", "--folds", "2")
    stored = ensemble_of(run)
    members = [member["trial_id"] for member in stored["members"]]
    assert (stored["voting"], stored["min_votes"], stored["folds"], len(members)) == ("hard", 2, 2, 2)
    assert len(stored["member_postprocess"]) == 2
    oof, test = arrays(run / "ensemble/oof.npz"), arrays(run / "ensemble/test.npz")
    assert set(oof["folds"]) == {0, 1}
    assert stored["rows"] == len(oof["ids"])
    assert oof["member_scores"].shape[0] == test["member_scores"].shape[0] == 2
    for place, trial in enumerate(members):
        expected = np.mean([by_hand(home, run, trial, fold, test["ids"].tolist()) for fold in (0, 1)], axis=0)
        np.testing.assert_allclose(test["member_scores"][place], expected, atol=1e-5)
    assert sorted((run / "ensemble/weights").rglob("*.safetensors")) == weights, "the run's own top stays"

    assert "starting Ray" not in foldtune_in(home, "ensemble", run).stderr, "nothing is left to train"
    base = home / "runs/base/ensemble"
    assert (run / "ensemble/submission.csv").read_bytes() == (base / "submission.csv").read_bytes()
    own_name = json_text(ensemble_of(run)).replace(run.name, "base")
    assert own_name == json_text(ensemble_of(home / "runs/base"))
    for name in ("oof.npz", "test.npz"):
        again, first = arrays(run / "ensemble" / name), arrays(base / name)
        assert again.keys() == first.keys()
        for key in first:
            np.testing.assert_array_equal(again[key], first[key])
    assert markers(run) == before


def test_a_wrong_sample_is_found_before_any_training(
    foldtune_in: Here, home: Path, copy: Callable[[str], Path]
) -> None:
    run = copy("searched")
    sample = pd.read_csv(home / "sample.csv", dtype=str)
    path = run / "wrong.csv"
    sample.iloc[1:].to_csv(path, index=False)
    change_config(run, sample_submission=str(path))
    done = foldtune_in(home, "ensemble", run, "--output", run / "out.csv", code=2)
    assert f"1 id predicted but not in the sample: {sample['image'][0]}" in done.stderr
    assert not (run / "out.csv").exists()
    assert not (run / "ensemble").exists()


def test_unreadable_images_to_submit_are_set_apart(
    home: Path, copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from foldtune.search.cli.handlers.vote.combine import read_source
    from foldtune.search.ensemble.plan import EnsembleOptions, choose_finalists, plan_ensemble
    from foldtune.search.ensemble.submission import check_submission_format
    from foldtune.search.runs.run import open_run
    from foldtune.search.workers.unlabelled import Unlabelled

    run = copy("searched")
    broken = home / "digits/images/broken.png"
    broken.write_bytes(b"no image")
    ids = pd.read_csv(home / "sample.csv", dtype=str)["image"].tolist()
    table = pd.DataFrame({"image": [ids[0], broken.name, ids[1]]})
    table.to_csv(run / "test.csv", index=False)
    table.assign(label="0").to_csv(run / "sample.csv", index=False)
    tables = {"test": str(run / "test.csv"), "sample_submission": str(run / "sample.csv")}
    change_config(run, **tables, on_broken="skip")
    monkeypatch.setenv("FOLDTUNE_CACHE", str(home / "cache"))
    opened = open_run(str(run), "runs")
    test = read_source(opened).test
    assert isinstance(test, Unlabelled)
    assert "1 image to submit cannot be read" in capsys.readouterr().err
    assert test.ids.tolist() == table["image"].tolist()
    assert test.table.ids.tolist() == [ids[0], ids[1]]
    assert test.table.ids.tolist() == [ids[0], ids[1]]
    best = choose_finalists([opened], plan_ensemble(opened, EnsembleOptions()))[0]
    check_submission_format(opened, best, test.ids)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"folds": 4}, "give 2 to 3"),
        ({"voting": "sotf"}, "--voting: unknown voting 'sotf'; did you mean 'soft'"),
        ({"voting": "rank"}, "--voting rank: task multiclass can average ranks only for"),
        ({"voting": "hard", "min_votes": 4}, "--min-votes 4: each of 3 configurations"),
        ({"voting": "soft", "min_votes": 2}, "--min-votes: only a hard vote"),
        ({"tta": "flip"}, "--tta: unknown views 'flip'; did you mean '"),
        ({"refit": "folds"}, "--refit: unknown rows 'folds'; valid: all"),
        ({"seeds": 101}, "--seeds 101: give 1 to 100"),
        ({"folds": 2, "race": True}, "--race: with --folds 2 there is nothing to save"),
    ],
)
def test_what_cannot_be_is_refused(home: Path, asked: dict[str, Any], words: str) -> None:
    from foldtune.errors import InputError
    from foldtune.search.ensemble.plan import EnsembleOptions, plan_ensemble
    from foldtune.search.runs.run import open_run

    with pytest.raises(InputError) as raised:
        plan_ensemble(open_run("base", home / "runs"), EnsembleOptions(**asked))
    assert words in str(raised.value)


def start(home: Path, run: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FOLDTUNE, "ensemble", str(run)],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


AGENTS = ("ray::Dashboard", "ray::RuntimeEnv")
"""Ray's agents, which outlast a killed raylet by a minute."""


def of_session(session: int, *, agents: bool = True) -> list[int]:
    """Processes that a command started, itself included, zombies left out."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = stat.read_text().partition("(")[2].rsplit(")", 1)
        except OSError:  # it has ended
            continue
        state, _, _, of = fields.split()[:4]
        if int(of) == session and state != "Z" and (agents or not name.startswith(AGENTS)):
            found.append(int(stat.parent.name))
    return found


def stop(home: Path, run: Path, number: signal.Signals, at_least: int) -> subprocess.CompletedProcess[str]:
    """Run `ensemble`, send it a signal when so many fold models are finished, and wait until its Ray has ended."""
    command = start(home, run)
    try:
        wait_for(lambda: len(markers(run)) >= at_least or command.poll() is not None, "fold models")
        assert command.poll() is not None or len(of_session(command.pid)) > 1, "Ray's processes are of its session"
        command.send_signal(number)
        printed, errors = command.communicate(timeout=PATIENCE_S)
        wait_for(lambda: not of_session(command.pid, agents=False), "Ray's processes to end with the command")
    finally:
        for left in of_session(command.pid):
            os.kill(left, signal.SIGKILL)
    return subprocess.CompletedProcess(command.args, command.returncode, printed, errors)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("ctrl_c_first", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_stopped_and_killed_it_goes_on_to_the_same_result(
    foldtune_in: Here, home: Path, copy: Callable[[str], Path], ctrl_c_first: bool
) -> None:
    """Ctrl-C, then SIGKILL of the command alone, then to the end; one trial's own weights are gone by then."""
    run = copy("searched")
    (run / "trials/0001/weights.safetensors").unlink()
    first: dict[str, int] = {}
    if ctrl_c_first:
        interrupted = stop(home, run, signal.SIGINT, at_least=1)
        assert interrupted.returncode == 130, interrupted.stderr
        assert "the same command goes on from there" in interrupted.stderr
        assert "Traceback" not in interrupted.stderr
        first = markers(run)
        assert 0 < len(first) < len(TRIALS) * FOLDS, "it was to be stopped in the middle"

    assert stop(home, run, signal.SIGKILL, at_least=len(first) + 1).returncode == -signal.SIGKILL
    second = markers(run)
    assert len(first) < len(second) < len(TRIALS) * FOLDS, "it was to be killed in the middle"
    assert not (run / "ensemble/ensemble.json").exists()

    foldtune_in(home, "ensemble", run)
    last = markers(run)
    assert len(last) == len(TRIALS) * FOLDS
    assert last | second | first == last, "a finished fold was trained again"
    assert not json.loads((run / "ensemble/members/0001/fold_0/done.json").read_text())["reused"]
    base = home / "runs/base/ensemble"
    assert (run / "ensemble/submission.csv").read_bytes() == (base / "submission.csv").read_bytes()
    for name in ("oof.npz", "test.npz"):
        again, straight = arrays(run / "ensemble" / name), arrays(base / name)
        for key in straight:
            np.testing.assert_array_equal(again[key], straight[key])
    assert not list((run / "ensemble").rglob(".*"))
    assert not list((run / "ensemble").rglob("checkpoint.pt"))
