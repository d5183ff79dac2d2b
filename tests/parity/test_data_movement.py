"""Turns, windows, joins of parts, scattered writes, counts and pair distances beside PyTorch's, with gradients."""

from typing import Any

import numpy as np
import pytest

import lampas
from lampas.engine.settings import settings

torch = pytest.importorskip("torch")

DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int64", "bool")
SHAPES = ((3, 5), (37, 53), (2, 9, 70))


def evaluated(library: Any, text: str, arrays: list[np.ndarray], kind: str, stored: bool) -> Any:
    """The value of an expression of x, y and i (integers stay so), of leaves or of computed values."""
    given = []
    for array in arrays:
        x = library.from_numpy(array.copy())
        x = x if array.dtype == np.int64 else x.to(getattr(library, kind))
        given.append(x if stored else x.clone())
    scope = {"m": library, "F": library.nn.functional, **dict(zip("xyi", given, strict=False))}
    found = eval(text, scope)
    return found.float().numpy() if found.dtype is library.bfloat16 else found.numpy()


def compare(text: str, arrays: list[np.ndarray], kind: str = "float32") -> None:
    for stored in (True, False):
        mine, expected = (
            evaluated(library, text, arrays, kind, stored) for library in (lampas, torch)
        )
        assert mine.shape == expected.shape, text
        np.testing.assert_allclose(mine, expected, 1e-5, 1e-6, err_msg=f"{text} {kind} {stored}")


def numbers(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(shape) * 9).round()


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_turned_round(kind: str, shape: tuple[int, ...]) -> None:
    for text in (
        "x.flip(-1)",
        "x.flip(0, -1)",
        "x.flip(-1)[..., 1:].contiguous()",
        "x.flip(-1).sum(-1)",
        "x.flip(-1).sum(0)",
        "F.pad(x.flip(-1), (3, 2, 1, 4))",
        "m.rot90(x)",
        "m.rot90(x, 3, (-1, 0))",
        "m.rot90(x, 2)",
    ):
        if kind != "bool" or "pad" not in text:
            compare(text, [numbers(*shape)], kind)


@pytest.mark.parametrize("kind", DTYPES)
def test_windows_and_short_rows(kind: str) -> None:
    for text in (
        "x.unfold(1, 4, 2).contiguous()",
        "x.unfold(0, 3, 1).flip(2).contiguous()",
        "x[:, 5:8].contiguous()",
        "(x[:, 5:7] | x[:, :2])" if kind == "bool" else "(x[:, 5:7] + x[:, :2])",
    ):
        compare(text, [numbers(37, 53)], kind)


@pytest.mark.parametrize("amounts", [(1, 1), (3, -2), (0, 0, 2, 5), (2, 300, 1, -1), (40, 1)])
def test_constant_padding(amounts: tuple[int, ...]) -> None:
    for kind in DTYPES[:-1]:
        for text in (f"F.pad(x, {amounts})", f"F.pad(x.t(), {amounts}, value=2)"):
            compare(text, [numbers(19, 45)], kind)


@pytest.mark.parametrize("amounts", [(1, 1), (0, 3, 2, 0), (2, 2, 2, 2), (0, 0, 1, 1, 2, 0)])
@pytest.mark.parametrize("value", ["0", "3", "-float('inf')"])
def test_constant_padding_of_larger_values(amounts: tuple[int, ...], value: str) -> None:
    """Inside and edges are written apart; where something follows at once, they are not."""
    for text in (
        f"F.pad(x, {amounts}, value={value})",
        f"F.pad(x.transpose(0, 2), {amounts}, value={value})",
        f"F.pad(x * 2, {amounts}, value={value}) + 1",
        f"F.pad(x[1:, :, 2:-1], {amounts}, value={value})",
    ):
        compare(text, [numbers(6, 50, 70)])


def test_the_derivative_of_an_inside() -> None:
    found = []
    for library in (lampas, torch):
        x = library.from_numpy(numbers(200, 150)).requires_grad_()
        inside = x[1:-1, 2:-3]
        (inside * inside).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_array_equal(*found)


def test_joins_of_parts() -> None:
    """Parts that lie in equal steps are joined as one view; others are not taken for such."""
    for text in (
        "m.stack(x.unbind(0))",
        "m.stack(x.unbind(1), 1)",
        "m.stack(x.unbind(2), 0)",
        "m.stack(x.unbind(1)[1::2], 2)",
        "m.stack(x.unbind(0)[::-1])",
        "m.stack(x.transpose(0, 2).unbind(0), 1)",
        "m.stack([x[0], x[0], x[0]])",
        "m.stack([x[0], x[1], x[3]])",
        "m.stack(x.flatten().unbind()[3:50:4])",
        "m.stack([x[0], x[1].view(m.int32).view(m.float32)])",
        "m.cat(x.chunk(2, 1))",
        "m.cat(x.chunk(2, 1), 2)",
        "m.cat(x.split([3, 3, 4], 2), 2)",
        "m.cat(x.split([2, 2, 1, 1], 0))",
        "m.cat(x.split(7, 1), 1)",
        "m.cat([x[0, :, :3], x[0, :, 2:5]], 1)",
    ):
        compare(text, [numbers(6, 8, 10)])


