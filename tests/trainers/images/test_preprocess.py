"""Steps between decoding and cache: against albumentations' own, and everywhere images are read."""

from __future__ import annotations

import pickle
from pathlib import Path

import albumentations
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from foldtune.errors import SettingsError
from foldtune.trainers.images.cache import prepare_images
from foldtune.trainers.images.preprocess import Clahe, ImagePreprocessing, parse_steps, steps_to_list
from tests.images import decode

SIZE = (24, 40)


def dim_image(seed: int) -> npt.NDArray[np.uint8]:
    """A gradient with noise that uses a third of the range."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(30, 90, SIZE[1])[None, :, None] * np.array([1.0, 0.8, 0.6])
    noisy = ramp + rng.normal(0, 6, (*SIZE, 3))
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(found):
        Image.fromarray(dim_image(seed)).save(path)
    return found


@pytest.mark.parametrize(("clip_limit", "tile"), [(2.0, 8), (4.0, 3), (1.0, 1)])
def test_clahe_is_that_of_albumentations(clip_limit: float, tile: int) -> None:
    reference = albumentations.CLAHE(clip_limit=(clip_limit, clip_limit), tile_grid_size=(tile, tile), p=1.0)
    image = dim_image(0)
    assert np.array_equal(Clahe(clip_limit, tile)(image), reference(image=image)["image"])
    assert np.array_equal(image, dim_image(0)), "its argument stays"


def test_clahe_spreads_the_lightness_and_takes_any_size() -> None:
    image = dim_image(1)
    assert Clahe()(image).std() > 1.2 * image.std()
    for side in (8, 9, 33):
        assert Clahe(tile=64)(np.zeros((side, side + 1, 3), dtype=np.uint8)).shape == (side, side + 1, 3)


@pytest.mark.parametrize(("side", "tile"), [(8, 2), (28, 2), (48, 4), (96, 8), (224, 8)])
def test_the_regions_of_clahe_follow_the_size_of_the_image(side: int, tile: int) -> None:
    image = np.random.default_rng(0).integers(60, 140, (side, side + 5, 3), dtype=np.uint8)
    assert np.array_equal(Clahe()(image), Clahe(tile=tile)(image))


@pytest.mark.parametrize("cached", [True, False])
def test_every_source_gives_the_changed_images(paths: list[Path], tmp_path: Path, cached: bool) -> None:
    steps = (Clahe(3.0, 4),)
    cache = tmp_path / "cache" if cached else None
    prepared = prepare_images(paths, ImagePreprocessing((12, 20), steps=steps), cache_dir=cache)
    expected = np.stack([steps[0](decode(path, (12, 20))) for path in paths])
    source = pickle.loads(pickle.dumps(prepared.source))
    assert np.array_equal(source.read(np.arange(4)), expected)


def test_other_steps_have_another_cache(paths: list[Path], tmp_path: Path) -> None:
    for steps in ((), (Clahe(),), (Clahe(clip_limit=3.0),), (Clahe(tile=4),), (Clahe(),)):
        prepare_images(paths, ImagePreprocessing(SIZE, steps=steps), cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 4


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        (None, ()),
        ("clahe", (Clahe(),)),
        ({"clahe": {"tile": 4}}, (Clahe(tile=4),)),
        (["clahe", {"clahe": None}, {"name": "clahe", "clip_limit": 3}], (Clahe(), Clahe(), Clahe(3.0))),
    ],
)
def test_forms_of_steps(given: object, steps: tuple[Clahe, ...]) -> None:
    assert parse_steps(given) == steps
    assert parse_steps(steps_to_list(steps)) == steps


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("clae", ["did you mean 'clahe'"]),
        ({"Clahe": {}}, ["clahe"]),
        ({"clahe": {"clip": 1, "tile": -1}}, ["clip_limit", "tile: must be an integer >= 0"]),
        ({"clahe": {"clip_limit": 0}}, ["clip_limit: must be a number > 0"]),
        ({"clahe": 3}, ["mapping of parameters"]),
        (7, ["clahe"]),
    ],
)
def test_wrong_steps_are_explained(given: object, words: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_steps(given)
    assert all(word in str(raised.value) for word in words)
