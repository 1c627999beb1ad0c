"""The probe of one node before a search starts: its versions, and its access to storage and data."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fsspec.core import url_to_fs

from foldtune.cluster.shipping import code_digest
from foldtune.redaction import redacted

LIBRARIES = ("ray", "torch", "timm", "optuna", "numpy")
ABSENT = "absent"
PROBE_PREFIX = ".foldtune-check-"
"""Beginning of the names of the files that a check writes into the storage, and removes."""


@dataclass(frozen=True)
class NodeQuery:
    """What every node is to check.

    Attributes:
        storage: folder or fsspec URL of the runs.
        token: text of this check; the driver has written it into the file `PROBE_PREFIX + token`.
        files: absolute paths of files that trials read.
        cache_dir: folder of decoded images, None where nothing is cached.
    """

    storage: str
    token: str
    files: Sequence[str]
    cache_dir: str | None


@dataclass(frozen=True)
class NodeReport:
    """What a node found.

    Attributes:
        node_id: Ray's id of the node, hexadecimal.
        host: its host name.
        versions: versions of Python, of `LIBRARIES` and of foldtune's own code, by name.
        storage_problem: why trials could not write there, None where they can.
        missing: files of the query that cannot be read.
        cache_problem: why decoded images cannot be stored, None where they can.
    """

    node_id: str
    host: str
    versions: Mapping[str, str] = field(default_factory=dict)
    storage_problem: str | None = None
    missing: tuple[str, ...] = ()
    cache_problem: str | None = None


def probe_node(query: NodeQuery, node_id: str) -> NodeReport:
    """Return what this machine finds."""
    return NodeReport(
        node_id=node_id,
        host=socket.gethostname(),
        versions=versions(),
        storage_problem=try_storage(query.storage, query.token, node_id),
        missing=tuple(name for name in query.files if not os.access(name, os.R_OK)),
        cache_problem=_try_cache(query.cache_dir),
    )


def versions() -> dict[str, str]:
    """Return the versions that must agree on all nodes, read without importing the libraries."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ABSENT
    return {**found, "foldtune": code_digest()}


def try_storage(storage: str, token: str, node_id: str) -> str | None:
    """Read the driver's file and write one of this node; return why that fails, or None."""
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
    text = redacted(" ".join(str(error).split()))[:200]
    return getattr(error, "strerror", None) or text or type(error).__name__
