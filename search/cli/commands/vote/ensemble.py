"""`foldtune ensemble` and `foldtune score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import Address, RunName, Storage, TableOrJson
from foldtune.search.cli.terminal import note, output, print_json
from foldtune.search.cli.tta_option import ViewsCommand


def add_to(app: typer.Typer) -> None:
    """Register the commands."""

    @app.command(cls=ViewsCommand)
    def ensemble(
        runs: Annotated[
            list[str],
            typer.Argument(
                help="A run, by name or folder. More of the same data and folds, such as another backbone's search, "
                "lend their trials; the ensemble lies in the first one's folder.",
                show_default=False,
                metavar="RUN",
            ),
        ],
        top: Annotated[
            int | None,
            typer.Option(min=1, help="Finalists: the best configurations over all runs; the run's own by default."),
        ] = None,
        folds: Annotated[int | None, typer.Option(min=2, help="Folds to train, of the run's; all by default.")] = None,
        voting: Annotated[
            str | None,
            typer.Option(
                metavar="soft|hard|weighted|greedy|rank|auto",
                help="How members become one answer. soft: mean of scores. hard: each configuration has one vote. "
                "weighted: mean by the weights of least log loss, whatever the metric. greedy: mean of those that "
                "help, chosen again and again. rank: mean of ranks, for auroc and map. auto: whichever does best on "
                "rows it was not fitted on.",
            ),
        ] = None,
        min_votes: Annotated[
            int | None, typer.Option(min=1, help="Votes that a hard decision needs, one a configuration.")
        ] = None,
        tta: Annotated[
            str | None,
            typer.Option(
                metavar="[none|hflip|flips|brightness|all]",
                help="Test-time views, flips if nothing is said: each model sees every image 1, 2, 4, 3 or 6 times and "
                "answers by the mean, in the estimate, on the test rows and in `foldtune predict` alike. By default "
                "each configuration's own.",
            ),
        ] = None,
        race: Annotated[
            bool | None,
            typer.Option(
                "--race/--no-race",
                help="After two folds, train no further what is clearly weaker than the best (paired bootstrap); "
                "on by default where there are more folds.",
            ),
        ] = None,
        file: Annotated[
            Path | None,
            typer.Option(
                "--output",
                "-o",
                metavar="F",
                dir_okay=False,
                help="The submission; RUN/ensemble/submission.csv by default.",
            ),
        ] = None,
        format: Annotated[TableOrJson, typer.Option(help="How the result is printed.")] = TableOrJson.table,
        address: Address = None,
        storage: Storage = "runs",
    ) -> None:
        """Train the best trials on every fold, let them vote, and write the submission.

        The search's own models of fold 0 are used as they are; the other folds are Ray tasks. Stopped or killed, the
        same command goes on where it was. Weights and post-processing are fitted on out-of-fold scores; every figure
        shown is cross-fitted: no row is judged by a fit that saw it.

        foldtune ensemble skin --top 5 --folds 5 --voting soft -o submission.csv
        foldtune ensemble skin skin_convnext --top 8 --voting auto --tta hflip
        foldtune ensemble skin --top 5 --voting hard --min-votes 3 --no-race
        """
        from foldtune.search.cli.commands.vote.combine import (
            ALONE,
            build,
            find_runs,
            lock_runs,
            show,
            submit,
            submit_group,
        )
        from foldtune.search.cli.ray_session import RaySession
        from foldtune.search.ensemble.plan import EnsembleOptions, left_views, plan_ensemble

        group, by_target = find_runs(runs, storage)
        asked = EnsembleOptions(top, folds, voting, min_votes, tta, race)
        plans = {name: plan_ensemble(each[0], asked) for name, each in by_target.items()}
        for text in dict.fromkeys(left_views(each[0], asked, plans[name]) for name, each in by_target.items()):
            if text is not None:
                note(text)
        built = {}
        with RaySession(address) as ray:
            for name, each in by_target.items():
                with lock_runs(each):
                    built[name] = build(each, plans[name], ray)
                    if group is None:
                        target = submit(each[0], built[name], file)
        if group is not None:
            target = submit_group(group, built, file)
        if format is TableOrJson.table:
            show(built, target)
            return
        submission = {"submission": str(target) if target else None}
        descriptions = {name: each.description for name, each in built.items()}
        print_json({**(descriptions[ALONE] if group is None else {"targets": descriptions}), **submission})

    @app.command()
    def score(
        run: RunName,
        labels: Annotated[Path, typer.Option(help="CSV of the test rows with their labels.", show_default=False)],
        storage: Storage = "runs",
        format: Annotated[TableOrJson, typer.Option(help="How it is printed.")] = TableOrJson.table,
    ) -> None:
        """Score an ensemble's test predictions by labels that were held back, beside the best single trial's."""
        from foldtune.results.tables.scores_table import scores_table
        from foldtune.search.assess.scoring import score_ensemble
        from foldtune.search.runs.group import find_group
        from foldtune.search.runs.run import open_run

        group = find_group(run, storage)
        runs = {run: open_run(run, storage)} if group is None else group.open_all()
        figures = {name: score_ensemble(each, labels) for name, each in runs.items()}
        if format is TableOrJson.json:
            print_json(figures[run] if group is None else figures)
            return
        for name, each in runs.items():
            if group is not None:
                output().print(f"target {name}", style="bold")
            output().print(scores_table(figures[name], each.goal.metric, each.task.metrics))
