"""Section `data` of the configuration: rows, images, labels, and how an image is brought to its working size."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from foldtune.errors import SettingsError
from foldtune.home import expanded, user_cache_folder
from foldtune.search.config.sections.extra_section import ExtraRows
from foldtune.search.config.sections.label_maps import label_map
from foldtune.search.config.sections.section import Section, stated, usable_path
from foldtune.search.config.sections.target_columns import columns_of_labels, name_of_columns
from foldtune.trainers.data.cases import CASE
from foldtune.trainers.images.deep_pixels import MAX_MEGAPIXELS, PixelLimits, parse_window, window_to_plain
from foldtune.trainers.images.preprocess import Step, parse_steps, steps_to_list
from foldtune.wording import shortened

MIN_SIDE, MAX_SIDE = 8, 4096
"""Pixels of an image's side."""


def default_cache_dir() -> Path:
    """Return the folder of decoded images on this machine, of `data.cache: auto`."""
    own = os.environ.get("FOLDTUNE_CACHE")
    return expanded(own) if own else user_cache_folder() / "foldtune"


TASK_OPTIONS = ("label_separator", "positive", "soft_threshold", "judge_map")
"""Keys of `data` that only some tasks understand."""
DATA_PATHS = ("train", "valid", "test", "images", "test_images", "sample_submission", "exclude")
"""Keys of `data` that are paths under `data.root`."""


