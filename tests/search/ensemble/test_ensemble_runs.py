"""Ensembles of one run and of several, their fold models trained one after the other in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from foldtune.cluster.resources import TrialResources
from foldtune.errors import InputError, TimeIsUp, TimeTooShort
from foldtune.results.storage.files import remove_tree
from foldtune.search.assess.held_out import of_trial
from foldtune.search.assess.scoring import score_ensemble
from foldtune.search.cli.handlers.vote import combine
from foldtune.search.cli.handlers.vote.compare import score_run
from foldtune.search.cli.main import run as foldtune
from foldtune.search.cli.options import TableOrJson
from foldtune.search.config.loading import check
from foldtune.search.ensemble.build import Ensemble, build_ensemble
from foldtune.search.ensemble.fit_time import fit_into
from foldtune.search.ensemble.fold_tasks import Missing, ensure_all_trained
from foldtune.search.ensemble.fold_training import Terms, Train
from foldtune.search.ensemble.plan import EnsembleOptions, check_runs, choose_finalists, plan_ensemble
from foldtune.search.ensemble.racing import Dropped
from foldtune.search.ensemble.sources import check_sources, open_source
from foldtune.search.ensemble.standing import StandingSubmission
from foldtune.search.predict.stored_ensemble import PredictOptions, StoredEnsemble, find_images
from foldtune.search.runs.run import Run, new_store, start_run
from foldtune.search.runs.validation import check_run
from foldtune.search.workers.fold_job import FoldJob, FoldModelStatus, FoldOutcome, FoldWork
from foldtune.search.workers.fold_model import ensure_trained, status
from foldtune.search.workers.training import TrialWork, made_of, open_fit, store_epoch
from tests.images import decode

FOLDS, LABELS = 3, ("c0", "c1", "c2")
Array = npt.NDArray[np.float64]


@dataclass
class Watch:
    """Records its messages."""

    outcomes: list[FoldOutcome] = dataclass_field(default_factory=list)
    dropped: list[Dropped] = dataclass_field(default_factory=list)

    def on_outcome(self, outcome: FoldOutcome) -> None:
        self.outcomes.append(outcome)

    def on_dropped(self, dropped: Sequence[Dropped]) -> None:
        self.dropped += dropped


def train_here(works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
    for job in jobs:
        yield ensure_trained(works[job.run][0], job)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Digits of three classes: 36 labelled ones, 9 to submit."""
    home = tmp_path_factory.mktemp("runs")
    digits = load_digits()
    (home / "images").mkdir()
    rows: list[str] = []
    test: list[str] = []
    for label in range(3):
        for place, index in enumerate(np.flatnonzero(digits.target == label)[:15]):
            name = f"d{index:04d}.png"
            Image.fromarray((digits.images[index] * 15.9).astype(np.uint8)).resize((32, 32)).save(
                home / "images" / name
            )
            (rows if place < 12 else test).append(f"{name},c{label}")
    (home / "train.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    (home / "test.csv").write_text("\n".join(["image,label", *test]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDTUNE_CACHE", str(home / "cache"))
        yield home


def searched(home: Path, name: str, trials: int, **changes: Any) -> Run:
    """A run as a search leaves it, with so many trials of one epoch; `changes` are of sections."""
    config: dict[str, Any] = {
        "name": name,
        "task": "multiclass",
        "data": {"train": "train.csv", "test": "test.csv", "images": "images", "target": "label", "image_size": 32},
        "space": {"model_name": "test_resnet", "augmentation": "none", "lr": {"loguniform": [0.001, 0.02]}},
        "search": {"metric": "accuracy", "num_samples": max(1, trials), "max_epochs": 1},
        "ensemble": {"top": 2, "folds": FOLDS},
        "storage": str(home / "storage"),
    }
    for section, values in changes.items():
        config[section] = {**config[section], **values}
    (home / f"{name}.yaml").write_text(yaml.safe_dump(config))
    checked = check_run(check(config, home))
    with new_store(checked.config) as store:
        run, labelled = start_run(checked, store, 1, None)
    work = TrialWork(str(store.root), labelled, run.goal.metric, 1, 0, 0)
    for number in range(trials):
        trial = store.trial(f"{number:04d}")
        space: dict[str, Any] = {"model_name": "test_resnet", "augmentation": "none", "batch_size": 8}
        if "postprocess" in config["space"]:
            space["postprocess"] = config["space"]["postprocess"]
        trial.write_config(number, {"lr": 0.01 / (number + 1)}, {**space, "lr": 0.01 / (number + 1)})
        fit = open_fit(work, trial)
        store_epoch(trial, fit, fit.step())
        fit.close()
        trial.finish("COMPLETE")
    return run


