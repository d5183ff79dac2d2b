"""Optimizers without an oracle: formulas by hand, structure of the recorded step, state as tensors."""

import copy
import pickle

import numpy as np
import pytest

import lampas
from lampas.engine.realize import realize as realization
from lampas.optim import SGD, Adam, AdamW, Optimizer, lr_scheduler
from lampas.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from lampas.optim.update import Counters, counter


def parameter(*values, dtype=lampas.float32):
    return lampas.tensor(list(values), dtype=dtype).requires_grad_()


def with_gradient(tensor, *values):
    tensor.grad = lampas.tensor(list(values), dtype=tensor.dtype)
    return tensor


def test_sgd_with_momentum_by_hand():
    x = parameter(1.0, -2.0)
    optimizer = SGD([x], lr=0.1, momentum=0.5, dampening=0.25)
    values, velocity = np.array([1.0, -2.0], np.float32), None
    for step in range(4):
        gradient = np.array([step + 1.0, -1.0], np.float32)
        with_gradient(x, *gradient.tolist())
        optimizer.step()
        velocity = gradient if velocity is None else velocity * 0.5 + 0.75 * gradient
        values = values - 0.1 * velocity
    np.testing.assert_allclose(x.detach().numpy(), values, rtol=1e-6)
    kept = optimizer.state[x]["momentum_buffer"]
    np.testing.assert_allclose(kept.numpy(), velocity, rtol=1e-6)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_by_hand(decoupled):
    x = parameter(1.0, -2.0, dtype=lampas.float64)
    optimizer = (AdamW if decoupled else Adam)([x], lr=0.1, weight_decay=0.01)
    values = np.array([1.0, -2.0])
    first = second = np.zeros(2)
    for step in range(1, 5):
        gradient = np.array([step, -0.5])
        with_gradient(x, *gradient.tolist())
        optimizer.step()
        if decoupled:
            values = values * (1 - 0.1 * 0.01)
        else:
            gradient = gradient + 0.01 * values
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        root = np.sqrt(second / (1 - 0.999**step))
        values = values - 0.1 * first / (1 - 0.9**step) / (root + 1e-8)
    np.testing.assert_allclose(x.detach().numpy(), values, rtol=1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "NAdam", "ASGD", "Rprop"])
def test_a_changed_rate_and_later_steps_compile_nothing(name):
    tensors = [parameter(*np.linspace(-1, 1, 8).tolist()) for _ in range(3)]
    optimizer = getattr(lampas.optim, name)(tensors, lr=0.1)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.9)
    structures = []
    for _ in range(8):
        for tensor in tensors:
            with_gradient(tensor, *[0.5] * 8)
        optimizer.step()
        schedule.step()
        structures.append(len(realization._PLANS))
    # The first steps may differ (buffers begin, AMS averages start); then nothing is new.
    assert len(set(structures[3:])) == 1


def test_a_step_leaves_nothing_pending():
    x = with_gradient(parameter(1.0), 0.5)
    loss = lampas.tensor([2.0]) * 3
    SGD([x], lr=0.1).step()
    assert x._storage.node.buffer is not None
    assert loss._storage.node.buffer is not None


def test_parameters_without_gradient_are_left_alone():
    x, y = with_gradient(parameter(1.0), 0.5), parameter(3.0)
    optimizer = Adam([x, y])
    optimizer.step()
    assert y.item() == 3.0
    assert list(optimizer.state_dict()["state"]) == [0]


def test_groups_have_their_own_options():
    x, y = with_gradient(parameter(1.0), 1.0), with_gradient(parameter(1.0), 1.0)
    optimizer = SGD([{"params": x}, {"params": [y], "lr": 0.5}], lr=0.1)
    optimizer.step()
    assert (round(x.item(), 6), round(y.item(), 6)) == (0.9, 0.5)
    z = with_gradient(parameter(1.0), 1.0)
    optimizer.add_param_group({"params": [z], "lr": 1.0})
    optimizer.step()
    assert round(z.item(), 6) == 0.0


