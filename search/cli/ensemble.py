"""`foldtune ensemble` and `foldtune score`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Address, RunName, Storage, decoders
from search.cli.terminal import errors, note, output, print_json, progress_bar

if TYPE_CHECKING:
    from search.dataset import Labelled
    from search.ensemble import Ensemble, EnsemblePlan
    from search.finalists import Unlabelled
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
        from results.errors import RunBusy
        from search.ensemble import plan_ensemble
        from search.runs import open_run

        if as_json not in ("table", "json"):
            raise typer.BadParameter("valid are table, json", param_hint="--format")
        opened = open_run(run, storage)
        plan = plan_ensemble(opened, top, folds, voting, min_votes)
        try:
            lock = ExitStack()
            lock.enter_context(opened.store.lock())
        except RunBusy:
            raise RunBusy(f"run {opened.store.name!r} is searching or ensembling: wait for it, or stop it") from None
        with lock:
            built = _build(opened, plan, address)
            target = _submit(opened, built, file)
        if as_json == "json":
            print_json({**built.description, "submission": str(target) if target else None})
        else:
            _show(built, target)

    @app.command()
    def score(
        run: RunName,
        labels: Annotated[Path, typer.Option(help="CSV of the test rows with their labels.", show_default=False)],
        storage: Storage = "runs",
        as_json: Annotated[str, typer.Option("--format", metavar="table|json", help="How it is printed.")] = "table",
    ) -> None:
        """Score an ensemble's test predictions by labels that were held back, beside the best single trial's."""
        from results.scorestable import scores_table
        from search.runs import open_run
        from search.scoring import score_ensemble

        opened = open_run(run, storage)
        figures = score_ensemble(opened, labels)
        if as_json == "json":
            print_json(figures)
        else:
            output().print(scores_table(figures, opened.goal.metric, opened.task.metrics))


def _build(run: Run, plan: EnsemblePlan, address: str | None) -> Ensemble:
    from cluster.resources import TrialResources, require_slot
    from cluster.sessions import session
    from search.ensemble import build_ensemble, choose_finalists, rehearse_submission
    from search.live import showing_folds

    chosen = choose_finalists(run, plan)
    if len(chosen) < plan.top:
        note(f"--top {plan.top}: the run has only {len(chosen)} trials to combine; all are")
    labelled, test = _rows(run)
    if test is not None:
        rehearse_submission(run, chosen, test.ids)
    resources = run.config.resources
    note("starting Ray …")
    try:
        with session(address):
            require_slot(TrialResources(resources.cpus_per_trial, resources.gpus_per_trial))
            trial_ids = [record.trial_id for record in chosen]
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


def _show(built: Ensemble, target: Path | None) -> None:
    from results.ensembletable import ensemble_table

    console = output()
    console.print(ensemble_table(built.description, width=console.width))
    if built.submission is not None:
        console.print(f"submission: {target} ({len(built.submission)} rows)", soft_wrap=True)
