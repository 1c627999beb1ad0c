"""Text detection as a task: behaviour beyond the contract of all tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.errors import DataError, SettingsError, TrialFailed
from foldtune.trainers.deferred import albumentations
from foldtune.trainers.detection.targets import draw_text
from foldtune.trainers.loading.augment import Augmentation, build_augmentation
from foldtune.trainers.tasks.parsing import parse_settings
from foldtune.trainers.tasks.text_detection import TextDetection

SIZE = (64, 96)


def page(*boxes: Any, width: int = 200, height: int = 100) -> dict[str, Any]:
    return {"width": width, "height": height, "boxes": [{"points": box} for box in boxes]}


LINE = [[20, 10], [180, 10], [180, 40], [20, 40]]
PAGES = {
    "a.jpg": page(LINE),
    "none.jpg": page(),
    "odd.jpg": page(
        [[150, 50], [260, 50], [260, 80], [150, 80]],  # leaves the page
        [[20, 60], [120, 90], [120, 60], [20, 90]],  # crosses itself
        [[400, 10], [450, 10], [450, 30], [400, 30]],  # outside
        [[10, 10], [90, 10], [50, 10], [10, 10]],  # flat
        [[5, 5], [6, 5], [6, 6], [5, 6]],  # one pixel
    ),
}


@pytest.fixture
def task(tmp_path: Path) -> TextDetection:
    return make(tmp_path)[0]


def make(folder: Path, pages: dict[str, Any] = PAGES) -> tuple[TextDetection, np.ndarray]:
    path = folder / "train.json"
    path.write_text(json.dumps(pages))
    frame = TextDetection.read_frame(path)
    task = TextDetection.from_frame(frame, "boxes", image_size=list(SIZE))
    return task, task.encode(frame, path)


def test_odd_labels_are_counted_and_break_nothing(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    task, targets = make(tmp_path)
    assert set(task.label_warnings) == {
        "1 polygon cut at the image's edge",
        "1 polygon self-crossing, now their convex hull",
        "1 polygon left out: outside the image",
        "1 polygon left out: less than one pixel of area",
    }
    assert task.class_counts(targets).tolist() == [4]
    assert task.sampling_classes(targets).tolist() == [1, 0, 1]
    settings = parse_settings({"model_name": "test_resnet"}, task)
    model = task.build_model(settings).train()
    losses = task.build_loss(settings.loss, targets)(model(torch.rand(3, 3, *SIZE)), task.collate(targets, SIZE))
    assert torch.isfinite(losses).all()
    scores = task.scores(np.stack([10.0 * draw_text(each, SIZE)[None] - 5.0 for each in targets]))
    values = task.evaluate(scores, task.predict(scores), targets)
    assert values["recall"] >= 0.5
    assert task.fit_postprocess(scores, targets, "hmean").keys() == set(task.postprocess_names)
    nothing = task.evaluate(np.zeros_like(scores), task.predict(np.zeros_like(scores)), targets)
    assert (nothing["hmean"], nothing["precision"], nothing["recall"]) == (0.0, 0.0, 0.0)


def test_tables_without_a_usable_box_and_other_resizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no usable box in 1 images"):
        make(tmp_path, {"none.jpg": page()})
    make(tmp_path)
    frame = TextDetection.read_frame(tmp_path / "train.json")
    with pytest.raises(DataError, match="after resize 'pad'; use squash"):
        TextDetection.from_frame(frame, "boxes", resize="pad")


def test_polygons_move_with_their_image(tmp_path: Path) -> None:
    task, targets = make(tmp_path)
    text = np.rint(255 * draw_text(targets[0], SIZE)).astype(np.uint8)
    image = np.repeat(text[..., None], 3, axis=2)
    transforms = albumentations
    for each in (transforms.HorizontalFlip(p=1.0), transforms.Affine(rotate=(20, 20), p=1.0)):
        moved, target = task.augment(Augmentation([each], 0, points=True), image, targets[0])
        drawn = draw_text(target, SIZE) > 0
        assert (drawn & (moved[..., 0] > 127)).sum() / (drawn | (moved[..., 0] > 127)).sum() > 0.75
    shift = Augmentation([transforms.Affine(translate_percent={"x": (1.0, 1.0)}, p=1.0)], 0, points=True)
    assert np.isnan(task.augment(shift, image, targets[0])[1]).all()  # it left the image


def test_a_crop_shows_its_part_of_the_text_at_its_own_scale(tmp_path: Path) -> None:
    task, targets = make(tmp_path)
    crop = Augmentation([albumentations.Crop(0, 0, 48, 64)], 0, points=True)
    image, target = task.augment(crop, np.zeros((*SIZE, 3), dtype=np.uint8), targets[0])
    assert image.shape[:2] == (64, 48)
    whole, part = draw_text(targets[0], SIZE), draw_text(target, (64, 48))
    assert np.abs(whole[:, :48] - part).sum() <= 3


@pytest.mark.parametrize("name", ["flip", "shift", "light", "medium", "heavy", "custom"])
def test_every_augmentation_takes_points(name: str, tmp_path: Path) -> None:
    task, targets = make(tmp_path)
    chances = {"horizontal_flip": 1.0, "optical_distortion": 1.0} if name == "custom" else {}
    augmentation = build_augmentation(name, size=96, points=True, **chances)
    assert augmentation is not None
    for seed in range(3):
        augmentation.reseed(seed)
        image, target = task.augment(augmentation, np.full((*SIZE, 3), 99, dtype=np.uint8), targets[2])
        assert image.shape == (*SIZE, 3)
        assert target.shape == targets[2].shape


def test_a_submission_has_polygons_in_pixels_of_the_original(task: TextDetection) -> None:
    box = np.append(np.array([[0.1, 0.2], [0.5, 0.2], [0.5, 0.3], [0.1, 0.3]]).ravel(), 0.9)
    predictions = np.empty(2, dtype=object)
    predictions[:] = [np.stack([box, box]), np.zeros((0, 9))]
    sizes = np.array([[1000, 500], [30, 20]])
    frame = task.submission_frame(["a", "b"], predictions, ("image", "polygons"), image_sizes=sizes)
    one = "50.0 200.0 250.0 200.0 250.0 300.0 50.0 300.0"
    assert frame.to_dict("list") == {"image": ["a", "b"], "polygons": [f"{one}|{one}", ""]}
    working = task.submission_frame(["a", "b"], predictions, ("image", "polygons"))
    assert working["polygons"][0].startswith("9.6 12.8 48.0 12.8")  # of the prepared image
    with pytest.raises(DataError, match="two columns"):
        task.submission_frame(["a", "b"], predictions, ("image", "x", "y"))


def test_annotations_are_hits_misses_and_false_alarms(tmp_path: Path) -> None:
    task, targets = make(tmp_path, {"a.jpg": page(LINE, [[20, 60], [180, 60], [180, 90], [20, 90]])})
    hit, wrong = targets[0][0], targets[0][0] * 0.2
    boxes = np.stack([np.append(hit.ravel(), 0.9), np.append(wrong.ravel(), 0.7)])
    assert [(each.kind, each.caption) for each in task.annotations(boxes)] == [("found", "0.90"), ("found", "0.70")]
    judged = {each.kind: each for each in task.annotations(boxes, targets[0])}
    assert judged.keys() == {"miss", "hit", "false alarm"}
    assert judged["miss"].polygon == pytest.approx(targets[0][1])
    assert judged["hit"].polygon == pytest.approx(hit)
    assert judged["false alarm"].caption == "0.70"


def test_settings_that_the_network_cannot_have_are_refused(task: TextDetection) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"model_name": "vit_tiny_patch16_224", "head": "mlp", "layer_decay": 0.9}, task)
    assert {problem.path for problem in caught.value.problems} == {"model_name", "head", "layer_decay"}
    with pytest.raises(SettingsError, match="the middle of an image is not all of its targets"):
        parse_settings({"crop": {"name": "center_crop", "size": 32}}, task)
    with pytest.raises(SettingsError, match="loss 'focal' does not fit task text_detection"):
        parse_settings({"loss": "focal"}, task)


def test_maps_that_are_not_finite_end_the_trial(task: TextDetection) -> None:
    with pytest.raises(TrialFailed, match="not finite"):
        task.quantize_outputs(np.full((1, 1, 4, 4), np.nan, dtype=np.float32))


def test_sampled_settings_reach_the_boxes(tmp_path: Path) -> None:
    task, targets = make(tmp_path)
    scores = task.scores(np.stack([6.0 * draw_text(each, SIZE)[None] - 3.0 for each in targets]))  # at most .95
    assert len(task.predict(scores)[0]) == 1
    assert len(task.predict(scores, {"box_thresh": 0.96})[0]) == 0
    assert len(task.predict(scores, {"thresh": 0.96, "box_thresh": 0.0})[0]) == 0
    few = task.predict(scores, {"max_candidates": 1})
    assert [len(boxes) for boxes in few] == [1, 0, 1]
    narrow, wide = (task.predict(scores, {"unclip_ratio": ratio})[0][0] for ratio in (0.5, 3.0))
    assert wide[5] - wide[1] > narrow[5] - narrow[1]
