"""What an address names, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldtune.cluster.access.addresses import parse_address, require_answer
from foldtune.errors import ClusterError


@pytest.mark.parametrize(
    ("given", "kind", "host", "port", "loopback"),
    [
        ("head:6379", "cluster", "head", 6379, False),
        ("127.0.0.1:6379", "cluster", "127.0.0.1", 6379, True),
        ("[::1]:6379", "cluster", "::1", 6379, True),
        ("localhost:6379", "cluster", "localhost", 6379, True),
        ("10.0.0.7:6379", "cluster", "10.0.0.7", 6379, False),
        ("ray://head:10001", "client", "head", 10001, False),
        ("http://head:8265", "jobs", "head", 8265, False),
        ("http://head:8265/", "jobs", "head", 8265, False),
        ("https://ray.example.org", "jobs", "ray.example.org", 443, False),
    ],
)
def test_the_kind_of_an_address(given: str, kind: str, host: str, port: int, loopback: bool) -> None:
    address = parse_address(given)
    assert (address.kind, address.host, address.port, address.is_loopback) == (kind, host, port, loopback)
    assert address.text == given.rstrip("/")


@pytest.mark.parametrize(
    "given", ["head", "head:port", ":6379", "", "head:", "ray://head", "s3://b:1", "http://h:1/path", "h:99999", "h:0"]
)
def test_no_address(given: str) -> None:
    with pytest.raises(ClusterError, match=r"write auto, HOST:PORT .*ray://HOST:10001, or http://HOST:8265"):
        parse_address(given)


def test_an_address_with_a_password_is_refused() -> None:
    with pytest.raises(ClusterError, match="leave the user and password out") as caught:
        parse_address("http://me:secret@head:8265")
    assert "secret" not in str(caught.value)


def test_auto_is_what_the_environment_names_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ClusterError, match="no Ray cluster runs on this machine"):
        parse_address("auto")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("10.0.0.7:6379\n")
    assert parse_address("auto").text == "10.0.0.7:6379"
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    assert parse_address("auto").kind == "jobs"


def test_nobody_listens_there(closed_port: int) -> None:
    with pytest.raises(ClusterError, match=r"no Ray cluster answers at .*refused"):
        require_answer(parse_address(f"http://127.0.0.1:{closed_port}"))
