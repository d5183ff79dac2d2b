"""Every optimizer makes PyTorch's steps, keeps PyTorch's state, and exchanges state with it."""

import copy

import numpy as np
import pytest

import lampas

torch = pytest.importorskip("torch")

CONFIGURATIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1, "betas": (0.4, 0.9)}),
    ("Adam", {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05, "maximize": True}),
    ("RMSprop", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.5, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Adadelta", {"lr": 1.0, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.05, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.05, "t0": 2, "lambd": 0.1, "weight_decay": 0.1}),
    ("Rprop", {"lr": 0.05}),
    ("Adafactor", {"lr": 0.05, "weight_decay": 0.1}),
]
IDS = [f"{name}-{number}" for number, (name, _) in enumerate(CONFIGURATIONS)]
REAL_ONLY = {"Adafactor"}


def arrays(kind):
    """Starting values and six steps of gradients for a matrix, a vector and a number."""
    source = np.random.RandomState(5)
    shapes = [(3, 4), (5,), ()]

    def draw(shape):
        values = source.standard_normal(shape)
        return np.asarray(values + 1j * source.standard_normal(shape) if kind == "c" else values)

    return [draw(shape) for shape in shapes], [[draw(s) for s in shapes] for _ in range(6)]


class Run:
    """One library's side."""

    def __init__(self, library, name, options, dtype, kind="f"):
        self.library = library
        self.dtype = getattr(library, dtype)
        starts, self.gradients = arrays(kind)
        self.parameters = [self.tensor(start).requires_grad_() for start in starts]
        groups = [
            {"params": self.parameters[:2]},
            {"params": self.parameters[2:], "lr": options["lr"] / 2},
        ]
        self.optimizer = getattr(library.optim, name)(groups, **options)

    def tensor(self, array):
        return self.library.tensor(array.tolist()).to(self.dtype)

    def steps(self, numbers):
        for number in numbers:
            for parameter, gradient in zip(self.parameters, self.gradients[number], strict=True):
                parameter.grad = self.tensor(gradient)
            self.optimizer.step()
        return self

    def values(self):
        return [np.asarray(parameter.detach().tolist()) for parameter in self.parameters]

    def state(self):
        return self.optimizer.state_dict()["state"]


def assert_close(ours, theirs, tolerance):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS, ids=IDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-12)])
def test_steps_and_state(name, options, dtype, tolerance):
    if name == "Adafactor":
        tolerance = 3e-6
    ours = Run(lampas, name, options, dtype).steps(range(6))
    theirs = Run(torch, name, options, dtype).steps(range(6))
    assert_close(ours.values(), theirs.values(), tolerance)
    a, b = ours.state(), theirs.state()
    assert {key: set(value) for key, value in a.items()} == {
        key: set(value) for key, value in b.items()
    }
    for key, value in a.items():
        for part, tensor in value.items():
            other = b[key][part]
            if not isinstance(other, torch.Tensor):
                assert tensor == other
                continue
            assert str(tensor.dtype) == str(other.dtype), part
            assert tuple(tensor.shape) == tuple(other.shape), part
            assert_close([np.asarray(tensor.tolist())], [np.asarray(other.tolist())], tolerance)


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS, ids=IDS)
def test_complex_parameters(name, options):
    if name in REAL_ONLY:
        with pytest.raises(RuntimeError, match="does not support complex"):
            Run(lampas, name, options, "complex64", "c").steps([0])
        return
    ours = Run(lampas, name, options, "complex64", "c").steps(range(4))
    theirs = Run(torch, name, options, "complex64", "c").steps(range(4))
    assert_close(ours.values(), theirs.values(), 3e-6)


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS, ids=IDS)
def test_state_from_pytorch_is_taken_over(name, options, tmp_path):
    theirs = Run(torch, name, options, "float32").steps(range(3))
    torch.save(theirs.optimizer.state_dict(), tmp_path / "state.pt")
    ours = Run(lampas, name, options, "float32")
    for parameter, value in zip(ours.parameters, theirs.values(), strict=True):
        parameter.data = lampas.tensor(value.tolist())
    ours.optimizer.load_state_dict(lampas.load(tmp_path / "state.pt"))
    assert_close(ours.steps([3, 4]).values(), theirs.steps([3, 4]).values(), 3e-6)


@pytest.mark.parametrize("name", sorted({name for name, _ in CONFIGURATIONS}))
def test_repr_and_state_dict_groups(name):
    options = {"lr": 0.5}
    ours = Run(lampas, name, options, "float32")
    theirs = Run(torch, name, options, "float32")
    assert repr(ours.optimizer) == repr(theirs.optimizer)
    groups = ours.optimizer.state_dict()["param_groups"]
    assert groups == theirs.optimizer.state_dict()["param_groups"]
    assert list(groups[0]) == list(theirs.optimizer.state_dict()["param_groups"][0])


def rosenbrock(library, options):
    point = library.tensor([-1.2, 1.0], requires_grad=True)
    optimizer = library.optim.LBFGS([point], **options)

    def closure():
        optimizer.zero_grad()
        loss = (1 - point[0]) ** 2 + 100 * (point[1] - point[0] ** 2) ** 2
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure).detach()) for _ in range(4)]
    return losses, point.tolist(), optimizer.state_dict()["state"][0]


@pytest.mark.parametrize(
    "options",
    [{"lr": 0.1, "max_iter": 3}, {"line_search_fn": "strong_wolfe", "max_iter": 4}],
)
def test_lbfgs(options):
    ours, theirs = rosenbrock(lampas, options), rosenbrock(torch, options)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-3)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3)
    assert set(ours[2]) == set(theirs[2])
    assert ours[2]["func_evals"] == theirs[2]["func_evals"]


