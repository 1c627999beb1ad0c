"""A search with secrets wherever a user may put them: none stands in what it prints, stores or leaves of Ray."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECRETS = {
    "AWS_ACCESS_KEY_ID": "KEYOFTHESTORAGE",
    "AWS_SECRET_ACCESS_KEY": "S3CRETofTheStorage",
    "AWS_SESSION_TOKEN": "S3CRETofTheSession",
    "PGPASSWORD": "S3CRETofTheDatabase",
    "RAY_AUTH_TOKEN": "53c2e70f" * 8,
    "HF_TOKEN": "hf_S3CRETofTheHub",
}
TYPED = "S3CRETtyped"


def found_in(folder: Path) -> list[str]:
    """Return the files of a folder that hold a secret."""
    words = [word.encode() for word in (*SECRETS.values(), TYPED)]
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [f"{path}: {word.decode()}" for path in paths for word in words if word in path.read_bytes()]


def test_a_search_leaves_no_secret(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(f"/tmp/fs{os.getpid()}")
    place.mkdir()
    for name, value in {**SECRETS, "RAY_TMPDIR": str(place)}.items():
        monkeypatch.setenv(name, value)
    config = write_search(
        "secret",
        {"lr": {"loguniform": [0.001, 0.02]}},
        search={"num_samples": 2, "max_epochs": 100, "trial_scheduler": "none"},
    )
    url = f"postgresql://me:{TYPED}@of@db/x?password={TYPED}"  # a raw @ in a password is refused
    refused = foldtune.run("search", config, "--set", f"search.study_storage={url}", code=2)
    search = foldtune.start("search", config, "--set", "search.study_storage=sqlite:///study.db")
    epochs = foldtune.folder / "runs/secret/trials/0000/metrics.jsonl"
    wait_for(lambda: search.workers() and epochs.is_file(), "an epoch")
    (session,) = place.glob("foldtune-r-*")
    logs = [path for path in session.rglob("*.log") if path.stat().st_size]
    assert logs, "Ray writes logs"
    copy = foldtune.folder / "of_ray"
    for path in session.rglob("*"):
        if path.is_file() and not path.is_symlink():
            target = copy / path.relative_to(session)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    search.interrupt()
    ended = search.end()
    assert ended.code == 130
    assert TYPED not in refused.stdout + refused.stderr
    assert [word for word in SECRETS.values() if word in ended.stdout + ended.stderr] == []
    assert found_in(foldtune.folder) == []
    place.rmdir()
