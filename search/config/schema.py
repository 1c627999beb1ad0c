"""The user's whole configuration: one YAML file as frozen pydantic models.

The models check form and ranges only. What needs the data, the task or the trainer is checked by
`search.runs.validation`, so that every problem is reported at once and before a worker starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_serializer, field_validator
from pydantic_core import PydanticCustomError

from foldtune.errors import RunNameInvalid, SettingsError, StorageInvalid
from foldtune.home import expanded, user_cache_folder
from foldtune.redaction import has_raw_password
from foldtune.results.runs.names import check_name
from foldtune.results.storage.paths import as_path
from foldtune.search.config.secrets import RAW_PASSWORD, masked
from foldtune.trainers.images.preprocess import Step, parse_steps, steps_to_list
from foldtune.trainers.images.reading import MAX_MEGAPIXELS, PixelLimits
from foldtune.trainers.loading.tta import views

MIN_SIDE, MAX_SIDE = 8, 4096
"""Pixels of an image's side."""


def default_cache_dir() -> Path:
    """Return the folder of decoded images on this machine, of `data.cache: auto`."""
    own = os.environ.get("FOLDTUNE_CACHE")
    return expanded(own) if own else user_cache_folder() / "foldtune"


def _stated(reason: str) -> PydanticCustomError:
    """Return the error of a value that its message does not show."""
    return PydanticCustomError("stated", "{reason}", {"reason": reason})


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _a_switch_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic reads true as 1.
        is_switch = cls.model_fields[str(info.field_name)].annotation is bool
        if isinstance(value, bool) and not is_switch:
            raise PydanticCustomError("switch", "true and false mean nothing here")
        return value


MAX_PATH = 4096
"""Bytes of a path."""


def usable_path(value: Any) -> Any:
    """Return a path as given. Raises ValueError for one that no file has, or whose home folder is unknown."""
    text = str(value)
    if "\0" in text:
        raise ValueError("a path holds no NUL")
    try:
        parts = [part.encode() for part in Path(text).parts]
        Path(text).expanduser()
    except UnicodeEncodeError:
        raise ValueError("holds characters that no path has") from None
    except RuntimeError:
        raise ValueError(f"there is no home folder {Path(text).parts[0]!r} here") from None
    if len(text.encode()) > MAX_PATH or max(map(len, parts), default=0) > 255:
        raise ValueError("is longer than a path can be")
    return value


TASK_OPTIONS = ("label_separator", "positive")
"""Keys of `data` that only some tasks understand."""
DATA_PATHS = ("train", "test", "images", "sample_submission")
"""Keys of `data` that are paths under `data.root`."""


