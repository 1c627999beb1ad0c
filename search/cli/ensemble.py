"""`foldtune ensemble` and `foldtune score`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Address, RunName, Storage, decoders
from search.cli.raysession import RaySession
from search.cli.terminal import errors, note, output, print_json, progress_bar

if TYPE_CHECKING:
    from search.dataset import Labelled
    from search.ensemble import Ensemble, EnsemblePlan
    from search.finalists import Unlabelled
    from search.groups import Group
    from search.runs import Run


def add_to(app: typer.Typer) -> None:
    """Register the commands."""

    @app.command()
    def ensemble(
        run: RunName,
        top: Annotated[
            int | None, typer.Option(min=1, help="Configurations to combine; the run's own by default.")
        ] = None,
        folds: Annotated[int | None, typer.Option(min=2, help="Folds to train, of the run's; all by default.")] = None,
        voting: Annotated[str | None, typer.Option(metavar="soft|hard", help="How members become one answer.")] = None,
        min_votes: Annotated[
            int | None, typer.Option(min=1, help="Votes that a hard decision needs, one a configuration.")
        ] = None,
        file: Annotated[
            Path | None,
            typer.Option("--output", "-o", metavar="F", help="The submission; RUN/ensemble/submission.csv by default."),
        ] = None,
        as_json: Annotated[
            str, typer.Option("--format", metavar="table|json", help="How the result is printed.")
        ] = "table",
        address: Address = None,
        storage: Storage = "runs",
    ) -> None:
        """Train the best trials on every fold, let them vote, and write the submission.

        The search's own models of fold 0 are used as they are. Post-processing is fitted on out-of-fold scores; the
        figure shown is cross-fitted: no row is judged by a fit that saw it. Stopped, it goes on where it was.
        """
        from search.ensemble import plan_ensemble
        from search.groups import find_group
        from search.runs import open_run

        if as_json not in ("table", "json"):
            raise typer.BadParameter("valid are table, json", param_hint="--format")
        group = find_group(run, storage)
        runs = {run: open_run(run, storage)} if group is None else group.open_all()
        plans = {name: plan_ensemble(each, top, folds, voting, min_votes) for name, each in runs.items()}
        built = {}
        with RaySession(address) as ray:
            for name, opened in runs.items():
                with _held(opened):
                    built[name] = _build(opened, plans[name], ray)
                    if group is None:
                        target = _submit(opened, built[name], file)
        if group is not None:
            target = _submit_group(group, built, file)
        if as_json == "table":
            _show(list(built.values()), target)
            return
        submission = {"submission": str(target) if target else None}
        descriptions = {name: each.description for name, each in built.items()}
        print_json({**(descriptions[run] if group is None else {"targets": descriptions}), **submission})

    @app.command()
    def score(
        run: RunName,
        labels: Annotated[Path, typer.Option(help="CSV of the test rows with their labels.", show_default=False)],
        storage: Storage = "runs",
        as_json: Annotated[str, typer.Option("--format", metavar="table|json", help="How it is printed.")] = "table",
    ) -> None:
        """Score an ensemble's test predictions by labels that were held back, beside the best single trial's."""
        from results.scorestable import scores_table
        from search.groups import find_group
        from search.runs import open_run
        from search.scoring import score_ensemble

        group = find_group(run, storage)
        runs = {run: open_run(run, storage)} if group is None else group.open_all()
        figures = {name: score_ensemble(each, labels) for name, each in runs.items()}
        if as_json == "json":
            print_json(figures[run] if group is None else figures)
            return
        for name, each in runs.items():
            if group is not None:
                output().print(f"target {name}", style="bold")
            output().print(scores_table(figures[name], each.goal.metric, each.task.metrics))


@contextmanager
def _held(run: Run) -> Iterator[None]:
    """Hold the run's lock."""
    from results.errors import RunBusy

    with ExitStack() as stack:
        try:
            stack.enter_context(run.store.lock())
        except RunBusy:
            raise RunBusy(f"run {run.store.name!r} is searching or ensembling: wait for it, or stop it") from None
        yield


def _build(run: Run, plan: EnsemblePlan, ray: RaySession) -> Ensemble:
    from search.ensemble import build_ensemble, choose_finalists, rehearse_submission
    from search.live import showing_folds

    chosen = choose_finalists(run, plan)
    if len(chosen) < plan.top:
        note(f"--top {plan.top}: the run has only {len(chosen)} trials to combine; all are")
    labelled, test = _rows(run)
    if test is not None:
        rehearse_submission(run, chosen, test.ids)
    try:
        trial_ids = [record.trial_id for record in chosen]
        with ray.ending_workers():
            ray.connect(run.config.resources)
            with showing_folds(errors(), trial_ids, plan.folds) as on_outcome:
                return build_ensemble(run, plan, chosen, labelled, test, on_outcome)
    except KeyboardInterrupt:
        note("stopped; what is trained is kept: the same command goes on from there")
        raise typer.Exit(130) from None


def _rows(run: Run) -> tuple[Labelled, Unlabelled | None]:
    from search.dataset import open_images, read_unlabelled
    from search.finalists import Unlabelled
    from search.runs import reopen_labelled

    with progress_bar("decoding images") as progress:
        labelled = reopen_labelled(run, decoders(), progress)
        if run.config.data.test is None:
            return labelled, None
        table = read_unlabelled(run.config.data, run.task)
        prepared = open_images(labelled.images, table, progress)
        test = Unlabelled(table.select(prepared.keep), labelled.images, table.ids, prepared.keep)
        if prepared.broken:
            open_images(labelled.images, test.table, progress)  # a cache of its own, which workers find
    if prepared.broken:
        first = prepared.broken[0]
        note(
            f"{len(prepared.broken)} images to submit cannot be read and get the mean of the others' scores "
            f"(first: {first})"
        )
    return labelled, test


def _submit(run: Run, built: Ensemble, file: Path | None) -> Path | None:
    from results.files import write_csv

    if built.submission is None:
        if file is not None:
            note("no submission is written: the configuration names no data.test")
        return None
    if file is None:
        return run.store.ensemble.submission_path
    write_csv(file, built.submission)
    return file


def _submit_group(group: Group, built: Mapping[str, Ensemble], file: Path | None) -> Path | None:
    """Write the submission of all targets."""
    frames = {name: each.submission for name, each in built.items() if each.submission is not None}
    if not frames:
        if file is not None:
            note("no submission is written: the configuration names no data.test")
        return None
    group.submit(frames, file)
    return file or group.submission_path


def _show(built: Sequence[Ensemble], target: Path | None) -> None:
    from results.ensembletable import ensemble_table

    console = output()
    for each in built:
        console.print(ensemble_table(each.description, width=console.width))
    submission = built[0].submission
    if submission is not None:
        console.print(f"submission: {target} ({len(submission)} rows)", soft_wrap=True)