class DataConfig(Section):
    """Where rows, images and labels are, and how an image is brought to its working size."""

    root: Path | None = Field(None, description="folder that the other paths are relative to")
    train: Path = Field(description="labelled rows: a table, a folder, arrays")
    valid: Path | None = Field(None, description="validation rows, in any of these forms, which are fold 0")
    test: Path | None = Field(None, description="rows to submit, in any of these forms")
    images: Path = Field(Path("."), description="folder of the images that the CSVs name")
    test_images: Path | None = Field(None, description="folder of the images to submit, where it is another")
    id: str | tuple[str, ...] = Field("image", description="column of the image names, or several: a case's images")
    case: str | None = Field(None, description="column of what is judged and submitted as one, such as a patient")
    target: str | tuple[str, ...] | dict[str, str] = Field(
        description='column of the labels; a list, or {columns: "label_*"}, of columns of 0, 1 or fractions'
    )
    group: str | None = Field(None, description="column of what must not be split between folds")
    fold: str | None = Field(None, description="column of the folds, where they are given; -1 trains only")
    split: str | None = Field(None, description="column with train, val or test: val is fold 0, test is left out")
    encoding: str | None = Field(None, description="encoding of the tables' text, such as cp949; UTF-8 by default")
    columns: dict[str, Literal["number", "category"]] | None = Field(
        None, description="mapping of columns beside the images to number or category, for the vote stack"
    )
    label_separator: str = Field("|", min_length=1, description="between several labels of one image")
    soft_threshold: float = Field(0.5, gt=0, le=1, description="weight from which a label counts as there")
    uncertain: Literal["ignore", "positive", "negative"] | None = Field(
        None, description="what cells of -1 in columns of several labels are; ignore leaves them and blank ones out"
    )
    positive: str | None = Field(None, description="label that a binary task looks for")
    target_map: dict[str, str | None] | None = Field(
        None, description='mapping of old labels to new ones, or to null; "*" is for all others, as a value: unchanged'
    )
    judge_map: dict[str, str] | None = Field(
        None, description="mapping of every label that is trained to the coarser one that is judged and submitted"
    )
    min_rows: int = Field(1, ge=1, description="rows that a label needs; rarer ones are left out")
    none_label: str | None = Field(None, description="label of an image that has no other")
    on_missing: Literal["error", "skip"] = Field("error", description="what a row without a label does")
    image_size: int | tuple[int, int] = Field(224, description="pixels: one side, or [height, width]")
    resize: Literal["squash", "crop", "pad"] = Field("squash", description="how an image meets its size")
    preprocess: tuple[dict[str, Any], ...] = Field((), description="steps that change each image once, such as clahe")
    pixel_range: Literal["used", "uint16"] = Field(
        "used", description="range of pixels deeper than 8 bits: what each file uses (used), or 0 to 65535 (uint16)"
    )
    window: Any = Field(
        "auto", description="values of deep pixels that become 0 and 255: auto, [low, high] or percentiles"
    )
    max_megapixels: float = Field(
        MAX_MEGAPIXELS, gt=0, le=10_000, description="pixels of one image in memory; a JPEG is decoded at a fraction"
    )
    cache: str = Field("auto", description="auto | off | a folder, for decoded images")
    on_broken: Literal["error", "skip"] = Field("error", description="what an unreadable image does")
    sample_submission: Path | None = Field(None, description="CSV whose columns and ids a submission has")
    exclude: Path | None = Field(None, description="audit.csv: rows marked in its column exclude are left out")
    extra: tuple[ExtraRows, ...] = Field(
        (), description="list of {table, images, target_map, weight}: rows that only ever train"
    )

    @field_validator("root", "cache", *DATA_PATHS, mode="before")
    @classmethod
    def _paths_are_usable(cls, value: Any) -> Any:
        return usable_path(value) if isinstance(value, str | Path) else value

    @field_validator("encoding")
    @classmethod
    def _encoding_is_one_of_text(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                "".encode(value)
        except (LookupError, ValueError):
            raise ValueError(f"no encoding of text is called {shortened(repr(value))}; such as cp949, cp1252") from None
        return value

    @field_validator("id")
    @classmethod
    def _columns_are_several(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not isinstance(value, str) and not 0 < len(set(value)) == len(value):
            raise ValueError("must be a column, or a list of columns, each once")
        return value

    @field_validator("target", mode="before")
    @classmethod
    def _columns_are_text(cls, value: Any) -> Any:
        return columns_of_labels(value)

    @field_validator("positive", "none_label", mode="before")
    @classmethod
    def _numbers_are_labels_too(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("columns", mode="before")
    @classmethod
    def _kinds_are_known(cls, value: Any) -> Any:
        kinds = ("number", "category")
        if value is None or (isinstance(value, Mapping) and value and all(each in kinds for each in value.values())):
            return value
        raise stated(f"must map columns to number or category, as {{age: number, sex: category}}, not {value!r:.60}")

    @field_validator("target_map", "judge_map", mode="before")
    @classmethod
    def _labels_are_text(cls, value: Any, info: ValidationInfo) -> Any:
        labels = label_map(value)
        if info.field_name == "judge_map" and isinstance(labels, dict) and None in labels.values():
            raise ValueError("a label cannot be left out of the judgement; data.target_map leaves out its rows")
        return labels

    @field_validator("preprocess", mode="before")
    @classmethod
    def _steps_are_known(cls, value: Any) -> Any:
        try:
            return tuple(steps_to_list(parse_steps(value)))
        except SettingsError as error:
            raise stated("; ".join(map(str, error.problems))) from None

    @field_validator("window", mode="before")
    @classmethod
    def _window_has_a_form(cls, value: Any) -> Any:
        try:
            return window_to_plain(parse_window(value))
        except ValueError as error:
            raise stated(str(error)) from None

    @field_validator("image_size", mode="before")
    @classmethod
    def _one_side_or_two(cls, value: Any) -> Any:
        sides = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
        if any(type(side) is not int or not MIN_SIDE <= side <= MAX_SIDE for side in sides):
            raise ValueError(f"must be one side of {MIN_SIDE} to {MAX_SIDE} pixels, or [height, width]")
        return value

    @property
    def target_columns(self) -> tuple[str, ...] | str | None:
        """Columns of the labels, one a label, or a pattern of their names; None where one column holds labels."""
        return self.target["columns"] if isinstance(self.target, dict) else self.listed_columns or None

    @property
    def listed_columns(self) -> tuple[str, ...]:
        """Columns of the labels that `target` lists; none where it gives one column or a pattern."""
        return self.target if isinstance(self.target, tuple) else ()

    @property
    def target_name(self) -> str:
        """The column of the labels, or a name for all of them."""
        if isinstance(self.target, str):
            return self.target
        return self.target["columns"] if isinstance(self.target, dict) else name_of_columns(self.target)

    @property
    def target_described(self) -> str:
        """The column of the labels for messages; of several columns the key, since none of them has `target_name`."""
        name = self.target_name
        return f"column '{name}'" if self.target_columns is None else f"data.target ({name})"

    @property
    def image_column(self) -> str:
        """Column of the image names, once a row is an image."""
        return self.id if isinstance(self.id, str) else self.id[0]

    @property
    def case_column(self) -> str | None:
        """Column of the cases, once a row is an image; None where each image is judged by itself."""
        return self.case if self.case is not None or isinstance(self.id, str) else CASE

    @property
    def judged_column(self) -> str:
        """Column that names what is judged and submitted: that of the cases, else of the images."""
        return self.case_column or self.image_column

    @property
    def tables(self) -> tuple[Path | None, ...]:
        """Files that are read, which no output may replace."""
        named = (each.table for each in self.extra)
        return self.train, self.valid, self.test, self.sample_submission, self.exclude, *named

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    @property
    def images_given(self) -> bool:
        """Whether the folder of images is one that the user named, not the root by default."""
        return self.images != (self.root or Path("."))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of `preprocess`."""
        return parse_steps(self.preprocess)

    @property
    def limits(self) -> PixelLimits:
        """What becomes of pixels that are deep or many."""
        return PixelLimits(self.pixel_range, self.max_megapixels, parse_window(self.window))

    @property
    def cache_dir(self) -> Path | None:
        """Folder of the decoded images on this node, None where the cache is off."""
        if self.cache == "off":
            return None
        if self.cache != "auto":
            return expanded(self.cache)
        return default_cache_dir()

    def moved(self, root: Path) -> DataConfig:
        """The same of data that lie under `root` now: absolute paths under the former root go along."""
        former, root = self.root, expanded(root).resolve()
        if former is None or not any(path.is_relative_to(former) for path in self._given_paths().values()):
            raise ValueError(f"none of the run's data lie under {former}, its data.root: move them back")
        moved = self._placed(lambda path: root / path.relative_to(former) if path.is_relative_to(former) else path)
        return moved.model_copy(update={"root": root})

    def resolved(self, folder: Path) -> DataConfig:
        """The same with absolute paths: relative ones lie under `root`, and that under `folder`."""
        root = (folder / expanded(self.root)).resolve() if self.root else folder.resolve()
        return self._placed(lambda path: (root / expanded(path)).resolve()).model_copy(update={"root": root})

    def _given_paths(self) -> dict[str, Path]:
        return {name: path for name in DATA_PATHS if (path := getattr(self, name)) is not None}

    def _placed(self, place: Callable[[Path], Path]) -> DataConfig:
        """The same with each path that is given replaced by `place` of it."""
        extra = tuple(
            each.model_copy(update={name: place(path) for name, path in each.paths.items()}) for each in self.extra
        )
        return self.model_copy(
            update={name: place(path) for name, path in self._given_paths().items()} | {"extra": extra}
        )
