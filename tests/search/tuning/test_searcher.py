"""The searcher and the recorder behind it, with a real study and store and without a Ray cluster."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from foldtune.errors import RunCorrupt, StorageFull
from foldtune.results.records.ranking import Goal, finalists
from foldtune.results.records.trials import EpochRow, TrialRecord
from foldtune.results.runs.store import RunStore
from foldtune.search.faults.worker_deaths import MAX_RETRIES, Cause, WorkerRetryPolicy
from foldtune.search.tuning.proposals import Planned, Proposer
from foldtune.search.tuning.recorder import Recorder, reopen_failed, stored_trial
from foldtune.search.tuning.sampler import make_sampler
from foldtune.search.tuning.searcher import StudySearcher
from foldtune.search.tuning.study import ensure_default, open_study, reconcile
from foldtune.search.workers.surroundings import SURROUNDINGS_KEY
from foldtune.search.workers.trainable import HALVINGS_KEY, TRIAL_KEY
from foldtune.spaces import Space

SPACE = Space.parse({"lr": {"loguniform": [1e-5, 1e-1]}, "drop_rate": {"uniform": [0.0, 0.5]}})
METRIC = "accuracy"


class Driver:
    """What Ray Tune's loop would do, by hand."""

    def __init__(self, folder: Path, *, limit: int = 10, slots: int = 2, **options: Any) -> None:
        self.store = RunStore(folder / "runs/skin")
        self.store.root.mkdir(parents=True, exist_ok=True)
        self.study = open_study("skin", self.store.study_path, url=None, mode="max", resume=True)
        self.finished: list[TrialRecord] = []
        self.failures: list[Exception] = []
        self.slots = slots
        self.recorder = Recorder(
            self.store,
            self.study,
            Goal(METRIC, "max"),
            keep_weights=2,
            max_failed_trials=options.pop("max_failed_trials", 3),
            on_finished=self.finished.append,
        )
        self.cause = Cause("lost", "killed")
        ensure_default(self.study, SPACE.default())
        self.searcher = StudySearcher(
            Proposer(
                self.study,
                SPACE,
                self.recorder,
                lambda index: make_sampler(0, index, startup_trials=3),
                stored=len(self.store.trials()),
                unfinished=options.pop("interrupted", ()),
                planned=Planned(options.pop("planned", ()), [record.params for record in self.store.trials()]),
            ),
            self.recorder,
            Goal(METRIC, "max"),
            limit=limit,
            slots=lambda: self.slots,
            retry_policy=WorkerRetryPolicy(lambda trial_id: self.cause),
            on_failure=self.failures.append,
            may_start=options.pop("may_start", lambda: True),
        )

    def epoch(self, key: str, ray_id: str, epoch: int, value: float) -> dict[str, Any]:
        """A worker stores an epoch and reports it."""
        row = EpochRow(epoch, {METRIC: value}, epoch, {METRIC: value}, 1.0, 100.0, 1e-3, 64, 0.4)
        self.store.trial(key).append_epoch(row)
        self.store.trial(key).weights_path.write_bytes(b"weights")
        result = {TRIAL_KEY: key, "epoch": epoch, METRIC: value, "done": False, "finished": False}
        self.searcher.on_trial_result(ray_id, result)
        return result


@pytest.fixture
def driver(tmp_path: Path) -> Callable[..., Driver]:
    return lambda **options: Driver(tmp_path, **options)


def test_the_default_comes_first_and_never_more_than_the_slots(driver: Callable[..., Driver]) -> None:
    here = driver(slots=2)
    assert here.searcher.suggest("a") == {TRIAL_KEY: "0000"}
    assert here.searcher.suggest("b") == {TRIAL_KEY: "0001"}
    assert here.searcher.suggest("c") is None
    records = here.store.trials()
    assert [record.number for record in records] == [0, 1]
    assert records[0].params == SPACE.default()
    here.slots = 3  # a node joined
    assert here.searcher.suggest("c") == {TRIAL_KEY: "0002"}
    here.searcher.on_trial_complete("a", {"error": "no"})
    assert here.searcher.suggest("d") == {TRIAL_KEY: "0003"}


