"""Batches in parts: the same gradient as whole ones, and an end with a reason where nothing fits."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foldtune.errors import TrialFailed
from foldtune.trainers.fitting.epoch import batch_gradient
from foldtune.trainers.fitting.fit import Fit, FoldData
from foldtune.trainers.parallel.microbatch import MicroBatches, is_out_of_memory, slices


@given(batch=st.integers(1, 200), size=st.integers(1, 200), min_rows=st.integers(1, 2))
def test_slices_cover_the_batch_in_order_and_keep_to_their_bounds(batch: int, size: int, min_rows: int) -> None:
    parts = list(slices(batch, size, min_rows))
    lengths = [part.stop - part.start for part in parts]
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(batch))
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= min(min_rows, batch)
    if min_rows == 1:
        assert max(lengths) <= size


def test_the_cpu_allocator_s_own_failure_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_batch_is_redone_in_halves_and_the_size_stays_down() -> None:
    sizes: list[int] = []
    undone = []

    def part(rows: slice) -> torch.Tensor:
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("no room")
        return torch.tensor(float(sizes[-1]))

    micro = MicroBatches(16)
    assert micro.run(16, part, lambda: undone.append(len(sizes))) == 16
    assert micro.size == 2
    assert sizes == [16, 8, 4] + [2] * 8
    assert undone == [1, 2, 3]
    assert micro.run(5, part, undone.clear) == 5
    assert sizes[-3:] == [1, 2, 2]


def test_other_errors_pass_through() -> None:
    def part(rows: slice) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        MicroBatches(4).run(4, part, lambda: None)


def limit_memory(fit: Fit, images: int) -> None:
    """Let the model of `fit` run out of memory on more than `images` images in training."""

    def refuse(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if module.training and len(inputs[0]) > images:
            raise torch.OutOfMemoryError(f"no room for {len(inputs[0])} images")

    fit._learner.model.register_forward_pre_hook(refuse)


def test_gradients_of_parts_add_up_to_that_of_the_batch(start: Callable[..., Fit]) -> None:
    plain = {"model_name": "test_vit", "loss": {"name": "class_balanced", "gamma": 1.0}, "amp": "off"}
    gradients = []
    for limit in (12, 3):
        fit = start(batch_size=12, **plain)
        limit_memory(fit, limit)
        images, targets, _ = next(iter(fit._trainer.batches.epoch(1)))
        loss = batch_gradient(fit._learner, images, targets, len(images))
        gradients.append((loss, [p.grad.clone() for p in fit._learner.model.parameters()]))
        assert fit._learner.micro.size == limit
    (whole_loss, whole), (split_loss, split) = gradients
    assert float(whole_loss) == pytest.approx(float(split_loss), abs=1e-6)
    for expected, got in zip(whole, split, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-4)


def test_what_a_broken_off_attempt_has_added_is_forgotten(start: Callable[..., Fit]) -> None:
    gradients = []
    for fail_at in (None, 2):
        fit = start(batch_size=12, model_name="test_vit")
        learner = fit._learner
        learner.micro.size = 6
        calls = itertools.count(1)

        def refuse(*_: object, fail_at: int | None = fail_at, calls: itertools.count[int] = calls) -> None:
            if next(calls) == fail_at:
                raise torch.OutOfMemoryError("no room for the second half")

        learner.model.register_forward_pre_hook(refuse)
        images, targets, _ = next(iter(fit._trainer.batches.epoch(1)))
        batch_gradient(learner, images, targets, len(images))
        gradients.append([p.grad.clone() for p in learner.model.parameters()])
    for expected, got in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-4)


def test_a_training_goes_on_in_smaller_parts_and_reports_it(start: Callable[..., Fit]) -> None:
    whole, split = start(model_name="test_vit"), start(model_name="test_vit")
    limit_memory(split, 3)
    first, second = whole.step(), split.step()
    assert (first.micro_batch_size, second.micro_batch_size) == (8, 2)
    assert second.metrics["train_loss"] == pytest.approx(first.metrics["train_loss"], abs=1e-4)


@pytest.mark.parametrize(
    ("model_name", "min_rows"), [("test_vit", 1), pytest.param("test_resnet", 2, marks=pytest.mark.slow)]
)
def test_no_room_for_the_smallest_part_ends_the_trial(
    model_name: str, min_rows: int, start: Callable[..., Fit]
) -> None:
    fit = start(model_name=model_name)
    limit_memory(fit, min_rows - 1)
    with pytest.raises(TrialFailed, match=f"out of memory at micro-batch {min_rows}"):
        fit.step()


def test_parts_never_leave_batch_norm_a_single_image(
    start: Callable[..., Fit], make_fold: Callable[..., FoldData]
) -> None:
    sizes: list[int] = []
    fit = start(batch_size=10, data=make_fold(17, 4))
    limit_memory(fit, 3)
    fit._learner.model.conv1.register_forward_hook(lambda module, inputs, _: sizes.append(len(inputs[0])))
    fit.step()
    assert sizes[:7] == [2, 2, 2, 2, 2, 2, 2]  # 10 rows in parts of 2, then 7 as 2, 2 and …
    assert sizes[7] == 3
