"""`foldtune predict` as a user meets it: names, views, the form of a submission, several targets in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.storage.files import write_json
from foldtune.search.predict.new_images import find_images
from foldtune.search.predict.stored_ensemble import PredictOptions, StoredEnsemble
from foldtune.trainers.networks.weights import save_weights
from foldtune.trainers.tasks.multiclass import Multiclass

Command = Callable[..., tuple[int, str, str]]
TASK = Multiclass("label", ("ash", "birch", "Ölbaum"), (10, 10, 10))
SIZE = 32
NAMES = ("a.png", "b.png", "c d.png", "sub/e.png")
OPTIONS = PredictOptions(batch_size=4, device="cpu", decoders=1)


def store_ensemble(ensemble: EnsembleDir, seed: int, task: Multiclass = TASK) -> EnsembleDir:
    """One configuration of one fold, whose model is drawn instead of trained."""
    torch.manual_seed(seed)
    save_weights(timm.create_model("test_resnet", num_classes=3).state_dict(), ensemble.weights_path("0001", 0))
    ensemble.write(
        {
            "task": task.to_dict(),
            "folds": 1,
            "voting": "soft",
            "min_votes": None,
            "postprocess": {"offsets": {task.labels[1]: 0.05}},
            "member_postprocess": [],
            "image_size": [SIZE, SIZE],
            "resize": "squash",
            "members": [{"trial_id": "0001", "config": {"model_name": "test_resnet"}}],
        }
    )
    return ensemble


@pytest.fixture
def ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnsembleDir:
    """runs/r/ensemble, and a folder of four images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    rng = np.random.default_rng(0)
    for name in NAMES:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
    return store_ensemble(EnsembleDir(tmp_path / "runs" / "r" / "ensemble"), 0)


def expected(ensemble: EnsembleDir) -> pd.DataFrame:
    images = find_images(Path("images"), None, "image")
    frame = StoredEnsemble.open(ensemble.root).predict(images, OPTIONS, lambda done, total: None)
    return frame.set_index("image")


def test_the_form_of_the_sample_byte_by_byte(ensemble: EnsembleDir, foldtune: Command) -> None:
    Path("sample.csv").write_text("image,label\n" + "".join(f"{name},?\n" for name in reversed(NAMES)))
    code, out, err = foldtune("predict", "r", "images", "-o", "out.csv", "--submission", "sample.csv")
    assert (code, out) == (0, "")
    assert "4 images predicted in out.csv, in the form of sample.csv" in err
    labels = expected(ensemble)["label"]
    lines = "".join(f"{name},{labels[name]}\n" for name in reversed(NAMES))
    assert Path("out.csv").read_bytes() == f"image,label\n{lines}".encode()


def test_a_sample_with_a_column_a_class_holds_the_scores(ensemble: EnsembleDir, foldtune: Command) -> None:
    columns = ["birch", "Ölbaum", "ash"]
    Path("sample.csv").write_text("id,birch,Ölbaum,ash\na.png,0,0,0\nc d.png,0,0,0\n")
    assert foldtune("predict", "runs/r", "images", "-o", "out.csv", "--submission", "sample.csv")[0] == 0
    found = pd.read_csv("out.csv")
    assert found.columns.tolist() == ["id", *columns]
    wanted = expected(ensemble).loc[["a.png", "c d.png"], [f"score_{name}" for name in columns]]
    np.testing.assert_allclose(found[columns].to_numpy(), wanted.to_numpy(dtype=float), atol=1e-6)


