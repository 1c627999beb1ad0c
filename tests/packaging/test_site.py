"""The documentation as a site: every link leads somewhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
ASSET = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning, such as of a broken link, fails the build."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return folder


def test_every_page_of_the_repository_and_every_room_has_a_page(site: Path) -> None:
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {"index.html", "contributing.html", "changelog.html", "benchmarks.html", "examples.html"} <= pages
    assert {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")} <= pages
    rooms = {path.parent.relative_to(ROOT) for part in ("search", "trainers") for path in ROOT.glob(f"{part}/*/*.py")}
    assert {f"reference/{'.'.join(room.parts)}.html" for room in rooms} <= pages


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    found = {path.name: ASSET.findall(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert {name: assets for name, assets in found.items() if assets} == {}


def test_pages_open_in_a_browser_without_a_network(site: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=5000",
    ]
    for page, shown in (("index.html", "make quickstart"), ("reference/index.html", "FoldtuneError")):
        dumped = subprocess.run(
            [browser, *options, "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", f"file://{site / page}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=300,
        ).stdout
        opened = re.search(r"<html[^>]*>", dumped)
        assert opened is not None
        assert "no-js" not in opened[0], "the page's script did not run"
        assert shown in dumped
