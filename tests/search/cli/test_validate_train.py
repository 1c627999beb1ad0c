"""`foldtune validate --train`: two batches in this process."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., tuple[int, str, str]]
QUICK = {"space.batch_size": 6}


def test_two_batches_are_shown_and_learned(project: Any, foldtune: Command) -> None:
    code, out, err = foldtune("validate", project.config(QUICK), "--train")
    assert code == 0, out + err
    flat = " ".join(out.split())
    assert f"{math.log(3):.3f} by chance, the logarithm of 3 classes" in flat
    assert "random weights" in flat
    assert "c0 4, c1 4, c2 4" in flat  # 12 of 24 rows train beside fold 0
    assert "images/s" in flat
    assert "doubtful" not in flat
    with Image.open(project.folder / "tiny-batch.png") as sheet:
        assert np.asarray(sheet).std() > 10


def test_a_network_that_sees_one_picture_collapses_to_one_class(
    project: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldtune.trainers.fitting.overfit.MAX_PASSES", 10)
    grey = Image.fromarray(np.full((8, 8), 90, dtype=np.uint8))
    for name, _ in project.rows:
        grey.save(project.folder / "images" / name)
    code, out, _ = foldtune("validate", project.config(QUICK), "--train", "-o", "batch.png")
    assert code == 1
    assert "collapsed to one class" in " ".join(out.split())
    assert (project.folder / "batch.png").is_file()


def test_a_picture_without_a_training_is_refused(project: Any, foldtune: Command) -> None:
    code, _, err = foldtune("validate", project.config(), "-o", "batch.png")
    assert code == 2
    assert "--train" in err
