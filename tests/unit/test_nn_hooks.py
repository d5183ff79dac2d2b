"""Hooks of modules: order, replacement of values, removal, errors."""

from functools import partial

import pytest

import lampas
from lampas import nn
from lampas.nn.modules import module as modules


class Double(nn.Module):
    def forward(self, x, *, plus=0):
        return x * 2 + plus


def test_forward_hooks_replace_input_and_output():
    net = Double()
    net.register_forward_pre_hook(lambda m, args: args[0] + 1)
    net.register_forward_hook(lambda m, args, output: output * 10)
    assert float(net(lampas.tensor(1.0))) == 40


def test_order_and_prepend():
    calls = []
    net = Double()
    net.register_forward_hook(lambda *a: calls.append("first"))
    net.register_forward_hook(lambda *a: calls.append("second"))
    net.register_forward_hook(lambda *a: calls.append("zeroth"), prepend=True)
    handle = modules.register_module_forward_hook(lambda *a: calls.append("global"))
    try:
        net(lampas.tensor(1.0))
    finally:
        handle.remove()
    assert calls == ["global", "zeroth", "first", "second"]


def test_keywords():
    net = Double()
    net.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"plus": kwargs["plus"] + 1}), with_kwargs=True
    )
    seen = []
    net.register_forward_hook(lambda m, a, k, out: seen.append(k["plus"]), with_kwargs=True)
    assert float(net(lampas.tensor(1.0), plus=5)) == 8
    assert seen == [6]
    net.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple"):
        net(lampas.tensor(1.0), plus=5)


def test_removal():
    net = Double()
    with net.register_forward_hook(lambda m, a, out: out + 100):
        assert float(net(lampas.tensor(1.0))) == 102
    assert float(net(lampas.tensor(1.0))) == 2
    handle = net.register_forward_hook(lambda m, a, out: out + 100)
    handle.remove()
    handle.remove()
    assert not net._forward_hooks


def test_always_called_hooks_run_when_forward_raises():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    calls = []
    net = Broken()
    net.register_forward_hook(lambda m, a, out: calls.append("usual"))
    net.register_forward_hook(lambda m, a, out: calls.append(out), always_call=True)
    with pytest.raises(ValueError, match="broken"):
        net(1)
    assert calls == [None]


def test_full_backward_hooks_see_and_change_gradients():
    net = nn.Linear(2, 1, bias=False)
    with lampas.no_grad():
        net.weight.copy_(lampas.tensor([[3.0, 5.0]]))
    seen = []

    def hook(module, grad_input, grad_output):
        seen.append((grad_input[0].tolist(), grad_output[0].tolist()))
        return (grad_input[0] * 2,)

    net.register_full_backward_hook(hook)
    net.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 10,))
    x = lampas.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    assert seen == [([[30.0, 50.0]], [[10.0]])]
    assert x.grad.tolist() == [[60.0, 100.0]]
    assert net.weight.grad.tolist() == [[10.0, 10.0]]


def test_full_backward_hook_without_input_gradients():
    net = nn.Linear(2, 1)
    seen = []
    net.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    net(lampas.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]


def test_full_backward_hooks_of_several_values():
    class Two(nn.Module):
        def forward(self, a, count, b):
            return a * b, a + b

    seen = []
    net = Two()
    net.register_full_backward_hook(
        lambda m, gi, go: seen.append([None if g is None else float(g) for g in (*gi, *go)])
    )
    a, b = lampas.tensor(2.0, requires_grad=True), lampas.tensor(3.0, requires_grad=True)
    first, second = net(a, 1, b)
    (first + 4 * second).backward()
    assert seen == [[7.0, None, 6.0, 1.0, 4.0]]
    assert (float(a.grad), float(b.grad)) == (7, 6)


def test_wrong_number_of_replaced_gradients():
    net = nn.Linear(1, 1)
    net.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    with pytest.raises(RuntimeError, match="got 2, but expected 1"):
        net(lampas.ones(1, 1, requires_grad=True)).sum().backward()


def test_global_backward_hooks():
    names = []
    handle = modules.register_module_full_backward_hook(
        lambda m, gi, go: names.append(type(m).__name__)
    )
    try:
        net = nn.Sequential(nn.Linear(1, 1), nn.Tanh())
        net(lampas.ones(1, 1, requires_grad=True)).sum().backward()
    finally:
        handle.remove()
        modules.hook_table.Switches.full_backward = None
    assert names == ["Tanh", "Linear", "Sequential"]


def test_a_call_without_hooks_is_forward_itself():
    net = Double()
    calls = []
    net.forward = lambda x: calls.append(x) or x
    assert net(3) == 3
    assert calls == [3]


def test_leaves_get_their_gradients_in_the_order_of_the_derivative():
    """Not in that of their addresses, which differs from run to run."""
    kept = []
    for turn in range(12):
        leaves = [lampas.ones(3, requires_grad=True) for _ in range(6)]
        kept.append([object() for _ in range(7 * turn)])
        told = {}
        for place, leaf in enumerate(leaves):
            leaf.register_post_accumulate_grad_hook(partial(told.__setitem__, place))
        lampas.stack(leaves[::-1]).sum().backward()
        assert list(told) == [5, 4, 3, 2, 1, 0]
