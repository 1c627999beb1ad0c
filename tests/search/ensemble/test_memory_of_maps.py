"""Maps of many images are never in memory at once: what memory grows by is measured, image by image."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.trial_dir import TrialDir
from foldtune.search.assess.held_out import held_out_predictions, of_ensemble
from foldtune.search.assess.refit import _Job
from foldtune.search.assess.sweep import Setting, Source, sweep
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.arrays.lazy import as_lazy, stack
from foldtune.trainers.detection.polygons import pad
from foldtune.trainers.detection.targets import draw_text
from foldtune.trainers.inference.predictor import InferenceOptions, predict_logits
from foldtune.trainers.tasks.text_detection import TextDetection

SIZE = (320, 256)
MAP = SIZE[0] * SIZE[1]
"""Bytes of one map, a byte a pixel."""
FEW, MANY = 4, 14
MEMBERS = 3
TASK = TextDetection("boxes", SIZE)


def pages(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and the text that a perfect network sees (count, H, W)."""
    line = np.array([[0.1, 0.1], [0.8, 0.1], [0.8, 0.16], [0.1, 0.16]])
    targets = pad([[line + np.array([0.001 * page, 0.3 * place]) for place in range(3)] for page in range(count)])
    return targets, np.stack([draw_text(target, SIZE) for target in targets])


def stored(folder: Path, count: int) -> np.ndarray:
    """Writes what each member kept of each page, as a search does; gives the targets."""
    targets, text = pages(count)
    ids = np.array([f"{page}.jpg" for page in range(count)])
    for member in range(MEMBERS):
        logits = (20 * member + 160 * text[:, None]).astype(np.uint8)
        TrialDir(folder / str(member)).write_scores(ids, logits, targets, epoch=1)
    return targets


def thresholds(folder: Path, targets: np.ndarray) -> None:
    refit = _Job(TASK, "hmean", "hmean", None)(TrialDir(folder / "0"), None)  # type: ignore[arg-type]
    assert refit is not None
    assert refit.tuned > 0.9


def grid(folder: Path, targets: np.ndarray) -> None:
    source = Source("trial", TASK, members(folder)[:1], targets)
    settings = [Setting({}, {"thresh": thresh}) for thresh in (0.4, 0.5)]
    assert len(list(sweep(source, settings, lambda done, every: None))) == 2


def members(folder: Path) -> list[Any]:
    scores = [TrialDir(folder / str(member)).read_scores() for member in range(MEMBERS)]
    return [TASK.scores(each.logits) for each in scores if each is not None]


def ensemble(voting: str) -> Callable[[Path, np.ndarray], None]:
    def run(folder: Path, targets: np.ndarray) -> None:
        folds = np.arange(len(targets)) % 2
        own = members(folder)
        voters = [Member(str(place), scores, ()) for place, scores in enumerate(own)]
        judged = estimate(
            Objective(TASK, "hmean", targets), voters, folds, voting=voting, bootstrap=Bootstrap(samples=0)
        )
        assert judged.metrics["hmean"] > 0.9
        home = EnsembleDir(folder / "ensemble")
        arrays = {"targets": targets, "folds": folds, "ids": folds.astype(str)}
        home.write_oof(arrays | {"scores": judged.scores, "member_scores": stack(own)})
        home.write({"task": TASK.to_dict(), "metric": "hmean", "voting": voting, "min_votes": None} | MEMBER_IDS)
        again = of_ensemble(home, "")
        assert all(map(np.array_equal, again.predictions, judged.predictions))
        assert np.array_equal(again.scores[1], judged.scores[1])

    return run


MEMBER_IDS = {"members": [{"trial_id": str(member)} for member in range(MEMBERS)]}


def peak(work: Callable[[Path, np.ndarray], None], folder: Path, count: int) -> int:
    """Bytes that were allocated at once, mapped files aside."""
    targets = stored(folder, count)
    tracemalloc.start()
    try:
        work(folder, targets)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(thresholds, id="thresholds", marks=pytest.mark.slow),
        pytest.param(grid, id="grid"),
        pytest.param(ensemble("soft"), id="soft", marks=pytest.mark.slow),
        pytest.param(ensemble("hard"), id="hard", marks=pytest.mark.slow),
    ],
)
def test_more_images_take_no_more_maps_in_memory(work: Any, tmp_path: Path) -> None:
    few, many = (peak(work, tmp_path / str(count), count) for count in (FEW, MANY))
    assert many - few < 0.5 * (MANY - FEW) * MAP  # of a single member's maps; boxes and counts of pages do grow


def test_outputs_of_a_fold_are_mapped_from_a_file() -> None:
    count, side = 20, 1024

    class Blank:
        """Images that are made as they are read."""

        shape = (count, side, side, 3)

        def __len__(self) -> int:
            return count

        def read(self, rows: np.ndarray) -> np.ndarray:
            return np.full((len(rows), *self.shape[1:]), rows.max(), dtype=np.uint8)

    class First(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :1]

    options = InferenceOptions(
        batch_size=1, device="cpu", quantize=TASK.quantize_outputs, mean=(0.0,) * 3, std=(1.0,) * 3
    )
    predict_logits(First(), Blank(), np.arange(1), options)  # what is imported meanwhile is no memory of maps
    tracemalloc.start()
    try:
        logits = predict_logits(First(), Blank(), np.arange(count), options)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(logits, np.memmap)
    assert (logits.shape, logits.dtype) == ((count, 1, side, side), np.uint8)
    assert logits[[0, 19], 0, 5, 5].tolist() == [128, round(255 / (1 + np.exp(-19 / 255)))]
    assert most < 0.75 * count * side * side  # bytes; a batch is in float32 for a moment


@pytest.mark.slow
def test_what_is_stored_of_rows_is_what_the_rows_are(tmp_path: Path) -> None:
    targets = stored(tmp_path, FEW)
    own = members(tmp_path)
    home = EnsembleDir(tmp_path / "ensemble")
    home.write_oof({"targets": targets, "member_scores": stack(own), "ids": np.arange(FEW).astype(str)})
    read = home.read_oof()
    assert read is not None
    assert read["member_scores"].dtype == np.float16
    assert np.array_equal(read["member_scores"], np.stack([np.asarray(each) for each in own]))
    assert np.array_equal(as_lazy(read["member_scores"])[1][FEW - 1], own[1][FEW - 1])
    folds = np.arange(FEW) % 2
    description = {"metric": "hmean", "voting": "auto", "min_votes": None} | MEMBER_IDS
    assert len(held_out_predictions(TASK, description, read | {"folds": folds})) == FEW
