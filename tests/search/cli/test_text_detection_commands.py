"""Text detection as a user meets it: labels that were mended, votes that are chosen, pictures of what was found."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from foldtune.cluster.resources import TrialResources
from foldtune.errors import InputError
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.search.assess.sweep import Setting, Source, sweep
from foldtune.search.config.loading import check
from foldtune.search.ensemble.build import build_ensemble
from foldtune.search.ensemble.plan import EnsembleOptions, check_runs, choose_finalists, plan_ensemble
from foldtune.search.ensemble.racing import Dropped
from foldtune.search.ensemble.sources import check_sources, open_source
from foldtune.search.predict.box_files import box_form, submission_bytes
from foldtune.search.predict.new_images import NewImages
from foldtune.search.predict.stored_ensemble import PredictOptions, StoredEnsemble
from foldtune.search.runs.run import Run, new_store, start_run
from foldtune.search.runs.validation import check_run
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome, FoldWork
from foldtune.search.workers.fold_model import ensure_trained
from foldtune.search.workers.training import TrialWork, open_fit, store_epoch
from foldtune.trainers.data.readers import ReadOptions
from foldtune.trainers.detection.polygons import pad
from foldtune.trainers.detection.targets import draw_text
from foldtune.trainers.networks.weights import save_weights
from foldtune.trainers.tasks.parsing import parse_settings
from foldtune.trainers.tasks.text_detection import TextDetection

Command = Callable[..., tuple[int, str, str]]
HEIGHT, WIDTH = 64, 96
TASK = TextDetection("boxes", (HEIGHT, WIDTH))
LINE = [[10, 20], [80, 20], [80, 40], [10, 40]]


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder of twelve pages, white where text is, and their labels, some of them odd."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    odd = {
        1: [],  # no text
        2: [[50, 5], [150, 5], [150, 25], [50, 25]],  # leaves the page
        3: [[200, 5], [250, 5], [250, 25], [200, 25]],  # outside
        4: [[10, 5], [60, 15], [60, 5], [10, 15]],  # crosses itself
        5: [[10, 5], [60, 5], [30, 5], [10, 5]],  # no area
        6: [[5, 5], [6, 5], [6, 6], [5, 6]],  # one pixel
    }
    labels = {}
    (tmp_path / "images").mkdir()
    for page in range(12):
        boxes = [] if page == 1 else [LINE, *([odd[page]] if odd.get(page) else [])]
        labels[f"{page:02}.png"] = {"width": WIDTH, "height": HEIGHT, "boxes": [{"points": each} for each in boxes]}
        pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
        if boxes:
            pixels[20:40, 10:80] = 255
        Image.fromarray(pixels).save(tmp_path / "images" / f"{page:02}.png")
    (tmp_path / "train.json").write_text(json.dumps(labels))
    return labels


def test_what_was_dropped_or_mended_is_counted_before_anything_trains(pages: dict[str, Any], foldtune: Command) -> None:
    Path("run.yaml").write_text(
        "name: pages\ntask: text_detection\n"
        f"data: {{train: train.json, images: images, target: boxes, image_size: [{HEIGHT}, {WIDTH}]}}\n"
        "space: {model_name: test_resnet}\nsearch: {num_samples: 1, max_epochs: 1}\nensemble: {folds: 2}\n"
    )
    code, out, err = foldtune("validate", "run.yaml")
    assert code == 0, err
    for line in (
        "1 polygon cut at the image's edge",
        "1 polygon self-crossing, now their convex hull",
        "1 polygon left out: outside the image",
        "1 polygon left out: less than one pixel of area",
    ):
        assert line in out


def in_other_forms(labels: dict[str, Any]) -> None:
    """Write the labels as coco.json, ufo.json and the folder gt, by hand."""
    annotations, words, images = [], {}, []
    Path("gt").mkdir()
    for number, (name, page) in enumerate(labels.items(), start=1):
        quads = [box["points"] for box in page["boxes"]]
        images.append({"id": number, "file_name": name, "width": page["width"], "height": page["height"]})
        for quad in quads:
            corners = [np.ravel(quad).tolist()]
            annotations.append({"image_id": number, "category_id": 1, "segmentation": corners, "iscrowd": 0})
        listed = {str(place): {"points": quad, "transcription": "x"} for place, quad in enumerate(quads)}
        words[name] = {"img_w": page["width"], "img_h": page["height"], "words": listed}
        lines = [",".join(map(str, [*np.ravel(quad).tolist(), "text"])) for quad in quads]
        Path(f"gt/gt_{Path(name).stem}.txt").write_text("\n".join(lines))
    categories = [{"id": 1, "name": "text"}]
    Path("coco.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    Path("ufo.json").write_text(json.dumps({"images": words}))


def run_on(train: str, **data: Any) -> Any:
    """The checked configuration of a run on labels in some form."""
    given = {"train": train, "images": "images", "target": "boxes", "image_size": [HEIGHT, WIDTH], **data}
    return check_run(
        check(
            {
                "name": "pages",
                "task": "text_detection",
                "data": given,
                "space": {"model_name": "test_resnet"},
                "search": {"num_samples": 1, "max_epochs": 1},
                "ensemble": {"folds": 2},
                "storage": "runs",
            },
            Path.cwd(),
        )
    )


@pytest.mark.parametrize("train", ["coco.json", "ufo.json", "gt"])
def test_every_form_of_labels_gives_the_same_rows(pages: dict[str, Any], train: str) -> None:
    in_other_forms(pages)
    plain, other = run_on("train.json"), run_on(train)
    assert np.array_equal(plain.table.targets, other.table.targets, equal_nan=True)
    assert plain.table.paths == other.table.paths
    assert np.array_equal(plain.folds, other.folds)
    assert set(plain.task.notes) == set(other.task.notes)


def test_a_submission_goes_out_in_the_form_of_the_labels_or_of_the_sample(pages: dict[str, Any]) -> None:
    in_other_forms(pages)
    boxes = np.array([[*np.ravel(np.array(LINE) / (WIDTH, HEIGHT)), 0.75]])
    predictions = np.empty(2, dtype=object)
    predictions[:] = [boxes, np.zeros((0, 9))]
    ids, sizes = np.array(["01.png", "00.png"]), np.array([[HEIGHT, WIDTH]] * 2)
    test = {"images": [{"id": 70, "file_name": "01.png"}, {"id": 71, "file_name": "00.png"}]}
    Path("test.json").write_text(json.dumps(test))
    sample = {"images": {name: {"words": {}} for name in ("00.png", "01.png")}}
    Path("sample.json").write_text(json.dumps(sample))

    def content(train: str, **data: str) -> Any:
        run = run_on(train, **data)
        form = box_form(run.task, run.config.data)
        assert form is not None
        written = submission_bytes(form, run.config.data, ids, predictions, sizes, ["image", "boxes"])
        return json.loads(written) if form.suffix == ".json" else ZipFile(BytesIO(written))

    coco = content("coco.json", test="test.json")
    assert [(each["id"], each["file_name"]) for each in coco["images"]] == [(70, "01.png"), (71, "00.png")]
    (annotation,) = coco["annotations"]
    assert (annotation["image_id"], annotation["score"]) == (70, 0.75)
    assert annotation["bbox"] == [10.0, 20.0, 70.0, 20.0]
    ufo = content("coco.json", test="test.json", sample_submission="sample.json")
    assert list(ufo["images"]) == ["00.png", "01.png"]  # the sample's order
    assert ufo["images"]["01.png"]["words"] == {"1": {"points": LINE}}
    assert content("train.json", test="test.json")["01.png"]["boxes"][0] == {"points": LINE, "score": 0.75}
    archive = content("gt", test="test.json")
    assert archive.read("res_01.txt") == b"10,20,80,20,80,40,10,40\r\n"
    Path("sample.json").write_text("[1]")
    with pytest.raises(InputError, match=r"sample\.json: is no sample of boxes; as JSON these are COCO, UFO"):
        run_on("coco.json", test="test.json", sample_submission="sample.json")


@pytest.mark.parametrize(
    ("form", "file"), [("coco", "out.json"), ("ufo", "out.json"), (None, "out.json"), ("icdar", "out.zip")]
)
def test_predict_writes_boxes_in_the_form_of_the_labels(
    pages: dict[str, Any], foldtune: Command, form: str | None, file: str
) -> None:
    ensemble = drawn_ensemble()
    if form is not None:
        ensemble.write({**(ensemble.read() or {}), "boxes_form": form})
    code, _, err = foldtune("predict", "pages", "images", "-o", "found.csv")
    assert code == 0, err
    code, _, err = foldtune("predict", "pages", "images", "-o", file)
    assert code == 0, err
    table = pd.read_csv("found.csv", keep_default_na=False)
    if form == "icdar":
        ZipFile(file).extractall("back")
        file = "back"
    source = TASK.read_source(Path(file), ReadOptions("image", "boxes"))
    assert source.form == (form or "boxes")
    for text, boxes in zip(table["polygons"], source.frame["boxes"], strict=True):
        expected = [np.array(each.split(), dtype=float) for each in text.split("|") if each]
        found = [np.ravel(box["points"]) for box in boxes]
        assert np.allclose(found, expected, atol=0.51 if form == "icdar" else 1e-9)
    if form == "coco":
        code, _, err = foldtune("predict", "pages", "images", "-o", "out.zip")
        assert code == 2
        assert "boxes are written to a .json (coco, the form in which they came) or a .csv" in " ".join(err.split())
        Path("sample.json").write_text(json.dumps({"images": {name: {"words": {}} for name in ["03.png", "00.png"]}}))
        code, _, err = foldtune("predict", "pages", "images", "-o", "ufo.json", "--submission", "sample.json")
        assert code == 0, err
        words = json.loads(Path("ufo.json").read_text())["images"]
        assert list(words) == ["03.png", "00.png"]
        test = {"images": [{"id": 900, "file_name": "03.png"}]}
        Path("test.json").write_text(json.dumps(test))
        code, _, err = foldtune("predict", "pages", "test.json", "--images", "images", "-o", "numbered.json")
        assert code == 0, err
        assert [each["id"] for each in json.loads(Path("numbered.json").read_text())["images"]] == [900]
        cells = table.set_index("image").loc[list(words), "boxes"].tolist()
        assert [len(each["words"]) for each in words.values()] == cells


def drawn_ensemble(size: tuple[int, int] = (HEIGHT, WIDTH)) -> EnsembleDir:
    """An ensemble of one fold model, drawn instead of trained, which sees images in this size."""
    ensemble = EnsembleDir(Path("runs/pages/ensemble").resolve())
    torch.manual_seed(0)
    model = TASK.build_model(parse_settings({"model_name": "test_resnet"}, TASK))
    save_weights(model.state_dict(), ensemble.weights_path("0001", 0))
    ensemble.write(
        {
            "task": TextDetection("boxes", size).to_dict(),
            "folds": 1,
            "voting": "hard",
            "min_votes": 1,
            "postprocess": {},
            "member_postprocess": [{"thresh": 0.4, "box_thresh": 0.0}],
            "image_size": list(size),
            "resize": "squash",
            "members": [{"trial_id": "0001", "config": {"model_name": "test_resnet"}}],
        }
    )
    return ensemble


def test_predict_draws_detections_and_evaluates_them_by_labels(pages: dict[str, Any], foldtune: Command) -> None:
    drawn_ensemble()
    code, _, err = foldtune("predict", "pages", "images", "-o", "found.csv", "--draw", "plain")
    assert code == 0, err
    frame = pd.read_csv("found.csv", keep_default_na=False)
    boxes = int(frame["boxes"].sum())
    assert boxes > 0
    assert f"12 pictures in plain: {boxes} found" in err
    code, _, err = foldtune(
        "predict", "pages", "images", "-o", "found.csv", "--draw", "judged", "--labels", "train.json"
    )
    assert code == 0, err
    counts = {
        kind: int(number)
        for number, kind in _counted(next(line for line in err.splitlines() if " in judged: " in line))
    }
    polygons = 14  # of the labels, those left out aside
    assert counts.get("hit", 0) + counts.get("false alarm", 0) == boxes
    assert counts.get("hit", 0) + counts.get("miss", 0) == polygons
    in_other_forms(pages)
    code, _, again = foldtune("predict", "pages", "images", "-o", "found.csv", "--draw", "judged", "--labels", "gt")
    assert (code, again) == (0, err)
    with Image.open("images/00.png") as before, Image.open("judged/00.png") as after:
        assert (after.width, after.height > before.height) == (WIDTH, True)
        assert len(set(after.convert("RGB").getdata())) > 2  # colours


def _counted(line: str) -> list[tuple[str, str]]:
    parts = [part.strip().split(" ", 1) for part in line.split(":", 1)[1].split(",")]
    return [(number, kind) for number, kind in parts]


@pytest.mark.slow
def test_predict_holds_the_maps_of_a_part_alone(pages: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foldtune.search.predict.stored_ensemble.MAPS", 2)
    size = (320, 256)
    ensemble = StoredEnsemble.open(drawn_ensemble(size).root)

    def peak(count: int) -> int:
        images = NewImages(tuple(pages)[:count], tuple(Path("images") / name for name in tuple(pages)[:count]))
        tracemalloc.start()
        try:
            ensemble.predict(images, PredictOptions(1, "cpu", 1), lambda done, total: None)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # imports
    assert peak(12) - peak(2) < 0.5 * 10 * size[0] * size[1]  # of a byte a pixel


def test_wrong_pictures_are_refused(pages: dict[str, Any], foldtune: Command) -> None:
    drawn_ensemble()
    for arguments, message in (
        (["--labels", "train.json"], "only --draw uses labels"),
        (["--draw", "train.json"], "is a file; name a folder"),
        (["--draw", "d", "--labels", "none.json"], "no such file"),
    ):
        code, _, err = foldtune("predict", "pages", "images", "-o", "found.csv", *arguments)
        assert code == 2
        assert message in " ".join(err.split())
    assert not Path("found.csv").exists()


class Silent:
    """A progress display without output."""

    def on_outcome(self, outcome: FoldOutcome) -> None: ...

    def on_dropped(self, dropped: Sequence[Dropped]) -> None: ...


def train_here(works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
    for job in jobs:
        yield ensure_trained(works[job.run][0], job)


def searched(name: str, model_name: str) -> Run:
    """A run as a search leaves it, with one trial of an epoch on crops."""
    Path("test.csv").write_text("image\n00.png\n01.png\nnone.png\n")
    Path("images/none.png").write_bytes(b"no picture")
    space = {"model_name": model_name, "batch_size": 4, "crop": {"name": "random_crop", "size": 64}, "lr": 0.01}
    data = {"train": "train.json", "test": "test.csv", "images": "images", "target": "boxes"}
    config: dict[str, Any] = {
        "name": name,
        "task": "text_detection",
        "data": {**data, "image_size": [HEIGHT, WIDTH], "on_broken": "skip"},
        "space": space,
        "search": {"num_samples": 1, "max_epochs": 1},
        "ensemble": {"top": 2, "folds": 2},
        "storage": str(Path("runs").resolve()),
    }
    checked = check_run(check(config, Path.cwd()))
    with new_store(checked.config) as store:
        run, labelled = start_run(checked, store, 1, None)
    trial = store.trial("0000")
    trial.write_config(0, {}, {**space, "augmentation": {"name": "shift", "strength": 0.5}})
    fit = open_fit(TrialWork(str(store.root), labelled, run.goal.metric, 1, 0, 0), trial)
    store_epoch(trial, fit, fit.step())
    fit.close()
    trial.finish("COMPLETE")
    return run


@pytest.mark.slow
def test_two_encoders_with_odd_labels_train_vote_and_submit(
    pages: dict[str, Any], foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDTUNE_CACHE", str(Path("cache").resolve()))
    runs = [searched("one", "test_resnet"), searched("two", "test_efficientnet")]
    check_runs(runs)
    sources = [open_source(run, 1, None) for run in runs]
    check_sources(sources)
    plan = plan_ensemble(runs[0], EnsembleOptions(voting="hard", min_votes=2, race=False))
    built = build_ensemble(sources, plan, choose_finalists(runs, plan), train_here, Silent())
    assert [each["id"] for each in built.description["members"]] in (["0000", "two/0000"], ["two/0000", "0000"])
    assert built.description["rows"] == 12
    assert built.submission is not None
    assert built.submission["image"].tolist() == ["00.png", "01.png", "none.png"]
    stored = json.loads(runs[0].store.ensemble.read_boxes(".json") or b"")
    counts = [len(each["boxes"]) for each in stored.values()]
    assert counts == [len(list(filter(None, text.split("|")))) for text in built.submission["boxes"]]
    assert built.description["boxes_form"] == "boxes"
    grid = ["--grid", "thresh=0.2,0.3,0.4", "--grid", "box_thresh=0.3,0.5,0.7", "--submissions", "nine"]
    for arguments in (["one"], ["one", *grid], ["one", "--ensemble", *grid]):
        code, _, err = foldtune("thresholds", *arguments)
        assert code == 0, err
    listed = pd.read_csv("nine/settings.csv")
    assert len(listed) == 9
    for name in listed["file"]:
        rows = pd.read_csv(Path("nine") / name, keep_default_na=False).set_index("image")["boxes"]
        boxes = json.loads((Path("nine") / name).with_suffix(".json").read_text())
        assert {image: len(each["boxes"]) for image, each in boxes.items()} == {
            image: len(list(filter(None, text.split("|")))) for image, text in rows.items()
        }
    assert set(pd.read_csv(Path("nine") / listed["file"][0])["image"]) == {"00.png", "01.png", "none.png"}
    code, _, err = foldtune("compare", "one/trials/0000", "two/trials/0000")
    assert code == 0, err


def maps(strength: list[float], place: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Targets of nine pages with a line each, and three members' maps: of the text, and of what is none.

    The text has `strength` in each member, and below it a false alarm the strength `place`.
    """
    line = np.array([[0.1, 0.15], [0.9, 0.15], [0.9, 0.45], [0.1, 0.45]])
    targets = pad([[line] for _ in range(9)])
    text, other = (draw_text(pad([[each]])[0], (HEIGHT, WIDTH)) for each in (line, line + np.array([0.0, 0.5])))
    kept = np.stack([np.rint(255 * (own * text + wrong * other)) for own, wrong in zip(strength, place, strict=True)])
    return targets, np.broadcast_to(kept[:, None, None], (3, 9, 1, HEIGHT, WIDTH)).astype(np.uint8)


