"""Crops: what the network sees in training and after it, at one size, and that prediction does as validation did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from foldtune.errors import SettingsError
from foldtune.trainers.components import Component
from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.inference.trained import trained_logits
from foldtune.trainers.loading.augment import Augmentation
from foldtune.trainers.loading.crops import CROPS, evaluation_crop, output_size, training_crop
from foldtune.trainers.networks.weights import save_weights
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

SHAPE = (32, 40, 3)
SIZE = 20


def ramp() -> npt.NDArray[np.uint8]:
    """Every pixel encodes its row and its column."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.stack([6 * rows, 6 * columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def component(name: str, **params: Any) -> Component:
    return Component(name, {"size": SIZE, **({"scale_min": 0.2} if name == "random_resized_crop" else {})} | params)


def in_training(crop: Component, count: int = 60) -> list[npt.NDArray[np.uint8]]:
    augmentation = Augmentation(training_crop(crop, SHAPE[:2]), seed=0)
    return [augmentation(ramp()) for _ in range(count)]


def in_evaluation(crop: Component) -> npt.NDArray[np.uint8]:
    augmentation = evaluation_crop(crop, SHAPE[:2])
    assert augmentation is not None
    return augmentation(ramp())


MIDDLE = ramp()[6:26, 10:30]
SCALED = cv2.resize(ramp(), (SIZE, SIZE), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resize", SCALED), ("center_crop", MIDDLE), ("random_crop", MIDDLE), ("random_resized_crop", SCALED)],
)
def test_evaluation_sees_the_middle_or_the_whole(name: str, expected: npt.NDArray[np.uint8]) -> None:
    for _ in range(3):
        np.testing.assert_array_equal(in_evaluation(component(name)), expected)


@pytest.mark.parametrize("name", ["resize", "center_crop"])
def test_fixed_crops_train_as_they_evaluate(name: str) -> None:
    for image in in_training(component(name), 5):
        np.testing.assert_array_equal(image, in_evaluation(component(name)))


def test_a_random_crop_is_any_window() -> None:
    corners = set()
    for image in in_training(component("random_crop"), 200):
        top, left = int(image[0, 0, 0]) // 6, int(image[0, 0, 1]) // 6
        np.testing.assert_array_equal(image, ramp()[top : top + SIZE, left : left + SIZE])
        corners.add((top, left))
    assert {top for top, _ in corners} == set(range(13))
    assert {left for _, left in corners} == set(range(21))


@pytest.mark.parametrize("scale_min", [0.1, 0.6])
def test_a_random_resized_crop_shows_at_least_its_share_of_the_area(scale_min: float) -> None:
    crop = component("random_resized_crop", scale_min=scale_min)
    shares = []
    for image in in_training(crop, 200):
        assert image.shape == (SIZE, SIZE, 3)
        spans = np.ptp(image[..., :2].astype(float), axis=(0, 1)) * SIZE / (SIZE - 1) / 6
        shares.append(float(spans.prod()) / (SHAPE[0] * SHAPE[1]))
    assert scale_min - 0.1 < min(shares) < scale_min + 0.15
    assert max(shares) > 0.75


def test_without_a_size_only_the_random_resized_crop_changes_images() -> None:
    for name in CROPS:
        crop = component(name, size=0)
        assert output_size(crop, SHAPE[:2]) == SHAPE[:2]
        assert evaluation_crop(crop, SHAPE[:2]) is None
        assert bool(training_crop(crop, SHAPE[:2])) is (name == "random_resized_crop")
    assert in_training(component("random_resized_crop", size=0), 1)[0].shape == SHAPE


