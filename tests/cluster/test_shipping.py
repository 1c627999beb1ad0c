"""The code that a cluster gets is the whole package, however this process has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

import foldtune
from foldtune.cluster import shipping

SOURCE = Path(foldtune.__file__).resolve().parent


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Folders and digests are computed anew, and not kept for other tests."""
    for cached in (shipping.package_folder, shipping.code_digest):
        cached.cache_clear()
    yield
    for cached in (shipping.package_folder, shipping.code_digest):
        cached.cache_clear()


@pytest.fixture
def links_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose links became text files, as in a ZIP download."""
    package = tmp_path / "foldtune"
    package.mkdir()
    for path in SOURCE.iterdir():
        if path.name in shipping.PARTS:
            (package / path.name).write_text(f"../{path.name}")
        elif path.is_file():
            shutil.copy2(path, package)
    monkeypatch.setattr(foldtune, "__file__", str(package / "__init__.py"))
    return package


def sources(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in shipping._sources(folder)}


def test_a_package_of_links_is_shipped_as_it_is_and_ray_packs_what_they_lead_to(tmp_path: Path) -> None:
    folder = shipping.package_folder()
    assert folder == SOURCE
    package = tmp_path / "package.zip"
    create_package(str(folder), package, include_gitignore=False, include_parent_dir=True)
    shutil.unpack_archive(package, tmp_path / "node")
    assert sources(tmp_path / "node/foldtune") == sources(folder)
    assert {f"{part}/__init__.py" for part in shipping.PARTS} < sources(folder).keys()


def test_links_that_are_text_are_replaced_by_copies(links_as_text: Path) -> None:
    copy = shipping.package_folder()
    assert copy not in (SOURCE, links_as_text)
    assert sources(copy) == sources(SOURCE)


def test_the_digest_is_that_of_the_code_not_of_its_form(request: pytest.FixtureRequest) -> None:
    digest = shipping.code_digest()
    request.getfixturevalue("links_as_text")
    for cached in (shipping.package_folder, shipping.code_digest):
        cached.cache_clear()
    assert shipping.code_digest() == digest