@pytest.fixture(scope="module")
def one(home: Path) -> Run:
    return searched(home, "one", 3)


@pytest.fixture(scope="module")
def two(home: Path) -> Run:
    """Another search of the same rows and folds, on smaller images."""
    return searched(home, "two", 1, data={"image_size": 24})


def ensemble(runs: Sequence[Run], watch: Watch | None = None, train: Train = train_here, **asked: Any) -> Ensemble:
    plan = plan_ensemble(runs[0], EnsembleOptions(**asked))
    check_runs(runs)
    sources = [open_source(run, 1, None) for run in runs]
    check_sources(sources)
    return build_ensemble(sources, plan, choose_finalists(runs, plan), train, watch or Watch())


def stored(run: Run, name: str) -> dict[str, npt.NDArray[Any]]:
    with np.load(run.store.ensemble.root / name, allow_pickle=False) as archive:
        return dict(archive)


def weights(run: Run) -> set[str]:
    folder = run.store.ensemble.root / "weights"
    return {path.relative_to(folder).parent.as_posix() for path in folder.rglob("*.safetensors")}


def by_hand(home: Path, path: Path, ids: Sequence[str], size: int, flips: Sequence[tuple[int, ...]] = ((),)) -> Array:
    """Probabilities of mean logits over mirrored views, in plain timm and torch."""
    model = timm.create_model("test_resnet", num_classes=3).eval()
    model.load_state_dict(load_file(path))
    pixels = np.stack([decode(home / "images" / name, (size, size)) for name in ids])
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        logits = torch.stack([model(((batch - mean) / std).flip(dims)) for dims in flips]).mean(dim=0)
    return np.asarray(torch.softmax(logits.double(), dim=1).numpy())


@pytest.mark.slow
def test_members_of_two_runs_each_see_images_in_their_own_size(home: Path, one: Run, two: Run, tmp_path: Path) -> None:
    watch = Watch()
    built = ensemble([one, two], watch, top=9, race=False, tta="hflip", voting="greedy")
    members = {each["id"]: each for each in built.description["members"]}
    assert set(members) == {"0000", "0001", "0002", "two/0000"}
    assert {name: each["image_size"] for name, each in members.items()}["two/0000"] == [24, 24]
    assert (members["two/0000"]["run"], members["two/0000"]["trial_id"]) == ("two", "0000")
    assert {each["tta"] for each in members.values()} == {"hflip"}
    assert sum(each["weight"] for each in members.values()) == pytest.approx(1)
    assert sum(outcome.reused for outcome in watch.outcomes) == 4
    assert not two.store.ensemble.root.exists()

    oof, test, root = stored(one, "oof.npz"), stored(one, "test.npz"), one.store.ensemble.root
    for place, (name, member) in enumerate(members.items()):
        size = member["image_size"][0]
        for fold in range(FOLDS):
            rows = oof["folds"] == fold
            path = root / "weights" / name / f"fold_{fold}.safetensors"
            expected = by_hand(home, path, oof["ids"][rows].tolist(), size, [(), (3,)])
            np.testing.assert_allclose(oof["member_scores"][place][rows], expected, atol=1e-5)
    np.testing.assert_allclose(
        test["scores"],
        np.average(test["member_scores"], axis=0, weights=built.description["weights"]),
        atol=1e-9,
    )

    moved = tmp_path / "moved"
    root.rename(moved)
    try:
        frame = StoredEnsemble.open(moved).predict(
            find_images(home / "test.csv", home / "images", "image"),
            PredictOptions(batch_size=4, device="cpu", decoders=1),
            progress=lambda done, total: None,
        )
    finally:
        moved.rename(root)
    assert frame["image"].tolist() == test["ids"].tolist()
    np.testing.assert_allclose(frame[[f"score_{name}" for name in LABELS]], test["scores"], atol=1e-5)
    assert frame["label"].tolist() == [LABELS[place] for place in test["predictions"]]


