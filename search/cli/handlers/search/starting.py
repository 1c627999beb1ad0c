"""A new run on disk, and a stored one opened again for its search: what is checked, written and printed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from foldtune.results.records.measured_file import Measured, read_measured, write_measured
from foldtune.results.tables.formatting import counted
from foldtune.search.audit.cheap import shared_notes
from foldtune.search.checks.grid import limited
from foldtune.search.checks.pretrained import find_weights, weight_notes
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.handlers.search.measure import timed_formats
from foldtune.search.cli.handlers.search.search import SearchRequest
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.cli.terminal import note
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.secrets import expanded
from foldtune.search.data.dataset import Labelled
from foldtune.search.runs.formats import format_notes
from foldtune.search.runs.pretrained import check_same_files, store_weights
from foldtune.search.runs.resuming import check_same, check_same_metrics, extend
from foldtune.search.runs.run import Run, new_store, open_run, reopen_labelled, start_run, with_data, with_paths
from foldtune.search.runs.validation import Checked
from foldtune.search.tuning.preflight import require_ready_nodes
from foldtune.search.tuning.recorder import reopen_failed
from foldtune.search.tuning.study import require_free_study
from foldtune.trainers.data.labels import described

MAX_NAMED_IMAGES = 5
"""Images left out that a message names."""
MAX_NAMED_TRIALS = 10


def with_request(given: RunConfig, stored: Run, request: SearchRequest) -> Run:
    """Return a stored run with the paths of its data as they are now."""
    return with_paths(stored, given.data) if request.data is None else with_data(stored, request.data)


def new_run(
    checked: Checked, ray: RaySession, take_over: Callable[[Run, Labelled], None], stack: ExitStack
) -> tuple[Run, Labelled]:
    """Write the folder of a new run, and print what the user should read about it.

    Args:
        take_over: writes what it starts from beside its default.
        stack: holds the run's lock.
    """
    if ray.joins:  # before anything is decoded or written: a folder of this machine alone would be the wrong one
        ray.connect(checked.config.resources, "joining the cluster …")
        require_ready_nodes(checked.config, checked.table.paths)
    if url := checked.config.search.study_storage:
        require_free_study(checked.config.name, expanded(url, "search.study_storage"))
    found = find_weights(checked.space)
    store = stack.enter_context(new_store(checked.config))
    formats = timed_formats(checked, ray)
    store_weights(found, store.pretrained)
    write_measured(store.root, Measured(formats, checked.figures))
    with progress_bar("decoding images") as progress:
        run, labelled = start_run(checked, store, decoder_processes(), progress, take_over)
    kept = set(labelled.table.ids)
    if left_out := [name for name in checked.table.ids if name not in kept]:
        shown = ", ".join(left_out[:MAX_NAMED_IMAGES]) + (", …" if len(left_out) > MAX_NAMED_IMAGES else "")
        what = (
            "1 image cannot be read and is" if len(left_out) == 1 else f"{len(left_out)} images cannot be read and are"
        )
        note(f"{what} left out: {shown}")
    _note_left_out(labelled)
    lines = (*checked.notes, *weight_notes(found), *format_notes(formats))
    for text in (*lines, *shared_notes(run, labelled, checked.test)):
        note(text)
    return run, labelled


def resumed_run(given: RunConfig, request: SearchRequest, stack: ExitStack) -> tuple[Run, Labelled]:
    """Open a stored run whose data and configuration are proved to be the same; `stack` holds its lock."""
    stored = open_run(given.name, given.storage)
    stack.enter_context(stored.store.lock())
    check_same(given, stored.config)
    stored = check_same_metrics(given, stored)
    weights = stored.store.pretrained.read()
    check_same_files(given.space, weights)
    run = with_request(given, stored, request)
    with progress_bar("decoding images") as progress:
        labelled = reopen_labelled(run, decoder_processes(), progress)
    if again := reopen_failed(run.store, every=request.retry_failed):
        why = "that failed" if request.retry_failed else "whose surroundings failed"
        note(f"{counted(len(again), 'trial')} {why}: tried again ({', '.join(again[:MAX_NAMED_TRIALS])})")
    run = extend(run, given, request.further_trials)  # only now, since the data that it names are proved to be the same
    if request.further_trials and (text := limited(run.config.search, run.space)[1]):
        note(text)
    _note_left_out(labelled)
    measured = read_measured(run.store.root) or Measured()
    for text in (*weight_notes(weights or ()), *format_notes(measured.formats)):
        note(text)
    return run, labelled


def _note_left_out(labelled: Labelled) -> None:
    if rows := labelled.table.left_out:
        number = sum(rows.values())
        note(f"{counted(number, 'row')} {'is' if number == 1 else 'are'} left out: {described(rows)}")
    for warning in (*labelled.notes, *labelled.task.label_warnings):
        note(warning)
