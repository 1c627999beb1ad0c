"""Job servers that this user has named on a command line: the only ones that get the user's token.

A stored run names a job server too, but whoever wrote the run chose that address.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from foldtune.cluster.access.addresses import parse_address
from foldtune.errors import ClusterError

FROM_ENVIRONMENT = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
MAX_ADDRESSES = 200
"""Addresses that are kept; the oldest go."""


def remember_address(address: str) -> None:
    """Record an address that the user gave; without a home folder it is trusted for this command alone."""
    with suppress(OSError, RuntimeError):
        known = [each for each in _known() if each != address]
        path = _file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = "".join(f"{each}\n" for each in [*known, address][-MAX_ADDRESSES:])
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)


def was_given(address: str) -> bool:
    """Return whether the user gave this address: on a command line of this machine before, or in the environment."""
    given = {address_text(text) for text in map(os.environ.get, FROM_ENVIRONMENT) if text}
    with suppress(OSError, RuntimeError):
        given |= set(_known())
    return address_text(address) in given


def require_given(address: str, run: str) -> None:
    """Check an address that a stored run names, before a token is sent there.

    Raises:
        ClusterError: the user never gave it.
    """
    if not was_given(address):
        raise ClusterError(
            f"run {run!r} names the job server {address}, which was never given on this machine, and your token goes "
            f"only to servers that you name: if it is yours, add --address {address}"
        )


def address_text(address: str) -> str:
    """Return an address in the form in which it is compared; text that is no address as it is."""
    try:
        return address if address == "auto" else parse_address(address).text
    except ClusterError:
        return address


def _known() -> list[str]:
    path = _file()
    return path.read_text(errors="replace").splitlines() if path.is_file() else []


def _file() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "foldtune" / "job_servers"