@pytest.mark.slow
def test_views_do_not_mix_with_the_models_own_scores(one: Run) -> None:
    """Going back and forth between views trains nothing, and each time gives what it gave before."""
    plain = ensemble([one], top=3, race=False)
    first = stored(one, "oof.npz"), stored(one, "test.npz"), one.store.ensemble.submission_path.read_bytes()
    seen = ensemble([one], top=3, race=False, tta="flips")
    flipped = stored(one, "oof.npz")
    assert not np.allclose(first[0]["scores"], flipped["scores"])
    assert [each["fold_values"] for each in seen.description["members"]] == [
        [float(np.mean(own[rows].argmax(axis=1) == flipped["targets"][rows])) for rows in by_fold(flipped["folds"])]
        for own in flipped["member_scores"]
    ]
    again = ensemble([one], top=3, race=False)
    assert again.description == plain.description
    for name, arrays in zip(("oof.npz", "test.npz"), first[:2], strict=True):
        for key, values in stored(one, name).items():
            np.testing.assert_array_equal(values, arrays[key])
    assert one.store.ensemble.submission_path.read_bytes() == first[2]


@pytest.mark.slow
def test_without_a_fit_the_post_processing_that_the_space_fixes_predicts(home: Path) -> None:
    """Log loss is a metric of scores: nothing is fitted, and trials were not evaluated by the default."""
    fixed = {"offsets": {"c1": 50.0}}
    run = searched(home, "fixed", 2, search={"metric": "loss"}, space={"postprocess": fixed})
    built = ensemble([run], top=2, race=False)
    assert built.description["postprocess"] == fixed
    assert set(stored(run, "oof.npz")["predictions"].tolist()) == {1}
    assert built.submission is not None
    assert set(built.submission["label"]) == {"c1"}
    alone = of_trial(run, "0000")
    assert set(alone.predictions.tolist()) == {1}


@pytest.mark.slow
def test_fixed_post_processing_and_a_column_of_scores(home: Path) -> None:
    """The space's values predict, though others fit better; the sample's numbers take scores by a metric of scores."""
    names = (home / "test.csv").read_text().split()[1:]
    (home / "sample.csv").write_text("image,label\n" + "".join(f"{name.split(',')[0]},0.5\n" for name in names))
    labels = {"target_map": {"c0": "0", "c1": "1", "c2": "1"}}
    fixed = {"prior_power": 1.0}
    steady = searched(home, "steady", 1, data=labels, space={"postprocess": fixed})
    built = ensemble([steady], top=1)
    assert built.description["postprocess"] == built.description["fixed_postprocess"] == fixed
    oof = stored(steady, "oof.npz")
    np.testing.assert_array_equal(oof["predictions"], steady.task.predict(oof["scores"], fixed))

    ranks = searched(home, "ranks", 1, data={**labels, "sample_submission": "sample.csv"}, search={"metric": "auroc"})
    submitted = ensemble([ranks], top=1).submission
    assert submitted is not None
    np.testing.assert_allclose(submitted["label"].astype(float), stored(ranks, "test.npz")["scores"][:, 1])


def test_the_best_single_trial_is_one_trial(home: Path, one: Run) -> None:
    built = ensemble([one], top=3, race=False)
    single = built.description["best_single"]["trial_id"]
    assert f"best single trial ({single})" in score_ensemble(one, home / "test.csv")
    place = [member["id"] for member in built.description["members"]].index(single)
    weights = one.store.ensemble.root / "weights" / single / "fold_0.safetensors"
    ids, scores = stored(one, "test.npz")["ids"].tolist(), stored(one, "test.npz")["single_scores"]
    np.testing.assert_allclose(scores, by_hand(home, weights, ids, 32), atol=1e-5)
    assert built.description["members"][place]["oof"] == built.description["best_single"]["value"]


