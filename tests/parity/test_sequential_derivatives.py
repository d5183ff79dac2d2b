"""Losses, pools and scans that run along a dimension beside PyTorch: values, gradients, second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lampas

torch = pytest.importorskip("torch")

Array = np.ndarray[Any, Any]
SCANS = ("cumprod", "logcumsumexp")


def weights_like(library: Any, value: Any) -> Any:
    numbers = np.cos(np.arange(value.numel())).reshape(tuple(value.shape))
    return library.tensor(numbers).to(value.dtype)


def scanned(library: Any, name: str, array: Array, dim: int) -> list[Array]:
    x = library.tensor(array).requires_grad_()
    y = getattr(x, name)(dim)
    total = y * weights_like(library, y)
    if array.dtype.kind == "c":
        total = total.real + 2 * total.imag
    (first,) = library.autograd.grad(total.sum(), x, create_graph=True)
    powers = first.real**2 + first.imag**3 if array.dtype.kind == "c" else first * first
    (second,) = library.autograd.grad(powers.sum(), x)
    return [each.detach().resolve_conj().numpy() for each in (y, first, second)]


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("zeros", [0.0, 0.3])
@pytest.mark.parametrize(("shape", "dim"), [((40, 130), 1), ((130, 40), 0), ((3, 11, 5), 1)])
@pytest.mark.parametrize("kind", [np.float64, np.complex128])
def test_scans(name: str, zeros: float, shape: tuple[int, ...], dim: int, kind: Any) -> None:
    """Compiled and small ones; zeros before and behind others are exact."""
    generator = np.random.default_rng(3)
    array = generator.normal(size=shape).astype(kind)
    array = array * np.exp(1j * array) if kind is np.complex128 else array
    array[generator.random(shape) < zeros] = 0
    found, wanted = (scanned(library, name, array, dim) for library in (lampas, torch))
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-9, 1e-10 * (1 + abs(theirs).max()))


def test_cumprod_of_wide_range() -> None:
    """Products that vanish before factors that would overflow without them."""
    array = np.concatenate([np.full(3000, 0.5), np.full(3000, 3.0)])[None]
    for ours, theirs in zip(
        *(scanned(library, "cumprod", array, 1)[:2] for library in (lampas, torch)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, 1e-9)


def aligned(library: Any, case: dict[str, Any], **options: Any) -> list[Array]:
    x = library.tensor(case["scores"]).requires_grad_()
    lengths = [library.tensor(case[name]) for name in ("times", "sizes")]
    losses = library.nn.functional.ctc_loss(
        x.log_softmax(2), library.tensor(case["labels"]), *lengths, **options
    )
    (losses * weights_like(library, losses)).sum().backward()
    return [losses.detach().numpy(), x.grad.numpy()]


def alignment_case(steps: int, batch: int, classes: int, longest: int) -> dict[str, Any]:
    generator = np.random.default_rng(steps)
    times, sizes = (
        generator.integers(0, steps + 1, batch),
        generator.integers(0, longest + 1, batch),
    )
    times[0], sizes[0] = steps, longest
    sizes[1] = 0
    return {
        "scores": generator.normal(size=(steps, batch, classes)) * 3,
        "labels": generator.integers(1, classes, (batch, longest)),
        "times": times,
        "sizes": sizes,
    }


@pytest.mark.parametrize("sizes", [(6, 3, 4, 2), (7, 12, 3, 5), (60, 9, 12, 15), (20, 40, 5, 8)])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("joined", [False, True])
def test_ctc_loss(sizes: Any, reduction: str, zero_infinity: bool, joined: bool) -> None:
    """Short and empty sequences and targets, repeated labels, and alignments that do not fit."""
    case = alignment_case(*sizes)
    if joined:
        rows = zip(case["labels"], case["sizes"], strict=True)
        case["labels"] = np.concatenate([row[:size] for row, size in rows])
    options = {"reduction": reduction, "zero_infinity": zero_infinity}
    found, wanted = (aligned(library, case, **options) for library in (lampas, torch))
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-8, 1e-10)


def test_ctc_loss_of_floats_and_another_blank() -> None:
    case = alignment_case(50, 10, 8, 12)
    case["scores"] = case["scores"].astype(np.float32)
    case["labels"] -= 1
    options = {"blank": 7, "reduction": "none", "zero_infinity": True}
    found, wanted = (aligned(library, case, **options) for library in (lampas, torch))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, 1e-4, 1e-4)


@pytest.mark.parametrize(
    ("labels", "times", "sizes"),
    [
        ([[1, 2], [2, 1]], [6, 7], [2, 1]),
        ([[1, 2], [2, 1]], [6, 5], [2, 3]),
        ([[1, 2], [2, 1]], [6, -1], [2, 1]),
        ([[1, 2], [2, 1]], [6, 5], [2, -1]),
        ([[1, 2], [2, 1]], [6], [2, 1]),
        ([1, 2, 3], [6, 5], [2, 2]),
        ([[[1, 2], [2, 1]]], [6, 5], [2, 2]),
    ],
)
def test_ctc_loss_refuses(labels: Any, times: Any, sizes: Any) -> None:
    phrases = []
    for library in (lampas, torch):
        scores = library.zeros(6, 2, 4)
        with pytest.raises(RuntimeError) as caught:
            library.nn.functional.ctc_loss(scores, library.tensor(labels), times, sizes)
        phrases.append(str(caught.value).partition(" (while")[0])
    assert phrases[0].partition(" for argument")[0] == phrases[1].partition(" for argument")[0]


POOLS = [
    ((3, 4, 28, 28), 2, (14, 14)),
    ((4, 28, 31), (3, 2), (9, 13)),
    ((2, 3, 9, 7), (2, 3), (1, 4)),
    ((2, 3, 9, 8, 10), 2, (4, 5, 3)),
    ((3, 9, 8, 10), (1, 2, 3), (4, 1, 3)),
]


@pytest.mark.parametrize(("shape", "kernel", "counts"), POOLS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_fractional_max_pool(shape: Any, kernel: Any, counts: Any, kind: Any) -> None:
    """Equal elements and NaN are chosen as PyTorch does, from windows that start as its do."""
    generator = np.random.default_rng(len(shape))
    array = generator.normal(size=shape).round(1).astype(kind)
    array.reshape(-1)[::17] = np.nan
    rank = len(counts)
    planes = shape[:2] if len(shape) == rank + 2 else (1, shape[0])
    samples = generator.random((*planes, rank)).astype(kind)
    results = []
    for library in (lampas, torch):
        x = library.tensor(array).requires_grad_()
        pool = getattr(library.nn.functional, f"fractional_max_pool{rank}d")
        given = {"output_size": counts, "_random_samples": library.tensor(samples)}
        values, index = pool(x, kernel, return_indices=True, **given)
        (values * weights_like(library, values)).sum().backward()
        results.append([values.detach().numpy(), index.numpy(), x.grad.numpy()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-6, 1e-7)


@pytest.mark.parametrize("shape", [(2, 3, 9, 8), (3, 9, 8)])
def test_fractional_max_pool_takes_the_first_of_more_samples(shape: Any) -> None:
    array = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    samples = np.random.default_rng(2).random((4, 3, 2)).astype(np.float32)
    results = []
    for library in (lampas, torch):
        given = {"output_size": (4, 3), "_random_samples": library.tensor(samples)}
        pool = library.nn.functional.fractional_max_pool2d
        results.append(pool(library.tensor(array), 2, **given).numpy())
    np.testing.assert_array_equal(*results)


BAGS: list[tuple[Any, Any, dict[str, Any]]] = [
    (np.arange(35).reshape(5, 7) * 7 % 20, None, {}),
    (np.arange(35).reshape(5, 7) % 3, None, {"padding_idx": 1}),
    (np.ones((3, 4), np.int64), None, {"padding_idx": 1}),
    (np.arange(30) * 11 % 20, [0, 0, 4, 4, 17, 30], {}),
    (np.arange(30) * 11 % 20, [0, 5, 9], {"padding_idx": -3}),
    (np.arange(30) * 11 % 20, [0, 5, 9, 30], {"include_last_offset": True}),
    (np.zeros(0, np.int64), [0, 0], {}),
]


@pytest.mark.parametrize(("indices", "offsets", "options"), BAGS)
def test_largest_of_bags(indices: Any, offsets: Any, options: Any) -> None:
    table = np.random.default_rng(0).normal(size=(20, 6)).round(1)
    results = []
    for library in (lampas, torch):
        weight = library.tensor(table).requires_grad_()
        starts = None if offsets is None else library.tensor(offsets)
        found = library.nn.functional.embedding_bag(
            library.tensor(indices), weight, starts, mode="max", **options
        )
        (found * weights_like(library, found)).sum().backward()
        results.append([found.detach().numpy(), weight.grad.numpy()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 7, 3, 4), (1, 3, 2, 3, 4)])
def test_local_response_norm(size: int, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(size).normal(size=shape) * 3
    results = []
    for library in (lampas, torch):
        x = library.tensor(array).requires_grad_()
        y = library.nn.functional.local_response_norm(x, size, 0.3, 0.6, 1.5)
        (first,) = library.autograd.grad((y * y).sum(), x, create_graph=True)
        (second,) = library.autograd.grad((first * first).sum(), x)
        results.append([each.detach().numpy() for each in (y, first, second)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-9, 1e-9)


@pytest.mark.parametrize("shape", [(4, 7), (7,), (30, 200), (1, 1)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_multilabel_margin_loss(shape: tuple[int, ...], kind: Any) -> None:
    """Repeated labels, rows without any and rows that list all."""
    generator = np.random.default_rng(1)
    array = generator.normal(size=shape).astype(kind)
    labels = generator.integers(0, shape[-1], shape)
    labels[generator.random(shape) < 1 / shape[-1]] = -1
    if shape[0] == 4:
        labels[0], labels[1, 0] = np.arange(shape[1]), -1
    results = []
    for library in (lampas, torch):
        x = library.tensor(array).requires_grad_()
        losses = library.nn.functional.multilabel_margin_loss(
            x, library.tensor(labels), reduction="none"
        )
        (losses * weights_like(library, losses)).sum().backward()
        results.append([losses.detach().numpy(), x.grad.numpy()])
    tolerance = 1e-5 if kind is np.float32 else 1e-12
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, tolerance, tolerance)


def test_multilabel_margin_loss_of_labels_that_are_no_classes() -> None:
    for library in (lampas, torch):
        with pytest.raises(RuntimeError, match="target' is out of range"):
            library.nn.functional.multilabel_margin_loss(
                library.zeros(1, 3), library.tensor([[1, 5, -1]])
            ).item()
