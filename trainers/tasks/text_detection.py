"""Polygons of text in an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from foldtune.errors import DataError, Problem, TrialFailed
from foldtune.trainers.arrays.lazy import ArrayMemo, LazyRows
from foldtune.trainers.data.readers import READERS, Reader
from foldtune.trainers.deferred import torch
from foldtune.trainers.detection import frames
from foldtune.trainers.detection.forms.icdar import IcdarFolder
from foldtune.trainers.detection.frames import annotations_of
from foldtune.trainers.detection.metric import Counts, count, map_loss, vote_boxes
from foldtune.trainers.detection.polygons import balanced_bins, count_polygons, pad, summary
from foldtune.trainers.detection.postprocess import BoxSettings, check_box_settings, find_boxes
from foldtune.trainers.detection.sweep import DEFAULT_GRID, MAX_CURVES, Curves, best_settings, count_each, sweep
from foldtune.trainers.detection.table import BoxesJson, read_polygons
from foldtune.trainers.detection.targets import draw_maps
from foldtune.trainers.losses import SPATIAL, losses_for
from foldtune.trainers.networks.models import BY_LAYER
from foldtune.trainers.tasks.base import Annotation, Ids, Mode, Postprocess, Predictions, Scores, Targets, Task

if TYPE_CHECKING:
    from torch import nn

    from foldtune.trainers.loading.augment import Augmentation
    from foldtune.trainers.settings import TrialSettings

_PROBABILITIES = (np.arange(256) / 255).astype(np.float16)
_BINS = 4
_MIN_IN_BIN = 20
_CURVES: ArrayMemo[Curves] = ArrayMemo(MAX_CURVES)


@dataclass(frozen=True)
class TextDetection(Task):
    """Text as polygons: a network gives a map of probabilities, regions of it grow to boxes (DBNet).

    Logits are kept as probabilities in a byte a pixel, scores are half-precision floats, so a map of 960x480 takes
    half a megabyte. Boxes are in shares of width and height, under which IoU does not change; a submission has them
    in pixels of the original image.

    Attributes:
        target: the column of boxes.
        image_size: height and width of the prepared images.
        notes: what was left out of the labels, and what was changed, with how many.
    """

    name: ClassVar[str] = "text_detection"
    metrics: ClassVar[Mapping[str, Mode]] = MappingProxyType(
        {
            "hmean": "max",
            "precision": "max",
            "recall": "max",
            "loss": "min",  # of the map, against the shrunk text
        }
    )
    default_metric: ClassVar[str] = "hmean"
    tunable_metrics: ClassVar[frozenset[str]] = frozenset({"hmean", "precision", "recall"})
    losses: ClassVar[tuple[str, ...]] = losses_for(SPATIAL)
    votings: ClassVar[tuple[str, ...]] = ("soft", "hard")
    postprocess_names: ClassVar[tuple[str, ...]] = ("thresh", "box_thresh", "max_candidates", "unclip_ratio")
    option_names: ClassVar[tuple[str, ...]] = ("image_size", "resize")
    readers: ClassVar[tuple[Reader, ...]] = (IcdarFolder(), BoxesJson(), *READERS)

    target: str
    image_size: tuple[int, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        target: str | Sequence[str],
        *,
        image_size: int | Sequence[int] = 640,
        resize: str = "squash",
        **options: Any,
    ) -> Self:
        if options or not isinstance(target, str):
            raise TypeError(f"{cls.name} takes one column of boxes, image_size and resize, not {target!r}, {options}")
        if resize != "squash":
            problem = f"boxes would not lie where the text is after resize '{resize}'; use squash"
            raise DataError([f"{problem}, and an image_size [height, width] of the images' usual form"])
        labels = read_polygons(frame, target, "the table")
        if not any(labels.polygons):
            raise DataError([f"column '{target}' has no usable box in {len(frame)} images", *summary(labels.notes)])
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        return cls(target, (int(height), int(width)), summary(labels.notes))

    def encode(self, frame: pd.DataFrame, source: Path | str = "the table") -> Targets:
        return pad(read_polygons(frame, self.target, source).polygons)

    @property
    def label_names(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def label_warnings(self) -> tuple[str, ...]:
        return self.notes

    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        """(N,) bins of the number of boxes, of at least 20 images each."""
        return balanced_bins(count_polygons(targets), _BINS, _MIN_IN_BIN)

    def sampling_classes(self, targets: Targets) -> npt.NDArray[np.int64]:
        return np.asarray(count_polygons(targets) > 0, dtype=np.int64)

    def class_counts(self, targets: Targets) -> npt.NDArray[np.int64]:
        return np.array([count_polygons(targets).sum()], dtype=np.int64)

    @property
    def head_size(self) -> int:
        return 1

    def build_model(self, settings: TrialSettings) -> nn.Module:
        from foldtune.trainers.detection.model import build_detector

        return build_detector(
            settings.model_name,
            pretrained=settings.pretrained,
            drop_rate=settings.drop_rate,
            drop_path_rate=settings.drop_path_rate,
        )

    def check_settings(self, settings: TrialSettings) -> list[Problem]:
        from foldtune.trainers.detection.model import check_encoder

        problems = check_encoder(settings.model_name)
        if settings.head.name != "linear":
            problems.append(Problem("head", f"task {self.name} has heads of its own; use linear, or leave it out"))
        problems += [
            Problem(name, f"task {self.name} trains all layers alike; use {off:g}, or leave it out")
            for name, off in BY_LAYER.items()
            if getattr(settings, name) != off
        ]
        return problems

    def collate(self, targets: Targets, image_size: tuple[int, int]) -> Any:
        """Maps of a batch, each (B, H, W): text and counted as bytes, threshold and border as half floats."""
        drawn = [draw_maps(target, image_size) for target in targets]
        types = {"text": np.uint8, "counted": np.uint8, "threshold": np.float16, "border": np.uint8}
        return {
            name: torch.from_numpy(np.stack([getattr(maps, name).astype(kind) for maps in drawn]))
            for name, kind in types.items()
        }

    def augment(
        self, transform: Augmentation, image: npt.NDArray[np.uint8], target: Any
    ) -> tuple[npt.NDArray[np.uint8], Any]:
        """The corners go with the image as points; NaN where a polygon has left it, or lost a corner."""
        height, width = image.shape[:2]
        there = ~np.isnan(target[..., 0])
        image, points = transform.with_points(image, target[there] * (width, height))
        height, width = image.shape[:2]
        moved = np.full_like(target, np.nan)
        moved[there] = points / (width, height)
        low, high = np.fmin.reduce(moved, axis=1), np.fmax.reduce(moved, axis=1)
        torn = (there & np.isnan(moved[..., 0])).any(axis=1)  # a corner is lost, and with it the form
        moved[((high <= 0) | (low >= 1)).any(axis=1) | torn] = np.nan
        return image, moved

    def quantize_outputs(self, logits: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Probabilities (B, 1, H, W) in 255ths of float logits of the same shape.

        Raises:
            TrialFailed: logits that are not finite.
        """
        if not np.isfinite(logits).all():
            raise TrialFailed("maps are not finite; the lr may be too high")
        return np.asarray(np.rint(255 * expit(logits)), dtype=np.uint8)

    def scores(self, logits: npt.NDArray[Any]) -> Scores:
        """(N, H, W) float16 of logits, quantized or not; each map is computed when it is read."""
        quantized = logits if logits.dtype == np.uint8 else self.quantize_outputs(logits)
        return cast("Scores", LazyRows.of(quantized, lambda each: np.asarray(_PROBABILITIES[each[0]])))

    def default_postprocess(self) -> dict[str, Any]:
        return BoxSettings().to_dict()

    def check_postprocess(self, postprocess: Postprocess) -> list[Problem]:
        return check_box_settings(postprocess)

    def predict(self, scores: Scores, postprocess: Postprocess | None = None) -> Predictions:
        settings = BoxSettings.of(postprocess)
        return _objects([find_boxes(each, settings) for each in scores])

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        return {**count(predictions, targets).figures(), "loss": map_loss(scores, targets)}

    def evaluate_each(
        self, scores: Scores, postprocesses: Sequence[Postprocess], targets: Targets
    ) -> Iterator[dict[str, float]]:
        loss = map_loss(scores, targets)
        for counts in count_each(scores, targets, [BoxSettings.of(each) for each in postprocesses]):
            yield {**counts.figures(), "loss": loss}

    def metric_value(self, metric: str, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        if metric in self.tunable_metrics:
            return float(getattr(count(predictions, targets), metric))
        return super().metric_value(metric, scores, predictions, targets)

    def per_class(self, predictions: Predictions, targets: Targets) -> list[dict[str, Any]]:
        counts: Counts = count(predictions, targets)
        figures = {"precision": counts.precision, "recall": counts.recall, "f1": counts.hmean}
        return [{"label": "text", **figures, "support": counts.polygons}]

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """The best combination of the usual values by a sweep; of equals the one nearest to the default."""
        self.mode(metric)  # raises for an unknown metric
        default = BoxSettings()
        if metric not in self.tunable_metrics:
            return default.to_dict()
        return best_settings(sweep(scores, targets, DEFAULT_GRID, _CURVES), DEFAULT_GRID, metric, default).to_dict()

    def hard_vote(
        self, member_predictions: Sequence[Predictions], mean: Scores, soft: Predictions, min_votes: int | None
    ) -> Predictions:
        return _objects([vote_boxes(boxes, min_votes) for boxes in zip(*member_predictions, strict=True)])

    def submission_frame(
        self,
        ids: Ids | Sequence[str],
        predictions: Predictions,
        columns: Sequence[str],
        *,
        scores: Scores | None = None,
        image_sizes: npt.NDArray[np.int64] | None = None,
    ) -> pd.DataFrame:
        """As `foldtune.trainers.detection.frames.submission_frame`.

        Coordinates are pixels of the original pictures where `image_sizes` are given, else of the prepared images.
        """
        return frames.submission_frame(list(ids), predictions, columns, self._sizes(predictions, image_sizes))

    def prediction_frame(
        self, scores: Scores, predictions: Predictions, *, image_sizes: npt.NDArray[np.int64] | None = None
    ) -> pd.DataFrame:
        """As `foldtune.trainers.detection.frames.prediction_frame`, coordinates as those of a submission."""
        return frames.prediction_frame(scores, predictions, self._sizes(predictions, image_sizes))

    def _sizes(self, predictions: Predictions, given: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
        return np.broadcast_to(self.image_size, (len(predictions), 2)) if given is None else given

    def annotations(self, predictions: npt.NDArray[Any], target: npt.NDArray[Any] | None = None) -> list[Annotation]:
        return annotations_of(predictions, target)

    def to_dict(self) -> dict[str, Any]:
        return {"task": self.name, **asdict(self), "image_size": list(self.image_size), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        height, width = values["image_size"]
        return cls(str(values["target"]), (int(height), int(width)), tuple(values["notes"]))


def _objects(arrays: Sequence[npt.NDArray[Any]]) -> Predictions:
    """(N,) arrays of their own lengths."""
    rows = np.empty(len(arrays), dtype=object)
    for place, each in enumerate(arrays):
        rows[place] = each
    return rows
