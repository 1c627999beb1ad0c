"""Images/s of the training loop and of the loader, and memory of the cache, on HAM10000 at 64 px.

`python -m benchmarks.throughput [--quick] [--data FOLDER] [--output FILE]`
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import memory
from benchmarks.images import DEFAULT_DATA, Images, NoData, read_images
from benchmarks.report import Figure, cores, machine_line, median_figure, parser, publish

TITLE = "throughput: HAM10000 at 64 px"
MIN_OF_READY, MIN_TIMES_FILES, MAX_COPIES = 0.9, 5.0, 0.1


@dataclass(frozen=True)
class Plan:
    """Rows per epoch and number of repeats of both sides."""

    loop_rows: int = 384
    loop_repeats: int = 7
    loader_rows: int = 1024
    loader_repeats: int = 5


QUICK = Plan(loop_rows=192, loop_repeats=3, loader_rows=256, loader_repeats=2)


def measure(plan: Plan, images: Images) -> list[Figure]:
    """Return all figures."""
    # Memory first: afterwards this process has mapped the cache, too, and shares its pages.
    shares = _memory(images)
    loops = [_loop(plan, images, threads) for threads in sorted({1, cores()})]
    return [*loops, *_loaders(plan, images), *shares]


def _loop(plan: Plan, images: Images, threads: int) -> Figure:
    from benchmarks.loop import loop_speeds

    rows = min(plan.loop_rows, len(images.table) - 2)
    real, ready = loop_speeds(images, threads=threads, rows=rows, repeats=plan.loop_repeats)
    return median_figure(
        f"training loop over ready tensors, {threads} thread{'s' if threads > 1 else ''}",
        [a / b for a, b in zip(real, ready, strict=True)],
        "x",
        target=MIN_OF_READY,
        detail=f"{statistics.median(real):,.0f} and {statistics.median(ready):,.0f} images/s",
    )


def _loaders(plan: Plan, images: Images) -> list[Figure]:
    from benchmarks.loaders import loader_speeds

    speeds = loader_speeds(images, rows=min(plan.loader_rows, len(images.table)), repeats=plan.loader_repeats)
    files = speeds.pop("files")
    detail = f"files: {statistics.median(files):,.0f} images/s"
    return [
        median_figure(
            f"loader over decoding files, augmentation {name}",
            [a / b for a, b in zip(speed, files, strict=True)],
            "x",
            detail=f"{statistics.median(speed):,.0f} images/s, {detail}",
            **({"target": MIN_TIMES_FILES} if name == "none" else {}),
        )
        for name, speed in speeds.items()
    ]


def _memory(images: Images) -> list[Figure]:
    if not memory.is_known():
        return []
    sizes = [memory.added_by_reading(images.source, workers) for workers in (1, 2)]
    one, two, cache = (f"{size / 1e6:,.0f} MB" for size in (*sizes, images.cache_bytes))
    return [
        Figure(
            "memory that a second process reading the cache adds",
            (sizes[1] - sizes[0]) / images.cache_bytes,
            "caches",
            target=MAX_COPIES,
            at_most=True,
            detail=f"PSS: {one} by one, {two} by two; cache {cache}",
        )
    ]


def run(*, quick: bool, data: Path) -> list[Figure]:
    """Run the benchmark with a temporary cache.

    Raises:
        NoData: `data` holds no HAM10000.
    """
    with tempfile.TemporaryDirectory(prefix="foldtune-bench-") as folder:
        return measure(QUICK if quick else Plan(), read_images(data, Path(folder)))


def main() -> None:
    """Run the benchmark and print its figures."""
    options = parser(__doc__)
    options.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of HAM10000")
    given = options.parse_args()
    machine = machine_line()
    try:
        publish({TITLE: run(quick=given.quick, data=given.data)}, machine, given.output)
    except NoData as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
