"""The text of tensors against PyTorch's repr, character by character."""

import numpy as np
import pytest

import lampas
from lampas.engine import dtype as dt
from lampas.engine.tensor import printing

torch = pytest.importorskip("torch")

SHAPES = [(), (1,), (0,), (0, 3), (2, 0, 3), (3,), (7,), (30,), (2, 3), (1, 1, 1), (2, 3, 4)]
SHAPES += [(1001,), (7, 200), (6, 300), (3, 5, 100), (20, 8, 9), (2, 2, 2, 200)]
REALS = [
    lambda x, odd: x,
    lambda x, odd: np.round(x * 10),
    lambda x, odd: x * 10.0 ** np.round(8 * np.sin(1e3 * x)),
    lambda x, odd: x * 1e-5,
    lambda x, odd: np.round(x * 1e4),
    lambda x, odd: x * 1e9,
    lambda x, odd: np.where(np.abs(x) < 0.4, odd, x),
    lambda x, odd: np.where(np.abs(x) < 0.4, odd, np.round(x * 5)),
    lambda x, odd: x * 0,
    lambda x, odd: odd,
]
OPTIONS = [
    {"precision": 2},
    {"precision": 8},
    {"threshold": 5},
    {"edgeitems": 1, "threshold": 4},
    {"edgeitems": 0, "threshold": 4},
    {"linewidth": 40},
    {"profile": "short"},
    {"profile": "full"},
    {"sci_mode": True},
    {"sci_mode": False},
]
NAMES = [name for name in dt.DTYPES if name != "complex32"]


@pytest.fixture(autouse=True)
def restore():
    yield
    for settings in (torch, printing):
        settings.set_printoptions(profile="default")
    torch.set_default_dtype(torch.float32)
    dt.set_default_dtype(dt.float32)


def reals(shape):
    for make in REALS:
        x = np.asarray(np.random.standard_normal(shape))
        odd = np.random.choice([0.0, -0.0, np.nan, np.inf, -np.inf], shape)
        yield np.asarray(make(x, odd))


def samples(name, shape):
    kind = dt.DTYPES[name]
    if kind is dt.bool_:
        yield torch.from_numpy(np.asarray(np.random.standard_normal(shape) < 0))
    elif kind.is_complex:
        for real, imaginary in zip(reals(shape), reals(shape)):
            yield torch.from_numpy(np.asarray(real + 1j * imaginary[...])).to(getattr(torch, name))
    elif kind.is_floating_point:
        yield from (torch.from_numpy(x).to(getattr(torch, name)) for x in reals(shape))
    else:
        limits = np.iinfo(name)
        for low, high in [(0, 3), (max(limits.min, -100), 100), (limits.min, limits.max)]:
            whole = np.random.default_rng(3).integers(low, high, shape, name, endpoint=True)
            yield torch.from_numpy(np.asarray(whole))


def text_here(tensor):
    kind = dt.DTYPES[str(tensor.dtype).removeprefix("torch.")]
    plain = tensor.detach()
    half = kind is dt.bfloat16
    return printing.format_tensor(
        plain.float().numpy().astype(kind.numpy) if half else plain.numpy(),
        dtype=kind,
        requires_grad=tensor.requires_grad,
        grad_fn_name=type(tensor.grad_fn).__name__ if tensor.grad_fn is not None else None,
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
def test_every_dtype(name):
    for shape in SHAPES:
        for tensor in samples(name, shape):
            assert text_here(tensor) == repr(tensor)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    for settings in (torch, printing):
        settings.set_printoptions(**options)
    for name in ("float32", "int64", "complex64", "bool"):
        for shape in SHAPES[:12]:
            for tensor in samples(name, shape):
                assert text_here(tensor) == repr(tensor)


@pytest.mark.parametrize("default", ["float64", "float16", "float32"])
def test_default_dtype_is_not_named(default):
    torch.set_default_dtype(getattr(torch, default))
    dt.set_default_dtype(dt.DTYPES[default])
    for name in ("float32", "float64", "int64", "complex64", "complex128", "bool", "float16"):
        for shape in [(2, 3), (0,)]:
            tensor = torch.zeros(shape, dtype=getattr(torch, name))
            assert text_here(tensor) == repr(tensor)


def test_gradient_notes_break_lines():
    for shape in SHAPES:
        leaf = torch.ones(shape, requires_grad=True)
        for tensor in (leaf, leaf * 2, (leaf * 2).sum(), leaf.double() / 3, leaf.reshape(-1)[:0]):
            assert text_here(tensor) == repr(tensor)


def test_meta():
    for name in ("float32", "int64"):
        theirs = torch.empty(2, 3, device="meta", dtype=getattr(torch, name))
        mine = printing.format_tensor(None, dtype=dt.DTYPES[name], shape=(2, 3), device="meta")
        assert mine == repr(theirs)


@pytest.mark.parametrize(
    "code",
    [
        "(x * 2).grad_fn",
        "(x * 2).sum().grad_fn.next_functions[0][0]",
        "(x * 2).grad_fn.next_functions[0][0]",
        "x.view(3, 1).exp().grad_fn",
        "Exp.apply(x).grad_fn",
    ],
)
def test_classes_of_grad_nodes_have_their_names(code: str) -> None:
    """Programs that draw graphs print `type(node).__name__`."""
    names = []
    for lib in (lampas, torch):
        function = lib.autograd.Function
        rules = {
            "forward": staticmethod(lambda ctx, x: x.exp()),
            "backward": staticmethod(lambda ctx, grad: grad),
        }
        scope = {"x": lib.ones(3, requires_grad=True), "Exp": type("Exp", (function,), rules)}
        names.append(type(eval(code, scope)).__name__)
    assert names[0] == names[1]
