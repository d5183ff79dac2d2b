"""Random numbers against PyTorch: values to the last bit, and the state after each call."""

import random
import warnings

import numpy as np
import pytest

from lampas.engine import dtype as dt
from lampas.engine.tensor import choices
from lampas.engine.tensor import distributions as ds
from lampas.engine.tensor.mt19937 import STATE_BYTES, MersenneTwister

torch = pytest.importorskip("torch")

SIZES = [*range(1, 41, 3), 15, 16, 17, 32, 100, 623, 625, 1000, 65537]
FLOATS = ["float32", "float64", "float16", "bfloat16"]
SIGNED = ["int64", "int32", "int16", "int8", "uint8", "bool"]
UNSIGNED = ["uint16", "uint32", "uint64"]


class Pair:
    """An engine here and PyTorch's default generator, kept in the same state."""

    def __init__(self, seed):
        self.engine = MersenneTwister(seed)
        torch.manual_seed(seed)
        self.require_same_state()

    def require_same_state(self):
        assert self.engine.state_bytes() == torch.get_rng_state().numpy().tobytes()

    def require(self, mine, theirs):
        assert_same(mine.ravel(), theirs.reshape(-1))
        self.require_same_state()


def assert_same(mine, theirs):
    if theirs.dtype == torch.bfloat16:
        assert mine.dtype.name == "bfloat16"
        mine, theirs = mine.astype(np.float32), theirs.float()
    theirs = theirs.numpy()
    assert mine.dtype == theirs.dtype
    np.testing.assert_array_equal(mine.view(f"u{mine.itemsize}"), theirs.view(f"u{mine.itemsize}"))


def empty(count, name):
    return torch.empty(count, dtype=getattr(torch, name))


def as_array(tensor, kind):
    return tensor.float().numpy().astype(kind.numpy)


@pytest.fixture
def pair():
    return Pair(random.randrange(2**64))


@pytest.mark.parametrize("name", FLOATS)
def test_uniform(pair, name):
    for count in SIZES:
        for low, high in [(0, 1), (-1, 2.5), (0.1, 0.7), (-1 / 28, 1 / 28), (1, 1 + 2e-7)]:
            mine = ds.uniform(pair.engine, count, dt.DTYPES[name], low, high)
            pair.require(mine, empty(count, name).uniform_(low, high))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize(("mean", "std"), [(0, 1), (0.3, 1.7), (-2, 0.02), (1, 0)])
def test_normal(pair, name, mean, std):
    kind = dt.DTYPES[name]
    for count in SIZES:
        mine = ds.normal(pair.engine, count, kind, mean, std)
        pair.require(mine, empty(count, name).normal_(mean, std))
        mine = ds.normal(pair.engine, count, kind, mean, std, is_contiguous=count == 1)
        pair.require(mine, empty(2 * count, name)[::2].normal_(mean, std))


@pytest.mark.parametrize("name", FLOATS)
def test_transformed_uniform_and_normal(pair, name):
    kind = dt.DTYPES[name]
    for count in SIZES[:-1]:
        for function, method, arguments in [
            (ds.log_normal, "log_normal_", (0.5, 0.25)),
            (ds.exponential, "exponential_", (1.5,)),
            (ds.cauchy, "cauchy_", (0.5, 1.7)),
            (ds.geometric, "geometric_", (0.3,)),
            (ds.bernoulli, "bernoulli_", (0.3,)),
        ]:
            mine = function(pair.engine, count, kind, *arguments)
            pair.require(mine, getattr(empty(count, name), method)(*arguments))


@pytest.mark.parametrize("name", SIGNED)
def test_bernoulli_and_geometric_as_integers(pair, name):
    kind = dt.DTYPES[name]
    for count in SIZES[:-1]:
        pair.require(
            ds.bernoulli(pair.engine, count, kind, 0.7), empty(count, name).bernoulli_(0.7)
        )
        if name != "bool":
            mine = ds.geometric(pair.engine, count, kind, 0.3)
            pair.require(mine, empty(count, name).geometric_(0.3))


@pytest.mark.parametrize("name", FLOATS)
def test_bernoulli_of_each(pair, name):
    kind = dt.DTYPES[name]
    for count in SIZES:
        p = torch.linspace(0, 1, count).to(getattr(torch, name))
        pair.require(ds.bernoulli_each(pair.engine, as_array(p, kind), kind), torch.bernoulli(p))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("shape", [(1,), (7,), (1000,), (3, 20), (5, 1)])
def test_multinomial(pair, name, shape):
    kind = dt.DTYPES[name]
    weights = torch.linspace(0.1, 2, int(np.prod(shape))).reshape(shape).to(getattr(torch, name))
    array = weights.double().numpy() if name == "float64" else as_array(weights, kind)
    for samples in (1, 4):
        mine = choices.multinomial(pair.engine, array, samples, True)
        pair.require(mine, torch.multinomial(weights, samples, True))
        if samples <= shape[-1]:
            mine = choices.multinomial(pair.engine, array, samples)
            pair.require(mine, torch.multinomial(weights, samples))