def test_ids_without_extension_columns_in_another_case_and_an_absent_class(
    ensemble: EnsembleDir, foldtune: Command
) -> None:
    Path("sample.csv").write_text("id;Birch;ÖLBAUM;Oak;ASH;Usage\r\nC D;0;0;0;0;Public\r\nE.PNG;0;0;0;0;Private\r\n")
    code, _, err = foldtune("predict", "r", "images", "-o", "out.csv", "--submission", "sample.csv")
    assert (code, "columns Oak are 0" in err) == (0, True), err
    written = Path("out.csv").read_bytes().decode()
    assert written.startswith("id;Birch;ÖLBAUM;Oak;ASH;Usage\r\nC D;")
    found = pd.read_csv("out.csv", sep=";", index_col="id")
    assert found[["Oak", "Usage"]].to_numpy().tolist() == [[0.0, "Public"], [0.0, "Private"]]
    wanted = expected(ensemble).loc[["c d.png", "sub/e.png"], ["score_birch", "score_Ölbaum", "score_ash"]]
    np.testing.assert_allclose(found[["Birch", "ÖLBAUM", "ASH"]].to_numpy(), wanted.to_numpy(dtype=float), atol=1e-6)
    Path("images/a.jpg").write_bytes(b"")
    Path("sample.csv").write_text("image,label\na,0\n")
    code, _, err = foldtune("predict", "r", "images", "-o", "out.csv", "--submission", "sample.csv")
    assert (code, "'a' is images/a.jpg and images/a.png" in " ".join(err.split())) == (2, True)


def test_an_image_that_cannot_be_read_has_the_mean_of_the_others(ensemble: EnsembleDir, foldtune: Command) -> None:
    scores = expected(ensemble).filter(like="score_").mean().to_numpy(dtype=float)
    Path("images/broken.png").write_bytes(Path("images/a.png").read_bytes()[:60])
    Path("sample.csv").write_text("image,ash,birch,Ölbaum\n" + "".join(f"{n},,,\n" for n in ("broken.png", *NAMES)))
    code, _, err = foldtune("predict", "r", "images", "-o", "out.csv", "--submission", "sample.csv")
    assert code == 0
    assert "1 image cannot be read: scored by the mean of the others" in err
    assert "broken.png" in err
    found = pd.read_csv("out.csv", index_col=0)
    assert found.index.tolist() == ["broken.png", *NAMES]
    np.testing.assert_allclose(found.loc["broken.png"].to_numpy(), scores, atol=1e-6)
    code, _, err = foldtune("predict", "r", "images", "-o", "rows.csv")
    assert (code, "4 images predicted in rows.csv, 1 could not be read" in err) == (0, True)
    assert pd.read_csv("rows.csv", index_col="image")["error"].notna().sum() == 1
    code, _, err = foldtune("predict", "r", "images/a.png", "-o", "one.csv")
    assert (code, err) == (0, "1 image predicted in one.csv\n")


@pytest.mark.parametrize(
    ("sample", "images", "words"),
    [
        (
            "image,label\na.png,0\nbb.png,0\nx,0\n",
            "images",
            ["2 of 3 images", "first: bb.png", "did you mean 'b.png'?"],
        ),
        ("image,label\na.png,0\n", "images/a.png", ["--submission", "the folder that holds the images"]),
        ("image,x,y\na.png,0,0\n", "images", ["columns image, x, y", "one a class"]),
        ("image,label\n", "images", ["has no rows"]),
        ("image,label\na.png,0\na.png,0\n", "images", ["1 image is in it more than once"]),
    ],
)
def test_a_sample_that_does_not_serve(
    ensemble: EnsembleDir, foldtune: Command, sample: str, images: str, words: list[str]
) -> None:
    Path("sample.csv").write_text(sample)
    code, _, err = foldtune("predict", "r", images, "-o", "out.csv", "--submission", "sample.csv")
    assert (code, Path("out.csv").exists()) == (2, False)
    assert all(word in " ".join(err.split()) for word in words), err


def test_views_of_each_image(ensemble: EnsembleDir, foldtune: Command) -> None:
    code, _, _ = foldtune("predict", "r", "images", "-o", "out.csv", "--tta", "hflip", "--device", "cpu")
    assert code == 0
    model = timm.create_model("test_resnet", num_classes=3).eval()
    model.load_state_dict(load_file(ensemble.weights_path("0001", 0)))
    pixels = np.stack([np.asarray(Image.open(Path("images") / name).convert("RGB")) for name in NAMES])
    mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.no_grad():
        by_hand = torch.softmax((model(batch) + model(batch.flip(3))).double() / 2, dim=1).numpy()
    found = pd.read_csv("out.csv", index_col="image").loc[list(NAMES)].filter(like="score_")
    np.testing.assert_allclose(found.to_numpy(), by_hand, atol=1e-5)
    code, _, err = foldtune("predict", "r", "images", "-o", "out.csv", "--tta", "hflips")
    assert (code, "did you mean 'hflip'" in err) == (2, True)


