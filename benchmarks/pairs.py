"""Pairs of one group that an audit finds without the groups: by the hash alone, and by the embeddings of a run.

`python -m benchmarks.pairs RUN [--storage FOLDER]`
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.search.audit.alike import nearest_pairs, run_embeddings
from foldtune.search.audit.hashing import near_pairs, perceptual_hashes
from foldtune.search.audit.pictures import read_pictures
from foldtune.search.audit.rows import rows_of_stored
from foldtune.search.runs.run import open_run

PRECISIONS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
_RANKED = 40_000

Index = npt.NDArray[np.int64]


def found_at(groups: Index, first: Index, second: Index, values: npt.NDArray[Any], precision: float) -> tuple[int, int]:
    """Return how many pairs of one group the longest ranking of a precision has, and its length; ties go together."""
    right = np.cumsum(groups[first] == groups[second])
    ends = np.append(values[1:] != values[:-1], True)
    good = np.flatnonzero(ends & (right >= precision * np.arange(1, len(right) + 1)))
    return (int(right[good[-1]]), int(good[-1]) + 1) if len(good) else (0, 0)


def by_hash(grey: npt.NDArray[np.uint8]) -> tuple[Index, Index, npt.NDArray[np.int64]]:
    """Return pairs of pictures (N, 64, 64), nearest hashes first, and less the bits by which they differ."""
    hashes = perceptual_hashes(grey)
    parts = []
    for row in range(len(hashes) - 1):
        bits = np.bitwise_count(hashes[row, 0] ^ hashes[row + 1 :]).min(axis=1).astype(np.int64)
        near = np.flatnonzero(bits <= 14)
        parts.append((np.full(len(near), row), near + row + 1, -bits[near]))
    first, second, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(-values, kind="stable")
    return first[order], second[order], values[order]


def main() -> None:
    """Print the pairs found at each precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--storage", default="runs")
    given = parser.parse_args()
    run = open_run(given.run, given.storage)
    rows = rows_of_stored(run)
    decoded, parts = run_embeddings(run, rows, 1, None)
    if rows.groups is None or not parts:
        raise SystemExit("the run has no groups, or no embeddings")
    use = ~rows.is_test[decoded]
    groups = np.unique([str(rows.groups[row]) for row in decoded[use]], return_inverse=True)[1]
    grey = read_pictures([rows.paths[row] for row in decoded[use]], rows.data, 1, None).grey
    details = near_pairs(grey)
    order = np.argsort(-details.similarity, kind="stable")
    ways: dict[str, tuple[Index, Index, npt.NDArray[Any]]] = {
        "hash alone": by_hash(grey),
        "hash and details": (details.first[order], details.second[order], details.similarity[order]),
        "embeddings": nearest_pairs(np.concatenate(parts, axis=1)[use], _RANKED),
    }
    _, sizes = np.unique(groups, return_counts=True)
    print(f"{int((sizes * (sizes - 1) // 2).sum()):,} pairs of one group among {len(groups):,} images")
    print("| precision |", " | ".join(f"{each:.1f}" for each in PRECISIONS), "|")
    for name, way in ways.items():
        print(f"| {name} |", " | ".join(str(found_at(groups, *way, each)[0]) for each in PRECISIONS), "|")


if __name__ == "__main__":
    main()
