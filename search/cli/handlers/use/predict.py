"""`foldtune predict`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import typer

from foldtune.errors import WorkError
from foldtune.results.exports.submission import read_sample, write_submission
from foldtune.results.storage.files import write_bytes_atomic, write_csv
from foldtune.results.tables.formatting import counted
from foldtune.search.checks.sample import target_columns, target_part
from foldtune.search.checks.submission_columns import SubmissionForm
from foldtune.search.checks.submission_form import submission_form
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.terminal import note
from foldtune.search.data.pixel_notes import one_colour_notes
from foldtune.search.predict.box_files import BoxForm, form_for, table_bytes
from foldtune.search.predict.case_columns import CaseColumns
from foldtune.search.predict.drawing import Drawing, start_drawing
from foldtune.search.predict.new_images import (
    NewImages,
    check_inside,
    check_not_replaced,
    find_images,
    sample_images,
    with_columns,
)
from foldtune.search.predict.stored_ensemble import PredictOptions, StoredEnsemble
from foldtune.search.predict.tables import combine_target_predictions, combine_target_submissions
from foldtune.search.runs.group import find_ensembles
from foldtune.trainers.images.reading import image_suffixes

Ensembles = Mapping[str | None, StoredEnsemble]
"""Ensembles by target; the target of one that belongs to no group is None."""


@dataclass(frozen=True)
class PredictRequest:
    """The arguments of `foldtune predict`."""

    ensemble: str
    storage: str
    images: Path
    file: Path
    sample: Path | None
    root: Path | None
    id_column: str
    tta: str | None
    draw: Path | None
    labels: Path | None
    batch_size: int
    device: str | None
    columns: Path | None = None
    one_colour: dict[Path, None] = field(default_factory=dict)
    partly_read: dict[int, str] = field(default_factory=dict)

    @property
    def options(self) -> PredictOptions:
        """How images are decoded and predicted; what is of one colour or partly read comes to be known on the way."""
        return PredictOptions(
            self.batch_size,
            self.device,
            decoder_processes(),
            lambda paths: self.one_colour.update(dict.fromkeys(paths)),
            self.partly_read.update,
        )

    def check(self) -> None:
        """Refuse flags that exclude each other.

        Raises:
            typer.BadParameter: a flag has no effect beside the others.
        """
        if self.labels is not None and self.draw is None:
            raise typer.BadParameter("only --draw uses labels; add it, or leave them out", param_hint="--labels")
        if self.sample is not None and self.draw is not None:
            raise typer.BadParameter("a submission is not drawn; leave out --submission", param_hint="--draw")
        if self.sample is not None and self.root is not None and self.images.is_dir():
            raise typer.BadParameter("with --submission, IMAGES is that folder", param_hint="--images")


def predict_images(request: PredictRequest) -> None:
    """Write the predictions of an ensemble, of several targets side by side, as a table or a submission."""
    request.check()
    ensembles = {
        target: StoredEnsemble.open(directory.root)
        for target, directory in find_ensembles(request.ensemble, request.storage).items()
    }
    if request.tta is not None:
        ensembles = {target: each.with_tta(request.tta) for target, each in ensembles.items()}
    if request.sample is None:
        _write_table(ensembles, request)
    else:
        _write_submission(ensembles, request, request.sample)
    for line in one_colour_notes(tuple(request.one_colour)):
        note(line)


def _write_table(ensembles: Ensembles, request: PredictRequest) -> None:
    form = _box_form(ensembles, request)
    readers = next(iter(ensembles.values())).task.readers
    case = _case_columns(ensembles, request.images)
    images = find_images(request.images, request.root, request.id_column, readers, case, _encoding(ensembles))
    id_column = request.id_column if case is None else case.name
    if request.root is not None:
        check_inside(images, request.root, request.images)
    check_not_replaced(request.file, images, request.images, request.labels, request.columns)
    images = _with_columns(images, ensembles, request)
    drawing = None if request.draw is None else _drawing(ensembles, images, request, request.draw)
    frames: dict[str | None, pd.DataFrame] = {}
    for target, ensemble in ensembles.items():
        with progress_bar(_label(target)) as progress:
            frames[target] = ensemble.predict(
                images, request.options, progress, id_column=id_column, on_predicted=drawing
            )
    frame = combine_target_predictions(frames, id_column)
    if form is None:
        write_csv(request.file, frame)
    else:
        write_bytes_atomic(request.file, table_bytes(form, frame, images))
    broken = int(frame["error"].notna().sum())
    unread = f", {broken} could not be read" if broken else ""
    what = "image" if images.cases is None else "case"
    note(f"{counted(len(frame) - broken, what)} predicted in {request.file}{unread}")
    _note_partly_read(images, request)
    if images.left_out:
        note(f"left out: {', '.join(f'{number} {reason}' for reason, number in images.left_out.items())}")
    if drawing is not None:
        found = ", ".join(f"{number} {kind}" for kind, number in sorted(drawing.counts.items()))
        note(f"{counted(drawing.drawn, 'picture')} in {drawing.folder}: {found or 'nothing found'}")
    if broken == len(frame):
        first = f"{frame[id_column].iloc[0]}: {frame['error'].iloc[0]}"
        raise WorkError(
            f"none of {counted(broken, 'image')} could be predicted (first: {first}); {request.file} has why"
        )


def _note_partly_read(images: NewImages, request: PredictRequest) -> None:
    """Print the line on cases whose scores are of some of their images alone."""
    if request.partly_read:
        first = min(request.partly_read)
        named = f"first: {images.judged[first]}: {request.partly_read[first]}"
        note(f"{counted(len(request.partly_read), 'case')} predicted from a part of the images alone ({named})")


def _with_columns(images: NewImages, ensembles: Ensembles, request: PredictRequest) -> NewImages:
    """Return the images with the columns that the ensembles take; those that no table has are missing, in a line."""
    kinds = {name: kind for each in ensembles.values() for name, kind in each.columns.items()}
    if not kinds:
        if request.columns is not None:
            raise typer.BadParameter("the ensemble takes none beside the images; leave it out", param_hint="--columns")
        return images
    table = request.columns
    if table is None and request.images.is_file() and request.images.suffix.lower() not in image_suffixes():
        table = request.images
    if table is None:
        note(
            f"the ensemble takes {', '.join(kinds)} beside the images, all missing here: --columns names a CSV of them"
        )
        return images
    case = None if images.cases is None else _case_columns(ensembles, request.images)
    found = with_columns(images, kinds, table, request.id_column, case, _encoding(ensembles))
    if found.columns is not None and (unknown := np.flatnonzero(found.columns.unknown)).size:
        first = images.judged[int(unknown[0])]
        note(f"{table}: {unknown.size} of {len(images.judged)} have none of {', '.join(kinds)} there (first: {first})")
    for target, each in ensembles.items():
        stacker = each.combiner().stacker
        for text in () if stacker is None or found.columns is None else stacker.beyond(found.columns):
            note(text if target is None else f"{target}: {text}")
    return found


def _encoding(ensembles: Ensembles) -> str | None:
    """Return the encoding of tables of text."""
    return next(iter(ensembles.values())).encoding


def _box_form(ensembles: Ensembles, request: PredictRequest) -> BoxForm | None:
    """Return the form of boxes to write instead of a table, None for a table. Raises InputError."""
    if None not in ensembles:
        return None
    form = ensembles[None].description.get("boxes_form")
    return form_for(ensembles[None].task, form, request.sample or request.images, request.file)


def _predict_boxes(ensembles: Ensembles, images: NewImages, request: PredictRequest, form: BoxForm) -> None:
    """Write boxes in the form of a sample; an image that cannot be read has none."""
    with progress_bar(_label(None)) as progress:
        frame = ensembles[None].predict(images, request.options, progress)
    write_bytes_atomic(request.file, table_bytes(form, frame, images))
    note(f"{counted(len(images.ids), 'image')} predicted in {request.file}, in the form {form.name}")
    broken = frame["error"].dropna()
    if len(broken):
        note(f"{counted(len(broken), 'image')} cannot be read, and has no box (first: {broken.iloc[0]})")


def _case_columns(ensembles: Ensembles, source: Path) -> CaseColumns | None:
    """Return the columns by which a table's rows are cases; images without a table are judged one by one."""
    case = CaseColumns.of_description(next(iter(ensembles.values())).description)
    if source.is_file() and source.suffix.lower() not in image_suffixes():
        return case
    if case is not None:
        note("the ensemble judges cases; without a table of them, each image is judged by itself")
    return None


