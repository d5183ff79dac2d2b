"""Modules: layers with parameters, put together into a network."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Two linear layers with a shortcut around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, 2 * width)
        self.second = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.second(F.gelu(self.first(x)))


class Network(nn.Module):
    """A stem, some blocks and a head."""

    def __init__(self, inputs: int, width: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls += 1
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


torch.manual_seed(0)
network = Network(inputs=8, width=16, outputs=3, blocks=2)
print(network)
print("parameters:", sum(parameter.numel() for parameter in network.parameters()))
for name, parameter in list(network.named_parameters())[:4]:
    print(f"  {name}: {tuple(parameter.shape)}")

shapes = []
hook = network.blocks[0].register_forward_hook(lambda module, x, y: shapes.append(tuple(y.shape)))
logits = network(torch.randn(5, 8))
hook.remove()
print("logits", tuple(logits.shape), "a hook saw", shapes, "calls so far", network.calls.item())

for parameter in network.stem.parameters():
    parameter.requires_grad_(False)
print(
    "trainable after freezing the stem:",
    sum(p.requires_grad for p in network.parameters()),
    "tensors",
)
print("in bfloat16:", network.bfloat16()(torch.randn(1, 8).bfloat16()).dtype)
