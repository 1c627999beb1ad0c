"""Ids of one table among those of another: as written, in another case, without extension or folder, as integers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from foldtune.canonical import canonical_text

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("apng", "avif", "bmp", "dcm", "dicom", "dib", "gif", "jfif", "jp2", "jpe", "jpeg", "jpg", "j2k", "npy"),
        *("pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"),
    )
)
"""Extensions of images, in lower case."""


def match_ids(wanted: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    """Return id of `wanted` → id of `given`, of those with exactly one counterpart in the nearest form that has any.

    >>> match_ids(["a", "B.png", "7"], ["x/a.jpg", "b.PNG", "007.png"])
    {'B.png': 'b.PNG', 'a': 'x/a.jpg', '7': '007.png'}
    """
    open_wanted, open_given = list(dict.fromkeys(wanted)), list(dict.fromkeys(given))
    found: dict[str, str] = {}
    for form in _FORMS:
        ours, theirs = _unique(open_wanted, form), _unique(open_given, form)
        pairs = {name: theirs[key] for key, name in ours.items() if key in theirs}
        found |= pairs
        taken = set(pairs.values())
        open_wanted = [name for name in open_wanted if name not in pairs]
        open_given = [name for name in open_given if name not in taken]
        if not open_wanted:
            break
    return found


def _unique(names: Iterable[str], form: Callable[[str], str | None]) -> dict[str, str]:
    """Return form → name of the names that share their form with no other."""
    found: dict[str, str] = {}
    shared = set()
    for name in names:
        key = form(name)
        if key is not None and found.setdefault(key, name) != name:
            shared.add(key)
    return {key: name for key, name in found.items() if key not in shared}


def _folded(name: str) -> str:
    return canonical_text(name).casefold()


def _stem(name: str) -> str:
    form = _folded(name)
    stem, dot, suffix = form.rpartition(".")
    return stem if stem and dot + suffix in SUFFIXES else form


def _last_part(name: str) -> str | None:
    return _stem(name).rpartition("/")[2] or None


def _number(name: str) -> str | None:
    """Return the digits of an integer without the zeros before it, and behind its point."""
    part = (_last_part(name) or "").removesuffix(".0")
    return (part.lstrip("0") or "0") if part.isascii() and part.isdigit() else None


_FORMS: tuple[Callable[[str], str | None], ...] = (canonical_text, _folded, _stem, _last_part, _number)
