"""The metric against brute force, the sweep against one setting after the other, the vote against the rules."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import shapely

from foldtune.trainers.arrays.lazy import ArrayMemo
from foldtune.trainers.detection.metric import (
    Counts,
    as_shapes,
    count,
    hits_in_order,
    map_loss,
    match,
    overlaps,
    vote_boxes,
)
from foldtune.trainers.detection.polygons import corners, in_order, pad
from foldtune.trainers.detection.postprocess import BoxSettings, find_boxes
from foldtune.trainers.detection.sweep import DEFAULT_GRID, Grid, best_settings, curves, sweep
from foldtune.trainers.detection.targets import draw_text

SQUARE = np.array([[0.1, 0.1], [0.3, 0.1], [0.3, 0.3], [0.1, 0.3]])
RIGHT = np.array([1.0, 0.0])


def random_quads(rng: np.random.Generator, number: int) -> np.ndarray:
    """Rotated boxes that often overlap, duplicates among them."""
    centres = rng.choice([0.3, 0.5, 0.7], (number, 2)) + rng.normal(0, 0.02, (number, 2))
    sizes = np.array([0.25, 0.12]) * rng.uniform(0.8, 1.25, (number, 2))
    quads = corners(centres, sizes, rng.uniform(-8, 8, number))
    if number > 2 and rng.random() < 0.5:
        quads[1] = quads[0]
    return quads


def iou(one: np.ndarray, other: np.ndarray) -> float:
    first, second = shapely.Polygon(one), shapely.Polygon(other)
    return first.intersection(second).area / first.union(second).area


def largest_matching(boxes: np.ndarray, polygons: np.ndarray) -> int:
    """By looking at every assignment."""
    close = np.array([[iou(box, polygon) > 0.5 for polygon in polygons] for box in boxes], dtype=bool)
    if not close.size:
        return 0
    if len(boxes) > len(polygons):
        close = close.T
    rows = np.arange(len(close))
    return max(int(close[rows, list(order)].sum()) for order in permutations(range(close.shape[1]), len(close)))


def test_hmean_equals_brute_force_on_random_sets() -> None:
    rng = np.random.default_rng(0)
    boxes = [random_quads(rng, rng.integers(0, 7)) for _ in range(60)]
    polygons = [random_quads(rng, rng.integers(0, 7)) for _ in range(60)]
    found = [largest_matching(*pair) for pair in zip(boxes, polygons, strict=True)]
    assert sum(found) > 20
    for box, polygon, hits in zip(boxes, polygons, found, strict=True):
        pairs = overlaps(as_shapes(box), as_shapes(polygon))
        order = hits_in_order(pairs, len(box))
        assert len(match(box, polygon)) == order.sum() == hits
        for first in range(len(box)):
            assert order[:first].sum() == largest_matching(box[:first], polygon)
    counts = count([np.c_[box.reshape(-1, 8), np.ones(len(box))] for box in boxes], pad([list(p) for p in polygons]))
    assert counts == (sum(found), sum(map(len, boxes)), sum(map(len, polygons)))
    precision, recall = sum(found) / counts.boxes, sum(found) / counts.polygons
    assert counts.hmean == pytest.approx(2 * precision * recall / (precision + recall))


def test_touching_duplicate_and_absent_boxes() -> None:
    right = SQUARE + 0.2 * RIGHT
    boxes = np.array([SQUARE, SQUARE, right]).reshape(3, 8)
    assert count([boxes], pad([[SQUARE, right]])) == (2, 3, 2)
    assert count([boxes[:0]], pad([[SQUARE]])) == (0, 0, 1)
    assert count([boxes[:1]], pad([[]])) == (0, 1, 0)
    empty = count([boxes[:0]], pad([[]]))
    assert (empty.precision, empty.recall, empty.hmean) == (0.0, 0.0, 0.0)
    half = SQUARE + 0.1 * RIGHT  # IoU 1/3
    assert not match(SQUARE[None], [half])
    third = SQUARE * (1.0, 1.0)
    third[[2, 3], 1] = 0.5  # IoU exactly .5 is not more than .5
    assert not match(SQUARE[None], [third])


def test_flat_and_crossing_boxes_find_nothing_and_break_nothing() -> None:
    flat = np.array([[0.1, 0.1], [0.3, 0.1], [0.3, 0.1], [0.1, 0.1]])
    crossing = SQUARE[[0, 2, 1, 3]]
    assert count([np.array([flat, crossing]).reshape(2, 8)], pad([[SQUARE]])) == (1, 2, 1)


def noisy_maps(images: int, size: tuple[int, int] = (96, 160)) -> tuple[np.ndarray, np.ndarray]:
    """Maps as a fair network gives them, of some lines of text, and the targets; one image has no text."""
    rng = np.random.default_rng(0)
    polygons = []
    for _ in range(images):
        tops = 0.05 + 0.19 * np.arange(5)[rng.random(5) < 0.8]
        lefts, widths = rng.uniform(0.02, 0.3, len(tops)), rng.uniform(0.2, 0.65, len(tops))
        polygons.append(
            [
                np.array([[x, y], [x + w, y], [x + w, y + 0.13], [x, y + 0.13]])
                for x, y, w in zip(lefts, tops, widths, strict=True)
            ]
        )
    polygons[0] = []
    targets = pad(polygons)
    faint = rng.uniform(0.35, 1.0, (images, size[0] // 16, size[1] // 32)).repeat(16, axis=1).repeat(32, axis=2)
    maps = np.stack([draw_text(target, size) for target in targets]) * faint
    maps += rng.uniform(0, 0.3, maps.shape)
    return (np.rint(maps.clip(0, 1) * 255) / 255).astype(np.float16), targets


def test_the_sweep_equals_one_setting_after_the_other() -> None:
    maps, targets = noisy_maps(3)
    grid = Grid((0.2, 0.4), (0.0, 0.55, 0.7, 1.0), (1, 3, 1000), ("exact", 3.0))
    counted = sweep(maps, targets, grid).reshape(3, -1)
    assert len(set(counted[0].tolist())) >= 4
    for column, settings in zip(counted.T, grid.settings(), strict=True):
        assert tuple(column) == count([find_boxes(each, settings) for each in maps], targets), settings


def test_the_best_is_the_best_and_of_equals_the_nearest_to_the_default() -> None:
    maps, targets = noisy_maps(2)
    counted = sweep(maps, targets)
    for metric in ("hmean", "precision", "recall"):
        chosen = best_settings(counted, DEFAULT_GRID, metric, BoxSettings())
        value = getattr(count([find_boxes(each, chosen) for each in maps], targets), metric)
        values = [getattr(Counts(*column), metric) for column in counted.reshape(3, -1).T.tolist()]
        assert value == pytest.approx(max(values))
    assert best_settings(np.ones_like(counted), DEFAULT_GRID, "hmean", BoxSettings()) == BoxSettings()


def test_a_memo_gives_what_would_be_computed() -> None:
    maps, targets = noisy_maps(3)
    memo: ArrayMemo[np.ndarray] = ArrayMemo(2)
    for _ in range(2):
        for place in (0, 1, 1, 2):
            grid = Grid((0.3,), (0.5, 0.7), (1000,), ("exact",))
            counted = sweep(maps[[place]], targets[[place]], grid, memo)
            assert np.array_equal(counted[:2], curves(maps[place], targets[place], grid))


def test_the_loss_falls_where_the_map_is_right() -> None:
    maps, targets = noisy_maps(3)
    right = np.stack([draw_text(target, (96, 160)) for target in targets])
    assert map_loss(right, targets) < map_loss(maps, targets) < map_loss(1 - right, targets)
    assert map_loss(np.full_like(right, 0.5), targets) == pytest.approx(np.log(2))


def boxed(quad: np.ndarray, score: float) -> np.ndarray:
    return np.append(quad.ravel(), score)


def test_a_vote_counts_distinct_members_and_weighs_corners_by_score() -> None:
    shifted, far = SQUARE + 0.01 * RIGHT, SQUARE + 0.5
    members = [
        np.array([boxed(SQUARE, 0.9), boxed(SQUARE + 0.005, 0.8)]),  # twice the same text: one vote
        np.array([boxed(shifted, 0.6)]),
        np.array([boxed(far, 0.7)]),
    ]
    assert len(vote_boxes(members, 1)) == 3
    kept = vote_boxes(members, 2)
    assert len(kept) == 1
    assert kept[0, :8].reshape(4, 2) == pytest.approx((0.9 * SQUARE + 0.6 * shifted) / 1.5)
    assert kept[0, 8] == pytest.approx(0.75)
    assert len(vote_boxes(members, 3)) == 0
    assert np.array_equal(vote_boxes(members), kept)  # more than half by default
    assert vote_boxes([np.zeros((0, 9))] * 3).shape == (0, 9)


def test_a_vote_does_not_depend_on_the_order_of_members_or_boxes() -> None:
    rng = np.random.default_rng(1)
    members = [in_order(np.c_[random_quads(rng, 6).reshape(-1, 8), rng.uniform(0.5, 1, 6)]) for _ in range(4)]
    expected = vote_boxes(members, 2)
    assert len(expected) > 1
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        again = vote_boxes([members[place][rng.permutation(6)] for place in order], 2)
        assert np.array_equal(again, expected)