def test_a_join_of_parts_is_a_value_of_its_own() -> None:
    x = lampas.from_numpy(numbers(6, 8).astype("f")) + 0
    before = x.tolist()
    joined = lampas.stack(x.unbind(0))
    x[0] = 5
    joined[1] = 7
    assert joined[0].tolist() == before[0]
    assert x[1].tolist() == before[1]
    parts = x.unbind(0)
    parts[3].fill_(4)
    assert (lampas.stack(parts)[3] == 4).all()
    shared = x.numpy()
    joined = lampas.stack(x.unbind(0))
    shared[:] = 3
    assert joined[1].tolist() == before[1]
    parts = (x + 0).unbind(0)
    parts[0].requires_grad_()
    assert lampas.stack(parts).requires_grad


@pytest.mark.parametrize("count", [3, 40, 301])
def test_the_derivative_of_many_parts(count: int) -> None:
    """Up to some hundred parts are joined, more are added up."""
    found = []
    for library in (lampas, torch):
        x = library.from_numpy(numbers(count, 9)).requires_grad_()
        total: Any = sum(part * n for n, part in enumerate(x.unbind(0)))
        (total * total).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(found[0], found[1], 1e-9)


@pytest.mark.parametrize("kind", [k for k in DTYPES if k != "bool"])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_scattered_writes(kind: str, dim: int) -> None:
    shape = (5, 12, 70)
    index = np.random.default_rng(1).integers(0, shape[dim], shape)
    arrays = [numbers(*shape) / 9, numbers(*shape) / 9, index]
    for text in (
        f"x.scatter_add({dim}, i, y)",
        f"x.scatter_reduce({dim}, i, y, 'amax')",
        f"x.scatter_reduce({dim}, i, y, 'amin')",
        f"x.scatter_add({dim}, i[:, :1].expand(5, 12, 70), y)",
        f"x.scatter_add({dim}, i[:1].expand(5, 12, 70), y)",
        f"x.gather({dim}, i)",
    ):
        few = text.endswith("y)") and kind in ("float16", "bfloat16")
        if not few:  # sums of halves are rounded in another order
            compare(text, arrays, kind)


def test_the_greatest_of_colliding_numbers_is_nan_if_one_is() -> None:
    x, y = np.zeros((2, 3), "f"), np.array([[1, np.nan, -1], [np.inf, 0.5, np.nan]], "f")
    compare("x.scatter_reduce(1, i, y, 'amax')", [x, y, np.array([[0, 0, 1], [2, 2, 1]])])


@pytest.mark.parametrize("tier", ["compiled", "reference"])
def test_counts(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "tier", tier)
    generator = np.random.default_rng(2)
    for count, high, least in ((0, 1, 5), (10, 5, 0), (20001, 9, 12), (40000, 70000, 0)):
        for kind in (np.int64, np.int32, np.uint8):
            x = generator.integers(0, min(high, np.iinfo(kind).max), count).astype(kind)
            mine, expected = (
                library.bincount(library.from_numpy(x), minlength=least).tolist()
                for library in (lampas, torch)
            )
            assert mine == expected
    for bad in (lampas.tensor([-1, 2]), lampas.zeros(2, 2, dtype=lampas.int64)):
        with pytest.raises(RuntimeError, match="1-d non-negative"):
            lampas.bincount(bad)


@pytest.mark.parametrize("shape", [(2, 1), (5, 3), (40, 33)])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_distances_of_pairs(shape: tuple[int, int], p: float) -> None:
    start = np.random.default_rng(3).standard_normal(shape)
    start[1] = start[0]
    weights = np.random.default_rng(4).standard_normal(shape[0] * (shape[0] - 1) // 2)
    found = []
    for library in (lampas, torch):
        x = library.from_numpy(start.copy()).requires_grad_()
        made = library.nn.functional.pdist(x, p)
        (made * library.from_numpy(weights)).sum().backward()
        found.append((made.detach().numpy(), x.grad.numpy()))
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_allclose(mine, expected, 1e-9, 1e-12)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True)])
def test_gradients_of_samples(mode: str, wanted: tuple[bool, bool]) -> None:
    generator = np.random.default_rng(5)
    image = generator.standard_normal((2, 3, 7, 9))
    places = generator.random((2, 4, 5, 2)) * 2.6 - 1.3
    found = []
    for library in (lampas, torch):
        inputs = [library.from_numpy(each.copy()) for each in (image, places)]
        for each, is_wanted in zip(inputs, wanted, strict=True):
            each.requires_grad_(is_wanted)
        sample = library.nn.functional.grid_sample
        made = sample(*inputs, mode=mode, padding_mode="zeros", align_corners=False)
        (made * made).sum().backward()
        found.append([each.grad.numpy() for each in inputs if each.grad is not None])
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_allclose(mine, expected, 1e-9, 1e-11)
