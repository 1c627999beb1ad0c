"""Policies that spend a budget of epochs on recorded trainings, and the configuration that each picks.

A recording holds, for C configurations, K folds and E epochs, the best-so-far value (higher is better) and the
held-out loss of that epoch. Trials run one after another, so that a policy alone decides what is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RUNG = 3
"""Epoch of ASHA's first rung, a third of the epochs, and its reduction factor."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Best-so-far values and losses (C, K, E) of recorded trainings.

    Attributes:
        truth: (C,) mean over all folds of the value of the best epoch, which is what the ensemble would get.
    """

    values: Floats
    losses: Floats

    @property
    def truth(self) -> Floats:
        return np.asarray(self.values[:, :, -1].mean(axis=1))


@dataclass
class Spent:
    """What a policy has seen: by configuration its value on each fold that it was trained on to the end."""

    budget: int
    seen: dict[int, dict[int, float]] = field(default_factory=dict)
    rungs: dict[object, list[tuple[float, float]]] = field(default_factory=dict)

    def pay(self, epochs: int) -> bool:
        """Take epochs from the budget; return whether there were so many."""
        self.budget -= epochs
        return self.budget >= 0

    def passes(self, rung: object, value: float, loss: float = 0.0) -> bool:
        """Record a value at a rung as Ray Tune's ASHA does; return whether it is in the upper third of those before."""
        before = self.rungs.setdefault(rung, [])
        ranked = sorted(before)
        cut = ranked[int(np.ceil((1 - 1 / RUNG) * (len(ranked) - 1)))] if ranked else (-np.inf, -np.inf)
        before.append((value, -loss))
        return (value, -loss) >= cut


def train(recording: Recording, spent: Spent, config: int, fold: int, asha: bool, ties: bool, rung: object) -> bool:
    """Train one configuration on one fold; return whether it came to its end within the budget."""
    epochs = recording.values.shape[2]
    if asha:
        if not spent.pay(RUNG):
            return False
        value = recording.values[config, fold, RUNG - 1]
        loss = recording.losses[config, fold, RUNG - 1] if ties else 0.0
        if not spent.passes(rung, value, loss):
            return True
        epochs -= RUNG
    if not spent.pay(epochs):
        return False
    spent.seen.setdefault(config, {})[fold] = float(recording.values[config, fold, -1])
    return True


def effects(seen: dict[int, dict[int, float]], folds: int) -> Floats:
    """Return the effect (K,) of each fold on a value, shrunk where few trials stand behind it; mean 0 of unseen ones.

    Residuals of each trial from the mean of all, averaged by fold, times n / (n + 1).
    """
    pairs = [(fold, value) for values in seen.values() for fold, value in values.items()]
    overall = float(np.mean([value for _, value in pairs])) if pairs else 0.0
    result = np.zeros(folds)
    for fold in range(folds):
        own = [value - overall for at, value in pairs if at == fold]
        result[fold] = np.mean(own) * len(own) / (len(own) + 1) if own else 0.0
    return result


Proposals = Callable[[Callable[[], dict[int, float]]], Iterator[int]]
"""From a function that gives the values seen so far, by configuration, to the configurations in their order."""


@dataclass(frozen=True)
class Policy:
    """One way to spend the epochs.

    Attributes:
        name: as the table shows it.
        step: function from recording, what was spent, a configuration and its turn to whether the budget lasts.
        corrected: whether values count less the effects of their folds.
    """

    name: str
    step: Callable[[Recording, Spent, int, int], bool]
    corrected: bool = False

    def run(self, recording: Recording, proposals: Proposals, budget: int) -> tuple[int, float]:
        """Return the configuration that is picked and the value by which it is."""
        spent = Spent(budget)

        def current() -> dict[int, float]:
            return ranking(spent.seen, recording.values.shape[1] if self.corrected else 0)

        for turn, config in enumerate(proposals(current)):
            if not self.step(recording, spent, config, turn):
                break
        found = current()
        deepest = max((len(spent.seen[config]) for config in found), default=0)
        best = max((c for c in found if len(spent.seen[c]) == deepest), key=found.__getitem__, default=0)
        return best, found.get(best, float("nan"))


