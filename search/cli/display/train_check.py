"""What two batches of training showed, as lines."""

from __future__ import annotations

import math
from collections import Counter

from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.search.assess.preview import label_texts
from foldtune.search.assess.train_check import TrainCheck
from foldtune.trainers.fitting.formats import Format
from foldtune.trainers.fitting.overfit import MAX_PASSES
from foldtune.wording import first_few


def train_check_lines(check: TrainCheck, sheet: str) -> Group:
    """Return the batch, its losses, the speed and the memory as a table, then what is doubtful.

    Args:
        sheet: name of the file that shows the batch.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(check, sheet):
        table.add_row(name, text)
    doubts = [Text(f"doubtful: {text}", style="bold yellow") for text in doubts_of(check)]
    return Group(table, *doubts)


def doubts_of(check: TrainCheck) -> list[str]:
    """Return what a search should not be started with, a line each."""
    found, settings = check.overfit, check.settings
    doubts = []
    if found.first > 3 * found.chance > 0:
        doubts.append(
            f"the first loss is {found.first / found.chance:.1f} times that of chance: the network begins far from "
            "even probabilities (the scale of its head, or pixels that are not normalised)"
        )
    if found.collapsed:
        doubts.append(
            f"every row is predicted {_labels(check)[0]!r} after {len(found.losses)} passes: the network has "
            f"collapsed to one class; try another lr than {settings.lr:g}, or another loss than {settings.loss.name}"
        )
    elif not found.learned and len(found.losses) == MAX_PASSES:
        doubts.append(
            f"{len(check.table)} rows are not learned by heart in {MAX_PASSES} passes: lr {settings.lr:g} may be too "
            "low or too high, the labels or the images not what they should be"
        )
    return doubts


def _rows(check: TrainCheck, sheet: str) -> list[tuple[str, str]]:
    settings, speed, found = check.settings, check.speed, check.overfit
    rows = len(check.table)
    weights = "pretrained" if settings.pretrained else "random weights"
    optimizer = f"{settings.optimizer.name}, lr {settings.lr:g}, {settings.loss.name}"
    numbers = Format(settings.amp, settings.channels_last)
    epoch = f"{check.train_rows:,} rows of fold 0 in {check.epoch_s:,.1f} s"
    network = f"{settings.model_name}, {weights}, {speed.params_m:.2f} M parameters, {optimizer}, {speed.device}"
    return [
        ("default", network),
        ("batch", f"{settings.batch_size} images {check.images.shape[1:]}, {_pixels(check)}; {_counts(check)}"),
        ("", f"as the network sees it: {sheet}"),
        ("first loss", f"{found.first:.3f}; {found.chance:.3f} by chance{_logarithm(check)}"),
        ("two batches", _learned(check, rows)),
        ("speed", f"{speed.images_per_s:,.0f} images/s in {numbers}; {epoch}"),
        ("memory", f"{speed.memory_gb:.2f} GB at a micro-batch of {speed.micro_batch_size}"),
    ]


def _learned(check: TrainCheck, rows: int) -> str:
    found = check.overfit
    passes = f"{len(found.losses)} passes over {rows} rows without augmentation"
    text = f"loss {found.first:.3f} to {found.losses[-1]:.3f} in {passes}"
    if found.share is not None:
        text += f", {found.share:.0%} of the labels right"
    return text if found.learned else f"{text}: not learned by heart{'' if _ended(check) else ' in this time'}"


def _ended(check: TrainCheck) -> bool:
    return len(check.overfit.losses) == MAX_PASSES


def _logarithm(check: TrainCheck) -> str:
    classes = len(check.checked.task.trained_names)
    plain = math.isclose(check.overfit.chance, math.log(classes), rel_tol=1e-4) if classes > 1 else False
    return f", the logarithm of {classes} classes" if plain else ""


def _pixels(check: TrainCheck) -> str:
    pixels = check.images.reshape(-1, 3)
    return f"pixels {pixels.min()} to {pixels.max()}, mean {pixels.mean():.0f}"


def _counts(check: TrainCheck) -> str:
    assert check.table.targets is not None
    task = check.checked.task
    if task.has_spatial_targets:
        return f"{sum(task.support(check.table.targets).values())} boxes"
    counts = Counter(label_texts(task, check.table.ids, check.table.targets))
    return first_few([f"{label} {count}" for label, count in counts.most_common()], 6)


def _labels(check: TrainCheck) -> list[str]:
    task = check.checked.task
    frame = task.submission_frame(check.table.ids, check.overfit.predictions, ["image", "label"])
    return [str(value) for value in frame["label"]]
