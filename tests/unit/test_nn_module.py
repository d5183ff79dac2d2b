"""`nn.Module`: what it owns, how it is walked, converted, saved and copied."""

import copy
import importlib
import pickle

import pytest

import lampas
from lampas import nn
from lampas.nn.parameter import Parameter


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.rest = nn.ModuleList([nn.Linear(3, 1), nn.BatchNorm1d(1)])
        self.scale = Parameter(lampas.ones(2))
        self.register_buffer("seen", lampas.zeros(1))
        self.register_buffer("scratch", lampas.zeros(1), persistent=False)

    def forward(self, x):
        return self.rest[1](self.rest[0](self.first(x * self.scale).relu()))


def test_names_in_order():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "rest.0.weight", "rest.0.bias", "rest.1.weight",
        "rest.1.bias",
    ]  # fmt: skip
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == ["net.scale"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [name for name, _ in net.named_children()] == ["first", "rest"]
    buffers = [name for name, _ in net.named_buffers()]
    assert buffers[:2] == ["seen", "scratch"]
    assert "scratch" not in net.state_dict()
    assert "seen" in net.state_dict()


def test_shared_parts_are_listed_once():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer)
    assert len(list(net.parameters())) == 2
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert len(list(net.modules())) == 2
    assert len(list(net.named_modules(remove_duplicate=False))) == 3


def test_a_name_lives_in_one_place():
    net = nn.Module()
    net.a = Parameter(lampas.zeros(1))
    net.a = nn.ReLU()
    assert "a" not in net._parameters
    assert isinstance(net.a, nn.ReLU)
    net.a = Parameter(lampas.zeros(1))
    assert "a" not in net._modules
    del net.a
    assert not hasattr(net, "a")
    net.register_buffer("b", lampas.zeros(1))
    net.b = lampas.ones(1)
    assert float(net._buffers["b"]) == 1
    net.c = nn.Buffer(lampas.zeros(1), persistent=False)
    assert "c" in net._buffers
    assert "c" not in net.state_dict()


def test_paths():
    net = Net()
    assert net.get_submodule("rest.1") is net.rest[1]
    assert net.get_submodule("") is net
    assert net.get_parameter("rest.0.bias") is net.rest[0].bias
    assert net.get_buffer("rest.1.running_mean") is net.rest[1].running_mean
    net.set_submodule("rest.0", nn.Identity())
    assert isinstance(net.rest[0], nn.Identity)
    with pytest.raises(AttributeError, match=r"has no attribute `third`"):
        net.get_submodule("third")
    with pytest.raises(AttributeError, match=r"is not an nn\.Parameter"):
        net.get_parameter("seen")


def test_conversion_keeps_parameters_and_casts_gradients():
    net = Net()
    before = net.first.weight
    net(lampas.ones(4, 2)).sum().backward()
    assert net.to(lampas.float64) is net
    assert net.first.weight is before
    assert before.dtype is lampas.float64
    assert before.grad.dtype is lampas.float64
    assert net.rest[1].num_batches_tracked.dtype is lampas.int64
    assert net.bfloat16().scale.dtype is lampas.bfloat16
    assert net.to(lampas.zeros(1)).scale.dtype is lampas.float32
    assert net.to("cpu", lampas.float16).scale.dtype is lampas.float16


def test_modes_and_gradients():
    net = Net()
    assert net.eval() is net
    assert not any(part.training for part in net.modules())
    net.train()
    net(lampas.ones(4, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert not net.scale.grad.any()
    net.zero_grad()
    assert net.scale.grad is None
    net.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_loading():
    net, other = Net(), Net()
    with lampas.no_grad():
        other.first.weight.fill_(2)
    result = net.load_state_dict(other.state_dict())
    assert str(result) == "<All keys matched successfully>"
    assert lampas.equal(net.first.weight, other.first.weight)
    assert net.first.weight is not other.first.weight
    loose = net.load_state_dict({"extra": lampas.zeros(1)}, strict=False)
    assert loose.unexpected_keys == ["extra"]
    assert "first.weight" in loose.missing_keys
    given = {"weight": lampas.ones(1, 1), "bias": lampas.ones(1)}
    layer = nn.Linear(1, 1)
    layer.load_state_dict(given, assign=True)
    assert isinstance(layer.weight, Parameter)
    assert layer.weight.data_ptr() == given["weight"].data_ptr()


def test_failed_loading_reports_all_and_still_copies_what_fits():
    net = nn.Linear(2, 2)
    state = {"weight": lampas.zeros(3, 3), "bias": lampas.ones(2), "odd": lampas.zeros(1)}
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\).*\n\tsize mismatch for weight"):
        net.load_state_dict(state)
    assert net.bias.tolist() == [1, 1]


def test_extra_state_and_versions():
    class Counter(nn.Module):
        _version = 3

        def __init__(self):
            super().__init__()
            self.count = 7

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    net = nn.Sequential(Counter())
    state = net.state_dict()
    assert state["0._extra_state"] == {"count": 7}
    assert state._metadata["0"] == {"version": 3}
    net[0].count = 0
    net.load_state_dict(state)
    assert net[0].count == 7
    with pytest.raises(RuntimeError, match=r"Missing key.*_extra_state"):
        net.load_state_dict({})


def test_state_hooks():
    net = nn.Linear(1, 1)
    calls = []
    net.register_state_dict_pre_hook(lambda m, prefix, keep: calls.append(("pre", prefix)))
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop("bias"))
    with pytest.raises(RuntimeError, match="must return None"):
        net.state_dict()
    other = nn.Linear(1, 1)
    other.register_load_state_dict_pre_hook(
        lambda m, state, *rest: state.update(bias=lampas.ones(1))
    )
    other.register_load_state_dict_post_hook(lambda m, keys: calls.append(keys.missing_keys))
    other.load_state_dict({"weight": lampas.zeros(1, 1)})
    assert calls == [("pre", ""), []]
    assert float(other.bias) == 1