def ranking(seen: dict[int, dict[int, float]], folds: int = 0) -> dict[int, float]:
    """Return the mean of each configuration's values, less the folds' effects where `folds` is their number."""
    effect = effects(seen, folds) if folds else None
    return {
        config: float(np.mean([value - (0 if effect is None else effect[fold]) for fold, value in values.items()]))
        for config, values in seen.items()
    }


def first(asha: bool, ties: bool = False) -> Policy:
    """All trials on fold 0."""

    def step(recording: Recording, spent: Spent, config: int, turn: int) -> bool:
        return train(recording, spent, config, 0, asha, ties, "first")

    return Policy("fold 0" + _suffix(asha, ties), step)


def rotated(asha: bool, ties: bool = False) -> Policy:
    """Trial i on fold i mod K, the folds' effects taken out; rungs of a fold compare the trials of that fold."""

    def step(recording: Recording, spent: Spent, config: int, turn: int) -> bool:
        fold = turn % recording.values.shape[1]
        return train(recording, spent, config, fold, asha, ties, fold)

    return Policy("fold i mod K, less its effect" + _suffix(asha, ties), step, corrected=True)


def promoted(asha: bool, ties: bool = False) -> Policy:
    """Fold 0 first; a trial in the upper third of those with as many folds earns the next one."""

    def step(recording: Recording, spent: Spent, config: int, turn: int) -> bool:
        return _fold_after_fold(
            recording, spent, config, asha, ties, lambda fold, own: spent.passes(("folds", fold), _mean(own))
        )

    return Policy("the best earn further folds" + _suffix(asha, ties), step)


def raced(asha: bool, ties: bool = False) -> Policy:
    """Fold after fold while the mean is not below the incumbent's on the same folds (Bergman et al., AutoML 2024)."""

    def step(recording: Recording, spent: Spent, config: int, turn: int) -> bool:
        whole = [values for values in spent.seen.values() if len(values) == recording.values.shape[1]]
        incumbent = max(whole, key=_mean, default=None)

        def may_continue(fold: int, own: dict[int, float]) -> bool:
            return incumbent is None or _mean(own) >= _mean({each: incumbent[each] for each in own})

        return _fold_after_fold(recording, spent, config, asha, ties, may_continue)

    return Policy("racing from the start" + _suffix(asha, ties), step)


def everything(asha: bool, ties: bool = False) -> Policy:
    """Every trial on all folds."""

    def step(recording: Recording, spent: Spent, config: int, turn: int) -> bool:
        return _fold_after_fold(recording, spent, config, asha, ties, lambda fold, own: True)

    return Policy("all folds" + _suffix(asha, ties), step)


def _fold_after_fold(
    recording: Recording,
    spent: Spent,
    config: int,
    asha: bool,
    ties: bool,
    may_continue: Callable[[int, dict[int, float]], bool],
) -> bool:
    """Train one configuration fold after fold while `may_continue`; return whether the budget lasts.

    Early stopping within a fold is for those that have earned nothing yet: on fold 0 alone.
    """
    for fold in range(recording.values.shape[1]):
        if not train(recording, spent, config, fold, asha and fold == 0, ties, "first"):
            return False
        own = spent.seen.get(config, {})
        if fold not in own or not may_continue(fold, own):
            return True
    return True


def _mean(values: dict[int, float]) -> float:
    return float(np.mean(list(values.values())))


def _suffix(asha: bool, ties: bool) -> str:
    return (", ASHA" if asha else "") + (", ties by loss" if ties else "")


def policies() -> Sequence[Policy]:
    """Return all policies, with ASHA and without, and with ties that are broken by the held-out loss."""
    kinds = (first, rotated, promoted, raced, everything)
    return [kind(asha, ties) for kind in kinds for asha, ties in ((False, False), (True, False), (True, True))]


def at_random(order: Iterable[int]) -> Proposals:
    """Propose configurations in a given order."""
    return lambda current: iter(order)
