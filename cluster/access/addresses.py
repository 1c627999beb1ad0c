"""Addresses of Ray: what a user writes after `--address`, and the service of a cluster that it belongs to."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from foldtune.errors import ClusterError
from foldtune.redaction import redacted

AddressKind = Literal["cluster", "client", "jobs"]
FORMS = "auto, HOST:PORT of the cluster's head (often HOST:6379), ray://HOST:10001, or http://HOST:8265"
CONNECT_TIMEOUT_S = 5.0
"""Seconds within which a running cluster must accept a connection."""


@dataclass(frozen=True)
class Address:
    """Address of a service of a running cluster.

    Attributes:
        kind: `cluster` is its control, which drivers join; `client` is Ray Client's server, `jobs` the job server.
        text: address in the form that Ray takes.
        host: host name or IP address, without brackets.
        port: port number, 1 to 65535.
    """

    kind: AddressKind
    text: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether it is reached from this machine alone, for example through a tunnel."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(given: str) -> Address:
    """Return the address that a text stands for; `auto` is $RAY_ADDRESS, else the cluster that runs on this machine.

    Raises:
        ClusterError: the text is no address, or `auto` finds no cluster.
    """
    text = _auto_address() if given == "auto" else given
    scheme, _, rest = text.rpartition("://")
    kinds: dict[str, AddressKind] = {"": "cluster", "ray": "client", "http": "jobs", "https": "jobs"}
    try:
        parts = urlsplit(f"//{rest}" if "/" not in rest.rstrip("/") else "")
        port = parts.port or {"http": 80, "https": 443}.get(scheme)
        host = parts.hostname
    except ValueError:
        host = port = None
    if scheme not in kinds or not host or port is None or parts.query or parts.fragment:
        raise ClusterError(f"address {redacted(given)!r}: write {FORMS}")
    if parts.username is not None:
        raise ClusterError(f"address of {host!r}: leave the user and password out; a token goes into RAY_AUTH_TOKEN")
    netloc = rest.rstrip("/")
    return Address(kinds[scheme], f"{scheme}://{netloc}" if scheme else netloc, host, port)


def require_answer(address: Address) -> None:
    """Check that a server listens at an address; Ray itself would try for many minutes.

    Raises:
        ClusterError: no connection within `CONNECT_TIMEOUT_S`.
    """
    try:
        socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClusterError(
            f"no Ray cluster answers at {address.text!r} ({reason}): is it up, and is the port the one of `ray start`?"
        ) from None


def _auto_address() -> str:
    """Return the address that Ray's own `auto` would use: the same places in the same order."""
    if found := os.environ.get("RAY_ADDRESS"):
        if found == "auto":
            raise ClusterError("RAY_ADDRESS is 'auto': name the cluster in it, or unset it")
        return found
    file = Path(_temporary_folder(), "ray", "ray_current_cluster")
    if file.is_file() and (found := file.read_text().strip()):
        return found
    raise ClusterError(
        "address 'auto': no Ray cluster runs on this machine and RAY_ADDRESS is not set: "
        f"start one with `ray start --head`, or write {FORMS.removeprefix('auto, ')}"
    )


def _temporary_folder() -> str:
    linux = os.environ.get("TMPDIR") if sys.platform.startswith("linux") else None
    return os.environ.get("RAY_TMPDIR") or linux or "/tmp"
