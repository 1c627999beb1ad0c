"""The folder of one trial, and its common base with the folder of an ensemble member's fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import RunCorrupt
from foldtune.redaction import redacted
from foldtune.results.records.stored_json import StoredEnd, StoredTrial, checked
from foldtune.results.records.trials import (
    FINISHED,
    EpochRow,
    Scores,
    Status,
    TrialRecord,
    build_record,
    current_epochs,
)
from foldtune.results.storage.files import (
    append_line,
    is_file,
    json_text,
    read_bytes,
    read_json,
    read_jsonl,
    read_npz,
    remove_file,
    sealed,
    write_bytes_atomic,
    write_npz,
    write_sealed,
)
from foldtune.results.storage.paths import StorePath


class FitDir:
    """Folder of one training: a checkpoint to resume from and the scores of its best epoch."""

    def __init__(self, root: StorePath) -> None:
        self.root = root
        self.checkpoint_path = root / "checkpoint.pt"
        self.scores_path = root / "scores.npz"
        self.error_path = root / "error.log"

    def write_error(self, trace: str) -> None:
        """Store the traceback of a failed training, without secrets. Raises StorageError."""
        write_bytes_atomic(self.error_path, redacted(trace).encode())

    def error_log(self) -> str:
        """Return the traceback of a failed training, "" without one. Raises StorageError."""
        return (read_bytes(self.error_path) or b"").decode(errors="replace")

    def write_scores(
        self,
        ids: npt.NDArray[np.str_],
        logits: npt.NDArray[Any],
        targets: npt.NDArray[Any] | None,
        epoch: int,
        cases: npt.NDArray[np.str_] | None = None,
    ) -> None:
        """Store ids (N,), logits (N, ...), targets (N, ...) or None, to be called before the epoch's row is appended.

        ``cases``: (N,) names of the cases that are judged, None where the rows are.

        Raises ValueError if the lengths differ, StorageError.
        """
        lengths = {len(ids), len(logits)} | (set() if targets is None else {len(targets)})
        if len(lengths) > 1:
            raise ValueError(f"ids, logits and targets differ in length: {sorted(lengths)}")
        arrays = {"ids": np.asarray(ids, dtype=np.str_), "logits": logits, "epoch": np.asarray(epoch)}
        if targets is not None:
            arrays["targets"] = targets
        if cases is not None:
            arrays["cases"] = np.asarray(cases, dtype=np.str_)
        # Probability maps have one or two bytes per pixel and compress well; float logits do not.
        write_npz(self.scores_path, arrays, compressed=logits.dtype.itemsize < 4)

    def read_scores(self) -> Scores | None:
        """Return the stored scores, or None without any. Raises RunCorrupt."""
        arrays = read_npz(self.scores_path)
        if arrays is None:
            return None
        missing = {"ids", "logits", "epoch"} - set(arrays)
        if missing:
            raise RunCorrupt(f"{self.scores_path} lacks {', '.join(sorted(missing))}")
        return Scores(arrays["ids"], arrays["logits"], arrays.get("targets"), int(arrays["epoch"]), arrays.get("cases"))


class TrialDir(FitDir):
    """Folder ``trials/ID`` of a run: config.json first, metrics.jsonl epoch by epoch, trial.json at the end."""

    def __init__(self, root: StorePath) -> None:
        super().__init__(root)
        self.trial_id = root.name
        self.config_path = root / "config.json"
        self.metrics_path = root / "metrics.jsonl"
        self.done_path = root / "trial.json"
        self.deaths_path = root / "deaths.jsonl"
        self.weights_path = root / "weights.safetensors"

    def write_config(
        self,
        number: int,
        params: Mapping[str, Any],
        config: Mapping[str, Any],
        made_of: Mapping[str, str] | None = None,
    ) -> None:
        """Store the trial's number, its sampled parameters by dotted name and its nested configuration.

        ``made_of`` holds digests of what it is trained on.
        """
        stored = {"trial_id": self.trial_id, "number": number, "params": params, "config": config}
        write_sealed(self.config_path, stored if made_of is None else {**stored, "made_of": made_of})

    def made_of(self) -> dict[str, str] | None:
        """Return the digests given to ``write_config``, None in a trial of before. Raises RunCorrupt."""
        stored = (read_json(self.config_path) or {}).get("made_of")
        if stored is not None and not isinstance(stored, dict):
            raise RunCorrupt(f"{self.config_path} does not hold digests in made_of")
        return stored

    def append_epoch(self, row: EpochRow) -> None:
        """Append an epoch's row. Raises StorageError."""
        append_line(self.metrics_path, json_text(sealed(row.to_dict())))

    def append_death(self, epoch: int, reason: str) -> None:
        """Record that the trial's worker died after ``epoch`` and the trial is retried. Raises StorageError."""
        append_line(self.deaths_path, json_text({"epoch": epoch, "reason": redacted(reason)}))

    def deaths(self) -> list[dict[str, Any]]:
        """Return the deaths of the trial's workers, {epoch, reason} each. Raises RunCorrupt, StorageError."""
        return read_jsonl(self.deaths_path)

    def epochs(self) -> tuple[EpochRow, ...]:
        """Return the epochs in order, without those that a resumed trial repeated. Raises RunCorrupt."""
        rows = read_jsonl(self.metrics_path)
        return current_epochs([EpochRow.from_dict(row, str(self.metrics_path)) for row in rows])

    def finish(
        self,
        status: Status,
        *,
        error: str | None = None,
        fit_time_s: float | None = None,
        surroundings: bool = False,
    ) -> None:
        """Write the completion marker: COMPLETE, PRUNED, or FAIL with its reason.

        ``surroundings``: the reason is not the trial's, so that it may be tried again.
        """
        if status not in FINISHED:
            raise ValueError(f"a trial ends as one of {', '.join(FINISHED)}, not {status!r}")
        reason = None if error is None else redacted(error)
        marker = {"status": status, "error": reason, "fit_time_s": fit_time_s, "epochs": len(self.epochs())}
        write_sealed(self.done_path, {**marker, "surroundings": True} if surroundings else marker)

    def reopen(self) -> None:
        """Remove the completion marker: the trial goes on. Raises StorageError."""
        remove_file(self.done_path)

    def is_finished(self) -> bool:
        """Whether the trial has ended with any status."""
        return is_file(self.done_path)

    def record(self) -> TrialRecord | None:
        """Return the trial's record, None before its configuration is stored. Raises RunCorrupt."""
        config = read_json(self.config_path)
        if config is None:
            return None
        checked(config, StoredTrial, self.config_path)
        if config["trial_id"] != self.trial_id:
            raise RunCorrupt(
                f"{self.config_path}: trial_id: is {config['trial_id']!r} in the folder of {self.trial_id!r}"
            )
        done = read_json(self.done_path)
        if done is not None:
            checked(done, StoredEnd, self.done_path)
        epochs = self.epochs()
        if done is not None and done.get("epochs", len(epochs)) != len(epochs):
            raise RunCorrupt(f"{self.metrics_path} is not whole: {len(epochs)} of {done['epochs']} epochs are there")
        return build_record(config, epochs, done)
