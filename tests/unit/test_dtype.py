"""Dtypes: identity, names, copies, NumPy counterparts, the default type."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from lampas.engine import dtype as dt
from lampas.engine.numeric_limits import finfo, iinfo


@pytest.fixture
def restore_default():
    before = dt.get_default_dtype()
    yield
    dt.set_default_dtype(before)


@pytest.mark.parametrize("each", dt.DTYPES.values(), ids=str)
def test_copies_are_the_same_object(each):
    assert pickle.loads(pickle.dumps(each)) is each
    assert copy.copy(each) is each
    assert copy.deepcopy(each) is each


@pytest.mark.parametrize("each", dt.DTYPES.values(), ids=str)
def test_numpy_counterpart_round_trips(each):
    if each is dt.complex32:
        with pytest.raises(NotImplementedError, match="complex32"):
            each.numpy
        return
    assert dt.from_numpy_dtype(each.numpy) is each
    assert each.numpy.itemsize == each.itemsize


def test_text_and_kinds():
    assert repr(dt.float32) == str(dt.float32) == "torch.float32"
    assert repr(dt.bool_) == "torch.bool"
    assert f"{dt.ALIASES['long']}" == "torch.int64"
    assert dt.float32.is_floating_point
    assert not dt.float32.is_complex
    assert not dt.uint8.is_signed
    assert dt.int8.is_signed


def test_instances_cannot_be_made():
    with pytest.raises(TypeError, match="cannot create"):
        dt.dtype()
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("mine", (dt.dtype,), {})


def test_numpy_byte_order_and_unknown_types():
    assert dt.from_numpy_dtype(">f4") is dt.float32
    with pytest.raises(TypeError, match="can't convert"):
        dt.from_numpy_dtype("U3")


def test_python_values():
    assert dt.infer_python_dtype(True) is dt.bool_
    assert dt.infer_python_dtype(3) is dt.int64
    assert dt.infer_python_dtype(np.float64(1)) is dt.float64
    with pytest.raises(TypeError, match="could not infer dtype of str"):
        dt.infer_python_dtype("3")


def test_default_dtype_decides_for_python_floats(restore_default):
    dt.set_default_dtype(dt.float64)
    assert dt.infer_python_dtype(1.0) is dt.float64
    assert dt.infer_python_dtype(1j) is dt.complex128
    assert dt.result_dtype([(dt.int32, False, False), (dt.float64, True, True)]) is dt.float64
    assert finfo().dtype == "float64"


@pytest.mark.parametrize("bad", [dt.int32, dt.complex64, "float32", None])
def test_default_dtype_must_be_floating(bad):
    with pytest.raises(TypeError, match="only floating-point types"):
        dt.set_default_dtype(bad)


def test_limits_refuse_the_other_kind():
    with pytest.raises(TypeError, match="floating point input"):
        finfo(dt.int32)
    with pytest.raises(TypeError, match="integer input"):
        iinfo(dt.float32)
    with pytest.raises(TypeError, match=r"not supported by torch\.iinfo"):
        iinfo(dt.bool_)


def test_limits_agree_with_numpy():
    for each in (dt.float16, dt.float32, dt.float64):
        mine, numpys = finfo(each), np.finfo(each.numpy)
        assert (mine.eps, mine.max, mine.tiny) == (numpys.eps, numpys.max, numpys.tiny)
    for each in (dt.int8, dt.uint8, dt.int16, dt.int32, dt.int64, dt.uint64):
        assert (iinfo(each).min, iinfo(each).max) == (
            np.iinfo(each.numpy).min,
            np.iinfo(each.numpy).max,
        )
    assert pickle.loads(pickle.dumps(finfo(dt.float32))) == finfo(dt.float32)


def test_import_leaves_ml_dtypes_alone():
    code = "import sys, lampas.engine.dtype; sys.exit('ml_dtypes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