def _drawing(ensembles: Ensembles, images: NewImages, request: PredictRequest, folder: Path) -> Drawing:
    if len(ensembles) > 1:
        raise typer.BadParameter("name the run of one target", param_hint="--draw")
    (ensemble,) = ensembles.values()
    return start_drawing(ensemble.task, images, folder, request.labels, request.id_column)


def _write_submission(ensembles: Ensembles, request: PredictRequest, sample: Path) -> None:
    case = _case_columns(ensembles, request.images)
    if case is None:
        images = sample_images(sample, request.images, request.id_column, _encoding(ensembles))
    else:  # the sample names cases, and a table their images
        images = find_images(request.images, request.root, request.id_column, case=case, encoding=_encoding(ensembles))
    check_not_replaced(request.file, images, sample, request.columns)
    box_form = _box_form(ensembles, request)
    if box_form is not None:
        _predict_boxes(ensembles, images, request, box_form)
        return
    images = _with_columns(images, ensembles, request)
    forms = _submission_forms(ensembles, sample, request.id_column if case is None else case.name)
    for line in dict.fromkeys(line for form in forms.values() for line in form.notes):
        note(line)
    frames: dict[str | None, pd.DataFrame] = {}
    broken: dict[str, str] = {}
    for target, ensemble in ensembles.items():
        with progress_bar(_label(target)) as progress:
            frames[target], unread = ensemble.submission(images, forms[target], request.options, progress)
            broken |= unread
    submitted = combine_target_submissions(frames)
    named = {"id_column": submitted.columns[0], "encoding": _encoding(ensembles)}
    write_submission(submitted, request.file, sample, **named)
    what = "image" if images.cases is None else "case"
    note(f"{counted(len(images.judged), what)} predicted in {request.file}, in the form of {sample}")
    _note_partly_read(images, request)
    if broken:
        first = next(iter(broken))
        note(f"{counted(len(broken), what)} cannot be read: scored by the mean of the others")
        note(f"first: {first}: {broken[first]}")


def _submission_forms(ensembles: Ensembles, sample: Path, id_column: str) -> Mapping[str | None, SubmissionForm]:
    """Return how each ensemble's predictions fill the sample's columns, of which each of several targets has one."""
    template = read_sample(sample, _encoding(ensembles))
    targets = [target for target in ensembles if target is not None]
    if targets:
        target_columns(list(template.columns), id_column, targets)
    forms: dict[str | None, SubmissionForm] = {}
    for target, ensemble in ensembles.items():
        part = template if target is None else target_part(template, id_column, target)
        column = getattr(ensemble.task, "target", "label") if target is None else part.columns[1]
        metric = str(ensemble.description.get("metric", ""))
        forms[target] = submission_form(ensemble.task, metric, part, id_column=id_column, target=column)
    return forms


def _label(target: str | None) -> str:
    return "predicting" if target is None else f"predicting {target}"