def test_named_parameters():
    model = lampas.nn.Linear(2, 1)
    optimizer = SGD(model.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_zero_grad_both_ways():
    x = with_gradient(parameter(1.0), 0.5)
    optimizer = SGD([x], lr=0.1)
    optimizer.zero_grad(set_to_none=False)
    assert x.grad.item() == 0.0
    optimizer.zero_grad()
    assert x.grad is None


def test_closure_runs_with_gradients_and_gives_the_loss():
    x = parameter(2.0)
    optimizer = SGD([x], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with lampas.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert round(x.item(), 5) == 1.6


def test_views_and_exported_memory_see_the_step():
    x = with_gradient(parameter(1.0, 2.0), 1.0, 1.0)
    view, array = x.detach()[1:], x.detach().numpy()
    SGD([x], lr=0.5).step()
    assert view.tolist() == [1.5]
    assert array.tolist() == [0.5, 1.5]


def test_state_survives_copies_pickles_and_reloads():
    x = with_gradient(parameter(1.0, 2.0), 1.0, -1.0)
    optimizer = Adam([x], lr=0.1)
    optimizer.step()
    state = pickle.loads(pickle.dumps(optimizer.state_dict()))
    twin = with_gradient(parameter(*x.tolist()), 1.0, -1.0)
    other = Adam([twin], lr=5.0)
    other.load_state_dict(copy.deepcopy(state))
    assert other.param_groups[0]["lr"] == 0.1
    optimizer.step()
    other.step()
    assert twin.tolist() == x.tolist()
    assert other.state[twin]["step"].item() == 2.0
    assert other.state[twin]["step"].dtype is lampas.float32


def test_old_states_with_plain_step_counts():
    x = with_gradient(parameter(1.0), 1.0)
    optimizer = Adam([x], lr=0.1)
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0] = {**state["state"][0], "step": 7}
    optimizer.load_state_dict(state)
    optimizer.step()
    assert optimizer.state[x]["step"].item() == 8.0


def test_loaded_state_takes_the_parameters_dtype():
    x = with_gradient(parameter(1.0), 1.0)
    optimizer = Adam([x])
    optimizer.step()
    y = with_gradient(parameter(1.0, dtype=lampas.float64), 1.0)
    other = Adam([y])
    other.load_state_dict(optimizer.state_dict())
    assert other.state[y]["exp_avg"].dtype is lampas.float64
    assert other.state[y]["step"].dtype is lampas.float32
    other.step()


def test_half_precision_parameters():
    x = with_gradient(parameter(1.0, 2.0, dtype=lampas.bfloat16), 0.5, 0.5)
    optimizer = Adam([x], lr=0.25)
    optimizer.step()
    assert x.dtype is lampas.bfloat16
    assert x.tolist() == [0.75, 1.75]
    assert optimizer.state[x]["exp_avg"].dtype is lampas.bfloat16


def test_own_optimizers_get_the_hooks():
    seen = []

    class Plain(Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.5})

        def step(self, closure=None):
            with lampas.no_grad():
                for group in self.param_groups:
                    for tensor in group["params"]:
                        tensor.sub_(tensor.grad, alpha=group["lr"])

    x = with_gradient(parameter(1.0), 1.0)
    optimizer = Plain([x])
    handles = [
        register_optimizer_step_pre_hook(lambda *given: seen.append("every")),
        register_optimizer_step_post_hook(lambda *given: seen.append("every after")),
        optimizer.register_step_pre_hook(lambda *given: seen.append("own")),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert seen == ["every", "own", "every after"]
    assert x.item() == 0.0
    optimizer.register_step_pre_hook(lambda *given: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()


def test_counters_share_a_buffer_and_survive_changes():
    a, b = counter(), counter()
    counters = Counters()
    for tensor in (a, b):
        counters.write(tensor, counters.read(tensor) + 1)
    assert a._storage.node is b._storage.node
    a.add_(5)
    assert (a.item(), b.item()) == (6.0, 1.0)
    assert Counters().read(a) == 6.0
