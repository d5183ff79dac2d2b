"""Containers of modules and parameters behave as the Python containers they imitate."""

from collections import OrderedDict

import pytest

import lampas
from lampas import nn


def kinds(container):
    return [type(part).__name__ for part in container]


def test_sequential():
    net = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert kinds(net[1:]) == ["Tanh", "Sigmoid"]
    assert isinstance(net[-1], nn.Sigmoid)
    net.insert(1, nn.Identity())
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    del net[0]
    assert kinds(net) == ["Identity", "Tanh", "Sigmoid"]
    assert isinstance(net.pop(1), nn.Tanh)
    net[0] = nn.ReLU()
    assert kinds(net + nn.Sequential(nn.Tanh())) == ["ReLU", "Sigmoid", "Tanh"]
    assert kinds(net * 2) == ["ReLU", "Sigmoid"] * 2
    net += nn.Sequential(nn.GELU())
    assert kinds(net) == ["ReLU", "Sigmoid", "GELU"]
    with pytest.raises(IndexError, match="out of range"):
        net[3]
    with pytest.raises(ValueError, match="add operator supports only"):
        net + [nn.ReLU()]
    named = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    assert isinstance(named.b, nn.Tanh)
    assert float(nn.Sequential(nn.ReLU(), nn.Hardtanh())(lampas.tensor(3.0))) == 1


def test_module_list():
    parts = nn.ModuleList([nn.ReLU()])
    parts.append(nn.Tanh()).extend([nn.Sigmoid()])
    parts.insert(0, nn.Identity())
    assert kinds(parts) == ["Identity", "ReLU", "Tanh", "Sigmoid"]
    assert kinds(parts[::2]) == ["Identity", "Tanh"]
    parts[1] = nn.GELU()
    del parts[0]
    assert kinds(parts) == ["GELU", "Tanh", "Sigmoid"]
    assert isinstance(parts.pop(-1), nn.Sigmoid)
    assert kinds(parts + [nn.ReLU()]) == ["GELU", "Tanh", "ReLU"]
    with pytest.raises(TypeError, match="extend should be called with an iterable"):
        parts.extend(3)
    with pytest.raises(NotImplementedError, match='missing the required "forward"'):
        parts(1)


def test_module_dict():
    parts = nn.ModuleDict({"a": nn.ReLU()})
    parts["b"] = nn.Tanh()
    parts.update([("c", nn.Sigmoid())])
    assert list(parts.keys()) == ["a", "b", "c"]
    assert "a" in parts
    assert len(parts) == 3
    assert isinstance(parts.pop("b"), nn.Tanh)
    assert [name for name, _ in parts.items()] == ["a", "c"]
    with pytest.raises(ValueError, match="has length 3; 2 is required"):
        parts.update([("d", 1, 2)])
    parts.clear()
    assert not len(parts)


def test_parameter_list():
    held = nn.ParameterList([lampas.zeros(2), lampas.ones(3)])
    held.append(lampas.ones(1))
    held += [5]
    assert [type(value).__name__ for value in held] == ["Parameter"] * 3 + ["int"]
    assert [name for name, _ in held.named_parameters()] == ["0", "1", "2"]
    assert isinstance(held[:2], nn.ParameterList)
    assert held.pop(3) == 5
    assert len(held) == 3
    held[0] = lampas.full((2,), 4.0)
    assert held[0].tolist() == [4, 4]
    with pytest.raises(RuntimeError, match="should not be called"):
        held(1)


def test_parameter_dict():
    held = nn.ParameterDict({"a": lampas.zeros(2)})
    held["b"] = nn.Parameter(lampas.ones(1))
    assert held.setdefault("a") is held["a"]
    assert held.get("z", 3) == 3
    assert list((held | {"c": lampas.ones(1)}).keys()) == ["a", "b", "c"]
    assert list(reversed(held)) == ["b", "a"]
    assert held.popitem()[0] == "b"
    assert [name for name, _ in held.named_parameters()] == ["a"]
    assert list(held.fromkeys(["x", "y"], 0).items()) == [("x", 0), ("y", 0)]
    with pytest.raises(TypeError, match="not a string"):
        held[3] = lampas.ones(1)
    with pytest.raises(KeyError):
        held["missing"]