def test_interrupted_trials_go_on_first_and_count(driver: Callable[..., Driver]) -> None:
    driver().searcher.suggest("a")
    here = driver(limit=2, slots=3, interrupted=["0000"])
    assert here.searcher.suggest("x") == {TRIAL_KEY: "0000"}
    assert here.searcher.suggest("y") == {TRIAL_KEY: "0001"}
    for ray_id, key in (("x", "0000"), ("y", "0001")):
        assert here.searcher.suggest("z") is None
        here.searcher.on_trial_complete(ray_id, {**here.epoch(key, ray_id, 1, 0.5), "finished": True})
    assert here.searcher.suggest("z") == Searcher.FINISHED


def test_what_is_planned_comes_once_after_the_default_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    grid = [{"lr": lr, "drop_rate": drop} for lr in (1e-4, SPACE.default()["lr"], 1e-2) for drop in (0.25, 0.1)]
    assert SPACE.default() in grid
    for start in (0, 3):
        here = Driver(tmp_path, slots=9, planned=iter(grid))
        for number in range(start, start + 3 + start // 3):
            assert here.searcher.suggest(f"{start}-{number}") == {TRIAL_KEY: f"{number:04d}"}
            if number == 2:  # the driver dies between a proposal and its trial's folder
                here.study.enqueue_trial(grid[-1])
    params = [record.params for record in here.store.trials()]
    rest = [each for each in grid[:-1] if each != SPACE.default()]
    assert params[:6] == [SPACE.default(), *rest[:2], grid[-1], *rest[2:]]
    assert params[6] not in grid, "then the sampler draws"


@pytest.mark.parametrize(
    ("last", "status", "state"),
    [
        ({"finished": True, "done": True}, "COMPLETE", TrialState.COMPLETE),
        ({"finished": False, "done": True}, "PRUNED", TrialState.PRUNED),  # Ray marks what it stops `done`, too
        ({METRIC: math.nan, "finished": True}, "FAIL", TrialState.FAIL),
        ({METRIC: math.inf, "finished": True}, "FAIL", TrialState.FAIL),
        ({"error": "loss became nan at epoch 3", "done": True}, "FAIL", TrialState.FAIL),
    ],
)
def test_an_end_is_in_the_store_the_study_and_the_leaderboard(
    driver: Callable[..., Driver], last: dict[str, Any], status: str, state: TrialState
) -> None:
    here = driver()
    here.searcher.suggest("a")
    here.epoch("0000", "a", 1, 0.4)
    result = here.epoch("0000", "a", 2, 0.6)
    here.store.trial("0000").checkpoint_path.write_bytes(b"checkpoint")
    here.searcher.on_trial_complete("a", {**result, **last})
    (record,) = here.store.trials()
    assert (record.status, record.metrics[METRIC]) == (status, 0.6)
    (trial,) = [trial for trial in here.study.trials if trial.number == 0]
    assert trial.state == state
    assert trial.value == (None if status == "FAIL" else 0.6)
    assert trial.intermediate_values == {1: 0.4, 2: 0.6}
    assert f"0000,{status}" in here.store.leaderboard_path.read_text()
    assert not here.store.trial("0000").checkpoint_path.exists()
    assert here.finished == [record]


def test_a_trial_whose_worker_died_is_proposed_again_before_any_other(driver: Callable[..., Driver]) -> None:
    here = driver(limit=3, slots=1)
    here.searcher.suggest("a")
    here.epoch("0000", "a", 1, 0.4)
    here.searcher.on_trial_complete("a", error=True)
    assert here.finished == []
    assert here.store.trial("0000").deaths() == [{"epoch": 1, "reason": "killed"}]
    assert here.searcher.suggest("b") == {TRIAL_KEY: "0000"}
    here.searcher.on_trial_complete("b", {**here.epoch("0000", "b", 2, 0.5), "finished": True})
    for ray_id, key in (("c", "0001"), ("d", "0002")):
        assert here.searcher.suggest(ray_id) == {TRIAL_KEY: key}, "the death took no trial from the search"
        assert here.searcher.suggest("x") is None, "its worker may die, too"
        here.searcher.on_trial_complete(ray_id, {**here.epoch(key, ray_id, 1, 0.5), "finished": True})
    assert here.searcher.suggest("e") == Searcher.FINISHED
    assert [record.status for record in here.finished] == ["COMPLETE"] * 3


def test_a_stored_epoch_counts_even_if_it_was_not_reported(driver: Callable[..., Driver]) -> None:
    here = driver(slots=1)
    here.searcher.suggest("a")
    row = EpochRow(1, {METRIC: 0.4}, 1, {METRIC: 0.4}, 1.0, 100.0, 1e-3, 64, 0.4)
    here.store.trial("0000").append_epoch(row)
    here.searcher.on_trial_complete("a", error=True)
    assert here.store.trial("0000").deaths() == [{"epoch": 1, "reason": "killed"}]


def test_a_worker_that_dies_again_and_again_in_one_epoch_fails_the_trial(driver: Callable[..., Driver]) -> None:
    here = driver(slots=1)
    for death in range(MAX_RETRIES):
        here.searcher.suggest(f"early-{death}")
        here.searcher.on_trial_complete(f"early-{death}", error=True)
    here.searcher.suggest("far")
    here.epoch("0000", "far", 1, 0.4)
    here.searcher.on_trial_complete("far", error=True)
    for death in range(MAX_RETRIES):
        assert here.finished == [], "an epoch was won in between"
        assert here.searcher.suggest(f"late-{death}") == {TRIAL_KEY: "0000"}
        here.searcher.on_trial_complete(f"late-{death}", error=True)
    (record,) = here.finished
    assert record.status == "FAIL"
    assert record.error == "its worker died 4 times without an epoch in between; the last time: killed"


def test_out_of_host_memory_halves_the_micro_batch_once(driver: Callable[..., Driver]) -> None:
    here = driver(slots=1)
    here.cause = Cause("memory", "its node ran out")
    assert here.searcher.suggest("a") == {TRIAL_KEY: "0000"}
    here.searcher.on_trial_complete("a", error=True)
    assert here.searcher.suggest("b") == {TRIAL_KEY: "0000", HALVINGS_KEY: 1}
    here.cause = Cause("lost", "killed")
    here.searcher.on_trial_complete("b", error=True)
    assert here.searcher.suggest("c") == {TRIAL_KEY: "0000"}, "the checkpoint remembers"
    here.cause = Cause("memory", "its node ran out")
    here.searcher.on_trial_complete("c", error=True)
    (record,) = here.finished
    assert (record.status, record.error) == ("FAIL", "its node ran out; again with half the micro-batch")


def test_a_silent_trial_fails_at_once(driver: Callable[..., Driver]) -> None:
    here = driver(slots=1)
    here.cause = Cause("timeout", "no report for 60 s")
    here.searcher.suggest("a")
    here.searcher.on_trial_complete("a", error=True)
    assert [(record.status, record.error) for record in here.finished] == [("FAIL", "no report for 60 s")]
    assert here.searcher.suggest("b") == {TRIAL_KEY: "0001"}


def test_one_trial_may_wait_where_no_slot_is_left(driver: Callable[..., Driver]) -> None:
    here = driver(slots=0)
    assert here.searcher.suggest("a") == {TRIAL_KEY: "0000"}
    assert here.searcher.suggest("b") is None


def test_unknown_and_repeated_ids_are_ignored(driver: Callable[..., Driver]) -> None:
    here = driver()
    here.searcher.on_trial_result("nobody", {METRIC: 0.5, "epoch": 1})
    here.searcher.on_trial_complete("nobody", {METRIC: 0.5, "epoch": 1, "finished": True})
    here.searcher.suggest("a")
    for _ in range(2):
        here.searcher.on_trial_complete("a", {"error": "no"})
    assert len(here.finished) == 1
    assert not here.failures


def test_without_time_for_one_more_the_search_ends_with_those_that_run(driver: Callable[..., Driver]) -> None:
    time_left = [True]
    here = driver(slots=2, may_start=lambda: time_left[0])
    assert here.searcher.suggest("a") == {TRIAL_KEY: "0000"}
    time_left[0] = False
    assert here.searcher.suggest("b") is None, "what runs goes on"
    here.searcher.on_trial_complete("a", {**here.epoch("0000", "a", 1, 0.5), "finished": True})
    assert here.searcher.suggest("b") == Searcher.FINISHED
    assert len(here.store.trials()) == 1


@pytest.mark.parametrize("epochs", [0, 2])
def test_the_end_of_the_time_prunes_a_trial_with_its_reason_and_its_epochs(
    driver: Callable[..., Driver], epochs: int
) -> None:
    here = driver()
    here.searcher.suggest("a")
    for epoch in range(1, epochs + 1):
        here.epoch("0000", "a", epoch, 0.1 * epoch)
    here.recorder.prune("0000", "the time limit was reached")
    (record,) = here.finished
    assert (record.status, record.epochs, record.error) == ("PRUNED", epochs, "the time limit was reached")
    (trial,) = [trial for trial in here.study.trials if trial.number == 0]
    assert trial.state == TrialState.PRUNED
    assert len(trial.intermediate_values) == epochs
    assert [each.trial_id for each in finalists([record], Goal(METRIC, "max"), 1)] == (["0000"] if epochs else [])


def test_failures_in_a_row_end_the_search_and_name_the_common_reason(driver: Callable[..., Driver]) -> None:
    here = driver(max_failed_trials=3)

    def end(name: str, result: dict[str, Any]) -> None:
        assert isinstance(here.searcher.suggest(name), dict)
        here.searcher.on_trial_complete(name, result)

    end("a", {"error": "out of memory"})
    end("b", {"error": "out of memory"})
    end("c", {METRIC: 0.5, "epoch": 1, "finished": True})
    assert here.recorder.stop_reason is None
    for name in "def":
        end(name, {"error": "out of memory" if name != "d" else "another"})
    assert here.recorder.stop_reason == "3 trials failed in a row; 2 of them with: out of memory"
    assert here.searcher.suggest("g") == Searcher.FINISHED


def test_weights_are_kept_for_the_best_alone(driver: Callable[..., Driver]) -> None:
    here = driver(limit=6, slots=1)
    for number, value in enumerate([0.5, 0.9, 0.7, 0.8, 0.95]):
        key = f"{number:04d}"
        assert here.searcher.suggest(key) == {TRIAL_KEY: key}
        result = here.epoch(key, key, 1, value)
        here.searcher.on_trial_complete(key, {**result, "finished": number != 4})  # the last one was stopped early
    assert sorted(path.parent.name for path in here.store.root.glob("trials/*/weights.safetensors")) == ["0001", "0003"]


def test_a_full_disk_ends_the_search_and_is_not_a_failure_of_the_trial(
    driver: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = driver()
    here.searcher.suggest("a")
    full = StorageFull("no space left")

    def finish(*args: Any, **kwargs: Any) -> None:
        raise full

    monkeypatch.setattr(here.recorder, "finish", finish)
    here.searcher.on_trial_complete("a", {METRIC: 0.5, "finished": True})
    assert here.failures == [full]
    assert here.store.trials()[0].status == "RUNNING"


def test_a_stored_trial_is_never_written_over(driver: Callable[..., Driver]) -> None:
    here = driver()
    here.searcher.suggest("a")
    before = here.store.trial("0000").config_path.read_bytes()
    with pytest.raises(RunCorrupt):
        here.recorder.start(0, SPACE.default(), {})
    assert here.store.trial("0000").config_path.read_bytes() == before


def test_the_same_seed_and_one_slot_propose_the_same(tmp_path: Path) -> None:
    def search(folder: Path) -> list[Any]:
        here = Driver(folder, slots=1)
        for number in range(6):
            key = f"{number:04d}"
            here.searcher.suggest(key)
            value = -abs(math.log10(here.store.trials()[-1].params["lr"]) + 3)
            here.searcher.on_trial_complete(key, {**here.epoch(key, key, 1, value), "finished": True})
        return [record.params for record in here.store.trials()]

    assert search(tmp_path / "a") == search(tmp_path / "b")


def test_finalists_are_complete_trials_before_stopped_ones(driver: Callable[..., Driver]) -> None:
    here = driver(limit=4, slots=1)
    for number, (value, finished) in enumerate([(0.5, True), (0.9, False), (0.7, True), (0.8, False)]):
        key = f"{number:04d}"
        here.searcher.suggest(key)
        here.searcher.on_trial_complete(key, {**here.epoch(key, key, 1, value), "finished": finished})
    records = here.store.trials()
    assert [r.trial_id for r in finalists(records, Goal(METRIC, "max"), 3)] == ["0002", "0000", "0001"]
    assert [r.trial_id for r in finalists(records, Goal(METRIC, "min"), 3)] == ["0000", "0002", "0003"]


def test_the_sampler_of_the_study_is_tpe_for_conditional_spaces() -> None:
    sampler = make_sampler(0, 3, startup_trials=7)
    assert isinstance(sampler, optuna.samplers.TPESampler)
    assert (sampler._multivariate, sampler._group, sampler._constant_liar) == (True, True, True)
    assert sampler._n_startup_trials == 7


def test_a_trial_whose_surroundings_failed_goes_on_when_the_search_is_resumed(driver: Callable[..., Driver]) -> None:
    """It keeps its checkpoint; its outcome is one more trial of the study, which cannot change an end."""
    here = driver(slots=2)
    for ray_id, key in (("a", "0000"), ("b", "0001")):
        here.searcher.suggest(ray_id)
        here.epoch(key, ray_id, 1, 0.4)
        here.store.trial(key).checkpoint_path.write_bytes(b"checkpoint")
    here.searcher.on_trial_complete("a", {"error": "images are away", SURROUNDINGS_KEY: True, "done": True})
    here.searcher.on_trial_complete("b", {"error": "loss is nan", "done": True})
    here.store.prune_weights([])
    assert [record.surroundings for record in here.store.trials()] == [True, False]
    assert here.store.trial("0000").checkpoint_path.exists()
    assert here.store.trial("0000").weights_path.exists()
    assert not here.store.trial("0001").checkpoint_path.exists()

    assert reopen_failed(here.store, every=False) == ["0000"]
    again = driver(interrupted=["0000"])
    assert again.searcher.suggest("c") == {TRIAL_KEY: "0000"}
    again.searcher.on_trial_complete("c", {**again.epoch("0000", "c", 2, 0.8), "finished": True})
    assert again.failures == []
    assert [record.status for record in again.store.trials()] == ["COMPLETE", "FAIL"]
    for _ in range(2):
        stored = [
            stored_trial(each, again.store.trial(each.trial_id), Goal(METRIC, "max")) for each in again.store.trials()
        ]
        reconcile(again.study, stored, SPACE.distributions())
        ended = [trial.state for trial in again.study.trials if trial.state.is_finished()]
        assert ended == [TrialState.FAIL, TrialState.FAIL, TrialState.COMPLETE]
    assert again.study.best_trial.params == again.study.trials[0].params
    assert again.study.best_value == 0.8
    assert again.searcher.suggest("d") == {TRIAL_KEY: "0002"}, "as the study's next one, which waited"


def test_every_failed_trial_is_tried_again_where_that_is_wanted(driver: Callable[..., Driver]) -> None:
    here = driver(slots=3)
    for number in range(3):
        here.searcher.suggest(str(number))
        here.epoch(f"{number:04d}", str(number), 1, 0.4)
    for number, result in enumerate(({"error": "loss is nan"}, {METRIC: 0.4, "finished": True}, {"error": "lr"})):
        here.searcher.on_trial_complete(str(number), result)
    here.store.trial("0002").metrics_path.write_bytes(b"{")
    here.store.trial("0002").config_path.write_bytes(b"{")
    assert reopen_failed(here.store, every=True) == ["0000"], "a trial that cannot be read stays as it is"


def test_a_lost_worker_is_of_the_surroundings_and_a_timeout_is_not(driver: Callable[..., Driver]) -> None:
    here = driver(slots=1)
    for kind, expected in (("lost", True), ("timeout", False)):
        here.cause = Cause(kind, "gone")  # type: ignore[arg-type]
        for attempt in range(MAX_RETRIES + 1):
            here.searcher.suggest(f"{kind}{attempt}")
            here.searcher.on_trial_complete(f"{kind}{attempt}", error=True)
            if here.finished and here.finished[-1].surroundings is expected and not here.searcher._live:
                break
        assert here.finished[-1].surroundings is expected
