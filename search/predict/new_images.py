"""Images that were never seen in training: where they are and how they are named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldtune.canonical import canonical_text
from foldtune.errors import InputError
from foldtune.ids import match_ids
from foldtune.paths import check_not_read, is_inside, leads_out
from foldtune.results.exports.submission import read_sample
from foldtune.search.checks.submission_form import id_column_of
from foldtune.search.config.sections.data_section import default_cache_dir
from foldtune.search.data.columns import columns_of, names_any
from foldtune.search.predict.case_columns import CaseColumns
from foldtune.search.voting.columns import Columns, Kind
from foldtune.trainers.data.readers import READERS, Reader, ReadOptions, read_source
from foldtune.trainers.images.cache_listing import UNPACKED
from foldtune.trainers.images.image_index import read_folder
from foldtune.trainers.images.locate import ambiguous_images, locate
from foldtune.trainers.images.reading import image_suffixes
from foldtune.wording import did_you_mean_file, unknown


@dataclass(frozen=True)
class NewImages:
    """Images to predict.

    Attributes:
        ids: (N,) names in the output.
        paths: N files.
        left_out: number of entries of a folder that are left out, by reason.
        columns: metadata of what is judged, None where no table has them.
        cases: (N,) case of each image, those of one case behind each other; None where images are judged.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    columns: Columns | None = None
    cases: tuple[str, ...] | None = None

    @cached_property
    def units(self) -> npt.NDArray[np.int64]:
        """Place (N,), ascending, among `judged` of what each image belongs to."""
        if self.cases is None:
            return np.arange(len(self.ids))
        return _runs(self.cases)

    @property
    def judged(self) -> tuple[str, ...]:
        """Names of what is predicted: the cases, else the images."""
        return self.ids if self.cases is None else tuple(dict.fromkeys(self.cases))


def find_images(
    source: Path,
    root: Path | None,
    id_column: str,
    readers: Sequence[Reader] = READERS,
    case: CaseColumns | None = None,
    encoding: str | None = None,
) -> NewImages:
    """The images of a folder (with its subfolders, linked ones too), one file, or the rows of a table.

    Args:
        root: folder of the images that a table names; the table's own by default.
        id_column: the table's column of image names.
        case: columns of a table by which cases are judged, None where images are.
        encoding: encoding of a table without a BOM, None for UTF-8.

    Raises:
        InputError: nothing there, or rows without a name.
        DataError: the table cannot be read.
    """
    if source.is_dir():
        return _in_folder(source)
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    if source.suffix.lower() in image_suffixes():
        return NewImages((_writable(source.name),), (source,))
    options = ReadOptions(id_column, part="test", encoding=encoding, unpacked=default_cache_dir() / UNPACKED)
    rows = read_source(source, options, readers)
    frame = rows.frame
    if case is not None:
        frame, id_column = case.rows(frame, id_column, source)
    if id_column not in frame:
        raise InputError(f"{source}: {unknown('column', id_column, map(str, frame.columns))}; give --id")
    names = frame[id_column]
    empty = np.flatnonzero(names.isna())
    if len(empty):
        raise InputError(
            f"{source}: column {id_column!r} is empty in {len(empty)} rows (first: data row {empty[0] + 1})"
        )
    if names.empty:
        raise InputError(f"{source}: holds no rows")
    folder = rows.images or root or source.parent
    cases = None if case is None else tuple(frame[case.name])
    return NewImages(tuple(names), _files(source, folder, names), cases=cases)


def _runs(cases: Sequence[str]) -> npt.NDArray[np.int64]:
    place = {name: number for number, name in enumerate(dict.fromkeys(cases))}
    return np.array([place[name] for name in cases], dtype=np.int64)


def _files(table: Path, folder: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """Return the file of each name of a table, as a search finds it.

    Raises InputError for a device or a pipe, which may never end, and for a name of several files.
    """
    located = locate(folder, [canonical_text(name) for name in names])
    for path in located.missing:
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):  # of any name, also too long
            raise InputError(f"{path}: is a device or a pipe, not an image")
    if problems := ambiguous_images(table, folder, located.ambiguous):
        raise InputError(problems)
    return located.paths


