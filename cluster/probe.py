"""What one node says of itself before a search starts: its versions, and whether it sees storage and data."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from foldtune.cluster.shipping import code_digest

LIBRARIES = ("ray", "torch", "timm", "optuna", "numpy")
ABSENT = "absent"
PROBE_PREFIX = ".foldtune-check-"
"""Start of the names of the files that a check writes into the storage, and removes."""


@dataclass(frozen=True)
class NodeQuery:
    """What every node is asked.

    Attributes:
        storage: folder or fsspec URL.
        token: of this check; the driver has written `PROBE_PREFIX + token` with these words in it.
        files: that trials read, absolute.
        cache_dir: folder of decoded images, None where nothing is cached.
    """

    storage: str
    token: str
    files: Sequence[str]
    cache_dir: str | None


@dataclass(frozen=True)
class NodeReport:
    """What a node says.

    Attributes:
        node_id: Ray's.
        host: its host name.
        versions: of Python, the libraries and foldtune's own code.
        storage_problem: why trials could not write there, None where they can.
        missing: of the files asked for.
        cache_problem: why decoded images have no place, None where they have.
    """

    node_id: str
    host: str
    versions: Mapping[str, str] = field(default_factory=dict)
    storage_problem: str | None = None
    missing: tuple[str, ...] = ()
    cache_problem: str | None = None


def probe_node(ask: NodeQuery, node_id: str) -> NodeReport:
    """Look at this machine."""
    return NodeReport(
        node_id=node_id,
        host=socket.gethostname(),
        versions=versions(),
        storage_problem=try_storage(ask.storage, ask.token, node_id),
        missing=tuple(name for name in ask.files if not os.access(name, os.R_OK)),
        cache_problem=_try_cache(ask.cache_dir),
    )


def versions() -> dict[str, str]:
    """Versions that must agree, read without importing what they are of."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ABSENT
    return {**found, "foldtune": code_digest()}


def try_storage(storage: str, token: str, node_id: str) -> str | None:
    """Read what the driver wrote and write a file of this node's own; why that fails, or None."""
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(storage, use_listings_cache=False)
        try:
            seen = files.cat_file(f"{root}/{PROBE_PREFIX}{token}")
        except FileNotFoundError:
            return "does not see what the driver writes there: the folder is this node's own"
        if seen.decode() != token:
            return "reads other bytes than the driver wrote"
        files.pipe_file(f"{root}/{PROBE_PREFIX}{token}-{node_id}", node_id.encode())
    except Exception as error:  # whatever the storage's client raises: a refused key, no route, a full disk
        return _reason(error)
    return None


def _try_cache(folder: str | None) -> str | None:
    if folder is None:
        return None
    place = Path(folder)
    existing = next(parent for parent in (place, *place.parents) if parent.is_dir())
    if not os.access(existing, os.W_OK):
        return f"cannot write {existing}, where decoded images go"
    return None if shutil.disk_usage(existing).free else f"no space left for decoded images in {existing}"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return getattr(error, "strerror", None) or text or type(error).__name__
