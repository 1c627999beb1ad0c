"""One form for texts that name one thing: ids, groups, labels and files that are spelled in several ways."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from foldtune.wording import shortened

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u200e\u200f"))
"""Characters without width or meaning. The joiners U+200C and U+200D are letters' forms in some scripts and stay."""
_INTEGRAL = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0*)?")
_DECIMAL = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?")
_SHOWN = 3


def canonical_text(text: str) -> str:
    """Return a text without blanks around it and invisible characters, composed (Unicode NFC).

    >>> canonical_text(" e\\u0301\\u200b") == "\\u00e9"
    True
    """
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", text.translate(_INVISIBLE)).strip()


def integral(text: str) -> str | None:
    """Return the integer that a text is, without its zeros behind the point; None for any other text.

    Leading zeros make an id, not a number.

    >>> [integral(text) for text in ("7", "7.0", "007", "7.5")]
    ['7', '7', None, None]
    """
    match = _INTEGRAL.fullmatch(text)
    return match[1] if match else None


def one_spelling(texts: Iterable[str]) -> dict[str, str]:
    """Return text → canonical text; an integer that is spelled in two ways becomes the integer.

    >>> one_spelling(["7", "7.0", "8.0", "a "])
    {'7': '7', '7.0': '7', '8.0': '8.0', 'a ': 'a'}
    """
    forms = {text: canonical_text(text) for text in texts}
    spellings: dict[str, set[str]] = {}
    for form in forms.values():
        if (number := integral(form)) is not None:
            spellings.setdefault(number, set()).add(form)
    merged = {form: number for number, of in spellings.items() if len(of) > 1 for form in of}
    return {text: merged.get(form, form) for text, form in forms.items()}


class Spellings:
    """Finds the one of several names that a text spells: exactly, in its canonical form, or as an integer.

    Args:
        known: names; of two that have one canonical form, only the exact spelling of either is found.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._exact = dict.fromkeys(known)
        self._forms = _unique((canonical_text(name), name) for name in self._exact)
        self._numbers = _unique((integral(canonical_text(name)), name) for name in self._exact)

    def find(self, text: str) -> str | None:
        """Return the name that `text` spells, None where there is none."""
        if text in self._exact:
            return text
        form = canonical_text(text)
        return self._forms.get(form) or self._numbers.get(integral(form))


def _unique(pairs: Iterable[tuple[str | None, str]]) -> dict[str | None, str]:
    found: dict[str | None, str] = {}
    shared: set[str | None] = {None}
    for form, name in pairs:
        if form in found:
            shared.add(form)
        found[form] = name
    return {form: name for form, name in found.items() if form not in shared}


def spelling_notes(what: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Return a line for the texts that are taken as one, and one for those that are alike and taken as several.

    Args:
        what: name of their column, for the lines.

    >>> spelling_notes("column 'label'", ["1", "1.0", "Cat", "cat"])
    ("column 'label': '1' and '1.0' are the same, taken as '1'", \
"column 'label': 'Cat' and 'cat' look alike and are taken as different; if they are one, write them in one way")
    """
    forms = one_spelling(texts)
    same = [f"{_listed(of)} are the same, taken as {shortened(repr(form))}" for form, of in _shared(forms).items()]
    loose = _shared({form: _loose(form) for form in dict.fromkeys(forms.values())})
    alike = [f"{_listed(of)} look alike" for of in loose.values()]
    advice = "and are taken as different; if they are one, write them in one way"
    lines = [_line(what, same, "")] if same else []
    return (*lines, _line(what, alike, f" {advice}")) if alike else tuple(lines)


def _shared(forms: Mapping[str, str]) -> dict[str, list[str]]:
    by_form: dict[str, list[str]] = {}
    for text, form in forms.items():
        by_form.setdefault(form, []).append(text)
    return {form: of for form, of in by_form.items() if len(of) > 1}


def _loose(text: str) -> str:
    if _DECIMAL.fullmatch(text):
        try:
            return str(Decimal(text).normalize())
        except InvalidOperation:
            return text
    folded = (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()
    if not folded.isascii():
        folded = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return " ".join(folded.split())


def _listed(texts: list[str]) -> str:
    shown = [shortened(ascii(text) if not text.isprintable() else repr(text)) for text in texts[:_SHOWN]]
    return ", ".join(shown[:-1]) + f" and {shown[-1]}"


def _line(what: str, cases: list[str], end: str) -> str:
    more = f" (and {len(cases) - _SHOWN} more such)" if len(cases) > _SHOWN else ""
    return f"{what}: {'; '.join(cases[:_SHOWN])}{more}{end}"