def test_copies():
    net = Net()
    for made in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(made.state_dict()) == list(net.state_dict())
        assert made.first.weight is not net.first.weight
        assert lampas.equal(made.first.weight, net.first.weight)
        assert isinstance(made.first.weight, Parameter)
        assert made.scale.requires_grad
    tied = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    tied[1].weight = tied[0].weight
    twin = copy.deepcopy(tied)
    assert twin[0].weight is twin[1].weight


def test_registration_hooks():
    from lampas.nn.modules import module as modules

    seen = []
    handles = [
        modules.register_module_parameter_registration_hook(lambda m, n, p: seen.append(n)),
        modules.register_module_buffer_registration_hook(lambda m, n, b: seen.append(n)),
        modules.register_module_module_registration_hook(lambda m, n, c: seen.append(n)),
    ]
    try:
        net = nn.Module()
        net.p = Parameter(lampas.zeros(1))
        net.register_buffer("b", None)
        net.m = nn.ReLU()
    finally:
        for handle in handles:
            handle.remove()
    net.q = Parameter(lampas.zeros(1))
    assert seen == ["p", "b", "m"]


def test_lazy_layers_become_ordinary():
    with pytest.warns(UserWarning, match="Lazy modules"):
        net = nn.Sequential(
            nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2)
        )
    with pytest.raises(RuntimeError, match=r"Can't access the shape of an uninitialized parameter"):
        _ = net[0].weight.shape
    held = net[3].weight
    assert net(lampas.zeros(2, 3, 5, 5)).shape == (2, 2)
    assert [type(part) for part in net] == [nn.Conv2d, nn.BatchNorm2d, nn.Flatten, nn.Linear]
    assert net[3].weight is held
    assert type(held) is Parameter
    assert net[3].in_features == 36


def test_lazy_layers_load():
    with pytest.warns(UserWarning, match="Lazy modules"):
        lazy = nn.LazyLinear(3)
    full = nn.Linear(5, 3)
    lazy.load_state_dict(full.state_dict())
    assert lazy.weight.shape == (3, 5)
    assert lampas.equal(lazy(lampas.ones(1, 5)), full(lampas.ones(1, 5)))
    assert type(lazy) is nn.Linear


def test_a_derivative_reaches_an_input_that_is_a_view():
    bias = lampas.zeros(2, 1, requires_grad=True)
    weight = lampas.ones(2, 1, 1, 1)
    nn.functional.conv2d(lampas.ones(1, 1, 2, 2), weight, bias.view(2)).sum().backward()
    assert bias.grad.tolist() == [[4], [4]]


def test_a_derivative_does_not_leak_into_what_an_input_was_made_of():
    weight = lampas.full((2,), 3.0, requires_grad=True)
    fixed = weight.detach() * weight.detach()
    x = lampas.tensor([[1.0, 2.0], [3.0, 5.0]])
    made = nn.functional.batch_norm(x, lampas.zeros(2), fixed, weight, eps=0.0)
    made.sum().backward()
    assert weight.grad.tolist() == pytest.approx([4 / 3, 7 / 3])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("modules.utils", "_pair"),
        ("modules.activation", "MultiheadAttention"),
        ("modules.batchnorm", "_BatchNorm"),
        ("modules.conv", "_ConvNd"),
        ("modules.loss", "_WeightedLoss"),
        ("modules.rnn", "RNNCellBase"),
        ("parameter", "UninitializedParameter"),
        ("common_types", "_size_2_t"),
        ("_reduction", "get_enum"),
        ("utils.rnn", "PackedSequence"),
        ("utils.parametrize", "ParametrizationList"),
        ("attention", "SDPBackend"),
    ],
)
def test_names_that_programs_import_from_inside(path, name):
    assert hasattr(importlib.import_module("lampas.nn." + path), name)
