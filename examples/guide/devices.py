"""Devices: use an accelerator where there is one, else the processor."""

import torch
from torch import nn

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
print("device:", device, " accelerators:", torch.cuda.device_count())

torch.manual_seed(0)
model = nn.Linear(10, 2).to(device)
inputs = torch.randn(16, 10, device=device)
outputs = model(inputs)
print(
    "model on", next(model.parameters()).device, "gives", tuple(outputs.shape), "on", outputs.device
)

print("Shapes without values, on the meta device:")
with torch.device("meta"):
    large = nn.Linear(50_000, 50_000)
print("  weight", tuple(large.weight.shape), "takes no memory:", large.weight.is_meta)
print("  result", tuple(large(torch.empty(8, 50_000, device="meta")).shape))

print("What is absent says so:")
try:
    torch.ones(1).to("cuda:7")
except (RuntimeError, AssertionError) as error:
    print("  " + str(error).splitlines()[0])
