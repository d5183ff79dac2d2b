"""Mixed precision: products in half the bits, sums and losses in full; a scaler where it is needed."""

import sys

import torch
from torch import nn

STEPS = 20 if "--quick" in sys.argv else 200
device = "cuda" if torch.cuda.is_available() else "cpu"


def train(dtype):
    """Learn to add up; return the last losses' mean and the dtype of the products."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
    losses = []
    for _ in range(STEPS):
        x = torch.randn(64, 16, device=device)
        with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
            y = model(x)
            loss = nn.functional.mse_loss(y.float(), x.sum(dim=1, keepdim=True))
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    return sum(losses[-10:]) / 10, y.dtype


for dtype in (None, torch.bfloat16, torch.float16):
    loss, products = train(dtype)
    print(f"autocast {dtype or 'off'}: products in {products}, loss after {STEPS} steps {loss:.3f}")

with torch.autocast(device, dtype=torch.bfloat16):
    a = torch.randn(4, 4, device=device)
    print("product", (a @ a).dtype, " sum", (a + a).dtype, " exp", a.exp().dtype)
    with torch.autocast(device, enabled=False):
        print("switched off inside:", (a @ a).dtype)
