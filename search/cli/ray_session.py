"""A Ray session that starts when it is first needed, and lasts for all that a command does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from foldtune.search.cli.terminal import note

if TYPE_CHECKING:
    from rich.console import Console

    from foldtune.search.config.schema import ResourcesConfig


class RaySession:
    """`with RaySession(address) as ray: … ray.connect(resources)`: connects once, checks the room each time."""

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
        """Whether it is a running cluster's; an embedded Ray otherwise."""
        return self._address is not None

    def close(self) -> None:
        """Leave Ray, whose workers end; it may be connected again."""
        self._connected = False
        self._stack.close()

    @contextmanager
    def ending_workers(self) -> Iterator[None]:
        """On any error in the block, and on Ctrl-C, leave Ray before what is around the block goes on, such as the
        release of a run's lock: nothing still works for the run then."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def connect(self, resources: ResourcesConfig, what: str = "starting Ray …", console: Console | None = None) -> None:
        """Connect, and make sure that a trial finds room.

        Args:
            what: is told where Ray has to be started.
            console: of a live table that is shown.

        Raises:
            ClusterError: no cluster answers, or none of its nodes can hold a trial.
        """
        from foldtune.cluster.resources import TrialResources, require_slot
        from foldtune.cluster.sessions import session

        if not self._connected:
            note(what, console)
            self._stack.enter_context(session(self._address, allow_no_token=self._allow_no_token))
            self._connected = True
        require_slot(
            TrialResources(resources.cpus_per_trial, resources.gpus_per_trial), autoscale_to=resources.autoscale_to
        )
