"""Random tensors and generators against PyTorch, as programs call them."""

import copy
import pickle

import numpy as np
import pytest

import lampas.engine.tensor.random as family
from lampas.engine import dtype as dt
from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import PUBLIC
from lampas.engine.tensor.generator import Generator, default_generator

torch = pytest.importorskip("torch")


class Side:
    """One library's names, found in the same way on both sides."""

    def __init__(self, functions, dtypes, generator):
        self.functions = functions
        self.dtypes = dtypes
        self.Generator = generator

    def __getattr__(self, name):
        return self.functions(name)


MINE = Side(lambda name: PUBLIC[name].function, dt.DTYPES.__getitem__, Generator)
THEIRS = Side(lambda name: getattr(torch, name), lambda name: getattr(torch, name), torch.Generator)


def same(program, seed=11):
    """Run a program on both sides and compare the tensors and the states that it leaves."""
    MINE.manual_seed(seed)
    THEIRS.manual_seed(seed)
    mine, theirs = program(MINE), program(THEIRS)
    assert isinstance(mine, Tensor)
    assert tuple(mine.shape) == tuple(theirs.shape)
    assert str(mine.dtype) == str(theirs.dtype)
    assert mine.requires_grad == theirs.requires_grad
    theirs = theirs.detach()
    half = theirs.dtype == torch.bfloat16
    np.testing.assert_array_equal(
        array_of(mine).astype(np.float32) if half else array_of(mine),
        theirs.float().numpy() if half else theirs.numpy(),
    )
    assert default_generator.engine.state_bytes() == torch.get_rng_state().numpy().tobytes()


def transposed(side):
    return side.zeros(4, 6).t()


def gapped(side):
    return side.zeros(4, 6)[:, ::2]


