"""Shapes and strides, compared with NumPy's own views."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lampas.engine import shape as sh

small_shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def test_size_keeps_its_type():
    size = sh.Size([2, 3])
    for kept in (size + (1,), (1,) + size, size * 2, 2 * size, size[1:]):
        assert type(kept) is sh.Size
    assert type(size[0]) is int
    assert size.numel() == 6
    assert size == (2, 3)
    assert hash(size) == hash((2, 3))
    assert repr(sh.Size()) == "torch.Size([])"
    assert pickle.loads(pickle.dumps(size)) == size
    assert type(pickle.loads(pickle.dumps(size))) is sh.Size


@pytest.mark.parametrize("items", [[1.5], ["a"], [2, None]])
def test_size_takes_integers(items):
    with pytest.raises(TypeError, match="takes an iterable of 'int'"):
        sh.Size(items)


@given(small_shapes, small_shapes)
def test_broadcast_agrees_with_numpy(a, b):
    try:
        wanted = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(RuntimeError, match="must match the size of tensor b"):
            sh.broadcast_shapes(a, b)
    else:
        assert sh.broadcast_shapes(a, b) == wanted


@given(small_shapes, st.randoms())
def test_view_strides_agree_with_numpy(shape, random):
    order = list(range(len(shape)))
    random.shuffle(order)
    step = random.choice([1, 1, 2])
    memory = np.arange(int(np.prod([2 * size for size in shape])))
    base = memory.reshape([2 * size for size in shape])
    if not shape:
        base = memory[:1].reshape(())
    base = base[(..., *(slice(None, 2 * size, 3 - step) for size in shape))]
    if step == 2:
        base = base.copy()
    array = base.transpose(order)
    sizes = list(array.shape)
    new_shape = (array.size,) if random.random() < 0.5 else _regroup(sizes, random)
    found = sh.view_strides(array.shape, [s // 8 for s in array.strides], new_shape)
    if array.size == 0:
        assert found is not None
        return
    reshaped = array.reshape(new_shape)
    shares = np.shares_memory(reshaped, array)
    assert (found is not None) == shares
    if found is not None:
        strided = np.lib.stride_tricks.as_strided(array, new_shape, [8 * s for s in found])
        assert np.array_equal(strided, reshaped)


def _regroup(sizes, random):
    factors = [f for size in sizes for f in ((2, 2) if size == 4 else (size,))]
    grouped = [1]
    for factor in factors:
        if random.random() < 0.5:
            grouped.append(factor)
        else:
            grouped[-1] *= factor
    return tuple(grouped)


@given(small_shapes)
def test_contiguous_strides_are_contiguous(shape):
    strides = sh.contiguous_strides(shape)
    assert sh.is_contiguous(shape, strides)
    assert sh.numel(shape) == np.zeros(shape).size


def test_is_contiguous_ignores_sizes_of_one():
    assert sh.is_contiguous((1, 3), (99, 1))
    assert sh.is_contiguous((0, 3), (7, 7))
    assert not sh.is_contiguous((2, 3), (1, 2))


def test_dimensions():
    assert sh.normalize_dim(-1, 3) == 2
    assert sh.normalize_dim(-1, 0) == 0
    with pytest.raises(IndexError, match=r"expected to be in range of \[-2, 1\], but got 5"):
        sh.normalize_dim(5, 2)
    with pytest.raises(IndexError, match="tensor has no dimensions"):
        sh.normalize_dim(0, 0, wrap_scalar=False)
    with pytest.raises(RuntimeError, match="dim 0 appears multiple times"):
        sh.normalize_dims((0, -2), 2)


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((5,), 6, r"shape '\[5\]' is invalid for input of size 6"),
        ((-1, -1), 6, "only one dimension can be inferred"),
        ((-1, 4), 6, r"shape '\[-1, 4\]' is invalid"),
        ((-2, 3), 6, r"invalid shape dimension -2 at index 0 of shape \[-2, 3\]"),
        ((-1, 0), 0, "is ambiguous"),
        ((-1, 0), 6, "is invalid"),
    ],
)
def test_infer_size_refuses(shape, count, message):
    with pytest.raises(RuntimeError, match=message):
        sh.infer_size(shape, count)


def test_infer_size():
    assert sh.infer_size((2, -1), 6) == (2, 3)
    assert sh.infer_size((-1, 3), 0) == (0, 3)
    assert sh.infer_size((), 1) == ()


def test_expand():
    assert sh.expand_strides((3, 1), (1, 1), (2, -1, 4)) == ((2, 3, 4), (0, 1, 0))
    for target, message in [
        ((4, 3), r"expanded size of the tensor \(4\) must match the existing size \(2\)"),
        ((3,), "number of sizes provided"),
        ((-1, 2, 3), "leading, non-existing dimension 0"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            sh.expand_strides((2, 3), (3, 1), target)
