"""Boxes of text detection in the form in which they came in: COCO, UFO, ICDAR, or JSON by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import InputError
from foldtune.results.exports.submission import arrange_submission, is_echoed
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.predict.new_images import NewImages
from foldtune.search.predict.tables import image_size
from foldtune.trainers.data.readers import ReadOptions
from foldtune.trainers.detection.forms.page import Page, pages_of, pages_of_table
from foldtune.trainers.detection.table import SUFFIXES, boxes_bytes
from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]
JSON, ZIP = ".json", ".zip"


@dataclass(frozen=True)
class BoxForm:
    """A form of boxes to write.

    Attributes:
        name: key of `SUFFIXES`.
        facts: what its writer needs of the file that was read.
    """

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """Suffix of its files."""
        return SUFFIXES[self.name]

    def written(self, pages: Sequence[Page]) -> bytes:
        """Return pages in this form."""
        return boxes_bytes(self.name, pages, self.facts)


def box_form(task: Task, data: DataConfig) -> BoxForm | None:
    """Return the form of the sample submission where that holds boxes, else of the labels; None where neither does.

    The numbers of images are those of the sample, of the rows to submit, or of none.

    Raises:
        DataError: one of these files cannot be read.
    """
    if not task.has_spatial_targets:
        return None
    if _is_json(data.sample_submission):
        return read_form(task, data.sample_submission, data.encoding)
    form = read_form(task, data.train, data.encoding)
    if form is None:
        return None
    test = None if data.test is None else read_form(task, data.test, data.encoding)
    ids = test.facts.get("ids", {}) if test is not None and test.name == form.name else {}
    return BoxForm(form.name, {**form.facts, "ids": ids})


def _is_json(path: Path | None) -> TypeGuard[Path]:
    return path is not None and path.suffix.lower() == JSON


def read_form(task: Task, path: Path, encoding: str | None = None) -> BoxForm | None:
    """Return the form of a file or folder of boxes, None for a table without them. Raises DataError."""
    source = task.read_source(path, ReadOptions(encoding=encoding))
    return BoxForm(source.form, source.facts) if source.form in SUFFIXES else None


def form_for(task: Task, form: str | None, named: Path, file: Path) -> BoxForm | None:
    """Return the form of boxes that a stored model writes to a file; None where the file is a table.

    Args:
        form: name of the form of the model's labels, None where it is not known.
        named: what names the images; JSON of boxes gives its form, such as a sample submission.
        file: a .json or .zip holds boxes.

    Raises:
        DataError: the JSON cannot be read.
        InputError: a .zip for a form of JSON, or the other way round.
    """
    suffix = file.suffix.lower()
    if not task.has_spatial_targets or suffix not in (JSON, ZIP):
        return None
    found = read_form(task, named) if named.is_file() and _is_json(named) else None
    if found is None:
        found = BoxForm(form if form is not None and form in SUFFIXES else "icdar" if suffix == ZIP else "boxes")
    check_suffix(found, file)
    return found


def check_suffix(form: BoxForm | None, file: Path) -> None:
    """Check that boxes of a form can be written to a file.

    Raises:
        InputError: its suffix is that of another form.
    """
    suffix = file.suffix.lower()
    if suffix in (JSON, ZIP) and (form is None or suffix != form.suffix):
        own = "a .csv" if form is None else f"a {form.suffix} ({form.name}, the form in which they came) or a .csv"
        raise InputError(f"--output {file}: boxes are written to {own}")


def table_bytes(form: BoxForm, frame: pd.DataFrame, images: NewImages) -> bytes:
    """Return the boxes of a table of predictions in a form; a row without a prediction is an image without boxes."""
    sizes = np.array([image_size(path) for path in images.paths], dtype=np.int64).reshape(-1, 2)
    return form.written(pages_of_table(frame, images.ids, sizes))


def submission_bytes(
    form: BoxForm, data: DataConfig, ids: Array, predictions: Array, sizes: Array, columns: Sequence[str]
) -> bytes:
    """Return the boxes of the rows to submit in a form, with the sample's ids in its order.

    Args:
        ids: (T,) ids.
        predictions: (T,) boxes (p, 9).
        sizes: (T, 2) height and width of the images in pixels.
        columns: columns of the submission, of which the first holds the ids.

    Raises:
        SubmissionError: the ids are not those of the sample.
    """
    rows = {name: [str(place) for place in range(len(ids))] for name in columns[1:]}
    frame = pd.DataFrame({columns[0]: list(ids), **rows})
    ordered = arrange_submission(frame, data.sample_submission, id_column=columns[0], encoding=data.encoding)
    filled = next(name for name in columns[1:] if not is_echoed(name))
    places = ordered[filled].astype(int).to_numpy()
    return form.written(pages_of(ordered[columns[0]].astype(str), predictions[places], np.asarray(sizes)[places]))
