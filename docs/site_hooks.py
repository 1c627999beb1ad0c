"""What the site shows besides the pages of docs/: pages at the top of the repository, examples, and the reference.

Links in Markdown lead to files of the repository, as on a Git host; here they become links to the site's pages. What is
no page, but a file of the repository, is published as it is.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "build" / "docs-source"
"""A copy of the package with files in the place of links, which the reader of docstrings does not follow."""

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples": "examples.md",
    "docs/decisions": "decisions/README.md",
}
"""Files and folders of the repository that are pages of the site, besides those of docs/."""

PARTS = ("search", "trainers", "spaces", "results", "cluster")
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Copy the package for mkdocstrings and add the reference to the navigation."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "foldtune", SOURCE / "foldtune", ignore=shutil.ignore_patterns("__pycache__"))
    reference: list[Any] = [{"The package": "reference/index.md"}]
    for part in PARTS:
        reference.append({part: [page for page in reference_pages() if page.split("/")[1].split(".")[0] == part]})
    nav: list[dict[str, Any]] = config.nav or []
    config.nav = [{"Reference": reference} if "Reference" in entry else entry for entry in nav]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    for source, page in PAGES.items():
        if (ROOT / source).is_file():
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=rewrite_links(text, source, files, config)))
    files.append(File.generated(config, "examples.md", content=examples_page()))
    for page, modules in reference_pages().items():
        files.append(File.generated(config, page, content=reference_page(page, modules)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links of a page of docs/ that leave docs/ lead to pages of the site."""
    if page.file.generated_by is not None:
        return markdown
    return rewrite_links(markdown, f"docs/{page.file.src_uri}", files, config)


def rewrite_links(markdown: str, source: str, files: Files, config: MkDocsConfig) -> str:
    """Return Markdown whose relative links are those between pages of the site.

    Args:
        markdown: text of the file `source`.
        source: path of the file in the repository, with slashes.
        files: files of the site, to which linked files that are no pages are added.
        config: configuration of the site.
    """
    here = posixpath.dirname(site_path(source) or source)

    def replace(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        page = site_path(target)
        if page is None:
            if not (ROOT / target).is_file():
                return match[0]  # left for the check of links, which fails
            page = target
            if files.get_file_from_path(page) is None:
                files.append(File.generated(config, page, abs_src_path=str(ROOT / target)))
        return posixpath.relpath(page, here or ".") + (match[2] or "")

    return LINK.sub(replace, markdown)


def site_path(path: str) -> str | None:
    """Return the page of the site that shows a path of the repository; None where none does."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") and (ROOT / path).is_file() else None


def examples_page() -> str:
    """Return a page that shows every YAML of examples/, each opening with its command."""
    parts = ["# Examples", "Each file opens with the command that runs it."]
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        name = path.relative_to(ROOT).as_posix()
        parts.append(f"## {name}\n\n```yaml\n{path.read_text(encoding='utf-8').rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def reference_pages() -> dict[str, list[str]]:
    """Return the public modules of every page of the reference, by page: a page a room, and one for the package."""
    top = sorted(path.stem for path in (SOURCE / "foldtune").glob("*.py") if not path.stem.startswith("_"))
    pages = {"reference/index.md": ["foldtune", *(f"foldtune.{name}" for name in top)]}
    for part in PARTS:
        for folder, folders, names in os.walk(SOURCE / "foldtune" / part):
            folders[:] = sorted(name for name in folders if not name.startswith("_"))
            room = Path(folder).relative_to(SOURCE).as_posix()
            modules = [room.replace("/", ".") + "." + Path(name).stem for name in sorted(names) if name.endswith(".py")]
            shown = [name for name in modules if not name.rpartition(".")[2].startswith("_")]
            if shown:
                pages[f"reference/{room.removeprefix('foldtune/').replace('/', '.')}.md"] = shown
    return pages


def reference_page(page: str, modules: list[str]) -> str:
    """Return the text of one page of the reference, which mkdocstrings fills."""
    room = modules[0].rpartition(".")[0] or "foldtune"
    return "\n\n".join([f"# {room}", *(f"::: {module}" for module in modules)]) + "\n"
