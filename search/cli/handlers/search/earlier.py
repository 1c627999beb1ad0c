"""`foldtune search --from RUN`: the earlier runs of a new one, and what is taken over from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from foldtune.errors import InputError
from foldtune.results.records.proposals_file import write_proposals
from foldtune.results.storage.paths import StorePath, address
from foldtune.search.cli.terminal import note
from foldtune.search.data.dataset import Labelled
from foldtune.search.runs.earlier import take_over
from foldtune.search.runs.group import find_group, open_targets
from foldtune.search.runs.run import Run
from foldtune.search.runs.validation import Checked

T = TypeVar("T", str, str | None)


class Earlier:
    """The runs and groups that a command names with --from.

    Args:
        names: names under `storage`, paths or URLs.

    Attributes:
        opened: the runs by target, or one under None.
        addresses: absolute paths or URLs of the runs and groups.

    Raises:
        RunNotFound: no such run, or a group without one.
    """

    def __init__(self, names: Sequence[str], storage: StorePath | str) -> None:
        self.opened: list[Mapping[str | None, Run]] = [open_targets(name, storage) for name in names]
        groups = [find_group(name, storage) for name in names]
        self.addresses = tuple(
            runs[None].store.address if group is None else address(group.root)
            for runs, group in zip(self.opened, groups, strict=True)
        )

    def adjusted(self, checked: Mapping[T, Checked]) -> dict[T, Checked]:
        """Return the configurations of new runs by target, or that under None, as they are to be started.

        Raises:
            InputError: a group for a configuration without its targets, or a grid search, which takes nothing over.
        """
        for runs in self.opened if checked else ():
            if None not in runs and not any(target in runs for target in checked):
                named = ", ".join(run.store.name for run in runs.values())
                raise InputError(f"--from: a group of several targets, of which this has none: name a run ({named})")
        if self.opened and any(each.config.search.algorithm == "grid" for each in checked.values()):
            raise InputError("--from: search.algorithm: grid has all of its configurations already; give tpe or random")
        return dict(checked)

    def of(self, target: str | None) -> list[Run]:
        """Return the earlier runs of a target, or of None."""
        return [runs[key] for runs in self.opened for key in dict.fromkeys((target, None)) if key in runs]

    def take_over(self, target: str | None, run: Run, labelled: Labelled) -> None:
        """Store what a new run, of a target or of None, starts from, and print it."""
        if earlier := self.of(target):
            proposals, lines = take_over(run, labelled, earlier)
            write_proposals(run.store.root, proposals)
            for line in lines:
                note(line)
