"""Padding, pooling, resampling, sampling and blocks of random shapes beside PyTorch's, with gradients."""

from typing import Any

import numpy as np
import pytest

import lampas

torch = pytest.importorskip("torch")


def both(text: str, arrays: list[np.ndarray], **names: Any) -> None:
    """The same expression in both libraries: results, and gradients of a weighted sum of the first."""
    found: list[list[np.ndarray | None]] = []
    for library in (lampas, torch):
        inputs = [library.tensor(array).requires_grad_() for array in arrays]
        scope = {"F": library.nn.functional, **dict(zip("xy", inputs, strict=False)), **names}
        made = eval(text, scope)
        results = list(made) if isinstance(made, tuple) else [made]
        weights = np.random.default_rng(0).standard_normal(tuple(results[0].shape))
        (results[0] * library.tensor(weights)).sum().backward()
        found.append([value.detach().numpy() for value in results])
        found[-1] += [None if x.grad is None else x.grad.numpy() for x in inputs]
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_allclose(mine, expected, 1e-9, 1e-11, err_msg=f"{text} {names}")


def sizes(numbers: np.random.Generator, low: int, high: int, count: int) -> tuple[int, ...]:
    return tuple(int(n) for n in numbers.integers(low, high, count))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_padding(mode: str, rank: int) -> None:
    numbers = np.random.default_rng(rank)
    for _ in range(6):
        shape = sizes(numbers, 3, 6, rank + 2)
        amounts = list(sizes(numbers, -1 if mode != "circular" else 0, 3, 2 * rank))
        both(
            "F.pad(x, amounts, mode)", [numbers.standard_normal(shape)], amounts=amounts, mode=mode
        )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_adaptive_pooling(rank: int) -> None:
    numbers = np.random.default_rng(rank)
    for _ in range(6):
        shape = sizes(numbers, 1, (14, 9, 6)[rank - 1], rank + 2)
        counts = sizes(numbers, 1, 9, rank)
        # Many equal values: the first of them is the place of the maximum.
        x = numbers.integers(-3, 4, shape).astype(np.float64)
        both(f"F.adaptive_avg_pool{rank}d(x, counts)", [x], counts=counts)
        both(f"F.adaptive_max_pool{rank}d(x, counts, True)", [x], counts=counts)


def test_adaptive_pooling_keeps_infinities_in_their_windows() -> None:
    x = np.zeros((1, 1, 7, 5))
    x[0, 0, 6, 4] = np.inf
    x[0, 0, 0, 0] = np.nan
    for name in ("avg", "max"):
        ours = eval(
            f"F.adaptive_{name}_pool2d(x, 3)", {"F": lampas.nn.functional, "x": lampas.tensor(x)}
        )
        theirs = eval(
            f"F.adaptive_{name}_pool2d(x, 3)", {"F": torch.nn.functional, "x": torch.tensor(x)}
        )
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("call", ["adaptive_avg_pool2d", "adaptive_max_pool2d"])
def test_adaptive_pooling_takes_no_integers(call: str) -> None:
    for library in (lampas, torch):
        with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
            getattr(library.nn.functional, call)(library.ones(1, 1, 4, 4).long(), 3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_average_pooling(rank: int) -> None:
    numbers = np.random.default_rng(rank)
    for number in range(8):
        kernel, stride = sizes(numbers, 1, 4, rank), sizes(numbers, 1, 4, rank)
        padding = tuple(int(numbers.integers(0, k // 2 + 1)) for k in kernel)
        x = numbers.standard_normal(sizes(numbers, 4, 9, rank + 2))
        names = {"k": kernel, "s": stride, "p": padding, "up": number % 2, "all": number % 3 > 0}
        both(f"F.avg_pool{rank}d(x, k, s, p, bool(up), all)", [x], **names)


@pytest.mark.parametrize(
    ("mode", "shape", "outputs"),
    [
        ("nearest", (2, 3, 7), [3, 14, 200]),
        ("nearest-exact", (1, 2, 5, 6), [(3, 9), (5, 12), (60, 6)]),
        ("bilinear", (1, 2, 5, 6), [(3, 9), (60, 4), (5, 200)]),
        ("bicubic", (1, 2, 5, 6), [(3, 9), (60, 4)]),
        ("trilinear", (1, 2, 3, 4, 5), [(5, 2, 9)]),
        ("area", (1, 2, 7, 6), [(3, 4), (9, 2)]),
    ],
)
def test_interpolation(mode: str, shape: tuple[int, ...], outputs: list[Any]) -> None:
    x = np.random.default_rng(1).standard_normal(shape)
    for size in outputs:
        both("F.interpolate(x, size, mode=mode)", [x], size=size, mode=mode)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
# Few sources a result, and more than one kernel adds up. (PyTorch repeats a row where one column is asked for.)
@pytest.mark.parametrize("size", [(4, 9), (7, 2), (40, 30), (2, 3)])
def test_antialiased_interpolation(mode: str, size: tuple[int, int]) -> None:
    x = np.random.default_rng(2).standard_normal((2, 2, 61, 17))
    for aligned in (True, False):
        both(
            "F.interpolate(x, size, mode=mode, antialias=True, align_corners=aligned)",
            [x], size=size, mode=mode, aligned=aligned,
        )  # fmt: skip


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [True, False])
def test_grid_sample(mode: str, padding: str, aligned: bool) -> None:
    numbers = np.random.default_rng(3)
    for rank in (2, 3) if mode != "bicubic" else (2,):
        x = numbers.standard_normal((2, 3, *sizes(numbers, 1, 6, rank)))
        grid = numbers.standard_normal((2, *sizes(numbers, 1, 5, rank), rank)) * 1.5
        both(
            "F.grid_sample(x, y, mode, padding, aligned)",
            [x, grid], mode=mode, padding=padding, aligned=aligned,
        )  # fmt: skip


@pytest.mark.parametrize("size", [(2, 1, 3, 4), (2, 1, 2, 3, 4)])
@pytest.mark.parametrize("aligned", [True, False])
def test_affine_grid(size: tuple[int, ...], aligned: bool) -> None:
    rank = len(size) - 2
    theta = np.random.default_rng(4).standard_normal((2, rank, rank + 1))
    both("F.affine_grid(x, size, aligned)", [theta], size=size, aligned=aligned)


@pytest.mark.parametrize("seed", range(12))
def test_blocks(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    kernel, dilation = sizes(numbers, 1, 4, 2), sizes(numbers, 1, 3, 2)
    padding, stride = sizes(numbers, 0, 3, 2), sizes(numbers, 1, 4, 2)
    if seed % 3 == 0:
        dilation, stride = (1, 1), kernel
    plane = sizes(numbers, 6, 10, 2)
    names = {"k": kernel, "d": dilation, "p": padding, "s": stride}
    x = numbers.standard_normal((2, 3, *plane))
    both("F.unfold(x, k, d, p, s)", [x], **names)
    columns = torch.nn.functional.unfold(torch.tensor(x), kernel, dilation, padding, stride)
    both("F.fold(x, plane, k, d, p, s)", [columns.numpy()], plane=plane, **names)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_pair_distances(p: float) -> None:
    both("F.pdist(x, p)", [np.random.default_rng(5).standard_normal((7, 3))], p=p)
