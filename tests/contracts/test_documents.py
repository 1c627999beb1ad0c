"""Names of modules, files and tests in the documents are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks/README.md"])
PARTS = ("search", "trainers", "spaces", "results", "cluster")

DOTTED = re.compile(rf"`(?:foldtune\.)?((?:{'|'.join(PARTS)})(?:\.(?!py`)[A-Za-z_]\w*)+)`")
FILES = re.compile(rf"`((?:{'|'.join(PARTS)}|foldtune|tests|benchmarks|examples|docs)/[\w./-]*)`")
TESTS = re.compile(r"`(test_\w+\.py)`")


def exists(name: str) -> bool:
    """Whether a dotted name is a module, something that a module defines, or a key of the configuration."""
    parts = name.split(".")
    for used in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:used])
        source = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if source.is_file():
            rest = parts[used:]
            text = source.read_text(encoding="utf-8")
            if used > 1 or not rest:
                return all(re.search(rf"\b{re.escape(attribute)}\b", text) for attribute in rest)
    schema = (ROOT / "search/config/schema.py").read_text(encoding="utf-8")
    return len(parts) == 2 and re.search(rf"^    {parts[1]}:", schema, re.MULTILINE) is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_in_documents_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    unknown = [name for name in DOTTED.findall(text) if not exists(name)]
    unknown += [name for name in FILES.findall(text) if not (ROOT / name).exists()]
    unknown += [name for name in TESTS.findall(text) if not list((ROOT / "tests").rglob(name))]
    assert unknown == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    listed = set(re.findall(r"\]\((\d{4}[\w-]*\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}
