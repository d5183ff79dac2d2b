"""Optimizers: five of them walk down the same narrow valley."""

import sys

import torch
from torch import nn

STEPS = 60 if "--quick" in sys.argv else 600
torch.manual_seed(0)


def height(place):
    """Rosenbrock's valley: lowest, 0, at (1, 1)."""
    x, y = place
    return (1 - x) ** 2 + 20 * (y - x**2) ** 2


CHOICES = {
    "SGD": lambda p: torch.optim.SGD(p, lr=2e-3),
    "SGD with momentum": lambda p: torch.optim.SGD(p, lr=2e-3, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=1e-2),
    "Adam": lambda p: torch.optim.Adam(p, lr=3e-2),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=3e-2, weight_decay=1e-3),
}

print(f"{STEPS} steps from (-1, 1.5), where the height is {height((-1, 1.5)):.2f}")
for name, make in CHOICES.items():
    place = nn.Parameter(torch.tensor([-1.0, 1.5]))
    optimizer = make([place])
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = height(place)
        loss.backward()
        optimizer.step()
    x, y = place.tolist()
    print(f"  {name:18} reaches ({x:6.3f}, {y:6.3f}), height {height((x, y)):.5f}")

print("Groups of parameters may have their own settings:")
model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
optimizer = torch.optim.SGD(
    [{"params": model[0].parameters(), "lr": 1e-3}, {"params": model[1].parameters()}], lr=1e-1
)
print("  learning rates", [group["lr"] for group in optimizer.param_groups])

print("LBFGS asks for the loss several times a step:")
place = nn.Parameter(torch.tensor([-1.0, 1.5]))
optimizer = torch.optim.LBFGS([place], max_iter=40, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    loss = height(place)
    loss.backward()
    return loss


optimizer.step(closure)
print("  after one step:", [round(value, 4) for value in place.tolist()])
