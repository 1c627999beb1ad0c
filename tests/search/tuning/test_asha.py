"""Stopping: Ray's own ASHA as the reference, on trials that are only numbers."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from foldtune.cluster.ray_internals import record_in_bracket
from foldtune.results.records.ranking import Goal
from foldtune.search.tuning.asha import FIFO, ResumableASHA
from foldtune.search.workers.trainable import TRIAL_KEY

METRIC = "accuracy"
MAX_EPOCHS, GRACE, REDUCTION = 27, 2, 3.0


@dataclass(frozen=True)
class RayTrial:
    """What a scheduler sees of a Ray trial."""

    trial_id: str


def resumable(mode: str = "max", **options: Any) -> ResumableASHA:
    settings = {"max_epochs": MAX_EPOCHS, "grace_epochs": GRACE, "reduction_factor": REDUCTION}
    return ResumableASHA(Goal(METRIC, mode), **{**settings, **options})  # type: ignore[arg-type]


def stock(mode: str = "max") -> ASHAScheduler:
    return ASHAScheduler("epoch", METRIC, mode, max_t=MAX_EPOCHS, grace_period=GRACE, reduction_factor=REDUCTION)


def curves(trials: int, seed: int) -> np.ndarray:
    """Best-so-far values (trials, MAX_EPOCHS), rising at different paces to different ends."""
    rng = np.random.default_rng(seed)
    epochs = np.arange(1, MAX_EPOCHS + 1)
    ends, paces = rng.uniform(0.3, 1.0, (trials, 1)), rng.uniform(0.05, 0.5, (trials, 1))
    noisy = ends * (1 - np.exp(-paces * epochs)) + rng.normal(0, 0.02, (trials, MAX_EPOCHS))
    return np.maximum.accumulate(noisy, axis=1)


def simulate(trials: int, slots: int, seed: int, stops: Callable[[int, int], bool]) -> None:
    """Call `stops(trial, epoch)` in the order of a simulated clock: `slots` workers, trials of different speeds.

    A worker whose trial stops, or is at its budget, takes the next one.
    """
    epoch_s = np.random.default_rng(seed).uniform(0.5, 2.0, trials)
    clock = [(float(epoch_s[trial]), trial, 1) for trial in range(slots)]
    waiting = iter(range(slots, trials))
    while clock:
        now, trial, epoch = heapq.heappop(clock)
        if not stops(trial, epoch):
            heapq.heappush(clock, (now + float(epoch_s[trial]), trial, epoch + 1))
        elif (fresh := next(waiting, None)) is not None:
            heapq.heappush(clock, (now + float(epoch_s[fresh]), fresh, 1))


def result(trial: int, epoch: int, value: float) -> dict[str, Any]:
    return {TRIAL_KEY: f"{trial:04d}", "epoch": epoch, METRIC: value, "done": epoch >= MAX_EPOCHS}


def answer(scheduler: ASHAScheduler, trial: RayTrial, report: dict[str, Any]) -> bool:
    """What Ray's loop does with a report; whether the trial stops."""
    if report["epoch"] == 1:
        scheduler.on_trial_add(None, trial)
    stops = report["done"] or scheduler.on_trial_result(None, trial, report) == TrialScheduler.STOP
    if stops:
        scheduler.on_trial_complete(None, trial, report)
    return bool(stops)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("seed", range(3))
def test_stops_exactly_the_trials_that_rays_own_asha_stops(mode: str, seed: int) -> None:
    values = curves(40, seed) * (1 if mode == "max" else -1)
    ours, rays = resumable(mode), stock(mode)
    stopped = []

    def stops(trial: int, epoch: int) -> bool:
        report = result(trial, epoch, float(values[trial, epoch - 1]))
        decision = answer(ours, RayTrial(f"ray-{trial}"), report)
        assert decision == answer(rays, RayTrial(f"ray-{trial}"), report), (trial, epoch)
        if decision and epoch < MAX_EPOCHS:
            stopped.append(epoch)
        return decision

    simulate(40, 4, seed, stops)
    assert len(stopped) > 15, "a search in which nothing is stopped shows nothing"
    assert min(stopped) >= GRACE


@pytest.mark.parametrize("brackets", [1, 3])
@pytest.mark.parametrize("restart_after", [1, 37, 90, 150])
def test_a_restarted_driver_decides_as_one_that_ran_on(restart_after: int, brackets: int) -> None:
    """After a restart Ray's trials have new ids, and what was filed comes from the stored epochs."""
    values = curves(40, 7)
    whole = resumable(brackets=brackets)
    schedulers = [resumable(brackets=brackets)]
    stored: dict[int, dict[int, float]] = {}

    def stops(trial: int, epoch: int) -> bool:
        report = result(trial, epoch, float(values[trial, epoch - 1]))
        decision = answer(whole, RayTrial(f"ray-{trial}"), report)
        assert answer(schedulers[-1], RayTrial(f"{len(schedulers)}-{trial}"), report) == decision, (trial, epoch)
        stored.setdefault(trial, {})[epoch] = report[METRIC]
        if sum(map(len, stored.values())) == restart_after:
            schedulers.append(resumable(brackets=brackets))
            for known, epochs in stored.items():
                schedulers[-1].replay(f"{known:04d}", epochs)
                schedulers[-1].on_trial_add(None, RayTrial(f"2-{known}"))
        return decision

    simulate(40, 4, 7, stops)
    assert len(schedulers) == 2


