"""Evaluation: dropout and batch normalization behave differently, and no tape is needed."""

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3)
)
x = torch.randn(8, 4)

model.train()
print("training: two runs differ:", not torch.equal(model(x), model(x)))
mean = model[1].running_mean.clone()
model(x)
print("  and the running mean moves:", not torch.equal(mean, model[1].running_mean))

model.eval()
with torch.no_grad():
    first, second = model(x), model(x)
print("evaluation: two runs agree:", torch.equal(first, second))
print("  nothing is recorded:", first.requires_grad, first.grad_fn)
print(
    "  one sample gives what it gives in a batch:",
    torch.allclose(model(x[:1]), first[:1], atol=1e-6),
)

targets = torch.randint(0, 3, (8,))
right = (first.argmax(dim=1) == targets).sum().item()
loss = nn.functional.cross_entropy(first, targets).item()
print(f"loss {loss:.4f}, {right} of {len(targets)} right by chance")

confusion = torch.zeros(3, 3, dtype=torch.long)
confusion.index_put_((targets, first.argmax(1)), torch.ones(8, dtype=torch.long), accumulate=True)
print("true classes down, predicted ones across:\n", confusion)

with torch.inference_mode():
    print("inference mode:", torch.is_inference_mode_enabled(), model(x).shape)
