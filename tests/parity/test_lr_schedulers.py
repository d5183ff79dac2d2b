"""Every schedule gives PyTorch's learning rates and momenta, also after a reload."""

import copy
import warnings

import pytest

import lampas
import lampas.optim.lr_scheduler as ours
from lampas import optim as our_optim

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.optim.lr_scheduler")

EPOCHS = 40
RELOAD_AT = 15


class Decay:
    """A callable object: its attributes are part of the state."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return self.rate**epoch


def sequential(m, o):
    members = [m.LinearLR(o, 0.1, total_iters=4), m.ExponentialLR(o, 0.9), m.StepLR(o, 3)]
    return m.SequentialLR(o, members, [4, 20])


SCHEDULES = {
    "step": lambda m, o: m.StepLR(o, 3, 0.5),
    "milestones": lambda m, o: m.MultiStepLR(o, [3, 5, 5, 9], 0.5),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.9),
    "lambda": lambda m, o: m.LambdaLR(o, lambda epoch: 0.95**epoch),
    "lambda objects": lambda m, o: m.LambdaLR(o, [Decay(0.9), Decay(0.8)]),
    "multiplicative": lambda m, o: m.MultiplicativeLR(o, [lambda e: 0.95, lambda e: 0.9]),
    "constant": lambda m, o: m.ConstantLR(o, 0.25, 7),
    "linear": lambda m, o: m.LinearLR(o, 0.2, 0.9, 12),
    "polynomial": lambda m, o: m.PolynomialLR(o, 30, 1.7),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 10, 1e-3),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 4, 2, 1e-3),
    "equal restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 5),
    "triangular": lambda m, o: m.CyclicLR(o, 0.01, 0.1, 5, 7),
    "triangular2": lambda m, o: m.CyclicLR(o, 0.01, 0.1, 5, mode="triangular2"),
    "exp_range": lambda m, o: m.CyclicLR(o, 0.01, 0.1, 5, mode="exp_range", gamma=0.95),
    "own scale": lambda m, o: m.CyclicLR(
        o, 0.01, 0.1, 4, scale_fn=Decay(0.5), scale_mode="iterations"
    ),
    "one cycle": lambda m, o: m.OneCycleLR(o, 0.3, 50),
    "three phases": lambda m, o: m.OneCycleLR(
        o,
        [0.3, 0.2],
        epochs=5,
        steps_per_epoch=10,
        three_phase=True,
        anneal_strategy="linear",
    ),
    "plateau": lambda m, o: m.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1),
    "plateau max": lambda m, o: m.ReduceLROnPlateau(
        o, mode="max", factor=0.5, patience=1, threshold_mode="abs", min_lr=[0.01, 0.02]
    ),
    "sequential": sequential,
    "chained": lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, 3), m.ExponentialLR(o, 0.9)]),
}


def make_optimizer(library, name):
    groups = [
        {"params": [library.zeros(2, requires_grad=True)]},
        {"params": [library.zeros(2, requires_grad=True)], "lr": 0.03},
    ]
    options = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(library.optim, name)(groups, lr=0.1, **options)


def course(library, schedulers, make, name):
    """Rates, momenta and state keys over the epochs, with a reload in between."""
    optimizer = make_optimizer(library, name)
    schedule = make(schedulers, optimizer)
    seen = []
    for epoch in range(EPOCHS):
        parts = [
            (group["lr"], group.get("momentum"), group.get("betas"))
            for group in optimizer.param_groups
        ]
        seen.append((schedule.get_last_lr(), parts))
        optimizer.step()
        if isinstance(schedule, schedulers.ReduceLROnPlateau):
            schedule.step(abs(5 - epoch % 9) * 0.1)
        else:
            schedule.step()
        if epoch == RELOAD_AT:
            states = copy.deepcopy((schedule.state_dict(), optimizer.state_dict()))
            seen.append(sorted(states[0]))
            optimizer = make_optimizer(library, name)
            schedule = make(schedulers, optimizer)
            schedule.load_state_dict(states[0])
            optimizer.load_state_dict(states[1])
    return seen


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES.keys())
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_course(make, name):

    with warnings.catch_warnings():
        # SequentialLR in PyTorch warns of its own use of epochs.
        warnings.simplefilter("ignore")
        expected = course(torch, theirs, make, name)
        assert course(lampas, ours, make, name) == expected


def both(function):
    """The warnings' first words in both libraries."""

    said = []
    for library, schedulers in ((lampas, ours), (torch, theirs)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function(schedulers, make_optimizer(library, "SGD"))
        said.append([str(warning.message)[:50] for warning in caught])
    return said


def wrong_order(m, optimizer):
    schedule = m.StepLR(optimizer, 2)
    schedule.step()


def overridden(m, optimizer):
    schedule = m.StepLR(optimizer, 2)
    optimizer.step = lambda: None
    schedule.step()


def explicit_epoch(m, optimizer):
    schedule = m.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    schedule.step(3)


def outside(m, optimizer):
    m.StepLR(optimizer, 2).get_lr()


@pytest.mark.parametrize("misuse", [wrong_order, overridden, explicit_epoch, outside])
def test_warnings(misuse):
    mine, expected = both(misuse)
    assert mine == expected
    assert len(mine) == 1


MISUSES = [
    lambda m, o: m.StepLR(3, 1),
    lambda m, o: m.StepLR(o, 1, last_epoch=4),
    lambda m, o: m.LambdaLR(o, [lambda e: 1.0]),
    lambda m, o: m.MultiplicativeLR(o, 0.5),
    lambda m, o: m.ConstantLR(o, 1.5),
    lambda m, o: m.LinearLR(o, 0.0),
    lambda m, o: m.LinearLR(o, end_factor=2),
    lambda m, o: m.CosineAnnealingWarmRestarts(o, 0),
    lambda m, o: m.CosineAnnealingWarmRestarts(o, 2, 0.5),
    lambda m, o: m.CosineAnnealingWarmRestarts(o, 2).step(-1),
    lambda m, o: m.CyclicLR(o, 0.1, 0.2, mode="none"),
    lambda m, o: m.CyclicLR(o, [0.1], 0.2),
    lambda m, o: m.OneCycleLR(o, 0.1),
    lambda m, o: m.OneCycleLR(o, 0.1, 0),
    lambda m, o: m.OneCycleLR(o, 0.1, 10, pct_start=2.0),
    lambda m, o: m.OneCycleLR(o, 0.1, 10, anneal_strategy="none"),
    lambda m, o: m.ReduceLROnPlateau(o, factor=1.0),
    lambda m, o: m.ReduceLROnPlateau(o, mode="none"),
    lambda m, o: m.ReduceLROnPlateau(o, threshold_mode="none"),
    lambda m, o: m.ReduceLROnPlateau(o, min_lr=[1]),
    lambda m, o: m.SequentialLR(o, [], []),
    lambda m, o: m.SequentialLR(o, [m.StepLR(o, 1)], [3]),
    lambda m, o: m.SequentialLR(o, [m.ReduceLROnPlateau(o)], []),
    lambda m, o: m.ChainedScheduler([]),
    lambda m, o: m.ChainedScheduler([3]),
    lambda m, o: m.LRScheduler(o).step(),
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse(misuse):

    with pytest.raises(Exception) as expected:
        misuse(theirs, make_optimizer(torch, "SGD"))
    with pytest.raises(expected.type) as raised:
        misuse(ours, make_optimizer(lampas, "SGD"))
    assert raised.type is expected.type
    assert our_optim.lr_scheduler is ours


def test_tensor_rate_is_filled_in_place():

    rate = lampas.tensor(0.5)
    optimizer = lampas.optim.SGD([lampas.zeros(1, requires_grad=True)], lr=rate)
    schedule = ours.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25
