"""The distribution: what a wheel holds; every way to install it works beside packages and files of like names."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from foldtune.trainers.data.digits import write_digits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("search", "trainers", "spaces", "results", "cluster")
CONFIG = """
name: two
task: multiclass
data: {root: digits, train: train.csv, images: images, target: label, image_size: 32}
space: {model_name: test_resnet, augmentation: none, batch_size: 32, lr: {loguniform: [1.0e-3, 1.0e-2]}}
search: {num_samples: 2, max_epochs: 1, seed: 0}
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Return the output of a command that is to succeed; the checkout of these tests is not on its path."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**inherited, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment that has the packages of the environment of the tests, but not foldtune."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def foldtune(self) -> Path:
        return self.folder / "bin/foldtune"

    @property
    def site_packages(self) -> Path:
        return self.folder / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"

    def install(self, *arguments: str | Path) -> None:
        offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
        run(self.python, "-m", "pip", "install", *offline, *arguments, cwd=self.folder)

    def location(self, package: str) -> Path:
        """Return the resolved folder from which a package is imported."""
        program = f"import {package}; print({package}.__file__)"
        return Path(run(self.python, "-c", program, cwd=self.folder)).resolve().parent


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    made = Environment(tmp_path / "venv")
    venv.create(made.folder, with_pip=False)
    # A path in a .pth file adds modules, but does not run the .pth files there, so no editable foldtune.
    (made.site_packages / "packages-of-the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of this checkout, at its last commit."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git checkout")
    folder = tmp_path_factory.mktemp("clone")
    run("git", "clone", "--quiet", ROOT, "foldtune", cwd=folder)
    return folder / "foldtune"


@pytest.fixture
def linkless_tree(clone: Path, tmp_path: Path) -> Path:
    """A source tree as from a ZIP download: no git, and every link a text file with the link's target."""
    tree = tmp_path / "foldtune-main"
    shutil.copytree(clone, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", "build", "*.egg-info"))
    links = [tree / "foldtune" / part for part in PARTS]
    for link in links:
        target = os.readlink(link)
        link.unlink()
        link.write_text(target)
    assert not any(path.is_symlink() for path in tree.rglob("*"))
    return tree


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, clone, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def write_modules(folder: Path, names: Mapping[str, str], owner: str) -> None:
    """Write modules that fail at import, by name: "module" for a file, "package" for a folder."""
    for name, kind in names.items():
        path = folder / name / "__init__.py" if kind == "package" else folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"raise RuntimeError('{name} of {owner} is imported')\n")


@pytest.fixture
def user_folder(tmp_path: Path) -> Path:
    """A working folder with data, a configuration, and files of its own that are called like parts of foldtune."""
    folder = tmp_path / "user"
    write_digits(folder / "digits")
    table = pd.read_csv(folder / "digits/train.csv", dtype=str)
    common = table[table["label"].isin(table["label"].value_counts().index[:3])]
    common.groupby("label").head(40).to_csv(folder / "digits/train.csv", index=False)
    (folder / "two.yaml").write_text(CONFIG)
    kinds = dict.fromkeys(PARTS, "module") | {"spaces": "package"}
    write_modules(folder, kinds, "the user")
    return folder


def test_wheel_holds_the_sources_as_files_and_nothing_outside_the_package(wheel: Path, clone: Path) -> None:
    tracked = run("git", "ls-files", "foldtune", *PARTS, cwd=clone).split()
    sources = {path if path.startswith("foldtune/") else f"foldtune/{path}": clone / path for path in tracked}
    expected = {name: path for name, path in sources.items() if path.suffix in (".py", ".yaml", ".typed")}
    with zipfile.ZipFile(wheel) as archive:
        entries = [entry for entry in archive.infolist() if ".dist-info/" not in entry.filename]
        assert not any(stat.S_ISLNK(entry.external_attr >> 16) for entry in archive.infolist())
        assert {entry.filename for entry in entries} == set(expected)
        assert all(archive.read(name) == path.read_bytes() for name, path in expected.items())
        info = {entry.filename.split("/")[0] for entry in archive.infolist()} - {"foldtune"}
    assert len(info) == 1, info
    assert info.pop().endswith(".dist-info")


def test_installed_wheel_searches_beside_packages_and_files_of_like_names(
    environment: Environment, wheel: Path, user_folder: Path
) -> None:
    write_modules(environment.site_packages, dict.fromkeys(PARTS, "package"), "another distribution")
    environment.install(wheel)
    assert environment.location("foldtune.search") == (environment.site_packages / "foldtune/search").resolve()
    own = {"FOLDTUNE_CACHE": str(user_folder / "cache")}
    assert "Usage: foldtune" in run(environment.foldtune, "--help", cwd=user_folder, **own)
    run(environment.foldtune, "validate", "two.yaml", cwd=user_folder, **own)
    run(environment.foldtune, "search", "two.yaml", cwd=user_folder, **own)
    table = pd.read_csv(user_folder / "runs/two/leaderboard.csv")
    assert table["status"].tolist() == ["COMPLETE", "COMPLETE"]
    # `python -m` puts the working folder first on the path, before every installed package.
    run(environment.python, "-m", "foldtune.search.cli", "results", "two", cwd=user_folder, **own)


def test_tree_without_links_installs_into_a_folder(
    environment: Environment, linkless_tree: Path, user_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    environment.install("--target", target, linkless_tree)
    own = {"PYTHONPATH": str(target), "FOLDTUNE_CACHE": str(user_folder / "cache")}
    command = (environment.python, "-m", "foldtune.search.cli")
    assert "Usage: " in run(*command, "--help", cwd=user_folder, **own)
    run(*command, "validate", "two.yaml", cwd=user_folder, **own)
    assert (target / "foldtune/search/__init__.py").is_file()


def test_tree_without_links_installs_editable(environment: Environment, linkless_tree: Path, user_folder: Path) -> None:
    environment.install("--editable", linkless_tree)
    assert environment.location("foldtune.search") == (linkless_tree / "search").resolve()
    own = {"FOLDTUNE_CACHE": str(user_folder / "cache")}
    assert "Usage: foldtune" in run(environment.foldtune, "--help", cwd=user_folder, **own)
    run(environment.foldtune, "validate", "two.yaml", cwd=user_folder, **own)
