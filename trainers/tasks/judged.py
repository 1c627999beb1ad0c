"""Finer classes that are trained, coarser ones that are judged: the scores of what is one to the judge are summed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from foldtune.canonical import Spellings
from foldtune.errors import DataError
from foldtune.trainers.tasks.base import Postprocess, Predictions, Scores, Targets, Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.ordinal import Ordinal, is_number
from foldtune.wording import first_few, unknown

if TYPE_CHECKING:
    import pandas as pd


class _OfPart:
    """A value or method of a part of the task; read of the class, that of the part's class."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: Judged | None, owner: type[Judged]) -> Any:
        part = getattr(owner, f"{self._part}_class") if task is None else getattr(task, self._part)
        return getattr(part, self._name)


def _trained() -> Any:
    return _OfPart("trained")


def _judged() -> Any:
    return _OfPart("judged")


@dataclass(frozen=True)
class Judged(Task):
    """A task of K classes that is judged by C <= K: network, loss, sampler and targets are of the K, all else of the C.

    Attributes:
        trained: task of the K classes.
        judged: task of the C classes.
        mapping: (K,) index of the judged class of each trained one.
    """

    trained_class: ClassVar[type[Multiclass]]
    judged_class: ClassVar[type[Task]]
    metrics = _judged()
    tunable_metrics = _judged()
    default_metric = _judged()

    trained: Multiclass
    judged: Task
    mapping: tuple[int, ...]

    def __init_subclass__(cls, trained: type[Multiclass], judged: type[Task], **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.trained_class, cls.judged_class = trained, judged
        cls.name, cls.losses = trained.name, trained.losses
        cls.votings = judged.votings
        cls.postprocess_names = judged.postprocess_names
        cls.option_names = (*judged.option_names, "judge_map")

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        """The task of a labelled table; option ``judge_map``: trained label → judged label, by default each its own."""
        given: Mapping[str, str] | None = options.pop("judge_map", None)
        trained = cls.trained_class.from_frame(frame, target)
        names = _judged_names(trained, given)
        column = np.array(names, dtype=object)[trained.encode(frame)]
        judged = cls.judged_class.from_frame(frame.assign(**{trained.target: column}), target, **options)
        codes = judged.encode(frame.iloc[: len(names)].assign(**{trained.target: names}))
        return cls(trained, judged, tuple(map(int, codes)))

    @property
    def target(self) -> str:
        """The column of labels."""
        return self.trained.target

    def coarse(self, targets: Targets) -> npt.NDArray[np.int64]:
        """Return the judged class (N,) of trained ones."""
        return np.asarray(self.mapping, dtype=np.int64)[targets]

    # What is trained

    @property
    def trained_names(self) -> tuple[str, ...]:
        return self.trained.label_names

    head_size = _trained()
    encode = _trained()
    strata = _trained()
    sampling_classes = _trained()
    class_counts = _trained()
    build_model = _trained()
    build_loss = _trained()
    collate = _trained()
    check_settings = _trained()
    quantize_outputs = _trained()
    fold_offsets = _trained()

    def label_notes(self, frame: pd.DataFrame) -> tuple[str, ...]:
        groups: dict[str, list[str]] = {name: [] for name in self.label_names}
        for label, place in zip(self.trained_names, self.mapping, strict=True):
            groups[self.label_names[place]].append(label)
        shown = "; ".join(f"{name}: {first_few(of, 8)}" for name, of in groups.items())
        numbers = f"{len(self.mapping)} classes are trained and {len(groups)} judged"
        return (*self.trained.label_notes(frame), f"{numbers} (data.judge_map): {shown}")

    def for_training(self, train_targets: Targets) -> Self:
        judged = self.judged.for_training(self.coarse(train_targets))
        return type(self)(self.trained.for_training(train_targets), judged, self.mapping)

    # What is judged

    label_names = _judged()
    has_single_score = _judged()
    default_postprocess = _judged()
    check_postprocess = _judged()
    predict = _judged()
    hard_vote = _judged()
    submission_frame = _judged()
    prediction_frame = _judged()

    def support(self, targets: Targets) -> dict[str, int]:
        return self.judged.support(self.coarse(targets))

    def as_predictions(self, targets: Targets) -> Predictions:
        return self.judged.as_predictions(self.coarse(targets))

    def scores(self, logits: npt.NDArray[Any]) -> Scores:
        """Sums (N, C) of the trained classes' scores; of two judged classes (N,), that of the positive one."""
        sums = np.asarray(self.trained.scores(logits)) @ np.eye(len(self.label_names))[list(self.mapping)]
        return np.minimum(sums[:, 1] if isinstance(self.judged, Binary) else sums, 1.0)

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        return self.judged.evaluate(scores, predictions, self.coarse(targets))

    def evaluate_each(
        self, scores: Scores, postprocesses: Sequence[Postprocess], targets: Targets
    ) -> Iterator[dict[str, float]]:
        return self.judged.evaluate_each(scores, postprocesses, self.coarse(targets))

    def metric_value(self, metric: str, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        return self.judged.metric_value(metric, scores, predictions, self.coarse(targets))

    def per_class(self, predictions: Predictions, targets: Targets) -> list[dict[str, Any]]:
        return self.judged.per_class(predictions, self.coarse(targets))

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        return self.judged.fit_postprocess(scores, self.coarse(targets), metric)

    def to_dict(self) -> dict[str, Any]:
        parts = {"trained": self.trained.to_dict(), "judged": self.judged.to_dict(), "mapping": list(self.mapping)}
        return {"task": self.name, "target": self.target, "judged_as": self.judged.name, **parts}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        parts = [values.get(name) for name in ("trained", "judged")]
        if not all(isinstance(part, Mapping) for part in parts) or not isinstance(values.get("mapping"), list):
            raise DataError([f"not a task of kind {cls.name} with judged classes: no trained, judged or mapping"])
        trained, judged = cls.trained_class.from_dict(values["trained"]), cls.judged_class.from_dict(values["judged"])
        mapping = tuple(values["mapping"])
        strange = [each for each in mapping if type(each) is not int or not 0 <= each < len(judged.label_names)]
        if strange or len(mapping) != len(trained.labels):
            raise DataError(["the mapping of trained classes to judged ones does not fit their numbers"])
        return cls(trained, judged, mapping)


class MulticlassAsBinary(Judged, trained=Multiclass, judged=Binary):
    """Classes of which two groups are judged."""


class MulticlassAsMulticlass(Judged, trained=Multiclass, judged=Multiclass):
    """Classes of which groups are judged."""


class OrdinalAsBinary(Judged, trained=Ordinal, judged=Binary):
    """Levels of which two groups are judged."""


class OrdinalAsMulticlass(Judged, trained=Ordinal, judged=Multiclass):
    """Levels of which groups without an order are judged."""


class OrdinalAsOrdinal(Judged, trained=Ordinal, judged=Ordinal):
    """Levels of which coarser levels are judged."""


_ALL: tuple[type[Judged], ...] = (
    MulticlassAsBinary,
    MulticlassAsMulticlass,
    OrdinalAsBinary,
    OrdinalAsMulticlass,
    OrdinalAsOrdinal,
)
JUDGED: Mapping[tuple[str, str], type[Judged]] = {(task.name, task.judged_class.name): task for task in _ALL}
"""Names of the trained and of the judged task → the task of both."""


def judged_task(task: type[Task], judge_map: Mapping[str, str] | None) -> type[Task]:
    """Return the task that trains `task` and judges what `judge_map` makes of its labels; `task` without one.

    Two judged labels are task binary; of levels, numbers are levels again; all others are task multiclass.

    Raises:
        DataError: a task that has no such classes.
    """
    if judge_map is None:
        return task
    if task.name not in {trained for trained, _ in JUDGED}:
        valid = ", ".join(sorted({trained for trained, _ in JUDGED}))
        raise DataError([f"the task {task.name} has no classes to sum up; valid: {valid}"])
    names = set(judge_map.values())
    if len(names) == 2:
        return JUDGED[task.name, Binary.name]
    return JUDGED[task.name, task.name if task.name != Ordinal.name or all(map(is_number, names)) else Multiclass.name]


def judging_task(task: Task) -> Task:
    """Return the task whose classes are judged, and whose scores a network's are summed to; most are it themselves."""
    return task.judged if isinstance(task, Judged) else task


def _judged_names(trained: Multiclass, judge_map: Mapping[str, str] | None) -> list[str]:
    if judge_map is None:
        return list(trained.labels)
    spellings = Spellings(judge_map)
    found = {label: spellings.find(label) for label in trained.labels}
    problems = [
        f"column '{trained.target}': judge_map lacks a label: {unknown('label', label, judge_map)}"
        for label, key in found.items()
        if key is None
    ]
    if problems:
        raise DataError(problems[:5])
    return [judge_map[str(found[label])] for label in trained.labels]