@pytest.mark.parametrize("model_name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("name", CROPS)
def test_one_size_in_training_validation_and_prediction(
    name: str, model_name: str, start: Callable[..., Fit], tmp_path: Path
) -> None:
    training = start(model_name=model_name, crop={"name": name, "size": 16}, augmentation="flip", epochs=1)
    seen: set[tuple[int, ...]] = set()
    training._learner.model.register_forward_pre_hook(lambda _, inputs: seen.add(tuple(inputs[0].shape[1:])))
    training.step()
    assert seen == {(3, 16, 16)}
    save_weights(training.best_weights(), tmp_path / "weights.safetensors")
    data = training.data
    again = trained_logits(
        training.task, training.settings, tmp_path / "weights.safetensors", data.images, rows=data.valid_rows
    )
    np.testing.assert_array_equal(again, training.valid_logits)


def test_the_crop_comes_before_the_augmentation_and_reaches_the_network(start: Callable[..., Fit]) -> None:
    first: list[torch.Tensor] = []
    for crop in ({"name": "center_crop", "size": 16}, "resize"):
        training = start(crop=crop, augmentation={"name": "custom", "horizontal_flip": 1.0})
        inputs: list[torch.Tensor] = []
        training._learner.model.register_forward_pre_hook(lambda _, given, seen=inputs: seen.append(given[0].clone()))
        training.step()
        first.append(inputs[0])
    cropped, whole = first
    torch.testing.assert_close(cropped, whole[:, :, 8:24, 8:24])


def test_a_crop_larger_than_the_images_is_refused(start: Callable[..., Fit]) -> None:
    with pytest.raises(SettingsError, match=r"crop.size: 33 does not fit into images of 32x32; use at most 32"):
        start(crop={"name": "random_crop", "size": 33})
    start(crop={"name": "random_crop", "size": 32})


class Placed(Multiclass):
    """A task whose targets lie in the image."""

    def augment(self, transform: Any, image: Any, target: Any) -> Any:
        return transform.with_points(image, np.zeros((1, 2)))[0], target


def test_with_spatial_targets_the_whole_image_is_evaluated(task: Multiclass, fold: FoldData) -> None:
    placed = Placed(**dataclasses.asdict(task))
    with pytest.raises(SettingsError, match="crop: the middle of an image is not all of its targets; use random_crop"):
        parse_settings({"crop": {"name": "center_crop", "size": 16}}, placed)
    assert parse_settings({"crop": "center_crop"}, placed).crop.params["size"] == 0
    for crop, trained, judged in (("random_crop", 16, 32), ("random_resized_crop", 16, 16), ("resize", 16, 16)):
        settings = parse_settings({"model_name": "test_resnet", "crop": {"name": crop, "size": 16}}, placed)
        training = Fit(TrainSpec(settings, placed, fold, metric="accuracy", epochs=1, seed=0), device="cpu")
        seen: list[tuple[bool, int]] = []
        training._learner.model.register_forward_pre_hook(
            lambda model, inputs, seen=seen: seen.append((model.training, inputs[0].shape[-1]))
        )
        training.step()
        assert set(seen) == {(True, trained), (False, judged)}


@pytest.mark.parametrize(
    ("crop", "path", "message"),
    [
        ("centre_crop", "crop", "did you mean 'center_crop'"),
        ({"name": "resize", "size": -1}, "crop.size", ">= 0"),
        ({"name": "resize", "size": 32.0}, "crop.size", "an integer"),
        ({"name": "random_resized_crop", "scale_min": 0}, "crop.scale_min", ">= 0.01"),
        ({"name": "random_crop", "scale_min": 0.5}, "crop.scale_min", "valid: size"),
    ],
)
def test_wrong_crops_are_refused(crop: object, path: str, message: str, task: Multiclass) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"crop": crop}, task)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message


def test_workers_crop_the_same(start: Callable[..., Fit], fold: FoldData) -> None:
    options: dict[str, Any] = {"crop": {"name": "random_resized_crop", "size": 16}, "epochs": 1}
    alone = start(**options)
    with_workers = Fit(alone.spec, device="cpu", num_workers=1)
    assert alone.step().metrics == with_workers.step().metrics
    with_workers.close()
