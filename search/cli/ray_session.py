"""A Ray session that starts when it is first needed, and lasts until a command ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from rich.console import Console

from foldtune.cluster.resources import require_slot
from foldtune.cluster.sessions.session import session
from foldtune.search.cli.terminal import note
from foldtune.search.config.schema import ResourcesConfig


class RaySession:
    """`with RaySession(address) as ray: … ray.connect(resources)` connects once, and checks for a free slot each time.

    Args:
        address: a running cluster, None for an embedded Ray.
    """

    def __init__(self, address: str | None, *, allow_no_token: bool = False) -> None:
        self._address = address
        self._allow_no_token = allow_no_token
        self._stack = ExitStack()
        self._connected = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def joins(self) -> bool:
        """Whether it joins a running cluster; otherwise it starts an embedded Ray."""
        return self._address is not None

    @property
    def is_connected(self) -> bool:
        """Whether it is connected now."""
        return self._connected

    def close(self) -> None:
        """Disconnect from Ray, which ends its workers; `connect` works again after it."""
        self._connected = False
        self._stack.close()

    @contextmanager
    def ending_workers(self) -> Iterator[None]:
        """Disconnect on any error in the block, and on Ctrl-C, before an outer block goes on.

        An outer block may release a run's lock: no worker writes to the run after that.
        """
        try:
            yield
        except BaseException:
            self.close()
            raise

    def connect(
        self, resources: ResourcesConfig, message: str = "starting Ray …", console: Console | None = None
    ) -> None:
        """Connect, and check that a trial fits into the cluster.

        Args:
            message: line that is printed where a connection has to be made.
            console: console of a live table that is shown.

        Raises:
            ClusterError: no cluster answers, or none of its nodes can hold a trial.
        """
        if not self._connected:
            note(message, console)
            self._stack.enter_context(session(self._address, allow_no_token=self._allow_no_token))
            self._connected = True
        require_slot(resources.of_trial, autoscale_to=resources.autoscale_to)
