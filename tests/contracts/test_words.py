"""The vocabulary of the code: the field's terms instead of private words."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ("foldtune", "search", "trainers", "spaces", "results", "cluster")
FOLDERS = (*PROGRAM, "benchmarks", "tests")

RETIRED_NAMES = {
    "Ballot": "EnsembleCombiner",
    "BEAT_S": "RENEWAL_S",
    "DiskEntry": "DiskBackend",
    "Errand": "RemoteCommand",
    "Gathered": "SpilledArray",
    "Judge": "Evaluator",
    "LAST_WORDS_S": "SHUTDOWN_TIMEOUT_S",
    "Lack": "FoldModelStatus",
    "ObjectEntry": "ObjectBackend",
    "Parcel": "JobPackage",
    "Polled": "a value kept for a second",
    "Replica": "RankTrainer",
    "SearchEnd": "SearchOutcome",
    "Sight": "ImagePreprocessing",
    "Swept": "SweepResult",
    "TALKATIVE": "NOISY_LOGGERS",
    "Trained": "EpochResult",
    "YES_OR_NO": "BINARY_LIKE",
    "adapt_thresholds": "transfer_thresholds",
    "ballot": "combiner",
    "ballots": "combiners",
    "commonalities": "failure_summary",
    "common_level": "align_fold_biases",
    "common_rates": "align_positive_rates",
    "describing": "metadata",
    "failing_plainly": "translate_torch_errors",
    "farewell": "lost_message",
    "_farewell": "_head_lost_message",
    "foldmodel": "fold_model",
    "for_means": "with_adapted_thresholds",
    "goes_on": "should_retry",
    "guard_own": "ensure_local_token",
    "guard_running": "require_token",
    "hang_up": "close",
    "heed_mode": "reload_auth_mode",
    "is_away": "is_transient",
    "judges_whole_images": "has_spatial_targets",
    "make_ready": "ensure_trained",
    "markedpicture": "annotated_image",
    "obituary": "exit_error",
    "rehearse_submission": "check_submission_format",
    "run_away": "run_remote",
    "sights": "preprocessing",
    "test_told": "has_test_predictions",
    "unfitted": "uniform",
    "unmade": "as_lazy",
    "watching_head": "head_monitor",
}
"""Former name → successor: identifiers that appear nowhere in code, tests and documents, case-sensitive."""

RETIRED_DEFINITIONS = {
    "Counter": "SubtaskProgress",
    "Deaths": "WorkerRetryPolicy",
    "Mark": "Annotation",
    "Place": "Location",
    "Ranks": "ProcessGroup",
    "Rows": "LazyRows",
    "Share": "BatchShard",
    "Team": "WorkerPool",
    "_elsewhere": "find_reusable",
    "_reach": "tukey_hsd",
    "_settle": "_restore",
    "_take": "reuse",
    "admit": "validate",
    "attempt": "retry_io",
    "away": "remote_address",
    "compact": "quantize_outputs",
    "ending": "exit_code",
    "everywhere": "absolute_storage",
    "holding": "lock_runs",
    "joined": "concatenate",
    "left": "remaining",
    "look": "status",
    "marks": "annotations",
    "meeting": "rendezvous",
    "remarks": "label_warnings",
    "settled": "leave_job_folder",
    "sizes_of": "original_image_sizes",
    "stacked": "stack",
    "told": "has_predictions",
    "unread": "unreadable_images",
    "verdict": "failure_message",
}
"""Former name → successor of functions, methods and classes; as English words they may appear elsewhere."""

RETIRED_MODULES = {
    "away", "ballots", "commonalities", "counter", "deaths", "describing", "form", "foldmodel", "headwatch", "judge",
    "levels", "markedpicture", "opening", "originals", "patience", "places", "polling", "rates", "replica", "sights",
    "stored", "submitting", "team",
}  # fmt: skip
"""Former names of modules."""

SPEECH = re.compile(
    r"\b(says?|said|saying|asks?|asked|asking|tells?|told|telling|hears?|heard|heed(?:s|ed|ing)?|sittings?)\b", re.I
)
"""Verbs of people: programs report, request, receive and respect; a sitting is a session."""

SPEECH_ALLOWED = {
    ("results/tables/ensemble_table.py", "asked (the configured voting)"),  # a key of ensemble.json
}
"""(end of the path, part of the line): lines in which such a word is right."""

ARGUMENT_OF = re.compile(r"^\s+\w+: of\b", re.MULTILINE)
ROLE = re.compile(r"(?<!\w):[a-z]+:[`]")


def _files(folders: tuple[str, ...], suffixes: tuple[str, ...] = (".py",)) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT).parts
            linked = folder == "foldtune" and len(inside) > 2  # a link to another of the folders
            hidden = any(part.startswith((".", "__pycache__")) for part in inside)
            excluded = linked or hidden or path == Path(__file__).resolve()
            if path.suffix in suffixes and path.is_file() and not excluded:
                yield path


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _tokens(path: Path) -> tuple[tokenize.TokenInfo, ...]:
    return tuple(tokenize.generate_tokens(io.StringIO(_text(path)).readline))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path))


def _found(path: Path, line: int, text: str) -> str:
    return f"{path.relative_to(ROOT)}:{line}: {text.strip()}"


def _files_with(pattern: re.Pattern[str], folders: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files in which a pattern occurs anywhere; only those need their tokens, which take seconds of all."""
    return (path for path in _files(folders) if pattern.search(_text(path)))


