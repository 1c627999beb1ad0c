"""`foldtune init`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldtune.errors import InputError
from foldtune.files import whole_file
from foldtune.search.cli.terminal import note, output
from foldtune.search.config.targets import split_targets
from foldtune.search.init.findings import Proposal, Stated
from foldtune.search.init.page import flow, write_page
from foldtune.search.init.propose import propose
from foldtune.search.runs.target_checks import check_config
from foldtune.yaml import parse_yaml


def write_first_config(data: Sequence[Path], stated: Stated, file: Path | None, *, force: bool) -> None:
    """Write the YAML that the data suggest, checked as `validate` checks it, and print each decision with its reason.

    Args:
        file: the YAML to write; by default NAME.yaml in the working folder.

    Raises:
        InputError: what the data do not show, a file that exists, or a proposal that does not hold.
    """
    folder = Path.cwd() if file is None else file.parent
    proposal = propose(data, stated, folder)
    name = str(next(each.value for each in proposal.findings if each.key == "name"))
    path = file or Path(f"{name}.yaml")
    if path.exists() and not force:
        raise InputError(f"{path}: is there already; --force replaces it, -o names another file")
    try:
        proposal, page, notes = _checked(proposal, path, folder)
    finally:
        _show(proposal)
    for text in notes:
        note(f"note: {text}")
    with whole_file(path) as stream:
        stream.write(page.encode())
    output().print(
        f"{path}: valid; next: foldtune preview {path} -o preview.png, foldtune search {path}", soft_wrap=True
    )


def _show(proposal: Proposal) -> None:
    for text in proposal.notes:
        note(f"note: {text}")
    for finding in proposal.findings:
        if finding.why:
            output().print(f"{finding.key}: {flow(finding.value)} ({finding.why})", soft_wrap=True)


def _checked(proposal: Proposal, path: Path, folder: Path) -> tuple[Proposal, str, list[str]]:
    """Return a proposal that holds, its YAML and the notes of its check; a sample that does not fit is left out."""
    title = f"Written by foldtune init. Next: foldtune validate {path.name}, then foldtune search {path.name}"
    page = write_page(title, proposal.findings)
    try:
        checked = check_config(split_targets(parse_yaml(page, str(path)), folder))
    except InputError as error:
        fewer = proposal.without_sample(error.problems)
        if fewer is None:
            raise
        return _checked(fewer, path, folder)
    return proposal, page, [text for each in checked for text in each.notes]
