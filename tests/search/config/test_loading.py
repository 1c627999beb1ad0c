"""Reading a configuration: what overrides do, what paths mean, what is given back of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foldtune.errors import InputError
from foldtune.search.assess.gates import read_gates
from foldtune.search.config.loading import FormError, check, load_config, read_raw
from foldtune.wording import close_matches, unknown
from foldtune.yaml import parse_yaml

RAW: dict[str, Any] = {
    "name": "skin",
    "task": "multiclass",
    "data": {"train": "train.csv", "target": "dx"},
    "space": {"lr": {"loguniform": [1e-4, 1e-2]}},
}


@pytest.fixture
def yaml_file(tmp_path: Path) -> Path:
    path = tmp_path / "skin.yaml"
    path.write_text("name: skin\ntask: multiclass\ndata: {train: train.csv, target: dx}\nspace: {lr: 0.1}\nsearch:\n")
    return path


def test_overrides_take_yaml_and_make_sections(yaml_file: Path) -> None:
    sets = [
        "search.num_samples=7",
        "space.loss={choice: {focal: {gamma: 2}}}",
        "data.image_size=[64, 96]",
        "space.lr=1",
    ]
    config = load_config(yaml_file, sets, {"search.seed": 3, "name": None})
    assert (config.search.num_samples, config.search.seed, config.name) == (7, 3, "skin")
    assert config.data.size == (64, 96)
    assert config.space == {"lr": 1, "loss": {"choice": {"focal": {"gamma": 2}}}}


def test_a_flag_wins_over_an_override(yaml_file: Path) -> None:
    assert load_config(yaml_file, ["name=a"], {"name": "b"}).name == "b"


def test_data_paths_lie_under_the_folder_of_the_file_and_storage_does_not(yaml_file: Path) -> None:
    config = load_config(yaml_file, ["data.root=sub", "data.images=pictures", "storage=elsewhere"])
    folder = yaml_file.parent.resolve()
    assert config.data.train == folder / "sub/train.csv"
    assert config.data.images == folder / "sub/pictures"
    assert config.storage == "elsewhere"
    absolute = load_config(yaml_file, ["data.root=sub", "data.train=/data/t.csv"])
    assert absolute.data.train == Path("/data/t.csv")


def test_a_stored_configuration_reads_back_the_same_from_anywhere(tmp_path: Path) -> None:
    config = check(RAW, tmp_path)
    assert check(config.model_dump(mode="json"), Path("/elsewhere")) == config


def test_cache_off_without_quotes(tmp_path: Path) -> None:
    raw = parse_yaml("{train: t.csv, target: dx, cache: off}", "test")
    assert check({**RAW, "data": raw}, tmp_path).data.cache_dir is None


def test_merge_keys_and_anchors_are_yaml(tmp_path: Path) -> None:
    text = "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x\n"
    assert parse_yaml(text, "test") == {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}, "c": {"p": 1, "q": 2}}


def test_form_problems_come_with_the_sound_sections(tmp_path: Path) -> None:
    raw = {**RAW, "search": {"num_samples": 0}, "resourcs": {}, "ensemble": {"folds": 3}}
    with pytest.raises(FormError) as caught:
        check(raw, tmp_path)
    assert caught.value.unsound == {"search.num_samples", "resourcs", "resources"}
    assert caught.value.config.ensemble.folds == 3
    assert caught.value.config.data.train == tmp_path.resolve() / "train.csv"
    assert len(caught.value.problems) == 2


def test_an_unreadable_file_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the configuration"):
        load_config(tmp_path / "none/skin.yaml")


@pytest.mark.parametrize(
    ("given", "valid", "expected"),
    [
        ("softt", ["hard", "soft"], "soft"),
        ("SOFT", ["hard", "soft"], "soft"),
        ("gpu", ["cpus_per_trial", "gpus_per_trial"], "gpus_per_trial"),
        ("xyz", ["hard", "soft"], None),
        ("", ["hard"], None),
        ("a", [], None),
    ],
)
def test_close_matches(given: str, valid: list[str], expected: str | None) -> None:
    assert close_matches(given, valid) == ([expected] if expected else [])


def test_a_name_is_compared_with_a_bounded_number_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    monkeypatch.setattr("foldtune.wording.get_close_matches", lambda _, names, **__: compared.extend(names) or [])
    names = [f"img_{number}.png" for number in range(50_000)] + ["x" * 100_000, "Last.png"]
    assert close_matches("last.png", names) == ["Last.png"]
    assert close_matches("img_77777.png", names) == []
    assert len(compared) <= 5000


def test_unknown_names_all_that_is_valid() -> None:
    assert unknown("voting", "x", ["soft", "hard"]) == "unknown voting 'x'; valid: soft, hard"


def test_no_more_of_a_configuration_is_read_than_may_be_parsed() -> None:
    for read in (read_raw, read_gates):
        with pytest.raises(InputError, match="/dev/zero: more than 1,000,000 characters"):
            read(Path("/dev/zero"))
