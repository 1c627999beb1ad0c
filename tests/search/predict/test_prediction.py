"""Predictions with a stored ensemble, whose models are drawn instead of trained."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import timm
import torch
from PIL import Image

from foldtune.errors import InputError, RunCorrupt, WorkError
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.search.checks.submission_form import submission_form
from foldtune.search.predict import members as fold_models
from foldtune.search.predict import stored_ensemble as prediction
from foldtune.search.predict.case_columns import CaseColumns
from foldtune.search.predict.new_images import NewImages, find_images
from foldtune.search.predict.stored_ensemble import PredictOptions, StoredEnsemble
from foldtune.trainers.images.preprocess import Clahe
from foldtune.trainers.networks.weights import save_weights
from foldtune.trainers.tasks.multiclass import Multiclass

TASK = Multiclass("label", ("ash", "birch", "Ölbaum"), (10, 10, 10))
MEMBERS, FOLDS, SIZE = 3, 2, 32
NAMES = ("a.png", "b c.png", "sub/über.png", "sub/deeper/d.jpg", "e.PNG")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble's folder: three configurations of two folds each, a hard vote."""
    ensemble = EnsembleDir(tmp_path_factory.mktemp("made") / "ensemble")
    for member in range(MEMBERS):
        for fold in range(FOLDS):
            torch.manual_seed(10 * member + fold)
            model = timm.create_model("test_resnet", num_classes=3)
            save_weights(model.state_dict(), ensemble.weights_path(f"{member:04d}", fold))
    ensemble.write(
        {
            "task": TASK.to_dict(),
            "folds": FOLDS,
            "voting": "hard",
            "min_votes": 2,
            "postprocess": {"prior_power": 0.0, "offsets": {"birch": 0.01}},
            "member_postprocess": [{"offsets": {"ash": 0.02 * member}} for member in range(MEMBERS)],
            "image_size": [SIZE, SIZE],
            "resize": "squash",
            "members": [{"trial_id": f"{m:04d}", "config": {"model_name": "test_resnet"}} for m in range(MEMBERS)],
        }
    )
    return ensemble.root


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with folders, blanks and umlauts in its names; something that is no image; one broken image."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def stored(root: Path) -> StoredEnsemble:
    return StoredEnsemble.open(root)


def quiet(done: int, total: int) -> None:
    """A progress display without output."""


def predict(stored: StoredEnsemble, images: NewImages, **changes: Any) -> pd.DataFrame:
    options = PredictOptions(changes.pop("batch_size", 64), "cpu", 1)
    return stored.predict(images, options, changes.pop("progress", quiet), **changes)


def by_hand(root: Path, paths: list[Path], offsets: npt.ArrayLike = 0.0) -> npt.NDArray[np.float64]:
    """Member scores (M, N, 3) in plain timm and torch, with offsets (M, FOLDS, 3) of the logits."""
    return of_models(root, paths, offsets).mean(axis=1)


def of_models(root: Path, paths: list[Path], offsets: npt.ArrayLike = 0.0) -> npt.NDArray[np.float64]:
    """Scores (M, FOLDS, N, 3) of the models, as `by_hand`."""
    offsets = torch.from_numpy(np.broadcast_to(offsets, (MEMBERS, FOLDS, 3)).copy())
    from safetensors.torch import load_file

    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    members = []
    for member in range(MEMBERS):
        folds = []
        for fold in range(FOLDS):
            model = timm.create_model("test_resnet", num_classes=3).eval()
            model.load_state_dict(load_file(root / "weights" / f"{member:04d}" / f"fold_{fold}.safetensors"))
            mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
            with torch.no_grad():
                logits = model((batch - mean) / std).double() + offsets[member, fold]
                folds.append(torch.softmax(logits, dim=1).numpy())
        members.append(folds)
    return np.stack(members)


def test_a_folder_against_plain_torch(stored: StoredEnsemble, root: Path, images: Path) -> None:
    frame = predict(stored, find_images(images, None, "image")).set_index("image")
    assert sorted(frame.index) == sorted([*NAMES, "broken.png"])
    members = by_hand(root, [images / name for name in NAMES])
    mean = members.mean(axis=0)
    columns = ["score_ash", "score_birch", "score_Ölbaum"]
    np.testing.assert_allclose(frame.loc[list(NAMES), columns].to_numpy(dtype=float), mean, atol=1e-5)
    votes = np.stack([(np.log(scores) + np.array([0.02 * m, 0, 0])).argmax(axis=1) for m, scores in enumerate(members)])
    for row, name in enumerate(NAMES):
        counts = np.bincount(votes[:, row], minlength=3)
        winner = max(range(3), key=lambda c: (counts[c], mean[row, c]))
        if counts.max() < 2:
            winner = int((np.log(mean[row]) + np.array([0, 0.01, 0])).argmax())
        assert frame.loc[name, "label"] == TASK.labels[winner]
        assert frame.loc[name, "votes"] == counts[winner]
        assert frame.loc[name, "score"] == pytest.approx(mean[row, winner], abs=1e-5)
    assert frame.loc[list(NAMES), "error"].isna().all()


