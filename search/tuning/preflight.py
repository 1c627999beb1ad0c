"""Check of every node of a cluster against a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldtune.cluster.check import ClusterCheck, check_cluster
from foldtune.errors import ClusterError
from foldtune.search.config.packaging import absolute_storage
from foldtune.search.config.schema import RunConfig

SAMPLED_IMAGES = 5


def check_nodes(config: RunConfig, images: Sequence[Path]) -> ClusterCheck:
    """Check that every node of the connected cluster can run the trials of a search.

    Args:
        images: images of the trials; a few of them, evenly spread, must be readable on every node.
    """
    resources = config.resources
    step = max(1, -(-len(images) // SAMPLED_IMAGES))
    cache = config.data.cache_dir
    return check_cluster(
        resources.of_trial,
        absolute_storage(config.storage),
        [str(path) for path in images[::step]],
        None if cache is None else str(cache),
        growing=resources.autoscale_to is not None,
    )


def require_ready_nodes(config: RunConfig, images: Sequence[Path]) -> None:
    """Check every node at the start of a search.

    Raises:
        ClusterError: every problem of every node, with what to do.
    """
    problems = check_nodes(config, images).all_problems()
    if problems:
        more = f"\n  and {len(problems) - 1} more: foldtune cluster check lists all" if len(problems) > 1 else ""
        raise ClusterError(f"the cluster cannot hold this search: {problems[0]}{more}")
