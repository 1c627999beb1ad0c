"""The fold models of a stored ensemble: which of them predict, on which pixels, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError, RunCorrupt, WorkError
from foldtune.results.runs.ensemble_dir import ALL_ROWS, EnsembleDir, predicting_models
from foldtune.results.storage.files import read_locally
from foldtune.search.predict.description import check_weights
from foldtune.search.voting.combiner import EnsembleCombiner
from foldtune.trainers.arrays.voting import mean_scores
from foldtune.trainers.images.cache import Prepared, prepare_images
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.inference.predictor import InferenceOptions
from foldtune.trainers.inference.trained import trained_logits
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.parsing import parse_settings


class SubtaskProgress:
    """The sum of several subtasks, each of which counts from 0, for one progress bar.

    Args:
        progress: callback (done, total) of the whole.
        total: units of all subtasks together.
    """

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def subtask(self) -> Callable[[int, int], None]:
        """Return the callback (done, total) of the next subtask."""
        before = self._done

        def report(done: int, _: int) -> None:
            self._done = before + done
            self._progress(self._done, self._total)

        return report

    def skip(self, count: int) -> None:
        """Count units that need not be done."""
        self._done += count


def decode_images(
    paths: Sequence[Path],
    preprocessing: ImagePreprocessing,
    scratch: Path,
    decoders: int,
    progress: SubtaskProgress,
) -> Prepared:
    """Decode image files into the folder `scratch` with `decoders` processes.

    Raises:
        WorkError: no room in `scratch`.
    """
    try:
        return prepare_images(
            paths,
            preprocessing,
            cache_dir=scratch,
            workers=decoders,
            progress=progress.subtask(),
            on_broken="report",
        )
    except DataError as error:
        raise WorkError(f"{error} (TMPDIR names the folder for decoded images)") from None


def unreadable_images(prepared: Prepared) -> list[tuple[int, str]]:
    """Return index and reason of each image that could not be read."""
    indices = np.flatnonzero(~prepared.keep).tolist()
    return [(index, error.reason) for index, error in zip(indices, prepared.broken, strict=True)]


@dataclass(frozen=True)
class PredictOptions:
    """How images are decoded and predicted.

    Attributes:
        batch_size: images at a time, >= 1.
        device: torch's name, None for a GPU where there is one.
        decoders: processes that decode, >= 1.
        on_one_colour: called with the files whose pixels are all alike, a part at a time.
        on_partly_read: called with the first image without scores, and why, of each case that is predicted from others,
            by its place in `NewImages.judged`, a part at a time.
    """

    batch_size: int
    device: str | None
    decoders: int
    on_one_colour: Callable[[Sequence[Path]], None] | None = None
    on_partly_read: Callable[[Mapping[int, str]], None] | None = None


@dataclass(frozen=True)
class StoredMembers:
    """Members of an ensemble, each one configuration trained on every fold."""

    directory: EnsembleDir
    description: Mapping[str, Any]
    task: Task

    @property
    def voters(self) -> dict[str, Mapping[str, Any]]:
        """Members with a weight above 0, by id: a weighted or greedy vote may give some of them none."""
        members = self.description["members"]
        return {
            member_id(member): member
            for member, weight in zip(members, self.combiner().weights, strict=True)
            if weight > 0
        }

    @property
    def models(self) -> int:
        """Number of models that predict."""
        return len(self.voters) * len(predicting_models(self.description))

    @property
    def preprocessings(self) -> tuple[ImagePreprocessing, ...]:
        """Distinct preprocessings of its voters: more than one only where they come from several runs."""
        return tuple(dict.fromkeys(self.preprocessing(member) for member in self.voters.values()))

    def preprocessing(self, member: Mapping[str, Any]) -> ImagePreprocessing:
        """Return the size and steps by which a member sees images."""
        return ImagePreprocessing.from_dict({**self.description, **member})  # a member's own keys go first

    def case_reduce(self, name: str) -> str:
        """Return how a voter scores a case by its images."""
        return str(self.voters[name].get("case_reduce", "mean"))

    def combiner(self) -> EnsembleCombiner:
        """Return the fitted vote."""
        return EnsembleCombiner.from_dict(self.description)

    def check_weights(self) -> None:
        """Raise RunCorrupt where weights of a voter are damaged or those of another network."""
        models = predicting_models(self.description)
        for name in self.voters:
            check_weights([self.directory.weights_path(name, *model) for model in models])

    def scores(
        self,
        member: Mapping[str, Any],
        prepared: Prepared,
        keep: npt.NDArray[np.bool_],
        options: PredictOptions,
        progress: SubtaskProgress,
        *,
        each_model: bool = False,
    ) -> list[npt.NDArray[Any]]:
        """Return the scores (N, ...) of a member on the images of the mask `keep`: the mean of its models'.

        Args:
            each_model: whether to return those of each model instead, as cases need, which are reduced before the mean.
        """
        settings = parse_settings(member["config"], self.task)
        inference = replace(
            InferenceOptions.of_settings(self.task, settings),
            batch_size=options.batch_size,
            device=options.device,
            tta=member.get("tta") or settings.tta,
        )
        model_scores = []
        for model in predicting_models(self.description):
            weights = self.directory.weights_path(member_id(member), *model)
            with read_locally(weights) as local:
                if local is None:
                    raise RunCorrupt(f"cannot read weights {weights}: the file is gone")
                logits = trained_logits(
                    self.task,
                    settings,
                    local,
                    prepared.source,
                    np.flatnonzero(keep[prepared.keep]),
                    inference,
                    progress.subtask(),
                )
            added = np.asarray(_offset(member, *model), dtype=logits.dtype)
            model_scores.append(self.task.scores(logits + added if added.any() else logits))
        return model_scores if each_model else [mean_scores(model_scores)]


def _offset(member: Mapping[str, Any], fold: int, seed: int) -> Any:
    """Return the offset of a model's logits that aligns it with those of the other folds, 0 for none."""
    if fold == ALL_ROWS or "fold_offsets" not in member:
        return 0.0
    return (member["seed_offsets"][seed - 1] if seed else member["fold_offsets"])[fold]


def member_id(member: Mapping[str, Any]) -> str:
    """Id of a member; in an ensemble of one run it is the trial's."""
    return str(member.get("id", member["trial_id"]))
