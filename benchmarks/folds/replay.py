"""Compare fold policies at equal epochs by the true value of the configurations they pick.

`python -m benchmarks.folds [--orders 200] [--output FILE]`, after `benchmarks.folds.record` has made the tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

from benchmarks.folds.policies import (
    Floats,
    Policy,
    Proposals,
    Recording,
    at_random,
    first,
    policies,
    promoted,
    rotated,
)
from benchmarks.folds.record import GROUPS, HERE, checked_of
from benchmarks.images import DEFAULT_DATA
from foldtune.search.tuning.sampler import make_sampler

BUDGETS = (90, 180, 270)
"""Epochs of a search: 10, 20 and 30 trials of fold 0 to their end, out of 40."""
STARTUP_TRIALS = 8


def read(name: str) -> Recording:
    """Return the recorded values, best so far, and losses of a data set."""
    table = pd.read_csv(HERE / f"{name}.csv").sort_values(["config", "fold", "epoch"])
    shape = tuple(table[column].nunique() for column in ("config", "fold", "epoch"))
    values = table["value"].to_numpy().reshape(shape)
    return Recording(np.maximum.accumulate(values, axis=2), table["loss"].to_numpy().reshape(shape))


def by_tpe(name: str, data: Path, seed: int) -> Proposals:
    """Propose as the search does: the default, random draws, then TPE; each time the nearest configuration left.

    Nearest by the share of parameters that differ, numbers by their distance over the range drawn.
    """
    space = checked_of(name, data).space
    known = json.loads((HERE / f"{name}.json").read_text())
    ranges = {
        key: np.ptp([_scaled(c[key]) for c in known if key in c]) or 1.0
        for key in {key for c in known for key in c}
        if all(isinstance(c.get(key, 0), (int, float)) for c in known)
    }

    def propose(current: Callable[[], dict[int, float]]) -> Iterator[int]:
        study = optuna.create_study(direction="maximize")
        left = list(range(len(known)))
        for turn in range(len(known)):
            told = current()
            study = optuna.create_study(direction="maximize", sampler=make_sampler(seed, turn, STARTUP_TRIALS))
            for config, value in told.items():
                study.add_trial(
                    optuna.trial.create_trial(
                        params=known[config],
                        distributions={k: v for k, v in space.distributions().items() if k in known[config]},
                        value=value,
                    )
                )
            wanted = space.default() if turn == 0 else space.suggest(study.ask())
            config = min(left, key=lambda c: _distance(known[c], wanted, ranges))
            left.remove(config)
            yield config

    return propose


def _scaled(value: Any) -> float:
    return float(np.log10(value)) if isinstance(value, float) and 0 < value < 0.2 else float(value)


def _distance(one: dict[str, Any], other: dict[str, Any], ranges: dict[str, float]) -> float:
    keys = one.keys() | other.keys()
    return sum(
        abs(_scaled(one[key]) - _scaled(other[key])) / ranges[key]
        if key in one and key in other and key in ranges
        else float(one.get(key) != other.get(key))
        for key in keys
    ) / len(keys)


def compare(recording: Recording, budget: int, chosen: list[Policy], orders: list[Proposals]) -> pd.DataFrame:
    """Return, for each policy, the truth of its picks, its standard error, its difference from today's and the gap."""
    picked: dict[str, list[tuple[int, float]]] = {
        policy.name: [policy.run(recording, order, budget) for order in orders] for policy in chosen
    }
    truth: Floats = recording.truth
    today = truth[[config for config, _ in picked[first(asha=True).name]]]
    rows = []
    for name, found in picked.items():
        true = truth[[config for config, _ in found]]
        difference = true - today
        rows.append(
            {
                "policy": name,
                "true value": true.mean(),
                "over today's": difference.mean(),
                "standard error": difference.std(ddof=1) / np.sqrt(len(found)),
                "gap": np.nanmean([value for _, value in found] - true),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Print one table for each data set, budget and way to propose."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=DEFAULT_DATA.parent)
    options.add_argument("--orders", type=int, default=200)
    options.add_argument("--output", type=Path, help="CSV of all tables")
    given = options.parse_args()
    rng, tables = np.random.default_rng(0), []
    for name in GROUPS:
        if not (HERE / f"{name}.csv").exists():
            continue
        recording = read(name)
        configs = len(recording.values)
        ways: dict[str, tuple[list[Policy], list[Proposals]]] = {
            "random": (
                list(policies()),
                [at_random([0, *(1 + rng.permutation(configs - 1)).tolist()]) for _ in range(given.orders)],
            ),
            "TPE": (
                [kind(asha) for kind in (first, rotated, promoted) for asha in (False, True)],
                [by_tpe(name, given.data, seed) for seed in range(given.orders)],
            ),
        }
        for budget in BUDGETS:
            for way, (chosen, orders) in ways.items():
                table = compare(recording, budget, chosen, orders)
                tables.append(table.assign(data=name, budget=budget, proposals=way))
                print(f"\n{name}, {budget} epochs, {way} proposals, best of all {recording.truth.max():.4f}")
                print(table.to_string(index=False, float_format="%.4f"))
    if given.output is not None:
        pd.concat(tables).to_csv(given.output, index=False, float_format="%.5f")


if __name__ == "__main__":
    main()
