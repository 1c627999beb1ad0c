"""Rows of any table of a configuration, and where their images lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from foldtune.search.config.sections.data_section import DataConfig, default_cache_dir
from foldtune.trainers.data.cases import one_row_an_image
from foldtune.trainers.data.readers import Part, ReadOptions, Source
from foldtune.trainers.data.table import TableLayout
from foldtune.trainers.detection.pages import FORMS_OF_BOXES, with_sides
from foldtune.trainers.images.cache_listing import UNPACKED
from foldtune.trainers.tasks import Task


def read_rows(data: DataConfig, task: Task | type[Task], path: Path, part: Part = "train") -> Source:
    """Rows of a file or folder in whatever form they are, with the columns that the configuration names.

    Raises:
        DataError: what is wrong with the file or folder.
    """
    unpacked = (data.cache_dir or default_cache_dir()) / UNPACKED
    source = task.read_source(path, ReadOptions(data.image_column, data.target_name, part, data.encoding, unpacked))
    if not isinstance(data.id, str):
        return replace(source, frame=one_row_an_image(source.frame, data.id, data.case, path))
    if part == "test" or source.form not in FORMS_OF_BOXES:
        return source
    return replace(source, frame=with_sides(source.frame, source.images or data.images, data.id, data.target_name))


def layout_of(data: DataConfig, source: Source, group: str | None = None, images: Path | None = None) -> TableLayout:
    """Where the images of rows are: in the folder that a container brings, else in that of the configuration.

    `images`: a folder of these rows alone, which the user named.
    """
    if source.images is not None:
        return TableLayout(source.images, data.image_column, group, case_column=data.case_column)
    folder, confined = (data.images, data.images_given) if images is None else (images, True)
    return TableLayout(folder, data.image_column, group, confined, case_column=data.case_column)
