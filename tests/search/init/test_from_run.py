"""`foldtune init --from RUN`: a stored trial as a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldtune.search.config.loading import load_config
from foldtune.spaces import Space

Command = Callable[..., tuple[int, str, str]]


def test_the_best_trial_is_written_with_its_values_as_constants(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    code, out, err = foldtune("init", "--from", "tiny", "-o", "best.yaml")
    assert code == 0, err
    assert "trial 0001 of tiny: macro_f1 0.7500" in out
    config = load_config(Path("best.yaml"))
    space = Space.parse(config.space)
    random = {"pretrained": False}  # what a trial of before started from, and not the default of a new search
    assert space.build({}) == {**store.find_trial("0001").record().config, **random}
    assert (config.search.num_samples, config.search.trial_scheduler) == (1, "none")
    was = load_config(project.folder / "config.yaml")
    assert (config.search.seed, config.search.max_epochs) == (was.search.seed, was.search.max_epochs)
    assert config.data == was.data
    assert foldtune("validate", "best.yaml")[0] == 0


def test_a_trial_is_chosen_by_its_id_and_a_file_is_kept(project: Any, foldtune: Command) -> None:
    project.stored_run()
    assert foldtune("init", "--from", "tiny", "--trial", "0000")[0] == 0
    written = Path("tiny-0000.yaml")
    assert yaml.safe_load(written.read_text())["space"]["lr"] == 0.001
    before = written.read_bytes()
    code, _, err = foldtune("init", "--from", "tiny", "--trial", "0000")
    assert (code, "--force" in err, written.read_bytes()) == (2, True, before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "tny"], "tiny"),
        (["--from", "tiny", "--trial", "9999"], "9999"),
        (["--from", "tiny", "train.csv"], "DATA"),
        ([], "DATA"),
        (["train.csv", "--trial", "0001"], "--from"),
    ],
)
def test_what_cannot_be_written_is_refused(arguments: list[str], words: str, project: Any, foldtune: Command) -> None:
    project.stored_run()
    code, _, err = foldtune("init", *arguments)
    assert (code, words in err) == (2, True), err
    assert not list(Path.cwd().glob("tiny-*.yaml"))
