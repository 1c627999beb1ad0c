from __future__ import annotations

import dataclasses
import pickle
import time

import numpy as np
import numpy.typing as npt
import pytest

from foldtune.trainers.loading.augment import AUGMENTATIONS, build_augmentation, build_transforms

CHANGING = [name for name in AUGMENTATIONS if name not in {"none", "custom"}]
CUSTOM = [field.name for field in dataclasses.fields(AUGMENTATIONS["custom"])]
FLIPPING = ("light", "medium", "heavy")


def picture(size: int = 48) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("shape", [(48, 48, 3), (32, 80, 3)])
def test_form_is_kept_and_the_image_given_is_not_changed(name: str, shape: tuple[int, int, int]) -> None:
    augmentation = build_augmentation(name, 1.0, max(shape), seed=0)
    assert augmentation is not None
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    before = image.copy()
    results = [augmentation(image) for _ in range(30)]
    assert np.array_equal(image, before)
    assert all(result.shape == shape and result.dtype == np.uint8 for result in results)
    assert len({result.tobytes() for result in results}) > 1


@pytest.mark.parametrize("name", CHANGING)
def test_what_comes_follows_from_the_last_reseed(name: str) -> None:
    first, second = (build_augmentation(name, 0.5, 48, seed=seed) for seed in (0, 1))
    assert first is not None
    assert second is not None
    first.reseed(2**32 - 1)
    expected = [first(picture()) for _ in range(12)]
    second(picture())
    second.reseed(2**32 - 1)
    assert np.array_equal([second(picture()) for _ in range(12)], expected)
    second.reseed(7)
    assert not np.array_equal([second(picture()) for _ in range(12)], expected)


def test_global_random_numbers_are_neither_used_nor_moved() -> None:
    augmentation = build_augmentation("heavy", 1.0, 48, seed=0)
    assert augmentation is not None
    results = []
    for global_seed in (0, 1):
        np.random.seed(global_seed)
        state = np.random.get_state()[1].copy()
        augmentation.reseed(3)
        results.append([augmentation(picture()) for _ in range(20)])
        assert np.array_equal(np.random.get_state()[1], state)
    assert np.array_equal(*results)


def test_an_augmentation_can_be_sent_to_another_process() -> None:
    augmentation = build_augmentation("heavy", 0.5, 48, seed=0)
    assert augmentation is not None
    copy = pickle.loads(pickle.dumps(augmentation))
    augmentation.reseed(1)
    copy.reseed(1)
    assert np.array_equal([copy(picture()) for _ in range(9)], [augmentation(picture()) for _ in range(9)])


def test_nothing_to_do_is_none() -> None:
    assert build_augmentation("none") is None
    assert build_augmentation("custom") is None
    assert build_augmentation("flip", flips="none") is None
    assert build_augmentation("shift", 0.0) is None
    assert all(build_augmentation(name, 0.0, flips="none") is None for name in FLIPPING)


def seen(name: str, strength: float, flips: str) -> set[bytes]:
    augmentation = build_augmentation(name, strength, 48, seed=0, flips=flips)
    assert augmentation is not None
    return {augmentation(picture()).tobytes() for _ in range(60)}


@pytest.mark.parametrize("name", ["flip", *FLIPPING])
def test_flips_are_horizontal_or_both(name: str) -> None:
    image = picture()
    horizontal = {image.tobytes(), image[:, ::-1].tobytes()}
    both = horizontal | {image[::-1].tobytes(), image[::-1, ::-1].tobytes()}
    assert seen(name, 0.0, "horizontal") == horizontal
    assert seen(name, 0.0, "both") == both


def change(name: str, strength: float) -> float:
    """Mean change of a smooth picture's pixels, without flips."""
    ramp = np.linspace(0, 255, 64)
    image = np.stack([np.add.outer(ramp, ramp) / 2] * 3, axis=-1).astype(np.uint8)
    options = {} if name == "shift" else {"flips": "none"}
    augmentation = build_augmentation(name, strength, 64, seed=0, **options)
    assert augmentation is not None
    return float(np.mean([np.abs(augmentation(image).astype(int) - image).mean() for _ in range(300)]))


@pytest.mark.parametrize("name", ["shift", *FLIPPING])
def test_more_strength_changes_more(name: str) -> None:
    changes = [change(name, strength) for strength in (0.1, 0.5, 1.0)]
    assert changes[0] < changes[1] < changes[2]
    assert changes[2] < 100  # something of the picture is left


def test_heavier_levels_change_more() -> None:
    changes = [change(name, 0.5) for name in ("light", "medium", "heavy")]
    assert changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize(("low", "high"), [(15, 80), (60, 190), (165, 245)])
