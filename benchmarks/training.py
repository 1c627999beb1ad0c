"""The trainings of a stored search, to be repeated without foldtune's search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foldtune.search.data.dataset import Labelled
    from foldtune.trainers.fitting.fit import EpochReport


@dataclass(frozen=True)
class Trainings:
    """Data and settings of a run's trainings; `configs` in the order of the trials."""

    labelled: Labelled
    metric: str
    epochs: int
    seed: int
    configs: tuple[dict[str, Any], ...]

    def fit(self, number: int, report: Callable[[EpochReport], None] = lambda report: None) -> None:
        """Repeat the training of trial `number` in this process."""
        from foldtune.search.data.dataset import open_once
        from foldtune.trainers.fitting.fit import Fit, TrainSpec
        from foldtune.trainers.tasks.parsing import parse_settings

        labelled = self.labelled
        settings = parse_settings(self.configs[number], labelled.task)
        data = labelled.fold(0, open_once(labelled.table.paths, labelled.images))
        spec = TrainSpec(settings, labelled.task, data, self.metric, self.epochs, self.seed)
        Fit(spec).run(report)


def trainings_of(run: Path, trials: int) -> Trainings:
    """Return the first `trials` trainings of a finished run."""
    from foldtune.search.runs.run import open_run, reopen_labelled

    opened = open_run(str(run), run.parent)
    search = opened.config.search
    return Trainings(
        reopen_labelled(opened, 1, None),
        opened.goal.metric,
        search.max_epochs,
        search.seed,
        tuple(dict(record.config) for record in opened.store.trials()[:trials]),
    )
