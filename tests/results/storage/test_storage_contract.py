"""The contract of every kind of storage: atomic writes, listings, and failures."""

from __future__ import annotations

import errno
import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.errors import RunCorrupt, StorageDenied, StorageError, StorageFull, StorageInvalid
from foldtune.results.storage import files
from foldtune.results.storage.paths import StorePath, address, as_path
from foldtune.results.storage.retry import retry_io


def test_whole_files_round_trip(storage: StorePath) -> None:
    path = storage / "deep" / "er" / "x.bin"
    assert files.read_bytes(path) is None
    assert not files.is_file(path)
    for content in (b"old", b"", bytes(range(256)) * 100):
        files.write_bytes_atomic(path, content)
        assert files.read_bytes(path) == content
        state = files.file_state(path)
        assert state is not None
        assert state.size == len(content)
    assert files.is_file(path)
    assert not files.is_file(path.parent)
    assert files.remove_file(path) == 25600
    assert files.remove_file(path) == 0
    assert files.file_state(path) is None


def test_formats_round_trip(storage: StorePath) -> None:
    files.write_json(storage / "a.json", {"é": [1, None]})
    files.write_yaml(storage / "a.yaml", {"b": 1, "a": "ü"})
    files.write_npz(storage / "a.npz", {"a": np.arange(5), "b": np.asarray(["x", "yy"])}, compressed=True)
    assert files.read_json(storage / "a.json") == {"é": [1, None]}
    assert files.read_yaml(storage / "a.yaml") == {"b": 1, "a": "ü"}
    arrays = files.read_npz(storage / "a.npz")
    assert arrays is not None
    assert arrays["a"].tolist() == [0, 1, 2, 3, 4]
    assert arrays["b"].tolist() == ["x", "yy"]
    files.write_bytes_atomic(storage / "a.npz", b"PK no archive")
    with pytest.raises(RunCorrupt, match=r"a\.npz is not a whole"):
        files.read_npz(storage / "a.npz")
    assert files.read_npz(storage / "none.npz") is None


def test_lines_are_appended(storage: StorePath) -> None:
    path = storage / "m.jsonl"
    for epoch in range(1, 4):
        files.append_line(path, f'{{"epoch": {epoch}}}')
    assert files.read_jsonl(path) == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}]


def test_names_and_listings_include_writes_of_others(storage: StorePath) -> None:
    assert files.names_in(storage) is None
    assert files.listing(storage) == {}
    for name in ("t2/b.json", "t1/a.json", "t1/.b.tmp", "t1/deeper/c.json", "file.txt"):
        files.write_bytes_atomic(storage / name, name.encode())
    assert files.names_in(storage) == ["file.txt", "t1", "t2"]
    before = files.listing(storage)
    assert {name: sorted(found) for name, found in before.items()} == {"t1": [".b.tmp", "a.json"], "t2": ["b.json"]}
    files.write_bytes_atomic(as_path(address(storage)) / "t1/a.json", b"other")
    after = files.listing(storage)
    assert after["t1"]["a.json"] != before["t1"]["a.json"]
    assert after["t2"] == before["t2"]


def test_copies_moves_and_trees(storage: StorePath) -> None:
    source, copy, moved = storage / "a" / "w", storage / "b" / "w", storage / "a" / "v"
    files.write_bytes_atomic(source, b"1")
    for _ in range(2):
        files.copy_whole(source, copy)
        assert files.read_bytes(copy) == b"1"
    files.write_bytes_atomic(moved, b"old")
    files.move_file(source, moved)
    assert files.read_bytes(moved) == b"1"
    assert not files.is_file(source)
    files.remove_tree(storage / "a")
    files.remove_tree(storage / "a")
    assert files.names_in(storage) == ["b"]


def test_other_libraries_write_and_read_local_files(storage: StorePath) -> None:
    path = storage / "weights.safetensors"
    with files.read_locally(path) as local:
        assert local is None
    files.save_file(path, lambda local: local.parent.mkdir(exist_ok=True) or local.write_bytes(b"whole"))
    with files.read_locally(path) as local:
        assert local is not None
        assert local.read_bytes() == b"whole"
    assert local.exists() == isinstance(storage, Path)

    def fail(local: Path) -> None:
        if not isinstance(path, Path):
            local.write_bytes(b"half")
        raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        files.save_file(path, fail)
    assert files.read_bytes(path) == b"whole"


