"""A valid submission of the best trial so far, which stands on disk while its search goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from foldtune.cluster.resources import TrialResources
from foldtune.errors import FoldtuneError
from foldtune.results.records.ranking import finalists
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.store import RunStore
from foldtune.search.ensemble.build import Ensemble, build_ensemble
from foldtune.search.ensemble.fold_training import Terms
from foldtune.search.ensemble.plan import choose_finalists
from foldtune.search.ensemble.racing import Dropped
from foldtune.search.ensemble.sources import open_source
from foldtune.search.runs.run import Run
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome, FoldWork
from foldtune.search.workers.fold_model import ensure_trained

MAX_SHARE = 0.05
"""Part of the time since the start that goes into these submissions, from the second one on."""
FOLDER = "provisional"
"""Folder of a run that holds the ensemble of its best trial alone, until that of the folds stands."""


def provisional(run: Run) -> Run:
    """Return a run whose ensemble lies in FOLDER."""
    store = RunStore(run.store.root)
    store.ensemble = EnsembleDir(store.root / FOLDER)
    return replace(run, store=store)


def submit_best_trial(run: Run) -> Ensemble:
    """Write the ensemble of the best trial alone, evaluated on the fold that the search judged it by.

    Its model is the search's own, of a stopped trial too; nothing is trained.

    Args:
        run: result of `provisional`.
    """
    source = open_source(run, 1, None)
    plan = run.config.ensemble.model_copy(
        update={
            "top": 1,
            "folds": 1,
            "voting": "soft",
            "min_votes": None,
            "race": False,
            "tta": None,
            "seeds": 1,
            "refit": None,
        }
    )
    chosen = choose_finalists([run], plan)
    return build_ensemble([source], plan, chosen, _predict_here, _Unwatched(), Terms(as_searched=True))


def _predict_here(
    works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]
) -> Iterator[FoldOutcome]:
    return (ensure_trained(works[job.run][0], job) for job in jobs)


class _Unwatched:
    def on_outcome(self, outcome: FoldOutcome) -> None:
        """Show nothing."""

    def on_dropped(self, dropped: Sequence[Dropped]) -> None:
        """Show nothing."""


class StandingSubmission:
    """Written in a thread of its own, anew where a trial that finished is better.

    Args:
        on_written: called in that thread with the run of `provisional` and its ensemble.
        on_failure: called in that thread with the reason why there is none; what stood before still stands.
    """

    def __init__(
        self, run: Run, on_written: Callable[[Run, Ensemble], None], on_failure: Callable[[str], None]
    ) -> None:
        self._run = provisional(run)
        self._on_written, self._on_failure = on_written, on_failure
        self._started_s, self._took_s, self._last_s = time.monotonic(), 0.0, 0.0
        self._written: str | None = None
        self._due, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def consider(self) -> None:
        """Write a submission soon, where the best trial is another one than before."""
        if self._best() in (None, self._written):
            return
        self._due.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="standing submission", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Write no more; wait for what is being written, and for the first one that is due."""
        self._closed.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join(max(0.0, timeout_s))

    def write_now(self) -> None:
        """After `close`: write the best trial's submission where another's stands, or none."""
        alive = self._thread is not None and self._thread.is_alive()
        if not alive and self._best() not in (None, self._written):
            self._write()

    def _best(self) -> str | None:
        best = finalists(RunStore(self._run.store.root).trials(), self._run.goal, 1)
        return best[0].trial_id if best else None

    def _work(self) -> None:
        while not self._closed.is_set():
            self._due.wait()
            self._due.clear()
            affordable_s = self._started_s + (self._took_s + self._last_s) / MAX_SHARE
            if self._written is not None and self._closed.wait(max(0.0, affordable_s - time.monotonic())):
                return
            if self._best() not in (None, self._written):
                self._write()

    def _write(self) -> None:
        begun_s = time.monotonic()
        try:
            built = submit_best_trial(self._run)
            self._on_written(self._run, built)
            self._written = built.description["members"][0]["id"]  # a better one may have ended meanwhile
        except (FoldtuneError, OSError, ValueError) as error:
            self._on_failure(str(error))
        self._last_s = time.monotonic() - begun_s
        self._took_s += self._last_s
