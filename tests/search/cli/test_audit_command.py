"""`foldtune audit`: what it finds in a small folder, its files, its exit codes, and rows that are left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image, ImageOps

Command = Callable[..., tuple[int, str, str]]


def table(project: Any, folder: str = "tiny-audit") -> pd.DataFrame:
    return pd.read_csv(project.folder / folder / "audit.csv", dtype=str, keep_default_na=False)


@pytest.fixture
def photos(project: Any) -> Any:
    """The project with photographs of its own: crops of one picture of noise, all different."""
    from tests.search.audit.test_hashing import scene

    for number, (name, _) in enumerate(project.rows):
        scene(number).save(project.folder / "images" / name)
    return project


def test_different_pictures_give_no_finding(photos: Any, foldtune: Command) -> None:
    code, out, err = foldtune("audit", photos.config(), "--strict")
    assert code == 0, err
    assert "tiny: 24 labelled images, 0 to submit" in out
    assert "nothing found among the images" in out
    assert table(photos).empty
    assert not (photos.folder / "tiny-audit/audit.png").exists()


def test_copies_and_changed_pictures_are_named_with_where_they_lie(photos: Any, foldtune: Command) -> None:
    images = photos.folder / "images"
    first, second, third = (name for name, _ in photos.rows[:3])
    shutil.copy(images / first, images / "copy.png")
    ImageOps.mirror(Image.open(images / second)).convert("RGB").save(images / "mirrored.jpg", quality=50)
    (photos.folder / "test.csv").write_text("image\nmirrored.jpg\n" + third + "\n")
    rows = [*photos.rows, ("copy.png", "c2")]
    config = photos.config({"data.train": photos.table(rows), "data.test": "test.csv"})
    code, out, err = foldtune("audit", config, "-o", "found", "--strict")
    assert code == 1, err
    assert "--strict: train and test, or two folds, share images" in err
    assert "pairs: 2 in train and test" in " ".join(err.split())
    found = table(photos, "found").set_index("other")
    assert found.loc["copy.png", ["finding", "image", "label", "other_label"]].tolist() == ["copy", first, "c0", "c2"]
    assert "labels differ" in found.loc["copy.png", "detail"]
    assert found.loc["mirrored.jpg", ["finding", "scope", "image", "detail"]].tolist() == [
        "near_duplicate",
        "train and test",
        second,
        "mirrored left to right",
    ]
    assert found.loc[third, ["finding", "scope", "image", "detail"]].tolist() == [
        "copy",
        "train and test",
        third,
        "one file",
    ]
    assert Image.open(photos.folder / "found/audit.png").height > 3 * 128
    assert max(map(len, out.splitlines())) <= 80


def test_images_that_are_broken_cut_off_or_of_one_colour(photos: Any, foldtune: Command) -> None:
    images = photos.folder / "images"
    names = [name for name, _ in photos.rows]
    (images / names[0]).write_bytes((images / names[0]).read_bytes()[:400])
    for name in names[1:3]:
        Image.new("RGB", (40, 30), (10, 20, 30)).save(images / name)
    half = Image.open(images / names[4])
    half.paste((128, 128, 128), (0, half.height // 2, half.width, half.height))
    half.save(images / names[4])
    code, _, err = foldtune("audit", photos.config())
    assert code == 0, err
    found = table(photos)
    kinds = found.groupby("finding")["image"].agg(sorted).to_dict()
    assert kinds["broken"] == [names[0]]
    assert kinds["one_colour"] == names[1:3]
    assert kinds["truncated"] == [names[4]]
    assert found.set_index("image").loc[names[1], "detail"].tolist() == ["#0a141e", ""]  # and a copy of the second


def test_groups_decide_where_a_pair_lies(photos: Any, foldtune: Command) -> None:
    images = photos.folder / "images"
    rows = [(name, label, f"g{place}") for place, (name, label) in enumerate(photos.rows)]
    for place, group in ((0, rows[0][2]), (1, "other")):
        shutil.copy(images / rows[place][0], images / f"copy{place}.png")
        rows.append((f"copy{place}.png", rows[place][1], group))
    lines = ["image,label,patient", *(",".join(row) for row in rows)]
    (photos.folder / "grouped.csv").write_text("\n".join(lines).replace("g3", "G2 ") + "\n")
    config = photos.config({"data.train": "grouped.csv", "data.group": "patient"})
    code, out, err = foldtune("audit", config)
    assert code == 0, err
    found = table(photos).set_index("other")
    assert found.loc["copy0.png", "scope"] == "one group"
    assert found.loc["copy1.png", "scope"] in ("two groups", "two folds")
    assert "column 'patient': 'g2' and 'G2' look alike" in out


def test_marked_rows_are_left_out_and_marks_are_kept(photos: Any, foldtune: Command) -> None:
    first, second = photos.rows[0][0], photos.rows[1][0]
    shutil.copy(photos.folder / "images" / first, photos.folder / "images" / second)
    assert foldtune("audit", photos.config())[0] == 0
    marked = table(photos)
    marked.loc[marked["other"] == second, "exclude"] = "x"
    marked.to_csv(photos.folder / "tiny-audit/audit.csv", index=False)
    config = photos.config({"data.exclude": "tiny-audit/audit.csv"})
    code, out, err = foldtune("validate", config)
    assert code == 0, err
    assert "23 rows, 0 to submit" in out
    assert "(1 row left out: 1 with a mark in data.exclude)" in " ".join(out.split())
    code, _, err = foldtune("audit", config)
    assert code == 2
    assert "audit.csv has 1 marked images, which would be lost; name another folder" in " ".join(err.split())
    assert foldtune("audit", config, "-o", "again", "--strict")[0] == 0
    assert first not in table(photos, "again")["image"].tolist()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "data.exclude: "),
        ("image\na.png\n", "unknown column 'exclude'"),
        ("image,exclude\na.png,maybe\n", "column 'exclude' holds 'maybe'; mark a row with x"),
    ],
)
def test_a_wrong_table_of_marks(project: Any, foldtune: Command, content: str | None, part: str) -> None:
    if content is not None:
        (project.folder / "marks.csv").write_text(content)
    code, out, err = foldtune("validate", project.config({"data.exclude": "marks.csv"}))
    assert (code, out) == (2, "")
    assert part in err


def test_marks_that_no_row_has_are_counted(project: Any, foldtune: Command) -> None:
    rows = ["image,exclude,set", f"{project.rows[0][0]},X,train", "gone.png,1,", f"{project.rows[1][0]},yes,test"]
    (project.folder / "marks.csv").write_text("\n".join(rows) + "\n")
    code, out, _ = foldtune("validate", project.config({"data.exclude": "marks.csv"}))
    assert code == 0
    assert f"1 mark of rows to submit, which stay: {project.rows[1][0]}" in " ".join(out.split())
    assert "1 mark of images that are no rows: gone.png" in " ".join(out.split())


@pytest.mark.parametrize("mark", ["x", "1", "Yes", "TRUE"])
def test_marks_are_found_in_every_table(project: Any, foldtune: Command, mark: str) -> None:
    mixed = [*project.rows[::3], *project.rows[1::3], *project.rows[2::3]]
    names = [name for name, _ in mixed]
    tables = {"train.csv": mixed[:16], "valid.csv": mixed[16:20], "others.csv": mixed[20:22], "test.csv": mixed[22:]}
    for name, rows in tables.items():
        project.table(rows, name)
    marked = [names[0], names[17], f"extra1/{names[20]}", names[23], names[2].replace(".", "_.")]
    rows = [*(f"{name},{mark}" for name in marked), f"{names[1]},no", f"{names[3]},"]
    (project.folder / "marks.csv").write_text("\n".join(["image,exclude", *rows]) + "\n")
    changes = {"data.train": "train.csv", "data.valid": "valid.csv", "data.test": "test.csv"}
    extra = {"data.extra": [{"table": "others.csv"}], "data.exclude": "marks.csv", "ensemble.folds": 1}
    code, out, err = foldtune("validate", project.config({**changes, **extra}))
    assert code == 0, err
    text = " ".join(out.split())
    assert "(3 rows left out: 3 with a mark in data.exclude)" in text
    assert f"1 mark of rows to submit, which stay: {names[23]}" in text
    assert f"1 mark of images that are no rows: {marked[-1]}; did you mean '{names[2]}'?" in text


def test_a_stored_run_is_audited_in_its_own_folds(photos: Any, foldtune: Command) -> None:
    store = photos.stored_run()
    shutil.copy(photos.folder / "images" / photos.rows[0][0], photos.folder / "images" / photos.rows[3][0])
    code, _, err = foldtune("audit", str(store.root), "--strict")
    assert code == 1, err
    found = table(photos)
    assert found[["scope", "fold", "other_fold"]].iloc[0].tolist() == ["two folds", "0", "1"]


def test_what_is_neither_a_file_nor_a_run(project: Any, foldtune: Command) -> None:
    project.stored_run()
    code, out, err = foldtune("audit", "tinny")
    assert (code, out) == (2, "")
    assert "did you mean 'tiny'?" in err
    assert foldtune("audit", "none.yaml")[0] == 2
    code, _, err = foldtune("audit", "tiny", "--set", "task=binary")
    assert code == 2
    assert "--set: is for a configuration" in err


def test_a_known_pair_of_real_photographs(shared_data: Path, project: Any, foldtune: Command) -> None:
    """ISIC_0030074 (train) and ISIC_0025226 (test) are one photograph in other colours."""
    folder = shared_data / "ham10000"
    train = pd.read_csv(folder / "train.csv", dtype=str)
    chosen = [train[train["dx"] == label].head(40) for label in ("nv", "bkl", "mel")]
    known = train[train["image"] == "ISIC_0030074.jpg"]
    pd.concat([*chosen, known]).drop_duplicates("image").to_csv("some.csv", index=False)
    Path("test.csv").write_text("image\nISIC_0025226.jpg\nISIC_0024314.jpg\n")
    changes = {"data.images": str(folder / "images"), "data.train": "some.csv", "data.target": "dx"}
    config = project.config({**changes, "data.group": "lesion_id", "data.test": "test.csv"})
    code, _, err = foldtune("audit", config, "--strict")
    assert code == 1, err
    found = table(project)
    pairs = found[found["scope"] == "train and test"]
    assert pairs[["image", "other"]].to_numpy().tolist() == [["ISIC_0030074.jpg", "ISIC_0025226.jpg"]]


def test_an_ensemble_of_an_earlier_version_judges_labels_and_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foldtune: Command
) -> None:
    home = tmp_path / "home"
    shutil.copytree(Path(__file__).resolve().parents[2] / "stored_runs/v0_2_0", home)
    config = home / "runs/stored/config.yaml"
    config.write_text(config.read_text().replace("{FOLDER}", str(home)))
    monkeypatch.setenv("FOLDTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(home)
    before = {path: path.read_bytes() for path in (home / "runs").rglob("*") if path.is_file()}
    code, out, err = foldtune("audit", "stored", "-o", "found")
    assert code == 0, err
    assert {path: path.read_bytes() for path in (home / "runs").rglob("*") if path.is_file()} == before
    found = pd.read_csv(home / "found/audit.csv", dtype=str, keep_default_na=False)
    labels = pd.read_csv(home / "train.csv", dtype=str).set_index("image").iloc[:, 0]
    doubtful = found[found["finding"] == "doubtful_label"]
    assert len(doubtful)
    assert doubtful["label"].tolist() == labels[doubtful["image"]].tolist()
    assert (doubtful["label"] != doubtful["suggested"]).mean() > 0.9
    assert "no held-out model has judged" not in out
    alike = found[found["finding"] == "alike"]
    assert len(alike) == 20
    assert alike["score"].astype(float).between(0, 1.0001).all()
    assert (alike["image"] != alike["other"]).all()
