"""`data.preprocess` from the YAML file to the images that a worker reads, and to the run's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.search.config.loading import load_config
from foldtune.search.data.dataset import open_once
from foldtune.search.runs.resuming import extend
from foldtune.search.runs.run import new_store, open_run, start_run
from foldtune.search.runs.validation import check_run
from foldtune.trainers.images.preprocess import Clahe
from tests.images import decode

CHANGES = {"data.preprocess": {"clahe": {"clip_limit": 3.0, "tile": 4}}}


def test_steps_reach_the_images_and_the_stored_configuration(project: Any) -> None:
    given = load_config(Path(project.config(CHANGES)))
    checked = check_run(given)
    with new_store(checked.config) as store:
        run, labelled = start_run(checked, store, 1, None)
    pixels = open_once(labelled.table.paths, labelled.images).read(np.arange(1))[0]
    plain = decode(labelled.table.paths[0], (16, 16))
    assert not np.array_equal(pixels, plain)
    assert np.array_equal(pixels, Clahe(3.0, 4)(plain))
    again = open_run("tiny", "runs")
    assert again.config.data.steps == (Clahe(3.0, 4),)
    assert extend(again, given, 0).config == run.config, "the same file resumes"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("clae", "data.preprocess: unknown step 'clae'; did you mean 'clahe'"),
        ([{"clahe": {"tile": -1}}], "data.preprocess: tile: must be an integer >= 0"),
        (True, "data.preprocess"),
    ],
)
def test_wrong_steps_are_refused(project: Any, foldtune: Any, value: object, words: str) -> None:
    code, _, err = foldtune("validate", project.config({"data.preprocess": value}))
    assert code == 2
    assert words in err
