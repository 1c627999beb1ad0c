"""Ray's token authentication: on for what foldtune starts, required of every cluster that others can reach.

Without it, anyone who reaches the ports of a cluster can run code there as the user who started it.
"""

from __future__ import annotations

import json
import os
import secrets
import urllib.request
from pathlib import Path

from foldtune.cluster.access.addresses import CONNECT_TIMEOUT_S, Address
from foldtune.errors import ClusterError
from foldtune.home import write_private

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
TOKEN_BYTES = 32
NO_TOKEN = (
    "requires no token: whoever reaches its ports can run code on it. Start it with a token (`ray get-auth-token "
    "--generate`, then RAY_AUTH_MODE=token before `ray start`), or add --allow-no-token where its network is closed"
)


def default_token_path() -> Path:
    """Return the file of the token that Ray uses where the environment gives none."""
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError:  # no home folder, so no file either: under this name there is none
        return Path(os.devnull, "auth_token")


def has_token() -> bool:
    """Return whether this user has a token, in the environment or in a file."""
    if os.environ.get(TOKEN):
        return True
    path = Path(os.environ.get(TOKEN_PATH) or default_token_path())
    return path.is_file() and bool(path.read_text().strip())


def ensure_local_token() -> None:
    """Make an embedded Ray that starts later require a token, and create one where the user has none.

    A new token is readable by its user alone; where the home cannot be written it is in the environment only.
    RAY_AUTH_MODE=disabled is kept: it is the user's own choice.
    """
    if os.environ.setdefault(MODE, "token").lower() != "token" or has_token():
        return
    token = secrets.token_hex(TOKEN_BYTES)
    path = Path(os.environ.get(TOKEN_PATH) or default_token_path())
    try:
        write_private(path, token)
    except OSError:
        os.environ[TOKEN] = token


def require_token(address: Address, *, allow_no_token: bool = False) -> None:
    """Check that a running cluster requires a token, and set RAY_AUTH_MODE to its mode before it is joined.

    Args:
        allow_no_token: whether to trust everybody who can reach the cluster.

    Raises:
        ClusterError: it requires a token and this user has none, or it requires none though others can reach it.
    """
    if token_required(address):
        if not has_token():
            raise ClusterError(
                f"the cluster at {address.text!r} requires a token: put it into {default_token_path()} "
                f"(readable by you alone), or set {TOKEN}"
            )
        os.environ.setdefault(MODE, "token")
    elif address.is_loopback or allow_no_token:
        os.environ.setdefault(MODE, "disabled")
    else:
        raise ClusterError(f"the cluster at {address.text!r} {NO_TOKEN}")


def token_required(address: Address) -> bool:
    """Return whether a cluster refuses callers without a token. With mutual TLS (RAY_USE_TLS) it refuses strangers.

    Raises:
        ClusterError: it does not answer, or is no Ray cluster.
    """
    if address.kind == "jobs":
        return _job_server_mode(address) == "token"
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return has_token()
    import grpc  # heavy, and only needed here

    call = {
        "cluster": "/ray.rpc.NodeInfoGcsService/CheckAlive",
        "client": "/ray.rpc.RayletDriver/ClusterInfo",
    }[address.kind]
    with grpc.insecure_channel(address.text.rpartition("://")[2]) as channel:
        try:
            channel.unary_unary(call)(b"", timeout=CONNECT_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return True
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise ClusterError(
                    f"what answers at {address.text!r} is no Ray head: {error.details()}; is the port the right one?"
                ) from None
        return False


def _job_server_mode(address: Address) -> str:
    try:
        with urllib.request.urlopen(f"{address.text}/api/authentication_mode", timeout=CONNECT_TIMEOUT_S) as answer:
            return str(json.load(answer)["authentication_mode"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"what answers at {address.text!r} is no Ray job server ({error}): is the port the dashboard's, often 8265?"
        ) from None
