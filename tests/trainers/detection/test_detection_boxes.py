"""Shrinking, drawing, growing: a text's box comes back from the map that is learnt of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely

from foldtune.trainers.detection.polygons import (
    EXACT,
    SHRINK_RATIO,
    canonical,
    corners,
    grow_distance,
    pad,
    shrink_distance,
)
from foldtune.trainers.detection.postprocess import BoxSettings, check_box_settings, find_boxes, find_regions
from foldtune.trainers.detection.targets import MAX_THRESHOLD, MIN_THRESHOLD, draw_maps, draw_text

Q = 1 - SHRINK_RATIO**2


def test_exact_growth_has_the_figures_of_the_reference() -> None:
    width, height = 86.0, 6.0  # of a text of 100 x 20, which is shrunk by 7
    assert shrink_distance(100 * 20, 240) == pytest.approx(7.0)
    assert grow_distance(np.array([[width, height]]), EXACT) == pytest.approx([7.0])
    # The fixed ratio that would undo the shrinking depends on the form.
    for sides, ratio in {(100.0, 20.0): 2.50, (300.0, 20.0): 3.76, (50.0, 50.0): 1.45}.items():
        inner = np.array([sides]) - 2 * shrink_distance(sides[0] * sides[1], 2 * sum(sides))
        assert grow_distance(inner, ratio) == pytest.approx(grow_distance(inner, EXACT), rel=0.01)


@pytest.mark.parametrize("form", [4, 6, 8, 10, 13, 16, 20])
@pytest.mark.parametrize("angle", [0, 17, 45, 80])
def test_shrinking_and_exact_growth_undo_each_other(form: int, angle: float) -> None:
    width, height = 30.0 * form, 30.0
    quad = corners(np.array([[400.0, 400.0]]), np.array([[width, height]]), np.array([angle]))[0]
    text = shapely.Polygon(quad)
    inner = text.buffer(-shrink_distance(text.area, text.length), join_style="mitre")
    (x, y), sides, turned = cv2.minAreaRect(np.array(inner.exterior.coords, dtype=np.float32))
    grown = np.array([sides]) + 2 * grow_distance(np.array([sides]), EXACT)[:, None]
    back = shapely.Polygon(corners(np.array([[x, y]]), grown, np.array([turned]))[0])
    assert back.intersection(text).area / back.union(text).area >= 0.999


@pytest.mark.parametrize("form", [4, 6, 8, 10, 13, 16, 20])
def test_a_drawn_text_comes_back_from_its_map(form: int) -> None:
    size, height = (300, 2100), 96.0
    left, top = 60.0, 90.0
    quad = np.array(
        [[left, top], [left + form * height, top], [left + form * height, top + height], [left, top + height]]
    )
    target = pad([[quad / (size[1], size[0])]])[0]
    found = find_boxes(draw_text(target, size), BoxSettings())
    assert found.shape == (1, 9)
    back, text = shapely.Polygon(found[0, :8].reshape(4, 2) * (size[1], size[0])), shapely.Polygon(quad)
    assert back.intersection(text).area / back.union(text).area >= 0.95
    assert found[0, 8] == 1.0


def test_corners_stand_in_one_order_however_they_are_given() -> None:
    quad = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 1.0], [0.0, 1.0]])
    given = np.stack([np.roll(quad, turn, axis=0)[::way] for turn in range(4) for way in (1, -1)])
    assert (canonical(given) == quad).all()
    assert canonical(canonical(given)).tolist() == canonical(given).tolist()
    assert canonical(np.zeros((0, 4, 2))).shape == (0, 4, 2)
    diamond = np.array([[[2.0, 0.0], [4.0, 2.0], [2.0, 4.0], [0.0, 2.0]]])
    assert canonical(diamond)[0, 0].tolist() == [0.0, 2.0]  # of two with the same x + y, the left one


def test_maps_of_text_of_the_loss_mask_and_of_borders() -> None:
    thick, thin = [[10, 10], [90, 10], [90, 30], [10, 30]], [[10, 50], [90, 50], [90, 55], [10, 55]]
    target = pad([[np.array(each, dtype=float) / (100, 80) for each in (thick, thin)]])[0]
    maps = draw_maps(target, (80, 100))
    distance = shrink_distance(80 * 20, 200)
    assert maps.text.sum() == pytest.approx((80 - 2 * distance) * (20 - 2 * distance), rel=0.3)
    assert maps.text[20, 50] == 1
    assert maps.text[50:56].sum() == 0
    assert (maps.counted[50:55, 10:90] == 0).all()
    assert maps.counted[:45].all()
    assert maps.threshold[10, 50] == pytest.approx(MAX_THRESHOLD, abs=0.03)
    assert maps.threshold[20, 50] == pytest.approx(MIN_THRESHOLD)
    assert maps.border[10, 50] == 1
    assert maps.border[20, 50] == maps.border[70, 50] == 0
    assert MIN_THRESHOLD - 1e-6 <= maps.threshold.min() <= maps.threshold.max() <= MAX_THRESHOLD + 1e-6


def test_text_that_reaches_out_of_a_crop_or_is_one_pixel_is_drawn_all_the_same() -> None:
    beyond = np.array([[[-0.5, 0.4], [1.5, 0.4], [1.5, 0.6], [-0.5, 0.6]]])
    maps = draw_maps(beyond, (100, 100))
    assert (maps.text[50] == 1).all()
    assert (maps.border[[40, 59]] == 1).all()
    pixel = np.array([[[0.5, 0.5], [0.51, 0.5], [0.51, 0.51], [0.5, 0.51]]])
    assert draw_maps(pixel, (100, 100)).text.sum() == 0
    outside = np.array([[[1.2, 0.4], [1.5, 0.4], [1.5, 0.6], [1.2, 0.6]]])
    assert draw_maps(outside, (100, 100)).text.sum() == 0


def test_no_text_gives_maps_of_no_text_and_no_boxes() -> None:
    target = pad([[]])[0]
    maps = draw_maps(target, (32, 48))
    assert maps.text.sum() == maps.border.sum() == 0
    assert maps.counted.all()
    for flat in (0.0, 1.0):
        boxes = find_boxes(np.full((32, 48), flat, dtype=np.float16), BoxSettings())
        assert boxes.shape == (int(flat), 9)


def page(lines: int) -> np.ndarray:
    """A map with lines of text, fainter towards the top."""
    probabilities = np.zeros((20 * lines + 10, 200), dtype=np.float32)
    for line in range(lines):
        probabilities[20 * line + 8 : 20 * line + 12, 20:180] = 0.55 + 0.4 * line / lines
    return probabilities


def test_the_most_candidates_are_those_with_the_best_scores_wherever_they_stand() -> None:
    probabilities = page(20)
    for way in (1, -1):
        scores = [boxes[8] for boxes in find_boxes(probabilities[::way], BoxSettings(max_candidates=7))]
        every = find_boxes(probabilities[::way], BoxSettings(box_thresh=0.0))[:, 8]
        assert scores == every[:7].tolist()
        assert scores[0] == pytest.approx(0.93)


def test_a_score_is_the_mean_of_a_regions_own_pixels_and_a_hole_is_no_region() -> None:
    probabilities = np.zeros((40, 60), dtype=np.float32)
    probabilities[5:30, 5:50] = 0.8
    probabilities[5, 5:50] = 0.4
    probabilities[12:20, 15:40] = 0.1
    probabilities[15:17, 25:30] = 0.9  # an island in the hole
    regions = find_regions(probabilities, 0.3)
    ring = probabilities > 0.3
    ring[15:17, 25:30] = False
    assert regions.scores == pytest.approx([0.9, probabilities[ring].mean()])


def test_boxes_that_stay_too_thin_are_dropped_and_boxes_stay_in_the_image() -> None:
    probabilities = np.zeros((40, 60), dtype=np.float32)
    probabilities[10, 10] = 1.0  # one pixel
    probabilities[20:30, :] = 1.0  # from edge to edge
    boxes = find_boxes(probabilities, BoxSettings())
    assert len(boxes) == 1
    assert boxes[0, [0, 2, 4, 6]].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert len(find_boxes(probabilities, BoxSettings(unclip_ratio=8.0))) == 2  # a pixel grows by 2 on each side


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"thresh": 1.0}, "must be a number >= 0 and < 1"),
        ({"box_thresh": "high"}, "must be a number >= 0 and <= 1"),
        ({"max_candidates": 0}, "must be an integer >= 1"),
        ({"max_candidates": 10.5}, "must be an integer >= 1"),
        ({"unclip_ratio": "exakt"}, r"must be a number >= 0 and <= 20.*\(or exact\)"),
        ({"threshold": 0.3}, "unknown post-processing 'threshold'; did you mean 'thresh'"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_valid(given: dict[str, object], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        raise AssertionError("; ".join(problem.message for problem in check_box_settings(given)))


def test_settings_as_a_command_line_gives_them_are_understood() -> None:
    given = {"thresh": 0.25, "max_candidates": 300.0, "unclip_ratio": EXACT}
    assert check_box_settings(given) == []
    assert BoxSettings.of(given) == BoxSettings(0.25, 0.6, 300, EXACT)
    assert BoxSettings.of(None).to_dict()["box_thresh"] == 0.6
