"""Learning-rate schedules: how the rate goes, epoch by epoch."""

import torch
from torch.optim import lr_scheduler as schedules

EPOCHS = 12
CHOICES = {
    "StepLR": lambda o: schedules.StepLR(o, step_size=4, gamma=0.1),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, milestones=[3, 9], gamma=0.5),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, gamma=0.8),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, T_max=EPOCHS),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, max_lr=1.0, total_steps=EPOCHS),
    "LambdaLR": lambda o: schedules.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "warm-up, then cosine": lambda o: schedules.SequentialLR(
        o,
        [
            schedules.LinearLR(o, start_factor=0.25, total_iters=3),
            schedules.CosineAnnealingLR(o, T_max=EPOCHS - 3),
        ],
        milestones=[3],
    ),
}


def rates(make, name):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = make(optimizer)
    found = []
    for _ in range(EPOCHS):
        found.append(optimizer.param_groups[0]["lr"])
        parameter.grad = torch.ones(1)
        optimizer.step()
        if name != "OneCycleLR" or len(found) < EPOCHS:
            schedule.step()
    return found


for name, make in CHOICES.items():
    print(f"{name:21}", " ".join(f"{rate:5.3f}" for rate in rates(make, name)))

optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
schedule = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
for loss in (1.0, 0.8, 0.8, 0.8, 0.8, 0.7):
    schedule.step(loss)
print("ReduceLROnPlateau, after the loss has stalled:", optimizer.param_groups[0]["lr"])
