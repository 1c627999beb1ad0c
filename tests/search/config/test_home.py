"""Machines without a home folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldtune.cluster.access.tokens import has_token
from foldtune.errors import InputError
from foldtune.home import expanded, user_cache_folder
from foldtune.search.config.sections.data_section import DataConfig


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No HOME, and a user that the system does not list."""
    for name in ("HOME", "XDG_CACHE_HOME", "FOLDTUNE_CACHE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def test_caches_lie_in_the_temporary_folder(homeless: None) -> None:
    data = DataConfig(train=Path("train.csv"), target="label")
    assert data.cache_dir == Path(tempfile.gettempdir()) / f"cache-{os.getuid()}" / "foldtune"
    assert not has_token()


def test_a_path_below_the_home_is_refused_by_name(homeless: None) -> None:
    for path in ("~/images", "~nobody-of-this-name/images"):
        with pytest.raises(InputError, match=rf"{path}: there is no home folder '{path.split('/')[0]}' here"):
            expanded(path)


def test_folders_of_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert expanded("~/images") == tmp_path / "images"
    assert user_cache_folder() == tmp_path / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/caches")
    assert user_cache_folder() == tmp_path / "caches"


def test_commands_end_with_one_message(
    project: Any, foldtune: Callable[..., tuple[int, str, str]], homeless: None
) -> None:
    assert foldtune("validate", project.config())[0] == 0
    code, _, err = foldtune("validate", project.config({"data.images": "~/images"}))
    assert (code, "there is no home folder '~' here" in err) == (2, True)