def test_a_member_of_weight_zero_is_not_run(ensemble: EnsembleDir) -> None:
    before = expected(ensemble)
    description = ensemble.read() or {}
    silent = {"trial_id": "0002", "config": {"model_name": "test_resnet"}, "image_size": [64, 64]}  # has no weights
    members = [silent, *description["members"]]
    ensemble.write({**description, "voting": "weighted", "weights": [0.0, 1.0], "members": members})
    calls: list[tuple[int, int]] = []
    images = find_images(Path("images"), None, "image")
    opened = StoredEnsemble.open(ensemble.root)
    frame = opened.predict(images, OPTIONS, lambda done, total: calls.append((done, total)))
    pd.testing.assert_frame_equal(frame.set_index("image"), before)
    assert calls[-1] == (8, 8)


def test_nothing_to_predict_with(project: Any, foldtune: Command) -> None:
    project.stored_run()
    Path("gates.yaml").write_text("- macro_f1 > 0.6\n")
    for command in (("promote", "tiny", "--to", "model"), ("gate", "tiny", "gates.yaml")):
        code, _, err = foldtune(*command)
        assert (code, "run 'tiny' has no ensemble yet: foldtune ensemble tiny makes one" in err) == (2, True), err
    for name, word in (("tiny", "foldtune ensemble tiny makes one"), ("tinny", "did you mean 'tiny'")):
        code, _, err = foldtune("predict", name, "images", "-o", "out.csv")
        assert (code, word in err) == (2, True), err


@pytest.mark.parametrize("output", ["new.csv", "images/a.png", "./images/../new.csv"])
def test_what_is_read_is_not_replaced(ensemble: EnsembleDir, foldtune: Command, output: str) -> None:
    Path("new.csv").write_text("image\na.png\n")
    before = {path: path.read_bytes() for path in (Path("new.csv"), Path("images/a.png"))}
    code, _, err = foldtune("predict", str(ensemble.root), "new.csv", "--images", "images", "-o", output)
    assert code == 2
    assert "is read, and would be replaced" in err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a/" * 200 + "b.png"])
def test_names_that_no_file_has_are_an_error_a_row(ensemble: EnsembleDir, foldtune: Command, name: str) -> None:
    Path("new.csv").write_text(f"image\n{name}\na.png\n")
    code, _, err = foldtune("predict", str(ensemble.root), "new.csv", "--images", "images", "-o", "p.csv")
    assert code == 0, err
    assert len(err) < 1000
    assert pd.read_csv("p.csv")["error"].notna().tolist() == [True, False]


def test_a_folder_in_place_of_the_file_is_refused_before_any_work(ensemble: EnsembleDir, foldtune: Command) -> None:
    for command in (("predict", str(ensemble.root), "images"), ("ensemble", "tiny")):
        code, _, err = foldtune(*command, "--output", "images")
        assert (code, "is a folder" in err) == (2, True), err


def test_several_targets_side_by_side(project: Any, foldtune: Command) -> None:
    other = Multiclass("b", ("x", "y", "z"), (1, 1, 1))
    for seed, (target, task) in enumerate({"a": TASK, "b": other}.items()):
        store_ensemble(project.stored_run(f"g.{target}").ensemble, seed, task)
    write_json(Path("runs/g/group.json"), {"runs": {"a": "g.a", "b": "g.b"}, "id": "image", "sample_submission": None})
    names = sorted(path.name for path in Path("images").iterdir())[:3]
    Path("sample.csv").write_text("image,b,a\n" + "".join(f"{name},,\n" for name in names))
    code, _, err = foldtune("predict", "g", "images", "-o", "rows.csv")
    assert code == 0, err
    rows = pd.read_csv("rows.csv").set_index("image")
    assert list(rows.columns) == [
        *("a", "a_score", "a_score_ash", "a_score_birch", "a_score_Ölbaum", "a_votes"),
        *("b", "b_score", "b_score_x", "b_score_y", "b_score_z", "b_votes", "error"),
    ]
    code, _, err = foldtune("predict", "g", "images", "-o", "out.csv", "--submission", "sample.csv")
    assert code == 0, err
    lines = "".join(f"{name},{rows.loc[name, 'b']},{rows.loc[name, 'a']}\n" for name in names)
    assert Path("out.csv").read_text() == f"image,b,a\n{lines}"