@pytest.mark.parametrize(
    ("text", "wrong", "better"),
    [
        ([0.45, 0.45, 0.0], [0.0, 0.0, 1.0], "hard"),  # a confident detection of one member only
        ([0.9, 0.0, 0.0], [0.4, 0.0, 0.0], "soft"),  # a detection of one member only
    ],
)
def test_auto_takes_the_vote_that_finds_more(text: list[float], wrong: list[float], better: str) -> None:
    targets, logits = maps(text, wrong)
    members = [Member(str(place), TASK.scores(each), ()) for place, each in enumerate(logits)]
    folds = np.arange(9) % 3
    judged = estimate(
        Objective(TASK, "hmean", targets), members, folds, voting="auto", min_votes=2, bootstrap=Bootstrap(samples=0)
    )
    assert judged.compared.keys() == {"soft", "hard"}
    assert judged.combiner.voting == better
    assert judged.metrics["hmean"] == 1.0 == judged.compared[better]
    assert judged.compared["hard" if better == "soft" else "soft"] < 1.0


def test_soft_votes_average_maps() -> None:
    _, logits = maps([0.9, 0.5, 0.1], [0.0, 0.2, 0.4])
    members = [TASK.scores(each) for each in logits]
    mean, _ = TASK.vote(members, voting="soft")
    expected = np.mean([np.asarray(each, dtype=np.float64) for each in members], axis=0)
    assert np.asarray(mean) == pytest.approx(expected, abs=1e-3)


def test_a_grid_evaluates_each_setting_as_if_alone() -> None:
    targets, logits = maps([0.9, 0.5, 0.4], [0.3, 0.45, 0.55])
    source = Source("trial", TASK, [TASK.scores(logits[1])], targets)
    settings = [
        Setting({}, {"thresh": thresh, "box_thresh": box, "unclip_ratio": unclip})
        for thresh in (0.2, 0.47)
        for box in (0.4, 0.48, 0.9)
        for unclip in ("exact", 1.5)
    ]
    told: list[tuple[int, int]] = []
    swept = list(sweep(source, settings, lambda done, every: told.append((done, every))))
    assert told[-1] == (len(settings), len(settings))
    for each in swept:
        alone = TASK.evaluate(*source.answer(each.setting, source.member_scores), targets)
        assert dict(each.metrics) == pytest.approx(alone)
    assert len({each.metrics["hmean"] for each in swept}) > 2