def by_fold(folds: npt.NDArray[np.int64]) -> list[npt.NDArray[np.bool_]]:
    return [folds == fold for fold in range(FOLDS)]


def test_ray_is_started_only_where_something_is_missing(home: Path) -> None:
    class Asked(Exception):
        pass

    def connect(missing: Missing) -> None:
        raise Asked(str(missing))

    run, without_ray = searched(home, "rayless", 2), partial(ensure_all_trained, connect=connect)
    with pytest.raises(Asked, match=r"^4 of 6 fold models to train, 2 to reuse$"):
        ensemble([run], train=without_ray, race=False)
    trained, again = Watch(), Watch()
    ensemble([run], trained, voting="soft")
    second = ensemble([run], again, without_ray, voting="hard")
    assert second.description["voting"] == "hard"
    assert sorted(map(str, again.outcomes)) == sorted(map(str, trained.outcomes))
    with pytest.raises(Asked, match=r"^6 of 6 fold models to predict$"):
        ensemble([run], train=without_ray, tta="hflip")


@pytest.mark.slow
def test_a_clearly_weak_finalist_drops_out_and_leaves_no_weights(home: Path) -> None:
    run = searched(home, "racing", 3)
    chosen = choose_finalists([run], plan_ensemble(run, EnsembleOptions(top=3)))
    for each in chosen:  # two are right and the third is wrong
        pretend(run, each.id, right=each is not chosen[0])
    watch = Watch()
    built = ensemble([run], watch, top=3, race=True)
    weak = chosen[0].id
    assert [each.member for each in watch.dropped] == [weak]
    assert [each["id"] for each in built.description["dropped"]] == [weak]
    assert built.description["dropped"][0]["difference"]["high"] < 0
    assert weak not in {each["id"] for each in built.description["members"]}
    assert {(each.member, each.fold) for each in watch.outcomes if each.member == weak} == {(weak, 0), (weak, 1)}
    assert weights(run) == {chosen[1].id, chosen[2].id}
    assert stored(run, "oof.npz")["member_scores"].shape[0] == 2

    submission, described = run.store.ensemble.submission_path.read_bytes(), json.dumps(built.description)
    before = {path: path.stat().st_mtime_ns for path in run.store.ensemble.root.rglob("done.json")}
    again = Watch()
    assert json.dumps(ensemble([run], again, top=3, race=True).description) == described
    assert run.store.ensemble.submission_path.read_bytes() == submission
    assert {path: path.stat().st_mtime_ns for path in run.store.ensemble.root.rglob("done.json")} == before
    kept = {path.parent.name for path in run.store.trials_root.rglob("weights.safetensors")}
    assert len(kept | weights(run)) <= run.config.ensemble.top + 2

    brought_back = ensemble([run], top=3, race=False).description
    assert weak in {each["id"] for each in brought_back["members"]}
    assert weights(run) >= {weak}


def pretend(run: Run, trial_id: str, *, right: bool) -> None:
    """Write scores of a finished fold model on folds 0 and 1, before any is trained."""
    source = open_source(run, 1, None)
    table = source.labelled.table
    assert table.targets is not None
    for fold in (0, 1):
        directory = run.store.ensemble.member(trial_id, fold)
        rows = source.labelled.folds == fold
        said = table.targets[rows] if right else (table.targets[rows] + 1) % 3
        logits = (np.eye(3)[said] * 4).astype(np.float32)
        directory.write_scores(table.ids[rows], logits, table.targets[rows], 1)
        directory.finish({"value": float(right), "reused": False})
        path = run.store.ensemble.weights_path(trial_id, fold)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(run.store.trial(trial_id).weights_path.read_bytes())