def test_each_fold_model_has_its_own_offset_of_the_logits(root: Path, images: Path, tmp_path: Path) -> None:
    offsets = np.random.default_rng(0).normal(size=(MEMBERS, FOLDS, 3)).round(2)
    members = (EnsembleDir(root).read() or {})["members"]
    shifted = [{**member, "fold_offsets": own.tolist()} for member, own in zip(members, offsets, strict=True)]
    copy = StoredEnsemble.open(damaged(root, tmp_path, members=shifted))
    found = NewImages(NAMES, tuple(images / name for name in NAMES))
    scores = predict(copy, found)[["score_ash", "score_birch", "score_Ölbaum"]].to_numpy(dtype=float)
    np.testing.assert_allclose(scores, by_hand(root, list(found.paths), offsets).mean(axis=0), atol=1e-5)
    assert np.abs(scores - by_hand(root, list(found.paths)).mean(axis=0)).max() > 0.01


def test_a_case_is_reduced_by_each_model_and_then_averaged(root: Path, images: Path, tmp_path: Path) -> None:
    members = (EnsembleDir(root).read() or {})["members"]
    reduced = [{**member, "case_reduce": "max"} for member in members]
    copy = StoredEnsemble.open(damaged(root, tmp_path, members=reduced))
    table = tmp_path / "cases.csv"
    eyes = ["left", "right", "left", "left", "right"]
    pd.DataFrame({"image": NAMES, "eye": eyes}).to_csv(table, index=False)
    found = find_images(table, images, "image", case=CaseColumns(("image",), "eye"))
    frame = predict(copy, found)
    frame = frame.set_index(frame.columns[0])
    scores = of_models(root, [images / name for name in NAMES])
    for eye in ("left", "right"):
        best = scores[:, :, [place for place, each in enumerate(eyes) if each == eye]].max(axis=2)
        expected = (best / best.sum(axis=-1, keepdims=True)).mean(axis=(0, 1))
        shown = frame.loc[eye, ["score_ash", "score_birch", "score_Ölbaum"]].to_numpy(dtype=float)
        np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_new_images_are_preprocessed_as_the_training_images_were(root: Path, images: Path, tmp_path: Path) -> None:
    clahe = tmp_path / "clahe"
    shutil.copytree(root, clahe)
    directory = EnsembleDir(clahe)
    directory.write({**(directory.read() or {}), "preprocess": [{"name": "clahe", "tile": 4}]})
    changed = tmp_path / "images"
    changed.mkdir()
    pixels = np.asarray(Image.open(images / "a.png").convert("RGB"))
    Image.fromarray(Clahe(tile=4)(pixels)).save(changed / "a.png")
    expected = predict(StoredEnsemble.open(root), find_images(changed / "a.png", None, "image"))
    plain = predict(StoredEnsemble.open(root), find_images(images / "a.png", None, "image"))
    found = predict(StoredEnsemble.open(clahe), find_images(images / "a.png", None, "image"))
    pd.testing.assert_frame_equal(found, expected)
    assert not found.equals(plain)


def test_a_broken_image_is_a_row_with_its_error(stored: StoredEnsemble, images: Path) -> None:
    frame = predict(stored, find_images(images, None, "image")).set_index("image")
    broken = frame.loc["broken.png"]
    assert broken["error"]
    assert broken.drop("error").isna().all()
    text = frame.to_csv()
    assert ".0," not in text.split("a.png", 1)[1].split("\n", 1)[0].rsplit(",", 2)[1] + ",", "votes are whole numbers"


def test_broken_images_alone(stored: StoredEnsemble, images: Path) -> None:
    whole = predict(stored, find_images(images, None, "image"))
    alone = predict(stored, find_images(images / "broken.png", None, "image"))
    assert list(alone.columns) == list(whole.columns)
    assert alone["error"].notna().all()


