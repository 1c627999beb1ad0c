"""A password of a storage reaches the storage, and no file or message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from foldtune.errors import InputError
from foldtune.redaction import redacted
from foldtune.search.config.loading import check
from foldtune.search.config.secrets import expanded, has_password, masked

URL = "postgresql://me:s3cret@db:5432/optuna"


@pytest.mark.parametrize(
    ("url", "shown", "secret"),
    [
        (URL, "postgresql://me:***@db:5432/optuna", True),
        ("postgresql+psycopg://:only@db/x", "postgresql+psycopg://:***@db/x", True),
        ("postgresql://me:${PGPASSWORD}@db/x", "postgresql://me:${PGPASSWORD}@db/x", False),
        ("postgresql://me:half${PGPASSWORD}@db/x", "postgresql://me:***@db/x", True),
        ("postgresql://me@db:5432/x", "postgresql://me@db:5432/x", False),
        ("sqlite:///runs/a:b@c.db", "sqlite:///runs/a:b@c.db", False),
        ("postgresql://me:***@db/x", "postgresql://me:***@db/x", False),
        (
            "postgresql://me@db/x?sslmode=require&sslpassword=s3",
            "postgresql://me@db/x?sslmode=***&sslpassword=***",
            True,
        ),
        ("postgresql://me@db/x?password=${PGPASSWORD}", "postgresql://me@db/x?password=${PGPASSWORD}", False),
        ("POSTGRESQL://me:p%40ss@db/x", "POSTGRESQL://me:***@db/x", True),
        ("postgresql://me:p@ss@db/x", "postgresql://…", True),
        ("postgresql://me:p/ss@db/x", "postgresql://…", True),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str, secret: bool) -> None:
    assert (masked(url), has_password(url)) == (shown, secret)


def test_the_environment_gives_the_password_as_a_part_of_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_WORD", "p@ss/wörd")
    assert expanded("postgresql://me:${DB_WORD}@db/x", "k") == "postgresql://me:p%40ss%2Fw%C3%B6rd@db/x"
    monkeypatch.delenv("DB_WORD")
    with pytest.raises(InputError, match=r"^k: the environment does not set DB_WORD"):
        expanded("postgresql://me:${DB_WORD}@db/x", "k")
    with pytest.raises(InputError, match="is not stored: give it again"):
        expanded("postgresql://me:***@db/x", "k")


def test_a_stored_configuration_holds_no_password(project: Any) -> None:
    path = Path(project.config({"search.study_storage": URL}))
    config = check(yaml.safe_load(path.read_text()), path.parent)
    assert config.search.study_storage == URL
    assert "s3cret" not in yaml.safe_dump(config.model_dump(mode="json"))


@pytest.mark.parametrize("word", ["s3cr@t", "s3cr/t", "s3cr t"])
def test_a_password_that_cannot_be_told_from_the_rest_is_refused_and_not_shown(project: Any, word: str) -> None:
    path = Path(project.config({"search.study_storage": f"postgresql://me:{word}@db/x"}))
    with pytest.raises(
        InputError, match=r"search\.study_storage: .* percent-encode it .*or use an environment"
    ) as caught:
        check(yaml.safe_load(path.read_text()), path.parent)
    assert "s3cr" not in str(caught.value)


def test_an_expanded_password_is_hidden_in_later_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_WORD", "s3cr@t word")
    expanded("postgresql://me:${MY_WORD}@db/x", "k")
    assert redacted("invalid literal for int() with base 10: 's3cr@t word' (s3cr%40t%20word)") == (
        "invalid literal for int() with base 10: '***' (***)"
    )


PLACES = {
    "storage": "s3://KEY:{}@bucket/runs",
    "search.study_storage": "postgresql://me:{}@nowhere.invalid/x",
    "data.train": "https://me:{}@host/train.csv",
    "data.cache": "https://me:{}@host/cache",
    "name": "https://me:{}@host",
    "task": "https://me:{}@host",
    "space.model_name": "https://me:{}@host",
    "strange": "https://me:{}@host?password={}",
    "resources.cpus_per_trial": "https://me:{}@host",
    "data.image_size": "https://me:{}@host",
}


@pytest.mark.parametrize("word", [pytest.param("S3cret%40Word", marks=pytest.mark.slow), "S3cret@W/o rd"])
@pytest.mark.parametrize("key", PLACES)
def test_no_command_prints_a_password(project: Any, foldtune: Any, key: str, word: str) -> None:
    url = PLACES[key].replace("{}", word)
    path = project.config({key: url})
    commands = [["validate", path], ["validate", project.config(), "--set", f"{key}=[{url}]"]]
    if key != "data.cache":  # a folder like any other
        commands += [["search", path, "--address", "http://127.0.0.1:1"]]
    for command in commands:
        _, out, err = foldtune(*command)
        assert "S3cret" not in out + err, out + err


@pytest.mark.parametrize("address", ["http://me:S3cret@head:8265/x", "http://me:S3/cret@head:8265", "S3cret@head"])
def test_no_address_is_printed_with_a_password(foldtune: Any, address: str) -> None:
    _, out, err = foldtune("cluster", "status", "--address", address)
    assert "S3" not in (out + err).replace("S3cret@head'" if address == "S3cret@head" else "\0", "")