@pytest.mark.slow
def test_a_run_of_that_name_that_is_another_one_by_now_is_trained_again(home: Path, one: Run) -> None:
    """A member of another run is what that run is now, not what one of its name was."""
    lent = searched(home, "lent", 1)
    ensemble([one, lent], top=4, race=False)
    before = one.store.ensemble.member("lent/0000", 1).result()
    trial = lent.store.trial("0000")
    record = trial.record()
    assert record is not None
    trial.write_config(0, record.params, {**record.config, "lr": 0.5})
    assert one.store.ensemble.member("lent/0000", 1).result() == before
    ensemble([one, lent], top=4, race=False)
    after = one.store.ensemble.member("lent/0000", 1).result()
    assert before is not None
    assert after is not None
    assert after["made_of"] != before["made_of"]
    ensemble([one], top=2, race=False)
    assert not {name for name in weights(one) if name.startswith("lent/")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search": {"seed": 1}}, ["differs from 'one' in its folds", "search.seed: 0 and ensemble.folds: 3"]),
        ({"data": {"train": "fewer.csv"}}, ["differs from 'one' in its rows: 35 against 36; only one of them has d0"]),
        ({"data": {"train": "swapped.csv"}}, ["differs from 'one' in its labels of 2 rows (first: d0"]),
        ({"data": {"test": "fewer.csv"}}, ["differs from 'one' in its rows to submit: 35 others"]),
        ({"search": {"metric": "macro_f1"}}, ["differs in its metric: macro_f1; that of 'one' is accuracy"]),
        (
            {"data": {"train": "other.csv", "target": "other"}},
            ["differs in its task: multiclass of column 'other' with 2 classes (x, y)"],
        ),
    ],
)
def test_runs_that_do_not_fit_together_are_refused(
    home: Path, one: Run, changes: Mapping[str, Any], words: Sequence[str], request: pytest.FixtureRequest
) -> None:
    head, *rows = (home / "train.csv").read_text().split()
    (home / "fewer.csv").write_text("\n".join([head, *rows[:-1]]) + "\n")
    swapped = [rows[0].replace("c0", "c1"), *rows[1:12], rows[12].replace("c1", "c0"), *rows[13:]]
    (home / "swapped.csv").write_text("\n".join([head, *swapped]) + "\n")
    other = [f"{row},{'xy'[place % 2]}" for place, row in enumerate(rows)]
    (home / "other.csv").write_text("\n".join([head + ",other", *other]) + "\n")
    unlike = searched(home, request.node.name.translate({91: "-", 93: ""}), 0, **changes)
    with pytest.raises(InputError) as raised:
        refuse([one, unlike])
    assert len(raised.value.problems) == 1
    for word in words:
        assert word in raised.value.problems[0]


def refuse(runs: Sequence[Run]) -> None:
    check_runs(runs)
    check_sources([open_source(run, 1, None) for run in runs])


def test_a_run_is_named_once(one: Run) -> None:
    with pytest.raises(InputError, match="'one' is named twice"):
        check_runs([one, one])


@pytest.mark.slow
def test_replaced_images_to_submit_are_predicted_again_and_nothing_is_trained(home: Path) -> None:
    run = searched(home, "replaced", 1)
    ensemble([run])
    before = stored(run, "test.npz")
    models = {path: path.stat().st_mtime_ns for path in run.store.ensemble.root.rglob("*.safetensors")}
    images = [home / "images" / name for name in before["ids"].tolist()]
    kept = [path.read_bytes() for path in images]
    try:
        for path, other in zip(images, [*kept[3:], *kept[:3]], strict=True):
            path.write_bytes(other)  # of another class each
        with pytest.raises(InputError, match="images to submit have changed since they were predicted"):
            score_run(str(run.store.root), ".", home / "test.csv", TableOrJson.json)
        source = open_source(run, 1, None)
        assert ["to submit, images of 9 rows" in text for text in source.notes] == [True]
        ensemble([run])
        after = stored(run, "test.npz")
        assert open_source(run, 1, None).notes == ()
    finally:
        for path, content in zip(images, kept, strict=True):
            path.write_bytes(content)
    moved = [*range(3, 9), *range(3)]
    assert not np.allclose(after["scores"], before["scores"])
    np.testing.assert_allclose(after["member_scores"], before["member_scores"][:, moved], atol=1e-6)
    assert {path: path.stat().st_mtime_ns for path in models} == models


