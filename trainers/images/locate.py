"""Files of the images that a table names, and messages on those that are missing or ambiguous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foldtune.paths import is_inside, leads_out
from foldtune.trainers.images.image_files import beside_missing, listed_as
from foldtune.trainers.images.image_index import ImageIndex, Match, files_of
from foldtune.wording import did_you_mean, did_you_mean_file, first_few, shortened

_SHOWN = 5


@dataclass(frozen=True)
class Located:
    """The files of N names.

    Attributes:
        paths: N files; where there is none, the path as written.
        missing: paths as written that no file has.
        ambiguous: names that stand for several files.
        rules: how names are found that are not the file's path as written → number of rows, and the first of them.
    """

    paths: tuple[Path, ...]
    missing: tuple[Path, ...] = ()
    ambiguous: Mapping[str, Match] = field(default_factory=dict)
    rules: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def locate(images: Path, ids: Sequence[str]) -> Located:
    """Return the file of each name, which is compared in its canonical form.

    A name that is no path below `images` as written may lack the extension, be in another case, or lie in a sub-folder,
    where one file alone fits.
    """
    paths = [images / name for name in ids]
    own = files_of(images)  # of a million names directly in it, one look-up each
    deeper = [row for row, name in enumerate(ids) if name not in own]
    folders = {images: own, **{folder: files_of(folder) for folder in {paths[row].parent for row in deeper} - {images}}}
    absent = [row for row in deeper if paths[row].name not in folders[paths[row].parent]]
    named = {folder: listed_as(folders[folder]) for folder in {paths[row].parent for row in absent}}
    index = ImageIndex(images, folders)
    missing: list[Path] = []
    ambiguous: dict[str, Match] = {}
    rules: dict[str, tuple[int, int]] = {}
    for row in absent:
        path = paths[row]
        if (actual := named[path.parent].get(path.name)) is not None:
            paths[row] = path.with_name(actual)
        elif not ids[row]:
            continue
        elif (match := index.find(ids[row])) is None:
            missing.append(path)
        elif match.is_one:
            paths[row] = match.paths[0]
            number, first = rules.get(match.rule, (0, row))
            rules[match.rule] = (number + 1, first)
        else:
            ambiguous[ids[row]] = match
    return Located(tuple(paths), tuple(missing), ambiguous, rules)


def location_notes(table: Path, images: Path, located: Located) -> tuple[str, ...]:
    """Return a line for each way in which names stand for files that are not their path as written."""
    total = len(located.paths)
    return tuple(
        f"{table.name}: {number} of {total} images are found {rule} (first: {_inside(images, located.paths[row])})"
        for rule, (number, row) in located.rules.items()
    )


def _inside(images: Path, path: Path) -> str:
    return shortened(str(path.relative_to(images) if path.is_relative_to(images) else path), 200)


def ambiguous_images(table: Path, images: Path, ambiguous: Mapping[str, Match]) -> list[str]:
    """Return the problem of names that stand for several files, with the files; [] where there are none."""
    if not ambiguous:
        return []
    shown = "; ".join(
        f"{shortened(repr(name))} is {' and '.join(str(path) for path in match.paths[:2])}"
        for name, match in list(ambiguous.items())[:_SHOWN]
    )
    more = f"; and {len(ambiguous) - _SHOWN} more" if len(ambiguous) > _SHOWN else ""
    advice = "write the names with folder and extension, or set data.images or data.test_images to one folder"
    return [f"{table}: {len(ambiguous)} names stand for several files in {images}: {shown}{more}; {advice}"]


def missing_images(table: Path, images: Path, missing: Sequence[Path], total: int) -> list[str]:
    """Return the problem of images that do not exist, with what lies there instead; [] where there are none."""
    if not missing:
        return []
    shown = first_few([shortened(str(path), 200) for path in missing])
    hint = _missing_hint(images, missing)
    return [f"{table}: {len(missing)} of {total} images do not exist ({shown}){hint}"]


def outside_images(table: Path, images: Path, names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return the problem of names whose files lie outside of a folder; links in it, under plain names, do not."""
    pairs = zip(names, paths, strict=True)
    outside = [name for name, path in pairs if leads_out(name) and not is_inside(path, images)]
    if not outside:
        return []
    return [
        f"{table}: {len(outside)} of {len(names)} images lie outside of {images} ({first_few(outside)}); "
        "set data.images to a folder that holds all of them, or leave it out"
    ]


def _missing_hint(images: Path, missing: Sequence[Path]) -> str:
    if images.is_file():
        return f"; {images} is a file, not a folder; unpack it where it is an archive, and name the folder"
    if not images.is_dir():
        beside = [p.name for p in images.parent.iterdir() if p.is_dir()] if images.parent.is_dir() else []
        return f"; the folder {images} does not exist{did_you_mean(images.name, sorted(beside))}"
    hint = beside_missing(images, missing)
    return hint or did_you_mean_file(missing[0].name, sorted(files_of(images))) or f"; looked in {images}"
