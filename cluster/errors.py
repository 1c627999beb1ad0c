"""What can go wrong between foldtune and Ray, in words."""

from __future__ import annotations


class ClusterError(Exception):
    """No cluster where one was expected, or one that cannot hold a trial."""


class StartFailed(ClusterError):
    """An embedded Ray that does not come up: a machine without room for it, not a wrong input."""


class JobNotFound(ClusterError):
    """A job server that has no job of that id."""