PROGRAMS = {
    "rand": lambda s: s.rand(3, 4),
    "rand of a tuple": lambda s: s.rand((2, 5), requires_grad=True),
    "rand size=": lambda s: s.rand(size=(2, 5)),
    "rand 0-d": lambda s: s.rand(()),
    "rand empty": lambda s: s.rand(0, 3),
    "rand half": lambda s: s.rand(33, dtype=s.dtypes("float16")),
    "rand complex": lambda s: s.rand(5, dtype=s.dtypes("complex64")),
    "randn": lambda s: s.randn(3, 7),
    "randn small": lambda s: s.randn(3),
    "randn double": lambda s: s.randn(17, dtype=s.dtypes("float64"), requires_grad=True),
    "randn complex": lambda s: s.randn(20, dtype=s.dtypes("complex128")),
    "randn generator": lambda s: s.randn(20, generator=s.Generator().manual_seed(-3)),
    "randint high": lambda s: s.randint(10, (3, 3)),
    "randint low high": lambda s: s.randint(-4, 10, (3, 3), dtype=s.dtypes("int16")),
    "randint named": lambda s: s.randint(low=2, high=9, size=(7,)),
    "randint high=": lambda s: s.randint(high=9, size=(7,)),
    "randint float": lambda s: s.randint(10, (5,), dtype=s.dtypes("float32")),
    "randperm": lambda s: s.randperm(100),
    "randperm int32": lambda s: s.randperm(30, dtype=s.dtypes("int32")),
    "randperm float": lambda s: s.randperm(30, dtype=s.dtypes("float32")),
    "rand_like": lambda s: s.rand_like(s.zeros(3, 5, dtype=s.dtypes("float64"))),
    "rand_like transposed": lambda s: s.rand_like(transposed(s)),
    "randn_like transposed": lambda s: s.randn_like(transposed(s)),
    "randn_like dtype": lambda s: s.randn_like(
        s.zeros(30, dtype=s.dtypes("int64")), dtype=s.dtypes("float32")
    ),
    "randint_like": lambda s: s.randint_like(s.zeros(9), 5),
    "randint_like low": lambda s: s.randint_like(s.zeros(9), 2, 5),
    "normal sized": lambda s: s.normal(1.0, 2.0, (4, 5)),
    "normal size=": lambda s: s.normal(mean=0.0, std=1.0, size=(2,)),
    "normal mean": lambda s: s.normal(s.ones(20), 0.5),
    "normal std": lambda s: s.normal(2.0, s.ones(20) * 3),
    "normal both": lambda s: s.normal(s.ones(3, 1), s.ones(7) * 3),
    "bernoulli": lambda s: s.bernoulli(s.full((40,), 0.3)),
    "bernoulli p": lambda s: s.bernoulli(s.zeros(40), 0.3),
    "bernoulli method": lambda s: s.full((40,), 0.6).bernoulli(),
    "bernoulli traced": lambda s: s.bernoulli(s.full((40,), 0.3, requires_grad=True)),
    "normal traced": lambda s: s.normal(s.zeros(20, requires_grad=True), 2.0),
    "poisson traced": lambda s: s.poisson(s.full((40,), 3.0, requires_grad=True)),
    "uniform_ traced": lambda s: (s.zeros(20, requires_grad=True) * 2).uniform_(),
    "rand_like 0-d": lambda s: s.rand_like(s.ones(())),
    "randint_like 0-d": lambda s: s.randint_like(s.ones(()), 7),
    "poisson 0-d": lambda s: s.poisson(s.ones(())),
    "multinomial": lambda s: s.multinomial(s.rand(3, 9), 4),
    "multinomial replaced": lambda s: s.rand(9).multinomial(20, replacement=True),
    "poisson": lambda s: s.poisson(s.rand(4, 5) * 30),
    "binomial": lambda s: s.binomial(s.full((40,), 9.0), s.rand(40)),
    "binomial large": lambda s: s.binomial(s.full((40,), 900.0), s.rand(40)),
    "gamma": lambda s: s._standard_gamma(s.rand(40) * 5),
    "dirichlet": lambda s: s._sample_dirichlet(s.rand(6, 5) + 0.5),
    "uniform_": lambda s: s.zeros(40).uniform_(-2, 3),
    "uniform_ to": lambda s: s.zeros(40).uniform_(to=3),
    "uniform_ transposed": lambda s: transposed(s).uniform_(),
    "uniform_ gapped": lambda s: gapped(s).uniform_(),
    "normal_": lambda s: s.zeros(40).normal_(std=0.1),
    "normal_ transposed": lambda s: transposed(s).normal_(),
    "normal_ gapped": lambda s: gapped(s).normal_(1, 2),
    "random_": lambda s: s.zeros(40, dtype=s.dtypes("int64")).random_(),
    "random_ to": lambda s: s.zeros(40).random_(7),
    "random_ from to": lambda s: s.zeros(40).random_(-7, 7),
    "bernoulli_": lambda s: s.zeros(40).bernoulli_(),
    "bernoulli_ tensor": lambda s: s.zeros(4, 6).bernoulli_(s.rand(6)),
    "bernoulli_ transposed": lambda s: transposed(s).bernoulli_(s.rand(6, 4)),
    "exponential_": lambda s: s.zeros(40).exponential_(lambd=2.0),
    "geometric_": lambda s: s.zeros(40, dtype=s.dtypes("int32")).geometric_(0.2),
    "cauchy_": lambda s: s.zeros(40).cauchy_(1, 2),
    "log_normal_": lambda s: s.zeros(40).log_normal_(),
    "view writes through": lambda s: fill_part(s),
    "out": lambda s: s.randn(20, out=s.zeros(20)),
}


def test_samples_have_derivatives_of_zero():
    for make in (
        lambda x: MINE.bernoulli(x),
        lambda x: MINE.poisson(x),
        lambda x: MINE.normal(x, 1.0),
        lambda x: (x * 2).uniform_(),
        lambda x: (x * 2).normal_().exponential_(),
    ):
        x = MINE.full((3,), 0.5, requires_grad=True)
        (make(x) * 3).sum().backward()
        assert array_of(x.grad).tolist() == [0, 0, 0]


def fill_part(side):
    base = side.zeros(4, 6)
    base[1:3].uniform_()
    base[:, 1].normal_()
    return base


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_programs(program):
    same(program)


