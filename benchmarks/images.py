"""HAM10000 for the benchmarks: its labelled table and its decoded images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import cores

if TYPE_CHECKING:
    from foldtune.trainers.data.table import Table
    from foldtune.trainers.images.cache import ImageSource
    from foldtune.trainers.tasks import Task

SIDE = 64
DEFAULT_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "ham10000"


@dataclass(frozen=True, eq=False)
class Images:
    """The N labelled rows with their decoded images (N, 64, 64, 3), uint8; cache_bytes: size of the images in bytes."""

    task: Task
    table: Table
    source: ImageSource
    cache_bytes: int


class NoData(Exception):
    """The images of HAM10000 are missing."""


def check_data(root: Path) -> None:
    """Raise NoData unless `root` holds HAM10000."""
    if not (root / "train.csv").is_file() or not (root / "images").is_dir():
        raise NoData(
            f"no HAM10000 in {root}: the benchmark needs train.csv (columns image, lesion_id, dx) and images/ there; "
            "name the folder with --data"
        )


def read_images(root: Path, cache: Path) -> Images:
    """Read the table and decode its images into `cache`.

    Raises:
        NoData: `root` holds no HAM10000.
    """
    from foldtune.trainers.data.table import TableLayout, read_table
    from foldtune.trainers.images.cache import prepare_images
    from foldtune.trainers.images.preprocess import ImagePreprocessing
    from foldtune.trainers.tasks import get_task

    check_data(root)
    task_class = get_task("multiclass")
    task = task_class.from_frame(task_class.read_frame(root / "train.csv"), "dx")
    table = read_table(root / "train.csv", TableLayout(root / "images", group_column="lesion_id"), task)
    prepared = prepare_images(table.paths, ImagePreprocessing((SIDE, SIDE)), cache_dir=cache, workers=cores())
    return Images(task, table, prepared.source, len(table) * SIDE * SIDE * 3)
