"""Saving and loading: a model, a checkpoint of a training, tensors that share memory."""

import math
import tempfile
from pathlib import Path

import torch
from torch import nn


def make_model():
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 1))


def train(model, optimizer, steps):
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        x = torch.randn(32, 6, generator=generator)
        optimizer.zero_grad()
        loss = ((model(x) - x.sum(dim=1, keepdim=True)) ** 2).mean()
        loss.backward()
        optimizer.step()
    return loss.item()


torch.manual_seed(0)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model.pth")
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    train(model, optimizer, 10)

    torch.save(model.state_dict(), path)
    copy = make_model()
    print("loaded:", copy.load_state_dict(torch.load(path, weights_only=True)))
    copy.eval(), model.eval()
    x = torch.randn(4, 6)
    print("same outputs:", torch.equal(copy(x), model(x)))

    state = {"step": 10, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, path)
    model.train()
    loss = train(model, optimizer, 5)

    resumed = make_model()
    again = torch.optim.Adam(resumed.parameters(), lr=1e-2)
    state = torch.load(path, weights_only=True)
    resumed.load_state_dict(state["model"])
    again.load_state_dict(state["optimizer"])
    same = math.isclose(train(resumed, again, 5), loss, rel_tol=1e-5)
    print(f"training goes on from step {state['step']}: {same}")

    base = torch.zeros(4)
    torch.save({"all": base, "half": base[:2]}, path)
    loaded = torch.load(path, weights_only=True)
    loaded["half"].fill_(1)
    print("a view is loaded as a view:", loaded["all"].tolist())

    try:
        resumed.load_state_dict({"0.weight": torch.zeros(3, 3)})
    except RuntimeError as error:
        print("what does not fit is told:", str(error).splitlines()[0])