def _numbered(folder: Path, names: Sequence[str], paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files (N,) of names; an integer that names none may be the number of a single file, 7 of 007.png."""
    absent = [name for name, path in zip(names, paths, strict=True) if name.isdigit() and not path.exists()]
    if not absent:
        return tuple(paths)
    found = match_ids(absent, (path.relative_to(folder).as_posix() for path in read_folder(folder)[0]))
    return tuple(folder / found[name] if name in found else path for name, path in zip(names, paths, strict=True))


def _writable(name: str) -> str:
    """Return a file's name, bytes of which are no UTF-8 written as \\xNN."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _in_folder(source: Path) -> NewImages:
    paths, left_out = read_folder(source)
    if not paths:
        rest = "".join(f"; {number} {reason}" for reason, number in left_out.items())
        raise InputError(f"{source}: no images in it (looked for {', '.join(sorted(image_suffixes()))}){rest}")
    names = tuple(_writable(path.relative_to(source).as_posix()) for path in paths)
    return NewImages(names, paths, left_out)


def with_columns(
    images: NewImages,
    kinds: Mapping[str, Kind],
    table: Path,
    id_column: str,
    case: CaseColumns | None = None,
    encoding: str | None = None,
) -> NewImages:
    """Return the images with columns of a CSV, which names them, or their cases, as they are named in the output.

    Args:
        case, encoding: of the CSV, as of `find_images`.

    Raises:
        InputError: an absent column, cells that are no numbers, or not one of the images in it.
        DataError: the CSV cannot be read.
    """
    options = ReadOptions(id_column, part="test", encoding=encoding, unpacked=default_cache_dir() / UNPACKED)
    frame = read_source(table, options).frame
    if case is not None and case.name not in frame:
        frame, id_column = case.rows(frame, id_column, table)
    id_column = id_column if case is None else case.name
    if id_column not in frame:
        raise InputError(f"{table}: {unknown('column', id_column, map(str, frame.columns))}; give --id")
    if not names_any(images.judged, frame[id_column].fillna("").astype(str)):
        what = "images" if case is None else "cases"
        raise InputError(f"{table}: names none of the {len(images.judged)} {what} (first: {images.judged[0]})")
    cases = case is not None
    return replace(images, columns=columns_of(frame, id_column, kinds, images.judged, table, cases=cases))


def check_inside(images: NewImages, folder: Path, source: Path) -> None:
    """Check that a table's images lie in the folder of images that the user gave.

    Raises:
        InputError: absolute names or `..` that lead out of it.
    """
    pairs = zip(images.ids, images.paths, strict=True)
    if outside := [name for name, path in pairs if leads_out(name) and not is_inside(path, folder)]:
        raise InputError(
            f"{source}: {len(outside)} of {len(images.ids)} images lie outside of {folder} (first: {outside[0]}); "
            "name them relative to it, or give the folder that holds all of them"
        )


def check_not_replaced(output: Path, images: NewImages, *tables: Path | None) -> None:
    """Check that a file to write is none of those that are read.

    Raises:
        InputError: it is a table or an image.
    """
    alike = (path for path in images.paths if path.name == output.name)  # of a million images, each costs a look
    check_not_read(output, (*tables, *alike))


def sample_images(sample: Path, folder: Path, id_column: str = "image", encoding: str | None = None) -> NewImages:
    """The images that a sample submission lists in its column of ids, as files of a folder.

    Raises:
        InputError: no such folder, or images that are not in it.
        SubmissionError: the sample cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: with --submission, IMAGES is the folder that holds the images of {sample}")
    frame = read_sample(sample, encoding)
    names = frame[id_column_of(list(frame.columns), id_column)].tolist()
    repeated = sorted({name for name, times in Counter(names).items() if times > 1})
    if repeated:
        are = "1 image is" if len(repeated) == 1 else f"{len(repeated)} images are"
        raise InputError(f"{sample}: {are} in it more than once (first: {repeated[0]})")
    paths = _numbered(folder, names, _files(sample, folder, names))
    check_inside(NewImages(tuple(names), paths), folder, sample)
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing:
        hint = did_you_mean_file(missing[0], sorted(path.name for path in folder.iterdir()))
        raise InputError(
            f"{folder}: {len(missing)} of {len(names)} images of {sample} are not there (first: {missing[0]}{hint})"
        )
    return NewImages(tuple(names), paths)