class DataConfig(Section):
    """Where rows, images and labels are, and how an image is brought to its working size."""

    root: Path | None = Field(None, description="folder that the other paths are relative to")
    train: Path = Field(description="CSV of the labelled rows")
    test: Path | None = Field(None, description="CSV of the rows to submit")
    images: Path = Field(Path("."), description="folder of the images that the CSVs name")
    id: str = Field("image", description="column of the image names")
    target: str = Field(description="column of the labels")
    group: str | None = Field(None, description="column of what must not be split between folds")
    label_separator: str = Field("|", min_length=1, description="between several labels of one image")
    positive: str | None = Field(None, description="label that a binary task looks for")
    target_map: dict[str, str | None] | None = Field(None, description="mapping of old labels to new ones, or to null")
    on_missing: Literal["error", "skip"] = Field("error", description="what a row without a label does")
    image_size: int | tuple[int, int] = Field(224, description="pixels: one side, or [height, width]")
    resize: Literal["squash", "crop", "pad"] = Field("squash", description="how an image meets its size")
    preprocess: tuple[dict[str, Any], ...] = Field((), description="steps that change each image once, such as clahe")
    pixel_range: Literal["used", "uint16"] = Field(
        "used", description="range of pixels deeper than 8 bits: what each file uses, or 0 to 65535"
    )
    max_megapixels: float = Field(
        MAX_MEGAPIXELS, gt=0, le=10_000, description="pixels of one image in memory; a JPEG is decoded at a fraction"
    )
    cache: str = Field("auto", description="auto | off | a folder, for decoded images")
    on_broken: Literal["error", "skip"] = Field("error", description="what an unreadable image does")
    sample_submission: Path | None = Field(None, description="CSV whose columns and ids a submission has")

    @field_validator("root", "train", "test", "images", "cache", "sample_submission", mode="before")
    @classmethod
    def _paths_are_usable(cls, value: Any) -> Any:
        return usable_path(value) if isinstance(value, str | Path) else value

    @field_validator("positive", mode="before")
    @classmethod
    def _numbers_are_labels_too(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("target_map", mode="before")
    @classmethod
    def _labels_are_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        switches = [each for pair in value.items() for each in pair if isinstance(each, bool)]
        if switches:
            raise ValueError("labels are text: quote true and false")
        if not value or any(not isinstance(each, str | int | float | None) for pair in value.items() for each in pair):
            raise ValueError("must map each old label to a new one, or to null to leave its rows out")
        texts = [str(label).strip() for label in value]
        if repeated := sorted({text for text in texts if texts.count(text) > 1}):
            raise ValueError(f"label {repeated[0]!r} is given more than once; keep one")
        new = [None if label is None else str(label).strip() for label in value.values()]
        if "" in new:
            raise ValueError("a new label cannot be empty; null leaves the rows of a label out")
        return dict(zip(texts, new, strict=True))

    @field_validator("preprocess", mode="before")
    @classmethod
    def _steps_are_known(cls, value: Any) -> Any:
        try:
            return tuple(steps_to_list(parse_steps(value)))
        except SettingsError as error:
            raise _stated("; ".join(map(str, error.problems))) from None

    @field_validator("image_size", mode="before")
    @classmethod
    def _one_side_or_two(cls, value: Any) -> Any:
        sides = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
        if any(type(side) is not int or not MIN_SIDE <= side <= MAX_SIDE for side in sides):
            raise ValueError(f"must be one side of {MIN_SIDE} to {MAX_SIDE} pixels, or [height, width]")
        return value

    @property
    def tables(self) -> tuple[Path | None, ...]:
        """Files that are read, which no output may replace."""
        return self.train, self.test, self.sample_submission

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
        return PixelLimits(self.pixel_range, self.max_megapixels)

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
        paths = {name: path for name in DATA_PATHS if (path := getattr(self, name)) is not None}
        if former is None or not any(path.is_relative_to(former) for path in paths.values()):
            raise ValueError(f"none of the run's data lie under {former}, its data.root: move them back")
        inside = {name: root / path.relative_to(former) for name, path in paths.items() if path.is_relative_to(former)}
        return self.model_copy(update={**inside, "root": root})

    def resolved(self, folder: Path) -> DataConfig:
        """The same with absolute paths: relative ones lie under `root`, and that under `folder`."""
        root = (folder / expanded(self.root)).resolve() if self.root else folder.resolve()
        paths = {
            name: (root / expanded(path)).resolve() for name in DATA_PATHS if (path := getattr(self, name)) is not None
        }
        return self.model_copy(update={**paths, "root": root})


class SearchConfig(Section):
    """How many trials, how long each, what is optimised, and when a weak trial is stopped."""

    metric: str | None = Field(None, description="what is optimised; the task's own by default")
    num_samples: int = Field(50, ge=1, le=100_000, description="trials")
    max_epochs: int = Field(12, ge=1, le=10_000, description="epochs of every trial, and of its lr schedule")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the folds, the proposals and every training")
    trial_scheduler: Literal["asha", "none"] = Field("asha", description="what stops weak trials early")
    grace_epochs: int | None = Field(None, ge=1, description="no trial is stopped before; max_epochs/3 by default")
    reduction_factor: float = Field(3.0, gt=1.0, le=16.0, description="of ASHA: one in so many goes on")
    startup_trials: int = Field(15, ge=1, description="drawn at random before TPE models them")
    max_failed_trials: int = Field(10, ge=1, description="failures in a row that end the search")
    trial_timeout_s: float | None = Field(
        7200.0, gt=0, description="seconds without an epoch's report after which a trial is ended; null: never"
    )
    study_storage: str | None = Field(None, description="Optuna storage URL; by default a file in the run's folder")

    @field_serializer("study_storage", when_used="json")
    def _passwords_are_not_stored(self, value: str | None) -> str | None:
        return None if value is None else masked(value)

    @field_validator("study_storage")
    @classmethod
    def _password_has_an_end(cls, value: str | None) -> str | None:
        if value is not None and has_raw_password(value):
            raise _stated(RAW_PASSWORD)
        return value

    @field_validator("grace_epochs")
    @classmethod
    def _grace_within_the_budget(cls, value: int | None, info: ValidationInfo) -> int | None:
        budget = info.data.get("max_epochs")
        if value is not None and budget is not None and value > budget:
            raise ValueError(f"must be at most search.max_epochs, which is {budget}")
        return value

    @property
    def grace(self) -> int:
        """Epochs that every trial may train. Shorter grace misleads TPE: a third is the default."""
        return self.grace_epochs or max(1, -(-self.max_epochs // 3))


class ResourcesConfig(Section):
    """What one trial takes, and how many run at a time."""

    cpus_per_trial: float = Field(1.0, gt=0, le=1024, description="CPU cores of one trial")
    gpus_per_trial: float = Field(0.0, ge=0, le=64, description="GPUs of one trial, or a part of one; 0: CPUs alone")
    max_concurrent_trials: int | None = Field(None, ge=1, description="as many as fit by default")
    autoscale_to: int | None = Field(None, ge=1, description="concurrent trials for which an autoscaler adds nodes")
    loader_workers: int = Field(0, ge=0, le=64, description="processes that augment, for each trial")
    processes_per_trial: int | None = Field(None, ge=1, le=64, description="that share every batch; one a GPU")

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a fraction of one GPU, such as 0.5, or a whole number of them")
        return value

    @field_validator("processes_per_trial")
    @classmethod
    def _one_a_gpu(cls, value: int | None, info: ValidationInfo) -> int | None:
        gpus = info.data.get("gpus_per_trial") or 0.0
        if value is not None and gpus and value != max(1, int(gpus)):
            raise ValueError(f"must be one a GPU, which gpus_per_trial: {gpus:g} gives by itself; leave it out")
        return value

    @property
    def processes(self) -> int:
        """Processes that train one trial together."""
        return self.processes_per_trial or max(1, int(self.gpus_per_trial))


Voting = Literal["soft", "hard", "weighted", "greedy", "rank", "auto"]
VOTINGS: tuple[str, ...] = get_args(Voting)


class EnsembleConfig(Section):
    """Which trials are trained on every fold, and how they vote."""

    top: int = Field(5, ge=1, le=100, description="configurations")
    folds: int = Field(5, ge=2, le=50, description="folds of the run's frozen assignment")
    voting: Voting = Field("soft", description="how members become one answer; auto compares all")
    min_votes: int | None = Field(None, ge=1, description="of hard voting; the most votes by default")
    race: bool = Field(True, description="clearly weak configurations drop out after two folds")
    tta: str | None = Field(None, description="views of every image; each configuration's own by default")

    @field_validator("tta")
    @classmethod
    def _views_are_known(cls, value: str | None) -> str | None:
        if value is not None:
            views(value)
        return value


class RunConfig(Section):
    """One YAML file. `space` is read by `spaces`, which knows its language."""

    name: str = Field(description="name of the run, which is that of its folder under `storage`")
    task: str = Field(description="kind of problem, such as multiclass")
    data: DataConfig = Field(description="section on the rows, images and labels")
    space: dict[str, Any] = Field(description="search space: what is sampled, and what is constant")
    search: SearchConfig = SearchConfig()
    resources: ResourcesConfig = ResourcesConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    storage: str = Field("runs", min_length=1, description="folder or URL (s3://…) that holds the run's folder")

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        try:
            check_name(value, "run")
        except RunNameInvalid as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("storage")
    @classmethod
    def _workers_can_reach_it(cls, value: str) -> str:
        usable_path(value)
        if value.startswith("memory://"):
            raise ValueError("lives in one process, and trials run in others: give a folder, or s3://bucket/prefix")
        try:
            as_path(value)
        except StorageInvalid as error:
            raise _stated(str(error)) from None
        return value