BOUNDS = [(0, 2), (0, 100), (-5, 7), (0, 1000), (0, 2**28 - 1), (0, 2**28), (0, 2**24 + 7)]
BOUNDS += [(-(2**31), 2**31 - 1), (0, 2**40), (-(2**62), 2**62), (-(2**63), 2**63 - 1), (0, 2050)]
BOUNDS += [(-2051, 2051), (3, None), (-100, None), (-(2**63), None), (5, 5)]


def result_or_error(function, *arguments):
    try:
        return function(*arguments)
    except RuntimeError as error:
        return error


@pytest.mark.filterwarnings("ignore:.*out of bounds:UserWarning")
@pytest.mark.parametrize("name", FLOATS + SIGNED + UNSIGNED)
def test_whole_numbers(pair, name):
    kind = dt.DTYPES[name]
    for count in (1, 7, 1000):
        for bounds in [(None, None), *BOUNDS]:
            given = [] if bounds == (None, None) else bounds
            theirs = result_or_error(empty(count, name).random_, *given)
            mine = result_or_error(ds.random_integers, pair.engine, count, kind, *bounds)
            if isinstance(theirs, RuntimeError):
                assert type(mine) is type(theirs)
                assert str(mine) == str(theirs).splitlines()[0]
            else:
                pair.require(mine, theirs)


def test_permutation(pair):
    for count in (0, *SIZES):
        pair.require(choices.permutation(pair.engine, count), torch.randperm(count))


def test_mixed_sequence_with_saved_states(pair):
    calls = [
        lambda n: (ds.uniform(pair.engine, n), torch.rand(n)),
        lambda n: (ds.normal(pair.engine, n), torch.randn(n)),
        lambda n: (ds.normal(pair.engine, n, dt.float64), torch.randn(n, dtype=torch.float64)),
        lambda n: (choices.permutation(pair.engine, n), torch.randperm(n)),
        lambda n: (ds.bernoulli(pair.engine, n, dt.bool_, 0.4), empty(n, "bool").bernoulli_(0.4)),
        lambda n: (ds.random_integers(pair.engine, n, dt.int64, 0, 9), torch.randint(0, 9, (n,))),
    ]
    for step in range(300):
        pair.require(*random.choice(calls)(random.choice([1, 2, 3, 9, 15, 16, 21, 400])))
        if step % 50 == 20:
            other = MersenneTwister(step)
            other.load_state_bytes(torch.get_rng_state().numpy().tobytes())
            assert other.state_bytes() == pair.engine.state_bytes()
            pair.engine = other
        if step % 50 == 45:
            state = np.frombuffer(pair.engine.state_bytes(), np.uint8).copy()
            torch.manual_seed(step)
            torch.set_rng_state(torch.from_numpy(state))


@pytest.mark.parametrize("seed", [0, 1, 42, 2**32, 2**32 + 1, 2**64 - 1, 67280421310721])
def test_fresh_state(seed):
    pair = Pair(seed)
    assert len(pair.engine.state_bytes()) == STATE_BYTES
    for count in (1, 622, 1, 1, 624, 1):
        pair.engine.words(count)
        torch.empty(count).uniform_()
        pair.require_same_state()


REFUSED = [
    (ds.uniform, "uniform_", "float32", (2.0, 1.0)),
    (ds.uniform, "uniform_", "float32", (0.0, 1e39)),
    (ds.uniform, "uniform_", "float16", (0.0, 1e5)),
    (ds.uniform, "uniform_", "int32", (0.0, 1.0)),
    (ds.normal, "normal_", "float32", (0.0, -1.0)),
    (ds.normal, "normal_", "int64", (0.0, 1.0)),
    (ds.exponential, "exponential_", "float32", (0.0,)),
    (ds.exponential, "exponential_", "float32", (float("nan"),)),
    (ds.exponential, "exponential_", "int64", (1.0,)),
    (ds.geometric, "geometric_", "float32", (1.0,)),
    (ds.geometric, "geometric_", "bool", (0.5,)),
    (ds.cauchy, "cauchy_", "float32", (0.0, 0.0)),
    (ds.cauchy, "cauchy_", "uint16", (0.0, 1.0)),
    (ds.log_normal, "log_normal_", "float32", (0.0, 0.0)),
    (ds.log_normal, "log_normal_", "bool", (0.0, 1.0)),
    (ds.bernoulli, "bernoulli_", "float32", (2.0,)),
    (ds.bernoulli, "bernoulli_", "complex64", (0.5,)),
]


@pytest.mark.parametrize(("function", "method", "name", "arguments"), REFUSED)
def test_refusals(pair, function, method, name, arguments):
    with pytest.raises(RuntimeError) as theirs:
        getattr(empty(3, name), method)(*arguments)
    with pytest.raises(theirs.type) as mine:
        function(pair.engine, 3, dt.DTYPES[name], *arguments)
    words = set(str(theirs.value).splitlines()[0].replace(".0", "").split())
    assert set(str(mine.value).replace(".0", "").split()) <= words | {"1e+39", "100000"}
    pair.require_same_state()


def test_warning_of_inexact_bounds(pair):
    with pytest.warns(UserWarning, match="out of bounds"):
        ds.random_integers(pair.engine, 3, dt.float32, 0, 2**30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds.random_integers(pair.engine, 3, dt.float32, 0, 2**24)
