"""Wording of messages: values cut to a length, the nearest valid name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

MAX_SHOWN = 60
"""Characters of a value in a message."""
_MAX_NAMES = 50
_MAX_COMPARED = 5000


def shortened(text: str, most: int = MAX_SHOWN) -> str:
    """Return a text for a message, cut to `most` characters.

    >>> shortened("abcdefgh", 6)
    'abcde…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def first_few(values: Collection[object], shown: int = 5) -> str:
    """Return the first values of many, as in "1, 2, 3, 4, 5, …".

    >>> first_few(range(1, 9), 2)
    '1, 2, …'
    """
    text = ", ".join(shortened(str(value), 200) for value in islice(values, shown))
    return text + (", …" if len(values) > shown else "")


def close_matches(given: str, valid: Iterable[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return at most `n` names that were probably meant: alike whatever their case, or beginning with `given`.

    >>> close_matches("Soft", ["hard", "soft"])
    ['soft']
    """
    folded: dict[str, str] = {}
    for name in valid:
        folded.setdefault(name.casefold(), name)
    wanted = given[: 4 * MAX_SHOWN].casefold()
    compared = list(islice((name for name in folded if len(name) <= 8 * MAX_SHOWN), _MAX_COMPARED))
    close = [wanted] if n == 1 and wanted in folded else get_close_matches(wanted, compared, n=n, cutoff=cutoff)
    close = close or [name for name in folded if wanted and name.startswith(wanted)][:n]
    return [folded[name] for name in close]


def did_you_mean(given: str, valid: Iterable[str], n: int = 1) -> str:
    """Return "; did you mean 'soft'?" for the names that were probably meant, "" where none is near.

    >>> did_you_mean("sofd", ["hard", "soft"])
    "; did you mean 'soft'?"
    """
    near = close_matches(given, valid, n)
    return f"; did you mean {' or '.join(shortened(repr(name), 4 * MAX_SHOWN) for name in near)}?" if near else ""


def did_you_mean_file(given: str, existing: Iterable[str]) -> str:
    """Return "; did you mean 'a.csv'?" for the name of a file, "" where none is near.

    Names are compared without their suffix, which all of a kind have, and numbers in them must be the same: another
    image of a series is not the one that was meant.

    >>> did_you_mean_file("trian.csv", ["train.csv", "test.csv"]), did_you_mean_file("a1.png", ["a2.png"])
    ("; did you mean 'train.csv'?", '')
    """
    stems: dict[str, str] = {}
    for name in existing:
        if _digits(name) == _digits(given):
            stems.setdefault(_stem(name), name)
    near = close_matches(_stem(given), stems)
    return f"; did you mean {shortened(repr(stems[near[0]]), 4 * MAX_SHOWN)}?" if near else ""


def _stem(name: str) -> str:
    return Path(name).stem


def _digits(name: str) -> str:
    return "".join(filter(str.isdigit, _stem(name)))


def unknown(kind: str, given: object, valid: Iterable[object]) -> str:
    """Return the line for a name that is not one of a fixed set: the nearest valid one, then all.

    >>> unknown("voting", "Soft", ("hard", "soft"))
    "unknown voting 'Soft'; did you mean 'soft'? valid: hard, soft"
    """
    names = [str(name) for name in (sorted(valid, key=str) if isinstance(valid, Set) else valid)]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    shown = ", ".join(map(shortened, names[:_MAX_NAMES])) + more
    return f"unknown {kind} {shortened(repr(given))}{did_you_mean(str(given), names) or ';'} valid: {shown}"


def not_found(kind: str, given: str, existing: Iterable[str], shown: int = 20) -> str:
    """Return the line for something that does not exist: the nearest of what does, then at most `shown` of it.

    >>> not_found("run", "skni", ["skin", "retina"])
    "no run 'skni'; did you mean 'skin'? there are: retina, skin"
    """
    names = sorted(existing)
    if not names:
        return f"no {kind} {shortened(repr(given))}: there are none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    listed = ", ".join(map(shortened, names[:shown]))
    return f"no {kind} {shortened(repr(given))}{did_you_mean(given, names, 3) or ';'} there are: {listed}{more}"
