"""`foldtune search --from RUN`: the earlier runs of a new one, and what is taken over from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foldtune.errors import InputError
from foldtune.results.records.proposals_file import write_proposals
from foldtune.results.storage.paths import StorePath, address
from foldtune.search.cli.terminal import note
from foldtune.search.config.schema import RunConfig
from foldtune.search.data.dataset import Labelled
from foldtune.search.runs.earlier import take_over
from foldtune.search.runs.group import find_group, open_targets
from foldtune.search.runs.run import Run


class Earlier:
    """The runs and groups that a command names with --from.

    Args:
        names: names under `storage`, paths or URLs.

    Attributes:
        addresses: absolute paths or URLs of the runs and groups.

    Raises:
        RunNotFound: no such run, or a group without one.
    """

    def __init__(self, names: Sequence[str], storage: StorePath | str) -> None:
        self._opened: list[Mapping[str | None, Run]] = [open_targets(name, storage) for name in names]
        groups = [find_group(name, storage) for name in names]
        self.addresses = tuple(
            runs[None].store.address if group is None else address(group.root)
            for runs, group in zip(self._opened, groups, strict=True)
        )

    def check(self, configs: Mapping[str | None, RunConfig]) -> None:
        """Check the runs against the configurations of the new ones by target, under None where there is one.

        Raises:
            InputError: a group for a configuration without its targets, or a grid search, which takes nothing over.
        """
        for runs in self._opened:
            if None not in runs and not runs.keys() & configs.keys():
                named = ", ".join(run.store.name for run in runs.values())
                raise InputError(f"--from: a group of several targets, of which this has none: name a run ({named})")
        if self._opened and any(config.search.algorithm == "grid" for config in configs.values()):
            raise InputError("--from: search.algorithm: grid has all of its configurations already; give tpe or random")

    def take_over(self, target: str | None, run: Run, labelled: Labelled) -> None:
        """Store what a new run, of a target or of None, starts from, and print it."""
        earlier = [runs[key] for runs in self._opened for key in dict.fromkeys((target, None)) if key in runs]
        if earlier:
            proposals, lines = take_over(run, labelled, earlier)
            write_proposals(run.store.root, proposals)
            for line in lines:
                note(line)
