"""Data parallelism: a model on all accelerators, or on the processor where there are none."""

import torch
from torch import nn

count = torch.cuda.device_count()
device = torch.device("cuda" if count else "cpu")
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2)).to(device)
x = torch.randn(12, 10, device=device)
expected = model(x)

print("accelerators:", count)
parallel = nn.DataParallel(model)
outputs = parallel(x)
print("outputs", tuple(outputs.shape), "as without:", torch.allclose(outputs, expected, atol=1e-6))

optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
before = nn.functional.cross_entropy(outputs, torch.arange(12, device=device) % 2)
before.backward()
optimizer.step()
after = nn.functional.cross_entropy(parallel(x), torch.arange(12, device=device) % 2)
print(f"a step takes the loss from {before.item():.4f} to {after.item():.4f}")

names = list(parallel.state_dict())
print(
    "its state has names like", names[0], "and the model's own like", next(iter(model.state_dict()))
)
