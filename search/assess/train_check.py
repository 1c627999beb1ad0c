"""A minute of training before a search: two batches of the default configuration, in this process, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.files import scratch_folder
from foldtune.results.exports.contact_sheet import ColumnGroup, Row, Sheet
from foldtune.results.runs.pretrained_dir import InitialWeights, PretrainedDir
from foldtune.search.assess.preview import Variant, augmented, choose_rows, label_texts
from foldtune.search.checks.pretrained import find_weights
from foldtune.search.data.dataset import image_plan
from foldtune.search.runs.formats import format_work, time_models, with_format
from foldtune.search.runs.pretrained import initial_weights, store_weights, with_weights
from foldtune.search.runs.validation import Checked
from foldtune.trainers.data.table import Table
from foldtune.trainers.fitting.fit_types import FoldData, TrainSpec
from foldtune.trainers.fitting.overfit import Overfit, overfit, rows_as_fold
from foldtune.trainers.fitting.timing import Timing, time_training
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.parsing import parse_settings

BATCHES = 2
_SHEET_ROWS = 12


@dataclass(frozen=True, eq=False)
class TrainCheck:
    """What two batches of a checked configuration showed.

    Attributes:
        settings: the default configuration of the space.
        table: rows of the batches, of each class in turn.
        images: (N, H, W, 3) uint8, as prepared.
        train_rows: rows that the first fold's training has.
    """

    checked: Checked
    settings: TrialSettings
    table: Table
    images: npt.NDArray[np.uint8]
    train_rows: int
    speed: Timing
    overfit: Overfit

    @property
    def epoch_s(self) -> float:
        """Seconds of training of an epoch, validation left out."""
        return self.train_rows / self.speed.images_per_s


def check_training(
    checked: Checked, seconds: float, progress: Callable[[int, float], None] | None = None
) -> TrainCheck:
    """Train two batches of the default configuration as it is, then until they are learned.

    Only their images are read; nothing is stored.

    Args:
        seconds: after which the learning ends.
        progress: called with the number of passes and the loss after each.

    Raises:
        InputError: one of the images cannot be read.
        TrialFailed: a loss is not finite, or memory is out.
    """
    with scratch_folder("download") as scratch:
        folder = PretrainedDir(scratch)
        default = with_weights(checked.space.build(checked.space.default()), _stored(checked, folder))
        work = format_work(checked, most=1)
        default = with_format(default, None if work is None else time_models(work))
        settings = parse_settings(default, checked.task)
        weights = None if isinstance(settings.pretrained, bool) else scratch / settings.pretrained
        return _check(checked, settings, weights, seconds, progress)


def _stored(checked: Checked, folder: PretrainedDir) -> tuple[InitialWeights, ...]:
    """Store the weights that the default configuration starts from, and return the record of all."""
    default = checked.space.build(checked.space.default())
    found = find_weights(checked.space)
    needed = initial_weights(default, found)
    return tuple(each if each != needed else store_weights([each], folder)[0] for each in found)


def _check(
    checked: Checked,
    settings: TrialSettings,
    weights: Path | None,
    seconds: float,
    progress: Callable[[int, float], None] | None,
) -> TrainCheck:
    config, task = checked.config, checked.task
    trained = checked.table.select(checked.folds != 0)
    assert trained.targets is not None
    chosen = choose_rows(task, trained.targets, BATCHES * settings.batch_size, config.search.seed)
    table = trained.select(chosen)
    prepared = replace(image_plan(config.data, 1), cache_dir=None).open(table.paths)
    table = table.select(prepared.keep)
    spec = TrainSpec(settings, task, _fold(table, prepared.source), checked.goal.metric, 2, config.search.seed, weights)
    device = None if config.resources.gpus_per_trial else "cpu"
    speed = time_training(replace(spec, settings=replace(settings, unfreeze_epochs=0)), device)  # the whole network
    learned = overfit(spec, seconds, progress, device)
    images = prepared.source.read(np.arange(len(table)))
    return TrainCheck(checked, settings, table, images, len(trained), speed, learned)


def batch_sheet(check: TrainCheck) -> Sheet:
    """Return some rows of the batches: as prepared, and as the network sees them in training."""
    config, task, table = check.checked.config, check.checked.task, check.table
    variant = Variant(check.settings.augmentation, check.settings.crop)
    built = variant.build(config.data.size)
    assert table.targets is not None
    labels = label_texts(task, table.ids, table.targets)
    rows = [
        Row(label, name, (image, *(augmented(built, image, (config.search.seed, place, draw)) for draw in range(2))))
        for place, (label, name, image) in enumerate(zip(labels, table.ids.tolist(), check.images, strict=True))
    ]
    groups = (ColumnGroup("prepared", "", ("",)), ColumnGroup(variant.title, "two draws", ("", "")))
    return Sheet(f"{config.name}: a batch", groups, tuple(rows[:_SHEET_ROWS]))


def _fold(table: Table, source: Any) -> FoldData:
    assert table.targets is not None
    none = np.arange(0)
    data = FoldData(source, table.targets, table.ids, none, none, extra_weights=table.extra_weights)
    return rows_as_fold(data)