def test_a_model_of_the_search_is_taken_over_only_as_long_as_it_was_made_of_the_same(home: Path) -> None:
    """Its configuration on disk names a trial that was trained with other preprocessing, or on other rows."""
    run = searched(home, "taken", 1)
    work = TrialWork(str(run.store.root), open_source(run, 1, None).labelled, run.goal.metric, 1, 0, 0)
    trial, record = run.store.trial("0000"), run.store.trials()[0]
    same = made_of(work, record.config)
    for digests, reused in ((same, True), ({**same, "rows": "other"}, False), ({**same, "settings": "other"}, False)):
        trial.write_config(0, record.params, record.config, digests)
        watch = Watch()
        remove_tree(run.store.ensemble.root)
        ensemble([run], watch, race=False, folds=2)
        assert [each.reused for each in watch.outcomes if each.fold == 0] == [reused]


@pytest.mark.slow
def test_scores_of_other_labels_are_not_taken_over(home: Path) -> None:
    """Those of a search of before, which has no digests."""
    run = searched(home, "relabelled", 1)
    trial = run.store.trial("0000")
    scores = trial.read_scores()
    assert scores is not None
    assert scores.targets is not None
    trial.write_scores(scores.ids, scores.logits, (scores.targets + 1) % 3, scores.epoch)
    watch = Watch()
    ensemble([run], watch, race=False, folds=2)
    assert not any(each.reused for each in watch.outcomes)