@pytest.mark.parametrize("batch_size", [2, *(pytest.param(size, marks=pytest.mark.slow) for size in (1, 4))])
def test_batch_size_changes_nothing(stored: StoredEnsemble, images: Path, batch_size: int) -> None:
    found = find_images(images, None, "image")
    batched = predict(stored, found, batch_size=batch_size)
    pd.testing.assert_frame_equal(batched, predict(stored, found), rtol=0, atol=1e-6)


@pytest.mark.parametrize("at_a_time", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 5))])
def test_parts_change_nothing(
    stored: StoredEnsemble, images: Path, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_images(images, None, "image")
    expected = predict(stored, found)
    monkeypatch.setattr(prediction, "PART_BYTES", at_a_time * SIZE * SIZE * 3)
    calls: list[tuple[int, int]] = []
    frame = predict(stored, found, progress=lambda done, total: calls.append((done, total)))
    pd.testing.assert_frame_equal(frame, expected, rtol=1e-5)
    assert calls[-1][1] == len(found.ids) * (MEMBERS * FOLDS + 1)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_progress_ends_at_its_total(stored: StoredEnsemble, images: Path) -> None:
    calls: list[tuple[int, int]] = []
    found = find_images(images, None, "image")
    predict(stored, found, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (42, 42)


def test_each_image_is_decoded_once(stored: StoredEnsemble, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foldtune.trainers.images import preprocess

    opened: list[Path] = []
    real = preprocess.decode_picture

    def counting(path: Path, *arguments: Any, **keywords: Any) -> Any:
        opened.append(path)
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(preprocess, "decode_picture", counting)
    found = find_images(images, None, "image")
    predict(stored, found)
    assert sorted(opened) == sorted(found.paths)


def test_rows_of_a_csv_in_its_order(stored: StoredEnsemble, images: Path, tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    names = ["sub/über.png", "NA", "b c.png", "sub/über.png"]
    pd.DataFrame({"picture": names}).to_csv(table, index=False)
    frame = predict(stored, find_images(table, images, "picture"), id_column="picture")
    assert frame["picture"].tolist() == names
    assert frame["error"].isna().tolist() == [True, False, True, True]
    assert frame["error"][1] == "no such file"
    assert frame["score"][0] == frame["score"][3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture\na.png\n", ["unknown column 'image'", "--id"]),
        ("image,label\na.png,1\n,2\n", ["empty in 1 rows", "data row 2"]),
        ("image\n", ["no rows"]),
    ],
)
def test_a_csv_that_does_not_serve(tmp_path: Path, text: str, words: list[str]) -> None:
    table = tmp_path / "new.csv"
    table.write_text(text)
    with pytest.raises(InputError) as raised:
        find_images(table, None, "image")
    assert all(word in str(raised.value) for word in words)


def test_nothing_to_predict(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images in it"):
        find_images(tmp_path, None, "image")
    with pytest.raises(InputError, match="no such file or folder"):
        find_images(tmp_path / "absent", None, "image")


def test_an_id_column_that_the_result_has_already(stored: StoredEnsemble, images: Path) -> None:
    with pytest.raises(InputError, match="score_ash"):
        predict(stored, find_images(images, None, "image"), id_column="score_ash")


@pytest.mark.slow
def test_the_folder_alone_is_enough_without_ray_and_optuna(root: Path, images: Path, tmp_path: Path) -> None:
    """The command in a process where Ray, Optuna and albumentations cannot be imported, the ensemble moved away."""
    moved, target = tmp_path / "elsewhere", tmp_path / "predictions.csv"
    shutil.copytree(root, moved)
    script = textwrap.dedent(
        """
        import sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {"ray", "optuna", "albumentations"}:
                    raise ImportError(f"{name} is blocked")

        sys.meta_path.insert(0, Blocker())
        from foldtune.search.cli.main import main

        main(sys.argv[1:])
        """
    )
    command = ["predict", str(moved), str(images), "--output", str(target), "--device", "cpu"]
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5 images predicted" in done.stderr
    assert "1 could not be read" in done.stderr
    frame = pd.read_csv(target, dtype={"image": str}).set_index("image")
    assert sorted(frame.index) == sorted([*NAMES, "broken.png"])
    expected = predict(StoredEnsemble.open(root), find_images(images, None, "image")).set_index("image")
    np.testing.assert_allclose(
        frame.loc[list(NAMES), "score_ash"], expected.loc[list(NAMES), "score_ash"].astype(float), atol=1e-5
    )
    assert frame.loc[list(NAMES), "label"].tolist() == expected.loc[list(NAMES), "label"].tolist()


def test_weights_that_are_gone_are_named(root: Path, images: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    (moved / "weights" / "0001" / "fold_1.safetensors").unlink()
    with pytest.raises(RunCorrupt, match=r"0001/fold_1\.safetensors"):
        predict(StoredEnsemble.open(moved), find_images(images, None, "image"))


@pytest.mark.parametrize("everywhere", [True, False], ids=["all images", "one image"])
def test_scores_that_are_not_finite_get_no_label(
    stored: StoredEnsemble, images: Path, monkeypatch: pytest.MonkeyPatch, everywhere: bool
) -> None:
    real = fold_models.trained_logits

    def damaged(*arguments: Any, **keywords: Any) -> Any:
        logits = real(*arguments, **keywords)
        logits[slice(None) if everywhere else 0] = np.nan
        return logits

    monkeypatch.setattr(fold_models, "trained_logits", damaged)
    found = NewImages(NAMES, tuple(images / name for name in NAMES))
    frame = predict(stored, found)
    strange = [True] * len(NAMES) if everywhere else [True, *[False] * (len(NAMES) - 1)]
    assert frame["label"].isna().tolist() == strange
    assert frame["votes"].isna().tolist() == strange
    assert [reason == prediction.NOT_FINITE for reason in frame["error"]] == strange
    form = submission_form(stored.task, "", None, id_column="image", target="label")
    with pytest.raises(WorkError, match="scores are not finite"):
        stored.submission(found, form, PredictOptions(8, "cpu", 1), quiet)


def damaged(root: Path, tmp_path: Path, **changes: Any) -> Path:
    """A copy of the ensemble with other values in its JSON."""
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    description = EnsembleDir(copy).read() or {}
    EnsembleDir(copy).write({**description, **changes})
    return copy


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"voting": "sofd"}, "voting: must be 'soft'"),
        ({"task": {**TASK.to_dict(), "task": "multiklass"}}, "unknown task 'multiklass'"),
        ({"task": {"task": "multiclass"}}, "no target, labels, counts"),
        ({"postprocess": {"offsets": {"oak": 0.1}}}, "postprocess.offsets.oak: unknown label"),
        ({"postprocess": {"thresholds": {}}}, "postprocess.thresholds"),
        ({"member_postprocess": [{"offsets": {"ash": "x"}}] * MEMBERS}, "member_postprocess.0.offsets.ash"),
        ({"preprocess": [{"name": "clahf"}]}, "preprocess"),
        ({"tta": "sideways"}, "tta: must be one of"),
        ({"members": [{"trial_id": f"{m:04d}"} for m in range(MEMBERS)]}, "members.0.config: is missing"),
        (
            {"members": [{"trial_id": f"{m:04d}", "config": {"lr": "fast"}} for m in range(MEMBERS)]},
            "members.0.config.lr",
        ),
        ({"members": [{"trial_id": f"../{m}", "config": {}} for m in range(MEMBERS)]}, "members.0.trial_id"),
        ({"resize": None}, "lacks resize"),
        ({"members": [], "weights": None}, "lacks members"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_description_is_refused_with_file_and_field(
    root: Path, tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(RunCorrupt) as caught:
        StoredEnsemble.open(damaged(root, tmp_path, **changes))
    assert "ensemble.json" in str(caught.value)
    assert field in str(caught.value)


@pytest.mark.parametrize("kind", ["cut off", "no safetensors", "of another network", "gone", "linked out"])
def test_weights_that_do_not_belong_there_are_refused_before_anything_is_decoded(
    root: Path, images: Path, tmp_path: Path, kind: str
) -> None:
    copy = damaged(root, tmp_path)
    path = copy / "weights/0001/fold_1.safetensors"
    content = path.read_bytes()
    path.unlink()
    if kind == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "no safetensors":
        path.write_bytes(b"weights")
    elif kind == "of another network":
        save_weights(timm.create_model("test_resnet", num_classes=4).state_dict(), path)
    elif kind == "linked out":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    done: list[int] = []
    with pytest.raises((RunCorrupt, WorkError), match=r"fold_1\.safetensors"):
        predict(StoredEnsemble.open(copy), find_images(images, None, "image"), progress=lambda *at: done.append(1))
    assert not done


def test_weights_of_another_network_than_the_configuration_are_refused(
    root: Path, images: Path, tmp_path: Path
) -> None:
    members = [{"trial_id": f"{m:04d}", "config": {"model_name": "test_efficientnet"}} for m in range(MEMBERS)]
    copy = damaged(root, tmp_path, members=members)
    with pytest.raises(WorkError, match=r"fold_0\.safetensors belong to another network: "):
        predict(StoredEnsemble.open(copy), find_images(images, None, "image"))
