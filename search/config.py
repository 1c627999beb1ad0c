"""The user's whole configuration: one YAML file as frozen pydantic models.

The models check form and ranges only. What needs the data, the task or the trainer is checked by
`search.validation`, so that every problem is reported at once and before a worker starts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Pixels = Annotated[int, Field(ge=8, le=4096)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    image_size: Pixels | tuple[Pixels, Pixels] = Field(
        224, description="pixels: one side, or [height, width]"
    )
    resize: Literal["squash", "crop", "pad"] = Field("squash", description="how an image meets its size")
    cache: str = Field("auto", description="auto | off | a folder, for decoded images")
    on_broken: Literal["error", "skip"] = Field("error", description="what an unreadable image does")
    sample_submission: Path | None = Field(None, description="CSV whose columns and ids a submission has")

    @field_validator("cache", mode="before")
    @classmethod
    def _yaml_off_is_a_word(cls, value: Any) -> Any:
        # YAML 1.1 reads a bare `off` as false.
        return "off" if value is False else value

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    @property
    def cache_dir(self) -> Path | None:
        """Folder of the decoded images on this node, None where the cache is off."""
        if self.cache == "off":
            return None
        if self.cache != "auto":
            return Path(self.cache).expanduser()
        default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "foldtune"
        return Path(os.environ.get("FOLDTUNE_CACHE", default)).expanduser()

    def resolved(self, folder: Path) -> DataConfig:
        """The same with absolute paths: relative ones lie under `root`, and that under `folder`."""
        root = (folder / self.root.expanduser()).resolve() if self.root else folder.resolve()
        paths = {
            name: (root / path.expanduser()).resolve()
            for name in ("train", "test", "images", "sample_submission")
            if (path := getattr(self, name)) is not None
        }
        return self.model_copy(update={**paths, "root": root})


class SearchConfig(Section):
    """How many trials, how long each, what is optimised, and when a weak trial is stopped."""

    metric: str | None = Field(None, description="what is optimised; the task's own by default")
    num_samples: int = Field(50, ge=1, le=100_000, description="trials")
    max_epochs: int = Field(12, ge=1, le=10_000, description="epochs of every trial, and of its lr schedule")
    seed: int = Field(0, ge=0, lt=2**31)
    trial_scheduler: Literal["asha", "none"] = Field("asha", description="what stops weak trials early")
    grace_epochs: int | None = Field(
        None, ge=1, description="no trial is stopped before; max_epochs/3 by default"
    )
    reduction_factor: float = Field(3.0, gt=1.0, le=16.0, description="of ASHA: one in so many goes on")
    startup_trials: int = Field(15, ge=1, description="drawn at random before TPE models them")
    max_failed_trials: int = Field(10, ge=1, description="failures in a row that end the search")
    study_storage: str | None = Field(None, description="Optuna storage URL; a file in the run by default")

    @model_validator(mode="after")
    def _grace_within_the_budget(self) -> SearchConfig:
        if self.grace_epochs is not None and self.grace_epochs > self.max_epochs:
            raise ValueError(f"grace_epochs {self.grace_epochs} is above max_epochs {self.max_epochs}")
        return self

    @property
    def grace(self) -> int:
        """Epochs that every trial may train. Shorter grace misleads TPE: a third is the default."""
        return self.grace_epochs or max(1, -(-self.max_epochs // 3))


class ResourcesConfig(Section):
    """What one trial takes, and how many run at a time."""

    cpus_per_trial: float = Field(1.0, gt=0, le=1024)
    gpus_per_trial: float = Field(0.0, ge=0, le=64)
    max_concurrent_trials: int | None = Field(None, ge=1, description="as many as fit by default")
    loader_workers: int = Field(0, ge=0, le=64, description="processes that augment, for each trial")

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"{value} GPUs cannot be given: use a fraction of one, or a whole number")
        return value


class EnsembleConfig(Section):
    """Which trials are trained on every fold, and how they vote."""

    top: int = Field(5, ge=1, le=100, description="configurations")
    folds: int = Field(5, ge=2, le=50, description="folds of the run's frozen assignment")
    voting: Literal["soft", "hard"] = "soft"
    min_votes: int | None = Field(None, ge=1, description="of hard voting; the most votes by default")


class RunConfig(Section):
    """One YAML file. `space` is read by `spaces`, which knows its language."""

    name: Name
    task: str
    data: DataConfig
    space: dict[str, Any]
    search: SearchConfig = SearchConfig()
    resources: ResourcesConfig = ResourcesConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    storage: str = Field("runs", description="folder that holds the run's folder")
