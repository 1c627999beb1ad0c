"""Addresses that no cluster answers at, found out without Ray; a Ray that does not come up."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldtune.cluster.sessions.session import session
from foldtune.errors import ClusterError, StartFailed
from foldtune.search.cli.failures import exit_code


def test_nobody_listens(closed_port: int) -> None:
    address = f"127.0.0.1:{closed_port}"
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at '{address}' .*refused"), session(address):
        pass


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://127.0.0.1:10001"])
def test_a_session_joins_from_within(address: str) -> None:
    with (
        pytest.raises(ClusterError, match="from one of its own machines: write auto"),
        session(address),
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "no.such.host.invalid:6379"])
def test_no_such_place(address: str) -> None:
    with pytest.raises(ClusterError, match=r"no Ray cluster answers|write auto"), session(address):
        pass


def test_ray_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("a" * 100)))  # the path of a socket has 107 bytes at most
    with pytest.raises(StartFailed, match=r"Ray cannot start on this machine: .*107 bytes") as caught, session():
        pass
    assert exit_code(caught.value) == 1