def test_each_bracket_decides_as_rays_asha_that_begins_at_its_first_rung() -> None:
    values, ours = curves(60, 3), resumable(brackets=3, seed=5)
    rays = [
        ASHAScheduler("epoch", METRIC, "max", max_t=MAX_EPOCHS, grace_period=grace, reduction_factor=REDUCTION)
        for grace in (2, 6, 18)
    ]
    stopped: list[tuple[int, int]] = []

    def stops(trial: int, epoch: int) -> bool:
        report, bracket = result(trial, epoch, float(values[trial, epoch - 1])), ours.bracket(f"{trial:04d}")
        decision = answer(ours, RayTrial(f"ray-{trial}"), report)
        assert decision == answer(rays[bracket], RayTrial(f"ray-{trial}"), report), (trial, epoch)
        if decision and epoch < MAX_EPOCHS:
            stopped.append((bracket, epoch))
        return decision

    simulate(60, 4, 3, stops)
    assert set(stopped) == {(0, 2), (0, 6), (0, 18), (1, 6), (1, 18), (2, 18)}


def test_brackets_have_hyperbands_shares_by_the_runs_seed_and_the_trials_number() -> None:
    """n of algorithm 1 with eta 3 and three halvings at most: 27, 12, 6 and 4 configurations."""
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    asha, other = resumable(brackets=4, seed=1), resumable(brackets=4, seed=2)
    drawn = [asha.bracket(f"{number:04d}") for number in range(1000)]
    again = resumable(brackets=4, seed=1)
    assert drawn == [again.bracket(f"{number:04d}") for number in range(1000)]
    assert drawn != [other.bracket(f"{number:04d}") for number in range(1000)]
    assert (np.random.get_state()[1] == before).all()
    expected = np.array([4 / (s + 1) * 3.0**s for s in (3, 2, 1, 0)])
    np.testing.assert_allclose(np.bincount(drawn) / 1000, expected / expected.sum(), atol=0.05)
    assert {resumable().bracket(f"{number:04d}") for number in range(9)} == {0}


def test_replay_returns_whether_the_last_epoch_stops_the_trial() -> None:
    asha = resumable()
    for trial in range(6):
        assert not asha.replay(f"good-{trial}", {1: 0.8, GRACE: 0.9})
    assert asha.replay("weak", {1: 0.1, GRACE: 0.2})
    assert not asha.replay("weak too, but between rungs", {1: 0.1, GRACE: 0.2, GRACE + 1: 0.2})
    assert not asha.replay("at its budget", {MAX_EPOCHS: 0.1})


def test_a_failure_and_a_nan_neither_stop_nor_move_the_cut() -> None:
    asha, trial = resumable(), RayTrial("a")
    for number in range(6):
        asha.replay(f"good-{number}", {GRACE: 0.9})
    asha.on_trial_add(None, trial)
    failed = {TRIAL_KEY: "failed", "error": "loss became nan", "done": True}
    assert asha.on_trial_result(None, trial, failed) == TrialScheduler.CONTINUE
    asha.on_trial_complete(None, trial, failed)
    assert not asha.replay("nan", {GRACE: float("nan")})
    assert asha.replay("weak", {GRACE: 0.5})
    assert not asha.replay("good", {GRACE: 0.95})


def test_a_training_that_its_patience_ends_counts_in_the_rung_of_its_last_epoch() -> None:
    """Its last report has `done` before the budget is spent, as Ray's own ASHA counts it."""
    ours, rays = resumable(), stock()
    weak = RayTrial("weak")
    for asha in (ours, rays):
        for number in range(1, 7):
            trial = RayTrial(f"ray-{number}")
            assert not answer(asha, trial, result(number, 1, 0.8))
            assert answer(asha, trial, {**result(number, GRACE, 0.9), "done": True})
        assert not answer(asha, weak, result(0, 1, 0.5))
        assert answer(asha, weak, result(0, GRACE, 0.5))


def test_a_worker_that_died_may_repeat_an_epoch() -> None:
    asha, trial = resumable(), RayTrial("a")
    asha.on_trial_add(None, trial)
    report = result(0, GRACE, 0.5)
    assert asha.on_trial_result(None, trial, report) == TrialScheduler.CONTINUE
    for number in range(1, 7):
        asha.replay(f"{number:04d}", {GRACE: 0.9})
    asha.on_trial_add(None, trial)  # as Ray does when it starts the trial again
    assert asha.on_trial_result(None, trial, report) == TrialScheduler.CONTINUE


def test_values_are_recorded_in_the_rungs_of_rays_bracket() -> None:
    asha = stock()
    (bracket,) = asha._brackets
    milestones = [milestone for milestone, recorded in bracket._rungs]
    assert milestones == [18.0, 6.0, 2.0]
    assert record_in_bracket(asha, "a", GRACE, 1.0) == TrialScheduler.CONTINUE
    assert bracket._rungs[-1][1] == {"a": 1.0}


@dataclass(frozen=True)
class WaitingTrial:
    """What a scheduler sees of a trial that waits for a worker."""

    trial_id: str
    config: dict[str, str]
    status: str = "PENDING"


class Controller:
    """What a scheduler sees of Ray Tune's loop."""

    def get_trials(self) -> list[WaitingTrial]:
        return [WaitingTrial("a", {TRIAL_KEY: "0000"})]


def test_no_trial_is_named_whose_worker_may_be_starting() -> None:
    assert stock().choose_trial_to_run(Controller()) is not None, "Ray's own names it, and gives it a free worker"
    for scheduler in (resumable(), FIFO()):
        assert scheduler.choose_trial_to_run(Controller()) is None


def test_the_trial_of_a_dead_worker_is_noted() -> None:
    for scheduler in (resumable(), FIFO()):
        (trial,) = Controller().get_trials()
        scheduler.on_trial_add(None, trial)
        scheduler.on_trial_error(None, trial)
        assert scheduler.dead == {"0000": trial}
