"""Whole commands end with 0, 1, 2 or 130 and one plain message, whatever is in their files and environment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest
from fuzz_inputs import (
    COMMANDS,
    CONFIG,
    CONFIGS,
    ENVIRONMENT,
    GATES,
    IMAGES,
    JSONS,
    TABLES,
    TOKENS,
    changed_json,
    edited,
    many,
    texts,
    with_value,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foldtune.redaction import without_colours
from foldtune.search.cli.main import run

STORED = Path(__file__).parents[1] / "stored_runs/v0_1_0/runs/stored"
ENDINGS = (0, 1, 2, 130)
MAX_MESSAGE = 20_000
OUTPUTS = ("board.csv", "predictions.csv", "report", "model")
LOOK = (
    ("results", "stored"),
    ("results", "stored", "--trial", "0001"),
    ("results", "stored", "--format", "json"),
    ("runs",),
    ("leaderboard", "stored", "--output", "board.csv"),
    ("thresholds", "stored"),
    ("compare", "stored", "stored/ensemble"),
    ("gate", "stored", "gates.yaml"),
    ("promote", "stored", "--to", "model", "--gates", "gates.yaml"),
    ("score", "stored", "--labels", "labels.csv"),
    ("report", "stored", "--output", "report"),
    ("predict", "stored", "new", "--output", "predictions.csv", "--device", "cpu"),
)
"""Commands that read a run and start no Ray."""
FILES = (
    "config.yaml", "task.json", "folds.csv", "driver.json", "leaderboard.csv", "trials/0001/config.json",
    "trials/0001/metrics.jsonl", "trials/0001/trial.json", "trials/0001/scores.npz", "ensemble/ensemble.json",
    "ensemble/oof.npz", "ensemble/test.npz", "ensemble/weights/0000/fold_0.safetensors",
)  # fmt: skip


def end(*arguments: str) -> str:
    """Run a command; return what it printed."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(list(arguments))
    printed = without_colours(out.getvalue() + err.getvalue())  # where the environment wants them
    assert code in ENDINGS, (code, printed)
    assert "bug in foldtune" not in printed, printed
    assert "Traceback (most recent" not in err.getvalue(), printed
    assert printed.strip() or code == 0, (arguments, code)
    assert len(err.getvalue()) < MAX_MESSAGE, len(err.getvalue())
    assert not set("\x00\x07\x08\x1b\x9b") & set(printed), printed
    return printed


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """A file with other content for a block."""
    before = path.read_bytes() if path.exists() else None
    path.unlink(missing_ok=True)  # a hard link, perhaps
    path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
        for name in OUTPUTS:
            shutil.rmtree(name, ignore_errors=True)
            Path(name).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a stored run, two new images, and the files of a search of four more."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(STORED, home / "runs/stored")
    config = home / "runs/stored/config.yaml"
    config.write_text(config.read_text().replace("{FOLDER}", str(home)))
    for folder in ("new", "images"):
        (home / folder).mkdir()
        for number, name in enumerate("abcd"):
            Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(home / folder / f"{name}.png")
    (home / "train.csv").write_bytes(b"image,label\na.png,x\nb.png,y\nc.png,x\nd.png,y\n")
    (home / "test.csv").write_bytes(b"image\na.png\n")
    (home / "labels.csv").write_bytes((home / "train.csv").read_bytes())
    (home / "gates.yaml").write_bytes(b"- macro_f1 > 0.1\n")
    (home / "tiny.yaml").write_bytes(CONFIG)
    before = Path.cwd()
    os.chdir(home)
    with mock.patch.dict(os.environ, {"FOLDTUNE_CACHE": str(home / "cache"), "COLUMNS": "100"}):
        yield home
    os.chdir(before)


def changed(file: str) -> st.SearchStrategy[bytes]:
    original = (STORED / file).read_bytes()
    if file.endswith(".json"):
        return st.one_of(changed_json(json.loads(original)), edited(original))
    return edited(original)


def stored(file: str) -> bytes:
    return (STORED / file).read_bytes()


KNOWN: list[tuple[str, bytes, tuple[str, ...]]] = [
    *(("tiny.yaml", content, ("validate", "tiny.yaml")) for content in CONFIGS),
    *(("train.csv", content, ("validate", "tiny.yaml")) for content in TABLES),
    *(("gates.yaml", content, ("gate", "stored", "gates.yaml")) for content in GATES),
    # Found by the properties below.
    ("labels.csv", b"image,label\n,", ("score", "stored", "--labels", "labels.csv")),
    ("gates.yaml", GATES[0], ("results", "\0")),
    (
        "runs/stored/task.json",
        b'{"task": "multiclass", "target": "label", "labels": ["2", "4", "6"], "counts": [15, 15, 15]}',
        ("compare", "stored", "stored"),
    ),
    (
        "runs/stored/trials/0001/config.json",
        with_value(stored("trials/0001/config.json"), ("params", "lr"), 10**400),
        ("results", "stored", "--format", "json"),
    ),
]