@pytest.mark.parametrize(
    "options", [{"lr": 0.02}, {"lr": 0.02, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}]
)
def test_muon(options):
    results = []
    for library in (lampas, torch):
        matrix = library.tensor(arrays("f")[0][0].tolist(), requires_grad=True)
        optimizer = library.optim.Muon([matrix], **options)
        for gradients in arrays("f")[1]:
            matrix.grad = library.tensor(gradients[0].tolist())
            optimizer.step()
        results.append(matrix.tolist())
    # The iteration runs in bfloat16, whose unit is 0.4 %.
    np.testing.assert_allclose(results[0], results[1], atol=2 * 0.02 * 6 * 0.01)


def two(library):
    return [library.zeros(2, requires_grad=True), library.zeros(2, requires_grad=True)]


MISUSES = {
    "a tensor": lambda t: t.optim.SGD(t.zeros(2), lr=0.1),
    "nothing": lambda t: t.optim.SGD([], lr=0.1),
    "no tensors": lambda t: t.optim.SGD([3], lr=0.1),
    "a set": lambda t: t.optim.SGD([{"params": set(two(t))}], lr=0.1),
    "non-leaf": lambda t: t.optim.SGD([two(t)[0] * 2], lr=0.1),
    "negative lr": lambda t: t.optim.SGD(two(t), lr=-0.1),
    "negative momentum": lambda t: t.optim.SGD(two(t), lr=0.1, momentum=-1),
    "nesterov alone": lambda t: t.optim.SGD(two(t), lr=0.1, nesterov=True),
    "fused and foreach": lambda t: t.optim.SGD(two(t), lr=0.1, fused=True, foreach=True),
    "fused and differentiable": lambda t: t.optim.Adam(two(t), fused=True, differentiable=True),
    "beta": lambda t: t.optim.Adam(two(t), betas=(1.0, 0.9)),
    "eps": lambda t: t.optim.Adam(two(t), eps=-1.0),
    "decay": lambda t: t.optim.Adam(two(t), weight_decay=-1.0),
    "alpha": lambda t: t.optim.RMSprop(two(t), alpha=-1.0),
    "rho": lambda t: t.optim.Adadelta(two(t), rho=2.0),
    "etas": lambda t: t.optim.Rprop(two(t), etas=(1.1, 1.2)),
    "accumulator": lambda t: t.optim.Adagrad(two(t), initial_accumulator_value=-1.0),
    "clipping": lambda t: t.optim.Adafactor(two(t), d=0.5),
    "vector": lambda t: t.optim.Muon(two(t)),
    "wide lr": lambda t: t.optim.Adam(two(t), lr=t.ones(2)),
    "groups of L-BFGS": lambda t: t.optim.LBFGS([{"params": p} for p in two(t)]),
    "L-BFGS without closure": lambda t: t.optim.LBFGS(two(t)).step(),
    "group is no dict": lambda t: t.optim.SGD(two(t), lr=0.1).add_param_group([1]),
    "same parameter twice": lambda t: same_twice(t),
    "groups differ": lambda t: groups_differ(t),
    "group sizes differ": lambda t: sizes_differ(t),
    "names missing": lambda t: t.optim.SGD([("a", two(t)[0]), two(t)[1]], lr=0.1),
    "dense gradients": lambda t: dense(t),
    "step is missing": lambda t: t.optim.Optimizer(two(t), {}).step(),
}


def same_twice(library):
    parameters = two(library)
    optimizer = library.optim.SGD(parameters, lr=0.1)
    optimizer.add_param_group({"params": parameters[:1]})


def groups_differ(library):
    a, b = two(library)
    state = library.optim.SGD([{"params": a}, {"params": b}], lr=0.1).state_dict()
    library.optim.SGD([a], lr=0.1).load_state_dict(state)


def sizes_differ(library):
    parameters = two(library)
    state = library.optim.SGD(parameters, lr=0.1).state_dict()
    library.optim.SGD(parameters[:1], lr=0.1).load_state_dict(state)


def dense(library):
    parameter = two(library)[0]
    parameter.grad = library.ones(2)
    library.optim.SparseAdam([parameter]).step()


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_misuse(misuse):
    with pytest.raises(Exception) as expected:
        misuse(torch)
    with pytest.raises(expected.type) as raised:
        misuse(lampas)
    assert raised.type is expected.type
    start = str(expected.value)[:20].split(" but got ")[0]
    assert str(raised.value).startswith(start)


def test_differentiable_step_gives_pytorchs_gradients():
    results = []
    for library in (lampas, torch):
        start = library.tensor([1.0, -2.0], requires_grad=True)
        gradient = library.tensor([0.5, 0.25], requires_grad=True)
        parameter = start.clone()
        optimizer = library.optim.Adam([parameter], lr=0.1, differentiable=True)
        parameter.grad = gradient
        optimizer.step()
        (parameter**2).sum().backward()
        results.append((start.grad.tolist(), gradient.grad.tolist()))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_copies_and_hooks():
    seen = []
    parameter = lampas.ones(2, requires_grad=True)
    optimizer = lampas.optim.Adam([parameter], lr=0.1)
    optimizer.register_step_pre_hook(lambda *given: seen.append("before"))
    handle = optimizer.register_step_post_hook(lambda *given: seen.append("after"))
    optimizer.register_state_dict_post_hook(lambda _, state: {**state, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda _, state: seen.append(state["more"]))
    parameter.grad = lampas.ones(2)
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == ["before", "after", "before"]
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen[-1] == 1
    twin = copy.deepcopy(optimizer)
    assert repr(twin) == repr(optimizer)
    twin.step()
    assert seen.count("before") == 2
