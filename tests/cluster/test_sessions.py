"""Addresses that no cluster answers at, found out without Ray."""

from __future__ import annotations

import pytest

from cluster.errors import ClusterError
from cluster.sessions import session


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
