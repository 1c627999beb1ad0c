"""An entry of `data.extra`: labelled rows that only ever train, such as those of another data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from foldtune.search.config.sections.label_maps import label_map
from foldtune.search.config.sections.section import Section, usable_path

MAX_WEIGHT = 100.0


def prefix_of(number: int) -> str:
    """Return what stands before the ids of an entry of `data.extra`, numbered from 1: its files may be called alike."""
    return f"extra{number}/"


class ExtraRows(Section):
    """Rows that lie in every training part and in no fold that judges."""

    table: Path = Field(description="labelled rows, in any form of data.train")
    images: Path | None = Field(None, description="folder of their images; data.images by default")
    target_map: dict[str, str | None] | None = Field(
        None, description="mapping of their labels to those of data.train; data.target_map by default"
    )
    weight: float = Field(1.0, gt=0, le=MAX_WEIGHT, description="factor of their loss")

    @field_validator("table", "images", mode="before")
    @classmethod
    def _paths_are_usable(cls, value: Any) -> Any:
        return usable_path(value) if isinstance(value, str | Path) else value

    @field_validator("target_map", mode="before")
    @classmethod
    def _labels_are_text(cls, value: Any) -> Any:
        return label_map(value)

    @property
    def paths(self) -> dict[str, Path]:
        """The paths that are given, by key."""
        return {name: path for name in ("table", "images") if (path := getattr(self, name)) is not None}
