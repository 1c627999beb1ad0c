"""Post-processing settings of text detection on stored maps: one sweep against one setting at a time.

`python -m benchmarks.detection [--quick] [--output FILE]`
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.report import Figure, machine_line, parser, publish
from foldtune.trainers.detection.metric import Counts, match
from foldtune.trainers.detection.polygons import pad, unpad
from foldtune.trainers.detection.postprocess import BoxSettings, find_boxes
from foldtune.trainers.detection.sweep import DEFAULT_GRID, sweep
from foldtune.trainers.detection.targets import draw_text

TITLE = "text detection: settings of boxes on stored maps"
MIN_TIMES = 50.0


@dataclass(frozen=True)
class Plan:
    """Number and size (height, width) of the maps, lines per map, and settings evaluated one by one."""

    maps: int = 24
    size: tuple[int, int] = (960, 480)
    lines: int = 40
    singles: int = 60


QUICK = Plan(maps=6, singles=20)


def pages(plan: Plan, seed: int = 0) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float64]]:
    """Return probability maps (N, H, W) like a mediocre network's of two-column pages, and their padded polygons."""
    rng = np.random.default_rng(seed)
    polygons = []
    for _ in range(plan.maps):
        tops = np.repeat(0.02 + 0.95 * np.arange(plan.lines // 2) / (plan.lines // 2), 2)
        lefts = np.tile([0.05, 0.62], plan.lines // 2)
        widths = np.tile([0.5, 0.3], plan.lines // 2) * rng.uniform(0.3, 1.0, plan.lines // 2 * 2)
        polygons.append(
            [
                np.array([[x, y], [x + w, y], [x + w, y + 0.02], [x, y + 0.02]])
                for x, y, w in zip(lefts, tops, widths, strict=True)
            ]
        )
    targets = pad(polygons)
    height, width = plan.size
    faint = rng.uniform(0.3, 1.0, (plan.maps, height // 20, width // 40)).repeat(20, axis=1).repeat(40, axis=2)
    maps = np.stack([draw_text(target, plan.size) for target in targets]) * faint
    maps += rng.uniform(0, 0.15, maps.shape)
    return (np.rint(255 * maps.clip(0, 1)) / 255).astype(np.float16), targets


def measure(plan: Plan) -> list[Figure]:
    """Return CPU seconds of both ways (one thread), their ratio, and the number of differing results."""
    maps, targets = pages(plan)
    begun = time.process_time()
    counted = sweep(maps, targets, DEFAULT_GRID).reshape(3, -1)
    swept_s = time.process_time() - begun
    settings = list(DEFAULT_GRID.settings())
    chosen = np.random.default_rng(0).choice(len(settings), min(plan.singles, len(settings)), replace=False)
    begun = time.process_time()
    singles = [_evaluate(maps, targets, settings[place]) for place in chosen]
    single_s = (time.process_time() - begun) / len(chosen)
    differing = sum(tuple(counted[:, place]) != tuple(each) for place, each in zip(chosen, singles, strict=True))
    one_by_one = single_s * len(settings)
    what = f"{len(settings):,} settings, {plan.maps} maps of {plan.size[0]}x{plan.size[1]}"
    return [
        Figure("sweep", swept_s, "s", detail=what),
        Figure("one setting after the other", one_by_one, "s", detail=f"from {len(chosen)} of them"),
        Figure("times faster", one_by_one / swept_s, "x", MIN_TIMES),
        Figure("settings with other counts", float(differing), "", 0.0, at_most=True, detail=f"of {len(chosen)}"),
    ]


def _evaluate(maps: npt.NDArray[np.float16], targets: npt.NDArray[np.float64], settings: BoxSettings) -> Counts:
    """Return the counts of one setting, computed from scratch."""
    found = boxes = polygons = 0
    for each, target in zip(maps, targets, strict=True):
        wanted = unpad(target)
        predicted = find_boxes(each, settings)
        found += len(match(predicted[:, :8].reshape(-1, 4, 2), wanted))
        boxes += len(predicted)
        polygons += len(wanted)
    return Counts(found, boxes, polygons)


def run(*, quick: bool) -> Sequence[Figure]:
    """Return the figures of this benchmark."""
    return measure(QUICK if quick else Plan())


def main() -> None:
    """Run the benchmark and print its figures."""
    given = parser(__doc__).parse_args()
    machine = machine_line()
    publish({TITLE: run(quick=given.quick)}, machine, given.output)


if __name__ == "__main__":
    main()
