"""What all sections of the configuration share: strict keys, paths that can exist, errors with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


def stated(reason: str) -> PydanticCustomError:
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