def test_readers_see_the_old_file_or_the_new_one(storage: StorePath) -> None:
    if str(storage).startswith("memory"):
        pytest.skip("fsspec's memory is not safe among threads: it shows half-written objects")
    path = storage / "x.npz"
    ended = threading.Event()

    def write() -> None:
        for value in range(12):
            files.write_npz(path, {"a": np.full(50_000, value)})
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not ended.is_set() and not writing.done():
            arrays = files.read_npz(path)
            assert arrays is None or len(np.unique(arrays["a"])) == 1
        writing.result()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s4://bucket/runs", "no protocol 's4'; did you mean s3://…? give a folder, or a URL such as s3://bucket/"),
        ("s3://key:secret@bucket/runs", "'s3://bucket/runs': leave the credentials out"),
        ("s3://key:sec/ret@bucket/runs", "'s3://…': leave the credentials out"),
        ("s3://bucket/runs?secret=secret", "'s3://bucket/runs': leave the credentials out"),
    ],
)
def test_urls_that_cannot_be_used_are_explained(url: str, message: str) -> None:
    with pytest.raises(StorageInvalid) as caught:
        as_path(url)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_bucket_is_named_at_once(s3: Any) -> None:
    with pytest.raises(StorageError, match=r"cannot write s3://nowhere/x: The specified bucket does not exist"):
        files.write_bytes_atomic(as_path("s3://nowhere/x"), b"1")
    assert files.names_in(as_path("s3://nowhere")) is None


class Failing:
    """A call that raises `error` `times` times, then returns the number of calls."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times, self.error, self.calls = times, error, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.calls


def test_retries_end_when_storage_is_back(caplog: pytest.LogCaptureFixture) -> None:
    away = Failing(2, OSError(errno.ESTALE, "Stale file handle"))
    with caplog.at_level(logging.WARNING, "foldtune.storage"):
        assert retry_io(Path("x"), "read", away, waits_s=(0.0, 0.0, 0.0)) == 3
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["cannot read x (Stale file handle): trying again for 0 s"], "once, not at every attempt"


def test_retries_are_bounded() -> None:
    away = Failing(9, TimeoutError("no answer"))
    with pytest.raises(StorageError, match="cannot read x: no answer"):
        retry_io(Path("x"), "read", away, waits_s=(0.0,) * 3)
    assert away.calls == 4


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left"), StorageFull),
        (PermissionError("Forbidden"), StorageDenied),
        (OSError(errno.EROFS, "Read-only file system"), StorageDenied),
        (OSError(errno.EISDIR, "Is a directory"), StorageError),
        (ValueError("a mistake of ours"), ValueError),
    ],
)
def test_lasting_errors_are_raised_at_once(error: Exception, kind: type[Exception]) -> None:
    call = Failing(1, error)
    with pytest.raises(kind):
        retry_io(Path("x"), "write", call)
    assert call.calls == 1


def test_an_error_of_foldtune_keeps_its_class_under_a_url() -> None:
    call = Failing(1, RunCorrupt("scores.npz is damaged"))
    with pytest.raises(RunCorrupt, match=r"scores\.npz is damaged"):
        retry_io("s3://bucket/scores.npz", "read", call)


def test_a_server_that_comes_back_loses_and_repeats_nothing(s3: Any) -> None:
    folder = as_path(f"s3://foldtune/{secrets.token_hex(8)}")
    files.append_line(folder / "m.jsonl", '{"epoch": 1}')
    files.write_bytes_atomic(folder / "old", b"old")
    work: list[Callable[[], object]] = [
        lambda: files.append_line(folder / "m.jsonl", '{"epoch": 2}'),
        lambda: files.write_npz(folder / "scores.npz", {"a": np.arange(10)}),
        lambda: files.save_file(folder / "weights", lambda local: local.write_bytes(b"new")),
        lambda: files.read_bytes(folder / "old"),
        lambda: files.is_file(folder / "old"),
    ]
    s3.stop()
    back = threading.Timer(1.5, s3.start)
    try:
        with ThreadPoolExecutor(len(work)) as pool:
            done = [pool.submit(call) for call in work]
            with pytest.raises(StorageError, match=r"cannot read .*Could not connect"):
                retry_io(folder, "read", lambda: folder.fs.cat_file(f"{folder.path}/old"), waits_s=())
            back.start()
            results = [each.result() for each in done]
    finally:
        back.join()
    assert results[3:] == [b"old", True]
    assert files.read_jsonl(folder / "m.jsonl") == [{"epoch": 1}, {"epoch": 2}]
    assert files.read_bytes(folder / "weights") == b"new"
    arrays = files.read_npz(folder / "scores.npz")
    assert arrays is not None
    assert arrays["a"].sum() == 45
