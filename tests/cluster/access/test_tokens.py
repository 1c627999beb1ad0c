"""Whose token is used, where one is made, and which clusters are refused; real servers on this machine."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from foldtune.cluster.access import tokens
from foldtune.cluster.access.addresses import Address, parse_address
from foldtune.errors import ClusterError
from tests.cluster.servers import Quiet, serving


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (tokens.MODE, tokens.TOKEN, tokens.TOKEN_PATH, "RAY_USE_TLS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


@contextmanager
def job_server(body: bytes) -> Iterator[Address]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as address:
        yield parse_address(address)


@contextmanager
def head(guarded: bool) -> Iterator[Address]:
    """A gRPC server that turns callers away as Ray's head does."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def reply(request: bytes, context: grpc.ServicerContext) -> bytes:
                if guarded:
                    context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
                return b""

            return grpc.unary_unary_rpc_method_handler(reply)

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield parse_address(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()


def test_a_token_of_the_users_own_is_made_once_and_for_no_other_eyes(home: Path) -> None:
    assert not tokens.has_token()
    tokens.ensure_local_token()
    path = home / ".ray/auth_token"
    first = path.read_text()
    assert len(first) == 2 * tokens.TOKEN_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tokens.ensure_local_token()
    assert path.read_text() == first
    assert tokens.os.environ[tokens.MODE] == "token"


def test_a_home_that_cannot_be_written_leaves_the_token_in_the_environment(home: Path) -> None:
    (home / ".ray").write_text("a file in the way")
    tokens.ensure_local_token()
    assert len(tokens.os.environ[tokens.TOKEN]) == 2 * tokens.TOKEN_BYTES


def test_who_disables_tokens_gets_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tokens.MODE, "disabled")
    tokens.ensure_local_token()
    assert not (home / ".ray").exists()


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("kind", ["jobs", "cluster"])
def test_whether_a_cluster_requires_a_token(kind: str, guarded: bool) -> None:
    mode = b'{"authentication_mode": "token"}' if guarded else b'{"authentication_mode": "disabled"}'
    with ExitStack() as stack:
        address = stack.enter_context(job_server(mode) if kind == "jobs" else head(guarded))
        assert tokens.token_required(address) is guarded


@pytest.mark.parametrize("server", [lambda: job_server(b"<html>"), lambda: job_server(b"[]")])
def test_what_answers_is_no_job_server(server: Callable[[], contextmanager[Address]]) -> None:  # type: ignore[type-arg]
    with server() as address, pytest.raises(ClusterError, match="is no Ray job server"):
        tokens.token_required(address)


def test_a_cluster_that_requires_a_token_and_a_user_without_one() -> None:
    with (
        head(guarded=True) as address,
        pytest.raises(ClusterError, match=r"requires a token: put it into .*auth_token"),
    ):
        tokens.require_token(address)


def test_an_open_cluster_is_refused_unless_only_this_machine_reaches_it() -> None:
    with head(guarded=False) as address:
        remote = Address("cluster", address.text, "cluster.example.org", address.port)
        with pytest.raises(ClusterError, match=r"requires no token: .*--allow-no-token"):
            tokens.require_token(remote)
        tokens.require_token(address)
        assert tokens.os.environ[tokens.MODE] == "disabled"
        tokens.require_token(remote, allow_no_token=True)
