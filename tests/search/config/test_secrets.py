"""A password of a storage reaches the storage, and no file or message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from foldtune.errors import InputError
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
