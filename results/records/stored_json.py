"""What the JSON of a run, an ensemble and a task may hold: checked whole when it is read, whoever wrote it.

Keys that are not named here are kept as they are, so that later versions may add some; keys that older versions did not
write may be absent. Who needs one checks that it is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from foldtune.errors import RunCorrupt
from foldtune.results.storage.paths import StorePath

MAX_MEMBERS, MAX_FOLDS, MAX_SEEDS, MAX_CLASSES, MAX_SIDE = 1_000, 1_000, 100, 100_000, 4_096
MAY_BE_EMPTY = ("min_votes", "member_postprocess")
"""Keys that are always written, as null or [] where a vote has no use for them."""
MAX_SHOWN = 3
"""Problems of a file that its message lists."""


def is_member_name(name: str) -> bool:
    """Whether a name is TRIAL or RUN/TRIAL: one or two names of folders, whatever a user calls a run's."""
    parts = name.split("/")
    return len(parts) <= 2 and all(part and part not in (".", "..") and "\0" not in part for part in parts)


def _member_name(name: str) -> str:
    if not is_member_name(name):
        raise ValueError("must be TRIAL or RUN/TRIAL")
    return name


def _rising(bounds: list[float]) -> list[float]:
    if not bounds[0] < bounds[1]:
        raise ValueError("must be a lower and a higher value")
    return bounds


Count = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Side = Annotated[int, Field(strict=True, ge=1, le=MAX_SIDE)]
Offset = Number | list[Number] | list[list[Number]]
Name = Annotated[str, Field(strict=True, max_length=500), AfterValidator(_member_name)]
Size = Annotated[list[Side], Field(min_length=2, max_length=2)]
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2), AfterValidator(_rising)]
Voting = Literal["soft", "hard", "weighted", "greedy", "rank", "stack"]


class Stored(BaseModel):
    """A stored mapping."""

    model_config = ConfigDict(extra="allow")

    @field_validator("*", mode="before")
    @classmethod
    def _switches_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            # pydantic reads true as 1
            raise ValueError("must not be true or false")
        return value


class StoredTask(Stored):
    """`task.json`, and `task` of an ensemble: what `Task.to_dict` wrote."""

    task: StrictStr | None = None
    target: StrictStr | list[StrictStr] | None = None
    labels: Annotated[list[StrictStr], Field(min_length=1, max_length=MAX_CLASSES)] | None = None
    counts: Annotated[list[Count], Field(max_length=MAX_CLASSES)] | None = None
    expected_counts: Annotated[list[Share], Field(max_length=MAX_CLASSES)] | None = None
    soft: StrictBool = False
    soft_threshold: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    label_separator: Annotated[str, Field(strict=True, min_length=1)] | None = None
    image_size: Size | None = None
    notes: list[StrictStr] | None = None

    @model_validator(mode="after")
    def _labels_fit_together(self) -> Self:
        if self.labels is not None:
            if len(set(self.labels)) < len(self.labels):
                raise ValueError("labels: one is there twice")
            for name in ("counts", "expected_counts"):
                if (values := getattr(self, name)) is not None:
                    _require_length(name, values, len(self.labels), "labels")
            if self.task == "binary" and len(self.labels) != 2:
                raise ValueError(f"labels: a binary task has 2, not {len(self.labels)}")
        return self


class StoredPreprocessing(Stored):
    """How the models of an ensemble see images."""

    image_size: Size | None = None
    resize: Literal["squash", "crop", "pad"] | None = None
    preprocess: list[dict[str, Any]] | None = None
    window: Literal["auto"] | Bounds | dict[Literal["percentiles"], Bounds] | None = None
    tta: StrictStr | None = None


class StoredMember(StoredPreprocessing):
    """A member of an ensemble."""

    id: Name | None = None
    trial_id: Name
    run: Name | None = None
    weight: Share | None = None
    oof: Number | None = None
    fold_values: list[Number | None] | None = None
    fold_offsets: list[Offset] | None = None
    seed_offsets: list[list[Offset]] | None = None
    params: dict[str, Any] | None = None
    config: dict[str, Any] | None = None


class StoredClass(Stored):
    """The figures of one class."""

    label: StrictStr
    precision: Number | None = None
    recall: Number | None = None
    f1: Number | None = None
    support: Count | None = None


