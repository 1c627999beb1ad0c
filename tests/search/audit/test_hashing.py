"""Pictures that are one: saved anew, coloured anew, mirrored or turned; and different pictures that look alike."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_digits

from foldtune.search.audit.hashing import SIDE, near_pairs, perceptual_hashes, turned

Grey = npt.NDArray[np.uint8]


def scene(seed: int) -> Image.Image:
    """A colour picture of soft shapes and edges, unlike any other."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    picture = np.asarray(small.resize((200, 150), Image.Resampling.BICUBIC)).copy()
    for _ in range(12):
        y, x = rng.integers(0, 120), rng.integers(0, 160)
        picture[y : y + rng.integers(5, 40), x : x + rng.integers(5, 50)] = rng.integers(0, 256, 3)
    return Image.fromarray(picture)


def grey(picture: Image.Image) -> Grey:
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def saved_again(picture: Image.Image) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=40)
    return Image.open(content)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": saved_again,
    "smaller": lambda picture: picture.resize((90, 70)),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.6),
    "in other colours": lambda picture: ImageEnhance.Color(picture).enhance(0.3),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by 180°": lambda picture: picture.rotate(180),
    "turned by 90°": lambda picture: picture.rotate(90, expand=True),
    "mirrored and recompressed": lambda picture: saved_again(ImageOps.mirror(picture)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_found_among_others(change: str) -> None:
    pictures = [scene(seed) for seed in range(40)]
    pairs = near_pairs(np.stack([*map(grey, pictures), grey(CHANGES[change](pictures[7]))]))
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(7, 40)]
    assert pairs.similarity[0] >= pairs.least


def test_the_symmetry_turns_the_second_into_the_first() -> None:
    picture = grey(scene(3))
    for symmetry in range(8):
        first = turned(picture, symmetry)
        pairs = near_pairs(np.stack([first, picture, *(grey(scene(seed)) for seed in range(10, 30))]))
        assert pairs.symmetry.tolist() == [symmetry]
        assert pairs.similarity[0] == pytest.approx(1.0, abs=1e-4)
        assert np.array_equal(turned(picture, int(pairs.symmetry[0])), first)


def test_hashes_of_symmetries_are_those_of_the_turned_pictures() -> None:
    pictures = np.stack([grey(scene(seed)) for seed in range(5)])
    for symmetry in range(8):
        own = perceptual_hashes(np.stack([turned(each, symmetry) for each in pictures]))[:, 0]
        different = np.bitwise_count(own ^ perceptual_hashes(pictures)[:, symmetry])
        assert different.max() <= 2  # a coefficient at the median may fall on either side


def test_what_all_pictures_share_makes_no_pair() -> None:
    """Eyes, of which each has the same disc in the same place, are told apart by what is in it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    disc = np.hypot(y - 31.5, x - 31.5) < 28
    pictures = []
    for _ in range(60):
        inside = 120 + np.asarray(Image.fromarray(rng.normal(0, 6, (16, 16)).astype(np.float32)).resize((SIDE, SIDE)))
        pictures.append(np.where(disc, inside, 0).clip(0, 255).astype(np.uint8))
    pairs = near_pairs(np.stack([*pictures, np.clip(pictures[5] * 0.9, 0, 255).astype(np.uint8)]))
    assert (5, 60) in list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(pairs.first) <= 2
    assert pairs.least > 0.95


def test_small_digits_that_look_alike_are_not_one_picture() -> None:
    digits = load_digits().images[:600] * 15.9
    enlarged = [
        np.asarray(Image.fromarray(each.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for each in digits
    ]
    brighter = np.asarray(Image.fromarray(enlarged[9]).point(lambda value: min(255, round(value * 1.1))))
    pairs = near_pairs(np.stack([*enlarged, brighter]))
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(9, 600)]


def test_few_pictures() -> None:
    for count in range(3):
        assert not len(
            near_pairs(np.stack([grey(scene(seed)) for seed in range(count)] or [np.zeros((SIDE, SIDE))])).first
        )