@pytest.mark.parametrize(("name", "content", "command"), KNOWN, ids=range(len(KNOWN)))
def test_known_inputs(home: Path, name: str, content: bytes, command: tuple[str, ...]) -> None:
    with replaced(home / name, content):
        end(*command)


@pytest.mark.slow
@pytest.mark.parametrize("content", JSONS, ids=range(len(JSONS)))
@pytest.mark.parametrize("file", ["task.json", "driver.json", "trials/0001/trial.json"])
def test_known_stored_files(home: Path, file: str, content: bytes) -> None:
    with replaced(home / "runs/stored" / file, content):
        end("results", "stored")
        end("runs")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), ENVIRONMENT)
def test_known_environments(home: Path, name: str, value: str) -> None:
    with mock.patch.dict(os.environ, {name: value}):
        end("validate", "tiny.yaml")
        end("results", "stored")


def property_of(command: tuple[str, ...], path: Path, contents: st.SearchStrategy[bytes]) -> Callable[[], None]:
    @many(COMMANDS)
    @given(contents)
    def holds(content: bytes) -> None:
        with replaced(path, content):
            end(*command)

    return holds  # type: ignore[no-any-return]


@pytest.mark.fuzz
@pytest.mark.parametrize("command", LOOK, ids=" ".join)
def test_any_stored_file(home: Path, command: tuple[str, ...]) -> None:
    @many(COMMANDS)
    @given(st.sampled_from(FILES).flatmap(lambda file: st.tuples(st.just(file), changed(file))))
    def holds(change: tuple[str, bytes]) -> None:
        file, content = change
        with replaced(home / "runs/stored" / file, content):
            end(*command)

    holds()


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("name", "corpus", "command"),
    [
        ("tiny.yaml", CONFIGS, ("validate", "tiny.yaml")),
        ("train.csv", TABLES, ("validate", "tiny.yaml")),
        ("test.csv", TABLES, ("validate", "tiny.yaml")),
        ("gates.yaml", GATES, ("gate", "stored", "gates.yaml")),
        ("labels.csv", TABLES, ("score", "stored", "--labels", "labels.csv")),
        ("new.csv", TABLES, ("predict", "stored", "new.csv", "--images", "new", "-o", "predictions.csv")),
        ("sample.csv", TABLES, ("predict", "stored", "new", "--submission", "sample.csv", "-o", "predictions.csv")),
        ("new/a.png", IMAGES, ("predict", "stored", "new", "-o", "predictions.csv")),
    ],
)
def test_any_file_of_the_user(home: Path, name: str, corpus: tuple[bytes, ...], command: tuple[str, ...]) -> None:
    property_of(command, home / name, texts(*corpus))()


@pytest.mark.fuzz
def test_any_argument(home: Path) -> None:
    commands = [
        "validate",
        "results",
        "runs",
        "leaderboard",
        "thresholds",
        "gate",
        "compare",
        "predict",
        "score",
        "logs",
    ]
    pieces = [token.decode(errors="surrogateescape") for token in TOKENS]
    words = ["stored", "tiny.yaml", "runs", "--set", "--format", "--storage", "--trial", "--output"]
    argument = st.one_of(st.text(max_size=12), st.sampled_from([*pieces, *words]))

    @many(COMMANDS)
    @given(st.sampled_from(commands), st.lists(argument, max_size=4))
    def holds(command: str, arguments: list[str]) -> None:
        with replaced(home / "gates.yaml", GATES[0]):
            end(command, *(each for each in arguments if not each.startswith(("-h", "--h"))))

    holds()


@pytest.mark.fuzz
def test_any_environment(home: Path) -> None:
    names = sorted({name for name, _ in ENVIRONMENT})
    values = st.one_of(st.sampled_from([value for _, value in ENVIRONMENT]), st.text(max_size=20))

    @many(COMMANDS)
    @given(st.dictionaries(st.sampled_from(names), values.filter(lambda text: "\0" not in text), max_size=4))
    def holds(environment: Mapping[str, str]) -> None:
        given_texts = {name: os.fsdecode(text.encode(errors="ignore")) for name, text in environment.items()}
        with mock.patch.dict(os.environ, given_texts):
            end("validate", "tiny.yaml")
            end("results", "stored")

    holds()
