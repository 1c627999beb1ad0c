"""The flags of `foldtune search`, and the command that resumes what they start."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.redaction import redacted
from foldtune.search.config.secrets import has_password, masked


@dataclass(frozen=True)
class SearchRequest:
    """The flags of `foldtune search`.

    Attributes:
        config: the YAML file.
        override: texts KEY.PATH=VALUE.
        name: name of the run, None for the file's.
        storage: folder or URL of the runs, None for the file's.
        trials: number of trials, of further ones with `resume`; None for the file's.
        address: address of a Ray cluster, None for a Ray of this machine.
        allow_no_token: whether to trust a cluster that requires no token.
        resume: whether to go on with a run.
        data: folder that takes the place of data.root, None for the file's.
        retry_failed: whether a resumed run tries failed trials again that were not its surroundings' failures.
    """

    config: Path
    override: tuple[str, ...] = ()
    name: str | None = None
    storage: str | None = None
    trials: int | None = None
    address: str | None = None
    allow_no_token: bool = False
    resume: bool = False
    data: Path | None = None
    retry_failed: bool = False

    @property
    def flags(self) -> dict[str, Any]:
        """Values of the configuration that flags set, by key path; None where a flag is not given."""
        trials = None if self.resume else self.trials
        root = None if self.data is None else str(self.data.expanduser().absolute())
        return {"name": self.name, "storage": self.storage, "search.num_samples": trials, "data.root": root}

    @property
    def further_trials(self) -> int:
        """Trials to add to a run that is resumed."""
        return self.trials or 0 if self.resume else 0

    @property
    def shows_password(self) -> bool:
        """Whether a password stands in a flag, where every user of the machine sees it while the command runs."""
        values = [text.partition("=")[2] for text in self.override]
        return any("://" in value and has_password(value) for value in values)

    def resume_command(self) -> str:
        """Return the command line that goes on with the run, to the number of trials that it has by then.

        Passwords in it are to be given again.
        """
        data = None if self.data is None else str(self.data)
        options = {"--name": self.name, "--storage": self.storage, "--address": self.address, "--data": data}
        given = [part for option, value in options.items() if value is not None for part in (option, value)]
        sets = [part for text in self.override for part in ("--set", _without_password(text))]
        if self.trials is not None and not self.resume:  # with --resume, --trials are further ones
            sets += ["--set", f"search.num_samples={self.trials}"]
        trust = ["--allow-no-token"] if self.allow_no_token else []
        return shlex.join(["foldtune", "search", str(self.config), *sets, *given, *trust, "--resume"])


def _without_password(override: str) -> str:
    key, equals, value = override.partition("=")
    return key + equals + (masked(value) if "://" in value else redacted(value))
