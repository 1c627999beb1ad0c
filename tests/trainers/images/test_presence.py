"""Images that are away for a while are waited for; an image that is there and broken is not."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foldtune.errors import BrokenImage, SurroundingsFailed
from foldtune.trainers.images import cache
from foldtune.trainers.images.cache import prepare_images
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.images.sources import present_states, read_present

SHORT_S = (0.05,) * 20


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "images"
    folder.mkdir()
    found = [folder / f"{number}.png" for number in range(3)]
    for path in found:
        Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(path)
    return found


def away(paths: list[Path], back_after_s: float) -> threading.Timer:
    """Move the folder of the images away, and back after a while."""
    folder, aside = paths[0].parent, paths[0].parent.with_name("away")
    folder.rename(aside)
    timer = threading.Timer(back_after_s, aside.rename, [folder])
    timer.start()
    return timer


def test_a_cache_of_images_that_are_away_for_a_while_is_found_again(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessing = ImagePreprocessing((8, 8))
    prepare_images(paths, preprocessing, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(cache, "_build", lambda *_: pytest.fail("decoded again"))
    timer = away(paths, 0.2)
    prepare_images(paths, preprocessing, cache_dir=tmp_path / "cache", waits_s=SHORT_S)
    timer.join()


def test_images_that_stay_away_are_the_surroundings(paths: list[Path]) -> None:
    paths[1].unlink()
    with pytest.raises(SurroundingsFailed, match=r"1 of 3 images are away \(first: .*1\.png\)"):
        present_states(paths, (0.0, 0.0))
    with pytest.raises(SurroundingsFailed, match=r"1\.png is away"):
        read_present(paths[1], ImagePreprocessing((8, 8)).read, (0.0,))


def test_an_image_read_without_a_cache_is_waited_for(paths: list[Path]) -> None:
    timer = away(paths, 0.2)
    assert read_present(paths[0], ImagePreprocessing((8, 8)).read, SHORT_S).shape == (8, 8, 3)
    timer.join()


def test_a_broken_image_is_not_waited_for(paths: list[Path]) -> None:
    paths[0].write_bytes(b"no image")
    with pytest.raises(BrokenImage):
        read_present(paths[0], ImagePreprocessing((8, 8)).read, (100.0,))
