"""YAML: which scalars are text, what is refused, and files that other readers and earlier versions read alike."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml as yaml_1_1  # PyYAML, with which earlier versions read and wrote
from ruamel.yaml.scanner import Scanner

from foldtune.errors import InputError, RunCorrupt
from foldtune.results.storage.files import read_yaml, write_yaml
from foldtune.yaml import dump_yaml, dump_yaml_documents, parse_yaml

VALUES: dict[str, Any] = {
    "name": "skin",
    "lr": {"loguniform": [1e-05, 0.01], "default": 1e20},
    "cache": "off",
    "positive": "yes",
    "switches": [True, False, None],
    "labels": [
        "007",
        "1e-5",
        "0x1F",
        "1_000",
        "012",
        "089",
        "1:20",
        "2026-01-31",
        "~",
        "null",
        "true",
        "=",
        "<<",
        ".5",
    ],
    "y": "n",
    "text": {"umlaut": "Ölbaum: x", "empty": "", "lines": "a\nb\n", "long": "word " * 40, "hash": "a #b"},
    "numbers": [0, -3, 2.5, -0.0, math.inf],
    "empty": [{}, []],
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5e5", 150000.0),
        ("-1.E+2", -100.0),
        (".5", 0.5),
        ("1.0e-3", 0.001),
        ("0", 0),
        ("-17", -17),
        ("1_000", 1000),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("off", "off"),
        ("007", "007"),
        ("012", "012"),
        ("0o17", "0o17"),
        ("1:20", "1:20"),
        ("2026-01-31", "2026-01-31"),
        ("=", "="),
    ],
)
def test_plain_scalars(text: str, value: object) -> None:
    found = parse_yaml(f"x: {text}", "test")["x"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml, line 3: key 'a' is given twice; keep one"),
        ("a: {<<: {b: 1}, c: 1,\n c: 2}", "f.yaml, line 2: key 'c' is given twice; keep one"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: not YAML: could not determine a constructor for the tag"),
        ("a: !custom 1", "line 1: not YAML: could not determine a constructor for the tag '!custom'"),
        ("a: &x [*x]", "an alias (*name) stands inside the value that it names"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


LEVELS = "abcdefghi"
NINE_LINES = "\n".join(
    f"{name}: &{name} [{', '.join(['x' if name == 'a' else '*' + LEVELS[place - 1]] * 9)}]"
    for place, name in enumerate(LEVELS)
)
MERGED = "\n".join(
    f"{name}: &{name} {{" + (f"<<: [{', '.join(['*' + LEVELS[place - 1]] * 9)}], " if place else "") + f"{name}: 1}}"
    for place, name in enumerate(LEVELS)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NINE_LINES, "values once its aliases (*name) are filled in; at most 50,000"),
        (MERGED, "values once its aliases (*name) are filled in; at most 50,000"),
        ("[" * 100_000, "deep inside one another"),
        ("\n".join(" " * depth + "a:" for depth in range(70)), "more than 64 deep inside one another"),
        ("[" * 70 + "]" * 70, "more than 64 deep inside one another"),
        ("- " * 70 + "x", "more than 64 deep inside one another"),
        ("a: !!bool z", "tag"),
        ("a: !!int z", "tag"),
        ("a: !!float z", "tag"),
        ("a: !!timestamp z", "not YAML"),
        ("a: !!binary z", ""),
        ("a: !!omap z", "tag"),
        ("a: !!omap [{b: 1}]", "tag"),
        ("a: !!set {b, c}", "tag"),
        (f"a: 1{'0' * 400}", "a number of 401 digits"),
        (f"a: 1{'0' * 5000}", "a number of 5001 digits"),
        (f"a: 0x{'f' * 5000}", "digits"),
        (f"a: '{'x' * 1_000_000}'", "characters; at most 1,000,000"),
    ],
)
def test_what_costs_too_much_or_is_no_value_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f.yaml")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("opening", ["[", "{", "[[], ", "[a: ", "{a: ", "? [", "- ", "? ", "[\n"])
def test_what_never_closes_is_refused_where_it_gets_too_deep(opening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    fetch = Scanner.fetch_more_tokens

    def counted(scanner: Scanner) -> Any:
        nonlocal read
        read += 1
        return fetch(scanner)

    monkeypatch.setattr(Scanner, "fetch_more_tokens", counted)
    with pytest.raises(InputError):
        parse_yaml(opening * 2_000, "f.yaml")
    assert read < 500, "each token costs as much time as brackets are open"


def test_values_beyond_the_bound_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foldtune.yaml.MAX_VALUES", 50)
    with pytest.raises(InputError, match="line 50: more than 50 values"):
        parse_yaml("- a\n" * 60 + "[", "f.yaml")  # the error at the end is never reached


def test_aliases_and_depth_within_the_bounds_are_read() -> None:
    assert parse_yaml("a: &a {b: 1}\nc: [*a, *a]", "f.yaml")["c"] == [{"b": 1}, {"b": 1}]
    assert parse_yaml("[" * 60 + "]" * 60, "f.yaml")
    assert parse_yaml(f"a: {'9' * 30}", "f.yaml") == {"a": int("9" * 30)}


def test_written_values_are_read_alike_by_yaml_1_1_and_1_2() -> None:
    text = dump_yaml(VALUES)
    assert parse_yaml(text, "test") == VALUES
    assert yaml_1_1.safe_load(text) == VALUES


def test_a_file_of_an_earlier_version_has_the_same_values(tmp_path: Path) -> None:
    earlier = {**VALUES, "labels": [label for label in VALUES["labels"] if label != "1e-5"]}
    path = tmp_path / "config.yaml"
    path.write_text(yaml_1_1.safe_dump(earlier, sort_keys=False, allow_unicode=True), encoding="utf-8")
    assert read_yaml(path) == earlier


def test_a_bound_that_an_earlier_version_stored_as_text_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml_1_1.safe_dump({"space": {"lr": {"loguniform": ["1e-5", "1e-2"]}}}))
    assert read_yaml(path) == {"space": {"lr": {"loguniform": [1e-5, 1e-2]}}}


def test_files_keep_order_and_values(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write_yaml(path, VALUES)
    found = read_yaml(path)
    assert found == {**VALUES, "numbers": [0, -3, 2.5, -0.0, None]}  # stored numbers are finite
    assert list(found) == list(VALUES)
    path.write_text("a: [1\n")
    with pytest.raises(RunCorrupt, match=r"config\.yaml, line 2: not YAML"):
        read_yaml(path)


def test_several_documents_begin_with_a_line_each() -> None:
    text = dump_yaml_documents([{"kind": "A"}, {"kind": "B"}])
    assert text == "---\nkind: A\n---\nkind: B\n"
    assert list(yaml_1_1.safe_load_all(text)) == [{"kind": "A"}, {"kind": "B"}]