@pytest.mark.slow
def test_a_damaged_fold_model_is_made_again_with_a_line(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = searched(home, "damaged", 1)
    ensemble([run], folds=2)
    before = stored(run, "test.npz")["scores"]
    path = run.store.ensemble.weights_path("0000", 1)
    for damaged in (path, run.store.ensemble.member("0000", 1).scores_path):
        raw = bytearray(damaged.read_bytes())
        raw[len(raw) // 2] ^= 255
        damaged.write_bytes(raw)
        made: list[tuple[str, int]] = []

        def train(works: Any, jobs: Sequence[FoldJob], made: list[tuple[str, int]] = made) -> Iterator[FoldOutcome]:
            made += [
                (job.member, job.fold) for job in jobs if status(works[job.run][0], job) is FoldModelStatus.TO_TRAIN
            ]
            yield from train_here(works, jobs)

        caplog.clear()
        ensemble([run], train=train, folds=2)
        assert made == [("0000", 1)]
        assert "fold 1 of trial 0000 is made again" in caplog.text
        np.testing.assert_allclose(stored(run, "test.npz")["scores"], before, atol=1e-6)


def only(*jobs: tuple[str, int]) -> Train:
    """Fold models of which the time allowed these alone; the search's own models of fold 0 come first."""
    return lambda works, wanted: train_here(works, [job for job in wanted if (job.member, job.fold) in jobs])


def built_in_time(run: Run, train: Train, **asked: Any) -> Ensemble:
    plan = plan_ensemble(run, EnsembleOptions(race=False, **asked))
    terms = Terms(partial=True)
    return build_ensemble([open_source(run, 1, None)], plan, choose_finalists([run], plan), train, Watch(), terms)


@pytest.mark.slow
def test_the_members_that_were_whole_in_time_vote_and_the_rest_is_named(home: Path) -> None:
    run = searched(home, "late", 3)
    built = built_in_time(run, only(("0000", 0), ("0000", 1), ("0000", 2), ("0001", 0), ("0002", 0)), top=3)
    assert [each["id"] for each in built.description["members"]] == ["0000"]
    assert (built.description["folds"], built.description["rows"]) == (FOLDS, 36)
    assert built.description["cuts"] == [f"trial {name}: 1 of 3 folds in time, left out" for name in ("0001", "0002")]
    fewer = built_in_time(run, only(("0000", 0), ("0001", 0), ("0001", 1), ("0002", 0)), top=3)
    # The models of before are on disk, but none of them was given in time.
    assert [each["id"] for each in fewer.description["members"]] == ["0001"]
    assert (fewer.description["folds"], fewer.description["rows"]) == (2, 24)
    assert fewer.description["cuts"][-1] == "2 folds in time, of 3"
    with pytest.raises(TimeIsUp, match="before the folds of a finalist"):
        built_in_time(run, only(), top=3)


@pytest.mark.slow
def test_fold_models_of_fewer_epochs_serve_no_ensemble_of_all(home: Path) -> None:
    run = searched(home, "short", 1, search={"max_epochs": 3})
    plan = plan_ensemble(run, EnsembleOptions(race=False))
    trained: list[tuple[int, int]] = []

    def train(works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
        for job in jobs:
            work = works[job.run][0]
            if status(work, job) is FoldModelStatus.TO_TRAIN:
                trained.append((job.fold, work.epochs or work.trial.epochs))
            yield ensure_trained(work, job)

    for terms in (Terms(epochs=2), Terms(epochs=2), Terms(), Terms(epochs=2)):
        source = open_source(run, 1, None)
        build_ensemble([source], plan, choose_finalists([run], plan), train, Watch(), terms)
    assert trained == [(1, 2), (2, 2), (1, 3), (2, 3)], "whole ones stand for shorter ones"


def test_what_does_not_fit_gives_way_by_what_the_trials_cost(home: Path, one: Run) -> None:
    source = open_source(one, 1, None)
    plan = plan_ensemble(one, EnsembleOptions(top=3, tta="flips"))
    chosen = choose_finalists([one], plan)
    plenty = fit_into([source], plan, chosen, 1e6, lambda: 1)
    assert (plenty.plan, list(plenty.chosen), plenty.terms) == (plan, chosen, Terms(partial=True))
    assert plenty.expected_s is not None
    less = fit_into([source], plan, chosen, plenty.expected_s - 1e-6, lambda: 1)
    assert (less.plan.tta, less.plan.top, less.plan.folds) == (None, 3, FOLDS)
    assert less.terms.cuts == ("each configuration's own views instead of 4",)
    with pytest.raises(TimeTooShort, match=r"0\.0s are left for the folds.*take about"):
        fit_into([source], plan, chosen, 0.0, lambda: 1)


def test_a_submission_of_the_best_trial_alone_stands_beside_the_ensemble(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stopped trial, too; nothing is trained, and the run's own ensemble stays as it would have been."""
    run = searched(home, "stands", 2)
    run.store.trial("0001").finish("PRUNED")
    plain = ensemble([run], top=1, race=False)
    run.store.trial("0000").finish("FAIL", error="gone")
    written: list[tuple[Run, Ensemble]] = []
    standing = StandingSubmission(run, lambda *pair: written.append(pair), pytest.fail)
    # A better trial ends while the submission of another is due.
    monkeypatch.setattr(standing, "_best", lambda: "0001" if written else "0000")
    standing.consider()
    standing.close(60.0)
    standing.write_now()
    [(beside, built)] = written
    assert (built.description["folds"], built.description["members"][0]["id"]) == (1, "0001")
    assert built.submission is not None
    assert len(built.submission) == 9
    assert beside.store.ensemble.root == run.store.root / "provisional"
    assert beside.store.ensemble.exists()
    assert run.store.ensemble.read() == json.loads(json.dumps(plain.description))
    rows, scores = stored(run, "oof.npz")["folds"] == 0, run.store.trial("0001").read_scores()
    assert scores is not None
    assert built.description["rows"] == rows.sum() == len(scores.ids)


def test_one_command_goes_on_where_the_search_is_done(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = searched(home, "chain", 2).store.root
    assert isinstance(root, Path)
    monkeypatch.setattr(combine, "ensure_all_trained", lambda works, jobs, connect, limit: train_here(works, jobs))
    command = ["run", str(home / "chain.yaml"), "--resume", "--time-limit"]
    assert foldtune([*command, "10m"]) == 0, capsys.readouterr().err
    assert "of 10m 00s" in capsys.readouterr().err.splitlines()[-1]
    assert (root / "submission.csv").read_bytes() == (root / "ensemble/submission.csv").read_bytes()
    assert (root / "report/models.csv").is_file()
    assert json.loads((root / "clock.json").read_text())["run_s"] > 0.1
    assert foldtune([*command, "0.1s"]) == 2
    assert "used already" in capsys.readouterr().err