def test_nothing_predicted_is_a_failure_with_the_reasons_on_disk(ensemble: EnsembleDir, foldtune: Command) -> None:
    Path("new.csv").write_text("image\nnope1.png\nnope2.png\n")
    code, _, err = foldtune("predict", "r", "new.csv", "-o", "pred.csv")
    assert code == 1
    assert "none of 2 images could be predicted (first: nope1.png: no such file); pred.csv has why" in err
    assert pd.read_csv("pred.csv")["error"].tolist() == ["no such file"] * 2
    Path("new.csv").write_text("image\nnope1.png\na.png\n")
    code, _, err = foldtune("predict", "r", "new.csv", "--images", "images", "-o", "pred.csv")
    assert (code, "1 image predicted in pred.csv, 1 could not be read" in err) == (0, True)


def test_what_a_folder_leaves_out_is_counted_in_a_line(ensemble: EnsembleDir, foldtune: Command) -> None:
    Path("images/.ipynb_checkpoints").mkdir()
    Path("images/.ipynb_checkpoints/a-checkpoint.png").write_bytes(Path("images/a.png").read_bytes())
    Path("images/notes.txt").write_text("")
    code, _, err = foldtune("predict", "r", "images", "-o", "pred.csv")
    assert code == 0
    assert "left out: 1 hidden or checkpoint files, 1 files that are no images by their name" in err
    assert len(pd.read_csv("pred.csv")) == len(NAMES)


@pytest.mark.parametrize("arguments", [(), ("--submission", "sample.csv")])
def test_pictures_of_one_colour_are_counted_and_named(
    ensemble: EnsembleDir, foldtune: Command, arguments: tuple[str, ...]
) -> None:
    Image.new("RGB", (SIZE, SIZE), (9, 9, 9)).save("images/a.png")
    pd.DataFrame({"image": NAMES, "label": "x"}).to_csv("sample.csv", index=False)
    code, _, err = foldtune("predict", "r", "images", "-o", "pred.csv", *arguments)
    assert code == 0
    assert "1 picture of one colour alone: a.png" in err


@pytest.mark.parametrize("arguments", [(), ("--submission", "sample.csv")])
def test_cases_that_are_read_in_part_are_counted_and_named(
    ensemble: EnsembleDir, foldtune: Command, arguments: tuple[str, ...]
) -> None:
    """k1 has its other image, k2 both, k3 none."""
    description = ensemble.read()
    ensemble.write({**(description or {}), "case": {"column": "eye", "images": ["image"]}})
    Path("images/b.png").write_bytes(b"no picture")
    rows = [("a.png", "k1"), ("b.png", "k1"), ("c d.png", "k2"), ("sub/e.png", "k2"), ("gone.png", "k3")]
    pd.DataFrame(rows, columns=["image", "eye"]).to_csv("new.csv", index=False)
    pd.DataFrame({"eye": ["k1", "k2", "k3"], "label": "x"}).to_csv("sample.csv", index=False)
    code, _, err = foldtune("predict", "r", "new.csv", "--images", "images", "-o", "pred.csv", *arguments)
    assert code == 0
    text = " ".join(err.split())
    assert "1 case predicted from a part of the images alone (first: k1: b.png: " in text
    if not arguments:
        frame = pd.read_csv("pred.csv").set_index("eye")
        assert frame["error"].notna().tolist() == [False, False, True]
        alone = expected_of(ensemble, "a.png")
        assert frame.loc["k1", "score_ash"] == pytest.approx(alone["score_ash"], abs=1e-5)


def expected_of(ensemble: EnsembleDir, name: str) -> pd.Series:
    Path("one.csv").write_text(f"image,eye\n{name},k\n")
    images = find_images(Path("one.csv"), Path("images"), "image")
    return StoredEnsemble.open(ensemble.root).predict(images, OPTIONS, lambda done, total: None).iloc[0]
