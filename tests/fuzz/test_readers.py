"""Whatever bytes a reader gets, it returns a value or raises an error that is written for the user."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fuzz_inputs import (
    CONFIG,
    CONFIGS,
    EXAMPLES,
    GATES,
    IMAGES,
    JSONS,
    OVERRIDES,
    TABLES,
    TOKENS,
    changed_json,
    edited,
    many,
    texts,
)
from hypothesis import given
from hypothesis import strategies as st

from foldtune.csv_files import read_csv
from foldtune.errors import FoldtuneError, RunCorrupt
from foldtune.results.exports.submission import read_sample
from foldtune.results.storage.files import read_json, read_jsonl, read_npz
from foldtune.search.assess.gates import evaluate_gates, read_gates
from foldtune.search.config.loading import check, read_raw
from foldtune.search.config.targets import read_config_file
from foldtune.search.predict.stored_ensemble import StoredEnsemble
from foldtune.spaces import Space
from foldtune.trainers.data.readers import ReadOptions
from foldtune.trainers.detection.pages import with_sides
from foldtune.trainers.images.reading import is_deep, picture_size
from foldtune.trainers.tasks import TASKS
from tests.images import decode

STORED = Path(__file__).parents[1] / "stored_runs/v0_1_0/runs/stored"
MAX_MESSAGE = 20_000
"""Characters: a message names what is wrong, and is no copy of the input."""


@contextmanager
def one_message() -> Iterator[None]:
    """Let errors pass that are meant for the user, if they can be read; every other one fails the test."""
    message = "no error"
    try:
        yield
    except (FoldtuneError, OSError) as error:
        message = str(error)
    assert message.strip()
    assert len(message) < MAX_MESSAGE


def configuration(path: Path) -> None:
    file = read_config_file(path)
    if file.targets is not None:
        for target in file.targets.raws:
            file.targets.config(target)
        return
    Space.parse(check(file.raw, path.parent).space)


def table(path: Path) -> None:
    frame = read_csv(path)
    for name in ("multiclass", "binary", "multilabel", "ordinal"):
        with one_message():
            target = "label" if "label" in frame else frame.columns[-1]
            TASKS[name].from_frame(frame, target).encode(frame, path)


def gates(path: Path) -> None:
    classes = [{"label": "mel", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3}]
    evaluate_gates(read_gates(path), {"estimate": {"macro_f1": 0.5}, "per_class": classes})


def picture(path: Path) -> None:
    is_deep(path)
    for step in (picture_size, lambda each: decode(each, (8, 8))):
        with one_message():
            step(path)


def boxes(path: Path) -> None:
    file = path.with_suffix(".json")
    file.write_bytes(path.read_bytes())
    frame = TASKS["text_detection"].read_source(file, ReadOptions("image", "boxes")).frame
    TASKS["text_detection"].from_frame(with_sides(frame, path.parent, "image", "boxes"), "boxes", image_size=64)


COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}, {"id": 2, "file_name": "b.png"}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
        {"image_id": 2, "category_id": 1, "segmentation": [[1, 2, 8, 2, 8, 9], [1, 2, 8, 2, 8, 9]]},
    ],
    "categories": [{"id": 1, "name": "text"}],
}
QUAD = [[1, 2], [8, 2], [8, 9], [1, 9]]
UFO: dict[str, Any] = {"images": {"a.png": {"img_w": 9, "img_h": 9, "words": {"1": {"points": QUAD}}}}}


def stored_json(path: Path) -> None:
    for read in (read_json, read_jsonl):
        with one_message():
            read(path)


READERS: dict[str, tuple[Callable[[Path], object], tuple[bytes, ...]]] = {
    "configuration": (configuration, CONFIGS),
    "table": (table, TABLES),
    "sample submission": (read_sample, TABLES),
    "gates": (gates, GATES),
    "image": (picture, IMAGES),
    "boxes": (boxes, (json.dumps(COCO).encode(), json.dumps(UFO).encode())),
    "stored json": (stored_json, (*JSONS, (STORED / "task.json").read_bytes())),
    "arrays": (
        read_npz,
        ((STORED / "ensemble/test.npz").read_bytes(), b"PK\x03\x04", b"\x93NUMPY\x01\x00", *JSONS[:3]),
    ),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "input.npz"


CORPUS = [(name, number) for name, (_, corpus) in READERS.items() for number in range(len(corpus))]


@pytest.mark.parametrize(("name", "number"), CORPUS)
def test_known_inputs(file: Path, name: str, number: int) -> None:
    read, corpus = READERS[name]
    file.write_bytes(corpus[number])
    with one_message():
        read(file)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", READERS)
def test_any_bytes(file: Path, name: str) -> None:
    read, corpus = READERS[name]

    @many(EXAMPLES)
    @given(texts(*(each for each in corpus if len(each) < 5000)))
    def holds(content: bytes) -> None:
        file.write_bytes(content)
        with one_message():
            read(file)

    holds()


def overridden(file: Path, override: str) -> None:
    file.write_bytes(CONFIG)
    with one_message():
        check(read_raw(file, [override]), file.parent)


@pytest.mark.parametrize("override", OVERRIDES)
def test_known_overrides(file: Path, override: str) -> None:
    overridden(file, override)


@pytest.mark.fuzz
def test_any_override(file: Path) -> None:
    keys = st.sampled_from(
        ["name", "data", "data.train", "data.image_size", "space.lr", "search.seed", "storage", "x.y"]
    )
    pieces = st.lists(st.sampled_from([each.decode(errors="surrogateescape") for each in TOKENS]), max_size=8)

    @many(EXAMPLES)
    @given(st.one_of(st.text(), st.builds("{}={}".format, keys, st.one_of(st.text(), pieces.map("".join)))))
    def holds(override: str) -> None:
        overridden(file, override)

    holds()


def opened(root: Path) -> None:
    stored = StoredEnsemble.open(root)
    stored.combiner()
    for part in (stored.members.voters, stored.members.models, stored.members.preprocessings):
        assert part is not None


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("content", JSONS, ids=range(len(JSONS)))
def test_known_ensembles(ensemble: Path, content: bytes) -> None:
    (ensemble / "ensemble.json").write_bytes(content)
    with one_message():
        opened(ensemble)


@pytest.mark.parametrize("key", ["min_votes", "member_postprocess", "postprocess", "voting"])
def test_an_ensemble_without_a_key_is_refused(ensemble: Path, key: str) -> None:
    description = json.loads((STORED / "ensemble/ensemble.json").read_text())
    del description[key]
    (ensemble / "ensemble.json").write_text(json.dumps(description))
    with pytest.raises(RunCorrupt, match=key):
        opened(ensemble)


@pytest.mark.fuzz
def test_any_ensemble(ensemble: Path) -> None:
    original = (STORED / "ensemble/ensemble.json").read_bytes()

    @many(EXAMPLES)
    @given(st.one_of(changed_json(json.loads(original)), edited(original)))
    def holds(content: bytes) -> None:
        (ensemble / "ensemble.json").write_bytes(content)
        with one_message():
            opened(ensemble)

    holds()


@pytest.mark.fuzz
@pytest.mark.parametrize("content", [COCO, UFO], ids=["coco", "ufo"])
def test_any_change_of_boxes(file: Path, content: dict[str, Any]) -> None:
    @many(EXAMPLES)
    @given(changed_json(content))
    def holds(changed: bytes) -> None:
        file.write_bytes(changed)
        with one_message():
            boxes(file)

    holds()
