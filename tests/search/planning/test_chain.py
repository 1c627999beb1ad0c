"""The whole chain on a simulated clock: trials, folds and vote whose true times the planner has to find out."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldtune.results.records.ranking import Goal, finalists
from foldtune.results.records.trials import TrialRecord
from foldtune.search.planning.budget import Budget
from foldtune.search.planning.fold_plan import FoldPlan, fitted, forecast_s
from foldtune.search.planning.fold_time import FoldTime
from foldtune.search.planning.reserve import MAX_FOLDS_SHARE, START_S, FoldNeeds
from foldtune.search.planning.search_time import SearchTime
from foldtune.search.planning.timings import Timings

GOAL = Goal("accuracy", "max")
TICK_S = 1.0
STOP_S = 4.0
"""Seconds until workers that are ended are gone."""


def trial(number: int, epochs: int, epoch_s: float, status: Any = "COMPLETE", value: float = 0.5) -> TrialRecord:
    metrics = {"accuracy": value + number * 1e-4} if epochs else {}
    config = {"model_name": "resnet18"}
    return TrialRecord(
        f"{number:04d}", number, status, {}, config, epochs, 1, metrics, epochs * epoch_s, 200.0, 1.0, None
    )


@dataclass
class World:
    """What the planner cannot know, and the clock."""

    limit_s: float
    slots: int
    trials: int = 1000
    epochs: int = 6
    rung: int = 2
    epoch_s: float = 4.0
    start_s: float = 3.0
    slow_from: int = 10**6
    lost: frozenset[int] = frozenset()
    fold_factor: float = 1.0
    vote_s: float = 6.0
    wanted: FoldPlan = field(default_factory=lambda: FoldPlan(5, 5, 1, 6))
    now_s: float = 0.0
    first_submission_s: float = math.inf
    voted: tuple[int, int] | None = None
    records: dict[int, TrialRecord] = field(default_factory=dict)

    def budget(self, used_s: float = 0.0) -> Budget:
        return Budget(self.limit_s, used_before_s=used_s, clock=lambda: self.now_s, wall=lambda: self.now_s)

    def run(self) -> float:
        """Search, folds, vote; the seconds that all of it took."""
        budget = self.budget()
        needs = FoldNeeds(GOAL, self.wanted, (100, 50), slots=lambda: self.slots, vote_s=lambda: self.vote_s)
        self.search(SearchTime(budget, self.rung, needs.reserve(budget.total_s)))
        if any(record.epochs for record in self.records.values()):
            self.folds(needs, budget)
        return self.now_s

    def search(self, time: SearchTime) -> None:
        """Trials in their slots; one in three goes on after the first rung."""
        running: list[tuple[float, int, int]] = []
        started = 0
        while True:
            while started < self.trials and len(running) < self.slots and time.may_start():
                heapq.heappush(running, (self.now_s + self.start_s + self.seconds(started, 1), started, 1))
                started += 1
            if not running:
                return
            if time.is_over():
                for _, number, epoch in running:
                    self.end(number, epoch - 1, "PRUNED")
                self.now_s += STOP_S
                return
            if running[0][0] > self.now_s + TICK_S:
                self.now_s += TICK_S
                continue
            self.now_s, number, epoch = heapq.heappop(running)
            stops = epoch == self.epochs or (epoch == self.rung and number % 3)
            self.end(number, epoch, ("COMPLETE" if epoch == self.epochs else "PRUNED") if stops else "RUNNING")
            if stops:
                time.note_overhead(self.start_s)
                self.first_submission_s = min(self.first_submission_s, self.now_s)
            else:
                heapq.heappush(running, (self.now_s + self.seconds(number, epoch + 1), number, epoch + 1))
            if stops or time.needs_plan:
                time.plan(list(self.records.values()))

    def seconds(self, number: int, epoch: int) -> float:
        slow = 4.0 if number >= self.slow_from else 1.0
        died = self.start_s + self.epoch_s if number in self.lost and epoch == 2 else 0.0
        return slow * self.epoch_s + died

    def end(self, number: int, epochs: int, status: str) -> None:
        slow = 4.0 if number >= self.slow_from else 1.0
        self.records[number] = trial(number, epochs, slow * self.epoch_s, status)

    def folds(self, needs: FoldNeeds, budget: Budget) -> None:
        """Fold models in their slots, member by member; what is whole at the end votes."""
        chosen = finalists(self.records.values(), GOAL, self.wanted.finalists)
        costs = needs.costs(chosen, Timings.of(self.records.values()))
        assert costs is not None
        wanted = FoldPlan(min(len(chosen), self.wanted.finalists), *list(vars(self.wanted).values())[1:])
        plan = fitted(wanted, costs, budget.left_s())
        if plan is None:
            return
        time = FoldTime(budget.left_s, costs.vote_s)
        waiting = [(place, fold) for place in range(plan.finalists) for fold in range(plan.folds)]
        running: list[tuple[float, float, tuple[int, int]]] = []
        done: set[tuple[int, int]] = set()
        self.now_s += costs.session_s * self.fold_factor
        while (waiting or running) and not time.is_over():
            while waiting and len(running) < self.slots:
                forecast = costs.model_s(plan, *waiting[0])
                if not time.may_start(forecast):
                    waiting.clear()
                    break
                heapq.heappush(running, (self.now_s + forecast * self.fold_factor, forecast, waiting.pop(0)))
            if running and running[0][0] <= self.now_s + TICK_S:
                self.now_s, forecast, job = heapq.heappop(running)
                time.note(forecast, forecast * self.fold_factor)
                done.add(job)
            elif running:
                self.now_s += TICK_S
        self.now_s += (STOP_S if running else 0.0) + self.vote_s
        whole = [place for place in range(plan.finalists) if all((place, f) in done for f in range(plan.folds))]
        self.voted = (len(whole), plan.folds) if whole else None


worlds = st.builds(
    World,
    limit_s=st.floats(60, 6_000),
    slots=st.sampled_from([1, 2, 8, 64]),
    trials=st.sampled_from([1, 3, 20, 80]),
    epochs=st.integers(1, 12),
    epoch_s=st.floats(0.2, 300),
    start_s=st.floats(0, 20),
    slow_from=st.sampled_from([0, 1, 3, 10, 10**6]),
    lost=st.frozensets(st.integers(0, 20), max_size=5),
    fold_factor=st.floats(0.5, 2.5),
    vote_s=st.floats(1, 30),
    wanted=st.builds(
        FoldPlan, st.integers(1, 8), st.integers(2, 10), st.sampled_from([1, 2, 6]), st.sampled_from([6, 12])
    ),
)


@given(worlds)
def test_the_limit_is_kept_whatever_happens(world: World) -> None:
    took_s = world.run()
    assert took_s <= world.limit_s + max(20.0, 0.03 * world.limit_s) + world.vote_s * 0.5 + STOP_S
    if world.first_submission_s < world.limit_s:
        assert any(record.epochs for record in world.records.values())


@settings(max_examples=8)
@given(st.floats(900, 9_000), st.sampled_from([1, 2, 4]), st.integers(250, 400), st.floats(0, 1), st.integers(1, 3))
def test_nine_tenths_of_the_time_are_used_where_forecasts_hold(
    limit_s: float, slots: int, epochs: int, start: float, top: int
) -> None:
    epoch_s = limit_s / epochs
    world = World(limit_s, slots, 10**5, epoch_s=epoch_s, start_s=start * epoch_s, wanted=FoldPlan(top, 5, 1, 6))
    assert 0.9 * limit_s <= world.run() <= limit_s + max(20.0, 0.03 * limit_s)
    assert world.voted == (top, 5), "trials gave way first"


def test_many_slots_are_filled_to_the_end() -> None:
    world = World(300.0, 64, 10**5, epoch_s=20.0, wanted=FoldPlan(5, 5, 1, 6))
    assert 270.0 <= world.run() <= 320.0
    assert world.voted == (5, 5)


@given(st.floats(200, 1000), st.floats(20, 60))
def test_folds_give_way_where_trials_would_have_nothing(limit_s: float, epoch_s: float) -> None:
    world = World(limit_s, 1, epoch_s=epoch_s, epochs=12, rung=1, wanted=FoldPlan(5, 5, 1, 12), start_s=1.0)
    world.run()
    searched = [record.epochs for record in world.records.values()]
    assert sum(searched) * epoch_s >= 0.8 * (1 - MAX_FOLDS_SHARE) * limit_s - 3 * epoch_s
    if world.voted is not None:
        assert world.voted[0] < 5


def test_one_trial_is_possible() -> None:
    world = World(60.0, 1, epoch_s=10.0, rung=4, epochs=12)
    world.run()
    assert len(world.records) == 1
    assert world.records[0].epochs >= 4, "folds would take nearly all of the time: the trial has it"


@pytest.mark.parametrize("slots", [1, 64])
def test_a_slow_last_trial_is_ended_with_its_epochs(slots: int) -> None:
    world = World(400.0, slots, slow_from=12, epoch_s=5.0)
    took_s = world.run()
    assert took_s <= 420.0
    assert {record.status for record in world.records.values()} <= {"COMPLETE", "PRUNED"}
    assert world.voted is not None


def test_longer_folds_than_forecast_leave_whole_members() -> None:
    exact, slow = World(900.0, 2), World(900.0, 2, fold_factor=2.2)
    assert exact.run() <= 920.0
    assert slow.run() <= 927.0
    assert exact.voted == (5, 5)
    assert slow.voted is not None
    assert 1 <= slow.voted[0] < 5


def test_the_forecast_after_three_trials_is_right_within_a_quarter() -> None:
    """Without a limit, for trials that take what the first three took."""
    world = World(1e9, 2, trials=12)
    needs = FoldNeeds(GOAL, world.wanted, (100, 50), slots=lambda: 2, vote_s=lambda: 6.0)
    at_three: list[float] = []

    class Watched(SearchTime):
        def plan(self, records: Any) -> None:
            super().plan(records)
            ended = [record for record in records if record.status != "RUNNING"]
            if len(ended) == 3 and not at_three:
                at_three.append(world.now_s / 3 * world.trials + self.reserve_s)

    world.search(Watched(world.budget(), world.rung, needs.reserve(math.inf)))
    world.folds(needs, world.budget())
    assert at_three[0] == pytest.approx(world.now_s, rel=0.25)


def test_a_fold_model_costs_what_its_own_trial_cost() -> None:
    needs = FoldNeeds(GOAL, FoldPlan(2, 3, 1, 10), (90, 400), vote_s=lambda: 5.0)
    records = [trial(0, 10, 2.0), trial(1, 4, 6.0, "PRUNED")]
    costs = needs.costs(records, Timings.of(records))
    assert costs is not None
    # Two folds of the first, whose fold 0 is there; three of the second; 400 rows at 200/s for each of six models.
    assert forecast_s(needs.plan, costs) == pytest.approx(2 * 20 + 3 * 60 + 5 * START_S + 6 * 2 + 10 + 5)


def test_a_budget_counts_running_time_and_a_moment_stays_where_it_is() -> None:
    now = [100.0]
    limited = Budget(60.0, used_before_s=20.0, clock=lambda: now[0], wall=lambda: now[0])
    moment = Budget(ends_at_s=150.0, used_before_s=20.0, clock=lambda: now[0], wall=lambda: now[0])
    now[0] = 130.0
    assert (limited.used_s(), limited.left_s(), limited.total_s) == (50.0, 10.0, 60.0)
    assert (moment.used_s(), moment.left_s(), moment.total_s) == (50.0, 20.0, 70.0)
    part = moment.part(0.5)
    now[0] = 133.0
    assert part.left_s() == 7.0
    assert Budget().left_s() == math.inf
    assert Budget(clock=lambda: 0.0).part(0.5, 9.0).total_s == 9.0