def _identifiers(pattern: re.Pattern[str]) -> Iterator[tuple[Path, tokenize.TokenInfo]]:
    for path in _files_with(pattern, FOLDERS):
        yield from ((path, token) for token in _tokens(path) if token.type == tokenize.NAME)


def _definitions(folders: tuple[str, ...]) -> Iterator[tuple[Path, int, str]]:
    for path in _files(folders):
        for number, line in enumerate(_text(path).splitlines(), 1):
            if found := re.match(r"\s*(?:(?:async )?def|class) (\w+)", line):
                yield path, number, found[1]


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield comments, and lines of docstrings and other strings with more than one word."""
    for token in _tokens(path):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
        elif token.type == tokenize.STRING or token.type == getattr(tokenize, "FSTRING_MIDDLE", None):
            for offset, line in enumerate(token.string.splitlines()):
                text = re.sub(r"\{[^{}]*\}", "{}", line)  # what stands in braces is code
                if " " in text.strip():
                    yield token.start[0] + offset, text


def retired_names() -> Iterator[str]:
    for path, token in _identifiers(re.compile(rf"\b(?:{'|'.join(RETIRED_NAMES)})\b")):
        if token.string in RETIRED_NAMES:
            yield _found(path, token.start[0], f"{token.string}: {RETIRED_NAMES[token.string]}")


def retired_names_in_documents() -> Iterator[str]:
    """Former names in `code` of documents and in pyproject.toml."""
    nested = _files(("docs", "benchmarks", "examples"), (".md", ".yaml"))
    documents = [*ROOT.glob("*.md"), ROOT / "pyproject.toml", *nested]
    for path in documents:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for word in re.findall(r"\w+", " ".join(re.findall(r"`[^`]*`", line))):
                if word in RETIRED_NAMES:
                    yield _found(path, number, f"{word}: {RETIRED_NAMES[word]}")


def retired_definitions() -> Iterator[str]:
    for path, line, name in _definitions(PROGRAM):
        if name in RETIRED_DEFINITIONS:
            yield _found(path, line, f"{name}: {RETIRED_DEFINITIONS[name]}")


def retired_modules() -> Iterator[str]:
    for path in _files(PROGRAM):
        if path.stem in RETIRED_MODULES:
            yield _found(path, 1, path.stem)


def bare_schedulers() -> Iterator[str]:
    """`scheduler` alone is ambiguous: of the learning rate or of trials. Keywords of other libraries keep it."""
    for path in _files(PROGRAM):
        for node in ast.walk(_tree(path)):
            name = next((getattr(node, field) for field in ("id", "arg", "attr", "name") if hasattr(node, field)), None)
            foreign = isinstance(node, ast.keyword) or (
                isinstance(node, ast.Attribute) and ast.unparse(node.value) == "timm"
            )
            if name in ("scheduler", "Scheduler") and not foreign:
                yield _found(path, getattr(node, "lineno", 0), name)


def least_and_most() -> Iterator[str]:
    for path, token in _identifiers(re.compile(r"\b_?(LEAST|MOST)_")):
        if re.match(r"_?(LEAST|MOST)_", token.string):
            yield _found(path, token.start[0], f"{token.string}: MIN_ or MAX_")


def arguments_described_by_of() -> Iterator[str]:
    for path in _files_with(ARGUMENT_OF, PROGRAM):
        yield from (_found(path, number, line) for number, line in _prose(path) if ARGUMENT_OF.match(line))


def speech() -> Iterator[str]:
    for path in _files_with(SPEECH, PROGRAM):
        where = str(path.relative_to(ROOT))
        for number, line in _prose(path):
            allowed = any(where.endswith(end) and part in line for end, part in SPEECH_ALLOWED)
            if SPEECH.search(re.sub(r"`[^`]*`", "", line)) and not allowed:
                yield _found(path, number, line)


def roles_of_another_markup() -> Iterator[str]:
    """Roles of reStructuredText, which the site, being Markdown, shows as they are: names stand in backticks alone."""
    for path in _files_with(ROLE, FOLDERS):
        yield from (_found(path, number, line) for number, line in _prose(path) if ROLE.search(line))


@pytest.mark.parametrize(
    "check",
    [
        retired_names,
        retired_names_in_documents,
        retired_definitions,
        retired_modules,
        bare_schedulers,
        least_and_most,
        arguments_described_by_of,
        speech,
        roles_of_another_markup,
    ],
)
def test_the_code_has_no(check: Callable[[], Iterator[str]]) -> None:
    found = list(check())
    assert not found, "\n" + "\n".join(found)