@pytest.mark.parametrize("name", FLIPPING)
def test_no_strength_hides_what_a_dark_or_bright_picture_shows(name: str, low: int, high: int) -> None:
    ramp = np.linspace(low, high, 48)
    image = np.stack([(ramp[:, None] + ramp) / 2] * 3, axis=-1).astype(np.uint8)
    augmentation = build_augmentation(name, 1.0, 48, seed=0)
    assert augmentation is not None
    for _ in range(300):
        result = augmentation(image)
        shown = result[(result > 0).any(axis=2)]  # but for the holes
        assert len(shown) > 0.7 * 48 * 48
        assert 0.6 * image.mean() < shown.mean() < 1.5 * image.mean()
        assert shown.std() > 0.35 * image.std()


def custom(seed: int = 0, **chances: float) -> list[npt.NDArray[np.uint8]]:
    """Two hundred results of "custom" on a picture of 24 pixels."""
    augmentation = build_augmentation("custom", size=24, seed=seed, **chances)
    assert augmentation is not None
    return [augmentation(picture(24)) for _ in range(200)]


@pytest.mark.parametrize("transform", CUSTOM)
@pytest.mark.parametrize("chance", [0.25, 1.0])
def test_each_custom_transform_comes_with_its_probability(transform: str, chance: float) -> None:
    results = custom(**{transform: chance})
    assert all(result.shape == (24, 24, 3) and result.dtype == np.uint8 for result in results)
    changed = np.mean([not np.array_equal(result, picture(24)) for result in results])
    # Three standard deviations; of brightness a drawn change may be too small to be seen.
    assert changed > 0.95 if chance == 1.0 else 0.16 < changed < 0.34
    assert np.array_equal(results, custom(**{transform: chance}))
    assert not np.array_equal(results, custom(seed=1, **{transform: chance})) or transform == "horizontal_flip"


def test_custom_transforms_do_what_they_are_called() -> None:
    image = picture(24)
    assert np.array_equal(custom(horizontal_flip=1.0)[0], image[:, ::-1])
    shifts = custom(rgb_shift=1.0)[0].astype(int) - image
    inner = (image > 20) & (image < 235)  # where nothing is cut off
    for channel in range(3):
        assert len(np.unique(shifts[..., channel][inner[..., channel]])) == 1
    ratio = [(result / np.maximum(image, 1))[image > 100] for result in custom(random_brightness=1.0)[:20]]
    assert len({round(float(np.median(values)), 2) for values in ratio}) > 3
    noise = custom(iso_noise=1.0)[0].astype(int) - image
    assert len(np.unique(noise)) > 10


def test_custom_transforms_come_independently_of_each_other() -> None:
    """albumentations would seed them all alike: then a flip would come exactly where the distortion does."""
    both = custom(horizontal_flip=0.5, random_brightness=0.5)
    image = picture(24)
    flipped = [np.corrcoef(result[:, ::-1].ravel(), image.ravel())[0, 1] > 0.9 for result in both]
    same = [
        np.array_equal(result[:, ::-1] if flip else result, image) for result, flip in zip(both, flipped, strict=True)
    ]
    for flip in (True, False):
        among = [unchanged for unchanged, other in zip(same, flipped, strict=True) if other == flip]
        assert 0.3 < np.mean(among) < 0.7


def test_probabilities_belong_to_custom_alone() -> None:
    with pytest.raises(ValueError, match="'light' takes no rgb_shift; custom does"):
        build_augmentation("light", rgb_shift=0.5)


def test_transforms_carry_keypoints() -> None:
    import albumentations

    transforms = build_transforms("heavy", 1.0, 64, border="constant")
    keep = albumentations.KeypointParams(format="xy", remove_invisible=False)
    compose = albumentations.Compose(transforms, keypoint_params=keep, seed=0)
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    results = [np.asarray(compose(image=image, keypoints=[(20, 30), (40, 10)])["keypoints"]) for _ in range(40)]
    assert all(result.shape == (2, 2) for result in results)
    assert len({result.tobytes() for result in results}) > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lihgt",), "did you mean 'light'"),
        (("light", 1.5), "strength"),
        (("light", float("nan")), "strength"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_augmentation(*arguments)
    with pytest.raises(ValueError, match="did you mean 'horizontal'"):
        build_augmentation("flip", flips="horizontl")


def test_light_is_cheap_beside_a_model() -> None:
    augmentation = build_augmentation("light", 0.5, 64, seed=0)
    assert augmentation is not None
    image, times = picture(64), []
    for _ in range(10):
        start = time.thread_time()
        for _ in range(50):
            augmentation(image)
        times.append((time.thread_time() - start) / 50)
    assert min(times) < 1e-3  # of CPU, about 0.1 ms; the bound leaves room for a slow one