class StoredEnsembleJson(StoredPreprocessing):
    """`ensemble.json`."""

    run: Name | None = None
    runs: list[Name] | None = None
    task: StoredTask | None = None
    metric: StrictStr | None = None
    mode: Literal["max", "min"] | None = None
    folds: Annotated[int, Field(strict=True, ge=1, le=MAX_FOLDS)] | None = None
    voting: Voting | None = None
    min_votes: Annotated[int, Field(strict=True, ge=1)] | None = None
    asked: Voting | Literal["auto"] | None = None
    asked_min_votes: Annotated[int, Field(strict=True, ge=1)] | None = None
    weights: list[Share] | None = None
    postprocess: dict[str, Any] | None = None
    member_postprocess: list[dict[str, Any]] | None = None
    references: list[list[Any]] | None = None
    stacker: dict[str, Any] | None = None
    rows: Count | None = None
    members: Annotated[list[StoredMember], Field(max_length=MAX_MEMBERS)] | None = None
    estimate: dict[str, Number | None] | None = None
    per_class: list[StoredClass] | None = None
    compared: dict[str, Number | None] | None = None
    interval: list[Number | None] | None = None
    gain: Number | None = None
    gain_interval: list[Number | None] | None = None
    seeds: Annotated[int, Field(strict=True, ge=1, le=MAX_SEEDS)] | None = None
    seed_values: list[Number | None] | None = None
    refit: Literal["all"] | None = None

    @field_validator("postprocess", "member_postprocess", "references", "stacker")
    @classmethod
    def _numbers_are_finite(cls, value: Any) -> Any:
        if not _is_finite(value):
            raise ValueError("holds a number that is not finite")
        return value

    @model_validator(mode="after")
    def _lengths_fit_together(self) -> Self:
        members = self.members or []
        if not members:
            return self
        ids = [member.id or member.trial_id for member in members]
        if len(set(ids)) < len(ids):
            raise ValueError("members: one is there twice")
        if self.weights is not None:
            _require_length("weights", self.weights, len(members), "members")
            if not math.isclose(sum(self.weights), 1.0, abs_tol=1e-3):
                raise ValueError(f"weights: sum to {sum(self.weights):g}, not to 1")
        if self.min_votes is not None and self.min_votes > len(members):
            raise ValueError(f"min_votes: {self.min_votes} votes of {len(members)} members")
        if self.voting == "hard" and self.member_postprocess is not None:
            _require_length("member_postprocess", self.member_postprocess, len(members), "members")
        if self.voting == "stack" and not self.stacker:
            raise ValueError("stacker: missing, where voting is stack")
        if self.voting == "rank":
            _require_length("references", self.references or [], len(members), "members")
        for place, member in enumerate(members):
            if self.folds is not None and member.fold_offsets is not None:
                _require_length(f"members.{place}.fold_offsets", member.fold_offsets, self.folds, "folds")
            further = member.seed_offsets or []
            _require_length(f"members.{place}.seed_offsets", further, (self.seeds or 1) - 1, "further seeds")
            for offsets in further:
                _require_length(f"members.{place}.seed_offsets", offsets, self.folds or 0, "folds")
        return self


class StoredTrial(Stored):
    """`config.json` of a trial."""

    trial_id: Name
    number: Count
    params: dict[str, Any]
    config: dict[str, Any]


class StoredEnd(Stored):
    """`trial.json` of a trial."""

    status: Literal["COMPLETE", "PRUNED", "FAIL"]
    error: StrictStr | None = None
    fit_time_s: Share | None = None
    epochs: Count | None = None
    surroundings: StrictBool = False


class StoredFold(Stored):
    """`done.json` of a fold model."""

    value: Number | None = None
    reused: StrictBool = False
    made_of: StrictStr | None = None


class StoredClock(Stored):
    """`clock.json`: seconds by command."""

    search_s: Share | None = None
    run_s: Share | None = None


class StoredDriver(Stored):
    """`driver.json`."""

    host: StrictStr
    pid: Annotated[int, Field(strict=True, ge=1, le=2**31)]
    born_s: Number
    job_id: StrictStr | None
    job_address: StrictStr | None


class StoredGoal(Stored):
    """`goal.json`."""

    metric: StrictStr
    mode: Literal["max", "min"]


def checked(values: dict[str, Any], model: type[Stored], path: StorePath) -> dict[str, Any]:
    """Return a stored mapping as it is, after a check.

    Raises:
        RunCorrupt: the first problems, each with file, field and what it must be.
    """
    try:
        model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=True)
        lines = list(map(_line, found[:MAX_SHOWN]))
        more = f" (and {len(found) - MAX_SHOWN} more)" if len(found) > MAX_SHOWN else ""
        raise RunCorrupt(f"{path}: {'; '.join(dict.fromkeys(lines))}{more}") from None
    return values


def require(values: Mapping[str, Any], keys: tuple[str, ...], path: StorePath) -> None:
    """Raise RunCorrupt where a stored mapping lacks one of the keys."""
    if lacking := [key for key in keys if key not in values or (key not in MAY_BE_EMPTY and values[key] in (None, []))]:
        raise RunCorrupt(f"{path} lacks {', '.join(lacking)}; `foldtune ensemble` writes it again")


def _line(detail: Any) -> str:
    place = ".".join(map(str, detail["loc"]))
    message = str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    given = detail["input"]
    shown = "" if isinstance(given, dict | list) or detail["type"] == "missing" else f", not {_cut(given)}"
    return f"{place}: {message[:1].lower()}{message[1:]}{shown}" if place else f"{message}{shown}"


def _cut(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "an integer of many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _require_length(name: str, values: list[Any], length: int, what: str) -> None:
    if len(values) != length:
        raise ValueError(f"{name}: {len(values)} of {length} {what}")


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
