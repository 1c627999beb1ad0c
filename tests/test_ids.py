"""Ids of two tables are paired where one counterpart fits, and never two with one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.ids import match_ids

NAMES = st.lists(
    st.sampled_from(["a", "A", "a.jpg", "x/a.png", "7", "007", "7.0", "0", "b.tar", " b.tar"]), unique=True
)


@pytest.mark.parametrize(
    ("wanted", "given_", "found"),
    [
        (["10_left"], ["10_left.jpeg"], {"10_left": "10_left.jpeg"}),
        (["1", "2"], ["002", "001"], {"1": "001", "2": "002"}),
        (["a.jpg", "a"], ["a", "a.jpg"], {"a": "a", "a.jpg": "a.jpg"}),
        (["a"], ["a.jpg", "a.png"], {}),
        (["1"], ["01", "001"], {}),
        (["1.5"], ["1"], {}),
        (["train/a.png"], ["a"], {"train/a.png": "a"}),
    ],
)
def test_the_nearest_form_pairs(wanted: list[str], given_: list[str], found: dict[str, str]) -> None:
    assert match_ids(wanted, given_) == found


@given(NAMES, NAMES)
def test_pairs_are_one_to_one_and_exact_ones_stay(wanted: list[str], given_: list[str]) -> None:
    found = match_ids(wanted, given_)
    assert len(set(found.values())) == len(found)
    assert found.keys() <= set(wanted)
    assert set(found.values()) <= set(given_)
    exact = {name: name for name in wanted if name in given_ and name.strip() == name and f" {name}" not in given_}
    assert {name: found[name] for name in exact if f" {name}" not in wanted} == {
        name: name for name in exact if f" {name}" not in wanted
    }
