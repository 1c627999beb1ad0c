"""What the augmentations of a search space do to a few of its images. Images in, pictures with their names out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.results.exports.contact_sheet import ColumnGroup, Row, Sheet
from foldtune.search.data.dataset import image_plan
from foldtune.search.runs.validation import Checked
from foldtune.trainers.components import Component
from foldtune.trainers.loading.augment import Augmentation, build_augmentation
from foldtune.trainers.loading.crops import output_size, training_crop
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.parsing import parse_settings

SHOWN = ("augmentation", "crop")
"""Settings that change how a training image looks."""


@dataclass(frozen=True)
class Variant:
    """One way in which a trial of the space may treat its training images."""

    augmentation: Component
    crop: Component

    @property
    def title(self) -> str:
        """Names of what it does."""
        return " · ".join(component.name for component in self._components)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of all that it does."""
        return {name: value for component in self._components for name, value in component.params.items()}

    @property
    def _components(self) -> tuple[Component, ...]:
        whole = self.crop.name == "resize" and not self.crop.params.get("size")
        return (self.augmentation,) if whole else (self.augmentation, self.crop)

    def build(self, size: tuple[int, int]) -> Augmentation | None:
        """Return the transforms for images of `size` (height, width), as in a training; None where nothing changes."""
        return build_augmentation(
            self.augmentation.name,
            size=max(output_size(self.crop, size)),
            first=training_crop(self.crop, size),
            **self.augmentation.params,
        )


def variants(checked: Checked) -> tuple[Variant, ...]:
    """Return every augmentation and crop of the space, at its defaults and at both ends of each range.

    Only one of them is moved away from the default configuration at a time. Those of one name stand together, in the
    order of their values.
    """
    found: dict[tuple[str, ...], Variant] = {}
    for path, params in checked.space.corner_cases():
        if path and path.partition(".")[0] not in SHOWN:
            continue
        settings = parse_settings(checked.space.build(params), checked.task)
        variant = Variant(settings.augmentation, settings.crop)
        found.setdefault((variant.title, repr(sorted(variant.params.items()))), variant)
    places = {title: place for place, title in enumerate(dict.fromkeys(title for title, _ in found))}
    return tuple(
        sorted(found.values(), key=lambda each: (places[each.title], tuple(map(_order, each.params.values()))))
    )


def _order(value: object) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, int | float) else (0.0, str(value))


def choose_rows(task: Task, targets: npt.NDArray[Any], count: int, seed: int) -> list[int]:
    """`count` rows (fewer where there are fewer), of each class in turn, at random within a class."""
    rng = np.random.default_rng(seed)
    classes = task.sampling_classes(targets)
    queues = [rng.permutation(np.flatnonzero(classes == each)).tolist() for each in np.unique(classes)]
    turns = (queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue))
    return [row for row, _ in zip(turns, range(count), strict=False)]


def preview(checked: Checked, rows: int, seed: int) -> Sheet:
    """Return the contact sheet of a checked configuration: its first column the images as prepared, then every variant.

    Reads the few images that it shows and no others; nothing is cached.

    Args:
        rows: number of images, of each class in turn.

    Raises:
        InputError: one of these images cannot be read.
    """
    config, task, table = checked.config, checked.task, checked.table
    assert table.targets is not None
    table = table.select(choose_rows(task, table.targets, rows, seed))
    prepared = replace(image_plan(config.data, 1), cache_dir=None).open(table.paths)
    table = table.select(prepared.keep)
    images = prepared.source.read(np.arange(len(table)))
    columns = variants(checked)
    assert table.targets is not None
    labels = label_texts(task, table.ids, table.targets)
    built = [variant.build(config.data.size) for variant in columns]
    shown = [
        Row(label, name, (image, *(augmented(each, image, (seed, place)) for each in built)))
        for place, (label, name, image) in enumerate(zip(labels, table.ids.tolist(), images, strict=True))
    ]
    height, width = config.data.size
    title = f"{config.name}: images at {width}x{height} px and what trials may see of them in training"
    steps = ", ".join(step.name for step in config.data.steps)
    return Sheet(
        title, (ColumnGroup("original", f"after {steps}" if steps else "", ("",)), *_groups(columns)), tuple(shown)
    )


def augmented(
    augmentation: Augmentation | None, image: npt.NDArray[np.uint8], seed: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    if augmentation is None:
        return image
    augmentation.reseed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    return augmentation(image)


def label_texts(task: Task, ids: npt.NDArray[np.str_], targets: npt.NDArray[Any]) -> list[str]:
    """Return the labels as in a submission; "(no label)" for an image without one."""
    frame = task.submission_frame(ids, task.as_predictions(targets), ["image", "label"])
    return [str(value) or "(no label)" for value in frame["label"]]


def _groups(columns: Sequence[Variant]) -> Iterator[ColumnGroup]:
    for title, members in groupby(columns, key=lambda variant: variant.title):
        params = [variant.params for variant in members]
        alike = {name for name in params[0] if all(own[name] == params[0][name] for own in params)}
        common = _text({name: value for name, value in params[0].items() if name in alike and value not in (0, 0.0)})
        names = tuple(_text({name: own[name] for name in own if name not in alike}) for own in params)
        yield ColumnGroup(title, common, names)


def _text(params: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}" for name, value in params.items()
    )
