"""Addresses that no cluster answers at, found out without Ray."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from cluster.errors import ClusterError
from cluster.sessions import session


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_nobody_listens(closed_port: int) -> None:
    address = f"127.0.0.1:{closed_port}"
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at '{address}' .*refused"), session(address):
        pass


@pytest.mark.parametrize("address", ["head", "http://head:8265", "head:port", ":6379", "", "head:"])
def test_no_address(address: str) -> None:
    with pytest.raises(ClusterError, match="write auto, or HOST:PORT"), session(address):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "no.such.host.invalid:6379"])
def test_no_such_place(address: str) -> None:
    with pytest.raises(ClusterError, match="no Ray cluster answers"), session(address):
        pass
