"""Promotion, casting and limits against PyTorch's own tables."""

import itertools

import pytest

import lampas
from lampas.engine import dtype as dt
from lampas.engine.numeric_limits import finfo, iinfo
from lampas.engine.shape import broadcast_shapes, contiguous_strides

torch = pytest.importorskip("torch")

NAMES = [name for name in dt.DTYPES if name != "complex32"]
COMMON = ["bool", "uint8", "int8", "int64", "float16", "bfloat16", "float32", "float64"]
COMMON += ["complex64", "complex128"]
NUMBERS = [True, 2, 2.5]


def outcome(function, *arguments):
    try:
        return str(function(*arguments))
    except RuntimeError as error:
        return str(error)


def test_promote_types_and_can_cast():
    for a, b in itertools.product(NAMES, repeat=2):
        theirs = getattr(torch, a), getattr(torch, b)
        mine = dt.DTYPES[a], dt.DTYPES[b]
        assert outcome(dt.promote_types, *mine) == outcome(torch.promote_types, *theirs)
        assert dt.can_cast(*mine) == torch.can_cast(*theirs), (a, b)


def test_attributes():
    for name in NAMES:
        mine, theirs = dt.DTYPES[name], getattr(torch, name)
        for attribute in ("itemsize", "is_signed", "is_floating_point", "is_complex", "abbr"):
            assert getattr(mine, attribute) == getattr(theirs, attribute), (name, attribute)
        assert outcome(mine.to_complex) == outcome(theirs.to_complex)
        assert outcome(mine.to_real) == outcome(theirs.to_real)


@pytest.mark.parametrize("ndims", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_two_tensors(ndims):
    for a, b in itertools.product(COMMON, repeat=2):
        tensors = [
            torch.ones((1,) * ndim, dtype=getattr(torch, name)) for name, ndim in zip((a, b), ndims)
        ]
        mine = dt.result_dtype(
            [(dt.DTYPES[name], ndim == 0, False) for name, ndim in zip((a, b), ndims)]
        )
        assert str(mine) == str(torch.result_type(*tensors)), (a, b)


@pytest.mark.parametrize("number", [*NUMBERS, 1j])
@pytest.mark.parametrize("ndim", [0, 1])
def test_tensor_and_number(number, ndim):
    for name in COMMON:
        tensor = torch.ones((1,) * ndim, dtype=getattr(torch, name))
        mine = dt.result_dtype(
            [(dt.DTYPES[name], ndim == 0, False), (dt.infer_python_dtype(number), True, True)]
        )
        assert str(mine) == str(torch.result_type(tensor, number)), name


def test_limits():
    for name in ("float16", "bfloat16", "float32", "float64", "complex64", "complex128"):
        mine, theirs = finfo(dt.DTYPES[name]), torch.finfo(getattr(torch, name))
        assert repr(mine) == repr(theirs)
        for field in "bits eps max min tiny smallest_normal resolution dtype".split():
            assert getattr(mine, field) == getattr(theirs, field), (name, field)
    for name in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"):
        mine, theirs = iinfo(dt.DTYPES[name]), torch.iinfo(getattr(torch, name))
        assert (mine.bits, mine.min, mine.max) == (theirs.bits, theirs.min, theirs.max)
        assert repr(mine) == repr(theirs)


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (4,)), ((5, 2, 3), (4, 3)), ((4, 5), (3, 4)), ((2,), (3, 1, 4)), ((0,), (2,))],
)
def test_broadcast_errors(shapes):
    with pytest.raises(RuntimeError) as theirs:
        torch.add(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
    with pytest.raises(RuntimeError) as mine:
        broadcast_shapes(*shapes)
    assert str(mine.value) == str(theirs.value)


def test_contiguous_strides():
    for shape in itertools.product([0, 1, 2, 5], repeat=3):
        assert contiguous_strides(shape) == torch.zeros(shape).stride()


@pytest.mark.parametrize("ndim", [0, 1])
def test_result_type_of_tensors_and_numbers(ndim):
    for name in COMMON:
        mine = lampas.ones((1,) * ndim, dtype=dt.DTYPES[name])
        theirs = torch.ones((1,) * ndim, dtype=getattr(torch, name))
        for number in [*NUMBERS, 1j]:
            assert str(lampas.result_type(mine, number)) == str(torch.result_type(theirs, number))
            assert str(lampas.result_type(number, mine)) == str(torch.result_type(number, theirs))
    assert lampas.result_type(1, True) is lampas.int64
    with pytest.raises(TypeError, match="result_type"):
        lampas.result_type("a", 1)