REFUSED = {
    "rand(-1)": lambda s: s.rand(-1),
    "rand(2.5)": lambda s: s.rand(2.5),
    "rand()": lambda s: s.rand(),
    "rand int": lambda s: s.rand(2, dtype=s.dtypes("int64")),
    "randn int": lambda s: s.randn(2, dtype=s.dtypes("int64")),
    "randint empty": lambda s: s.randint(5, 5, (2,)),
    "randint no size": lambda s: s.randint(5),
    "randint number size": lambda s: s.randint(0, 5, 3),
    "randint float": lambda s: s.randint(0, 2.5, (3,)),
    "randint small": lambda s: s.randint(0, 300, (3,), dtype=s.dtypes("uint8")),
    "randperm float": lambda s: s.randperm(3.5),
    "randperm bool": lambda s: s.randperm(3, dtype=s.dtypes("bool")),
    "randperm small": lambda s: s.randperm(300, dtype=s.dtypes("uint8")),
    "normal shapeless": lambda s: s.normal(0.0, 1.0),
    "normal std": lambda s: s.normal(s.zeros(3), -s.ones(3)),
    "bernoulli whole": lambda s: s.zeros(3).bernoulli_(s.zeros(3, dtype=s.dtypes("int64"))),
    "multinomial whole": lambda s: s.multinomial(s.zeros(3, dtype=s.dtypes("int64")), 1),
    "poisson whole": lambda s: s.poisson(s.zeros(3, dtype=s.dtypes("int64"))),
    "poisson negative": lambda s: s.poisson(-s.ones(3)),
    "binomial whole": lambda s: s.binomial(s.zeros(3, dtype=s.dtypes("int64")), s.zeros(3)),
    "leaf": lambda s: s.zeros(3, requires_grad=True).uniform_(),
    "expanded": lambda s: s.zeros(1).expand(3).uniform_(),
    "geometric": lambda s: s.zeros(3).geometric_(0.0),
    "seed text": lambda s: s.manual_seed("a"),
    "seed size": lambda s: s.manual_seed(2**64),
    "generator seed": lambda s: s.Generator().manual_seed(1.5),
    "state dtype": lambda s: s.set_rng_state(s.zeros(5056)),
    "state size": lambda s: s.set_rng_state(s.zeros(5, dtype=s.dtypes("uint8"))),
    "state": lambda s: s.set_rng_state(s.zeros(5056, dtype=s.dtypes("uint8"))),
}


@pytest.mark.parametrize("program", REFUSED.values(), ids=REFUSED.keys())
def test_refusals_have_the_same_type(program):
    with pytest.raises(Exception) as theirs:
        program(THEIRS)
    with pytest.raises(theirs.type):
        program(MINE)


@pytest.mark.parametrize("seed", [0, 1, -1, -(2**63), 2**64 - 1, 2.7])
def test_seeds(seed):
    assert MINE.manual_seed(seed).initial_seed() == THEIRS.manual_seed(seed).initial_seed()
    assert MINE.initial_seed() == THEIRS.initial_seed()


def test_generator():
    mine, theirs = Generator(), torch.Generator()
    assert mine.initial_seed() == theirs.initial_seed()
    assert array_of(mine.get_state()).tobytes() == theirs.get_state().numpy().tobytes()
    mine.manual_seed(5)
    for other in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine)), mine.clone_state()):
        assert other.engine.state_bytes() == mine.engine.state_bytes()
        family.rand(3, generator=other)
        assert other.engine.state_bytes() != mine.engine.state_bytes()
    assert str(mine.device) == "cpu"
    assert mine.seed() == mine.initial_seed()


def test_fork_restores():
    MINE.manual_seed(1)
    before = default_generator.engine.state_bytes()
    with family.fork_rng():
        family.rand(5)
        assert default_generator.engine.state_bytes() != before
    assert default_generator.engine.state_bytes() == before
    with family.fork_rng(enabled=False):
        family.rand(5)
    assert default_generator.engine.state_bytes() != before


def test_state_moves_between_libraries():
    MINE.manual_seed(3)
    family.randn(5)
    torch.set_rng_state(torch.from_numpy(array_of(MINE.get_rng_state()).copy()))
    assert array_of(family.randn(5)).tolist() == torch.randn(5).tolist()


def test_meta_draws_nothing():
    before = default_generator.engine.state_bytes()
    for made in (
        family.rand(2, 3, device="meta"),
        family.randperm(5, device="meta"),
        family.randn_like(family.rand(2, 3, device="meta")),
    ):
        assert made.is_meta
    assert default_generator.engine.state_bytes() == before
