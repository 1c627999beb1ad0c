"""One thing spelled in several ways is one thing; what is only alike is named; plain texts stay as they are."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.canonical import Spellings, canonical_text, one_spelling, spelling_notes

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("text", [" a", "a\t", "\u200ba", "a\ufeff", "a\u200b ", "\u00a0a", "\u200e a"])
def test_blanks_around_and_invisible_characters_are_no_part_of_a_text(text: str) -> None:
    assert canonical_text(text) == "a"


def test_unicode_forms_are_one() -> None:
    assert canonical_text(DECOMPOSED) == COMPOSED


@given(st.text())
def test_a_canonical_text_is_its_own_form(text: str) -> None:
    assert canonical_text(canonical_text(text)) == canonical_text(text)


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126)), unique=True))
def test_plain_texts_stay_as_they_are_unless_they_are_one_number(texts: list[str]) -> None:
    forms = one_spelling(texts)
    assert all(form == text or float(form) == float(text) for text, form in forms.items())


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["7", "7.0", "8"], {"7", "8"}),
        (["7.0", "8.0"], {"7.0", "8.0"}),  # one way throughout stays as it is
        (["007", "7"], {"007", "7"}),
        (["7.0", "7.00"], {"7"}),
        (["1.1", "1.10"], {"1.1", "1.10"}),
        (["-3", "-3."], {"-3"}),
    ],
)
def test_an_integer_in_two_spellings_is_one(texts: list[str], names: set[str]) -> None:
    assert set(one_spelling(texts).values()) == names


def test_a_known_name_is_found_by_any_spelling_that_is_no_others() -> None:
    assert [Spellings(["1", "é"]).find(text) for text in ("1.0", " 1", DECOMPOSED, "01")] == ["1", "1", "é", None]
    both = Spellings([COMPOSED, DECOMPOSED])
    assert [both.find(text) for text in (DECOMPOSED, COMPOSED, f" {COMPOSED}")] == [DECOMPOSED, COMPOSED, None]


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        (["a", "a "], "are the same, taken as 'a'"),
        (["1", "1.0"], "'1' and '1.0' are the same, taken as '1'"),
        (["a", "a\u200b"], "'a' and 'a\\u200b' are the same"),
        (["Cat", "cat"], "look alike and are taken as different"),
        (["007", "7"], "look alike"),
        (["1.1", "1.10"], "look alike"),
        (["a b", "a  b"], "look alike"),
        (["Ａ", "A"], "look alike"),
    ],
)
def test_what_is_taken_as_one_and_what_is_doubtful_is_a_line(texts: list[str], part: str) -> None:
    (line,) = spelling_notes("column 'x'", texts)
    assert line.startswith("column 'x': ")
    assert part in line


def test_distinct_texts_are_no_line_and_many_are_one_short_line() -> None:
    assert spelling_notes("x", ["a", "b", "1", "2.5", "10"]) == ()
    (line,) = spelling_notes("x", [f"{'k' * 500}{place}{end}" for place in range(50) for end in ("", " ")])
    assert len(line) < 700
    assert "and 47 more such" in line
