"""Job servers that this user has named on a command line: the only ones that get the user's token.

A stored run names a job server too, but whoever wrote the run chose that address.
"""

from __future__ import annotations

import os

from foldtune.cluster.access.addresses import parse_address
from foldtune.errors import ClusterError
from foldtune.home import remember, remembered

FROM_ENVIRONMENT = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
MAX_ADDRESSES = 200
"""Addresses that are kept; the oldest go."""
_SERVERS = "job_servers"


def remember_address(address: str) -> None:
    """Record an address that the user gave; without a home folder it is trusted for this command alone."""
    remember(_SERVERS, address, MAX_ADDRESSES)


def was_given(address: str) -> bool:
    """Return whether the user gave this address: on a command line of this machine before, or in the environment."""
    given = {address_text(text) for text in map(os.environ.get, FROM_ENVIRONMENT) if text}
    return address_text(address) in given | set(remembered(_SERVERS))


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
