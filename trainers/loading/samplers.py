"""The order in which an epoch visits the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.components import number
from foldtune.wording import unknown

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sampler:
    """Every row once an epoch, shuffled."""

    def epoch_size(self, classes: Rows) -> int:
        """Rows of every epoch, given the training rows' classes (N,)."""
        return len(classes)

    def order(self, rows: Rows, classes: Rows, epoch: int, seed: int) -> Rows:
        """`rows` (N,) in a random order that follows from (seed, epoch); `classes` (N,) is not used."""
        order: Rows = _generator(seed, epoch).permutation(rows)
        return order


@dataclass(frozen=True)
class _ClassSampler(Sampler):
    """A number of rows of each class, of which all rows of the class come equally often, to within one visit."""

    strength: float = number(0.5, 0.0, 1.0)

    def order(self, rows: Rows, classes: Rows, epoch: int, seed: int) -> Rows:
        """`epoch_size` of the `rows` (N,), some repeated, in a random order that follows from (seed, epoch).

        `classes` (N,) are the rows' classes, of the training fold alone.
        """
        rng = _generator(seed, epoch)
        _, index, counts = np.unique(classes, return_inverse=True, return_counts=True)
        drawn = [_repeat(rows[index == c], int(quota), rng) for c, quota in enumerate(self._quotas(counts, rng))]
        order: Rows = rng.permutation(np.concatenate(drawn))
        return order

    def _quotas(self, counts: Rows, rng: np.random.Generator) -> Rows:
        """Rows of an epoch (C,) of each class, of which there are `counts`."""
        raise NotImplementedError


class BalancedSampler(_ClassSampler):
    """Small classes more often: class c gets a share of the epoch proportional to n_c^(1 - strength).

    `strength` 0 leaves the data as they are, 1 visits every class equally often. An epoch still has N rows.
    """

    def _quotas(self, counts: Rows, rng: np.random.Generator) -> Rows:
        share = counts ** (1.0 - self.strength)
        return _round_to_total(share / share.sum() * counts.sum(), rng)


class ImbalancedSampler(_ClassSampler):
    """Large classes less often and small ones more often at once: class c has n_c^(1 - strength)·g^strength rows.

    g is the geometric mean of the class sizes n_c. `strength` 0 leaves the data as they are, 1 gives every class
    g rows. An epoch has the sum of these, rounded a class and at least 1, the same number every epoch; under
    imbalance it is shorter than N, so that training is quicker than with "balanced". Which rows of a large class
    come changes from epoch to epoch.
    """

    def epoch_size(self, classes: Rows) -> int:
        return int(self._quotas(np.unique(classes, return_counts=True)[1], _generator(0, 0)).sum())

    def _quotas(self, counts: Rows, rng: np.random.Generator) -> Rows:
        log_sizes = np.log(counts)
        sizes = np.exp((1.0 - self.strength) * log_sizes + self.strength * log_sizes.mean())
        quotas: Rows = np.maximum(np.rint(sizes), 1).astype(np.int64)
        return quotas


SAMPLERS: dict[str, type[Sampler]] = {
    "none": Sampler,
    "balanced": BalancedSampler,
    "imbalanced": ImbalancedSampler,
}


def build_sampler(name: str, **params: Any) -> Sampler:
    """The sampler `name` of `SAMPLERS`."""
    if name not in SAMPLERS:
        raise ValueError(unknown("sampler", name, SAMPLERS))
    return SAMPLERS[name](**params)


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch])


def _round_to_total(shares: npt.NDArray[np.float64], rng: np.random.Generator) -> Rows:
    """Whole numbers with the sum of `shares` and, over many draws, their means (systematic sampling)."""
    edges = np.floor(np.cumsum(shares) + rng.random())
    edges[-1] = np.floor(shares.sum() + 0.5)
    edges = np.minimum(edges, edges[-1])
    quotas: Rows = np.diff(edges, prepend=0).astype(np.int64)
    return quotas


def _repeat(rows: Rows, quota: int, rng: np.random.Generator) -> Rows:
    whole, rest = divmod(quota, len(rows))
    drawn: Rows = np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])
    return drawn
